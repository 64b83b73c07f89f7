//! Earlier versions of a key: what can be asked for, and what is answered. Collections keep them only where their
//! settings say so.

use crate::record::{Record, Version};

/// Which versions of a key to read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct VersionsRequest {
    /// The key.
    pub key: String,
    /// Only versions up to this one: with a limit of 1, the record as it was then.
    pub at_most: Option<Version>,
    /// At most so many, and at least 1: less is [`InvalidArgument`](crate::StorageError::InvalidArgument).
    pub limit: usize,
}

/// Versions of a key, the newest first.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyVersions {
    /// The versions.
    pub versions: Vec<KeyVersion>,
    /// Whether there are older ones that are kept.
    pub more: bool,
    /// Whether there were older ones that are no longer kept.
    pub forgotten: bool,
}

/// One version of a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyVersion {
    /// The commit that made it.
    pub version: Version,
    /// The record; `None` where the commit deleted it, or where it has expired since.
    pub record: Option<Record>,
    /// The commit that replaced it; `None` of the present record, and of a deletion. Where the next version that is kept
    /// is a later one than this, those between are no longer kept.
    pub ended: Option<Version>,
}
