//! The one writer: a thread that takes groups of updates and makes each group one disk commit. It must never answer an
//! update before the disk has it, and never let one update's failure become another's.

use std::cell::RefCell;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use redb::{Database, Durability};
use stash_core::StorageError;
use stash_core::engine::Writes;
use tracing::{debug, error};

use crate::engine::{Published, Shared};
use crate::file::{Opener, TABLE, unless_it_panics};
use crate::queue::Job;
use crate::view::{ReadView, WriteView};

pub(crate) struct Writer {
    shared: Arc<Shared>,
    opener: Opener,
    /// None after an I/O error, until the file could be opened again.
    database: Option<Database>,
}

impl Writer {
    /// Publishes what the file holds.
    pub(crate) fn start(database: Database, opener: Opener, shared: Arc<Shared>) -> Result<Self, StorageError> {
        let view = view_of(&database)?;
        shared.publish(Published::Open(Arc::new(view)));
        Ok(Self { shared, opener, database: Some(database) })
    }

    /// Serves the queue until it is closed and empty, then closes the file.
    pub(crate) fn run(mut self) {
        // Whatever ends this thread, nobody must wait for it any more.
        let _abandon = AbandonQueue(Arc::clone(&self.shared));
        while let Some(group) = self.shared.queue.take_group() {
            self.serve(group);
        }
        self.shared.publish(Published::Closed);
        self.let_go();
    }

    /// Closes the file. redb that has panicked on a damaged page may panic once more here.
    fn let_go(&mut self) {
        drop(unless_it_panics(|| drop(self.database.take())));
    }

    fn serve(&mut self, mut group: Vec<Box<dyn Job>>) {
        let mut tried_again = false;
        while !group.is_empty() {
            match self.attempt(&mut group) {
                Ok(()) => return group.into_iter().for_each(Job::finish),
                // Nothing of the group has reached the disk: what failed may be what somebody's read had left behind.
                Err(failure) if failure.before_writing && !tried_again => {
                    tried_again = true;
                    self.shared.publish(Published::Failed(failure.error));
                }
                Err(failure) => self.recover(failure, &mut group),
            }
        }
    }

    /// Makes the group one commit, and shows it to readers.
    fn attempt(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        self.open_again().map_err(Failure::whole)?;
        let Some(database) = &self.database else {
            return Err(Failure::whole(StorageError::io("opening the store", "it is not open")));
        };
        let damaged = |reason| Failure::whole(StorageError::Corrupt { reason });
        if let Some(view) = unless_it_panics(|| commit(database, group)).map_err(damaged)?? {
            self.shared.publish(Published::Open(Arc::new(view)));
        }
        Ok(())
    }

    /// Tells those whom the failure is about; the rest stay in the group, to be tried again.
    fn recover(&mut self, failure: Failure, group: &mut Vec<Box<dyn Job>>) {
        // Nothing that is in memory of the file can be trusted: forget it and read what the disk holds.
        self.shared.publish(Published::Failed(failure.error.clone()));
        self.let_go();
        let reopened = self.open_again();
        match failure.job {
            // A record that only one update reads is no reason to refuse the others.
            Some(job) if job < group.len() => group.remove(job).fail(failure.error.clone()),
            _ => group.drain(..).for_each(|job| job.fail(failure.error.clone())),
        }
        // Last: a log that cannot be written must not keep anybody waiting.
        error!(error = %failure.error, "a commit failed; the store was closed and opened again");
        if let Err(error) = reopened {
            self.shared.publish(Published::Failed(error.clone()));
            error!(%error, "the store cannot be opened again yet");
        }
    }

    fn open_again(&mut self) -> Result<(), StorageError> {
        // A reader that could not read has taken the view out of use.
        if self.database.is_some() && !self.shared.has_failed() {
            return Ok(());
        }
        self.let_go();
        self.shared.gaps.fetch_add(1, Ordering::AcqRel);
        let database = (self.opener)().map_err(|error| StorageError::Io { reason: error.to_string() })?;
        let view = view_of(&database)?;
        self.database = Some(database);
        self.shared.publish(Published::Open(Arc::new(view)));
        Ok(())
    }
}

/// Why a group was not committed: because of one of its updates, or altogether.
struct Failure {
    job: Option<usize>,
    /// Whether nothing of the group can have reached the disk.
    before_writing: bool,
    error: StorageError,
}

impl Failure {
    fn whole(error: StorageError) -> Self {
        Self { job: None, before_writing: false, error }
    }

    fn before_writing(error: StorageError) -> Self {
        Self { job: None, before_writing: true, error }
    }

    fn of_job(job: usize, error: StorageError) -> Self {
        Self { job: Some(job), before_writing: false, error }
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::whole(error)
    }
}

struct AbandonQueue(Arc<Shared>);

impl Drop for AbandonQueue {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = StorageError::io("committing", "the store's writer has ended by a panic");
            self.0.publish(Published::Failed(error));
        }
        self.0.queue.abandon();
    }
}

fn view_of(database: &Database) -> Result<ReadView, StorageError> {
    unless_it_panics(|| ReadView::latest(database)).unwrap_or_else(|reason| Err(StorageError::Corrupt { reason }))
}

fn begin(database: &Database) -> Result<redb::WriteTransaction, StorageError> {
    let failed = |error: redb::Error| StorageError::io("beginning a commit", error);
    let mut writing = database.begin_write().map_err(|error| failed(error.into()))?;
    writing.set_durability(Durability::Immediate).map_err(|error| failed(error.into()))?;
    // So that the file opens at once after a crash, without being scanned.
    writing.set_quick_repair(true);
    Ok(writing)
}

/// One disk commit for a group. `None` where nothing of the group wrote.
fn commit(database: &Database, group: &mut [Box<dyn Job>]) -> Result<Option<ReadView>, Failure> {
    let writing = begin(database).map_err(Failure::before_writing)?;
    let mut wrote = false;
    {
        let table = writing.open_table(TABLE).map_err(|error| StorageError::io("beginning a commit", error));
        let mut table = table.map_err(Failure::before_writing)?;
        let mut writes = Writes::default();
        for (n, job) in group.iter_mut().enumerate() {
            let view = WriteView { table: &table, failed: RefCell::new(None) };
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
            let apply = || {
                writes.drain().try_for_each(|(key, value)| match value {
                    Some(value) => table.insert(&key[..], &value[..]).map(drop),
                    None => table.remove(&key[..]).map(drop),
                })
            };
            unless_it_panics(apply)
                .map_err(|reason| Failure::of_job(n, StorageError::Corrupt { reason }))?
                .map_err(|error| Failure::before_writing(StorageError::io("writing a record", error)))?;
        }
    }
    if !wrote {
        writing.abort().map_err(|error| StorageError::io("ending a commit that wrote nothing", error))?;
        return Ok(None);
    }
    // From here on the group may be on disk, whatever goes wrong: nobody is told that it is not.
    let unknown = |error: &dyn std::fmt::Display| Failure::whole(StorageError::io("committing", error));
    unless_it_panics(|| writing.commit()).map_err(|reason| unknown(&reason))?.map_err(|error| unknown(&error))?;
    debug!(updates = group.len(), "committed");
    view_of(database).map(Some).map_err(|error| unknown(&error))
}
