//! What to list, and what a page of a list is. It says nothing of how a page is read.

use std::fmt;
use std::ops::Deref;

use bytestring::ByteString;

use crate::error::StorageError;
use crate::keyspace::{check_key, check_prefix};
use crate::limits::{DEFAULT_PAGE_ITEMS, MAX_PAGE_BYTES};
use crate::pattern::Pattern;
use crate::record::Record;

/// The key of a listed record. A clone shares the text.
#[derive(Clone, Default)]
pub struct Key {
    text: ByteString,
    /// Where the key begins: what layers have taken off stays in front of it.
    start: usize,
}

impl Key {
    /// The key in bytes; `None` where they are not UTF-8.
    pub(crate) fn from_bytes(bytes: bytes::Bytes) -> Option<Self> {
        ByteString::try_from(bytes).ok().map(|text| Self { text, start: 0 })
    }

    /// A part of the text; `None` where there is no such part.
    pub(crate) fn slice(&self, range: std::ops::Range<usize>) -> Option<Self> {
        let part = self.as_str().get(range)?;
        Some(Self { text: self.text.slice_ref(part), start: 0 })
    }

    /// The rest of the key after `prefix`; `None` where it does not begin with it.
    pub(crate) fn without_prefix(self, prefix: &str) -> Option<Self> {
        self.starts_with(prefix).then(|| Self { start: self.start + prefix.len(), ..self })
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        self.text.get(self.start..).unwrap_or_default()
    }
}

impl Deref for Key {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&str> for Key {
    fn from(text: &str) -> Self {
        Self { text: text.into(), start: 0 }
    }
}

impl From<Key> for String {
    fn from(key: Key) -> Self {
        key.as_str().to_owned()
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.as_str() == other.as_str()
    }
}

impl Eq for Key {}

impl std::hash::Hash for Key {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.as_str().hash(state);
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.as_str().cmp(other.as_str())
    }
}

impl PartialEq<str> for Key {
    fn eq(&self, other: &str) -> bool {
        self.as_str() == other
    }
}

impl PartialEq<&str> for Key {
    fn eq(&self, other: &&str) -> bool {
        self.as_str() == *other
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_str().fmt(f)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self)
    }
}

/// Which records: all that fit every condition. The default is all records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyRange {
    /// Keys that begin with this.
    pub prefix: String,
    /// Keys from this one on, itself included.
    pub start: Option<String>,
    /// Keys before this one, itself not included.
    pub end: Option<String>,
    /// Keys that match.
    pub pattern: Option<Pattern>,
}

impl KeyRange {
    /// All keys that begin with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// Whether a key fits.
    pub fn contains(&self, key: &str) -> bool {
        key.starts_with(&self.prefix)
            && self.start.as_ref().is_none_or(|start| key >= start.as_str())
            && self.end.as_ref().is_none_or(|end| key < end.as_str())
            && self.pattern.as_ref().is_none_or(|pattern| pattern.matches(key))
    }

    pub(crate) fn check(&self) -> Result<(), StorageError> {
        check_prefix(&self.prefix)?;
        self.start.iter().chain(&self.end).try_for_each(|bound| check_prefix(bound))
    }
}

/// A page to be read: which records, which way, how many.
///
/// ```
/// use stash_core::ScanRequest;
/// let newest_first = ScanRequest { reverse: true, limit: 20, ..ScanRequest::prefix("order:") };
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanRequest {
    /// Which records.
    pub range: KeyRange,
    /// Only keys beyond this one, in the direction of the scan, whether or not it is there: how a list goes on.
    pub after: Option<String>,
    /// From the last key to the first.
    pub reverse: bool,
    /// At most so many, and at least 1: less is [`InvalidArgument`](StorageError::InvalidArgument).
    pub limit: usize,
    /// Stop after the record with which the page reaches so many bytes of keys, and of values where they are read.
    pub max_bytes: usize,
    /// Whether to read values, content types and attributes. Without them a record's `value` is empty, and a page costs
    /// less.
    pub values: bool,
}

impl Default for ScanRequest {
    /// All keys without values, from the first: a page of [`DEFAULT_PAGE_ITEMS`] and [`MAX_PAGE_BYTES`].
    fn default() -> Self {
        Self {
            range: KeyRange::default(),
            after: None,
            reverse: false,
            limit: DEFAULT_PAGE_ITEMS,
            max_bytes: MAX_PAGE_BYTES,
            values: false,
        }
    }
}

impl ScanRequest {
    /// The first keys that begin with `prefix`, without values.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { range: KeyRange::prefix(prefix), ..Self::default() }
    }

    /// The same with values.
    #[must_use]
    pub fn with_values(self) -> Self {
        Self { values: true, ..self }
    }

    /// The same among keys that have `prefix` in front. The pattern stays one of the keys without it.
    pub(crate) fn enter(&self, prefix: &str) -> Self {
        let full = |key: &str| [prefix, key].concat();
        let range = KeyRange {
            prefix: full(&self.range.prefix),
            start: self.range.start.as_deref().map(full),
            end: self.range.end.as_deref().map(full),
            pattern: self.range.pattern.clone(),
        };
        Self { range, after: self.after.as_deref().map(full), ..self.clone() }
    }

    pub(crate) fn check(&self) -> Result<(), StorageError> {
        check_limit(self.limit)?;
        self.range.check()?;
        self.after.as_deref().filter(|after| !after.is_empty()).map_or(Ok(()), check_key)
    }
}

/// A page of nothing would look like the end of the list.
pub(crate) fn check_limit(limit: usize) -> Result<(), StorageError> {
    if limit == 0 {
        return Err(StorageError::InvalidArgument { reason: "a limit is at least 1".to_owned() });
    }
    Ok(())
}

/// A listed record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScanEntry {
    /// Its key.
    pub key: Key,
    /// The record; without value, content type and attributes where they were not asked for.
    pub record: Record,
}

/// Some records, in the order that was asked for, from one consistent state.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ScanPage {
    /// The records.
    pub entries: Vec<ScanEntry>,
    /// The last key that the page has looked at, where the list goes on: [`ScanRequest::after`] of the next page. A page
    /// can have fewer records than asked for, even none, and still not be the last.
    pub resume: Option<Key>,
}

impl ScanPage {
    /// The keys alone.
    pub fn keys(self) -> Vec<String> {
        self.entries.into_iter().map(|entry| entry.key.into()).collect()
    }
}

/// Some keys; as [`ScanPage`], where nothing else of the records is wanted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<String>,
    /// As [`ScanPage::resume`].
    pub resume: Option<String>,
}

impl From<ScanPage> for KeyPage {
    fn from(page: ScanPage) -> Self {
        Self { resume: page.resume.clone().map(String::from), keys: page.keys() }
    }
}
