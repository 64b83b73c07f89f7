//! Earlier versions of records: how they are stored, added to and forgotten. Whatever removes an entry must remove what
//! the expiry index has of it, and give back what it counts.

use std::collections::HashSet;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::due;
use crate::clock::Timestamp;
use crate::collection::{CollectionSettings, Place, Retention, registry_key};
use crate::engine::{Scan, View, Writes};
use crate::error::StorageError;
use crate::keyspace::KeySpace;
use crate::record::{self, Head, Version, corrupt};

/// What ended a version.
const REPLACED: u8 = 1;
const DELETED: u8 = 2;
/// What ended it, the version that did, the entry's number among those of its key, when it was ended, when it is due.
pub(super) const HEAD_BYTES: usize = 1 + 8 + 8 + 6 + 6;
const VERSION_BYTES: usize = 8;

/// What the entries of one key begin with: the place, then the key with its length in front, so that no key's entries
/// begin with another's.
pub(super) fn key_prefix(place_prefix: &str, own_key: &str) -> Bytes {
    let mut key = BytesMut::from(&KeySpace::History.key(place_prefix)[..]);
    // Keys are at most 2 KiB.
    key.put_u16(u16::try_from(own_key.len()).unwrap_or(u16::MAX));
    key.put_slice(own_key.as_bytes());
    key.freeze()
}

pub(super) fn entry_key(prefix: &[u8], version: Version) -> Bytes {
    [prefix, &version.0.to_be_bytes()].concat().into()
}

pub(super) fn version_of(key: &[u8]) -> Result<Version, StorageError> {
    let version = key.last_chunk::<VERSION_BYTES>();
    version.map(|version| Version(u64::from_be_bytes(*version))).ok_or_else(damaged)
}

/// What an entry says of its version; the record's envelope follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Entry {
    /// The commit that replaced the version, or deleted the key.
    pub(super) ended: Version,
    pub(super) deleted: bool,
    /// Its number among the entries of its key: they grow by one, and only the lowest are ever removed.
    pub(super) number: u64,
    /// When that was.
    pub(super) time: Timestamp,
    /// When it is in the expiry index; the last moment where it is not.
    pub(super) due: Timestamp,
}

impl Entry {
    fn encode(self, envelope: &[u8]) -> Bytes {
        let mut out = Vec::with_capacity(HEAD_BYTES + envelope.len());
        out.put_u8(if self.deleted { DELETED } else { REPLACED });
        out.put_u64(self.ended.0);
        out.put_u64(self.number);
        out.put_uint(self.time.min(Timestamp::MAX).0, 6);
        out.put_uint(self.due.min(Timestamp::MAX).0, 6);
        out.put_slice(envelope);
        out.into()
    }

    /// What the first [`HEAD_BYTES`] tell.
    pub(super) fn decode(mut stored: &[u8]) -> Result<Self, StorageError> {
        if stored.len() < HEAD_BYTES {
            return Err(damaged());
        }
        let deleted = match stored.get_u8() {
            REPLACED => false,
            DELETED => true,
            _ => return Err(damaged()),
        };
        let (ended, number) = (Version(stored.get_u64()), stored.get_u64());
        let (time, due) = (Timestamp(stored.get_uint(6)), Timestamp(stored.get_uint(6)));
        Ok(Self { ended, deleted, number, time, due })
    }

    /// Whether it is too old for what its collection keeps.
    pub(super) fn is_over(&self, retention: Retention, now: Timestamp) -> bool {
        self.due <= now || retention.age.is_some_and(|age| self.time.after(age) <= now)
    }
}

fn damaged() -> StorageError {
    corrupt("an entry of a collection's history is damaged".to_owned())
}

/// What an entry counts towards its component's usage: the key and what the record counts.
fn used_bytes(key: &[u8], stored: &[u8]) -> Result<u64, StorageError> {
    let third = key.iter().enumerate().filter(|(_, byte)| **byte == b'/').nth(2).ok_or_else(damaged)?.0;
    let own_key = key.len().checked_sub(third + 1 + 2 + VERSION_BYTES).ok_or_else(damaged)?;
    let envelope = stored.get(HEAD_BYTES..).ok_or_else(damaged)?;
    let record = Head::decode(envelope)?.used_bytes(envelope)?;
    Ok(u64::try_from(own_key.saturating_add(record)).unwrap_or(u64::MAX))
}

/// The entries of one key, the newest first.
pub(super) fn newest_first(prefix: &[u8]) -> Scan {
    Scan { reverse: true, ..Scan::prefix(prefix) }
}

/// The newest entry of a key; `None` where it has none.
fn newest(view: &dyn View, prefix: &[u8]) -> Result<Option<Entry>, StorageError> {
    let page = view.scan(&Scan { limit: 1, value_bytes: HEAD_BYTES, ..newest_first(prefix) })?;
    page.entries.first().map(|(_, stored)| Entry::decode(stored)).transpose()
}

/// The first entries of a place's history, for removing all of it.
pub(super) fn first_of(place_prefix: &str, limit: usize) -> Scan {
    Scan { limit, value_bytes: 0, ..Scan::prefix(&KeySpace::History.key(place_prefix)) }
}

/// What a commit does to the history of one key.
pub(super) struct History<'a> {
    pub(super) view: &'a dyn View,
    pub(super) scope: &'a str,
    pub(super) prefix: Bytes,
    pub(super) retention: Retention,
    pub(super) now: Timestamp,
}

/// Entries that one commit removes of one key at most: more than it adds, so that they get fewer where the settings keep
/// fewer than before.
const FORGET_AT_ONCE: usize = 4;

impl History<'_> {
    /// Puts in the record that the commit `ended` replaces or deletes, and removes what is no longer kept; without
    /// `record`, only the second. Gives by how much usage changes, and whether the key had a version before.
    pub(super) fn add(
        &self,
        record: Option<(Version, &[u8])>,
        ended: Version,
        deleted: bool,
        writes: &mut Writes,
        removed: &mut HashSet<Bytes>,
    ) -> Result<(i128, bool), StorageError> {
        let newest = newest(self.view, &self.prefix)?;
        let mut last = newest.map(|entry| entry.number);
        let mut used = 0;
        if let Some((version, envelope)) = record {
            let number = last.map_or(0, |last| last.saturating_add(1));
            let due = self.retention.age.map_or(Timestamp::MAX, |age| self.now.after(age));
            let key = entry_key(&self.prefix, version);
            let stored = Entry { ended, deleted, number, time: self.now, due }.encode(envelope);
            let counts = used_bytes(&key, &stored)?;
            used += i128::from(counts);
            if due < Timestamp::MAX {
                writes.put(due::history_entry(self.scope, due, &key), due::entry_value(counts));
            }
            writes.put(key, stored);
            last = Some(number);
        }
        // A key that is there counts as a version too.
        let keep = match self.retention.versions {
            _ if !self.retention.keeps_history() => 0,
            Some(versions) => u64::from(versions).saturating_sub(u64::from(!deleted)),
            None => u64::MAX,
        };
        let Some(last) = last.filter(|_| newest.is_some()) else { return Ok((used, newest.is_some())) };
        let oldest = Scan { limit: FORGET_AT_ONCE, value_bytes: HEAD_BYTES, ..Scan::prefix(&self.prefix) };
        for (key, stored) in self.view.scan(&oldest)?.entries {
            let entry = Entry::decode(&stored)?;
            if last.saturating_sub(entry.number) < keep && !entry.is_over(self.retention, self.now) {
                break;
            }
            used -= i128::from(remove(self.view, writes, self.scope, &key)?);
            removed.insert(key);
        }
        Ok((used, true))
    }
}

/// Removes an entry, with what the expiry index has of it. Gives the bytes that it counted; 0 where there is none.
pub(super) fn remove(view: &dyn View, writes: &mut Writes, scope: &str, key: &Bytes) -> Result<u64, StorageError> {
    let mut found = Ok(None);
    view.look(key, &mut |stored| {
        found = stored.map(|stored| Ok((Entry::decode(stored)?.due, used_bytes(key, stored)?))).transpose();
    })?;
    let Some((due, used)) = found? else { return Ok(0) };
    if due < Timestamp::MAX {
        writes.remove(due::history_entry(scope, due, key));
    }
    writes.remove(key.clone());
    Ok(used)
}

/// The engine key of the settings of the collection whose keys begin with `place_prefix`; `None` where it has none.
pub(super) fn settings_key(place_prefix: &str) -> Option<Bytes> {
    let scope = scope_of(place_prefix)?;
    let place = Place::of_prefix(place_prefix, &scope)?;
    Some(KeySpace::Record.key(&registry_key(&scope, place.registry_name()?)))
}

/// What a stored collection keeps.
pub(super) fn retention_of(settings: Option<Bytes>) -> Result<Retention, StorageError> {
    let Some(settings) = settings.map(record::decode).transpose()? else { return Ok(Retention::default()) };
    Ok(CollectionSettings::decode(&settings)?.retention)
}

/// The namespace that a place is in.
pub(super) fn scope_of(place_prefix: &str) -> Option<String> {
    let id = place_prefix.split('\u{1f}').next()?;
    Some(if id.ends_with('/') { id.to_owned() } else { format!("{id}/") })
}

const _: () = assert!(crate::limits::MAX_KEY_BYTES <= u16::MAX as usize, "a key's length has two bytes");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_format_is_pinned_to_the_byte() {
        let entry = Entry { ended: Version(2), deleted: true, number: 3, time: Timestamp(4), due: Timestamp(5) };
        let stored = entry.encode(b"rest");
        let expected =
            [&[DELETED][..], &2_u64.to_be_bytes(), &3_u64.to_be_bytes(), &[0, 0, 0, 0, 0, 4], &[0, 0, 0, 0, 0, 5]];
        assert_eq!(stored, [&expected.concat()[..], b"rest"].concat());
        assert_eq!(Entry::decode(&stored).unwrap(), entry);
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(key: Vec<u8>, bytes: Vec<u8>) {
            drop(Entry::decode(&bytes));
            drop(used_bytes(&key, &bytes));
            drop(version_of(&key));
        }
    }
}
