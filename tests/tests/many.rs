//! Many guests at once: they share fsyncs and threads, and a pool gives them their memory.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stash_core::ComponentStorage;
use stash_host::{Allocation, CodeCache, GuestLimits, Runtime, RuntimeConfig, Stash, StashConfig};
use stash_tests::PROBE;
use stash_tests::support::{Host, Place};

/// More guests than threads by far.
const GUESTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_guests_wait_for_the_disk_without_a_thread_each() {
    let place = Place::new();
    let code = tempfile::tempdir().unwrap();
    let stash = Stash::open(&place.store_url(), StashConfig::default()).await.unwrap();
    let runtime = Runtime::new(RuntimeConfig {
        allocation: Allocation::Pooled(u32::try_from(GUESTS).unwrap()),
        code_cache: CodeCache::Folder(code.path().to_owned()),
        limits: GuestLimits { memory_bytes: 16 << 20, ..GuestLimits::default() },
    })
    .unwrap();
    let host = Host { runtime, stash };
    let probe = host.load(PROBE);
    assert!(code.path().read_dir().unwrap().next().is_some(), "compiled code is kept where it was told");

    let mut running = tokio::task::JoinSet::new();
    for guest in 0..GUESTS {
        let (host, probe) = (host.clone(), probe.clone());
        running.spawn(async move {
            // Ten components, twenty instances each: same keys, so that they meet.
            let id = format!("app/many/{}", guest % 10);
            host.invoke(&probe, &id, &format!("set-many(\"{}/\", 5, 10)", guest / 10)).await
        });
    }
    while let Some(done) = running.join_next().await {
        assert_eq!(done.unwrap().unwrap(), "ok(5)");
    }
    for component in 0..10 {
        let usage = host.component(&format!("app/many/{component}")).usage("").await.unwrap();
        assert_eq!(usage.key_count, 100);
    }
}
