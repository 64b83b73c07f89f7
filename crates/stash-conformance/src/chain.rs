//! The top of a chain, whatever its layers are, as a type with a name: of a transaction over `Arc<dyn DynStorage>` the
//! compiler cannot say that a task may hold it. It must add nothing.

use std::sync::Arc;

use stash_core::engine::EngineStatus;
use stash_core::{
    BackendSnapshot, Batch, Capabilities, ChangesPage, ChangesRequest, Committed, ComponentStorage, CursorKey,
    DynStorage, KeyRange, KeyVersions, PlaceName, Record, ScanPage, ScanRequest, StorageError, StorageSnapshot,
    Timestamp, Usage, Version, VersionsRequest,
};

#[derive(Clone)]
pub(crate) struct Chain(pub(crate) Arc<dyn DynStorage>);

impl ComponentStorage for Chain {
    fn look(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        self.0.look_dyn(key, see)
    }

    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        self.0.read_one_dyn(key).await
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        self.0.read_dyn(keys).await
    }

    async fn scan(&self, request: &ScanRequest) -> Result<ScanPage, StorageError> {
        self.0.scan_dyn(request).await
    }

    async fn count(&self, range: &KeyRange) -> Result<u64, StorageError> {
        self.0.count_dyn(range).await
    }

    async fn versions(&self, request: &VersionsRequest) -> Result<KeyVersions, StorageError> {
        self.0.versions_dyn(request).await
    }

    async fn changes(&self, scope: &str, request: &ChangesRequest) -> Result<ChangesPage, StorageError> {
        self.0.changes_dyn(scope, request).await
    }

    async fn keep_changes(&self, scope: &str, keep: bool) -> Result<Version, StorageError> {
        self.0.keep_changes_dyn(scope, keep).await
    }

    async fn changed(&self, scope: &str, after: Version) -> Result<Version, StorageError> {
        self.0.changed_dyn(scope, after).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        self.0.commit_dyn(batch).await
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        self.0.usage_dyn(scope).await
    }

    async fn backend_snapshot(&self) -> Result<Arc<dyn BackendSnapshot>, StorageError> {
        self.0.backend_snapshot_dyn().await
    }

    async fn snapshot(&self) -> Result<StorageSnapshot, StorageError> {
        self.0.snapshot_dyn().await
    }

    fn in_place(&self, place: &PlaceName) -> Result<Self, StorageError> {
        self.0.in_place_dyn(place).map(Self)
    }

    fn place(&self) -> PlaceName {
        self.0.place_dyn()
    }

    fn now(&self) -> Timestamp {
        self.0.now_dyn()
    }

    fn cursors(&self) -> CursorKey {
        self.0.cursors_dyn()
    }

    fn capabilities(&self) -> Capabilities {
        self.0.capabilities_dyn()
    }

    fn status(&self) -> EngineStatus {
        self.0.status_dyn()
    }

    fn gaps(&self) -> u64 {
        self.0.gaps_dyn()
    }

    fn feed(&self, key: &str) -> Option<Arc<stash_core::Feed>> {
        self.0.feed_dyn(key)
    }
}
