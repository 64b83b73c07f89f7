//! [`ComponentStorage`] behind a pointer, for hosts that choose the engine when they run. It must add nothing but the
//! box around a future.

use std::future::Future;
use std::pin::Pin;
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
use crate::record::{Record, Version};
use crate::scan::{KeyPage, KeyRange, ScanPage, ScanRequest};
use crate::snapshot::{BackendSnapshot, StorageSnapshot};
use crate::storage::{ComponentStorage, PlaceName, Usage};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// The future of a call that answers with `T`.
type Call<'a, T> = BoxFuture<'a, Result<T, StorageError>>;

/// What [`ComponentStorage`] asks for, with boxed futures. Every storage is one; `dyn DynStorage` is a
/// [`ComponentStorage`] again. See there for what each call does.
#[allow(missing_docs)]
pub trait DynStorage: Send + Sync + 'static {
    fn look_dyn(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool;
    fn read_one_dyn<'a>(&'a self, key: &'a str) -> Call<'a, Option<Record>>;
    fn read_dyn<'a>(&'a self, keys: &'a [&'a str]) -> Call<'a, Vec<Option<Record>>>;
    fn scan_dyn<'a>(&'a self, request: &'a ScanRequest) -> Call<'a, ScanPage>;
    fn scan_keys_dyn<'a>(&'a self, request: &'a ScanRequest) -> Call<'a, KeyPage>;
    fn count_dyn<'a>(&'a self, range: &'a KeyRange) -> Call<'a, u64>;
    fn versions_dyn<'a>(&'a self, request: &'a VersionsRequest) -> Call<'a, KeyVersions>;
    fn changes_dyn<'a>(&'a self, scope: &'a str, request: &'a ChangesRequest) -> Call<'a, ChangesPage>;
    fn keep_changes_dyn<'a>(&'a self, scope: &'a str, keep: bool) -> Call<'a, Version>;
    fn changed_dyn<'a>(&'a self, scope: &'a str, after: Version) -> Call<'a, Version>;
    fn commit_dyn(&self, batch: Batch) -> Call<'_, Committed>;
    fn usage_dyn<'a>(&'a self, scope: &'a str) -> Call<'a, Usage>;
    fn backend_snapshot_dyn(&self) -> Call<'_, Arc<dyn BackendSnapshot>>;
    fn snapshot_dyn(&self) -> Call<'_, StorageSnapshot>;
    #[allow(clippy::missing_errors_doc)]
    fn in_place_dyn(&self, place: &PlaceName) -> Result<Arc<dyn DynStorage>, StorageError>;
    fn place_dyn(&self) -> PlaceName;
    fn now_dyn(&self) -> Timestamp;
    fn cursors_dyn(&self) -> CursorKey;
    fn capabilities_dyn(&self) -> Capabilities;
    fn status_dyn(&self) -> EngineStatus;
    fn gaps_dyn(&self) -> u64;
    fn feed_dyn(&self, key: &str) -> Option<Arc<Feed>>;
}

impl<S: ComponentStorage> DynStorage for S {
    fn look_dyn(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        self.look(key, see)
    }

    fn read_one_dyn<'a>(&'a self, key: &'a str) -> Call<'a, Option<Record>> {
        Box::pin(self.read_one(key))
    }

    fn read_dyn<'a>(&'a self, keys: &'a [&'a str]) -> Call<'a, Vec<Option<Record>>> {
        Box::pin(self.read(keys))
    }

    fn scan_dyn<'a>(&'a self, request: &'a ScanRequest) -> Call<'a, ScanPage> {
        Box::pin(self.scan(request))
    }

    fn scan_keys_dyn<'a>(&'a self, request: &'a ScanRequest) -> Call<'a, KeyPage> {
        Box::pin(self.scan_keys(request))
    }

    fn count_dyn<'a>(&'a self, range: &'a KeyRange) -> Call<'a, u64> {
        Box::pin(self.count(range))
    }

    fn versions_dyn<'a>(&'a self, request: &'a VersionsRequest) -> Call<'a, KeyVersions> {
        Box::pin(self.versions(request))
    }

    fn changes_dyn<'a>(&'a self, scope: &'a str, request: &'a ChangesRequest) -> Call<'a, ChangesPage> {
        Box::pin(self.changes(scope, request))
    }

    fn keep_changes_dyn<'a>(&'a self, scope: &'a str, keep: bool) -> Call<'a, Version> {
        Box::pin(self.keep_changes(scope, keep))
    }

    fn changed_dyn<'a>(&'a self, scope: &'a str, after: Version) -> Call<'a, Version> {
        Box::pin(self.changed(scope, after))
    }

    fn commit_dyn(&self, batch: Batch) -> Call<'_, Committed> {
        Box::pin(self.commit(batch))
    }

    fn usage_dyn<'a>(&'a self, scope: &'a str) -> Call<'a, Usage> {
        Box::pin(self.usage(scope))
    }

    fn backend_snapshot_dyn(&self) -> Call<'_, Arc<dyn BackendSnapshot>> {
        Box::pin(self.backend_snapshot())
    }

    fn snapshot_dyn(&self) -> Call<'_, StorageSnapshot> {
        Box::pin(self.snapshot())
    }

    fn in_place_dyn(&self, place: &PlaceName) -> Result<Arc<dyn DynStorage>, StorageError> {
        Ok(Arc::new(self.in_place(place)?))
    }

    fn place_dyn(&self) -> PlaceName {
        self.place()
    }

    fn now_dyn(&self) -> Timestamp {
        self.now()
    }

    fn cursors_dyn(&self) -> CursorKey {
        self.cursors()
    }

    fn capabilities_dyn(&self) -> Capabilities {
        self.capabilities()
    }

    fn status_dyn(&self) -> EngineStatus {
        self.status()
    }

    fn gaps_dyn(&self) -> u64 {
        self.gaps()
    }

    fn feed_dyn(&self, key: &str) -> Option<Arc<Feed>> {
        self.feed(key)
    }
}

/// A shared storage of a type chosen at run time.
impl ComponentStorage for Arc<dyn DynStorage> {
    fn look(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        (**self).look_dyn(key, see)
    }

    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        (**self).read_one_dyn(key).await
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        (**self).read_dyn(keys).await
    }

    async fn scan(&self, request: &ScanRequest) -> Result<ScanPage, StorageError> {
        (**self).scan_dyn(request).await
    }

    async fn scan_keys(&self, request: &ScanRequest) -> Result<KeyPage, StorageError> {
        (**self).scan_keys_dyn(request).await
    }

    async fn count(&self, range: &KeyRange) -> Result<u64, StorageError> {
        (**self).count_dyn(range).await
    }

    async fn versions(&self, request: &VersionsRequest) -> Result<KeyVersions, StorageError> {
        (**self).versions_dyn(request).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        (**self).commit_dyn(batch).await
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        (**self).usage_dyn(scope).await
    }

    async fn changes(&self, scope: &str, request: &ChangesRequest) -> Result<ChangesPage, StorageError> {
        (**self).changes_dyn(scope, request).await
    }

    async fn keep_changes(&self, scope: &str, keep: bool) -> Result<Version, StorageError> {
        (**self).keep_changes_dyn(scope, keep).await
    }

    async fn changed(&self, scope: &str, after: Version) -> Result<Version, StorageError> {
        (**self).changed_dyn(scope, after).await
    }

    async fn backend_snapshot(&self) -> Result<Arc<dyn BackendSnapshot>, StorageError> {
        (**self).backend_snapshot_dyn().await
    }

    async fn snapshot(&self) -> Result<StorageSnapshot, StorageError> {
        (**self).snapshot_dyn().await
    }

    fn in_place(&self, place: &PlaceName) -> Result<Self, StorageError> {
        (**self).in_place_dyn(place)
    }

    fn place(&self) -> PlaceName {
        (**self).place_dyn()
    }

    fn now(&self) -> Timestamp {
        (**self).now_dyn()
    }

    fn cursors(&self) -> CursorKey {
        (**self).cursors_dyn()
    }

    fn capabilities(&self) -> Capabilities {
        (**self).capabilities_dyn()
    }

    fn status(&self) -> EngineStatus {
        (**self).status_dyn()
    }

    fn gaps(&self) -> u64 {
        (**self).gaps_dyn()
    }

    fn feed(&self, key: &str) -> Option<Arc<Feed>> {
        (**self).feed_dyn(key)
    }
}
