//! No guest is forgotten: each loads.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stash_host::{GuestLimits, StashConfig, StoreUrl};
use stash_tests::support::Host;

#[tokio::test]
async fn every_guest_loads_into_the_host() {
    let host = Host::new(&StoreUrl::Memory, StashConfig::default(), GuestLimits::default()).await;
    for (name, path) in stash_tests::ALL {
        // The benchmarks' guest imports functions that only the benchmarks have.
        if *name == "kv-bench" {
            let error = host.runtime.load(path.as_ref()).err().expect("not linked").to_string();
            assert!(error.contains("it imports stash:bench/probe, which this host does not have"), "{error}");
        } else {
            host.load(path);
        }
    }
}
