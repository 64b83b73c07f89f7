//! Layers in another order than the usual one, and over engines that are not the usual ones, must still be right.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use stash_core::engine::{Decision, Engine, EngineInfo, Page, Scan};
use stash_core::{
    CacheConfig, CachedStorage, ComponentStorage, EngineBackend, MemoryBackend, MemoryEngine, NamespacedStorage,
    StorageError,
};

#[tokio::test]
async fn a_cache_above_the_namespace_layer_knows_the_components_own_keys() {
    let namespaced = NamespacedStorage::new(&"app/x/1".parse().unwrap(), MemoryBackend::in_memory());
    let store = CachedStorage::new(namespaced, CacheConfig::default());
    store.set("k", "v").await.unwrap();
    assert_eq!(store.get("app/x/1/k").await.unwrap(), None);
    assert_eq!(store.get("k").await.unwrap().unwrap().as_text(), Some("v"));
    assert_eq!(store.stats().hits, 1, "the commit filled it, under the component's key");
}

#[tokio::test]
async fn a_namespace_within_a_namespace_reads_but_does_not_commit() {
    let cached = CachedStorage::new(MemoryBackend::in_memory(), CacheConfig::default());
    let outer = NamespacedStorage::new(&"app/x/1".parse().unwrap(), cached);
    let inner = NamespacedStorage::new(&"a/b/c".parse().unwrap(), outer.clone());
    outer.set("a/b/c/k", "v").await.unwrap();
    // It need not know at once, but must not fail.
    inner.look("k", &mut |record| assert!(record.is_some()));
    assert!(inner.exists("k").await.unwrap());
    // Its version and usage would belong to nobody.
    let error = inner.set("k", "w").await.unwrap_err();
    assert_eq!(error.to_string(), "invalid argument: the batch is in a namespace already");
}

/// An engine that can have a gap.
#[derive(Clone, Default)]
struct Gappy(MemoryEngine, Arc<AtomicU64>);

impl Engine for Gappy {
    type Snapshot = <MemoryEngine as Engine>::Snapshot;

    fn info(&self) -> EngineInfo {
        self.0.info()
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.0.read(keys).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        self.0.scan(scan).await
    }

    async fn update<D: Decision>(&self, decision: D) -> Result<D::Output, StorageError> {
        self.0.update(decision).await
    }

    fn gaps(&self) -> u64 {
        self.1.load(Ordering::SeqCst)
    }

    async fn snapshot(&self) -> Result<Self::Snapshot, StorageError> {
        self.0.snapshot().await
    }
}

#[tokio::test]
async fn a_gap_of_the_engine_empties_the_cache() {
    let engine = Gappy::default();
    let id = "app/x/1".parse().unwrap();
    let cached = CachedStorage::new(EngineBackend::open(engine.clone()).await.unwrap(), CacheConfig::default());
    let store = NamespacedStorage::new(&id, cached);
    let elsewhere = NamespacedStorage::new(&id, EngineBackend::open(engine.clone()).await.unwrap());
    store.set("k", "old").await.unwrap();
    store.set("other", "old").await.unwrap();
    // Another process, while the engine was let go of.
    elsewhere.set("k", "new").await.unwrap();
    elsewhere.delete("other").await.unwrap();
    assert_eq!(store.get("k").await.unwrap().unwrap().as_text(), Some("old"), "or this tests nothing");
    engine.1.fetch_add(1, Ordering::SeqCst);
    assert!(!store.look("k", &mut |_| panic!("it shows what it had")));
    assert_eq!(store.get("k").await.unwrap().unwrap().as_text(), Some("new"));
    assert_eq!(store.read(&["k", "other"]).await.unwrap()[1], None);
}
