//! What the values of our keys in etcd look like: entries, large or not, and journals. A byte that is not known must be
//! refused, and what is read must be what was written.

use std::collections::BTreeMap;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use stash_core::StorageError;
use xxhash_rust::xxh3::xxh3_64;

/// Values of up to so many bytes are in their key's own value; larger ones in pieces elsewhere, so that a range of keys is
/// never more than so much a key.
pub(crate) const MAX_INLINE_BYTES: usize = 128 * 1024;
/// So many leading bytes of a large value are in its key's own value too: lists that need only those do not fetch pieces.
const PREVIEW_BYTES: usize = 128;

const INLINE: u8 = 0;
const LARGE: u8 = 1;
const REMOVE: u8 = 0;
const PUT: u8 = 1;

/// What pieces belong to: for values the revision of their namespace that the commit makes, and 8 random bytes.
pub(crate) type Id = [u8; 16];

/// The id of pieces that belong to a revision.
pub(crate) fn id(revision: u64, random: u64) -> Id {
    (u128::from(revision) << 64 | u128::from(random)).to_be_bytes()
}

/// Bytes that are in pieces under keys of their own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Blob {
    /// Whose pieces they are.
    pub(crate) id: Id,
    /// In all.
    pub(crate) length: usize,
    /// Of each piece but the last.
    pub(crate) piece_bytes: usize,
    checksum: u64,
}

impl Blob {
    pub(crate) fn new(id: Id, bytes: &[u8], piece_bytes: usize) -> Self {
        Self { id, length: bytes.len(), piece_bytes: piece_bytes.max(1), checksum: xxh3_64(bytes) }
    }

    /// How many pieces there are.
    pub(crate) fn pieces(&self) -> usize {
        self.length.div_ceil(self.piece_bytes.max(1))
    }

    /// Whether these are its bytes.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<(), StorageError> {
        if bytes.len() == self.length && xxh3_64(bytes) == self.checksum {
            return Ok(());
        }
        Err(damaged("the pieces of a large value are not what was written"))
    }

    pub(crate) fn write(&self, to: &mut BytesMut) {
        to.put_slice(&self.id);
        to.put_u64(u64::try_from(self.length).unwrap_or(u64::MAX));
        to.put_u32(u32::try_from(self.piece_bytes).unwrap_or(u32::MAX));
        to.put_u64(self.checksum);
    }

    pub(crate) fn read(from: &mut Bytes) -> Result<Self, StorageError> {
        if from.len() < 16 + 8 + 4 + 8 {
            return Err(damaged("a value is too short"));
        }
        let mut id = Id::default();
        from.copy_to_slice(&mut id);
        let size = |number: u64| usize::try_from(number).map_err(|_| damaged("a value is too large"));
        let (length, piece_bytes, checksum) = (size(from.get_u64())?, from.get_u32(), from.get_u64());
        let piece_bytes = size(u64::from(piece_bytes))?;
        if piece_bytes == 0 {
            return Err(damaged("the pieces of a large value are empty"));
        }
        Ok(Self { id, length, piece_bytes, checksum })
    }
}

/// The value of an entry.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Entry {
    /// As it is.
    Inline(Bytes),
    /// In pieces.
    Large { blob: Blob, preview: Bytes },
}

impl Entry {
    /// The value of a key as etcd has it.
    pub(crate) fn decode(mut stored: Bytes) -> Result<Self, StorageError> {
        if stored.is_empty() {
            return Err(damaged("a value is empty"));
        }
        match stored.get_u8() {
            INLINE => Ok(Self::Inline(stored)),
            LARGE => {
                let blob = Blob::read(&mut stored)?;
                Ok(Self::Large { blob, preview: stored })
            }
            _ => Err(damaged("a value is of a kind that this version of Stash does not know; use a newer one")),
        }
    }

    pub(crate) fn encode_inline(value: &[u8]) -> Bytes {
        let mut stored = BytesMut::with_capacity(1 + value.len());
        stored.put_u8(INLINE);
        stored.put_slice(value);
        stored.freeze()
    }

    pub(crate) fn encode_large(blob: &Blob, value: &[u8]) -> Bytes {
        let mut stored = BytesMut::with_capacity(64 + PREVIEW_BYTES);
        stored.put_u8(LARGE);
        blob.write(&mut stored);
        stored.put_slice(value.get(..PREVIEW_BYTES).unwrap_or(value));
        stored.freeze()
    }

    /// Bytes of the value.
    pub(crate) fn length(&self) -> usize {
        match self {
            Self::Inline(value) => value.len(),
            Self::Large { blob, .. } => blob.length,
        }
    }

    /// The leading bytes, where they are here.
    pub(crate) fn leading(&self, bytes: usize) -> Option<Bytes> {
        let first = |value: &Bytes| value.slice(..value.len().min(bytes));
        match self {
            Self::Inline(value) => Some(first(value)),
            Self::Large { preview, blob } if bytes.min(blob.length) <= preview.len() => Some(first(preview)),
            Self::Large { .. } => None,
        }
    }
}

/// What a commit writes, by key, with the values as etcd is to have them: `None` removes the key.
pub(crate) type Writes = BTreeMap<Bytes, Option<Bytes>>;

/// A journal: all that a commit writes.
pub(crate) fn encode_journal(writes: &[(Bytes, Option<Bytes>)]) -> Bytes {
    let size = |(key, value): &(Bytes, Option<Bytes>)| 9 + key.len() + value.as_ref().map_or(0, Bytes::len);
    let mut journal = BytesMut::with_capacity(writes.iter().map(size).sum());
    let put = |journal: &mut BytesMut, bytes: &[u8]| {
        journal.put_u32(u32::try_from(bytes.len()).unwrap_or(u32::MAX));
        journal.put_slice(bytes);
    };
    for (key, value) in writes {
        journal.put_u8(if value.is_some() { PUT } else { REMOVE });
        put(&mut journal, key);
        if let Some(value) = value {
            put(&mut journal, value);
        }
    }
    journal.freeze()
}

/// What a journal says.
pub(crate) fn decode_journal(mut journal: Bytes) -> Result<Writes, StorageError> {
    fn take(journal: &mut Bytes) -> Option<Bytes> {
        let length = usize::try_from(journal.try_get_u32().ok()?).ok()?;
        (length <= journal.len()).then(|| journal.split_to(length))
    }
    let mut writes = Writes::new();
    while !journal.is_empty() {
        let kind = journal.get_u8();
        let short = || damaged("a journal ends too early");
        let key = take(&mut journal).ok_or_else(short)?;
        let value = match kind {
            PUT => Some(take(&mut journal).ok_or_else(short)?),
            REMOVE => None,
            _ => return Err(damaged("a journal is of a kind that this version of Stash does not know")),
        };
        writes.insert(key, value);
    }
    Ok(writes)
}

/// A commit that is in a journal, and whose writes are not all where they belong yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pending {
    pub(crate) journal: Blob,
    /// The namespaces that it is of, each with the revision that it made.
    pub(crate) owners: Vec<(Bytes, u64)>,
    /// Whether large values may be replaced.
    pub(crate) clears: bool,
}

impl Pending {
    pub(crate) fn encode(&self) -> Bytes {
        let mut stored = BytesMut::new();
        stored.put_u8(u8::from(self.clears));
        self.journal.write(&mut stored);
        for (owner, revision) in &self.owners {
            stored.put_u64(*revision);
            stored.put_u16(u16::try_from(owner.len()).unwrap_or(u16::MAX));
            stored.put_slice(owner);
        }
        stored.freeze()
    }

    pub(crate) fn decode(mut stored: Bytes) -> Result<Self, StorageError> {
        let short = || damaged("the mark of a journal ends too early");
        let clears = match stored.try_get_u8().map_err(|_| short())? {
            0 => false,
            1 => true,
            _ => return Err(damaged("a journal is of a kind that this version of Stash does not know")),
        };
        let journal = Blob::read(&mut stored)?;
        let mut owners = Vec::new();
        while !stored.is_empty() {
            let revision = stored.try_get_u64().map_err(|_| short())?;
            let length = usize::from(stored.try_get_u16().map_err(|_| short())?);
            if length > stored.len() {
                return Err(short());
            }
            owners.push((stored.split_to(length), revision));
        }
        Ok(Self { journal, owners, clears })
    }
}

pub(crate) fn damaged(what: &str) -> StorageError {
    StorageError::Corrupt { reason: format!("{what} in etcd") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_what_they_were() {
        let value = Bytes::from((0..=255).cycle().take(1000).collect::<Vec<u8>>());
        assert_eq!(Entry::encode_inline(b"v"), b"\0v"[..]);
        assert_eq!(Entry::decode(Entry::encode_inline(&value)), Ok(Entry::Inline(value.clone())));
        let blob = Blob::new([7; 16], &value, 300);
        assert_eq!(blob.pieces(), 4);
        let stored = Entry::encode_large(&blob, &value);
        let entry = Entry::decode(stored.clone()).unwrap();
        assert_eq!(entry, Entry::Large { blob: blob.clone(), preview: value.slice(..128) });
        assert_eq!((entry.length(), entry.leading(28), entry.leading(129)), (1000, Some(value.slice(..28)), None));
        assert_eq!(blob.check(&value), Ok(()));
        assert!(blob.check(&value[1..]).is_err() && blob.check(&[0; 1000]).is_err());
        for cut in 0..37 {
            assert!(Entry::decode(stored.slice(..cut)).is_err(), "{cut}");
        }
        assert!(Entry::decode(b"\x02x"[..].into()).is_err());
    }

    #[test]
    fn journals_are_what_they_were() {
        let writes =
            [(Bytes::from("a"), Some(Bytes::from("\0value"))), ("b".into(), None), ("c".into(), Some("".into()))];
        let journal = encode_journal(&writes);
        assert_eq!(decode_journal(journal.clone()), Ok(writes.into_iter().collect()));
        for cut in 1..journal.len() {
            // What is cut between two of them is found by the checksum.
            if ![16, 22].contains(&cut) {
                let left = decode_journal(journal.slice(..cut));
                assert!(left.is_err() || cut == journal.len(), "{cut}: {left:?}");
            }
        }
        let pending = Pending {
            journal: Blob::new([1; 16], &journal, 5),
            owners: vec![("".into(), 1), ("x/y/z".into(), 9)],
            clears: true,
        };
        assert_eq!(Pending::decode(pending.encode()), Ok(pending.clone()));
        for cut in (0..pending.encode().len()).filter(|cut| ![37, 47].contains(cut)) {
            assert!(Pending::decode(pending.encode().slice(..cut)).is_err(), "{cut}");
        }
    }
}
