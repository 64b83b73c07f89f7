//! The tables: reading and writing entries. An entry is small, so that looking for a key, which compares whole entries, never
//! reads a large value: what is beyond its first bytes lies in a table of its own.

use std::fmt::Write as _;
use std::ops::Bound;

use bytes::Bytes;
use rusqlite::types::ValueRef;
use rusqlite::{CachedStatement, Connection, Row, Statement};
use stash_core::StorageError;
use stash_core::engine::{Collect, Scan};

use crate::error::{storage_error, unexpected};

/// Values up to this size lie in their entry: some ten of them fit a page.
pub(crate) const INLINE_BYTES: usize = 400;
/// What an entry has of a larger value: as much as scans ask for to learn versions and times, also of earlier versions.
const HEAD_BYTES: usize = 57;

const LOOK: &str = "SELECT value, rest FROM entries WHERE key = ?1";
const REST: &str = "SELECT bytes FROM rests WHERE id = ?1";
const PUT: &str = "REPLACE INTO entries (key, value) VALUES (?1, ?2)";
const PUT_REST: &str = "INSERT INTO rests (bytes) VALUES (?1)";
const PUT_HEAD: &str = "REPLACE INTO entries (key, value, rest) VALUES (?1, ?2, ?3)";
const REMOVE: &str = "DELETE FROM entries WHERE key = ?1";
const REMOVE_REST: &str = "DELETE FROM rests WHERE id = (SELECT rest FROM entries WHERE key = ?1)";

fn reading(error: rusqlite::Error) -> StorageError {
    storage_error("reading a record", error)
}

fn scanning(error: rusqlite::Error) -> StorageError {
    storage_error("scanning the store", error)
}

fn writing(error: rusqlite::Error) -> StorageError {
    storage_error("writing a record", error)
}

fn blob<'a>(row: &'a Row<'_>, column: usize) -> Result<&'a [u8], StorageError> {
    match row.get_ref(column).map_err(reading)? {
        ValueRef::Blob(bytes) => Ok(bytes),
        _ => Err(unexpected("an entry")),
    }
}

fn rest(row: &Row<'_>, column: usize) -> Result<Option<i64>, StorageError> {
    match row.get_ref(column).map_err(reading)? {
        ValueRef::Null => Ok(None),
        ValueRef::Integer(id) => Ok(Some(id)),
        _ => Err(unexpected("an entry")),
    }
}

/// The statement that looks for a key.
pub(crate) fn prepare_look(connection: &Connection) -> Result<CachedStatement<'_>, StorageError> {
    connection.prepare_cached(LOOK).map_err(reading)
}

/// Shows the value of a key: its bytes, in two parts where it is large.
fn look<T>(
    connection: &Connection,
    statement: &mut Statement<'_>,
    key: &[u8],
    see: impl FnOnce(Option<(&[u8], &[u8])>) -> T,
) -> Result<T, StorageError> {
    let mut rows = statement.query([key]).map_err(reading)?;
    let Some(row) = rows.next().map_err(reading)? else { return Ok(see(None)) };
    let head = blob(row, 0)?;
    match rest(row, 1)? {
        None => Ok(see(Some((head, &[])))),
        Some(id) => with_rest(connection, id, |rest| see(Some((head, rest)))),
    }
}

fn with_rest<T>(connection: &Connection, id: i64, see: impl FnOnce(&[u8]) -> T) -> Result<T, StorageError> {
    let mut statement = connection.prepare_cached(REST).map_err(reading)?;
    let mut rows = statement.query([id]).map_err(reading)?;
    let row = rows.next().map_err(reading)?.ok_or_else(|| unexpected("the rest of a large value is missing"))?;
    Ok(see(blob(row, 0)?))
}

/// The value of a key.
pub(crate) fn read(
    connection: &Connection,
    statement: &mut Statement<'_>,
    key: &[u8],
) -> Result<Option<Bytes>, StorageError> {
    look(connection, statement, key, |found| {
        found.map(
            |(head, rest)| if rest.is_empty() { Bytes::copy_from_slice(head) } else { [head, rest].concat().into() },
        )
    })
}

/// Shows the value of a key.
pub(crate) fn show(
    connection: &Connection,
    statement: &mut Statement<'_>,
    key: &[u8],
    see: &mut dyn FnMut(Option<&[u8]>),
) -> Result<(), StorageError> {
    look(connection, statement, key, |found| match found {
        Some((head, rest)) if !rest.is_empty() => see(Some(&[head, rest].concat())),
        found => see(found.map(|(head, _)| head)),
    })
}

/// Shows a range to a copy of `into`; see [`Engine::scan_into`](stash_core::Engine::scan_into).
pub(crate) fn scan_into<C: Collect>(connection: &Connection, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
    let mut filling = scan.filling(into);
    if scan.is_empty() {
        return Ok((filling.finish(), false));
    }
    let mut statement = select(connection, scan).map_err(scanning)?;
    let mut rows = statement.raw_query();
    let mut whole = Vec::new();
    loop {
        // Looked for also where there is no room: that is how one learns whether there is more.
        let Some(row) = rows.next().map_err(scanning)? else { return Ok((filling.finish(), false)) };
        if !filling.has_room() {
            return Ok((filling.finish(), true));
        }
        let key = blob(row, 0)?;
        if scan.value_bytes == 0 {
            filling.entry(key, &[]);
            continue;
        }
        let head = blob(row, 1)?;
        match rest(row, 2)? {
            Some(id) if scan.value_bytes > head.len() => {
                whole.clear();
                whole.extend_from_slice(head);
                extend_with_rest(connection, id, scan.value_bytes, &mut whole)?;
                filling.entry(key, &whole);
            }
            _ => filling.entry(key, head),
        }
    }
}

/// Adds to the beginning of a value what is missing of so many bytes of it.
fn extend_with_rest(connection: &Connection, id: i64, bytes: usize, whole: &mut Vec<u8>) -> Result<(), StorageError> {
    if bytes == usize::MAX {
        return with_rest(connection, id, |rest| whole.extend_from_slice(rest));
    }
    let missing = bytes.saturating_sub(whole.len());
    let rest = connection.blob_open("main", "rests", "bytes", id, true).map_err(reading)?;
    let start = whole.len();
    whole.resize(start + missing.min(rest.len()), 0);
    rest.read_at_exact(whole.get_mut(start..).unwrap_or_default(), 0).map_err(reading)
}

/// The statement for a range, with its bounds in it.
fn select<'c>(connection: &'c Connection, scan: &Scan) -> Result<CachedStatement<'c>, rusqlite::Error> {
    let mut sql = String::with_capacity(128);
    sql.push_str(if scan.value_bytes == 0 {
        "SELECT key FROM entries"
    } else {
        "SELECT key, value, rest FROM entries"
    });
    let bounds = [(&scan.start, ">", 1), (&scan.end, "<", 2)];
    let mut joint = " WHERE";
    for (bound, compare, number) in bounds {
        let equal = match bound {
            Bound::Unbounded => continue,
            Bound::Included(_) => "=",
            Bound::Excluded(_) => "",
        };
        let _ = write!(sql, "{joint} key {compare}{equal} ?{number}");
        joint = " AND";
    }
    sql.push_str(if scan.reverse { " ORDER BY key DESC" } else { " ORDER BY key" });
    let mut statement = connection.prepare_cached(&sql)?;
    for (bound, _, number) in bounds {
        bind(&mut statement, bound, number)?;
    }
    Ok(statement)
}

fn bind(statement: &mut Statement<'_>, bound: &Bound<Bytes>, number: usize) -> Result<(), rusqlite::Error> {
    match bound {
        Bound::Unbounded => Ok(()),
        Bound::Included(key) | Bound::Excluded(key) => statement.raw_bind_parameter(number, &key[..]),
    }
}

/// The statements of one commit.
pub(crate) struct Writing<'c> {
    connection: &'c Connection,
    put: CachedStatement<'c>,
    remove: CachedStatement<'c>,
    remove_rest: CachedStatement<'c>,
    /// Whether any entry has a rest, which goes with the entry; else looking for it is saved.
    has_rests: bool,
}

impl<'c> Writing<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Result<Self, StorageError> {
        let prepare = |sql| connection.prepare_cached(sql).map_err(writing);
        let has_rests = prepare("SELECT 1 FROM rests LIMIT 1")?.exists([]).map_err(writing)?;
        Ok(Self {
            connection,
            put: prepare(PUT)?,
            remove: prepare(REMOVE)?,
            remove_rest: prepare(REMOVE_REST)?,
            has_rests,
        })
    }

    /// Sets a key, or removes it.
    pub(crate) fn write(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), StorageError> {
        self.try_write(key, value).map_err(|error| match error.sqlite_error_code() {
            Some(rusqlite::ErrorCode::TooBig) => StorageError::LimitExceeded {
                what: "the size of a stored value in bytes",
                actual: value.map_or(0, <[u8]>::len) as u64,
                limit: 1_000_000_000,
                instead: "",
            },
            _ => writing(error),
        })
    }

    fn try_write(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), rusqlite::Error> {
        if self.has_rests {
            self.remove_rest.execute([key])?;
        }
        match value {
            None => self.remove.execute([key]),
            Some(value) => match value.split_at_checked(HEAD_BYTES) {
                Some((head, rest)) if value.len() > INLINE_BYTES => {
                    self.has_rests = true;
                    self.connection.prepare_cached(PUT_REST)?.execute([rest])?;
                    let id = self.connection.last_insert_rowid();
                    self.connection.prepare_cached(PUT_HEAD)?.execute((key, head, id))
                }
                _ => self.put.execute((key, value)),
            },
        }
        .map(drop)
    }
}
