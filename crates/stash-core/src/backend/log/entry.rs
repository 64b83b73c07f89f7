//! How a change is stored. Bytes once written stay readable; `docs/FORMAT.md` draws them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::changes::ChangeKind;
use crate::clock::Timestamp;
use crate::error::StorageError;
use crate::keyspace::KeySpace;
use crate::limits::{MAX_COLLECTION_NAME_BYTES, MAX_KEY_BYTES};
use crate::record::{Version, corrupt};

const FORMAT: u8 = 1;
const SET: u8 = 1;
const DELETE: u8 = 2;
const EXPIRE: u8 = 3;

/// Format, kind, time, and the lengths of the collection's name, of the key and of the record.
pub(super) const HEAD_BYTES: usize = 1 + 1 + 6 + 2 + 2 + 4;
/// With so many first bytes of an entry all but its record is known.
pub(super) const NAMED_BYTES: usize = HEAD_BYTES + MAX_COLLECTION_NAME_BYTES + MAX_KEY_BYTES;
const VERSION_BYTES: usize = 8;
const INDEX_BYTES: usize = 4;

/// What the entries of one namespace begin with.
pub(super) fn log_prefix(scope: &str) -> Bytes {
    KeySpace::ChangeLog.key(scope)
}

/// The engine key of a change: the version, and which change of it.
pub(super) fn entry_key(scope: &str, version: Version, index: u32) -> Bytes {
    let mut key = BytesMut::with_capacity(1 + scope.len() + VERSION_BYTES + INDEX_BYTES);
    key.put_u8(KeySpace::ChangeLog as u8);
    key.put_slice(scope.as_bytes());
    key.put_u64(version.0);
    key.put_u32(index);
    key.freeze()
}

/// The commit that an entry is of.
pub(super) fn version_of(key: &[u8]) -> Result<Version, StorageError> {
    let tail = key.last_chunk::<{ VERSION_BYTES + INDEX_BYTES }>();
    tail.and_then(|tail| tail.first_chunk()).map(|version| Version(u64::from_be_bytes(*version))).ok_or_else(damaged)
}

/// The namespace that an engine key is of.
pub(super) fn scope_of(key: &[u8]) -> Result<&str, StorageError> {
    let end = key.len().checked_sub(VERSION_BYTES + INDEX_BYTES).ok_or_else(damaged)?;
    let scope = key.get(1..end).and_then(|scope| std::str::from_utf8(scope).ok());
    scope.filter(|scope| scope.ends_with('/')).ok_or_else(damaged)
}

/// One change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Entry<'a> {
    pub(super) kind: ChangeKind,
    pub(super) time: Timestamp,
    /// The name of the collection; empty for the default one.
    pub(super) collection: &'a str,
    pub(super) key: &'a str,
    /// The stored record: its envelope and its value. Empty where the record was removed.
    pub(super) record: &'a [u8],
}

impl<'a> Entry<'a> {
    pub(super) fn encode(&self) -> Bytes {
        let length = HEAD_BYTES + self.collection.len() + self.key.len() + self.record.len();
        let mut out = Vec::with_capacity(length);
        out.put_u8(FORMAT);
        out.put_u8(match self.kind {
            ChangeKind::Set => SET,
            ChangeKind::Delete => DELETE,
            ChangeKind::Expire => EXPIRE,
        });
        out.put_uint(self.time.min(Timestamp::MAX).0, 6);
        // They fit: names, keys and values have limits.
        out.put_u16(u16::try_from(self.collection.len()).unwrap_or(u16::MAX));
        out.put_u16(u16::try_from(self.key.len()).unwrap_or(u16::MAX));
        out.put_u32(u32::try_from(self.record.len()).unwrap_or(u32::MAX));
        out.put_slice(self.collection.as_bytes());
        out.put_slice(self.key.as_bytes());
        out.put_slice(self.record);
        out.into()
    }

    /// The entry in stored bytes, of which the record's may be missing: then it is empty.
    pub(super) fn decode(stored: &'a [u8]) -> Result<Self, StorageError> {
        let head = Head::decode(stored)?;
        let text = |at: usize, length: usize| {
            let bytes = stored.get(at..at.saturating_add(length)).ok_or_else(damaged)?;
            std::str::from_utf8(bytes).map_err(|_| damaged())
        };
        let collection = text(HEAD_BYTES, head.collection_bytes)?;
        let key = text(HEAD_BYTES + head.collection_bytes, head.key_bytes)?;
        let record = stored.get(HEAD_BYTES + head.collection_bytes + head.key_bytes..).unwrap_or_default();
        let record = if record.len() == head.record_bytes { record } else { Default::default() };
        Ok(Self { kind: head.kind, time: head.time, collection, key, record })
    }
}

/// What the first [`HEAD_BYTES`] tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    kind: ChangeKind,
    time: Timestamp,
    collection_bytes: usize,
    key_bytes: usize,
    record_bytes: usize,
}

impl Head {
    pub(super) fn decode(mut stored: &[u8]) -> Result<Self, StorageError> {
        if stored.len() < HEAD_BYTES {
            return Err(damaged());
        }
        let format = stored.get_u8();
        if format != FORMAT {
            return Err(corrupt(format!("a change has format {format}, this version of Stash reads {FORMAT}")));
        }
        let kind = match stored.get_u8() {
            SET => ChangeKind::Set,
            DELETE => ChangeKind::Delete,
            EXPIRE => ChangeKind::Expire,
            _ => return Err(damaged()),
        };
        Ok(Self {
            kind,
            time: Timestamp(stored.get_uint(6)),
            collection_bytes: usize::from(stored.get_u16()),
            key_bytes: usize::from(stored.get_u16()),
            record_bytes: usize::try_from(stored.get_u32()).map_err(|_| damaged())?,
        })
    }

    /// The bytes of the whole entry: what it counts.
    pub(super) fn stored_bytes(&self) -> u64 {
        let bytes = HEAD_BYTES + self.collection_bytes + self.key_bytes + self.record_bytes;
        u64::try_from(bytes).unwrap_or(u64::MAX)
    }

    /// The bytes of the record in it.
    pub(super) fn record_bytes(&self) -> usize {
        self.record_bytes
    }
}

fn damaged() -> StorageError {
    corrupt("an entry of a component's change log is damaged".to_owned())
}

const _: () = assert!(MAX_KEY_BYTES <= u16::MAX as usize, "a key's length has two bytes");
const _: () = assert!(MAX_COLLECTION_NAME_BYTES <= u16::MAX as usize, "a name's length has two bytes");

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_format_is_pinned_to_the_byte() {
        let key = entry_key("a/b/c/", Version(0x0102), 3);
        assert_eq!(&key[..], b"ca/b/c/\0\0\0\0\0\0\x01\x02\0\0\0\x03");
        assert_eq!((version_of(&key).unwrap(), scope_of(&key).unwrap()), (Version(0x0102), "a/b/c/"));
        let set = Entry { kind: ChangeKind::Set, time: Timestamp(4), collection: "o/p", key: "k", record: b"rest" };
        assert_eq!(&set.encode()[..], b"\x01\x01\0\0\0\0\0\x04\0\x03\0\x01\0\0\0\x04o/pkrest");
        let deleted = Entry { kind: ChangeKind::Delete, collection: "", record: b"", ..set.clone() };
        assert_eq!(&deleted.encode()[..], b"\x01\x02\0\0\0\0\0\x04\0\0\0\x01\0\0\0\0k");
        let expired = Entry { kind: ChangeKind::Expire, ..deleted.clone() };
        assert_eq!(expired.encode()[1], 3);
        for entry in [set.clone(), deleted, expired] {
            let stored = entry.encode();
            assert_eq!(Entry::decode(&stored).unwrap(), entry);
            assert_eq!(Head::decode(&stored).unwrap().stored_bytes(), stored.len() as u64);
        }
        let stored = set.encode();
        assert_eq!(Entry::decode(&stored[..HEAD_BYTES + 4]).unwrap(), Entry { record: b"", ..set });
        Entry::decode(&[&[2], &stored[1..]].concat()).unwrap_err();
        Entry::decode(&[&[1, 4], &stored[2..]].concat()).unwrap_err();
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(key: Vec<u8>, bytes: Vec<u8>) {
            for bytes in [bytes.clone(), [&[FORMAT, SET][..], &bytes].concat()] {
                drop(Entry::decode(&bytes));
                drop(Head::decode(&bytes));
            }
            drop(version_of(&key));
            drop(scope_of(&key));
        }
    }
}
