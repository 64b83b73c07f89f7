//! Records with all that is known of them. Times must stay as exact as the store has them: milliseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use crate::Version;
use crate::raw::types;

/// A record with all that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Entry<V> {
    /// Its key.
    pub key: String,
    /// Its value.
    pub value: V,
    /// The rest.
    pub metadata: Metadata,
}

/// What is known of a record beside its value.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Metadata {
    /// The commit that wrote it; 0 for what the transaction that reads it has written.
    pub version: Version,
    /// When its key was first set, since it was last absent.
    pub created: Option<SystemTime>,
    /// When it was last changed.
    pub updated: Option<SystemTime>,
    /// From when on it is no longer there; `None` where it stays.
    pub expires: Option<SystemTime>,
    /// What the value is, as the component said.
    pub content_type: Option<String>,
    /// Names and values, in the order of the names.
    pub attributes: Vec<(String, String)>,
}

impl Metadata {
    /// The value of an attribute.
    pub fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }
}

impl From<types::Metadata> for Metadata {
    fn from(metadata: types::Metadata) -> Self {
        let types::Metadata { version, created, updated, expires, content_type, attributes } = metadata;
        let [created, updated, expires] = [created, updated, expires].map(|at| at.and_then(moment));
        Self { version, created, updated, expires, content_type, attributes }
    }
}

/// `None` where the system has no such time, in the year 292277026596 or so: the same as never.
fn moment(millis: u64) -> Option<SystemTime> {
    UNIX_EPOCH.checked_add(Duration::from_millis(millis))
}

/// Milliseconds; a part of one counts as a whole, so that nothing goes before its time.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(u64::MAX)
}

/// Milliseconds since 1970; what was before is 0.
pub(crate) fn timestamp(at: SystemTime) -> u64 {
    at.duration_since(UNIX_EPOCH).map_or(0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_milliseconds_and_never_too_short() {
        assert_eq!(millis(Duration::from_secs(2)), 2_000);
        assert_eq!(millis(Duration::from_nanos(1)), 1);
        assert_eq!(millis(Duration::ZERO), 0);
        assert_eq!(millis(Duration::MAX), u64::MAX);
        assert_eq!(timestamp(UNIX_EPOCH + Duration::from_millis(7)), 7);
        assert_eq!(timestamp(UNIX_EPOCH - Duration::from_secs(1)), 0);
        assert_eq!(moment(7), Some(UNIX_EPOCH + Duration::from_millis(7)));
    }

    #[test]
    fn attributes_have_names() {
        let attributes = vec![("a".to_owned(), "1".to_owned())];
        let raw = types::Metadata {
            version: 3,
            created: Some(1),
            updated: None,
            expires: None,
            content_type: None,
            attributes,
        };
        let metadata = Metadata::from(raw);
        assert_eq!((metadata.attribute("a"), metadata.attribute("b")), (Some("1"), None));
        assert_eq!(metadata.created, moment(1));
    }
}
