//! What a guest is told of an error. It must never show a namespace, a path or anything else of the host's: those go to
//! the log.

use stash_core::{ComponentId, StorageError, Version};
use tracing::warn;
use wasmtime::component::{Resource, ResourceTable, ResourceTableError};

use crate::bindings::stash::storage::types;

/// Why a call of a guest did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// What the guest is told.
    Storage(StorageError),
    /// What ends the guest: it used a handle that it does not have.
    Trap(wasmtime::Error),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        Self::Trap(error.into())
    }
}

/// A handle for the guest.
pub(crate) fn push<T: Send + 'static>(table: &mut ResourceTable, entry: T) -> Result<Resource<T>, Failure> {
    match table.push(entry) {
        Err(ResourceTableError::Full) => {
            let limit = u64::try_from(table.max_capacity()).unwrap_or(u64::MAX);
            let (what, actual) = ("the number of open handles", limit.saturating_add(1));
            let instead = "drop some that are no longer needed";
            Err(Failure::Storage(StorageError::LimitExceeded { what, actual, limit, instead }))
        }
        pushed => Ok(pushed?),
    }
}

/// Tells the log of an error that is the store's own fault.
pub(crate) fn log(component: &ComponentId, error: &StorageError) {
    if let StorageError::Io { .. } | StorageError::Corrupt { .. } = error {
        warn!(%component, %error, "a storage call failed");
    }
}

/// The text of the error, for interfaces that have no case for it.
pub(crate) fn guest_text(error: StorageError) -> String {
    match guest_error(error) {
        types::Error::Conflict(conflict) => conflict.message,
        types::Error::NotFound(text)
        | types::Error::AlreadyExists(text)
        | types::Error::QuotaExceeded(text)
        | types::Error::InvalidKey(text)
        | types::Error::IoError(text)
        | types::Error::LimitExceeded(text)
        | types::Error::Unavailable(text)
        | types::Error::InvalidNumber(text)
        | types::Error::InvalidArgument(text)
        | types::Error::TransactionOver(text)
        | types::Error::NotEmpty(text)
        | types::Error::VersionForgotten(text)
        | types::Error::Unsupported(text) => text,
    }
}

/// The case of the WIT variant, and its text.
pub(crate) fn guest_error(error: StorageError) -> types::Error {
    let text = error.to_string();
    let conflict = |key: Option<String>, current: Option<Version>| {
        let current = current.map(|version| version.0);
        types::Error::Conflict(types::Conflict { message: text.clone(), key, current })
    };
    match error {
        StorageError::NotFound { .. } | StorageError::NoCollection { .. } => types::Error::NotFound(text),
        StorageError::AlreadyExists { .. } | StorageError::CollectionExists { .. } => types::Error::AlreadyExists(text),
        StorageError::QuotaExceeded { .. } => types::Error::QuotaExceeded(text),
        StorageError::InvalidKey { .. } => types::Error::InvalidKey(text),
        StorageError::LimitExceeded { .. } => types::Error::LimitExceeded(text),
        StorageError::Conflict { key, current, .. } => conflict(Some(key), current),
        StorageError::TransactionConflict { key, current } => conflict(key, current),
        StorageError::TransactionOver { .. } => types::Error::TransactionOver(text),
        StorageError::NotANumber { .. } | StorageError::NumberOutOfRange { .. } => types::Error::InvalidNumber(text),
        StorageError::InvalidArgument { .. } => types::Error::InvalidArgument(text),
        StorageError::CollectionNotEmpty { .. } => types::Error::NotEmpty(text),
        StorageError::VersionForgotten { .. } | StorageError::ChangesForgotten { .. } => {
            types::Error::VersionForgotten(text)
        }
        StorageError::Unsupported { .. } => types::Error::Unsupported(text),
        // How much others write is none of a guest's business.
        StorageError::Unavailable { .. } => types::Error::Unavailable("the store is busy; try again".to_owned()),
        StorageError::Closed => types::Error::Unavailable(text),
        // What the engine says names files and devices of the host.
        StorageError::Io { .. } => types::Error::IoError("the store could not read or write its data".to_owned()),
        StorageError::Corrupt { .. } => types::Error::IoError("stored data cannot be read".to_owned()),
        _ => types::Error::IoError("the store failed".to_owned()),
    }
}
