//! Several hosts on one store in etcd: what they do together, what they see of each other, what is larger than etcd's
//! limits, and what hosts leave behind that ended half-way.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::ops::Bound;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use common::{COUNT, bytes, number, open, quiet, until, write};
use stash_conformance::decision::{self, act, increment, look, put, refusal};
use stash_core::engine::{Scan, Snapshot};
use stash_core::{
    CacheConfig, CachedStorage, ComponentStorage, Engine, EngineBackend, NamespacedStorage, StorageError,
};
use stash_etcd::testing::{EtcdCluster, Plain};
use stash_etcd::{EtcdBackend, EtcdEngine, EtcdOptions, OpenError};
use stash_shared::{Outcome, Server};
use tokio::task::JoinSet;

async fn hosts(url: &str, count: usize) -> Vec<Arc<EtcdEngine>> {
    let mut hosts = Vec::new();
    for _ in 0..count {
        hosts.push(open(url, &quiet()).await);
    }
    hosts
}

#[tokio::test(flavor = "multi_thread")]
async fn counters_add_up_and_nothing_is_skewed_across_hosts() {
    let Some(etcd) = EtcdCluster::one("hosts that share a store in etcd") else { return };
    let hosts = hosts(&etcd.url("shared"), 3).await;
    let mut callers = JoinSet::new();
    for caller in 0..12 {
        let host = Arc::clone(&hosts[caller % 3]);
        callers.spawn(async move {
            for _ in 0..10 {
                host.update(increment(COUNT)).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    for host in &hosts {
        assert_eq!(number(host, COUNT).await, 120);
    }
    for round in 0..20 {
        for doctor in [b"rapp/a/2/a", b"rapp/a/2/b"] {
            hosts[0].update(put(doctor, b"on call")).await.unwrap();
        }
        let mut callers = JoinSet::new();
        for (n, me) in [b"rapp/a/2/a", b"rapp/a/2/b"].into_iter().enumerate() {
            let host = Arc::clone(&hosts[n]);
            let leave = act(move |view, writes| {
                if view.scan(&Scan::prefix(b"rapp/a/2/"))?.entries.len() < 2 {
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

type Chain = NamespacedStorage<CachedStorage<EtcdBackend>>;

async fn chain(url: &str) -> Chain {
    let engine = stash_etcd::open_engine(url, &quiet()).await.unwrap();
    let backend = EngineBackend::open(engine).await.unwrap();
    let cached = CachedStorage::new(backend, CacheConfig::default());
    NamespacedStorage::new(&"app/a/1".parse().unwrap(), cached)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cache_hears_of_other_hosts_by_the_watch() {
    let Some(etcd) = EtcdCluster::one("the watch on other hosts' commits") else { return };
    let url = etcd.url("news");
    let (one, other) = (chain(&url).await, chain(&url).await);
    one.set("k", "1").await.unwrap();
    // Nothing is asked for but once, so whatever is heard comes by the watch. It may begin after the first commits.
    let mut said = 1;
    until(true, async || {
        let hits = one.inner().stats().hits;
        one.get("k").await.unwrap();
        one.inner().stats().hits > hits
    })
    .await;
    for _ in 0..20 {
        said += 1;
        let text = format!("{said}");
        other.set("k", text.as_str()).await.unwrap();
        until(Some(text.as_str().into()), async || one.get("k").await.unwrap()).await;
    }
    // Who waits for changes is woken.
    let since = one.keep_changes("", true).await.unwrap();
    let (version, set) = tokio::join!(one.changed("", since), other.set("k", "last"));
    assert_eq!((version.unwrap().0, set), (since.0 + 1, Ok(())));
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_are_whole_and_leave_nothing() {
    let Some(etcd) = EtcdCluster::one("values that are larger than etcd's requests") else { return };
    let hosts = hosts(&etcd.url("large"), 2).await;
    let key = |n: usize| format!("rapp/a/1/{n}");
    for (n, length) in [128 * 1024, 128 * 1024 + 1, 1 << 20, (1 << 20) + 1, 5 << 20].into_iter().enumerate() {
        let value = bytes(length, n);
        write(&hosts[0], vec![(key(n), Some(value.clone()))]).await.unwrap();
        assert!(hosts[1].read(&[key(n).as_bytes()]).await.unwrap()[0].as_deref() == Some(&value[..]), "{length}");
        let page = hosts[1].scan(&Scan { value_bytes: 100, ..Scan::prefix(key(n).as_bytes()) }).await.unwrap();
        assert_eq!(page.entries[0].1, value[..100], "{length}");
        let page = hosts[1].scan(&Scan { value_bytes: 1000, ..Scan::prefix(key(n).as_bytes()) }).await.unwrap();
        assert_eq!(page.entries[0].1, value[..1000], "{length}");
    }
    assert_eq!(hosts[0].server().count('c').await, 1 + 1 + 2 + 5);
    let most = hosts[1].read_up_to(&[key(4).as_bytes()], (5 << 20) - 1).await.unwrap();
    assert!(most.is_none());
    // Another host replaces and removes them: it has never seen that they are large.
    let snapshot = hosts[0].snapshot().await.unwrap();
    let mut changes = vec![(key(4), Some(b"small".to_vec())), (key(3), None), (key(2), Some(bytes(300_000, 9)))];
    changes.push((key(0), None));
    write(&hosts[1], changes).await.unwrap();
    assert_eq!(hosts[0].server().count('c').await, 2);
    assert_eq!(hosts[0].read(&[key(4).as_bytes()]).await.unwrap(), [Some("small".into())]);
    assert!(hosts[0].read(&[key(2).as_bytes()]).await.unwrap()[0].as_deref() == Some(&bytes(300_000, 9)[..]));
    // What was there before still is in the snapshot.
    let before = snapshot.read(&[key(4).as_bytes(), key(3).as_bytes()]).await.unwrap();
    assert!(
        before[0].as_deref() == Some(&bytes(5 << 20, 4)[..])
            && before[1].as_deref() == Some(&bytes((1 << 20) + 1, 3)[..])
    );
    assert_eq!((hosts[0].server().count('g').await, hosts[0].server().count('j').await), (0, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn more_than_etcd_takes_at_once_is_one_commit() {
    let Some(etcd) = EtcdCluster::one("commits that are larger than etcd's transactions") else { return };
    let hosts = hosts(&etcd.url("many"), 2).await;
    // Many small ones are one transaction; large ones a journal.
    for (keys, length) in [(129, 10), (5_000, 10), (9_999, 200), (40, 100_000), (3, 2_000_000)] {
        let entries = (0..keys).map(|n| (format!("rapp/a/1/{n:05}"), Some(bytes(length, n + keys))));
        let (writing, reading) = tokio::join!(write(&hosts[0], entries.collect()), async {
            // Whatever is seen is all of it or nothing.
            let page = hosts[1].scan(&Scan::prefix(b"rapp/a/1/")).await.unwrap();
            page.entries.iter().filter(|(_, value)| value.len() == length).count()
        });
        writing.unwrap();
        assert!(reading == 0 || reading == keys, "{reading} of {keys}");
        let page = hosts[1].scan(&Scan::prefix(b"rapp/a/1/")).await.unwrap();
        assert_eq!(page.entries.len(), keys);
        for (n, (_, value)) in page.entries.iter().enumerate() {
            assert!(*value == bytes(length, n + keys), "{n} of {keys}");
        }
        write(&hosts[1], (0..keys).map(|n| (format!("rapp/a/1/{n:05}"), None)).collect()).await.unwrap();
        assert!(hosts[0].scan(&Scan::prefix(b"rapp/a/1/")).await.unwrap().entries.is_empty());
    }
    for kind in ['c', 'g', 'j', 'k'] {
        assert_eq!(hosts[0].server().count(kind).await, 0, "{kind}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_journal_counts_from_its_commit_on_whoever_finishes_it() {
    let Some(etcd) = EtcdCluster::one("journals that others finish") else { return };
    let url = etcd.url("journal");
    let other = open(&url, &quiet()).await;
    let key = |n: usize| format!("rapp/a/1/{n:03}");
    write(&other, (0..200).map(|n| (key(n), Some(b"old".to_vec()))).collect()).await.unwrap();
    write(&other, vec![(key(199), Some(bytes(500_000, 1)))]).await.unwrap();
    let before = other.snapshot().await.unwrap();
    // A host that ends right after its commit.
    let ended = open(&url, &EtcdOptions { leaves_journals: true, ..quiet() }).await;
    let mut changes: Vec<_> = (0..200).step_by(2).map(|n| (key(n), None)).collect();
    changes.extend((1..200).step_by(4).map(|n| (key(n), Some(b"new".to_vec()))));
    changes.push((key(199), Some(bytes(300_000, 2))));
    changes.push((key(500), Some(bytes(10, 3))));
    write(&ended, changes).await.unwrap();
    drop(ended);
    assert_eq!(other.server().count('j').await, 1);
    let expected: Vec<(String, Vec<u8>)> = (1..199)
        .step_by(2)
        .map(|n| (key(n), if n % 4 == 1 { b"new".to_vec() } else { b"old".to_vec() }))
        .chain([(key(199), bytes(300_000, 2)), (key(500), bytes(10, 3))])
        .collect();
    let during = other.snapshot().await.unwrap();
    for finished in [false, true] {
        let all = Scan::prefix(b"rapp/a/1/");
        for reverse in [false, true] {
            let mut forward = expected.clone();
            if reverse {
                forward.reverse();
            }
            for limit in [1, 3, 50, 101, 1000] {
                let page = other.scan(&Scan { reverse, limit, ..all.clone() }).await.unwrap();
                assert_eq!(page.more, limit < forward.len());
                assert_eq!(page.entries.len(), limit.min(forward.len()));
                for ((key, value), (expected, with)) in page.entries.iter().zip(&forward) {
                    assert!(key == expected.as_bytes() && value == with, "{expected}");
                }
            }
        }
        let bounds = (Bound::Excluded(key(1).into()), Bound::Included(key(4).into()));
        let page = other.scan(&Scan { start: bounds.0, end: bounds.1, value_bytes: 0, ..all.clone() }).await.unwrap();
        assert_eq!(page.entries, [(Bytes::from(key(3)), Bytes::new())]);
        let read = other.read(&[key(0).as_bytes(), key(1).as_bytes(), key(199).as_bytes()]).await.unwrap();
        assert!(
            read[0].is_none()
                && read[1].as_deref() == Some(b"new")
                && read[2].as_deref() == Some(&bytes(300_000, 2)[..])
        );
        let decided = act(move |view, _| Ok((look(view, b"rapp/a/1/001")?, look(view, b"rapp/a/1/002")?)));
        assert_eq!(other.update(decided).await.unwrap(), (Some(b"new".to_vec()), None));
        // Both states are what they were.
        let read = before.read(&[key(0).as_bytes(), key(199).as_bytes()]).await.unwrap();
        assert!(read[0].as_deref() == Some(b"old") && read[1].as_deref() == Some(&bytes(500_000, 1)[..]));
        assert_eq!(during.scan(&all).await.unwrap().entries.len(), expected.len());
        if !finished {
            assert_eq!(other.server().count('j').await, 1, "reading finishes nothing");
            other.update(put(b"rapp/a/1/003", b"old")).await.unwrap();
            for kind in ['j', 'k', 'g'] {
                assert_eq!(other.server().count(kind).await, 0, "{kind}");
            }
            assert_eq!(other.server().count('c').await, 1, "the value that was replaced is gone");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_hosts_have_left_is_tidied_up() {
    let Some(etcd) = EtcdCluster::one("what hosts leave behind") else { return };
    let url = etcd.url("left");
    let one = open(&url, &quiet()).await;
    // The commit of a large value that another one kept out.
    let (loser, winner) = (open(&url, &quiet()).await, Arc::clone(&one));
    let mut tries = JoinSet::new();
    for host in [&loser, &winner] {
        let host = Arc::clone(host);
        tries.spawn(async move {
            for n in 0..10 {
                write(&host, vec![("rapp/a/1/k".to_owned(), Some(bytes(300_000, n)))]).await.unwrap();
            }
        });
    }
    tries.join_all().await;
    until((1, 0), async || (one.server().count('c').await, one.server().count('g').await)).await;
    // A host that ends between its pieces and its commit, and one with a journal.
    let ended = open(&url, &EtcdOptions { leaves_journals: true, ..quiet() }).await;
    write(&ended, vec![("rapp/b/1/k".to_owned(), Some(b"v".to_vec()))]).await.unwrap();
    ended.server().begin_only(b"rapp/a/1/k", &bytes(3_000_000, 1)).await.unwrap();
    drop(ended);
    let counts = async || (one.server().count('c').await, one.server().count('g').await, one.server().count('j').await);
    assert_eq!(counts().await, (4, 1, 1));
    one.server().tidy_now().await.unwrap();
    assert_eq!(counts().await, (1, 0, 0));
    assert_eq!(one.read(&[b"rapp/b/1/k"]).await.unwrap(), [Some("v".into())]);
    assert!(one.read(&[b"rapp/a/1/k"]).await.unwrap()[0].as_deref() == Some(&bytes(300_000, 9)[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_said_again_after_a_commit_does_not_undo_it() {
    let Some(etcd) = EtcdCluster::one("requests to etcd that come late") else { return };
    let host = open(&etcd.url("late"), &quiet()).await;
    // One that has no head yet, and one that has.
    for seed in 0..2 {
        let value = bytes(3_000_000, seed);
        host.server().commit_and_repeat(b"rapp/a/1/k", &value).await.unwrap();
        assert_eq!(host.server().count('g').await, 0, "{seed}");
        host.server().tidy_now().await.unwrap();
        assert!(host.read(&[b"rapp/a/1/k"]).await.unwrap()[0].as_deref() == Some(&value[..]), "{seed}");
    }
    // Pieces of a commit that another one was quicker than are not even begun.
    let late = host.server().commit_of(b"rapp/a/1/k", &bytes(300_000, 2)).await.unwrap();
    host.update(put(b"rapp/a/1/other", b"v")).await.unwrap();
    let pieces = host.server().count('c').await;
    assert_eq!(host.server().commit(&late).await, Ok(Outcome::Conflict));
    assert_eq!((host.server().count('c').await, host.server().count('g').await), (pieces, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_snapshot_ends_when_etcd_compacts_it() {
    let what = "snapshots that etcd compacts";
    let Some(etcd) = EtcdCluster::one(what) else { return };
    let host = open(&etcd.url("compacted"), &quiet()).await;
    host.update(increment(COUNT)).await.unwrap();
    let snapshot = host.snapshot().await.unwrap();
    for _ in 0..5 {
        host.update(increment(COUNT)).await.unwrap();
    }
    assert_eq!(snapshot.read(&[COUNT]).await.unwrap(), [Some(decision::number(1))]);
    let Some(printed) = etcd.etcdctl(what, &["get", "x", "-w", "json"]) else { return };
    let revision: u64 = printed.split("\"revision\":").nth(1).unwrap().split(',').next().unwrap().parse().unwrap();
    etcd.etcdctl(what, &["compact", &format!("{revision}")]).unwrap();
    let error = snapshot.read(&[COUNT]).await.unwrap_err();
    assert!(matches!(&error, StorageError::Unavailable { reason } if reason.contains("compacted")), "{error}");
    assert_eq!(host.update(increment(COUNT)).await, Ok(7), "the store goes on, and no head's version is lost");
    // Also after a restart, when etcd has counted again.
    let mut etcd = etcd;
    etcd.kill(0);
    etcd.restart(0);
    assert_eq!(host.update(increment(COUNT)).await, Ok(8));
}

#[tokio::test(flavor = "multi_thread")]
async fn only_a_store_is_opened_as_one() {
    let what = "prefixes that hold something else";
    let Some(etcd) = EtcdCluster::one(what) else { return };
    let Some(_) = etcd.etcdctl(what, &["put", "taken/x", "1"]) else { return };
    let error = stash_etcd::open(&etcd.url("taken"), &quiet()).await.err().unwrap().to_string();
    assert!(error.contains("other keys") && error.contains("taken/"), "{error}");
    etcd.etcdctl(what, &["put", "newer/m", "stash 9"]).unwrap();
    let error = stash_etcd::open(&etcd.url("newer"), &quiet()).await.err().unwrap().to_string();
    assert!(error.contains("stash 9") && error.contains("newer Stash"), "{error}");
    // One prefix within another's name is another store.
    let (one, two) = (open(&etcd.url("a"), &quiet()).await, open(&etcd.url("ab"), &quiet()).await);
    one.update(increment(COUNT)).await.unwrap();
    assert_eq!((number(&one, COUNT).await, number(&two, COUNT).await), (1, 0));
    assert!(stash_etcd::open(&etcd.url("a"), &quiet()).await.is_err(), "entries without the store's own facts");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_store_is_made_within_another() {
    let Some(etcd) = EtcdCluster::one("stores that would be within each other") else { return };
    let outer = open(&etcd.url("a/b"), &quiet()).await;
    for within in ["a/b/green", "a/b/c/d"] {
        let error = stash_etcd::open(&etcd.url(within), &quiet()).await.err().unwrap();
        assert!(matches!(&error, OpenError::Within { store, .. } if store == "a/b/"), "{error}");
        assert!(error.to_string().contains("\"a/b/\"") && error.to_string().contains("take a prefix"), "{error}");
    }
    assert!(stash_etcd::open(&etcd.url("a"), &quiet()).await.is_err());
    // One beside it is another store, and one that is there is opened again.
    open(&etcd.url("a/bc"), &quiet()).await;
    open(&etcd.url("a/b"), &quiet()).await;
    assert_eq!(outer.update(increment(COUNT)).await, Ok(1));
    // Of two that are made at once only one is.
    for round in 0..10 {
        let (above, below) = (etcd.url(&format!("r{round}")), etcd.url(&format!("r{round}/green")));
        let options = quiet();
        let (above, below) =
            tokio::join!(stash_etcd::open_engine(&above, &options), stash_etcd::open_engine(&below, &options));
        assert!(above.is_ok() != below.is_ok(), "{round}: {:?} {:?}", above.err(), below.err());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_that_are_not_the_stores_are_left_alone() {
    let Some(etcd) = EtcdCluster::one("keys of others under the prefix of a store in etcd") else { return };
    let host = open(&etcd.url("s"), &quiet()).await;
    let plain = Plain::connect(&etcd.url("s"));
    // As long as a key of ours, with a text that names our mark.
    let key = format!("s/g{}", "r".repeat(20));
    let text = Bytes::from_static(b"\0\0\0\0\0\0\0\x01\0\x03s/m");
    plain.put(&[("s/green".to_owned(), Bytes::new()), (key.clone(), text.clone())]).await;
    host.server().tidy_now().await.unwrap();
    assert_eq!((plain.get("s/green").await, plain.get(&key).await), (Some(Bytes::new()), Some(text)));
    assert_eq!(plain.get("s/m").await, Some("stash 1".into()));
    assert_eq!(host.update(increment(COUNT)).await, Ok(1));
    for first in (0..5000).step_by(1000) {
        let entries: Vec<_> = (first..first + 1000).map(|n| (format!("s/jobs/{n}"), Bytes::new())).collect();
        plain.put(&entries).await;
    }
    let error = host.read(&[COUNT]).await.unwrap_err();
    assert!(matches!(&error, StorageError::Corrupt { reason } if reason.contains("\"s/j\"")), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_is_not_there_is_told_in_time() {
    let options = common::patient(Duration::from_secs(1), Duration::from_secs(2));
    let since = std::time::Instant::now();
    let nobody = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let error = stash_etcd::open(&format!("etcd://me:secret@{nobody}"), &options).await.err().unwrap().to_string();
    assert!(error.contains(&nobody.to_string()) && error.contains("refused") && !error.contains("secret"), "{error}");
    // One that takes connections and says nothing.
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("etcd://{}", silent.local_addr().unwrap());
    let error = stash_etcd::open(&url, &options).await.err().unwrap().to_string();
    assert!(error.contains("cannot reach etcd"), "{error}");
    assert!(since.elapsed() < Duration::from_secs(10), "{:?}", since.elapsed());
}
