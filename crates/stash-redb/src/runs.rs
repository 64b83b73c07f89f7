//! Writing to redb's table: where a batch brings many new keys in order, they go in as one run, page by page, and where it
//! replaces many, in place. It must leave the table as if each write had been made by itself, in its turn.

use std::iter::Peekable;
use std::ops::Bound;

use bytes::Bytes;
use redb::{CursorError, StorageError, Table};

/// New keys in a row, or replaced ones, from which on more of them are expected.
const FEW: usize = 2;
/// Values of this size and more are written by themselves: a run copies what it writes once more.
const LARGE_BYTES: usize = 16 * 1024;

type Bytewise = &'static [u8];
/// A key and its value; `None` removes it.
type Write = (Bytes, Option<Bytes>);

/// Makes the writes in their order.
pub(crate) fn write(
    table: &mut Table<'_, Bytewise, Bytewise>,
    writes: impl Iterator<Item = Write>,
) -> Result<(), StorageError> {
    let mut writes = writes.peekable();
    let (mut new, mut enough, mut replaced) = (0, FEW, 0);
    while let Some((key, value)) = writes.next() {
        let was_there = match value {
            // More of them are expected where some in a row were there.
            Some(value) if replaced >= FEW && replace(table, &key, &value)? => true,
            Some(value) => table.insert(&key[..], &value[..])?.is_some(),
            None => {
                table.remove(&key[..])?;
                (new, replaced) = (0, 0);
                continue;
            }
        };
        (new, replaced) = if was_there { (0, replaced + 1) } else { (new + 1, 0) };
        if new >= enough {
            new = 0;
            // Where others lie between the new keys it is tried less and less often.
            enough = if write_run(table, &key, &mut writes)? < enough { enough * 2 } else { FEW };
        }
    }
    Ok(())
}

/// Writes a value where there is an older one, in fewer steps than inserting takes; whether there was any. It copies the
/// page where the key belongs also if it is not there.
fn replace(table: &mut Table<'_, Bytewise, Bytewise>, key: &[u8], value: &[u8]) -> Result<bool, StorageError> {
    let old = table.get_mut(key)?;
    let Some(mut old) = old else { return Ok(false) };
    old.insert(value)?;
    Ok(true)
}

/// Takes those of the next writes that go, in their order, between `after` and the next key of the table; how many.
fn write_run(
    table: &mut Table<'_, Bytewise, Bytewise>,
    after: &[u8],
    writes: &mut Peekable<impl Iterator<Item = Write>>,
) -> Result<usize, StorageError> {
    let mut taken = 0;
    if !writes.peek().is_some_and(|write| fits(after, write)) {
        return Ok(taken);
    }
    let mut gap = table.lower_bound_mut(Bound::Excluded(after))?;
    while let Some((key, Some(value))) = writes.peek().filter(|write| fits(after, write)) {
        match gap.insert_before(&key[..], &value[..]) {
            Ok(()) => taken += 1,
            // Not between what was written last and the table's next key: it is written as any other.
            Err(CursorError::UnorderedKey) => break,
            Err(CursorError::Storage(error)) => return Err(error),
            Err(error) => return Err(StorageError::Io(std::io::Error::other(error))),
        }
        writes.next();
    }
    gap.close()?;
    Ok(taken)
}

fn fits(after: &[u8], (key, value): &Write) -> bool {
    value.as_ref().is_some_and(|value| value.len() < LARGE_BYTES) && key[..] > *after
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use redb::backends::InMemoryBackend;
    use redb::{Database, ReadableDatabase, ReadableTable};

    use super::*;
    use crate::file::TABLE;

    /// A key, and the size of its value.
    type Made = (u16, Option<usize>);

    /// Writes as batches make them: keys in order, here and there, backwards, some twice, some removed, few large.
    fn any_writes() -> impl Strategy<Value = Vec<Made>> {
        let size = || prop_oneof![30 => 0..300_usize, 1 => LARGE_BYTES - 1..LARGE_BYTES + 2];
        let run = (any::<u16>(), 1..200_u16, 1..9_u16, size()).prop_map(|(from, count, step, size)| {
            (0..count).map(|n| (from.wrapping_add(n * step), Some(size))).collect::<Vec<_>>()
        });
        let backwards = run.clone().prop_map(|run| run.into_iter().rev().collect::<Vec<_>>());
        let others = proptest::collection::vec((any::<u16>(), proptest::option::of(size())), 1..40);
        let part = prop_oneof![4 => run, 1 => backwards, 2 => others];
        proptest::collection::vec(part, 1..6).prop_map(|parts| parts.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]
        #[test]
        fn runs_leave_what_single_writes_would(commits in proptest::collection::vec(any_writes(), 1..6)) {
            let mut database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
            let mut model = BTreeMap::new();
            for (number, commit) in commits.into_iter().enumerate() {
                let bytes = |(key, size): Made| {
                    (Bytes::copy_from_slice(&key.to_be_bytes()), size.map(|size| Bytes::from(vec![u8::try_from(number).unwrap(); size])))
                };
                let writing = database.begin_write().unwrap();
                write(&mut writing.open_table(TABLE).unwrap(), commit.iter().copied().map(bytes)).unwrap();
                writing.commit().unwrap();
                for (key, value) in commit.into_iter().map(bytes) {
                    match value {
                        Some(value) => drop(model.insert(key, value)),
                        None => drop(model.remove(&key)),
                    }
                }
                let table = database.begin_read().unwrap().open_table(TABLE).unwrap();
                let found = table.iter().unwrap().map(|entry| {
                    let (key, value) = entry.unwrap();
                    (Bytes::copy_from_slice(key.value()), Bytes::copy_from_slice(value.value()))
                });
                prop_assert!(found.eq(model.clone()));
            }
            prop_assert!(database.check_integrity().unwrap());
        }
    }

    #[test]
    fn a_run_packs_the_pages_of_new_keys() {
        let pages = |write_all: fn(&mut Table<'_, Bytewise, Bytewise>, Vec<Write>)| {
            let database = Database::builder().create_with_backend(InMemoryBackend::new()).unwrap();
            let writing = database.begin_write().unwrap();
            let writes =
                (0..1_000_u16).map(|n| (Bytes::copy_from_slice(&n.to_be_bytes()), Some(Bytes::from(vec![0; 100]))));
            let mut table = writing.open_table(TABLE).unwrap();
            // Something behind it: redb packs the pages at the very end by itself.
            table.insert(&[u8::MAX; 2][..], &[][..]).unwrap();
            write_all(&mut table, writes.collect());
            redb::ReadableTableMetadata::stats(&table).unwrap().leaf_pages()
        };
        let single = pages(|table, writes| {
            for (key, value) in writes {
                table.insert(&key[..], &value.unwrap()[..]).unwrap();
            }
        });
        let run = pages(|table, writes| write(table, writes.into_iter()).unwrap());
        assert!(run < single, "{run} pages instead of {single}");
    }
}
