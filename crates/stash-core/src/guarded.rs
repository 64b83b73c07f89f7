//! How much a component may store: the outermost layer. It must refuse before anything below has seen the call, or, for
//! what only the commit can know, make the refusal part of the commit.

use crate::batch::{Batch, Committed, Mutation, limit};
use crate::error::StorageError;
use crate::limits::{DEFAULT_MAX_VALUE_BYTES, MAX_VALUE_BYTES};
use crate::record::Record;
use crate::storage::{ComponentStorage, KeyPage, ListRequest, Usage};

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

    async fn scan_keys(&self, request: &ListRequest) -> Result<KeyPage, StorageError> {
        self.inner.scan_keys(request).await
    }

    async fn commit(&self, mut batch: Batch) -> Result<Committed, StorageError> {
        batch.check_size()?;
        for mutation in batch.mutations() {
            if let Mutation::Set { value, .. } = mutation
                && value.len() > self.limits.max_value_bytes
            {
                return Err(limit("the size of a value in bytes", value.len(), self.limits.max_value_bytes));
            }
        }
        if let Some(quota) = self.limits.quota_bytes {
            batch = batch.require_usage_at_most(quota);
        }
        self.inner.commit(batch).await
    }

    fn gaps(&self) -> u64 {
        self.inner.gaps()
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        let usage = self.inner.usage(scope).await?;
        Ok(Usage { quota_bytes: self.limits.quota_bytes.or(usage.quota_bytes), ..usage })
    }
}
