//! Several hosts on one server: what they do together, and what they see of each other.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use common::{Writers, hosts, open, options, until};
use stash_conformance::decision::{act, put, refusal};
use stash_core::engine::{Scan, Snapshot};
use stash_core::{
    Batch, CacheConfig, CachedStorage, ComponentStorage, Engine, EngineBackend, NamespacedStorage, StorageError,
    SystemClock,
};
use stash_postgres::testing::TestServer;
use stash_postgres::{PostgresBackend, PostgresOptions, open_engine};
use tokio::task::JoinSet;

#[tokio::test(flavor = "multi_thread")]
async fn counters_add_up_across_hosts() {
    let Some(server) = TestServer::start() else { return };
    for portable in [false, true] {
        let options = PostgresOptions { portable, ..options() };
        let hosts = hosts(&server.fresh_url(), &options, 3).await;
        for namespaces in [1, 4, 48] {
            let writers = Writers::start(&hosts, 48, namespaces).await;
            writers.progress(5).await;
            writers.finish().await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_skew_and_no_torn_commit_across_hosts() {
    let Some(server) = TestServer::start() else { return };
    for portable in [false, true] {
        let hosts = hosts(&server.fresh_url(), &PostgresOptions { portable, ..options() }, 2).await;
        for round in 0..20 {
            for doctor in [b"rapp/a/1/a", b"rapp/a/1/b"] {
                hosts[0].update(put(doctor, b"on call")).await.unwrap();
            }
            let mut callers = JoinSet::new();
            for (n, me) in [b"rapp/a/1/a", b"rapp/a/1/b"].into_iter().enumerate() {
                let host = Arc::clone(&hosts[n]);
                let leave = act(move |view, writes| {
                    if view.scan(&Scan::prefix(b"rapp/a/1/"))?.entries.len() < 2 {
                        return Err(refusal("the other has left"));
                    }
                    writes.remove(Bytes::from_static(me));
                    Ok(())
                });
                callers.spawn(async move { host.update(leave).await });
            }
            let left = callers.join_all().await.iter().filter(|outcome| outcome.is_ok()).count();
            assert_eq!(left, 1, "round {round}");
        }
        moves_between_namespaces(&hosts).await;
    }
}

/// Each commit takes from one namespace and gives to the other, so that their sum stays.
async fn moves_between_namespaces(hosts: &[Arc<stash_postgres::PostgresEngine>]) {
    let (one, two) = ("rapp/one/1/n", "rapp/two/1/n");
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let host = Arc::clone(&hosts[caller % 2]);
        let (from, to) = if caller % 4 < 2 { (one, two) } else { (two, one) };
        callers.spawn(async move {
            for _ in 0..10 {
                let step = act(move |view, writes| {
                    for (key, change) in [(from, -1_i64), (to, 1)] {
                        let mut number = 0;
                        let bytes = |value: &[u8]| i64::from_be_bytes(value.try_into().unwrap());
                        view.look(key.as_bytes(), &mut |value| number = value.map_or(0, bytes))?;
                        let next = number + change;
                        writes.put(Bytes::from_static(key.as_bytes()), next.to_be_bytes().to_vec().into());
                    }
                    // Something is set and something removed, in each of them.
                    writes.put(format!("{from}/{caller}").into(), "x".into());
                    writes.remove(format!("{to}/{caller}").into());
                    Ok(())
                });
                host.update(step).await.unwrap();
            }
        });
    }
    let looking = async {
        for _ in 0..50 {
            let state = hosts[1].read(&[one.as_bytes(), two.as_bytes()]).await.unwrap();
            let number = |at: usize| state[at].as_deref().map_or(0, |it| i64::from_be_bytes(it.try_into().unwrap()));
            assert_eq!(number(0) + number(1), 0, "half a commit is seen");
        }
    };
    tokio::join!(looking, async { callers.join_all().await });
}

type Chain = NamespacedStorage<CachedStorage<PostgresBackend>>;

async fn chain(url: &str, options: &PostgresOptions) -> Chain {
    let clock = Arc::new(SystemClock);
    let engine = open_engine(url, options).await.unwrap();
    let backend = EngineBackend::open_with(engine, clock.clone()).await.unwrap();
    let cached = CachedStorage::with(backend, CacheConfig::default(), clock, None);
    NamespacedStorage::new(&"app/a/1".parse().unwrap(), cached)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_host_hears_what_another_commits() {
    let Some(server) = TestServer::start() else { return };
    let mut told = options();
    // What is heard within the hour was announced.
    told.shared.poll = Duration::from_hours(1);
    told.shared.staleness = Duration::from_hours(2);
    let mut asks = options();
    asks.portable = true;
    asks.shared.poll = Duration::from_millis(10);
    for options in [told, asks] {
        // A name that has to be quoted.
        let url = format!("{}&schema={}%20It%22s", server.url(), server.fresh_schema());
        let (one, other) = (chain(&url, &options).await, chain(&url, &options).await);
        until(true, async || {
            let before = one.inner().stats().hits;
            one.get("k").await.unwrap();
            one.inner().stats().hits > before
        })
        .await;
        // What is told before a host listens is lost on it; from the first that it hears on nothing is.
        let tries = AtomicUsize::new(0);
        until(true, async || {
            let value = format!("first {}", tries.fetch_add(1, Ordering::Relaxed));
            other.set("k", value.clone()).await.unwrap();
            let heard = until(Some(value.into()), async || one.get("k").await.unwrap());
            tokio::time::timeout(Duration::from_millis(500), heard).await.is_ok()
        })
        .await;
        for n in 1..20 {
            let value = format!("{n}");
            other.set("k", value.clone()).await.unwrap();
            until(Some(value.into()), async || one.get("k").await.unwrap()).await;
            // One's own are seen at once.
            one.set("k", "mine").await.unwrap();
            assert_eq!(one.get("k").await.unwrap(), Some("mine".into()));
        }
        let since = one.keep_changes("", true).await.unwrap();
        let (version, committed) = tokio::join!(one.changed("", since), other.commit(Batch::new().set("k", "v")));
        assert_eq!(version, Ok(committed.unwrap().version));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_and_odd_keys() {
    let Some(server) = TestServer::start() else { return };
    let engine = open(&server.fresh_url(), &PostgresOptions::default()).await;
    let large = Bytes::from(vec![0xa5; stash_core::limits::MAX_VALUE_BYTES]);
    engine.update(put(b"rapp/a/1/large", &large)).await.unwrap();
    assert_eq!(engine.read(&[b"rapp/a/1/large"]).await.unwrap(), [Some(large.clone())]);
    assert_eq!(engine.read_up_to(&[b"rapp/a/1/large"], large.len() - 1).await.unwrap(), None);
    let first = Scan { value_bytes: 3, ..Scan::prefix(b"rapp/a/1/") };
    assert_eq!(engine.scan(&first).await.unwrap().entries[0].1, vec![0xa5; 3]);

    let every: Vec<u8> = (0..=255).collect();
    // What does not compress, as long as a key may be here.
    let mut longest = vec![b'r'];
    let mut state = 1_u64;
    longest.extend((0..2691).map(|_| {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        u8::try_from(state >> 56).unwrap()
    }));
    for key in [&every[..], b"", &longest] {
        engine.update(put(key, b"v")).await.unwrap();
        assert_eq!(engine.read(&[key]).await.unwrap(), [Some("v".into())]);
    }
    longest.push(0);
    let error = engine.update(put(&longest, b"v")).await.unwrap_err();
    assert!(matches!(error, StorageError::LimitExceeded { actual: 2693, limit: 2692, .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn pages_end_where_they_should_however_many_entries_are_looked_at() {
    let Some(server) = TestServer::start() else { return };
    for portable in [false, true] {
        let engine = open(&server.fresh_url(), &PostgresOptions { portable, ..options() }).await;
        let fill = act(|_, writes| {
            (0..9_000).for_each(|n| writes.put(format!("rapp/a/1/{n:05}").into(), Bytes::new()));
            Ok(())
        });
        engine.update(fill).await.unwrap();
        // Nothing counts, so that the bytes never suffice.
        for reverse in [false, true] {
            let scan = Scan { max_bytes: 10, uncounted_key_bytes: 100, reverse, ..Scan::prefix(b"rapp/a/1/") };
            let page = engine.scan(&scan).await.unwrap();
            assert_eq!((page.entries.len(), page.more), (9_000, false));
            let (asked, few) = (scan.clone(), Scan { limit: 7, ..scan.clone() });
            let count = act(move |view, _| Ok((view.scan(&asked)?.entries.len(), view.scan(&few)?)));
            let (count, page) = engine.update(count).await.unwrap();
            assert_eq!((count, page.entries.len(), page.more), (9_000, 7, true));
        }
        // The same as always, in a snapshot.
        let snapshot = engine.snapshot().await.unwrap();
        engine.update(put(b"rapp/a/1/00000", b"new")).await.unwrap();
        let scan = Scan { limit: 3, max_bytes: 40, ..Scan::prefix(b"rapp/a/1/") };
        let page = snapshot.scan(&scan).await.unwrap();
        assert_eq!((page.entries.len(), page.more, page.entries[0].1.len()), (3, true, 0));
        assert_eq!(engine.scan(&scan).await.unwrap().entries[0].1, "new");
    }
}
