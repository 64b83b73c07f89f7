//! What has changed in a component since a version: what can be asked for, and what is answered. Components keep it only
//! where it was asked for.

use crate::clock::Timestamp;
use crate::collection::CollectionName;
use crate::limits::{DEFAULT_PAGE_ITEMS, MAX_PAGE_BYTES};
use crate::record::{Record, Version};

/// Which changes to read. They are those of the whole component, from whichever of its collections one asks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangesRequest {
    /// Those of commits after this one: what [`ChangesPage::through`] of the page before says.
    pub since: Version,
    /// Whose.
    pub of: ChangesOf,
    /// Of keys that begin with this.
    pub prefix: String,
    /// At most so many changes, or those of one commit where it has more. Never more than
    /// [`MAX_PAGE_ITEMS`](crate::limits::MAX_PAGE_ITEMS) beyond a single commit.
    pub limit: usize,
    /// At most so many bytes of keys and values, or those of one commit where it has more. Never more than
    /// [`MAX_PAGE_BYTES`] beyond a single commit.
    pub max_bytes: usize,
    /// With the records that were set.
    pub values: bool,
}

impl ChangesRequest {
    /// All changes of the component since a version, with values.
    pub fn since(since: Version) -> Self {
        Self {
            since,
            of: ChangesOf::Component,
            prefix: String::new(),
            limit: DEFAULT_PAGE_ITEMS,
            max_bytes: MAX_PAGE_BYTES,
            values: true,
        }
    }
}

/// Whose changes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum ChangesOf {
    /// Those of all the component's collections.
    #[default]
    Component,
    /// Those of one collection; with `None`, of the default one.
    Collection(Option<CollectionName>),
}

/// Some changes, in the order of commits. A page is made of whole commits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ChangesPage {
    /// The changes. Those of one commit are in no order that means anything: each is of another key.
    pub changes: Vec<ChangeRecord>,
    /// All changes up to this version were on this page or before it, or are not of those that were asked for: where the
    /// next page begins.
    pub through: Version,
    /// Whether there were others after it when the page was read. A page may be empty and not the last.
    pub more: bool,
}

/// What a commit did to one key, all its steps together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRecord {
    /// The commit.
    pub version: Version,
    /// The collection of the key; `None` for the default one.
    pub collection: Option<CollectionName>,
    /// The key, as the component wrote it.
    pub key: String,
    /// What became of its record.
    pub kind: ChangeKind,
    /// When the commit was.
    pub time: Timestamp,
    /// The record as the commit left it, also where it has expired since; `None` where it was removed, or where values
    /// were not asked for.
    pub record: Option<Record>,
}

/// What became of a record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ChangeKind {
    /// It was made, or its value, its expiry or its metadata changed.
    Set,
    /// It was deleted, with its collection too, or set to expire at a moment that had passed.
    Delete,
    /// It had expired, and the store has removed it: at some time after that moment.
    Expire,
}
