//! One unchanging state of a component's storage, for pages that belong together and for transactions. Holding one may
//! keep the engine from reusing space, so nobody may keep one without a bound on its life.

use std::fmt;
use std::sync::Arc;

use crate::clock::Timestamp;
use crate::collection::{CollectionName, Place};
use crate::erased::BoxFuture;
use crate::error::StorageError;
use crate::id::ComponentId;
use crate::keyspace::check_key;
use crate::record::{Record, Version};
use crate::scan::{ScanPage, ScanRequest};

/// The state that a transaction has read: the commit it saw last, and until when nothing that it read expires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Since {
    pub(crate) version: Version,
    pub(crate) fresh_until: Option<Timestamp>,
}

/// One state of a backend, in full names. What has expired by the time it is read is not there, also where it was there
/// when the snapshot was taken.
pub trait BackendSnapshot: Send + Sync {
    /// As [`ComponentStorage::read`](crate::ComponentStorage::read).
    fn read<'a>(&'a self, keys: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Record>>, StorageError>>;

    /// As [`ComponentStorage::scan`](crate::ComponentStorage::scan).
    fn scan<'a>(&'a self, request: &'a ScanRequest) -> BoxFuture<'a, Result<ScanPage, StorageError>>;

    /// The number of the namespace's last commit.
    fn version<'a>(&'a self, scope: &'a str) -> BoxFuture<'a, Result<Version, StorageError>>;
}

/// One state of one component's storage, seen from one of its collections. Clones are the same state.
#[derive(Clone)]
pub struct StorageSnapshot {
    inner: Arc<dyn BackendSnapshot>,
    id: ComponentId,
    prefix: Arc<str>,
}

impl StorageSnapshot {
    pub(crate) fn new(inner: Arc<dyn BackendSnapshot>, id: &ComponentId, place: &Place) -> Self {
        Self { inner, id: id.clone(), prefix: place.prefix(id).into() }
    }

    /// The same state, seen from another collection of the component; with `None`, from the default one.
    #[must_use]
    pub fn in_collection(&self, name: Option<&CollectionName>) -> Self {
        self.in_place(&name.map_or(Place::Default, |name| Place::Named(name.clone())))
    }

    pub(crate) fn in_place(&self, place: &Place) -> Self {
        Self::new(Arc::clone(&self.inner), &self.id, place)
    }

    /// The records with these keys, in their order.
    ///
    /// # Errors
    /// As [`ComponentStorage::read`](crate::ComponentStorage::read).
    pub async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        let full = |key: &&str| check_key(key).map(|()| [&*self.prefix, key].concat());
        let keys = keys.iter().map(full).collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.inner.read(&keys).await
    }

    /// One page.
    ///
    /// # Errors
    /// As [`ComponentStorage::scan`](crate::ComponentStorage::scan).
    pub async fn scan(&self, request: &ScanRequest) -> Result<ScanPage, StorageError> {
        request.check()?;
        leave(self.inner.scan(&request.enter(&self.prefix)).await?, &self.prefix)
    }

    /// The number of the component's last commit in this state.
    ///
    /// # Errors
    /// The engine's.
    pub async fn version(&self) -> Result<Version, StorageError> {
        self.inner.version(self.id.key_prefix()).await
    }
}

impl fmt::Debug for StorageSnapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StorageSnapshot").field("id", &self.id).finish_non_exhaustive()
    }
}

/// Takes `prefix` off every key of a page.
pub(crate) fn leave(mut page: ScanPage, prefix: &str) -> Result<ScanPage, StorageError> {
    let left = || StorageError::Corrupt { reason: "a listing left its namespace".to_owned() };
    for entry in &mut page.entries {
        let key = std::mem::take(&mut entry.key);
        entry.key = key.without_prefix(prefix).ok_or_else(left)?;
    }
    page.resume = page.resume.map(|key| key.without_prefix(prefix).ok_or_else(left)).transpose()?;
    Ok(page)
}
