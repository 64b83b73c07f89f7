//! Two components never meet, whatever their ids and keys; two instances of one component always agree.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;

use stash_core::ComponentStorage;
use stash_host::{GuestLimits, Stash, StashConfig, StorageCtx, StorageCtxView, StorageView, StoreUrl};
use stash_tests::PROBE;
use stash_tests::support::{Host, Place, wave};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// Ids whose printed forms are as close to each other as ids can be.
fn ids() -> Vec<String> {
    let long = "x".repeat(128);
    let mut ids: Vec<String> =
        ["a/b/c", "a/b/cc", "aa/b/c", "a/bb/c", "a/b/c c", "a/b/..", "../../..", "\u{430}/b/c", "a/b/\u{202e}c"]
            .map(str::to_owned)
            .to_vec();
    ids.push(format!("{long}/{long}/{long}"));
    ids.push(format!("{long}/{long}/{}", &long[1..]));
    ids
}

/// Keys that try to be somebody else's.
fn keys() -> Vec<String> {
    let mut keys: Vec<String> = [
        "k",
        "/",
        "//",
        "/k",
        "../k",
        "c/k",
        "b/c/k",
        "a/b/c/k",
        "c c/k",
        "\0",
        "\0a/b/c/k",
        "na/b/c/",
        "ra/b/c/k",
        "h",
        "format",
        "..",
        "\u{43a}\u{43b}\u{44e}\u{447}",
        "\u{9375}",
        "\u{202e}k",
        "\u{1f511}",
        "\u{10ffff}",
        "\n",
        " ",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.push("k".repeat(2048));
    keys.push(format!("{}\u{e9}", "k".repeat(2046)));
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn no_key_of_one_component_reaches_anothers_data() {
    let place = Place::new();
    let host = Host::new(&place.store_url(), StashConfig::default(), GuestLimits::default()).await;
    let probe = host.load(PROBE);
    let (ids, keys) = (ids(), keys());
    // Each component writes every key with its own name as the value, through the guest.
    for id in &ids {
        for key in &keys {
            let call = format!("set-text({}, {})", wave(key), wave(&format!("{id}|{key}")));
            assert_eq!(host.invoke(&probe, id, &call).await.unwrap(), "ok");
        }
    }
    for id in &ids {
        let listed = host.invoke(&probe, id, "list-keys(\"\")").await.unwrap();
        let mut sorted = keys.clone();
        sorted.sort();
        let store = host.component(id);
        assert_eq!(store.list_keys("").await.unwrap(), sorted, "{id}");
        assert_eq!(listed.matches("\", \"").count() + 1, keys.len(), "{listed}");
        for key in &keys {
            let value = store.get(key).await.unwrap().unwrap();
            assert_eq!(value.as_text(), Some(format!("{id}|{key}").as_str()));
        }
        let bytes: usize = keys.iter().map(|key| key.len() * 2 + 1 + id.len()).sum();
        let usage = host.invoke(&probe, id, "usage()").await.unwrap();
        assert_eq!(usage, format!("ok(({bytes}, none, {}))", keys.len()));
    }
    // One of them deletes all it has: the others lose nothing.
    let (gone, rest) = ids.split_first().unwrap();
    for key in &keys {
        let call = format!("delete({})", wave(key));
        assert_eq!(host.invoke(&probe, gone, &call).await.unwrap(), "ok(true)");
    }
    for id in rest {
        let store = host.component(id);
        assert_eq!(store.usage("").await.unwrap().key_count, keys.len() as u64, "{id}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn bad_keys_are_refused_and_lose_nothing() {
    let place = Place::new();
    let host = Host::new(&place.store_url(), StashConfig::default(), GuestLimits::default()).await;
    let probe = host.load(PROBE);
    let long = wave(&"k".repeat(2049));
    for (key, reason) in [("\"\"", "at least one byte"), (long.as_str(), "2049 bytes; the limit is 2048")] {
        for call in [
            format!("set-text({key}, \"v\")"),
            format!("get({key})"),
            format!("delete({key})"),
            format!("exists({key})"),
        ] {
            let answer = host.invoke(&probe, "a/b/c", &call).await.unwrap();
            assert!(answer.starts_with("err(\"invalid-key: ") && answer.contains(reason), "{answer}");
        }
    }
    assert_eq!(host.invoke(&probe, "a/b/c", "usage()").await.unwrap(), "ok((0, none, 0))");
}

/// An embedder's own state, to have two instances alive at once.
struct Embedder {
    wasi: WasiCtx,
    table: ResourceTable,
    storage: StorageCtx,
}

impl StorageView for Embedder {
    fn storage(&mut self) -> StorageCtxView<'_> {
        StorageCtxView { ctx: &mut self.storage, table: &mut self.table }
    }
}

impl WasiView for Embedder {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_instances_of_one_component_agree_at_every_step() {
    type Get = (Result<Option<Vec<u8>>, String>,);
    let place = Place::new();
    let stash = Stash::open(&place.store_url(), StashConfig::default()).await.unwrap();
    let engine = wasmtime::Engine::default();
    let mut linker = Linker::<Embedder>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    stash_host::add_to_linker(&mut linker).unwrap();
    let component = Component::from_file(&engine, PROBE).unwrap();
    let pre = linker.instantiate_pre(&component).unwrap();

    let mut instances = Vec::new();
    for _ in 0..2 {
        let storage = StorageCtx::new(stash.component(&"a/b/c".parse().unwrap()));
        let state = Embedder { wasi: WasiCtx::builder().build(), table: ResourceTable::new(), storage };
        let mut store = wasmtime::Store::new(&engine, state);
        let instance = pre.instantiate_async(&mut store).await.unwrap();
        let get = instance.get_typed_func::<(String,), Get>(&mut store, "get").unwrap();
        let set = instance.get_typed_func::<(String, Vec<u8>), (Result<(), String>,)>(&mut store, "set").unwrap();
        let delete = instance.get_typed_func::<(String,), (Result<bool, String>,)>(&mut store, "delete").unwrap();
        instances.push((store, get, set, delete));
    }
    let mut model = BTreeMap::new();
    for step in 0..60_u8 {
        let key = format!("k{}", step % 5);
        let writer = usize::from(step % 2);
        let (store, _, set, delete) = &mut instances[writer];
        if step % 7 == 0 {
            let (existed,) = delete.call_async(&mut *store, (key.clone(),)).await.unwrap();
            assert_eq!(existed, Ok(model.remove(&key).is_some()));
        } else {
            set.call_async(&mut *store, (key.clone(), vec![step])).await.unwrap().0.unwrap();
            model.insert(key.clone(), vec![step]);
        }
        for (store, get, _, _) in &mut instances {
            let (found,) = get.call_async(&mut *store, (key.clone(),)).await.unwrap();
            assert_eq!(found, Ok(model.get(&key).cloned()), "step {step}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_quota_is_the_components_own() {
    let config = StashConfig {
        limits: stash_core::StoreLimits { quota_bytes: Some(100), ..Default::default() },
        ..StashConfig::default()
    };
    let host = Host::new(&StoreUrl::Memory, config, GuestLimits::default()).await;
    let probe = host.load(PROBE);
    assert_eq!(host.invoke(&probe, "a/b/1", "set-many(\"\", 5, 10)").await.unwrap(), "ok(5)");
    let refused = host.invoke(&probe, "a/b/1", "set-many(\"x\", 1, 10)").await.unwrap();
    assert_eq!(
        refused,
        "err(\"quota-exceeded: quota exceeded: 90 of 100 bytes are used and this needs 19 more; delete something first\")"
    );
    assert_eq!(host.invoke(&probe, "a/b/1", "usage()").await.unwrap(), "ok((90, some(100), 5))");
    assert_eq!(host.invoke(&probe, "a/b/2", "set-many(\"\", 5, 10)").await.unwrap(), "ok(5)");
}
