//! How keys are laid out inside an engine: one byte says which space a key belongs to, then comes its name.
//!
//! Later features get a byte here and need no new tables. A byte once given out is never given another meaning.

use bytes::Bytes;

use crate::error::StorageError;
use crate::limits::MAX_KEY_BYTES;

/// The first byte of every key in an engine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
#[non_exhaustive]
pub enum KeySpace {
    /// Facts about the whole store, such as its format number.
    Host = b'h',
    /// One entry a namespace: its version and usage.
    Namespace = b'n',
    /// The records: `r` + `app/service-a/001/user:123`.
    Record = b'r',
    /// What is to be removed when: `e` + `app/service-a/001/` + the time + which record.
    Expiry = b'e',
    /// Earlier versions of records, in collections that keep them.
    History = b'v',
    /// What each commit did, for components that keep it: `c` + `app/service-a/001/` + the version + which change of it.
    ChangeLog = b'c',
    // Set aside: b'i' secondary indexes, b'b' blob chunks.
}

impl KeySpace {
    /// The engine key for `name` in this space.
    pub fn key(self, name: &str) -> Bytes {
        let mut key = Vec::with_capacity(1 + name.len());
        key.push(self as u8);
        key.extend_from_slice(name.as_bytes());
        key.into()
    }

    /// The name of an engine key of this space; `None` where the key is of another space or not UTF-8.
    pub fn name(self, key: &[u8]) -> Option<&str> {
        let (&space, name) = key.split_first()?;
        if space == self as u8 { std::str::from_utf8(name).ok() } else { None }
    }
}

/// Splits a namespaced key into the prefix of its namespace and the component's own key:
/// `app/service-a/001/user:123` into `app/service-a/001/` and `user:123`.
///
/// The key is everything after the third `/`, so no key, whatever it contains, changes the namespace before it.
pub fn split_namespaced(full: &str) -> Option<(&str, &str)> {
    let (third, _) = full.match_indices('/').nth(2)?;
    full.split_at_checked(third + 1)
}

/// The prefix of the namespace that an engine key is about, such as `app/service-a/001/` without the last `/`; empty where
/// it is about none. Collections belong to their component.
pub fn owner(key: &[u8]) -> &[u8] {
    let Some((_, name)) = key.split_first() else { return &[] };
    let mut slashes = 0;
    for (at, byte) in name.iter().enumerate() {
        match (slashes, byte) {
            // An id has neither control characters nor a slash within its parts.
            (2, b'/' | 0..0x20) => return name.get(..at).unwrap_or_default(),
            (_, b'/') => slashes += 1,
            (_, 0..0x20) => return &[],
            _ => {}
        }
    }
    &[]
}

/// Checks that a component's own key can name a record: 1 to [`MAX_KEY_BYTES`] bytes of UTF-8, any characters.
///
/// # Errors
/// [`StorageError::InvalidKey`].
#[inline]
pub fn check_key(key: &str) -> Result<(), StorageError> {
    if key.is_empty() || key.len() > MAX_KEY_BYTES {
        return Err(StorageError::key_length(key.len()));
    }
    Ok(())
}

/// Checks that a text can begin a component's own keys: anything that is not longer than a key.
pub(crate) fn check_prefix(prefix: &str) -> Result<(), StorageError> {
    if prefix.len() > MAX_KEY_BYTES {
        return Err(StorageError::key_length(prefix.len()));
    }
    Ok(())
}

/// The first byte string after every one that begins with `prefix`; `None` where there is no such string.
pub fn after_prefix(prefix: &[u8]) -> Option<Bytes> {
    let last = prefix.iter().rposition(|byte| *byte != u8::MAX)?;
    let mut end = prefix.get(..=last)?.to_vec();
    if let Some(byte) = end.last_mut() {
        *byte += 1;
    }
    Some(end.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn namespaced_keys_split_at_the_third_slash() {
        assert_eq!(split_namespaced("app/service-a/001/user:123"), Some(("app/service-a/001/", "user:123")));
        assert_eq!(split_namespaced("a/b/c/d/e//f"), Some(("a/b/c/", "d/e//f")));
        assert_eq!(split_namespaced("a/b/c/"), Some(("a/b/c/", "")));
        assert_eq!(split_namespaced("a/b/c"), None);
    }

    #[test]
    fn every_key_of_a_component_has_its_owner() {
        for name in ["app/service-a/001/", "app/service-a/001/user:1/2", "app/service-a/001\u{1f}orders/7"] {
            for space in [KeySpace::Namespace, KeySpace::Record, KeySpace::Expiry, KeySpace::ChangeLog] {
                assert_eq!(owner(&space.key(name)), b"app/service-a/001", "{name:?}");
            }
        }
        for none in ["", "format", "a/b/c", "a/b\u{1f}/c/d"] {
            assert_eq!(owner(&KeySpace::Host.key(none)), b"", "{none:?}");
        }
        assert_eq!(owner(b""), b"");
    }

    proptest! {
        #[test]
        fn after_prefix_is_a_tight_bound(prefix: Vec<u8>, rest: Vec<u8>) {
            let mut inside = prefix.clone();
            inside.extend(&rest);
            match after_prefix(&prefix) {
                Some(end) => {
                    prop_assert!(inside.as_slice() < &end[..]);
                    prop_assert!(!end.starts_with(&prefix));
                }
                None => prop_assert!(prefix.iter().all(|byte| *byte == u8::MAX)),
            }
        }
    }
}
