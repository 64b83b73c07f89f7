//! A bad network between a host and etcd, and members that end, stop and go on: what is answered is true, and nothing is lost
//! or done twice.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use common::{COUNT, bytes, number, open, patient, until, write};
use stash_conformance::decision::{increment, put};
use stash_core::{Engine, StorageError};
use stash_etcd::EtcdEngine;
use stash_etcd::testing::{EtcdCluster, Setup};
use stash_shared::{Outcome, Server};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::task::JoinSet;

/// What happens to the next bytes on their way.
#[derive(Default)]
struct Faults {
    /// Answers that are cut off before their first byte: the request was done.
    cut_answers: AtomicUsize,
    /// Requests of which half is sent.
    halve_requests: AtomicUsize,
    /// Answers are held back as long as this is so.
    holds: AtomicBool,
    released: Notify,
    /// How many connections there were.
    connections: AtomicUsize,
}

impl Faults {
    fn take(counter: &AtomicUsize) -> bool {
        counter.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
    }
}

/// A network that fails as it is told; gives its address.
async fn network(to: String, faults: &Arc<Faults>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let faults = Arc::clone(faults);
    tokio::spawn(async move {
        loop {
            let (client, _) = listener.accept().await.unwrap();
            faults.connections.fetch_add(1, Ordering::SeqCst);
            tokio::spawn(connection(client, to.clone(), Arc::clone(&faults)));
        }
    });
    address
}

async fn connection(client: TcpStream, to: String, faults: Arc<Faults>) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let requests = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_client.read(&mut buffer).await {
            // Not the beginning of the connection: only what is of some size is a request.
            if read > 100 && Faults::take(&faults.halve_requests) {
                let _ = to_server.write_all(&buffer[..read / 2]).await;
                return;
            }
            if to_server.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    let answers = async {
        let mut buffer = vec![0; 64 * 1024];
        while let Ok(read @ 1..) = from_server.read(&mut buffer).await {
            while faults.holds.load(Ordering::SeqCst) {
                let released = faults.released.notified();
                if faults.holds.load(Ordering::SeqCst) {
                    released.await;
                }
            }
            if Faults::take(&faults.cut_answers) || to_client.write_all(&buffer[..read]).await.is_err() {
                return;
            }
        }
    };
    // Whichever ends first takes the other with it.
    tokio::select! {
        () = requests => {}
        () = answers => {}
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn commits_whose_answers_are_lost_are_neither_lost_nor_doubled() {
    let Some(etcd) = EtcdCluster::one("a network that loses answers of etcd") else { return };
    let faults = Arc::new(Faults::default());
    let proxy = network(etcd.addresses()[0].clone(), &faults).await;
    let host = open(&format!("etcd://{proxy}/lost"), &patient(Duration::from_secs(3), Duration::from_secs(20))).await;
    let direct = open(&etcd.url("lost"), &common::quiet()).await;
    host.update(increment(COUNT)).await.unwrap();
    let mut expected = 1;
    for round in 0..40 {
        let counter = if round % 3 == 2 { &faults.halve_requests } else { &faults.cut_answers };
        counter.store(1 + round % 2, Ordering::SeqCst);
        expected += 1;
        assert_eq!(host.update(increment(COUNT)).await, Ok(expected), "round {round}");
        assert_eq!(number(&direct, COUNT).await, expected, "round {round}");
    }
    assert!(faults.connections.load(Ordering::SeqCst) > 20, "the network has failed");
    // Also where several wait together, in two namespaces, and large values are on their way.
    faults.cut_answers.store(0, Ordering::SeqCst);
    let mut callers = JoinSet::new();
    for caller in 0..8 {
        let (host, faults) = (Arc::clone(&host), Arc::clone(&faults));
        callers.spawn(async move {
            for n in 0..10 {
                faults.cut_answers.store(1, Ordering::SeqCst);
                let key: &'static [u8] = if caller % 2 == 0 { COUNT } else { b"rapp/b/1/count" };
                host.update(increment(key)).await.unwrap();
                if n % 5 == 0 {
                    write(&host, vec![(format!("rapp/c/1/{caller}"), Some(bytes(300_000, n)))]).await.unwrap();
                }
            }
        });
    }
    callers.join_all().await;
    faults.cut_answers.store(0, Ordering::SeqCst);
    assert_eq!((number(&direct, COUNT).await, number(&direct, b"rapp/b/1/count").await), (expected + 40, 40));
    for caller in 0..8 {
        let key = format!("rapp/c/1/{caller}");
        assert!(direct.read(&[key.as_bytes()]).await.unwrap()[0].as_deref() == Some(&bytes(300_000, 5)[..]));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_stalls_is_replaced() {
    let Some(etcd) = EtcdCluster::one("a network that holds answers of etcd back") else { return };
    let faults = Arc::new(Faults::default());
    let proxy = network(etcd.addresses()[0].clone(), &faults).await;
    let options = patient(Duration::from_millis(1_500), Duration::from_secs(20));
    let host = open(&format!("etcd://{proxy}/held"), &options).await;
    assert_eq!(host.update(increment(COUNT)).await, Ok(1));
    faults.holds.store(true, Ordering::SeqCst);
    let before = faults.connections.load(Ordering::SeqCst);
    let (counted, read, ()) = tokio::join!(host.update(increment(COUNT)), host.read(&[COUNT]), async {
        until(true, async || faults.connections.load(Ordering::SeqCst) > before).await;
        faults.holds.store(false, Ordering::SeqCst);
        // The old connection stays held: nobody waits for it any more.
    });
    assert_eq!(counted, Ok(2));
    assert!(read.is_ok());
    assert_eq!(number(&host, COUNT).await, 2);
    faults.released.notify_waiters();
    // Callers that go away at once disturb nobody.
    for _ in 0..50 {
        let gone = tokio::time::timeout(Duration::from_micros(200), host.update(put(b"rapp/a/1/x", b"1"))).await;
        let _ = tokio::time::timeout(Duration::from_micros(200), host.read(&[COUNT])).await;
        drop(gone);
    }
    assert_eq!(host.update(increment(COUNT)).await, Ok(3));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_large_commit_that_is_given_up_leaves_nothing() {
    let Some(etcd) = EtcdCluster::one("large commits that callers give up") else { return };
    let faults = Arc::new(Faults::default());
    let proxy = network(etcd.addresses()[0].clone(), &faults).await;
    let options = patient(Duration::from_secs(30), Duration::from_mins(1));
    let host = open(&format!("etcd://{proxy}/given-up"), &options).await;
    let direct = open(&etcd.url("given-up"), &common::quiet()).await;
    let commit = host.server().commit_of(b"rapp/a/1/k", &bytes(3_000_000, 1)).await.unwrap();
    let begun = async || direct.server().count('g').await;
    faults.holds.store(true, Ordering::SeqCst);
    tokio::select! {
        outcome = host.server().commit(&commit) => panic!("it has an answer: {outcome:?}"),
        () = until(1, begun) => {}
    }
    faults.holds.store(false, Ordering::SeqCst);
    faults.released.notify_waiters();
    until((0, 0), async || (direct.server().count('c').await, begun().await)).await;
    // What is tried again is another commit, and has its own pieces.
    assert_eq!(host.server().commit(&commit).await, Ok(Outcome::Applied));
    assert!(direct.read(&[b"rapp/a/1/k"]).await.unwrap()[0].as_deref() == Some(&bytes(3_000_000, 1)[..]));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_answered_outlives_a_kill() {
    let Some(mut etcd) = EtcdCluster::one("etcd that is killed") else { return };
    let host = open(&etcd.url("killed"), &patient(Duration::from_secs(2), Duration::from_mins(1))).await;
    for round in 0..3 {
        let mut callers = JoinSet::new();
        let counted = Arc::new(AtomicUsize::new(0));
        for _ in 0..8 {
            let (host, counted) = (Arc::clone(&host), Arc::clone(&counted));
            callers.spawn(async move {
                for _ in 0..25 {
                    host.update(increment(COUNT)).await.unwrap();
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        until(true, async || counted.load(Ordering::SeqCst) > 20).await;
        etcd.kill(0);
        let error = open_status(&host).await;
        etcd.restart(0);
        callers.join_all().await;
        assert_eq!(number(&host, COUNT).await, 200 * (round + 1));
        assert!(error.contains("cannot be reached"), "{error}");
        assert_eq!(host.status().failure, None);
    }
}

/// What the engine says of itself when a call has found nobody.
async fn open_status(host: &EtcdEngine) -> String {
    let said = async || host.status().failure.is_some();
    let asking = async {
        loop {
            let _ = tokio::time::timeout(Duration::from_millis(100), host.read(&[COUNT])).await;
        }
    };
    tokio::select! {
        () = until(true, said) => {}
        () = asking => {}
    }
    host.status().failure.unwrap_or_default()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_member_that_stops_for_some_seconds_goes_on() {
    let Some(etcd) = EtcdCluster::one("etcd that stops for a while") else { return };
    let host = open(&etcd.url("frozen"), &patient(Duration::from_secs(1), Duration::from_secs(30))).await;
    host.update(increment(COUNT)).await.unwrap();
    etcd.freeze(0);
    let since = Instant::now();
    let impatient = open_impatient(&etcd).await;
    assert!(impatient.contains("cannot reach etcd"), "{impatient}");
    let (counted, ()) = tokio::join!(host.update(increment(COUNT)), async {
        until(true, async || since.elapsed() > Duration::from_secs(3)).await;
        etcd.thaw(0);
    });
    assert_eq!(counted, Ok(2));
    assert_eq!(number(&host, COUNT).await, 2);
}

async fn open_impatient(etcd: &EtcdCluster) -> String {
    let options = patient(Duration::from_millis(500), Duration::from_millis(500));
    stash_etcd::open_engine(&etcd.url("frozen"), &options).await.err().unwrap().to_string()
}

fn three(what: &str) -> Option<EtcdCluster> {
    EtcdCluster::start(what, Setup { members: 3, ..Setup::default() })
}

#[tokio::test(flavor = "multi_thread")]
async fn three_members_survive_the_loss_of_any_one() {
    let Some(mut etcd) = three("three members of which one is lost") else { return };
    let options = patient(Duration::from_secs(5), Duration::from_mins(1));
    let hosts = [open(&etcd.url("three"), &options).await, open(&etcd.url("three"), &options).await];
    let mut expected = 0;
    // The leader, then whoever leads after it, then another one, each killed or stopped.
    for (round, stops) in [false, true, false, true].into_iter().enumerate() {
        let leader = loop {
            if let Some(leader) = etcd.leader() {
                break leader;
            }
        };
        let lost = if round == 2 { (leader + 1) % 3 } else { leader };
        let counted = Arc::new(AtomicUsize::new(0));
        let mut callers = JoinSet::new();
        for caller in 0..6 {
            let (host, counted) = (Arc::clone(&hosts[caller % 2]), Arc::clone(&counted));
            callers.spawn(async move {
                for _ in 0..15 {
                    host.update(increment(COUNT)).await.unwrap();
                    counted.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        until(true, async || counted.load(Ordering::SeqCst) > 10).await;
        if stops {
            etcd.freeze(lost);
        } else {
            etcd.kill(lost);
        }
        callers.join_all().await;
        expected += 90;
        for host in &hosts {
            assert_eq!(number(host, COUNT).await, expected, "round {round}");
        }
        if stops {
            etcd.thaw(lost);
        } else {
            etcd.restart(lost);
        }
        assert!(etcd.wait_until_ready());
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_majority_nothing_is_answered_and_nothing_is_lost() {
    let Some(mut etcd) = three("three members of which two are lost") else { return };
    let host = open(&etcd.url("few"), &patient(Duration::from_secs(3), Duration::from_secs(4))).await;
    assert_eq!(host.update(increment(COUNT)).await, Ok(1));
    etcd.kill(0);
    etcd.kill(1);
    let since = Instant::now();
    for error in [
        host.read(&[COUNT]).await.unwrap_err(),
        host.update(increment(COUNT)).await.unwrap_err(),
        host.snapshot().await.err().unwrap(),
    ] {
        assert!(matches!(&error, StorageError::Unavailable { .. } | StorageError::Io { .. }), "{error}");
    }
    assert!(since.elapsed() < Duration::from_mins(1), "{:?}", since.elapsed());
    etcd.restart(0);
    etcd.restart(1);
    let counted = number(&host, COUNT).await;
    assert!((1..=2).contains(&counted), "{counted}");
    assert_eq!(host.update(increment(COUNT)).await, Ok(counted + 1));
}
