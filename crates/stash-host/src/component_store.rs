//! [`ComponentStore`]: one component's whole chain, whichever engine is below. Clones are the same chain.

use std::fmt;
use std::sync::Arc;

use stash_core::engine::EngineStatus;
use stash_core::{
    BackendSnapshot, Batch, CacheHandle, CacheStats, Capabilities, ChangesPage, ChangesRequest, Committed, ComponentId,
    ComponentStorage, CursorKey, DynStorage, KeyPage, KeyRange, KeyVersions, Leases, PlaceName, Record, ScanPage,
    ScanRequest, StorageError, StorageSnapshot, Timestamp, Usage, Version, VersionsRequest,
};

use crate::background::Background;
use crate::keyvalue::NumberedCursors;

/// The storage of one component. Its keys are the component's own. Cheap to clone; every clone, and every instance of the
/// component, sees the same.
///
/// The calls are those of [`ComponentStorage`] and [`StorageExt`](stash_core::StorageExt); bring those traits into scope.
#[derive(Clone)]
pub struct ComponentStore {
    id: ComponentId,
    chain: Arc<dyn DynStorage>,
    cache: CacheHandle,
    leases: Leases,
    numbered_cursors: Arc<NumberedCursors>,
    background: Arc<Background>,
}

impl ComponentStore {
    pub(crate) fn new(
        id: ComponentId,
        chain: Arc<dyn DynStorage>,
        cache: CacheHandle,
        leases: Leases,
        background: Arc<Background>,
    ) -> Self {
        Self { id, chain, cache, leases, numbered_cursors: Arc::default(), background }
    }

    /// Whose storage it is.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// What the component's cache has done and holds.
    pub fn cache_stats(&self) -> CacheStats {
        self.cache.stats()
    }

    /// How many transactions the component has open.
    pub fn open_transactions(&self) -> usize {
        self.leases.open()
    }

    /// Where lists go on, for guests whose cursors are numbers.
    pub(crate) fn numbered_cursors(&self) -> Arc<NumberedCursors> {
        Arc::clone(&self.numbered_cursors)
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

    async fn scan(&self, request: &ScanRequest) -> Result<ScanPage, StorageError> {
        (*self.chain).scan_dyn(request).await
    }

    async fn scan_keys(&self, request: &ScanRequest) -> Result<KeyPage, StorageError> {
        (*self.chain).scan_keys_dyn(request).await
    }

    async fn count(&self, range: &KeyRange) -> Result<u64, StorageError> {
        (*self.chain).count_dyn(range).await
    }

    async fn versions(&self, request: &VersionsRequest) -> Result<KeyVersions, StorageError> {
        (*self.chain).versions_dyn(request).await
    }

    async fn changes(&self, scope: &str, request: &ChangesRequest) -> Result<ChangesPage, StorageError> {
        (*self.chain).changes_dyn(scope, request).await
    }

    async fn keep_changes(&self, scope: &str, keep: bool) -> Result<Version, StorageError> {
        (*self.chain).keep_changes_dyn(scope, keep).await
    }

    async fn changed(&self, scope: &str, after: Version) -> Result<Version, StorageError> {
        (*self.chain).changed_dyn(scope, after).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        (*self.chain).commit_dyn(batch).await
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        (*self.chain).usage_dyn(scope).await
    }

    async fn backend_snapshot(&self) -> Result<Arc<dyn BackendSnapshot>, StorageError> {
        (*self.chain).backend_snapshot_dyn().await
    }

    async fn snapshot(&self) -> Result<StorageSnapshot, StorageError> {
        (*self.chain).snapshot_dyn().await
    }

    fn in_place(&self, place: &PlaceName) -> Result<Self, StorageError> {
        Ok(Self { chain: (*self.chain).in_place_dyn(place)?, ..self.clone() })
    }

    fn place(&self) -> PlaceName {
        (*self.chain).place_dyn()
    }

    fn now(&self) -> Timestamp {
        (*self.chain).now_dyn()
    }

    fn leases(&self) -> Leases {
        self.background.watch(&self.id, &self.leases);
        self.leases.clone()
    }

    fn cursors(&self) -> CursorKey {
        (*self.chain).cursors_dyn()
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = (*self.chain).capabilities_dyn();
        capabilities.limits.transaction_age = self.leases.max_age();
        capabilities
    }

    fn status(&self) -> EngineStatus {
        (*self.chain).status_dyn()
    }

    fn gaps(&self) -> u64 {
        (*self.chain).gaps_dyn()
    }

    fn feed(&self, key: &str) -> Option<Arc<stash_core::Feed>> {
        (*self.chain).feed_dyn(key)
    }
}

impl fmt::Debug for ComponentStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ComponentStore").field("id", &self.id).field("cache", &self.cache).finish_non_exhaustive()
    }
}
