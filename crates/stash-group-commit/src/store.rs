//! What a file format brings: [`Store`], and what it is given for one disk commit: a [`Group`]. A store must never let
//! one update's failure become another's, nor say that nothing was written where it cannot know.

use std::cell::RefCell;

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Collect, Page, Scan, View, Writes};

use crate::job::Job;
use crate::panics::unless_it_panics;

/// A store that is open for writing. The writer's thread has it alone; dropping it closes it.
pub trait Store: Send + 'static {
    /// One committed state of it.
    type View: ReadView;

    /// The state that was committed last.
    ///
    /// # Errors
    /// Those of the disk, and [`StorageError::Corrupt`] where it is not a store.
    fn latest(&self) -> Result<Self::View, StorageError>;

    /// Makes the group one commit that survives a power cut, and gives the state after it; `None` where nothing of the
    /// group wrote.
    ///
    /// # Errors
    /// [`Failure`] says whom it is about, and whether it may be tried again.
    fn commit(&self, group: &mut Group<'_>) -> Result<Option<Self::View>, Failure>;
}

/// One committed state. A panic in it is told as damage.
pub trait ReadView: Send + Sync + 'static {
    /// The values of some keys, in their order.
    ///
    /// # Errors
    /// [`StorageError::Io`] where the store may be well when opened again, [`StorageError::Corrupt`] where it will not.
    fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError>;

    /// Shows a range to a copy of `into`; see [`Engine::scan_into`].
    ///
    /// [`Engine::scan_into`]: stash_core::Engine::scan_into
    ///
    /// # Errors
    /// As [`read`](Self::read).
    fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError>;

    /// What has gone wrong with the store although it can be read, as far as that is known without waiting.
    fn concern(&self) -> Option<StorageError> {
        None
    }
}

/// A commit that is being put together. It shows what it holds so far.
pub trait Transaction: View {
    /// Sets a key, or removes it. What follows in the same commit sees that.
    ///
    /// # Errors
    /// [`StorageError::Io`] where the store is to be opened again for another try; any other is the update's own fault.
    fn apply(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), StorageError>;

    /// The same for everything that one update writes, in this order. A store that knows a shorter way for many writes
    /// implements this too.
    ///
    /// # Errors
    /// As [`apply`](Self::apply).
    fn apply_all(&mut self, writes: impl Iterator<Item = (Bytes, Option<Bytes>)>) -> Result<(), StorageError>
    where
        Self: Sized,
    {
        let mut writes = writes;
        writes.try_for_each(|(key, value)| self.apply(key, value))
    }
}

/// The updates of one disk commit.
pub struct Group<'a>(pub(crate) &'a mut [Box<dyn Job>]);

impl Group<'_> {
    /// How many updates it has.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether it has none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Runs each decision on what its predecessors left, and applies what it decided; one that fails leaves nothing.
    /// Gives whether anything was written.
    ///
    /// # Errors
    /// Where the transaction could not be read or written, before anything of it has reached the disk.
    pub fn decide(&mut self, transaction: &mut impl Transaction) -> Result<bool, Failure> {
        let mut wrote = false;
        let mut writes = Writes::default();
        for (n, job) in self.0.iter_mut().enumerate() {
            let view = WatchedView { view: transaction, failed: RefCell::new(None) };
            let decided = unless_it_panics(|| job.decide(&view, &mut writes));
            let decided = decided.map_err(|reason| Failure::of_job(n, StorageError::Corrupt { reason }))?;
            if let Some(error) = view.failed.into_inner() {
                return Err(Failure::of_job(n, error));
            }
            if !decided {
                // Dropped unapplied: a decision that fails leaves nothing.
                drop(writes.drain());
                continue;
            }
            wrote |= !writes.is_empty();
            let apply = || transaction.apply_all(writes.drain());
            unless_it_panics(apply).map_err(|reason| Failure::of_job(n, StorageError::Corrupt { reason }))?.map_err(
                |error| match error {
                    StorageError::Io { .. } => Failure::before_writing(error),
                    error => Failure::of_job(n, error),
                },
            )?;
        }
        Ok(wrote)
    }
}

/// Remembers why the store could not be read, because a decision may turn that error into another.
struct WatchedView<'a, V> {
    view: &'a V,
    failed: RefCell<Option<StorageError>>,
}

impl<V> WatchedView<'_, V> {
    fn watch<T>(&self, answer: Result<T, StorageError>) -> Result<T, StorageError> {
        answer.inspect_err(|error| drop(self.failed.replace(Some(error.clone()))))
    }
}

impl<V: View> View for WatchedView<'_, V> {
    fn look(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StorageError> {
        self.watch(self.view.look(key, see))
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        self.watch(self.view.scan(scan))
    }
}

/// Why a group was not committed: because of one of its updates, or altogether.
#[derive(Debug)]
pub struct Failure {
    pub(crate) job: Option<usize>,
    pub(crate) before_writing: bool,
    /// Whether the store is as it was before, and need not be opened again.
    pub(crate) stays_open: bool,
    pub(crate) error: StorageError,
}

impl Failure {
    /// The group may be on disk or not: nobody is told either.
    pub fn unknown(error: StorageError) -> Self {
        Self { job: None, before_writing: false, stays_open: false, error }
    }

    /// Nothing of the group can have reached the disk, and with the store opened again it may succeed.
    pub fn before_writing(error: StorageError) -> Self {
        Self { job: None, before_writing: true, stays_open: false, error }
    }

    /// Nothing of the group was done, and nothing is wrong with the store: everybody in it is told, and it stays open.
    pub fn refused(error: StorageError) -> Self {
        Self { job: None, before_writing: false, stays_open: true, error }
    }

    /// Nothing of the group has been written, and the store is as well as before: it need not be opened again, for which all
    /// others would wait. Whom the failure is about is told at once.
    #[must_use]
    pub fn leaving_the_store_open(self) -> Self {
        Self { stays_open: true, ..self }
    }

    /// Whether it is about one update, which met something that is no better when the store is opened again.
    pub fn is_of_one_update(&self) -> bool {
        self.job.is_some() && !matches!(self.error, StorageError::Io { .. })
    }

    /// Nothing has reached the disk, because of this one; the others are no worse for it.
    pub(crate) fn of_job(job: usize, error: StorageError) -> Self {
        Self { job: Some(job), before_writing: false, stays_open: false, error }
    }
}
