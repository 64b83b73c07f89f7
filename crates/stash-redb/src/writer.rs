//! The one writer: a thread that takes groups of updates and makes each group one disk commit. It must never answer an
//! update before the disk has it, and never let one update's failure become another's.

use std::cell::Cell;
use std::sync::Arc;

use redb::{Database, Durability, ReadableDatabase};
use stash_core::StorageError;
use stash_core::engine::Writes;
use tracing::{debug, error, info};

use crate::engine::{Published, Shared};
use crate::file::{OpenError, Opener, TABLE};
use crate::queue::Job;
use crate::view::{ReadView, WriteView};

pub(crate) struct Writer {
    shared: Arc<Shared>,
    opener: Opener,
    /// None after an I/O error, until the file could be opened again.
    database: Option<Database>,
}

impl Writer {
    /// Opens the file and publishes what it holds.
    pub(crate) fn open(opener: Opener, shared: Arc<Shared>) -> Result<Self, OpenOrRead> {
        let database = opener().map_err(OpenOrRead::Open)?;
        prepare(&database).map_err(OpenOrRead::Read)?;
        let view = ReadView::latest(&database).map_err(OpenOrRead::Read)?;
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
        drop(self.database.take());
    }

    fn serve(&mut self, mut group: Vec<Box<dyn Job>>) {
        let outcome = match self.database() {
            Ok(database) => commit(database, &mut group),
            Err(error) => Err(error),
        };
        match outcome {
            Ok(view) => {
                if let Some(view) = view {
                    self.shared.publish(Published::Open(Arc::new(view)));
                }
                group.into_iter().for_each(Job::finish);
            }
            Err(error) => {
                error!(%error, updates = group.len(), "a commit failed; opening the store again");
                self.reopen(&error);
                for job in group {
                    job.fail(error.clone());
                }
            }
        }
    }

    fn database(&mut self) -> Result<&Database, StorageError> {
        if self.database.is_none() {
            self.database = Some((self.opener)().map_err(|error| StorageError::Io { reason: error.to_string() })?);
            info!("the store is open again");
            let view =
                self.database.as_ref().map(|database| prepare(database).and_then(|()| ReadView::latest(database)));
            if let Some(view) = view {
                self.shared.publish(Published::Open(Arc::new(view?)));
            }
        }
        self.database.as_ref().ok_or_else(|| StorageError::io("opening the store", "it is not open"))
    }

    /// Nothing that was cached of the file can be trusted: forget it and read what the disk holds.
    fn reopen(&mut self, cause: &StorageError) {
        self.shared.publish(Published::Failed(cause.clone()));
        drop(self.database.take());
        if let Err(error) = self.database() {
            error!(%error, "the store cannot be opened again yet");
            drop(self.database.take());
            self.shared.publish(Published::Failed(error));
        }
    }
}

/// Why a store could not be started.
pub(crate) enum OpenOrRead {
    Open(OpenError),
    Read(StorageError),
}

struct AbandonQueue(Arc<Shared>);

impl Drop for AbandonQueue {
    fn drop(&mut self) {
        self.0.queue.abandon();
    }
}

/// Makes the table, once in a file's life.
fn prepare(database: &Database) -> Result<(), StorageError> {
    let failed = |error: redb::Error| StorageError::io("opening the store", error);
    let reading = database.begin_read().map_err(|error| failed(error.into()))?;
    match reading.open_table(TABLE) {
        Ok(_) => Ok(()),
        Err(redb::TableError::TableDoesNotExist(_)) => {
            let writing = begin(database)?;
            writing.open_table(TABLE).map_err(|error| failed(error.into()))?;
            writing.commit().map_err(|error| failed(error.into()))
        }
        Err(error) => Err(failed(error.into())),
    }
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
fn commit(database: &Database, group: &mut [Box<dyn Job>]) -> Result<Option<ReadView>, StorageError> {
    let writing = begin(database)?;
    let mut wrote = false;
    {
        let mut table = writing.open_table(TABLE).map_err(|error| StorageError::io("beginning a commit", error))?;
        let mut writes = Writes::default();
        for job in group.iter_mut() {
            let view = WriteView { table: &table, failed: Cell::new(false) };
            let decided = job.decide(&view, &mut writes);
            if view.failed.get() {
                return Err(StorageError::io("reading during a commit", "the file could not be read"));
            }
            if !decided {
                // Dropped unapplied: a decision that fails leaves nothing.
                drop(writes.drain());
                continue;
            }
            wrote |= !writes.is_empty();
            for (key, value) in writes.drain() {
                match value {
                    Some(value) => table.insert(&key[..], &value[..]).map(drop),
                    None => table.remove(&key[..]).map(drop),
                }
                .map_err(|error| StorageError::io("writing a record", error))?;
            }
        }
    }
    if !wrote {
        writing.abort().map_err(|error| StorageError::io("ending a commit that wrote nothing", error))?;
        return Ok(None);
    }
    writing.commit().map_err(|error| StorageError::io("committing", error))?;
    debug!(updates = group.len(), "committed");
    ReadView::latest(database).map(Some)
}
