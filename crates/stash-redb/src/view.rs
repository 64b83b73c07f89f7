//! What reads see: the last commit, through one open table. A view must not outlive the next commit by more than the
//! reads that are under way, or the file could not reuse its pages.

use std::cell::{Cell, OnceCell};

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

/// Looks of one transaction from which on a read transaction of its own is worth being begun.
const MANY: usize = 16;

/// What a decision sees: the table of the transaction that is being put together. Until something is written to it that
/// is what was committed last, where looking takes fewer locks.
pub(crate) struct WriteView<'txn> {
    database: &'txn Database,
    table: Table<'txn, &'static [u8], &'static [u8]>,
    written: bool,
    looks: Cell<usize>,
    committed: OnceCell<ReadView>,
}

impl<'txn> WriteView<'txn> {
    pub(crate) fn new(database: &'txn Database, table: Table<'txn, &'static [u8], &'static [u8]>) -> Self {
        Self { database, table, written: false, looks: Cell::new(0), committed: OnceCell::new() }
    }

    /// What was committed last, where it is the same as the table and many look.
    fn committed(&self) -> Result<Option<&ReadView>, StorageError> {
        if self.written {
            return Ok(None);
        }
        let looks = self.looks.get();
        if looks < MANY {
            self.looks.set(looks + 1);
            return Ok(None);
        }
        if self.committed.get().is_none() {
            let _ = self.committed.set(ReadView::latest(self.database)?);
        }
        Ok(self.committed.get())
    }
}

impl View for WriteView<'_> {
    fn look(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StorageError> {
        let found = match self.committed()? {
            Some(committed) => committed.0.get(key),
            None => self.table.get(key),
        };
        let found = found.map_err(|error| failed("reading a record", error))?;
        see(found.as_ref().map(redb::AccessGuard::value));
        Ok(())
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        let (page, more) = scan_table(&self.table, scan, &scan.page())?;
        Ok(page.finish(more))
    }
}

impl Transaction for WriteView<'_> {
    fn apply(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), StorageError> {
        self.apply_all(std::iter::once((key, value)))
    }

    fn apply_all(&mut self, writes: impl Iterator<Item = (Bytes, Option<Bytes>)>) -> Result<(), StorageError> {
        self.written = true;
        self.committed.take();
        runs::write(&mut self.table, writes).map_err(|error| StorageError::io("writing a record", error))
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

#[cfg(test)]
mod tests {
    use redb::backends::InMemoryBackend;

    use super::*;

    #[test]
    fn a_decision_that_has_looked_often_sees_what_is_written_after() {
        let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
        let writing = database.begin_write().unwrap();
        writing.open_table(TABLE).unwrap().insert(&b"old"[..], &b"1"[..]).unwrap();
        writing.commit().unwrap();

        let writing = database.begin_write().unwrap();
        let mut view = WriteView::new(&database, writing.open_table(TABLE).unwrap());
        let value = |view: &WriteView<'_>, key: &[u8]| {
            let mut value = None;
            view.look(key, &mut |found| value = found.map(<[u8]>::to_vec)).unwrap();
            value
        };
        for _ in 0..MANY * 2 {
            assert_eq!(value(&view, b"old").as_deref(), Some(&b"1"[..]));
            assert_eq!(value(&view, b"new"), None);
        }
        view.apply(Bytes::from_static(b"old"), None).unwrap();
        view.apply(Bytes::from_static(b"new"), Some(Bytes::from_static(b"2"))).unwrap();
        for _ in 0..MANY * 2 {
            assert_eq!(value(&view, b"old"), None);
            assert_eq!(value(&view, b"new").as_deref(), Some(&b"2"[..]));
        }
    }
}
