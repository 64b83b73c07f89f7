//! Several hosts on one server, behind a network that fails, and a server that fails: what is counted must be right, and
//! what cannot be done must be said in time.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stash_conformance::decision::{act, increment, look, number, put, refusal, to_number};
use stash_core::engine::{Scan, Snapshot, View};
use stash_core::{
    CacheConfig, CachedStorage, ComponentStorage, Engine, EngineBackend, NamespacedStorage, StorageError, SystemClock,
};
use stash_redis::testing::{DURABLE, Fault, Proxy, TestServer};
use stash_redis::{RedisEngine, RedisOptions};
use stash_shared::SharedOptions;
use tokio::task::JoinSet;

const COUNT: &[u8] = b"rapp/a/1/count";

async fn engine(url: &str) -> Arc<RedisEngine> {
    Arc::new(stash_redis::open_engine(url, &RedisOptions::default()).await.unwrap())
}

/// Soon convinced that an answer will not come.
fn hasty() -> RedisOptions {
    let shared = SharedOptions {
        call_timeout: Duration::from_millis(1500),
        patience: Duration::from_secs(30),
        ..SharedOptions::default()
    };
    RedisOptions { shared, ..RedisOptions::default() }
}

async fn hasty_engine(url: &str) -> Arc<RedisEngine> {
    Arc::new(stash_redis::open_engine(url, &hasty()).await.unwrap())
}

async fn count(engine: &RedisEngine) -> u64 {
    engine.read(&[COUNT]).await.unwrap()[0].as_deref().map_or(0, to_number)
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_add_up_across_hosts() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let mut hosts = Vec::new();
    for _ in 0..3 {
        hosts.push(engine(&server.url("s")).await);
    }
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
    assert_eq!(count(&hosts[1]).await, 480);
}

#[tokio::test(flavor = "multi_thread")]
async fn no_write_skew_across_hosts() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let hosts = [engine(&server.url("s")).await, engine(&server.url("s")).await];
    for round in 0..50 {
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
}

#[tokio::test(flavor = "multi_thread")]
async fn two_components_in_one_commit_are_one_state() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let hosts = [engine(&server.url("s")).await, engine(&server.url("s")).await];
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
                        writes.put(Bytes::from_static(key), number(a + 1));
                    }
                    Ok(())
                });
                host.update(both).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    let both = hosts[0].read(&[one, two]).await.unwrap();
    assert_eq!(both, [Some(number(160)), Some(number(160))]);
}

type Chain = NamespacedStorage<CachedStorage<EngineBackend<RedisEngine>>>;

async fn chain(url: &str) -> Chain {
    let backend = stash_redis::open(url, &RedisOptions::default()).await.unwrap();
    let cached = CachedStorage::with(backend, CacheConfig::default(), Arc::new(SystemClock), None);
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

#[tokio::test(flavor = "multi_thread")]
async fn a_host_hears_of_the_commits_of_another() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let (one, other) = (chain(&server.url("s")).await, chain(&server.url("s")).await);
    one.set("k", "1").await.unwrap();
    until(true, async || {
        let before = one.inner().stats().hits;
        one.get("k").await.unwrap();
        one.inner().stats().hits > before
    })
    .await;
    other.set("k", "2").await.unwrap();
    until(Some("2".into()), async || one.get("k").await.unwrap()).await;
    // And where announcements have nobody to hear them: it is asked for.
    for line in server.tell(&["CLIENT", "LIST", "TYPE", "pubsub"]).lines() {
        let id = line.split_whitespace().find_map(|part| part.strip_prefix("id=")).unwrap();
        server.tell(&["CLIENT", "KILL", "ID", id]);
    }
    other.set("k", "3").await.unwrap();
    until(Some("3".into()), async || one.get("k").await.unwrap()).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn waiting_for_changes_ends_with_the_commit_of_another_host() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let (one, other) = (chain(&server.url("s")).await, chain(&server.url("s")).await);
    let since = one.keep_changes("", true).await.unwrap();
    let (version, committed) =
        tokio::join!(one.changed("", since), other.commit(stash_core::Batch::new().set("k", "v")));
    assert_eq!(version.unwrap(), committed.unwrap().version);
}

/// What became of counting while the network, or the server, did what it did.
#[derive(Default)]
struct Counting {
    answered: AtomicU64,
    /// Not done.
    refused: AtomicU64,
    /// May be stored.
    unknown: AtomicU64,
}

impl Counting {
    fn outcome(&self) -> (u64, u64, u64) {
        let [answered, refused, unknown] =
            [&self.answered, &self.refused, &self.unknown].map(|count| count.load(Ordering::SeqCst));
        println!("{answered} answered, {refused} refused, {unknown} unknown");
        (answered, refused, unknown)
    }
}

/// Several callers count on hosts, until what happens meanwhile is over.
async fn count_while(
    hosts: &[Arc<RedisEngine>],
    callers: usize,
    meanwhile: impl Future<Output = ()>,
) -> (u64, u64, u64) {
    let counting = Arc::new(Counting::default());
    let is_over = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    for caller in 0..callers {
        let (host, counting) = (Arc::clone(&hosts[caller % hosts.len()]), Arc::clone(&counting));
        let is_over = Arc::clone(&is_over);
        tasks.spawn(async move {
            while !is_over.load(Ordering::SeqCst) {
                let count = match host.update(increment(COUNT)).await {
                    Ok(_) => &counting.answered,
                    Err(StorageError::Unavailable { .. }) => &counting.refused,
                    Err(error @ StorageError::Io { .. }) => {
                        println!("{error}");
                        &counting.unknown
                    }
                    Err(error) => panic!("{error}"),
                };
                count.fetch_add(1, Ordering::SeqCst);
            }
        });
    }
    meanwhile.await;
    is_over.store(true, Ordering::SeqCst);
    tasks.join_all().await;
    counting.outcome()
}

/// Waits until so much more is counted.
async fn until_counted(watch: &RedisEngine, more: u64) {
    let before = count(watch).await;
    until(true, async || count(watch).await >= before + more).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_whose_answers_are_lost_are_neither_lost_nor_doubled() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let proxy = Proxy::start(&server).await;
    let hosts = [hasty_engine(&proxy.url("s")).await, hasty_engine(&proxy.url("s")).await];
    let direct = engine(&server.url("s")).await;
    let faults = [
        Fault::CutAnswers,
        Fault::Halve,
        Fault::Refuse,
        Fault::Delay(20),
        Fault::CutAnswers,
        Fault::Mute,
        Fault::Stall,
    ];
    let outcome = count_while(&hosts, 8, async {
        for fault in faults.into_iter().chain(faults) {
            // Something comes through, then something does not.
            until_counted(&direct, 5).await;
            proxy.fault(fault);
            // Long enough for calls to meet it, and for those that stall to be given up.
            tokio::time::sleep(Duration::from_millis(if fault == Fault::Stall { 2000 } else { 100 })).await;
            proxy.fault(Fault::None);
        }
        until_counted(&direct, 5).await;
    });
    let (answered, refused, unknown) = outcome.await;
    assert!(answered > 5 * 14, "{answered}");
    assert_eq!((refused, unknown), (0, 0), "each was seen through to its end");
    assert_eq!(count(&direct).await, answered);
    assert!(proxy.connections() > 14, "the network failed nobody");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_killed_keeps_what_it_answered() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let hosts = [hasty_engine(&server.url("s")).await, hasty_engine(&server.url("s")).await];
    assert!(hosts[0].info().durable);
    let snapshot = hosts[0].snapshot().await.unwrap();
    let watch = engine(&server.url("s")).await;
    let outcome = count_while(&hosts, 8, async {
        for _ in 0..3 {
            until_counted(&watch, 20).await;
            server.kill();
            server.restart();
        }
        until_counted(&watch, 20).await;
    });
    let (answered, refused, unknown) = outcome.await;
    let stored = count(&hosts[0]).await;
    assert_eq!((stored, refused, unknown), (answered, 0, 0));
    // What it kept for snapshots is gone, and is not taken for what is there now.
    let error = snapshot.read(&[COUNT]).await.unwrap_err();
    assert!(matches!(&error, StorageError::Unavailable { reason } if reason.contains("restarted")), "{error}");
    assert_eq!(hosts[0].snapshot().await.unwrap().read(&[COUNT]).await.unwrap(), [Some(number(stored))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_stops_for_some_seconds_is_waited_for() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let hosts = [hasty_engine(&server.url("s")).await];
    let watch = engine(&server.url("s")).await;
    hosts[0].update(increment(COUNT)).await.unwrap();
    let outcome = count_while(&hosts, 4, async {
        server.signal("-STOP");
        // Longer than a call may take, so that what is under way is given up.
        tokio::time::sleep(Duration::from_secs(4)).await;
        server.signal("-CONT");
        until_counted(&watch, 20).await;
    });
    let (answered, refused, unknown) = outcome.await;
    assert_eq!((refused, unknown), (0, 0));
    assert_eq!(count(&watch).await, 1 + answered);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_in_time() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let shared = SharedOptions {
        patience: Duration::from_secs(1),
        call_timeout: Duration::from_secs(1),
        ..SharedOptions::default()
    };
    let options = RedisOptions { shared, ..RedisOptions::default() };
    let url = server.url("s").replace("redis://", "redis://user:geheim@");
    server.tell(&["ACL", "SETUSER", "user", "on", ">geheim", "~s:*", "&s:*", "+@all"]);
    let host = stash_redis::open_engine(&url, &options).await.unwrap();
    host.update(increment(COUNT)).await.unwrap();
    server.kill();
    let begun = Instant::now();
    // The connection broke, so what was sent on it may have been lost; what is tried later is not even sent.
    let _ = host.update(increment(COUNT)).await;
    for error in [
        host.update(increment(COUNT)).await.unwrap_err(),
        host.read(&[COUNT]).await.unwrap_err(),
        host.snapshot().await.unwrap_err(),
        stash_redis::open(&url, &options).await.unwrap_err().into_storage(),
    ] {
        let said = error.to_string();
        assert!(matches!(error, StorageError::Unavailable { .. }), "{said}");
        assert!(said.contains("127.0.0.1") && !said.contains("geheim"), "{said}");
    }
    assert!(begun.elapsed() < Duration::from_secs(30), "{:?}", begun.elapsed());
    assert!(host.status().failure.is_some_and(|failure| failure.contains("127.0.0.1")));
}

/// For lists of errors.
trait IntoStorage {
    fn into_storage(self) -> StorageError;
}

impl IntoStorage for stash_redis::OpenError {
    fn into_storage(self) -> StorageError {
        assert!(matches!(self, Self::Unreachable { .. }), "{self}");
        StorageError::Unavailable { reason: self.to_string() }
    }
}
