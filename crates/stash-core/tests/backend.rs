//! The bottom layer by itself: it refuses what has no owner, what is damaged and what is newer, and it tells whose data
//! there is.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use stash_conformance::decision::put;
use stash_core::engine::{Engine, Scan};
use stash_core::keyspace::KeySpace;
use stash_core::{
    Batch, CacheConfig, CachedStorage, CollectionSettings, ComponentId, ComponentStorage, DynStorage, EngineBackend,
    Expiry, KeyRange, ManualClock, MemoryBackend, MemoryEngine, NamespaceUsage, NamespacedStorage, ScanRequest,
    SetOptions, StorageError, StorageExt,
};

fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

#[tokio::test]
async fn nothing_is_reached_without_a_namespace() {
    let backend = MemoryBackend::in_memory();
    let cached = CachedStorage::new(backend.clone(), CacheConfig::default());
    let layers: [Arc<dyn DynStorage>; 2] = [Arc::new(backend), Arc::new(cached)];
    for layer in layers {
        for name in ["", "k", "a/b", "a/b/", "a/b/c"] {
            let errors = [
                layer.read_one(name).await.map(drop),
                layer.read(&["a/b/c/k", name]).await.map(drop),
                layer.scan(&ScanRequest::prefix(name)).await.map(drop),
                layer.count(&KeyRange::prefix(name)).await.map(drop),
                layer.usage(name).await.map(drop),
                layer.set(name, "v").await,
                layer.delete(name).await.map(drop),
            ];
            for outcome in errors {
                assert!(matches!(outcome, Err(StorageError::InvalidKey { .. })), "'{name}': {outcome:?}");
            }
        }
        let error = layer.read_one("a\nb").await.unwrap_err();
        assert_eq!(error.to_string(), "invalid key: 'a\\nb' does not begin with a namespace");
        let error = layer.read_one("a/b/c/").await.unwrap_err();
        assert_eq!(error.to_string(), "invalid key: a key has at least one byte");
        // Writing takes a namespace's own layer: a full name alone does not say which part of it is the namespace's.
        let error = layer.set("a/b/c/k", "v").await.unwrap_err();
        assert_eq!(error.to_string(), "invalid key: '' does not begin with a namespace");
        assert_eq!(
            layer.usage("a/b/c/k").await.unwrap_err().to_string(),
            "invalid key: 'a/b/c/k' does not begin with a namespace"
        );
    }
}

#[tokio::test]
async fn names_in_the_engine_are_exactly_as_documented() {
    let engine = MemoryEngine::default();
    let backend = EngineBackend::open_with(engine.clone(), Arc::new(ManualClock::default())).await.unwrap();
    NamespacedStorage::new(&id("app/service-a/001"), backend).set("user:123", "Ada").await.unwrap();
    let page = engine.scan(&Scan::prefix(b"")).await.unwrap();
    let entries: Vec<(&[u8], &[u8])> = page.entries.iter().map(|(key, value)| (&key[..], &value[..])).collect();
    let state = b"\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x0b\0\0\0\0\0\0\0\x01";
    let (cursors, entries) = entries.split_first().unwrap();
    assert_eq!((cursors.0, cursors.1.len()), (&b"hcursors"[..], 16), "what cursors are sealed with is random");
    assert_eq!(
        entries,
        [
            (&b"hformat"[..], &b"\x02"[..]),
            (b"napp/service-a/001/", state),
            // Format, flags, version, 2020-01-01 in milliseconds twice.
            (
                b"rapp/service-a/001/user:123",
                b"\x01\x03\0\0\0\0\0\0\0\x01\x01\x6f\x5e\x66\xe8\0\x01\x6f\x5e\x66\xe8\0Ada",
            ),
        ]
    );
}

#[tokio::test]
async fn namespaces_are_told_in_order_and_by_pages() {
    let backend = MemoryBackend::in_memory();
    for text in ["b/b/c", "a/b/cc", "a/b/c", "a/é/c"] {
        let store = NamespacedStorage::new(&id(text), backend.clone());
        store.set("key", "value").await.unwrap();
    }
    NamespacedStorage::new(&id("a/b/cc"), backend.clone()).delete("key").await.unwrap();
    let told = |found: Vec<NamespaceUsage>| -> Vec<(String, u64, u64)> {
        found.into_iter().map(|one| (one.id.to_string(), one.usage.used_bytes, one.version.0)).collect()
    };
    let all = told(backend.namespaces(None, usize::MAX).await.unwrap());
    let expected = [("a/b/c", 8, 1), ("a/b/cc", 0, 2), ("a/é/c", 8, 1), ("b/b/c", 8, 1)];
    assert_eq!(all, expected.map(|(id, bytes, version)| (id.to_owned(), bytes, version)));
    let mut paged = Vec::new();
    let mut after = None;
    loop {
        let page = backend.namespaces(after.as_ref(), 1).await.unwrap();
        let Some(last) = page.last() else { break };
        after = Some(last.id.clone());
        paged.extend(told(page));
    }
    assert_eq!(paged, all);
    // Also after an id that has no data.
    assert_eq!(backend.namespaces(Some(&id("a/b/d")), 9).await.unwrap().len(), 2);
}

#[tokio::test]
async fn what_has_expired_does_not_count_for_operators_either() {
    let clock = ManualClock::default();
    let backend = MemoryBackend::in_memory_with(Arc::new(clock.clone()));
    for text in ["a/b/c", "a/b/d"] {
        let store = NamespacedStorage::new(&id(text), backend.clone());
        let soon = SetOptions { expiry: Expiry::After(Duration::from_secs(5)), ..SetOptions::default() };
        store.commit(Batch::new().set("stays", "v").set_with("goes", "value", soon)).await.unwrap();
    }
    NamespacedStorage::new(&id("a/b/d"), backend.clone()).delete("stays").await.unwrap();
    NamespacedStorage::new(&id("a/b/d"), backend.clone())
        .create_collection(&"c".parse().unwrap(), &CollectionSettings::default())
        .await
        .unwrap();
    let told = async || {
        let found = backend.namespaces(None, 10).await.unwrap();
        let one = |one: &NamespaceUsage| (one.usage.key_count, one.usage.used_bytes, one.version.0, one.collections);
        found.iter().map(one).collect::<Vec<_>>()
    };
    assert_eq!(told().await, [(2, 15, 1, 0), (1, 9, 3, 1)]);
    clock.advance(Duration::from_secs(5));
    assert_eq!(told().await, [(1, 6, 1, 0), (0, 0, 3, 1)]);
}

#[tokio::test]
async fn a_store_is_opened_only_if_it_is_understood() {
    let engine = MemoryEngine::default();
    NamespacedStorage::new(&id("a/b/c"), EngineBackend::open(engine.clone()).await.unwrap())
        .set("k", "v")
        .await
        .unwrap();
    let again = EngineBackend::open(engine.clone()).await.unwrap();
    assert_eq!(NamespacedStorage::new(&id("a/b/c"), again).get("k").await.unwrap(), Some("v".into()));

    let cases: [(&[u8], &str); 4] = [
        (
            b"\x03",
            "stored data cannot be read: the store has format 3 and this version of Stash reads format 2; use a newer Stash",
        ),
        (b"\x00", "stored data cannot be read: the store's format number is damaged"),
        (b"", "stored data cannot be read: the store's format number is damaged"),
        (b"\x01\x01", "stored data cannot be read: the store's format number is damaged"),
    ];
    for (format, text) in cases {
        engine.update(put(b"hformat", format)).await.unwrap();
        assert_eq!(EngineBackend::open(engine.clone()).await.unwrap_err().to_string(), text);
    }
    // Format 1 is format 2 without anything new in it.
    engine.update(put(b"hformat", b"\x01")).await.unwrap();
    let first = NamespacedStorage::new(&id("a/b/c"), EngineBackend::open(engine.clone()).await.unwrap());
    assert_eq!(first.get("k").await.unwrap(), Some("v".into()));
    assert_eq!(engine.read(&[b"hformat"]).await.unwrap(), [Some("\u{2}".into())], "it is format 2 from now on");
    let foreign = MemoryEngine::default();
    foreign.update(put(b"somebody", b"else's")).await.unwrap();
    assert_eq!(
        EngineBackend::open(foreign.clone()).await.unwrap_err().to_string(),
        "stored data cannot be read: the store holds data but no format number"
    );
    assert_eq!(foreign.scan(&Scan::prefix(b"")).await.unwrap().entries.len(), 1, "and nothing was written to it");
}

#[tokio::test]
async fn damage_is_an_error_and_never_a_value() {
    let engine = MemoryEngine::default();
    let backend = EngineBackend::open(engine.clone()).await.unwrap();
    let store = NamespacedStorage::new(&id("a/b/c"), backend.clone());
    store.set("k", "v").await.unwrap();
    let is_corrupt = |error: StorageError| assert!(matches!(error, StorageError::Corrupt { .. }), "{error:?}");

    engine.update(put(&KeySpace::Record.key("a/b/c/k"), b"\x01\x00short")).await.unwrap();
    is_corrupt(store.get("k").await.unwrap_err());
    is_corrupt(store.read(&["other", "k"]).await.unwrap_err());
    is_corrupt(store.set("k", "new").await.unwrap_err());
    is_corrupt(store.commit(Batch::new().require_absent("k")).await.unwrap_err());
    assert_eq!(store.get("other").await.unwrap(), None, "the rest can be used");
    store.set("other", "v").await.unwrap();

    for state in [&b""[..], b"\x01", b"\x02\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\x02\0\0\0\0\0\0\0\x01", &[1; 26]] {
        engine.update(put(&KeySpace::Namespace.key("a/b/c/"), state)).await.unwrap();
        is_corrupt(store.usage("").await.unwrap_err());
        is_corrupt(store.set("more", "v").await.unwrap_err());
        is_corrupt(backend.namespaces(None, 10).await.unwrap_err());
    }
    // Usage that would fall below nothing is damage too, and is not stored.
    let empty = b"\x01\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0";
    engine.update(put(&KeySpace::Namespace.key("a/b/c/"), empty)).await.unwrap();
    is_corrupt(store.delete("other").await.unwrap_err());
    assert!(store.exists("other").await.unwrap());

    let not_text = [&b"ra/b/c/"[..], b"\xff\xfe"].concat();
    engine.update(put(&not_text, b"")).await.unwrap();
    is_corrupt(store.list_keys("").await.unwrap_err());
    engine.update(put(b"nno-id", empty)).await.unwrap();
    is_corrupt(backend.namespaces(None, 10).await.unwrap_err());
}
