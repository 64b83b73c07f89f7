//! What a guest is told where a call of another host's key-value interface fails. It must never show a namespace, a path or
//! anything else of the host's.

use stash_core::{ComponentId, StorageError};
use wasmtime::component::{Resource, ResourceTableError};

use super::cas::Cas;
use crate::failure::guest_text;

/// Why a call did not do what was asked.
#[derive(Debug)]
pub(crate) enum Failure {
    /// No bucket can have this name.
    NoSuchStore,
    /// The configuration does not allow this name.
    AccessDenied,
    /// The guest has as many buckets open as it may.
    TableFull,
    /// The answer would be larger than the host hands out.
    ResultTooLarge(usize),
    /// The guest's handles and streams keep as many bytes as they may.
    TooMuchKept(usize),
    /// What the store said.
    Storage(StorageError),
    /// What ends the guest: it used a handle that it does not have.
    Trap(wasmtime::Error),
}

/// The cases that every shape's `error` has, and the text of `other`.
pub(crate) enum Told {
    NoSuchStore,
    AccessDenied,
    Full(String),
    Other(String),
}

impl Failure {
    /// An argument that makes no sense.
    pub(crate) fn invalid(reason: impl Into<String>) -> Self {
        Self::Storage(StorageError::InvalidArgument { reason: reason.into() })
    }

    /// What the guest is told; an error is what ends it.
    pub(crate) fn told(self, component: &ComponentId) -> wasmtime::Result<Told> {
        Ok(match self {
            // The collection of a bucket may be deleted while the bucket is open.
            Self::NoSuchStore | Self::Storage(StorageError::NoCollection { .. }) => Told::NoSuchStore,
            Self::AccessDenied => Told::AccessDenied,
            Self::TableFull => Told::Full("too many buckets are open; drop those that are not needed".to_owned()),
            Self::ResultTooLarge(limit) => Told::Other(format!("query result exceeds limit of {limit} bytes")),
            Self::TooMuchKept(limit) => Told::Other(format!(
                "other handles and streams keep as much as they may, {limit} bytes; drop those that are not needed"
            )),
            Self::Storage(error) => {
                crate::failure::log(component, &error);
                Told::Other(guest_text(error))
            }
            Self::Trap(trap) => return Err(trap),
        })
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<ResourceTableError> for Failure {
    fn from(error: ResourceTableError) -> Self {
        match error {
            ResourceTableError::Full => Self::TableFull,
            error => Self::Trap(error.into()),
        }
    }
}

/// Why a swap did not happen.
#[derive(Debug)]
pub(crate) enum CasFailure {
    /// Somebody else was faster; the handle is on what there is now.
    Failed(Resource<Cas>),
    /// The store failed.
    Store(Failure),
}

impl<E: Into<Failure>> From<E> for CasFailure {
    fn from(error: E) -> Self {
        Self::Store(error.into())
    }
}
