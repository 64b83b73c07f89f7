//! The cache as a layer: write-through, filled only after a commit. It must never answer a read with anything that the
//! layer below could not answer; the rules are in [`cache`](crate::cache).

use std::fmt;
use std::sync::Arc;

use crate::batch::{Batch, Committed, Mutation};
use crate::budget::CacheBudget;
use crate::cache::{Below, Cache, CacheConfig, CacheStats, Lookup};
use crate::capabilities::Capabilities;
use crate::changes::{ChangesPage, ChangesRequest};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::cursor::CursorKey;
use crate::engine::EngineStatus;
use crate::error::StorageError;
use crate::feed::Feed;
use crate::history::{KeyVersions, VersionsRequest};
use crate::record::{Record, Version};
use crate::scan::{KeyPage, KeyRange, ScanPage, ScanRequest};
use crate::snapshot::{BackendSnapshot, StorageSnapshot};
use crate::storage::{ComponentStorage, PlaceName, Usage, check_read_bytes, check_read_size};

/// Changes in a commit from which on it goes past the cache.
const BULK: usize = 128;

/// A storage with a cache of its records in front. Clones share the cache.
///
/// There must be one cache for a namespace in a process: every writer of the namespace there goes through it, or its clones.
/// Of what other processes write to a shared engine it hears through the engine's [`Feed`].
#[derive(Clone)]
pub struct CachedStorage<S> {
    inner: S,
    // None: turned off.
    cache: Option<Arc<Cache>>,
}

impl<S> CachedStorage<S> {
    /// Puts a cache in front of `inner`.
    pub fn new(inner: S, config: CacheConfig) -> Self {
        Self::with(inner, config, Arc::new(SystemClock), None)
    }

    /// The same with a clock, for the TTL and for records that expire, and a budget shared with other caches.
    pub fn with(inner: S, config: CacheConfig, clock: Arc<dyn Clock>, budget: Option<Arc<CacheBudget>>) -> Self {
        let cache = config.is_enabled().then(|| Cache::new(config, clock, budget));
        Self { inner, cache }
    }

    /// A handle on the cache alone.
    pub fn cache_handle(&self) -> CacheHandle {
        CacheHandle(self.cache.clone())
    }

    /// What the cache has done and holds.
    pub fn stats(&self) -> CacheStats {
        CacheHandle::stats_of(self.cache.as_ref())
    }

    /// The layer below.
    pub fn inner(&self) -> &S {
        &self.inner
    }
}

/// A handle on the cache of a [`CachedStorage`]: for figures, and to know when it may be thrown away.
#[derive(Clone)]
pub struct CacheHandle(Option<Arc<Cache>>);

impl CacheHandle {
    /// What the cache has done and holds.
    pub fn stats(&self) -> CacheStats {
        Self::stats_of(self.0.as_ref())
    }

    /// How many handles, layers and commits under way refer to the cache; 0 where it is turned off.
    ///
    /// A cache may be replaced by a new one only when nothing but its owner's layer and handle is left: a commit that is
    /// still under way, even one whose caller has gone, would not tell the new cache what it changed.
    pub fn references(&self) -> usize {
        self.0.as_ref().map_or(0, Arc::strong_count)
    }

    fn stats_of(cache: Option<&Arc<Cache>>) -> CacheStats {
        cache.map(|cache| cache.stats()).unwrap_or_default()
    }
}

impl fmt::Debug for CacheHandle {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CacheHandle({:?})", self.stats())
    }
}

/// The layer below, as the cache asks it.
struct Inner<'a, S>(&'a S);

impl<S: ComponentStorage> Below for Inner<'_, S> {
    fn gaps(&self) -> u64 {
        self.0.gaps()
    }

    fn feed(&self, key: &str) -> Option<Arc<Feed>> {
        self.0.feed(key)
    }
}

impl<S: ComponentStorage> ComponentStorage for CachedStorage<S> {
    fn look(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        self.cache.as_ref().is_some_and(|cache| cache.look(key, &Inner(&self.inner), see))
    }

    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        let Some(cache) = &self.cache else { return self.inner.read_one(key).await };
        match cache.lookup(key, &Inner(&self.inner)) {
            Lookup::Hit(record) => Ok(record),
            Lookup::Miss(filler) => {
                let record = self.inner.read_one(key).await?;
                cache.fill(filler, key, record.as_ref());
                Ok(record)
            }
        }
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        let Some(cache) = &self.cache else { return self.inner.read(keys).await };
        // What is too much must not depend on what happens to be in the cache.
        check_read_size(keys)?;
        match cache.lookup_all(keys, &Inner(&self.inner)) {
            Ok(records) => check_read_bytes(&records).map(|()| records),
            Err(filler) => {
                let records = self.inner.read(keys).await?;
                for (key, record) in keys.iter().zip(&records) {
                    cache.fill(filler, key, record.as_ref());
                }
                Ok(records)
            }
        }
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

    async fn commit(&self, mut batch: Batch) -> Result<Committed, StorageError> {
        if let Some(cache) = &self.cache {
            let touched = batch.mutations().iter().map(Mutation::touches);
            let cache = Arc::clone(cache);
            // Above the namespace layer a key of another collection looks like one of this.
            let is_ambiguous = !batch.has_entered() && batch.spans_collections();
            if batch.mutations().len() > BULK || is_ambiguous {
                cache.begin_bulk(touched);
                batch = batch.with_hook(move |_, _| cache.settle_bulk());
            } else {
                let begun = cache.begin(touched, &Inner(&self.inner));
                batch = batch.with_hook(move |outcome, changes| cache.settle(begun, outcome, changes.iter()));
            }
        }
        self.inner.commit(batch).await
    }

    fn in_place(&self, place: &PlaceName) -> Result<Self, StorageError> {
        // Asked only above the namespace layer, where this cache's keys are those of one collection.
        if self.cache.is_some() && *place != self.inner.place() {
            let reason = "a cache above the namespace layer is of one collection; put it below".to_owned();
            return Err(StorageError::Unsupported { reason });
        }
        Ok(Self { inner: self.inner.in_place(place)?, cache: self.cache.clone() })
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
        self.inner.capabilities()
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

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        self.inner.usage(scope).await
    }
}

impl<S: fmt::Debug> fmt::Debug for CachedStorage<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CachedStorage")
            .field("inner", &self.inner)
            .field("stats", &self.stats())
            .finish_non_exhaustive()
    }
}
