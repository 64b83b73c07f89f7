//! [`SharedEngine`]: the verbs of an engine over a [`Server`], its lanes and its news. It must outlive none of its calls:
//! what it runs in the background ends with it.

use std::future::Future;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use stash_core::engine::{Decision, Engine, EngineInfo, EngineStatus, OthersCommitted, Page, Scan};
use stash_core::keyspace::owner;
use stash_core::{Clock, Feed, StorageError, SystemClock};
use stash_group_commit::DecisionJob;
use tokio::runtime::{Handle, Runtime};
use tokio::time::Instant;

use crate::announce::{self, Announcements};
use crate::group::owners_of;
use crate::head::HostId;
use crate::lanes::Lanes;
use crate::news::News;
use crate::reach::{NOT_IN_TIME, Reach};
use crate::server::{Server, ServerError};

/// How a shared engine deals with its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SharedOptions {
    /// How long the server may take for one answer before the connection is given up; for a large commit longer, see
    /// [`time_for`](Self::time_for).
    pub call_timeout: Duration,
    /// How long a call goes on trying while the server cannot be reached, or other hosts' commits come in between.
    pub patience: Duration,
    /// How old a cached value may be at most, whatever happens to this host or the network.
    pub staleness: Duration,
    /// How often the heads of the namespaces in use are asked for. Less than [`staleness`](Self::staleness), or nothing is
    /// ever cached.
    pub poll: Duration,
    /// Whether to make a store where the server has none. Without it that is an error.
    pub create: bool,
}

/// Bytes in a second that a server takes in at least, or the network before it.
const SLOWEST: u64 = 4 * 1024 * 1024;

impl SharedOptions {
    /// How long the server may take for an answer to so many bytes.
    #[must_use]
    pub fn time_for(&self, bytes: usize) -> Duration {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.call_timeout.saturating_add(Duration::from_millis(bytes / (SLOWEST / 1000)))
    }
}

impl Default for SharedOptions {
    /// 5 s for an answer, 15 s of trying, 2 s of staleness at most, asked for twice a second.
    fn default() -> Self {
        Self {
            call_timeout: Duration::from_secs(5),
            patience: Duration::from_secs(15),
            staleness: Duration::from_secs(2),
            poll: Duration::from_millis(500),
            create: true,
        }
    }
}

/// An engine over a server that other hosts use too.
///
/// It has a small runtime of its own, so that its calls can be awaited anywhere. Dropping it ends what it runs: an update
/// whose caller has gone away then may or may not take effect.
pub struct SharedEngine<S: Server> {
    inner: Arc<Inner<S>>,
    /// `None` only while it is dropped.
    runtime: Option<Runtime>,
    handle: Handle,
}

/// What calls, lanes and background tasks have in common.
pub(crate) struct Inner<S> {
    pub(crate) server: S,
    pub(crate) options: SharedOptions,
    pub(crate) host: HostId,
    pub(crate) news: News,
    pub(crate) announcements: Announcements,
    pub(crate) reach: Reach,
    lanes: Lanes,
    numbers: AtomicU64,
}

impl<S: Server> SharedEngine<S> {
    /// An engine over the server that `connect` gives, which runs on the engine's own runtime.
    ///
    /// # Errors
    /// Those of `connect`; [`StorageError::Io`] where no threads can be had.
    pub async fn open<E, F>(options: SharedOptions, connect: impl FnOnce() -> F) -> Result<Self, E>
    where
        F: Future<Output = Result<S, E>> + Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        Self::open_with(options, Arc::new(SystemClock), connect).await
    }

    /// The same with a clock, by which caches are trusted.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with<E, F>(
        options: SharedOptions,
        clock: Arc<dyn Clock>,
        connect: impl FnOnce() -> F,
    ) -> Result<Self, E>
    where
        F: Future<Output = Result<S, E>> + Send + 'static,
        E: From<StorageError> + Send + 'static,
    {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(2)
            .thread_name("stash-shared")
            .enable_all()
            .build()
            .map_err(|error| StorageError::io("starting the threads of the store", error))?;
        let mut runtime = Ending(Some(runtime));
        let handle = runtime.handle();
        let connecting = handle.spawn(connect());
        let server = connecting.await.map_err(|error| StorageError::io("connecting to the store", error))??;
        let mut id = [0; 8];
        getrandom::fill(&mut id).map_err(|error| StorageError::io("asking the system for a random number", error))?;
        let inner = Arc::new(Inner {
            server,
            options,
            host: HostId(u64::from_ne_bytes(id)),
            news: News::new(clock),
            announcements: Announcements::default(),
            reach: Reach::default(),
            lanes: Lanes::default(),
            numbers: AtomicU64::new(1),
        });
        inner.listen();
        handle.spawn(Arc::clone(&inner).ask_for_news());
        handle.spawn(Arc::clone(&inner).send_announcements());
        Ok(Self { inner, runtime: runtime.0.take(), handle })
    }

    /// The server.
    pub fn server(&self) -> &S {
        &self.inner.server
    }

    /// Runs a question where tokio's timers and sockets work, and asks again while the server cannot be reached.
    async fn asking<T, F>(&self, question: impl Fn() -> F) -> Result<T, StorageError>
    where
        F: Future<Output = Result<T, ServerError>> + Send,
    {
        within(&self.handle, || async {
            let deadline = Instant::now() + self.inner.options.patience;
            self.inner.ask(question, deadline).await
        })
        .await
    }
}

/// A runtime that is let go of without waiting, also within another one.
struct Ending(Option<Runtime>);

impl Ending {
    fn handle(&self) -> Handle {
        self.0.as_ref().map_or_else(Handle::current, |runtime| runtime.handle().clone())
    }
}

impl Drop for Ending {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

/// Polls a future as if it ran on the runtime.
async fn within<T, F: Future<Output = T>>(handle: &Handle, future: impl FnOnce() -> F) -> T {
    let mut future = std::pin::pin!(async { future().await });
    std::future::poll_fn(|context| {
        let _within = handle.enter();
        future.as_mut().poll(context)
    })
    .await
}

impl<S: Server> Inner<S> {
    /// A number that no other commit of this host has.
    pub(crate) fn next_number(&self) -> u64 {
        self.numbers.fetch_add(1, Ordering::Relaxed)
    }

    /// Commits what waits in a lane, until nothing does.
    async fn serve(self: Arc<Self>, lane: Bytes) {
        while let Some(group) = self.lanes.take(&lane) {
            let left = self.run_group(group).await;
            if !left.is_empty() {
                self.lanes.put_back(&lane, left);
            }
        }
    }

    fn listen(self: &Arc<Self>) {
        let inner = Arc::downgrade(self);
        self.server.listen(Arc::new(move |message| {
            if let Some(inner) = inner.upgrade() {
                for (owner, revision) in announce::read(message, inner.host) {
                    inner.news.announced(&owner, revision);
                }
            }
        }));
        let inner = Arc::downgrade(self);
        self.server.listen_for_heads(Arc::new(move |owner, head| {
            if let Some(inner) = inner.upgrade() {
                inner.news.heard(owner, head, inner.host, None);
            }
        }));
    }

    async fn ask_for_news(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = tokio::time::sleep(self.options.poll) => {}
                () = self.news.more() => {}
            }
            self.ask_once().await;
        }
    }

    async fn ask_once(&self) {
        let wanted = self.news.wanted();
        if wanted.is_empty() {
            return;
        }
        // Before the question: what is committed after it may be missing in the answer.
        let until = self.news.now() + self.options.staleness;
        match tokio::time::timeout(self.options.call_timeout, self.server.heads(&wanted)).await {
            Ok(Ok(heads)) => {
                self.reach.answered(self.server.info().name);
                for (owner, head) in wanted.iter().zip(&heads) {
                    self.news.heard(owner, head, self.host, Some(until));
                }
            }
            // What was cached is not trusted any more before long.
            Ok(Err(ServerError::Unreachable(reason))) => drop(self.reach.failed(self.server.info().name, &reason)),
            Ok(Err(error)) => tracing::debug!("no news of other hosts: {error}"),
            Err(_) => drop(self.reach.failed(self.server.info().name, NOT_IN_TIME)),
        }
    }

    async fn send_announcements(self: Arc<Self>) {
        loop {
            let message = self.announcements.next(self.host).await;
            if tokio::time::timeout(self.options.call_timeout, self.server.announce(message)).await.is_err() {
                tracing::debug!("an announcement was not sent in time");
            }
        }
    }
}

impl<S: Server> Engine for SharedEngine<S> {
    type Snapshot = S::Snapshot;

    fn info(&self) -> EngineInfo {
        self.inner.server.info()
    }

    fn status(&self) -> EngineStatus {
        self.inner.server.status()
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.asking(|| self.inner.server.read(keys)).await
    }

    async fn read_up_to(&self, keys: &[&[u8]], max_bytes: usize) -> Result<Option<Vec<Option<Bytes>>>, StorageError> {
        self.asking(|| self.inner.server.read_up_to(keys, max_bytes)).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        if scan.is_empty() {
            return Ok(Page::default());
        }
        self.asking(|| self.inner.server.scan(scan)).await
    }

    async fn update<D: Decision>(&self, decision: D) -> Result<D::Output, StorageError> {
        let (mut job, answer) = DecisionJob::new(decision);
        // One that looks at several namespaces waits in the lane of the first.
        let lane = owners_of(&mut job).into_iter().next().unwrap_or_default();
        if self.inner.lanes.push(&lane, Box::new(job))? {
            self.handle.spawn(Arc::clone(&self.inner).serve(lane));
        }
        answer.await.unwrap_or(Err(StorageError::Closed))
    }

    async fn snapshot(&self) -> Result<S::Snapshot, StorageError> {
        self.asking(|| self.inner.server.snapshot()).await
    }

    fn feed(&self, key: &[u8]) -> Option<Arc<Feed>> {
        Some(self.inner.news.feed(owner(key)))
    }

    fn tell_of_others(&self, told: OthersCommitted) {
        self.inner.news.tell(told);
    }
}

impl<S: Server> Drop for SharedEngine<S> {
    fn drop(&mut self) {
        drop(Ending(self.runtime.take()));
    }
}

impl<S: Server + std::fmt::Debug> std::fmt::Debug for SharedEngine<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("SharedEngine").field("server", &self.inner.server).finish_non_exhaustive()
    }
}
