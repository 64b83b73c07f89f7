//! [`GroupCommit`]: the verbs of an engine over the published view and the writer's queue. A read must never see a commit
//! that has not been published, nor wait for the writer while there is a view.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread::JoinHandle;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};
use stash_core::StorageError;
use stash_core::engine::{Collect, Decision, Page, Scan, Snapshot};

use crate::job::{DecisionJob, Nothing, lost};
use crate::panics::unless_it_panics;
use crate::queue::Queue;
use crate::store::{ReadView, Store};
use crate::writer::Writer;

/// Opens the same store again after an I/O error: never another one in its place, and never a new one.
pub type Opener<S> = Box<dyn FnMut() -> Result<S, StorageError> + Send>;

/// A store with one writer thread. An engine wraps it.
///
/// Needs no async runtime of its own. Dropping it, or [`close`](Self::close), finishes the updates that wait and closes
/// the store.
pub struct GroupCommit<S: Store> {
    shared: Arc<Shared<S::View>>,
    writer: Mutex<Option<JoinHandle<()>>>,
}

/// What reads and the writer have in common.
pub(crate) struct Shared<V> {
    pub(crate) queue: Queue,
    published: RwLock<Published<V>>,
    /// How often the store was let go of and opened again.
    pub(crate) gaps: AtomicU64,
}

/// What reads get to see.
pub(crate) enum Published<V> {
    /// The last commit.
    Open(Arc<V>),
    /// The store could not be opened again after an I/O error.
    Failed(StorageError),
    /// The store is closed.
    Closed,
}

impl<V> Clone for Published<V> {
    fn clone(&self) -> Self {
        match self {
            Self::Open(view) => Self::Open(Arc::clone(view)),
            Self::Failed(error) => Self::Failed(error.clone()),
            Self::Closed => Self::Closed,
        }
    }
}

impl<V> Shared<V> {
    /// Whether there is nothing to read from until the store is opened again.
    pub(crate) fn has_failed(&self) -> bool {
        matches!(&*self.published.read(), Published::Failed(_))
    }

    /// Takes a view that cannot be read out of use, unless another has taken its place already.
    fn withdraw(&self, view: &Arc<V>, cause: &StorageError) {
        let mut published = self.published.write();
        if matches!(&*published, Published::Open(current) if Arc::ptr_eq(current, view)) {
            let old = std::mem::replace(&mut *published, Published::Failed(cause.clone()));
            drop(published);
            drop(old);
        }
    }

    /// The same where the error says that the store could not be read and may be well when opened again.
    fn withdraw_if_unread(&self, view: &Arc<V>, error: &StorageError) {
        if let StorageError::Io { .. } = error {
            self.withdraw(view, error);
        }
    }

    pub(crate) fn publish(&self, published: Published<V>) {
        let old = std::mem::replace(&mut *self.published.write(), published);
        // Outside the lock: the last drop of a view frees what it holds.
        drop(old);
    }

    /// Whether another state has taken the place of this one.
    fn is_superseded(&self, view: &Arc<V>) -> bool {
        !matches!(&*self.published.read(), Published::Open(current) if Arc::ptr_eq(current, view))
    }

    fn published(&self) -> Published<V> {
        self.published.read().clone()
    }
}

impl<S: Store> GroupCommit<S> {
    /// Publishes what the store holds and starts its writer, in a thread with this name.
    ///
    /// # Errors
    /// Where the store cannot be read, or the thread not started.
    pub fn start(thread: &str, store: S, opener: Opener<S>) -> Result<Self, StorageError> {
        let shared = Arc::new(Shared {
            queue: Queue::default(),
            published: RwLock::new(Published::Closed),
            gaps: AtomicU64::new(0),
        });
        let writer = Writer::start(store, opener, Arc::clone(&shared))?;
        let thread = std::thread::Builder::new().name(thread.to_owned()).spawn(move || writer.run());
        let thread = thread.map_err(|error| StorageError::io("starting the writer's thread", error))?;
        Ok(Self { shared, writer: Mutex::new(Some(thread)) })
    }

    /// Finishes the updates that wait and closes the store; every later call is refused. Waits for the disk.
    pub fn close(&self) {
        self.shared.queue.close();
        if let Some(writer) = self.writer.lock().take()
            && writer.join().is_err()
        {
            tracing::error!("the writer of the store ended by a panic");
        }
    }

    /// As [`Engine::read`](stash_core::Engine::read).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.reading(|view| view.read(keys)).await
    }

    /// As [`Engine::scan`](stash_core::Engine::scan).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        let (page, more) = self.scan_into(scan, &scan.page()).await?;
        Ok(page.finish(more))
    }

    /// As [`Engine::scan_into`](stash_core::Engine::scan_into).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        self.reading(|view| view.scan_into(scan, into)).await
    }

    /// As [`Engine::update`](stash_core::Engine::update).
    ///
    /// # Errors
    /// The decision's own, and those of the store.
    pub async fn update<D: Decision>(&self, decision: D) -> Result<D::Output, StorageError> {
        let (job, answer) = DecisionJob::new(decision);
        self.shared.queue.push(Box::new(job))?;
        answer.await.unwrap_or_else(|_| Err(lost()))
    }

    /// As [`Engine::snapshot`](stash_core::Engine::snapshot).
    ///
    /// # Errors
    /// Those of the store.
    pub async fn snapshot(&self) -> Result<GroupSnapshot<S::View>, StorageError> {
        Ok(GroupSnapshot { view: self.view().await?, shared: Arc::clone(&self.shared) })
    }

    /// As [`Engine::gaps`](stash_core::Engine::gaps).
    pub fn gaps(&self) -> u64 {
        self.shared.gaps.load(Ordering::Acquire)
    }

    /// What is wrong with the store at present, if anything.
    pub fn failure(&self) -> Option<String> {
        match self.shared.published() {
            Published::Open(view) => view.concern().map(|error| error.to_string()),
            Published::Failed(error) => Some(error.to_string()),
            Published::Closed => Some(StorageError::Closed.to_string()),
        }
    }

    async fn view(&self) -> Result<Arc<S::View>, StorageError> {
        match self.shared.published() {
            Published::Open(view) => return Ok(view),
            Published::Closed => return Err(StorageError::Closed),
            // An update, even of nothing, makes the writer try to open the store again.
            Published::Failed(_) => self.update(Nothing).await?,
        }
        match self.shared.published() {
            Published::Open(view) => Ok(view),
            Published::Failed(error) => Err(error),
            Published::Closed => Err(StorageError::Closed),
        }
    }

    /// Reads from the present view; where the store could not be read, once more after it was opened again.
    async fn reading<T>(&self, read: impl Fn(&S::View) -> Result<T, StorageError>) -> Result<T, StorageError> {
        let view = self.view().await?;
        match guarded(|| read(&view)) {
            Err(error @ StorageError::Io { .. }) => {
                tracing::warn!(%error, "a read failed; opening the store again");
                self.shared.withdraw(&view, &error);
                drop(view);
                let view = self.view().await?;
                guarded(|| read(&view)).inspect_err(|error| self.shared.withdraw_if_unread(&view, error))
            }
            // A store may end a state that is no longer the last one, also between its being taken and read.
            Err(StorageError::Unavailable { .. }) if self.shared.is_superseded(&view) => {
                drop(view);
                let view = self.view().await?;
                guarded(|| read(&view))
            }
            answer => answer,
        }
    }
}

impl<S: Store> Drop for GroupCommit<S> {
    fn drop(&mut self) {
        self.close();
    }
}

/// One committed state of a [`GroupCommit`].
pub struct GroupSnapshot<V> {
    view: Arc<V>,
    shared: Arc<Shared<V>>,
}

impl<V: ReadView> GroupSnapshot<V> {
    fn reading<T>(&self, read: impl Fn(&V) -> Result<T, StorageError>) -> Result<T, StorageError> {
        guarded(|| read(&self.view)).inspect_err(|error| self.shared.withdraw_if_unread(&self.view, error))
    }
}

impl<V: ReadView> Snapshot for GroupSnapshot<V> {
    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.reading(|view| view.read(keys))
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        let (page, more) = self.scan_into(scan, &scan.page()).await?;
        Ok(page.finish(more))
    }

    async fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        self.reading(|view| view.scan_into(scan, into))
    }
}

fn guarded<T>(read: impl FnOnce() -> Result<T, StorageError>) -> Result<T, StorageError> {
    unless_it_panics(read).unwrap_or_else(|reason| Err(StorageError::Corrupt { reason }))
}
