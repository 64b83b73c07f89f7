//! Several hosts on one store: what they do together, what they see of each other, and what becomes of commits whose answers
//! are lost.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use common::{Fault, Memory};
use stash_conformance::decision::{act, increment, look, put, refusal, to_number};
use stash_core::engine::{Scan, View};
use stash_core::{
    Batch, CacheConfig, CachedStorage, ComponentStorage, Engine, EngineBackend, Expiry, ManualClock, NamespacedStorage,
    SetOptions, StorageError, Version,
};
use stash_shared::{CommitLimits, SharedEngine, SharedOptions};
use tokio::task::JoinSet;

const COUNT: &[u8] = b"rapp/a/1/count";

fn quick() -> SharedOptions {
    SharedOptions { patience: Duration::from_secs(5), ..SharedOptions::default() }
}

async fn hosts(server: &Memory, number: usize) -> Vec<Arc<SharedEngine<Memory>>> {
    let mut hosts = Vec::new();
    for _ in 0..number {
        hosts.push(Arc::new(server.engine(quick()).await));
    }
    hosts
}

async fn number(engine: &SharedEngine<Memory>, key: &[u8]) -> u64 {
    engine.read(&[key]).await.unwrap()[0].as_deref().map_or(0, to_number)
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_add_up_across_hosts() {
    let server = Memory::default();
    let hosts = hosts(&server, 3).await;
    let mut callers = JoinSet::new();
    for caller in 0..24 {
        let host = Arc::clone(&hosts[caller % 3]);
        callers.spawn(async move {
            for _ in 0..20 {
                host.update(increment(COUNT)).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    assert_eq!(number(&hosts[0], COUNT).await, 480);
    assert!(server.counts().1 < 480, "what waits together goes together: {:?}", server.counts());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_that_looks_at_the_clock_comes_to_an_end() {
    let server = Memory::default();
    let engine = server.engine(quick()).await;
    for n in 0..5 {
        engine.update(put(format!("rapp/a/1/{n}").as_bytes(), b"due")).await.unwrap();
    }
    let before = server.counts().0;
    // What is due now is another range each time that it is asked.
    let mut moment = 0_u64;
    let sweep = act(move |view, writes| {
        moment += 1;
        let end = std::ops::Bound::Included(bytes::Bytes::from(format!("rapp/a/1/2{moment:020}")));
        let due = view.scan(&Scan { end, limit: 10, ..Scan::prefix(b"rapp/a/1/") })?;
        for (key, _) in &due.entries {
            view.look(key, &mut |_| {})?;
            writes.remove(key.clone());
        }
        Ok(due.entries.len())
    });
    assert_eq!(engine.update(sweep).await.unwrap(), 3);
    let asked = server.counts().0 - before;
    assert!(asked <= 4, "it was asked {asked} times");
    let left = engine.scan(&Scan::prefix(b"rapp/a/1/")).await.unwrap();
    assert_eq!(left.entries.len(), 2);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_skew_across_hosts() {
    let server = Memory::default();
    let hosts = hosts(&server, 2).await;
    for round in 0..100 {
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
                writes.remove(bytes::Bytes::from_static(me));
                Ok(())
            });
            callers.spawn(async move { host.update(leave).await });
        }
        let left = callers.join_all().await.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!(left, 1, "round {round}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn two_namespaces_in_one_commit_are_one_state() {
    let server = Memory::default();
    let hosts = hosts(&server, 2).await;
    let (one, two): (&[u8], &[u8]) = (b"rapp/one/1/n", b"rapp/two/1/n");
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let host = Arc::clone(&hosts[caller % 2]);
        callers.spawn(async move {
            for _ in 0..20 {
                let both = act(move |view: &dyn View, writes| {
                    let [a, b] = [one, two].map(|key| look(view, key).map(|found| found.map_or(0, |n| to_number(&n))));
                    let (a, b) = (a?, b?);
                    assert_eq!(a, b, "they are changed together");
                    for key in [one, two] {
                        writes.put(bytes::Bytes::from_static(key), stash_conformance::decision::number(a + 1));
                    }
                    Ok(())
                });
                host.update(both).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    assert_eq!((number(&hosts[0], one).await, number(&hosts[1], two).await), (160, 160));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_is_lost_is_neither_lost_nor_doubled() {
    use Fault::{Late, LoseAnswer, LoseCommit, None, NotSent};
    let server = Memory::default();
    let host = server.engine(quick()).await;
    for (n, faults) in [
        vec![LoseAnswer],
        vec![LoseCommit],
        vec![Late],
        vec![NotSent, NotSent],
        // The answer to what keeps it out is lost, or that itself.
        vec![LoseCommit, LoseAnswer],
        vec![LoseCommit, LoseCommit],
        vec![Late, LoseAnswer],
        vec![Late, Late, Late],
        vec![LoseCommit, NotSent, None, LoseAnswer],
        vec![LoseAnswer, LoseAnswer, LoseAnswer],
    ]
    .into_iter()
    .enumerate()
    {
        let told = Arc::new(std::sync::atomic::AtomicUsize::new(0));
        let counted = Arc::clone(&told);
        server.fail(faults.clone());
        let count = increment(COUNT).told(move |_| {
            counted.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        });
        let expected = u64::try_from(n + 1).unwrap();
        assert_eq!(host.update(count).await, Ok(expected), "{faults:?}");
        assert_eq!(number(&host, COUNT).await, expected, "{faults:?}");
        assert_eq!(told.load(std::sync::atomic::Ordering::SeqCst), 1, "{faults:?}");
        server.fail([None; 0]);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_lose_answers_all_the_time_count_right() {
    use Fault::{Late, LoseAnswer, LoseCommit, None, NotSent};
    let server = Memory::default();
    let hosts = hosts(&server, 3).await;
    server.fail([LoseAnswer, None, LoseCommit, Late, None, None, NotSent, LoseAnswer, None].repeat(60));
    let mut callers = JoinSet::new();
    for caller in 0..12 {
        let host = Arc::clone(&hosts[caller % 3]);
        callers.spawn(async move {
            let mut counted = 0;
            for _ in 0..20 {
                host.update(increment(COUNT)).await.unwrap();
                counted += 1;
            }
            counted
        });
    }
    let counted: u64 = callers.join_all().await.into_iter().sum();
    assert_eq!((number(&hosts[0], COUNT).await, counted), (240, 240));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_be_reached_is_told_and_nothing_is_stored() {
    let server = Memory::default();
    let options = SharedOptions { patience: Duration::from_millis(50), ..SharedOptions::default() };
    let host = server.engine(options).await;
    server.reachable(false);
    for error in [
        host.update(put(COUNT, b"x")).await.unwrap_err(),
        host.read(&[COUNT]).await.unwrap_err(),
        host.scan(&Scan::prefix(b"")).await.unwrap_err(),
    ] {
        assert!(
            matches!(&error, StorageError::Unavailable { reason } if reason.contains("cannot be reached")),
            "{error}"
        );
    }
    server.reachable(true);
    assert_eq!(number(&host, COUNT).await, 0);
    host.update(increment(COUNT)).await.unwrap();
    // It is back within the patience of a call.
    server.reachable(false);
    let again = server.clone();
    let (asked, reached) = tokio::join!(host.update(increment(COUNT)), async {
        tokio::task::yield_now().await;
        again.reachable(true);
    });
    assert_eq!((asked, reached), (Ok(2), ()));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_too_large_for_one_commit_goes_in_several_or_is_refused() {
    let mut server = Memory::default();
    server.limits = Some(CommitLimits { writes: 4, bytes: 1000 });
    let host = Arc::new(server.engine(quick()).await);
    let write = |keys: usize, bytes: usize, name: usize| {
        act(move |_, writes| {
            for key in 0..keys {
                writes.put(format!("rapp/a/1/{name}-{key}").into(), vec![0; bytes].into());
            }
            Ok(())
        })
    };
    let mut callers = JoinSet::new();
    for name in 0..20 {
        let (host, decision) = (Arc::clone(&host), write(3, 100, name));
        callers.spawn(async move { host.update(decision).await });
    }
    assert!(callers.join_all().await.iter().all(Result::is_ok));
    assert_eq!(host.scan(&Scan::prefix(b"rapp/a/1/")).await.unwrap().entries.len(), 60);
    for (decision, what) in [(write(5, 1, 99), "number of entries"), (write(2, 600, 99), "size in bytes")] {
        let error = host.update(decision).await.unwrap_err();
        assert!(matches!(&error, StorageError::LimitExceeded { what: said, .. } if said.contains(what)), "{error}");
    }
    // One change of a key may always be larger.
    host.update(write(1, 5000, 99)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_commit_has_more_time() {
    let server = Memory::default();
    let (call_timeout, patience) = (Duration::from_millis(200), Duration::from_secs(1));
    let engine = server.engine(SharedOptions { call_timeout, patience, ..SharedOptions::default() }).await;
    server.take(Duration::from_millis(500));
    let large = vec![7; 8 << 20];
    let written = large.clone();
    let write = act(move |_, writes| {
        writes.put("rapp/a/1/large".into(), written.clone().into());
        Ok(())
    });
    assert_eq!(engine.update(write).await, Ok(()));
    assert_eq!(server.counts().1, 1);
    assert!(engine.read(&[b"rapp/a/1/large"]).await.unwrap()[0].as_deref() == Some(&large[..]));
    // A small one has not.
    assert!(engine.update(increment(COUNT)).await.is_err());
}

type Chain = NamespacedStorage<CachedStorage<EngineBackend<SharedEngine<Memory>>>>;

/// A component's chain on a host of its own.
async fn chain(server: &Memory, options: SharedOptions, clock: &ManualClock) -> Chain {
    let clock = Arc::new(clock.clone());
    let own = server.clone();
    let connect = || async { Ok::<_, StorageError>(own) };
    let engine = SharedEngine::open_with(options, clock.clone(), connect).await.unwrap();
    let backend = EngineBackend::open_with(engine, clock.clone()).await.unwrap();
    let cached = CachedStorage::with(backend, CacheConfig::default(), clock, None);
    NamespacedStorage::new(&"app/a/1".parse().unwrap(), cached)
}

/// Calls until it gives what is waited for.
async fn until<T: PartialEq + std::fmt::Debug>(expected: T, call: impl AsyncFn() -> T) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let now = call().await;
        if now == expected {
            return;
        }
        assert!(Instant::now() < deadline, "it stays {now:?}");
        tokio::task::yield_now().await;
    }
}

/// Reads until reads are answered by the cache.
async fn until_cached(chain: &Chain) {
    until(true, async || {
        let before = chain.inner().stats().hits;
        chain.get("k").await.unwrap();
        chain.inner().stats().hits > before
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_hears_of_other_hosts_and_trusts_nothing_old() {
    let (server, clock) = (Memory::default(), ManualClock::default());
    // Whatever is heard is announced, or asked for when a namespace is followed anew.
    let rarely = SharedOptions { poll: Duration::from_hours(1), patience: Duration::ZERO, ..quick() };
    let (one, other) = (chain(&server, rarely.clone(), &clock).await, chain(&server, rarely, &clock).await);
    one.set("k", "1").await.unwrap();
    until_cached(&one).await;
    other.set("k", "2").await.unwrap();
    until(Some("2".into()), async || one.get("k").await.unwrap()).await;
    // A host sees its own at once, whatever the others do.
    one.set("k", "3").await.unwrap();
    assert_eq!(one.get("k").await.unwrap(), Some("3".into()));

    // Cut off, it serves what it has for two seconds, and then nothing.
    until_cached(&one).await;
    server.reachable(false);
    clock.advance(Duration::from_millis(1_999));
    assert_eq!(one.get("k").await.unwrap(), Some("3".into()));
    clock.advance(Duration::from_millis(1));
    assert!(matches!(one.get("k").await, Err(StorageError::Unavailable { .. })));
}

/// By the clock of the system, as hosts run: it goes on while a decision is on its way.
#[tokio::test(flavor = "multi_thread")]
async fn what_has_expired_is_swept_once() {
    const DUE: u64 = 1_000;
    let server = Memory::default();
    let mut backends = Vec::new();
    for _ in 0..3 {
        backends.push(EngineBackend::open(server.engine(quick()).await).await.unwrap());
    }
    let store = NamespacedStorage::new(&"app/a/1".parse().unwrap(), backends[0].clone());
    let soon = SetOptions { expiry: Expiry::After(Duration::from_millis(1)), ..SetOptions::default() };
    for part in 0..DUE / 100 {
        let set = |batch: Batch, n| batch.set_with(format!("{part}/{n}"), "value", soon.clone());
        store.commit((0..100).fold(Batch::new(), set)).await.unwrap();
    }
    store.set("stays", "value").await.unwrap();
    while store.usage("").await.unwrap().key_count > 1 {
        tokio::task::yield_now().await;
    }
    let mut sweepers = JoinSet::new();
    for backend in &backends {
        let backend = backend.clone();
        sweepers.spawn(async move { backend.sweep(1_000).await.unwrap() });
    }
    let swept = sweepers.join_all().await;
    assert_eq!(swept.iter().map(|swept| swept.removed).sum::<u64>(), DUE, "{swept:?}");
    assert_eq!(backends[1].sweep(1_000).await.unwrap().removed, 0);
    let usage = store.usage("").await.unwrap();
    assert_eq!((usage.key_count, usage.used_bytes), (1, 10));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_may_tell_of_commits_itself() {
    let (server, clock) = (Memory::default(), ManualClock::default());
    server.tell_heads();
    let rarely = SharedOptions { poll: Duration::from_hours(1), ..quick() };
    let (one, other) = (chain(&server, rarely.clone(), &clock).await, chain(&server, rarely, &clock).await);
    one.set("k", "1").await.unwrap();
    until_cached(&one).await;
    other.set("k", "2").await.unwrap();
    assert_eq!(one.get("k").await.unwrap(), Some("2".into()), "it was told before the other's commit was answered");
    one.set("k", "3").await.unwrap();
    until_cached(&one).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_announced_is_asked_for() {
    let (server, clock) = (Memory::default(), ManualClock::default());
    server.mute();
    let often = SharedOptions { poll: Duration::from_millis(1), ..quick() };
    let (one, other) = (chain(&server, often.clone(), &clock).await, chain(&server, often, &clock).await);
    one.set("k", "1").await.unwrap();
    until_cached(&one).await;
    other.set("k", "2").await.unwrap();
    until(Some("2".into()), async || one.get("k").await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_waits_for_changes_is_woken_by_another_host() {
    let (server, clock) = (Memory::default(), ManualClock::default());
    let often = SharedOptions { poll: Duration::from_millis(1), ..quick() };
    let (one, other) = (chain(&server, often.clone(), &clock).await, chain(&server, often, &clock).await);
    let since = one.keep_changes("", true).await.unwrap();
    let waiting = one.changed("", since);
    let (version, committed) = tokio::join!(waiting, other.commit(Batch::new().set("k", "v")));
    assert_eq!(version.as_ref(), Ok(&committed.unwrap().version));
    assert_eq!(version, Ok(Version(since.0 + 1)));
}
