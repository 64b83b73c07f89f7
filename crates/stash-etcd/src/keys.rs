//! Where things are in etcd: under the store's prefix, one letter each. No two kinds of key may ever be the same key.

use std::ops::Bound;

use bytes::{BufMut, Bytes, BytesMut};
use stash_core::keyspace::after_prefix;

use crate::entry::Id;
use crate::proto::{Compare, DeleteRangeRequest, Op, RangeRequest, RequestOp};

/// The keys of one store.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    prefix: Bytes,
}

impl Keys {
    pub(crate) fn new(prefix: &str) -> Self {
        Self { prefix: Bytes::copy_from_slice(prefix.as_bytes()) }
    }

    fn key(&self, letter: u8, parts: &[&[u8]]) -> Bytes {
        let length = parts.iter().map(|part| part.len()).sum::<usize>();
        let mut key = BytesMut::with_capacity(self.prefix.len() + 1 + length);
        key.put_slice(&self.prefix);
        key.put_u8(letter);
        for part in parts {
            key.put_slice(part);
        }
        key.freeze()
    }

    /// What all keys begin with.
    pub(crate) fn prefix(&self) -> Bytes {
        self.prefix.clone()
    }

    /// What says that there is a store.
    pub(crate) fn mark(&self) -> Bytes {
        self.key(b'm', &[])
    }

    /// What the keys of stores begin with that this one would be within, the shortest first.
    pub(crate) fn above(&self) -> Vec<Self> {
        let ends = (1..self.prefix.len()).filter(|end| self.prefix.get(end - 1) == Some(&b'/'));
        ends.map(|end| Self { prefix: self.prefix.slice(..end) }).collect()
    }

    /// An entry.
    pub(crate) fn entry(&self, key: &[u8]) -> Bytes {
        self.key(b'e', &[key])
    }

    /// What an entry's key is for the engine.
    pub(crate) fn entry_name(&self, stored: &Bytes) -> Bytes {
        stored.slice((self.prefix.len() + 1).min(stored.len())..)
    }

    /// A namespace's head.
    pub(crate) fn head(&self, owner: &[u8]) -> Bytes {
        self.key(b'h', &[owner])
    }

    /// The mark of a namespace's journal.
    pub(crate) fn pending(&self, owner: &[u8]) -> Bytes {
        self.key(b'j', &[owner])
    }

    /// Whose head, or journal, a key is.
    pub(crate) fn owner<'a>(&self, stored: &'a [u8]) -> &'a [u8] {
        stored.get(self.prefix.len() + 1..).unwrap_or_default()
    }

    /// The pieces of all values that an entry has had.
    fn pieces_of(&self, key: &[u8]) -> Bytes {
        let length = u16::try_from(key.len()).unwrap_or(u16::MAX).to_be_bytes();
        self.key(b'c', &[&length, key])
    }

    /// The pieces of a large value: what their keys begin with.
    pub(crate) fn value_pieces(&self, key: &[u8], id: &Id) -> Bytes {
        [&self.pieces_of(key)[..], id].concat().into()
    }

    /// The pieces of a journal.
    pub(crate) fn journal_pieces(&self, id: &Id) -> Bytes {
        self.key(b'k', &[id])
    }

    /// What says that pieces were begun, by which commit, and which of what it says this is.
    pub(crate) fn begun(&self, id: &Id, number: usize) -> Bytes {
        piece(&self.all_begun(id), number)
    }

    /// What all of that begins with.
    pub(crate) fn all_begun(&self, id: &Id) -> Bytes {
        self.key(b'g', &[id])
    }

    /// Whether a key can be what says that pieces were begun.
    pub(crate) fn is_begun(&self, key: &[u8]) -> bool {
        key.starts_with(&self.key(b'g', &[])) && key.len() == self.prefix.len() + 1 + 16 + 4
    }

    /// Whether the keys of pieces of this store can begin with this.
    pub(crate) fn is_of_pieces(&self, begins: &[u8]) -> bool {
        let Some((letter, rest)) = begins.strip_prefix(&self.prefix[..]).and_then(<[u8]>::split_first) else {
            return false;
        };
        match (letter, rest.split_first_chunk::<2>()) {
            (b'c', Some((length, rest))) => rest.len() == usize::from(u16::from_be_bytes(*length)) + 16,
            (b'k', _) => rest.len() == 16,
            _ => false,
        }
    }

    /// All of a kind.
    pub(crate) fn all(&self, letter: u8) -> (Bytes, Bytes) {
        prefixed(&self.key(letter, &[]))
    }

    /// The entries between two bounds.
    pub(crate) fn entries(&self, start: &Bound<Bytes>, end: &Bound<Bytes>) -> (Bytes, Bytes) {
        let after = |key: &Bytes| self.key(b'e', &[key, &[0]]);
        let (first, last) = self.all(b'e');
        let start = match start {
            Bound::Included(key) => self.entry(key),
            Bound::Excluded(key) => after(key),
            Bound::Unbounded => first,
        };
        let end = match end {
            Bound::Included(key) => after(key),
            Bound::Excluded(key) => self.entry(key),
            Bound::Unbounded => last,
        };
        (start, end)
    }

    /// Removes the pieces of what an entry was before this revision of its namespace. Those that others have begun for later
    /// ones stay.
    pub(crate) fn clear_pieces(&self, key: &[u8], revision: u64) -> RequestOp {
        let start = self.pieces_of(key);
        let end = [&start[..], &revision.to_be_bytes()].concat();
        delete(start, end.into())
    }
}

/// From a prefix on to the end of what begins with it.
pub(crate) fn prefixed(prefix: &Bytes) -> (Bytes, Bytes) {
    // Our prefixes begin with text, so there is an end.
    (prefix.clone(), after_prefix(prefix).unwrap_or_default())
}

/// The key of a piece.
pub(crate) fn piece(of: &Bytes, number: usize) -> Bytes {
    [&of[..], &u32::try_from(number).unwrap_or(u32::MAX).to_be_bytes()].concat().into()
}

pub(crate) fn delete(key: Bytes, range_end: Bytes) -> RequestOp {
    Op::Delete(DeleteRangeRequest { key, range_end }).into()
}

pub(crate) fn delete_key(key: Bytes) -> RequestOp {
    delete(key, Bytes::new())
}

pub(crate) fn put(key: Bytes, value: Bytes) -> RequestOp {
    Op::Put(crate::proto::PutRequest { key, value }).into()
}

/// One key, at a revision or now.
pub(crate) fn get(key: Bytes, revision: i64) -> RangeRequest {
    RangeRequest { key, revision, ..RangeRequest::default() }
}

pub(crate) fn range((key, range_end): (Bytes, Bytes), revision: i64) -> RangeRequest {
    RangeRequest { key, range_end, revision, ..RangeRequest::default() }
}

/// A transaction that goes one way only if these hold.
pub(crate) fn if_all(compare: Vec<Compare>, success: Vec<RequestOp>) -> crate::proto::TxnRequest {
    crate::proto::TxnRequest { compare, success, failure: Vec::new() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entry::id;

    #[test]
    fn pieces_of_one_entry_are_not_anothers() {
        let keys = Keys::new("p/");
        let ours = piece(&keys.value_pieces(b"ab", &id(7, 1)), 0);
        for (key, revision, gone) in
            [(&b"ab"[..], 8, true), (b"ab", 7, false), (b"ab", 6, false), (b"a", 8, false), (b"abc", 8, false)]
        {
            let Some(Op::Delete(range)) = keys.clear_pieces(key, revision).op else { panic!() };
            assert_eq!(range.key <= ours && ours < range.range_end, gone, "{key:?} {revision}");
        }
        assert_eq!(keys.entry_name(&keys.entry(b"k")), "k");
        assert_eq!(keys.owner(&keys.head(b"a/b/c")), b"a/b/c");
    }

    #[test]
    fn only_keys_of_our_own_are_taken_for_ours() {
        let keys = Keys::new("p/q/");
        let above: Vec<_> = Keys::new("a/bc/d/").above().iter().map(Keys::prefix).collect();
        assert_eq!(above, ["a/", "a/bc/"]);
        assert!(Keys::new("stash/").above().is_empty());
        let begun = keys.begun(&id(1, 2), 3);
        assert!(keys.is_begun(&begun) && !keys.is_begun(&begun[1..]) && !keys.is_begun(&[&begun[..], b"x"].concat()));
        assert!(!keys.is_begun(&Keys::new("p/x/").begun(&id(1, 2), 3)));
        let (value, journal) = (keys.value_pieces(b"key", &id(1, 2)), keys.journal_pieces(&id(1, 2)));
        assert!(keys.is_of_pieces(&value) && keys.is_of_pieces(&journal));
        for other in [&value[1..], &value[..value.len() - 1], &journal[..journal.len() - 1], b"p/q/", b"p/q/c", b""] {
            assert!(!keys.is_of_pieces(other), "{other:?}");
        }
        assert!(!keys.is_of_pieces(&keys.entry(&[0; 16])) && !keys.is_of_pieces(&keys.mark()));
    }

    #[test]
    fn bounds_are_ranges_of_keys() {
        let keys = Keys::new("p/");
        let key = || Bytes::from("k");
        let texts = |start, end| {
            let (start, end) = keys.entries(&start, &end);
            (String::from_utf8(start.to_vec()).unwrap(), String::from_utf8(end.to_vec()).unwrap())
        };
        assert_eq!(texts(Bound::Unbounded, Bound::Unbounded), ("p/e".into(), "p/f".into()));
        assert_eq!(texts(Bound::Included(key()), Bound::Excluded(key())), ("p/ek".into(), "p/ek".into()));
        assert_eq!(texts(Bound::Excluded(key()), Bound::Included(key())), ("p/ek\0".into(), "p/ek\0".into()));
    }
}
