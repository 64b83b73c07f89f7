//! [`ComponentStore`]: one component's whole chain, whichever engine is below. Clones are the same chain.

use std::fmt;
use std::sync::Arc;

use stash_core::{
    Batch, CacheHandle, CacheStats, Committed, ComponentId, ComponentStorage, DynStorage, KeyPage, ListRequest, Record,
    StorageError, Usage,
};

/// The storage of one component. Its keys are the component's own. Cheap to clone; every clone, and every instance of the
/// component, sees the same.
///
/// The calls are those of [`ComponentStorage`]; bring that trait into scope.
#[derive(Clone)]
pub struct ComponentStore {
    id: ComponentId,
    chain: Arc<dyn DynStorage>,
    cache: CacheHandle,
}

impl ComponentStore {
    pub(crate) fn new(id: ComponentId, chain: Arc<dyn DynStorage>, cache: CacheHandle) -> Self {
        Self { id, chain, cache }
    }

    /// Whose storage it is.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// What the component's cache has done and holds.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    #[cfg(test)]
    pub(crate) fn inner_chain(&self) -> Arc<dyn DynStorage> {
        Arc::clone(&self.chain)
    }

    /// Whether this is the only handle on the chain and no commit of it is under way, so that another chain may take its
    /// place without disagreeing with it.
    pub(crate) fn is_idle(&self) -> bool {
        // The chain's own reference to the cache, and the one held here.
        Arc::strong_count(&self.chain) == 1 && self.cache.references() <= 2
    }
}

// `(*self.chain)`: an `Arc` of a storage is a storage too, and its own `read_dyn` would put a box around the box.
impl ComponentStorage for ComponentStore {
    fn look(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        (*self.chain).look_dyn(key, see)
    }

    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        (*self.chain).read_one_dyn(key).await
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        (*self.chain).read_dyn(keys).await
    }

    async fn scan_keys(&self, request: &ListRequest) -> Result<KeyPage, StorageError> {
        (*self.chain).scan_keys_dyn(request).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        (*self.chain).commit_dyn(batch).await
    }

    fn gaps(&self) -> u64 {
        (*self.chain).gaps_dyn()
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        (*self.chain).usage_dyn(scope).await
    }
}

impl fmt::Debug for ComponentStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentStore").field("id", &self.id).field("cache", &self.cache).finish_non_exhaustive()
    }
}
