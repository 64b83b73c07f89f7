//! Layers in another order than the usual one must still be right.

use stash_core::{CacheConfig, CachedStorage, ComponentStorage, MemoryBackend, NamespacedStorage};

#[tokio::test]
async fn a_cache_above_the_namespace_layer_knows_the_components_own_keys() {
    let namespaced = NamespacedStorage::new(&"app/x/1".parse().unwrap(), MemoryBackend::in_memory());
    let store = CachedStorage::new(namespaced, CacheConfig::default());
    store.set("k", "v").await.unwrap();
    assert_eq!(store.get("app/x/1/k").await.unwrap(), None);
    assert_eq!(store.get("k").await.unwrap().unwrap().as_text(), Some("v"));
    assert_eq!(store.stats().hits, 1, "the commit filled it, under the component's key");
}
