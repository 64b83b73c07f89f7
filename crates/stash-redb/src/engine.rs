//! [`RedbEngine`]: the four verbs over the published view and the writer's queue.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use redb::Database;
use stash_core::StorageError;
use stash_core::engine::{Decision, Engine, EngineInfo, EngineStatus, Page, Scan, Snapshot, View, Writes};
use tokio::sync::oneshot;

use crate::file::{OpenError, Opener, RedbOptions, open_store};
use crate::queue::{Job, Queue, closed};
use crate::view::ReadView;
use crate::writer::Writer;

/// A redb file as an engine. It has one owner: while it is open no other process can open it.
///
/// Needs no async runtime of its own. Dropping it, or [`close`](Self::close), finishes the updates that wait and closes
/// the file.
pub struct RedbEngine {
    path: PathBuf,
    shared: Arc<Shared>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What reads and the writer have in common.
pub(crate) struct Shared {
    pub(crate) queue: Queue,
    published: RwLock<Published>,
    /// How often the file was let go of and opened again.
    pub(crate) gaps: AtomicU64,
}

/// What reads get to see.
#[derive(Clone)]
pub(crate) enum Published {
    /// The last commit.
    Open(Arc<ReadView>),
    /// The file could not be opened again after an I/O error.
    Failed(StorageError),
    /// The store is closed.
    Closed,
}

impl Shared {
    /// Whether there is nothing to read from until the file is opened again.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(&*self.published.read(), Published::Failed(_))
    }

    /// Takes a view that cannot be read out of use, unless another has taken its place already.
    fn withdraw(&self, view: &Arc<ReadView>, cause: &StorageError) {
        let mut published = self.published.write();
        if matches!(&*published, Published::Open(current) if Arc::ptr_eq(current, view)) {
            let old = std::mem::replace(&mut *published, Published::Failed(cause.clone()));
            drop(published);
            drop(old);
        }
    }

    /// The same where the error says that the file could not be read; redb then refuses to go on with it.
    fn withdraw_if_unread(&self, view: &Arc<ReadView>, error: &StorageError) {
        if let StorageError::Io { .. } = error {
            self.withdraw(view, error);
        }
    }

    pub(crate) fn publish(&self, published: Published) {
        let old = std::mem::replace(&mut *self.published.write(), published);
        // Outside the lock: the last drop of a view frees its pages.
        drop(old);
    }
}

impl RedbEngine {
    /// Opens the file, or makes it, with the folders above it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, options: &RedbOptions) -> Result<Self, OpenError> {
        let (database, opener) = open_store(path, options)?;
        Self::over(database, opener, path)
    }

    pub(crate) fn over(database: Database, opener: Opener, path: &Path) -> Result<Self, OpenError> {
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            published: RwLock::new(Published::Closed),
            gaps: AtomicU64::new(0),
        });
        let failed = |reason: String| OpenError::Io { path: path.to_owned(), reason };
        let writer = Writer::start(database, opener, Arc::clone(&shared)).map_err(|error| match error {
            StorageError::Corrupt { reason } => OpenError::NotAStore { path: path.to_owned(), reason },
            error => failed(error.to_string()),
        })?;
        let thread = std::thread::Builder::new().name("stash-redb-writer".to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|error| failed(format!("cannot start the writer's thread: {error}")))?;
        Ok(Self { path: path.to_owned(), shared, writer: Mutex::new(Some(thread)) })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finishes the updates that wait and closes the file; every later call is refused. Waits for the disk.
    pub fn close(&self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store ended by a panic");
        }
    }

    async fn view(&self) -> Result<Arc<ReadView>, StorageError> {
        match self.published() {
            Published::Open(view) => return Ok(view),
            Published::Closed => return Err(closed()),
            // An update, even of nothing, makes the writer try to open the file again.
            Published::Failed(_) => self.update(Nothing).await?,
        }
        match self.published() {
            Published::Open(view) => Ok(view),
            Published::Failed(error) => Err(error),
            Published::Closed => Err(closed()),
        }
    }

    /// Reads from the present view; where the file could not be read, once more after it was opened again.
    async fn reading<T>(&self, read: impl Fn(&ReadView) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let view = self.view().await?;
        match read(&view) {
            Err(error @ StorageError::Io { .. }) => {
                tracing::warn!(%error, "a read failed; opening the store again");
                self.shared.withdraw(&view, &error);
                drop(view);
                let view = self.view().await?;
                read(&view).inspect_err(|error| self.shared.withdraw_if_unread(&view, error))
            }
            answer => answer,
        }
    }

    fn published(&self) -> Published {
        self.shared.published.read().clone()
    }
}

impl Drop for RedbEngine {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbEngine").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Engine for RedbEngine {
    type Snapshot = RedbSnapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "redb", durable: true }
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.reading(|view| view.read(keys)).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        self.reading(|view| view.scan(scan)).await
    }

    fn gaps(&self) -> u64 {
        self.shared.gaps.load(Ordering::Acquire)
    }

    fn status(&self) -> EngineStatus {
        let failure = match self.published() {
            Published::Open(_) => None,
            Published::Failed(error) => Some(error.to_string()),
            Published::Closed => Some(closed().to_string()),
        };
        EngineStatus { failure, disk_bytes: std::fs::metadata(&self.path).ok().map(|file| file.len()) }
    }

    async fn update<D: Decision>(&self, decision: D) -> Result<D::Output, StorageError> {
        let (reply, answer) = oneshot::channel();
        self.shared.queue.push(Box::new(DecisionJob { decision, outcome: None, reply }))?;
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    async fn snapshot(&self) -> Result<RedbSnapshot, StorageError> {
        Ok(RedbSnapshot { view: self.view().await?, shared: Arc::clone(&self.shared) })
    }
}

/// One committed state of a [`RedbEngine`]. While it is kept, the file cannot reuse the space of what was changed since.
pub struct RedbSnapshot {
    view: Arc<ReadView>,
    shared: Arc<Shared>,
}

impl Snapshot for RedbSnapshot {
    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.view.read(keys).inspect_err(|error| self.shared.withdraw_if_unread(&self.view, error))
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        self.view.scan(scan).inspect_err(|error| self.shared.withdraw_if_unread(&self.view, error))
    }
}

/// A decision in the queue, with the way back to its caller.
struct DecisionJob<D: Decision> {
    decision: D,
    outcome: Option<Result<D::Output, StorageError>>,
    reply: oneshot::Sender<Result<D::Output, StorageError>>,
}

impl<D: Decision> Job for DecisionJob<D> {
    fn line(&self) -> &str {
        self.decision.queue()
    }

    fn cost(&self) -> usize {
        self.decision.cost()
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> bool {
        self.outcome.insert(self.decision.decide(view, writes)).is_ok()
    }

    fn finish(self: Box<Self>) {
        let Self { mut decision, outcome, reply } = *self;
        let outcome = outcome.unwrap_or_else(|| Err(lost()));
        if let Ok(output) = &outcome {
            decision.committed(output);
        }
        // Before the answer: whoever hears it may rely on the decision being over.
        drop(decision);
        // A caller that has gone away is not told.
        drop(reply.send(outcome));
    }

    fn fail(self: Box<Self>, error: StorageError) {
        let Self { decision, reply, .. } = *self;
        drop(decision);
        drop(reply.send(Err(error)));
    }
}

/// The writer went away with the update: nobody knows what became of it.
fn lost() -> StorageError {
    StorageError::io("committing", "the store's writer has ended")
}

/// The update that changes nothing.
struct Nothing;

impl Decision for Nothing {
    type Output = ();

    fn queue(&self) -> &'static str {
        ""
    }

    fn cost(&self) -> usize {
        0
    }

    fn decide(&mut self, _: &dyn View, _: &mut Writes) -> Result<(), StorageError> {
        Ok(())
    }
}
