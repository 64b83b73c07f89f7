//! What can go wrong, as one type for every layer. An error text never carries a value, and what a guest may see of
//! one (see `stash-host`) never carries a namespace or a file's path.

use std::time::Duration;

use crate::limits::MAX_KEY_BYTES;
use crate::record::Version;

/// Why a storage call did not do what was asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StorageError {
    /// The batch required the key to be present, and it is not.
    #[error("no record with the key '{key}'")]
    NotFound {
        /// The key, as the caller wrote it.
        key: String,
    },
    /// The batch required the key to be absent, and it is not.
    #[error("there is already a record with the key '{key}'")]
    AlreadyExists {
        /// The key, as the caller wrote it.
        key: String,
    },
    /// The record is not of the version that the caller expected. Nothing was stored; read it again and decide anew.
    #[error("conflict on '{key}': {}", conflict(*expected, *current))]
    Conflict {
        /// The key, as the caller wrote it.
        key: String,
        /// The version that was expected; `None` where there was to be no record.
        expected: Option<Version>,
        /// The version that it has; `None` where there is no record.
        current: Option<Version>,
    },
    /// Another commit changed what the transaction has read (or, under snapshot isolation, what it writes). Nothing was
    /// stored; the same transaction, run again, may succeed.
    #[error("the transaction conflicts with a later commit{}; run it again", of_key(key.as_deref()))]
    TransactionConflict {
        /// The key of the record that changed; `None` where a range did.
        key: Option<String>,
        /// The version that the record has now; `None` where there is none, and for a range.
        current: Option<Version>,
    },
    /// The transaction is over: it was open for too long, or was committed or rolled back before. Nothing of it was
    /// stored by this call.
    #[error("the transaction is over: {reason}")]
    TransactionOver {
        /// What ended it.
        reason: String,
    },
    /// A number was to be changed, and the value is none.
    #[error("the value of '{key}' is not a whole number in decimal digits between {} and {}", i64::MIN, i64::MAX)]
    NotANumber {
        /// The key, as the caller wrote it.
        key: String,
    },
    /// A number would leave the range of 64 bits; it stays as it was.
    #[error("the number in '{key}' would be out of range: {number} and a change of {delta}")]
    NumberOutOfRange {
        /// The key, as the caller wrote it.
        key: String,
        /// The number as it is.
        number: i64,
        /// What was to be added.
        delta: i64,
    },
    /// The collection does not keep what the key was then.
    #[error("version {version} of '{key}' is no longer kept, or never was: see the collection's settings")]
    VersionForgotten {
        /// The key, as the caller wrote it.
        key: String,
        /// The version that was asked for.
        version: Version,
    },
    /// The log of changes does not have all that happened since then: it was never kept, is no longer, or ends before.
    #[error("the changes since version {since} are not kept{}", kept_changes(*kept))]
    ChangesForgotten {
        /// The version since which changes were asked for.
        since: Version,
        /// Since which version they are kept; `None` where they are not.
        kept: Option<Version>,
    },
    /// There is no collection with this name.
    #[error("no collection with the name '{name}'")]
    NoCollection {
        /// The name.
        name: String,
    },
    /// There is a collection with this name already.
    #[error("there is already a collection with the name '{name}'")]
    CollectionExists {
        /// The name.
        name: String,
    },
    /// The collection holds records, or other collections, and was to be deleted only if it is empty.
    #[error("the collection '{name}' is not empty; delete it recursively to delete all that is in it")]
    CollectionNotEmpty {
        /// The name.
        name: String,
    },
    /// An argument of the call makes no sense: a pattern, a cursor, a name, an attribute.
    #[error("invalid argument: {reason}")]
    InvalidArgument {
        /// What is wrong with it.
        reason: String,
    },
    /// The store, or this collection, does not have the feature that was asked for.
    #[error("not supported: {reason}")]
    Unsupported {
        /// What it lacks, and what to do.
        reason: String,
    },
    /// The commit would take the component over its quota; nothing of it was stored.
    #[error("quota exceeded: {used} of {quota} bytes are used and this needs {needed} more; delete something first")]
    QuotaExceeded {
        /// Bytes used before the commit.
        used: u64,
        /// Bytes allowed.
        quota: u64,
        /// Bytes that the commit would have added.
        needed: u64,
    },
    /// The key cannot name a record.
    #[error("invalid key: {reason}")]
    InvalidKey {
        /// What is wrong with it.
        reason: String,
    },
    /// The call is larger than a limit allows; nothing of it was done.
    #[error("limit exceeded: {what} is {actual}; the limit is {limit}{}", then_do(instead))]
    LimitExceeded {
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it is.
        actual: u64,
        /// How large it may be.
        limit: u64,
        /// What to do instead, where that is known; else empty.
        instead: &'static str,
    },
    /// The store cannot take the call now; the same call may succeed later. Nothing of it was done.
    #[error("the store is unavailable: {reason}")]
    Unavailable {
        /// Why.
        reason: String,
    },
    /// The store has been closed. Nothing of the call was done.
    #[error("the store is closed")]
    Closed,
    /// Reading or writing failed. After a failed commit the next read tells what the disk holds.
    #[error("storage I/O error: {reason}")]
    Io {
        /// What the engine said.
        reason: String,
    },
    /// Stored bytes are not what this version of Stash writes: damage, or a newer version's data.
    #[error("stored data cannot be read: {reason}")]
    Corrupt {
        /// What was found, where.
        reason: String,
    },
}

impl StorageError {
    /// An [`Io`](Self::Io) error with what was being done and the cause.
    pub fn io(doing: &str, cause: impl std::fmt::Display) -> Self {
        Self::Io { reason: format!("{doing}: {cause}") }
    }

    /// The error for a key that is empty or too long; see [`check_key`](crate::keyspace::check_key).
    pub(crate) fn key_length(bytes: usize) -> Self {
        let reason = if bytes == 0 {
            "a key has at least one byte".to_owned()
        } else {
            format!("it has {bytes} bytes; the limit is {MAX_KEY_BYTES}")
        };
        Self::InvalidKey { reason }
    }

    /// Whether the same call, or the same transaction run again, may succeed without anything else being done.
    pub fn invites_retry(&self) -> bool {
        matches!(self, Self::TransactionConflict { .. } | Self::Unavailable { .. })
    }

    /// The error of a transaction that was open for too long.
    pub(crate) fn transaction_too_old(limit: Duration) -> Self {
        let reason =
            format!("it was open for longer than {} s and was rolled back; begin a new one", limit.as_secs_f64());
        Self::TransactionOver { reason }
    }

    /// The same error with `prefix` taken off the key in it: how the namespace layer keeps namespaces out of answers.
    pub(crate) fn without_prefixes(mut self, prefixes: &[String]) -> Self {
        let (Self::NotFound { key }
        | Self::AlreadyExists { key }
        | Self::Conflict { key, .. }
        | Self::TransactionConflict { key: Some(key), .. }
        | Self::NotANumber { key }
        | Self::VersionForgotten { key, .. }
        | Self::NumberOutOfRange { key, .. }) = &mut self
        else {
            return self;
        };
        if let Some(rest) = prefixes.iter().find_map(|prefix| key.strip_prefix(prefix.as_str())) {
            *key = rest.to_owned();
        }
        self
    }
}

fn conflict(expected: Option<Version>, current: Option<Version>) -> String {
    let tell =
        |version: Option<Version>| version.map_or("no record".to_owned(), |version| format!("version {version}"));
    format!("expected {}, and there is {}", tell(expected), tell(current))
}

fn then_do(instead: &str) -> String {
    if instead.is_empty() { String::new() } else { format!("; {instead}") }
}

fn kept_changes(kept: Option<Version>) -> String {
    kept.map_or_else(
        || ": start keeping them, and read everything anew".to_owned(),
        |kept| format!(", but those since {kept}: read everything anew"),
    )
}

fn of_key(key: Option<&str>) -> String {
    key.map_or_else(|| " or an expiry, in what it has read".to_owned(), |key| format!(" of '{key}'"))
}
