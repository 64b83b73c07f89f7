//! What the writer does with SQLite: one transaction a group. It must never say that nothing was written once the
//! transaction's commit has begun.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rusqlite::Connection;
use stash_core::StorageError;
use stash_group_commit::{Failure, Group, Store};

use crate::checkpoint::Log;
use crate::connection::Opening;
use crate::error::storage_error;
use crate::open::SqliteOptions;
use crate::states::{Bounds, Reader, States};
use crate::view::{Pending, SqliteView};

/// An open store. Dropping it ends all its states and closes the file.
pub(crate) struct Database {
    pub(crate) writer: Connection,
    pub(crate) states: Arc<States>,
    pub(crate) log: Log,
    bounds: Bounds,
    /// `PRAGMA data_version` when this connection committed last: another number, and another program has.
    data_version: Cell<i64>,
    strangers: Arc<AtomicU64>,
}

impl Database {
    /// Opens a store that is there.
    pub(crate) fn open(
        opening: Opening,
        options: &SqliteOptions,
        bounds: Bounds,
        strangers: Arc<AtomicU64>,
    ) -> Result<Self, StorageError> {
        let writer_cache = options.page_cache_bytes / 4;
        let mut writer = opening.writer(writer_cache)?;
        let log = Log::new(&mut writer, bounds.checkpoint_pages, options.max_log_bytes)?;
        let data_version = Cell::new(data_version(&writer)?);
        let states = Arc::new(States::new(opening, options.page_cache_bytes - writer_cache));
        Ok(Self { writer, states, log, bounds, data_version, strangers })
    }

    fn view(&self, reader: Reader) -> Result<SqliteView, StorageError> {
        let view = self.states.state(reader).map(SqliteView)?;
        self.states.keep(self.bounds.states);
        Ok(view)
    }

    /// Whether another program has written to the file.
    fn meets_stranger(&self) -> Result<bool, StorageError> {
        let now = data_version(&self.writer)?;
        let known = self.data_version.replace(now);
        if now == known {
            return Ok(false);
        }
        tracing::warn!("another program has written to the store; what was cached of it is forgotten");
        self.strangers.fetch_add(1, Ordering::AcqRel);
        Ok(true)
    }

    fn begin(&self) -> Result<(), Failure> {
        let begun = self.writer.prepare_cached("BEGIN IMMEDIATE").and_then(|mut begin| begin.execute([]));
        begun.map(drop).map_err(|error| match storage_error("beginning a commit", error) {
            error @ StorageError::Unavailable { .. } => Failure::refused(error),
            error => Failure::before_writing(error),
        })
    }
}

fn data_version(connection: &Connection) -> Result<i64, StorageError> {
    let read = || connection.prepare_cached("PRAGMA data_version")?.query_row([], |row| row.get(0));
    read().map_err(|error| storage_error("reading the store", error))
}

/// Undoes what is not committed.
struct Begun<'c>(&'c Connection);

impl Begun<'_> {
    fn commit(self) -> Result<(), rusqlite::Error> {
        self.0.prepare_cached("COMMIT")?.execute([]).map(drop)
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if !self.0.is_autocommit()
            && let Err(error) = self.0.execute_batch("ROLLBACK")
        {
            tracing::warn!(%error, "a commit that was not made is not undone yet");
        }
    }
}

/// A connection that goes back if it is not used.
struct Taken<'s>(&'s States, Option<Reader>);

impl Drop for Taken<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.1.take() {
            self.0.give_back(reader);
        }
    }
}

impl Store for Database {
    type View = SqliteView;

    fn latest(&self) -> Result<SqliteView, StorageError> {
        self.view(self.states.take()?)
    }

    fn commit(&self, group: &mut Group<'_>) -> Result<Option<SqliteView>, Failure> {
        let emptied = self.log.empty_if_due(&self.writer, &self.states);
        // Before anything is written: a commit must not fail for want of a file to open.
        let mut next = Taken(&self.states, Some(self.states.take().map_err(Failure::before_writing)?));
        self.begin()?;
        let begun = Begun(&self.writer);
        let stranger = self.meets_stranger().map_err(Failure::before_writing)?;
        if emptied && !stranger {
            self.states.move_off_the_log().map_err(Failure::before_writing)?;
        }
        let wrote = group.decide(&mut Pending::new(&self.writer))?;
        if wrote {
            self.states.commits.fetch_add(1, Ordering::AcqRel);
            // From here on the group may be on disk, whatever goes wrong: nobody is told that it is not.
            begun.commit().map_err(|error| {
                Failure::unknown(match storage_error("committing", error) {
                    StorageError::Io { reason }
                    | StorageError::Corrupt { reason }
                    | StorageError::Unavailable { reason } => StorageError::Io { reason },
                    error => error,
                })
            })?;
        } else {
            drop(begun);
            if !stranger {
                return Ok(None);
            }
            self.states.commits.fetch_add(1, Ordering::AcqRel);
        }
        let reader = next.1.take().map_or_else(|| self.states.take(), Ok).map_err(Failure::unknown)?;
        self.view(reader).map(Some).map_err(Failure::unknown)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        // Before the writer's connection, which empties the log into the file as the last one.
        self.states.close();
    }
}
