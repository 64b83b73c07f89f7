//! How much a component may store: the outermost layer. It must refuse before anything below has seen the call, or, for
//! what only the commit can know, make the refusal part of the commit.

use std::sync::Arc;

use crate::batch::{Batch, Committed};
use crate::capabilities::Capabilities;
use crate::changes::{ChangesPage, ChangesRequest};
use crate::clock::Timestamp;
use crate::cursor::CursorKey;
use crate::engine::EngineStatus;
use crate::error::StorageError;
use crate::feed::Feed;
use crate::history::{KeyVersions, VersionsRequest};
use crate::limits::{DEFAULT_MAX_VALUE_BYTES, MAX_VALUE_BYTES};
use crate::record::{Record, Version};
use crate::scan::{KeyPage, KeyRange, ScanPage, ScanRequest};
use crate::snapshot::{BackendSnapshot, StorageSnapshot};
use crate::storage::{ComponentStorage, PlaceName, Usage};

/// How much a component may store.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreLimits {
    /// Bytes in one value. At most [`MAX_VALUE_BYTES`].
    pub max_value_bytes: usize,
    /// Bytes of keys and values in all; `None` for no limit.
    pub quota_bytes: Option<u64>,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self { max_value_bytes: DEFAULT_MAX_VALUE_BYTES, quota_bytes: None }
    }
}

/// A storage with limits.
#[derive(Debug, Clone)]
pub struct Guarded<S> {
    inner: S,
    limits: StoreLimits,
}

impl<S> Guarded<S> {
    /// Puts `limits` on `inner`.
    pub fn new(inner: S, limits: StoreLimits) -> Self {
        let max_value_bytes = limits.max_value_bytes.min(MAX_VALUE_BYTES);
        Self { inner, limits: StoreLimits { max_value_bytes, ..limits } }
    }

    /// The layer below.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

impl<S: ComponentStorage> ComponentStorage for Guarded<S> {
    fn look(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        self.inner.look(key, see)
    }

    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        self.inner.read_one(key).await
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        self.inner.read(keys).await
    }

    async fn scan(&self, request: &ScanRequest) -> Result<ScanPage, StorageError> {
        self.inner.scan(request).await
    }

    async fn scan_keys(&self, request: &ScanRequest) -> Result<KeyPage, StorageError> {
        self.inner.scan_keys(request).await
    }

    async fn count(&self, range: &KeyRange) -> Result<u64, StorageError> {
        self.inner.count(range).await
    }

    async fn versions(&self, request: &VersionsRequest) -> Result<KeyVersions, StorageError> {
        self.inner.versions(request).await
    }

    async fn changes(&self, scope: &str, request: &ChangesRequest) -> Result<ChangesPage, StorageError> {
        self.inner.changes(scope, request).await
    }

    async fn keep_changes(&self, scope: &str, keep: bool) -> Result<Version, StorageError> {
        self.inner.keep_changes(scope, keep).await
    }

    async fn changed(&self, scope: &str, after: Version) -> Result<Version, StorageError> {
        self.inner.changed(scope, after).await
    }

    async fn backend_snapshot(&self) -> Result<Arc<dyn BackendSnapshot>, StorageError> {
        self.inner.backend_snapshot().await
    }

    async fn snapshot(&self) -> Result<StorageSnapshot, StorageError> {
        self.inner.snapshot().await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        let mut batch = batch.require_values_at_most(self.limits.max_value_bytes);
        batch.check_size()?;
        if let Some(quota) = self.limits.quota_bytes {
            batch = batch.require_usage_at_most(quota);
        }
        self.inner.commit(batch).await
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        let usage = self.inner.usage(scope).await?;
        Ok(Usage { quota_bytes: self.limits.quota_bytes.or(usage.quota_bytes), ..usage })
    }

    fn in_place(&self, place: &PlaceName) -> Result<Self, StorageError> {
        Ok(Self { inner: self.inner.in_place(place)?, limits: self.limits })
    }

    fn place(&self) -> PlaceName {
        self.inner.place()
    }

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn cursors(&self) -> CursorKey {
        self.inner.cursors()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = self.inner.capabilities();
        let limits = &mut capabilities.limits;
        limits.value_bytes = limits.value_bytes.min(self.limits.max_value_bytes);
        limits.quota_bytes = self.limits.quota_bytes.or(limits.quota_bytes);
        capabilities
    }

    fn status(&self) -> EngineStatus {
        self.inner.status()
    }

    fn gaps(&self) -> u64 {
        self.inner.gaps()
    }

    fn feed(&self, key: &str) -> Option<Arc<Feed>> {
        self.inner.feed(key)
    }
}
