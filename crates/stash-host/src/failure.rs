//! What a guest is told of an error. It must never show a namespace, a path or anything else of the host's: those go to
//! the log.

use stash_core::StorageError;

use crate::bindings::stash::storage::types;

/// A storage error on its way to a guest.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) StorageError);

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self(error)
    }
}

impl Failure {
    /// The case of the WIT variant, and its text.
    pub(crate) fn into_guest_error(self) -> types::Error {
        let text = self.0.to_string();
        match self.0 {
            StorageError::NotFound { .. } => types::Error::NotFound(text),
            StorageError::AlreadyExists { .. } => types::Error::AlreadyExists(text),
            StorageError::QuotaExceeded { .. } => types::Error::QuotaExceeded(text),
            StorageError::InvalidKey { .. } => types::Error::InvalidKey(text),
            StorageError::LimitExceeded { .. } => types::Error::LimitExceeded(text),
            // How much others write is none of a guest's business.
            StorageError::Unavailable { .. } => types::Error::Unavailable("the store is busy; try again".to_owned()),
            StorageError::Closed => types::Error::Unavailable(text),
            // What the engine says names files and devices of the host.
            StorageError::Io { .. } => types::Error::IoError("the store could not read or write its data".to_owned()),
            StorageError::Corrupt { .. } => types::Error::IoError("stored data cannot be read".to_owned()),
            _ => types::Error::IoError("the store failed".to_owned()),
        }
    }
}
