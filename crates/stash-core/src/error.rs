//! What can go wrong, as one type for every layer. An error text never carries a value, and what a guest may see of
//! one (see `stash-host`) never carries a namespace or a file's path.

use crate::limits::MAX_KEY_BYTES;

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
    #[error("limit exceeded: {what} is {actual}; the limit is {limit}")]
    LimitExceeded {
        /// What is too large, with its unit.
        what: &'static str,
        /// How large it is.
        actual: u64,
        /// How large it may be.
        limit: u64,
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

    /// The same error with `prefix` taken off the key in it: how the namespace layer keeps namespaces out of answers.
    pub(crate) fn without_prefix(self, prefix: &str) -> Self {
        let strip = |key: String| match key.strip_prefix(prefix) {
            Some(rest) => rest.to_owned(),
            None => key,
        };
        match self {
            Self::NotFound { key } => Self::NotFound { key: strip(key) },
            Self::AlreadyExists { key } => Self::AlreadyExists { key: strip(key) },
            other => other,
        }
    }
}
