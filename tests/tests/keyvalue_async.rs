//! The key-value interfaces of WASI 0.3, through a guest that uses them: `wasmcloud:keyvalue` and `spin:key-value`. What
//! they promise on any host is checked in `keyvalue.rs`; here is what this host promises.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stash_host::{GuestContext, GuestLimits, Invoked, KeyValueConfig, RuntimeError, StashConfig, StorageCtx, StoreUrl};
use stash_tests::KEYVALUE_ASYNC;
use stash_tests::support::{Host, Place};
use wasmtime_wasi::WasiCtx;

async fn in_memory() -> Host {
    Host::new(&StoreUrl::Memory, StashConfig::default(), GuestLimits::default()).await
}

#[test]
fn every_interface_sees_the_same_data_and_again_on_the_same_store() {
    let place = Place::new();
    for _ in 0..2 {
        assert_eq!(place.stash(["run", "--invoke", "see-the-same()", KEYVALUE_ASYNC]).success(), "ok\n");
    }
}

#[tokio::test]
async fn calls_under_way_together_all_count() {
    let host = in_memory().await;
    let guest = host.load(KEYVALUE_ASYNC);
    let runs: Vec<_> = (0..4)
        .map(|_| {
            let (host, guest) = (host.clone(), guest.clone());
            tokio::spawn(async move { host.invoke(&guest, "a/b/c", "count(50)").await.unwrap() })
        })
        .collect();
    for run in runs {
        run.await.unwrap();
    }
    assert_eq!(host.invoke(&guest, "a/b/c", "count(0)").await.unwrap(), "ok(200)");
    assert_eq!(host.invoke(&guest, "a/b/other", "count(1)").await.unwrap(), "ok(1)");
}

#[tokio::test]
async fn keys_come_as_a_stream_however_many() {
    let host = in_memory().await;
    let guest = host.load(KEYVALUE_ASYNC);
    for number in ["0", "1", "300", "12000"] {
        let id = format!("a/b/{number}");
        assert_eq!(host.invoke(&guest, &id, &format!("stream-keys({number})")).await.unwrap(), format!("ok({number})"));
    }
}

#[tokio::test]
async fn streams_that_nobody_reads_are_bounded() {
    let host = in_memory().await;
    let guest = host.load(KEYVALUE_ASYNC);
    let call = async |host: &Host, keys: u32, streams: u32, max_result_bytes| {
        let rules = KeyValueConfig { max_result_bytes, ..KeyValueConfig::default() };
        let storage = StorageCtx::new(host.component("a/b/held")).with_keyvalue(rules.into());
        let context = GuestContext::new(host.component("a/b/held"), WasiCtx::builder().build());
        let call = format!("hold-streams({keys}, {streams})");
        host.runtime.invoke(&guest, GuestContext { storage, ..context }, &call).await
    };
    // Some have room for what was not read yet, and others none: each brings every key.
    for max_result_bytes in [0, 200_000, 1 << 30] {
        let answer = call(&host, 200, 30, max_result_bytes).await.unwrap();
        assert_eq!(answer, Invoked::Returned("ok(6000)".into()), "{max_result_bytes}");
    }

    // There is an end to how many a guest may hold.
    let limits = GuestLimits { resources: 100, ..GuestLimits::default() };
    let host = Host::new(&StoreUrl::Memory, StashConfig::default(), limits).await;
    let guest = host.load(KEYVALUE_ASYNC);
    assert_eq!(host.invoke(&guest, "a/b/c", "hold-streams(1, 40)").await.unwrap(), "ok(40)");
    let error = host.invoke(&guest, "a/b/c", "hold-streams(1, 1000)").await.unwrap_err();
    assert!(matches!(error, RuntimeError::Trap { .. }), "{error}");
}

#[test]
fn a_bucket_that_is_not_allowed_says_so() {
    let place = Place::new();
    let run = |name: &str| {
        let call = format!("open(\"{name}\")");
        place.stash(["run", "--allow-bucket", "a", "--invoke", &call, KEYVALUE_ASYNC]).success()
    };
    assert_eq!(run("a"), "ok\n");
    assert!(run("b").contains("AccessDenied"), "{}", run("b"));
    assert!(run("").contains("AccessDenied"));
}
