//! Why a store in etcd cannot be opened, in words that say what to do. Must never show a password or a value.

use stash_core::StorageError;

/// Why a store could not be opened.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL is not one of a store in etcd.
    #[error("not the URL of a store in etcd, such as etcd://a:2379,b:2379,c:2379/prefix: {reason}")]
    Url {
        /// What is wrong with it.
        reason: String,
    },
    /// None of the members answered, or they have no majority.
    #[error(
        "cannot reach etcd at {server}: {reason}; see that it runs, and that the URL has the client ports of its members, \
         and TLS as they have it"
    )]
    Unreachable {
        /// The members.
        server: String,
        /// What happened.
        reason: String,
    },
    /// etcd has answered, and does not let us.
    #[error("etcd at {server} does not open the store: {reason}")]
    Refused {
        /// The members.
        server: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// What is under the prefix is something else, or of a version that this one does not read.
    #[error("what etcd at {server} has under {prefix:?} is not a store that this version of Stash can read: {reason}")]
    NotAStore {
        /// The members.
        server: String,
        /// What the keys begin with.
        prefix: String,
        /// What was found.
        reason: String,
    },
    /// There is none, and none was to be made.
    #[error("there is no store in etcd at {server} under {prefix:?}; check the URL, or run a component first")]
    NoStore {
        /// The members.
        server: String,
        /// What its keys would begin with.
        prefix: String,
    },
    /// Under a shorter prefix there is a store already, to which all keys of this one would belong too.
    #[error(
        "etcd at {server} has a store under {store:?}, and {prefix:?} would be within it; take a prefix that does not begin with that"
    )]
    Within {
        /// The members.
        server: String,
        /// What the keys were to begin with.
        prefix: String,
        /// What the keys of the store that is there begin with.
        store: String,
    },
    /// A file that the URL names, or this computer, is in the way.
    #[error("cannot open the store in etcd: {reason}")]
    Io {
        /// What happened.
        reason: String,
    },
}

impl From<StorageError> for OpenError {
    fn from(error: StorageError) -> Self {
        Self::Io { reason: error.to_string() }
    }
}

impl OpenError {
    /// What the layers above found when they first read the store.
    pub(crate) fn of_storage(server: String, prefix: String, error: StorageError) -> Self {
        match error {
            StorageError::Corrupt { reason } => Self::NotAStore { server, prefix, reason },
            StorageError::Unavailable { reason } => Self::Unreachable { server, reason },
            error => Self::Refused { server, reason: error.to_string() },
        }
    }
}
