//! What expires when: the index of it, in the order of time for each namespace. An entry must be there for every record
//! that expires, and in the same commit.

use std::ops::Bound;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::Source;
use super::page::{CHUNK, go_on};
use crate::clock::Timestamp;
use crate::engine::{Engine, Scan};
use crate::error::StorageError;
use crate::keyspace::KeySpace;
use crate::record::corrupt;
use crate::yielding::yield_now;

/// Marks an entry that is about an earlier version and not about a record. What comes after the time of a record's entry
/// begins with `/` or with the control character before a collection's name.
const HISTORY: u8 = 0x01;
const TIME_BYTES: usize = 8;

/// The index key for the record with the full name `name`.
pub(super) fn record_entry(scope: &str, time: Timestamp, name: &str) -> Bytes {
    entry(scope, time, &[], name.as_bytes().get(id_bytes(scope)..).unwrap_or_default())
}

/// The index key for an entry of the history, whose engine key it is.
pub(super) fn history_entry(scope: &str, time: Timestamp, history_key: &[u8]) -> Bytes {
    entry(scope, time, &[HISTORY], history_key.get(1 + id_bytes(scope)..).unwrap_or_default())
}

fn id_bytes(scope: &str) -> usize {
    scope.len().saturating_sub(1)
}

fn entry(scope: &str, time: Timestamp, tag: &[u8], rest: &[u8]) -> Bytes {
    let mut key = BytesMut::with_capacity(1 + scope.len() + TIME_BYTES + tag.len() + rest.len());
    key.put_slice(&KeySpace::Expiry.key(scope));
    key.put_u64(time.0);
    key.put_slice(tag);
    key.put_slice(rest);
    key.freeze()
}

/// What an index entry holds: the bytes that the record, or the earlier version, counts, so that usage is exact before it is removed.
pub(super) fn entry_value(used_bytes: u64) -> Bytes {
    Bytes::copy_from_slice(&used_bytes.to_be_bytes())
}

/// The bytes in an index entry.
pub(super) fn used_bytes(mut value: &[u8]) -> Result<u64, StorageError> {
    value.try_get_u64().map_err(|_| corrupt("an entry of the expiry index is damaged".to_owned()))
}

/// What an index entry is about.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Due {
    /// The record with this engine key.
    Record(Bytes),
    /// The entry of the history with this engine key.
    History(Bytes),
}

pub(super) fn decode(scope: &str, index_key: &[u8]) -> Result<Due, StorageError> {
    let damaged = || corrupt("an entry of the expiry index is damaged".to_owned());
    let rest = index_key.get(1 + scope.len() + TIME_BYTES..).ok_or_else(damaged)?;
    let id = scope.as_bytes().get(..id_bytes(scope)).unwrap_or_default();
    let key = |space: KeySpace, rest: &[u8]| Bytes::from([&[space as u8], id, rest].concat());
    match rest.split_first() {
        Some((&HISTORY, rest)) => Ok(Due::History(key(KeySpace::History, rest))),
        Some(_) => Ok(Due::Record(key(KeySpace::Record, rest))),
        None => Err(damaged()),
    }
}

/// The namespace that an index key belongs to, and its time.
pub(super) fn parts(index_key: &[u8]) -> Result<(&str, Timestamp), StorageError> {
    let damaged = || corrupt("an entry of the expiry index is damaged".to_owned());
    let name = index_key.get(1..).ok_or_else(damaged)?;
    let third = name.iter().enumerate().filter(|(_, byte)| **byte == b'/').nth(2).ok_or_else(damaged)?.0;
    let (scope, mut rest) = name.split_at_checked(third + 1).ok_or_else(damaged)?;
    let scope = std::str::from_utf8(scope).map_err(|_| damaged())?;
    Ok((scope, Timestamp(rest.try_get_u64().map_err(|_| damaged())?)))
}

/// The entries of one namespace that are due.
pub(super) fn scan(scope: &str, now: Timestamp, limit: usize) -> Scan {
    let start = KeySpace::Expiry.key(scope);
    let end = entry(scope, Timestamp(now.0.saturating_add(1)), &[], &[]);
    Scan { start: Bound::Included(start), end: Bound::Excluded(end), limit, ..Scan::prefix(b"") }
}

/// What has expired and is still stored.
#[derive(Debug, Default)]
pub(super) struct Expired {
    pub(super) used_bytes: u64,
    pub(super) key_count: u64,
}

pub(super) async fn expired<E: Engine>(
    source: &Source<'_, E>,
    scope: &str,
    now: Timestamp,
) -> Result<Expired, StorageError> {
    let mut scan = scan(scope, now, CHUNK);
    let mut expired = Expired::default();
    loop {
        let found = source.scan(&scan).await?;
        for (key, value) in &found.entries {
            expired.used_bytes = expired.used_bytes.saturating_add(used_bytes(value)?);
            expired.key_count += u64::from(matches!(decode(scope, key)?, Due::Record(_)));
        }
        match found.entries.last() {
            Some((key, _)) if found.more => go_on(&mut scan, key.clone()),
            _ => return Ok(expired),
        }
        yield_now().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_lead_back_to_what_they_are_about() {
        let scope = "app/service-a/001/";
        for name in ["app/service-a/001/user:1", "app/service-a/001/a/b", "app/service-a/001\u{1f}orders/1"] {
            let index = record_entry(scope, Timestamp(7), name);
            assert_eq!(decode(scope, &index).unwrap(), Due::Record(KeySpace::Record.key(name)));
            assert_eq!(parts(&index).unwrap(), (scope, Timestamp(7)));
            let history = KeySpace::History.key(name);
            let index = history_entry(scope, Timestamp(1 << 40), &history);
            assert_eq!(decode(scope, &index).unwrap(), Due::History(history));
            assert_eq!(parts(&index).unwrap(), (scope, Timestamp(1 << 40)));
        }
    }

    #[test]
    fn the_earliest_comes_first() {
        let at = |time| record_entry("a/b/c/", Timestamp(time), "a/b/c/k");
        assert!(at(1) < at(2) && at(255) < at(256));
        let due = scan("a/b/c/", Timestamp(255), 10);
        assert!(matches!(&due.end, Bound::Excluded(end) if at(255) < *end && at(256) > *end));
    }
}
