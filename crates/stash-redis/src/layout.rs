//! Where things are in the server: the names of its keys, the slots of a cluster, and the places of namespaces among all
//! keys. What is stored depends on it; see docs/FORMAT.md.

use std::ops::Bound;

use bytes::Bytes;
use stash_core::engine::Scan;
use stash_core::keyspace::owner;

/// The mark of a store, with the number of its layout.
pub(crate) const MARK: &str = "stash-redis 1";
/// Bytes of a value that are kept where lists find them; the same number is in the scripts.
pub(crate) const WHOLE: usize = 1024;
/// Slots of a cluster.
pub(crate) const SLOTS: u16 = 16_384;

/// The name of a key of a namespace, as the scripts make it.
pub(crate) fn name(prefix: &str, owner: &[u8], what: &str) -> Vec<u8> {
    let mut name = Vec::with_capacity(prefix.len() + owner.len() + what.len() + 4);
    name.extend_from_slice(prefix.as_bytes());
    name.extend_from_slice(b":{");
    if owner.is_empty() {
        name.push(b'-');
    }
    name.extend(owner.iter().map(|byte| match byte {
        b'{' => 1,
        b'}' => 2,
        other => *other,
    }));
    name.extend_from_slice(b"}:");
    name.extend_from_slice(what.as_bytes());
    name
}

/// The slot of a key's name: CRC16 of what is between the first brace and the next, by the rules of Redis Cluster.
pub(crate) fn slot(name: &[u8]) -> u16 {
    let tag = name.iter().position(|byte| *byte == b'{').and_then(|open| {
        let rest = name.get(open + 1..)?;
        let close = rest.iter().position(|byte| *byte == b'}')?;
        rest.get(..close).filter(|tag| !tag.is_empty())
    });
    let crc = tag.unwrap_or(name).iter().fold(0_u16, |crc, byte| {
        (0..8).fold(
            crc ^ (u16::from(*byte) << 8),
            |crc, _| if crc & 0x8000 == 0 { crc << 1 } else { (crc << 1) ^ 0x1021 },
        )
    });
    crc % SLOTS
}

/// Where a key of a namespace is: no key of another namespace is between this and [`place_end`]. None for the others.
pub(crate) fn place(key: &[u8]) -> Option<Bytes> {
    let owner = owner(key);
    if owner.is_empty() {
        return None;
    }
    let end = 1 + owner.len();
    let mut place = key.get(..end)?.to_vec();
    place.push(if key.get(end) == Some(&b'/') { b'/' } else { 0 });
    Some(place.into())
}

/// The first key after a place.
pub(crate) fn place_end(place: &[u8]) -> Bytes {
    let mut end = place.to_vec();
    if let Some(last) = end.last_mut() {
        *last = if *last == b'/' { b'/' + 1 } else { 0x20 };
    }
    end.into()
}

/// The namespace of a place.
pub(crate) fn place_owner(place: &[u8]) -> &[u8] {
    place.get(1..place.len().saturating_sub(1)).unwrap_or_default()
}

/// A bound as commands of sorted sets want it.
pub(crate) fn low(bound: &Bound<Bytes>) -> Vec<u8> {
    edge(bound, b"-")
}

/// The same at the end of a range.
pub(crate) fn high(bound: &Bound<Bytes>) -> Vec<u8> {
    edge(bound, b"+")
}

fn edge(bound: &Bound<Bytes>, open: &[u8]) -> Vec<u8> {
    match bound {
        Bound::Included(key) => [b"[", &key[..]].concat(),
        Bound::Excluded(key) => [b"(", &key[..]].concat(),
        Bound::Unbounded => open.to_vec(),
    }
}

/// Where a range begins and ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Ends {
    /// The place that its beginning is in.
    pub(crate) first: Option<Bytes>,
    /// The place that its end is in.
    pub(crate) last: Option<Bytes>,
}

impl Ends {
    pub(crate) fn of(scan: &Scan) -> Self {
        let at = |bound: &Bound<Bytes>| match bound {
            Bound::Included(key) | Bound::Excluded(key) => place(key),
            Bound::Unbounded => None,
        };
        Self { first: at(&scan.start), last: at(&scan.end) }
    }

    /// The namespace whose keys alone are in the range, where that can be seen.
    pub(crate) fn owner(&self, scan: &Scan) -> Option<Bytes> {
        let first = self.first.as_ref()?;
        let within =
            self.last.as_ref() == Some(first) || matches!(&scan.end, Bound::Excluded(end) if *end == place_end(first));
        within.then(|| Bytes::copy_from_slice(place_owner(first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slots_are_those_of_redis_cluster() {
        // From the specification of Redis Cluster, and what CLUSTER KEYSLOT says.
        assert_eq!(slot(b"123456789"), 0x31c3);
        assert_eq!(slot(b"foo{hash_tag}"), slot(b"bar{hash_tag}"));
        assert_eq!(slot(b"{}x"), slot(b"{}x"));
        assert_ne!(slot(b"{}x"), slot(b"{}y"));
    }

    #[test]
    fn names_of_one_namespace_are_in_one_slot_whatever_is_in_it() {
        for owner in ["", "app/a/1", "}a/b/c", "a{/}b/c", "a}/b/{"] {
            let [v, k] = ["v", "k"].map(|what| name("stash", owner.as_bytes(), what));
            assert_ne!(v, k);
            assert_eq!(slot(&v), slot(&k), "{owner:?}");
        }
    }

    #[test]
    fn places_hold_one_namespace() {
        assert_eq!(place(b"rapp/a/1/key"), Some("rapp/a/1/".into()));
        assert_eq!(place(b"rapp/a/1\x1forders/7"), Some("rapp/a/1\0".into()));
        assert_eq!(place(b"hformat"), None);
        assert_eq!(place_owner(b"rapp/a/1/"), b"app/a/1");
        assert_eq!((place_end(b"ra/b/c/"), place_end(b"ra/b/c\0")), ("ra/b/c0".into(), "ra/b/c ".into()));
        let owner = |scan: &Scan| Ends::of(scan).owner(scan);
        assert_eq!(owner(&Scan::prefix(b"ra/b/c/")), Some("a/b/c".into()));
        assert_eq!(owner(&Scan::prefix(b"ra/b/c/x")), Some("a/b/c".into()));
        assert_eq!(owner(&Scan::prefix(b"ra/b/c\x1fd/")), Some("a/b/c".into()));
        for prefix in ["", "r", "h", "ra/b/c"] {
            assert_eq!(owner(&Scan::prefix(prefix.as_bytes())), None, "{prefix:?}");
        }
    }
}
