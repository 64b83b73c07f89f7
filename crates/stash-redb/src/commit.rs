//! What the writer does with redb: one transaction a group. It must never say that nothing was written once the
//! transaction's commit has begun.

use redb::{Database, Durability};
use stash_core::StorageError;
use stash_group_commit::{Failure, Group, Store, unless_it_panics};

use crate::file::TABLE;
use crate::view::{ReadView, WriteView};

/// An open file.
pub(crate) struct RedbStore(pub(crate) Database);

impl Store for RedbStore {
    type View = ReadView;

    fn latest(&self) -> Result<ReadView, StorageError> {
        ReadView::latest(&self.0)
    }

    fn commit(&self, group: &mut Group<'_>) -> Result<Option<ReadView>, Failure> {
        let writing = begin(&self.0).map_err(Failure::before_writing)?;
        let wrote = {
            let table = writing.open_table(TABLE).map_err(|error| StorageError::io("beginning a commit", error));
            let mut view = WriteView::new(&self.0, table.map_err(Failure::before_writing)?);
            group.decide(&mut view)?
        };
        if !wrote {
            let failed = |error| StorageError::io("ending a commit that wrote nothing", error);
            writing.abort().map_err(|error| Failure::unknown(failed(error)))?;
            return Ok(None);
        }
        // From here on the group may be on disk, whatever goes wrong: nobody is told that it is not.
        let unknown = |error: &dyn std::fmt::Display| Failure::unknown(StorageError::io("committing", error));
        unless_it_panics(|| writing.commit()).map_err(|reason| unknown(&reason))?.map_err(|error| unknown(&error))?;
        unless_it_panics(|| self.latest())
            .unwrap_or_else(|reason| Err(StorageError::Corrupt { reason }))
            .map(Some)
            .map_err(|error| unknown(&error))
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
