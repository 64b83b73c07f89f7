//! What reads see: the last commit, through one open table. A view must not outlive the next commit by more than the
//! reads that are under way, or the file could not reuse its pages.

use bytes::Bytes;
use redb::{Database, ReadOnlyTable, ReadableDatabase, ReadableTable, Table};
use stash_core::StorageError;
use stash_core::engine::{Collect, Page, Scan, View};
use stash_group_commit::Transaction;

use crate::file::TABLE;
use crate::runs;

/// One committed state.
pub(crate) struct ReadView(ReadOnlyTable<&'static [u8], &'static [u8]>);

impl ReadView {
    /// The state that was committed last.
    pub(crate) fn latest(database: &Database) -> Result<Self, StorageError> {
        let reading = database.begin_read().map_err(|error| StorageError::io("reading the store", error))?;
        match reading.open_table(TABLE) {
            Ok(table) => Ok(Self(table)),
            Err(redb::TableError::TableDoesNotExist(_)) => {
                Err(StorageError::Corrupt { reason: "it is a redb file of another program".to_owned() })
            }
            Err(error) => Err(StorageError::io("reading the store", error)),
        }
    }
}

impl stash_group_commit::ReadView for ReadView {
    fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let copy = |key: &&[u8]| {
            let found = self.0.get(*key).map_err(|error| failed("reading a record", error))?;
            Ok(found.map(|value| Bytes::copy_from_slice(value.value())))
        };
        keys.iter().map(copy).collect()
    }

    fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        scan_table(&self.0, scan, into)
    }
}

/// Damage stays where it is, whatever is done; after any other error the file may be well when opened again.
fn failed(doing: &str, error: redb::StorageError) -> StorageError {
    match error {
        redb::StorageError::Corrupted(reason) => StorageError::Corrupt { reason: format!("{doing}: {reason}") },
        error => StorageError::io(doing, error),
    }
}

/// What a decision sees: the table of the transaction that is being put together.
pub(crate) struct WriteView<'txn>(pub(crate) Table<'txn, &'static [u8], &'static [u8]>);

impl View for WriteView<'_> {
    fn look(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StorageError> {
        let found = self.0.get(key).map_err(|error| failed("reading a record", error))?;
        see(found.as_ref().map(redb::AccessGuard::value));
        Ok(())
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        let (page, more) = scan_table(&self.0, scan, &scan.page())?;
        Ok(page.finish(more))
    }
}

impl Transaction for WriteView<'_> {
    fn apply(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), StorageError> {
        self.apply_all(std::iter::once((key, value)))
    }

    fn apply_all(&mut self, writes: impl Iterator<Item = (Bytes, Option<Bytes>)>) -> Result<(), StorageError> {
        runs::write(&mut self.0, writes).map_err(|error| StorageError::io("writing a record", error))
    }
}

fn scan_table<C: Collect>(
    table: &impl ReadableTable<&'static [u8], &'static [u8]>,
    scan: &Scan,
    into: &C,
) -> Result<(C, bool), StorageError> {
    if scan.is_empty() {
        return Ok((into.clone(), false));
    }
    let bounds = (scan.start.as_ref().map(|key| &key[..]), scan.end.as_ref().map(|key| &key[..]));
    let failed = |error| failed("scanning the store", error);
    let range = table.range::<&[u8]>(bounds).map_err(failed)?;
    let entries = range.map(|entry| entry.map(|(key, value)| (Guard(key), Guard(value))));
    let found = if scan.reverse { scan.collect_into(entries.rev(), into) } else { scan.collect_into(entries, into) };
    found.map_err(failed)
}

/// Lends the bytes behind redb's guard.
struct Guard<'a>(redb::AccessGuard<'a, &'static [u8]>);

impl AsRef<[u8]> for Guard<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.value()
    }
}
