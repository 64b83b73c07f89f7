//! Whose data it is: puts `app/service-a/001/` in front of every key on the way down and takes it off on the way up.
//! It must be impossible for a key to leave its namespace, whatever the key contains, and for an answer to show it.

use std::cell::RefCell;
use std::sync::Arc;

use crate::batch::{Batch, Committed};
use crate::capabilities::Capabilities;
use crate::changes::{ChangesPage, ChangesRequest};
use crate::clock::Timestamp;
use crate::collection::Place;
use crate::cursor::CursorKey;
use crate::engine::EngineStatus;
use crate::error::StorageError;
use crate::feed::Feed;
use crate::history::{KeyVersions, VersionsRequest};
use crate::id::ComponentId;
use crate::keyspace::check_key;
use crate::record::{Record, Version};
use crate::scan::{KeyPage, KeyRange, ScanPage, ScanRequest, check_limit};
use crate::snapshot::{BackendSnapshot, StorageSnapshot, leave};
use crate::storage::{ComponentStorage, PlaceName, Usage};

/// One component's part of a storage, or one collection in it. Its keys are the component's own; below it they are full
/// names, `app/service-a/001/user:123`.
///
/// Isolation is by construction: an id has no `/` in its parts, neither it nor a collection's name has a control
/// character, and no key is ever parsed to find its namespace, so the full names of two components, or of two
/// collections, begin differently before either's key begins.
#[derive(Debug, Clone)]
pub struct NamespacedStorage<S> {
    id: ComponentId,
    place: Place,
    prefix: Arc<str>,
    inner: S,
}

impl<S> NamespacedStorage<S> {
    /// The part of `inner` that belongs to the component `id`, in its default collection.
    pub fn new(id: &ComponentId, inner: S) -> Self {
        Self { id: id.clone(), place: Place::Default, prefix: id.key_prefix().into(), inner }
    }

    /// Whose part it is.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// The layer below.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn full_key(&self, key: &str) -> Result<String, StorageError> {
        check_key(key)?;
        Ok([&self.prefix, key].concat())
    }
}

impl<S: ComponentStorage + Clone> ComponentStorage for NamespacedStorage<S> {
    fn look(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        thread_local! {
            // A cached read costs less than making a new text for the full name.
            static FULL: RefCell<String> = const { RefCell::new(String::new()) };
        }
        if check_key(key).is_err() {
            return false;
        }
        FULL.with(|full| {
            // In use: a layer with a namespace is above this one, and the variable is the same for both.
            let Ok(mut full) = full.try_borrow_mut() else { return false };
            full.clear();
            full.push_str(&self.prefix);
            full.push_str(key);
            self.inner.look(&full, see)
        })
    }

    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        self.inner.read_one(&self.full_key(key)?).await
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        let keys = keys.iter().map(|key| self.full_key(key)).collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.inner.read(&keys).await
    }

    async fn scan(&self, request: &ScanRequest) -> Result<ScanPage, StorageError> {
        request.check()?;
        leave(self.inner.scan(&request.enter(&self.prefix)).await?, &self.prefix)
    }

    async fn scan_keys(&self, request: &ScanRequest) -> Result<KeyPage, StorageError> {
        request.check()?;
        let mut page = self.inner.scan_keys(&request.enter(&self.prefix)).await?;
        for key in page.keys.iter_mut().chain(&mut page.resume) {
            if !key.starts_with(&*self.prefix) {
                return Err(StorageError::Corrupt { reason: "a listing left its namespace".to_owned() });
            }
            key.drain(..self.prefix.len());
        }
        Ok(page)
    }

    async fn count(&self, range: &KeyRange) -> Result<u64, StorageError> {
        range.check()?;
        let request = ScanRequest { range: range.clone(), ..ScanRequest::default() };
        self.inner.count(&request.enter(&self.prefix).range).await
    }

    async fn versions(&self, request: &VersionsRequest) -> Result<KeyVersions, StorageError> {
        check_limit(request.limit)?;
        let key = self.full_key(&request.key)?;
        self.inner.versions(&VersionsRequest { key, ..request.clone() }).await
    }

    async fn commit(&self, mut batch: Batch) -> Result<Committed, StorageError> {
        batch.enter(&self.id, &self.place)?;
        let prefixes: Vec<String> = batch.places.iter().map(|place| place.prefix.clone()).collect();
        self.inner.commit(batch).await.map_err(|error| error.without_prefixes(&prefixes))
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        self.inner.usage(&self.id.full_key(scope)).await
    }

    async fn changes(&self, scope: &str, request: &ChangesRequest) -> Result<ChangesPage, StorageError> {
        self.inner.changes(&self.id.full_key(scope), request).await
    }

    async fn keep_changes(&self, scope: &str, keep: bool) -> Result<Version, StorageError> {
        self.inner.keep_changes(&self.id.full_key(scope), keep).await
    }

    async fn changed(&self, scope: &str, after: Version) -> Result<Version, StorageError> {
        self.inner.changed(&self.id.full_key(scope), after).await
    }

    async fn backend_snapshot(&self) -> Result<Arc<dyn BackendSnapshot>, StorageError> {
        Err(StorageError::Unsupported { reason: "a component's storage has no snapshot in full names".to_owned() })
    }

    async fn snapshot(&self) -> Result<StorageSnapshot, StorageError> {
        Ok(StorageSnapshot::new(self.inner.backend_snapshot().await?, &self.id, &self.place))
    }

    fn in_place(&self, place: &PlaceName) -> Result<Self, StorageError> {
        let place = place.0.clone();
        Ok(Self { id: self.id.clone(), prefix: place.prefix(&self.id).into(), place, inner: self.inner.clone() })
    }

    fn place(&self) -> PlaceName {
        PlaceName(self.place.clone())
    }

    fn now(&self) -> Timestamp {
        self.inner.now()
    }

    fn cursors(&self) -> CursorKey {
        self.inner.cursors().within(&self.prefix)
    }

    fn capabilities(&self) -> Capabilities {
        self.inner.capabilities()
    }

    fn status(&self) -> EngineStatus {
        self.inner.status()
    }

    fn gaps(&self) -> u64 {
        self.inner.gaps()
    }

    fn feed(&self, key: &str) -> Option<Arc<Feed>> {
        self.inner.feed(&[&self.prefix, key].concat())
    }
}
