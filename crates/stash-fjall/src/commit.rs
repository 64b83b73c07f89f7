//! What the writer does with fjall: one atomic batch a group, with one fsync. It must never say that nothing was written
//! once the batch has begun, nor wait for a background that has failed.

use std::time::Duration;

use fjall::PersistMode;
use stash_core::StorageError;
use stash_group_commit::{Failure, Group, Store};

use crate::database::{Database, Opened};
use crate::error::storage_error;
use crate::mark::Mark;
use crate::view::{FjallView, Pending};

impl Store for Database {
    type View = FjallView;

    fn latest(&self) -> Result<FjallView, StorageError> {
        FjallView::latest(&self.0)
    }

    fn commit(&self, group: &mut Group<'_>) -> Result<Option<FjallView>, Failure> {
        self.wait_for_room().map_err(Failure::before_writing)?;
        let mut pending = Pending::new(self.latest().map_err(Failure::before_writing)?);
        group.decide(&mut pending)?;
        if pending.writes.is_empty() {
            return Ok(None);
        }
        let write = || self.0.with(|opened| Ok(write(opened, pending, &self.0.mark)));
        let written = self.0.committing(write).map_err(Failure::before_writing)?;
        written.map_err(|error| match error {
            // It looks at that before it writes.
            fjall::Error::Poisoned => Failure::before_writing(storage_error("committing", error)),
            error => Failure::unknown(match storage_error("committing", error) {
                StorageError::Corrupt { reason } => StorageError::Io { reason },
                error => error,
            }),
        })?;
        self.latest().map(Some).map_err(Failure::unknown)
    }
}

impl Database {
    fn wait_for_room(&self) -> Result<(), StorageError> {
        /// Much less than a table takes to be written.
        const TURN: Duration = Duration::from_millis(1);
        while !self.0.with(|opened| Ok(opened.has_room()))? {
            self.0.check()?;
            std::thread::sleep(TURN);
        }
        Ok(())
    }
}

fn write(opened: &Opened, pending: Pending, mark: &Mark) -> Result<(), fjall::Error> {
    let mut batch = opened.database.batch().durability(Some(PersistMode::SyncAll));
    for (key, value) in pending.writes {
        match value {
            Some(value) => batch.insert(&opened.keyspace, &key[..], &value[..]),
            None => batch.remove(&opened.keyspace, &key[..]),
        }
    }
    batch.insert(&opened.keyspace, mark.key(), []);
    batch.commit()
}
