//! The public suite on a cluster of three nodes: whatever is within one component. What a cluster cannot do is named here,
//! and printed; everything else must pass.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stash_conformance::decision::{act, increment, put, to_number};
use stash_conformance::{ChainConfig, ChainsOver, EngineFixture, engine, model, storage};
use stash_core::engine::{Scan, Snapshot};
use stash_core::{Engine, StorageError};
use stash_redis::testing::TestCluster;
use stash_redis::{OpenError, RedisEngine, RedisOptions};
use tokio::task::JoinSet;

/// No server is restarted here, so that none needs to write to disk.
const QUICK: &[&str] = &["--appendonly", "no", "--save", ""];

/// Each engine with a prefix of its own, in one cluster.
struct Prefixes {
    cluster: TestCluster,
    made: AtomicUsize,
}

impl Prefixes {
    fn new() -> Option<Self> {
        Some(Self { cluster: TestCluster::start(3, QUICK)?, made: AtomicUsize::new(0) })
    }

    async fn open(&self, prefix: &str) -> RedisEngine {
        stash_redis::open_engine(&self.cluster.url(prefix), &RedisOptions::default()).await.unwrap()
    }
}

impl EngineFixture for Prefixes {
    type Engine = RedisEngine;

    async fn fresh(&self) -> RedisEngine {
        self.open(&format!("p{}", self.made.fetch_add(1, Ordering::Relaxed))).await
    }

    async fn reopen(&self, engine: RedisEngine) -> Option<RedisEngine> {
        let prefix = engine.server().prefix().to_owned();
        drop(engine);
        Some(self.open(&prefix).await)
    }
}

#[test]
fn the_engine_keeps_its_promises_but_for_snapshots_of_everything() {
    let Some(fixture) = Prefixes::new() else { return };
    let report = engine::try_run(fixture);
    // A snapshot begins, for each component, when that is first looked at; this case looks later.
    let not_kept = ["a_snapshot_does_not_change"];
    println!("a cluster does not promise: {not_kept:?}");
    assert_eq!(report.failed(), not_kept, "{report}");
}

#[test]
fn whole_chains_keep_their_promises() {
    let Some(fixture) = Prefixes::new() else { return };
    let config = ChainConfig::whole();
    storage::run_world(config.name, ChainsOver { engines: Arc::new(fixture), config });
}

#[test]
fn chains_without_a_cache_answer_as_the_model_does() {
    let Some(fixture) = Prefixes::new() else { return };
    let config = ChainConfig { name: "namespaces only", cache: None, budget: None, guarded: false };
    model::check_world(&ChainsOver { engines: Arc::new(fixture), config });
}

fn key(component: usize, name: &str) -> Bytes {
    Bytes::from(format!("rapp/service/{component:03}/{name}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn components_are_on_all_nodes_and_lists_go_over_all_of_them() {
    let Some(fixture) = Prefixes::new() else { return };
    let engine = fixture.fresh().await;
    let mut all = BTreeMap::new();
    for component in 0..60 {
        let mut entries = vec![key(component, "a"), key(component, "b\u{1f}c")];
        entries.push(Bytes::from(format!("napp/service/{component:03}/")));
        entries.push(Bytes::from(format!("rapp/service/{component:03}\u{1f}orders/7")));
        entries.push(Bytes::from(format!("rapp/service/{component:03}-x/k")));
        for key in entries {
            engine.update(put(&key, &key)).await.unwrap();
            all.insert(key.clone(), key);
        }
    }
    // Keys of no component are between those of components.
    for name in ["hformat", "r", "rapp/service/0", "rapp/service/030", "rz"] {
        engine.update(put(name.as_bytes(), b"none")).await.unwrap();
        all.insert(Bytes::copy_from_slice(name.as_bytes()), Bytes::from_static(b"none"));
    }
    for node in &fixture.cluster.nodes {
        assert_ne!(node.tell(&["DBSIZE"]), "0", "a node has nothing");
    }
    for prefix in ["", "n", "r", "rapp/service/03", "rapp/service/030", "rapp/service/030/", "rapp/service/030\u{1f}"] {
        for reverse in [false, true] {
            for (limit, max_bytes) in [(usize::MAX, usize::MAX), (1, usize::MAX), (7, usize::MAX), (usize::MAX, 100)] {
                let scan = Scan { reverse, limit, max_bytes, ..Scan::prefix(prefix.as_bytes()) };
                let range = all.range::<Bytes, _>((scan.start.as_ref(), scan.end.as_ref())).map(Ok::<_, StorageError>);
                let expected = if reverse { scan.collect(range.rev()) } else { scan.collect(range) };
                assert_eq!(engine.scan(&scan).await, expected, "{scan:?}");
                let snapshot = engine.snapshot().await.unwrap();
                assert_eq!(snapshot.scan(&scan).await, expected, "{scan:?}");
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_of_a_component_stays_as_it_was_when_first_looked_at() {
    let Some(fixture) = Prefixes::new() else { return };
    let engine = fixture.fresh().await;
    for component in 0..9 {
        engine.update(put(&key(component, "k"), b"1")).await.unwrap();
    }
    let snapshot = engine.snapshot().await.unwrap();
    let keys: Vec<Bytes> = (0..9).map(|component| key(component, "k")).collect();
    let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
    assert_eq!(snapshot.read(&keys).await.unwrap(), vec![Some(Bytes::from("1")); 9]);
    for component in 0..9 {
        engine.update(put(&key(component, "k"), b"2")).await.unwrap();
        engine.update(put(&key(component, "l"), b"2")).await.unwrap();
    }
    assert_eq!(snapshot.read(&keys).await.unwrap(), vec![Some(Bytes::from("1")); 9]);
    assert_eq!(snapshot.scan(&Scan::prefix(b"r")).await.unwrap().entries.len(), 9);
    assert_eq!(engine.read(&keys).await.unwrap(), vec![Some(Bytes::from("2")); 9]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_to_several_components_is_refused_and_nothing_is_stored() {
    let Some(fixture) = Prefixes::new() else { return };
    let engine = fixture.fresh().await;
    let both = act(|_, writes| {
        (0..9).for_each(|component| writes.put(key(component, "k"), Bytes::from_static(b"x")));
        Ok(())
    });
    let error = engine.update(both).await.unwrap_err();
    assert!(
        matches!(&error, StorageError::Unsupported { reason } if reason.contains("several components at once")),
        "{error}"
    );
    assert!(engine.scan(&Scan::prefix(b"r")).await.unwrap().entries.is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn components_that_share_a_slot_are_not_committed_together_either() {
    let Some(fixture) = Prefixes::new() else { return };
    let engine = fixture.fresh().await;
    let node = &fixture.cluster.nodes[0];
    let mut seen = BTreeMap::new();
    let (one, two) = (0..2000)
        .map(|n| n * 7919)
        .find_map(|component| {
            let slot = node.tell(&["CLUSTER", "KEYSLOT", &format!("{{app/service/{component:03}}}")]);
            seen.insert(slot, component).map(|before| (before, component))
        })
        .expect("two of so many share a slot");
    engine.update(put(&key(two, "k"), b"before")).await.unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    assert_eq!(snapshot.read(&[&key(two, "k")]).await.unwrap(), [Some(Bytes::from("before"))]);
    let both = act(move |_, writes| {
        for component in [one, two] {
            writes.put(key(component, "k"), Bytes::from_static(b"x"));
        }
        Ok(())
    });
    let error = engine.update(both).await.unwrap_err();
    assert!(matches!(&error, StorageError::Unsupported { .. }), "{error}");
    assert_eq!(engine.read(&[&key(one, "k"), &key(two, "k")]).await.unwrap(), [None, Some(Bytes::from("before"))]);
    assert_eq!(snapshot.read(&[&key(two, "k")]).await.unwrap(), [Some(Bytes::from("before"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn slots_may_move_while_hosts_count() {
    const COUNT: &[u8] = b"rapp/a/1/count";
    let Some(fixture) = Prefixes::new() else { return };
    let hosts = [fixture.open("moving").await, fixture.open("moving").await].map(Arc::new);
    hosts[0].update(increment(COUNT)).await.unwrap();
    let slot: u16 = fixture.cluster.nodes[0].tell(&["CLUSTER", "KEYSLOT", "moving:{app/a/1}:v"]).parse().unwrap();
    let ids: Vec<String> = fixture.cluster.nodes.iter().map(|node| node.tell(&["CLUSTER", "MYID"])).collect();
    let nodes = &fixture.cluster.nodes;
    let holder = |nodes: &[stash_redis::testing::TestServer]| {
        nodes.iter().position(|node| node.tell(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]) != "0").unwrap()
    };
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let host = Arc::clone(&hosts[caller % 2]);
        callers.spawn(async move {
            for _ in 0..40 {
                host.update(increment(COUNT)).await.unwrap();
            }
        });
    }
    // As `redis-cli --cluster reshard` does it.
    for _ in 0..4 {
        let from = holder(nodes);
        let to = (from + 1) % nodes.len();
        nodes[to].tell(&["CLUSTER", "SETSLOT", &slot.to_string(), "IMPORTING", &ids[from]]);
        nodes[from].tell(&["CLUSTER", "SETSLOT", &slot.to_string(), "MIGRATING", &ids[to]]);
        loop {
            let keys = nodes[from].ask(&["CLUSTER", "GETKEYSINSLOT", &slot.to_string(), "100"]).unwrap();
            let keys: Vec<String> = redis_texts(keys);
            if keys.is_empty() {
                break;
            }
            let port = nodes[to].port().to_string();
            let mut migrate = vec!["MIGRATE", "127.0.0.1", &port, "", "0", "5000", "KEYS"];
            migrate.extend(keys.iter().map(String::as_str));
            nodes[from].tell(&migrate);
            tokio::task::yield_now().await;
        }
        for node in [&nodes[to], &nodes[from]] {
            node.tell(&["CLUSTER", "SETSLOT", &slot.to_string(), "NODE", &ids[to]]);
        }
    }
    callers.join_all().await;
    let count = hosts[1].read(&[COUNT]).await.unwrap()[0].as_deref().map(to_number);
    assert_eq!(count, Some(321));
}

/// Of three components, each on another node.
const COUNTS: [&[u8]; 3] = [b"rapp/service/000/count", b"rapp/service/002/count", b"rapp/service/003/count"];

#[tokio::test(flavor = "multi_thread")]
async fn replicas_may_take_over_while_hosts_count() {
    let Some(fixture) = Prefixes::new() else { return };
    let nodes = &fixture.cluster.nodes;
    let hosts = [fixture.open("taken").await, fixture.open("taken").await].map(Arc::new);
    let replicas: Vec<_> = nodes.iter().map(|node| fixture.cluster.add_replica(node, QUICK)).collect();
    let is_over = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for caller in 0..6 {
        let (host, is_over) = (Arc::clone(&hosts[caller % 2]), Arc::clone(&is_over));
        let count = COUNTS[caller / 2];
        callers.spawn(async move {
            let mut counted = 0;
            while !is_over.load(Ordering::SeqCst) {
                host.update(increment(count)).await.unwrap();
                counted += 1;
            }
            counted
        });
    }
    // The primary waits until the replica has everything.
    for (node, replica) in nodes.iter().zip(&replicas) {
        replica.tell(&["CLUSTER", "FAILOVER"]);
        let deadline = Instant::now() + Duration::from_secs(30);
        while !replica.tell(&["ROLE"]).contains("master") || node.tell(&["ROLE"]).contains("master") {
            assert!(Instant::now() < deadline, "a replica does not take over");
            tokio::task::yield_now().await;
        }
    }
    // What was a primary is asked by nobody any more.
    nodes.iter().for_each(stash_redis::testing::TestServer::kill);
    let before: u64 = counted(&hosts[0]).await;
    while counted(&hosts[1]).await < before + 20 {
        tokio::task::yield_now().await;
    }
    is_over.store(true, Ordering::SeqCst);
    let answered: u64 = callers.join_all().await.into_iter().sum();
    assert_eq!(counted(&hosts[0]).await, answered);
}

/// What all components have counted.
async fn counted(host: &RedisEngine) -> u64 {
    host.read(&COUNTS).await.unwrap().iter().map(|count| count.as_deref().map_or(0, to_number)).sum()
}

fn redis_texts(value: redis::Value) -> Vec<String> {
    redis::from_redis_value(value).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_it_is_a_cluster_must_be_said() {
    let Some(fixture) = Prefixes::new() else { return };
    let url = fixture.cluster.nodes[0].url("p");
    let error = stash_redis::open(&url, &RedisOptions::default()).await.unwrap_err();
    assert!(matches!(&error, OpenError::Unsuitable { reason, .. } if reason.contains("add cluster=true")), "{error}");
}
