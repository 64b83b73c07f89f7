//! What a store in etcd costs, beside the same calls made by hand on an open connection:
//! `cargo run --release -p stash-etcd --example etcd_by_hand [MEMBERS]`. It prints, and asserts nothing.

// A measurement is for people: it may stop where it cannot go on.
#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stash_core::{Batch, ComponentStorage, NamespacedStorage, ScanRequest};
use stash_etcd::testing::{EtcdCluster, Plain, Setup};
use stash_etcd::{EtcdBackend, EtcdOptions};
use tokio::task::JoinSet;

const VALUE: usize = 100;
const ROUNDS: usize = 5;

/// The median of some rounds, each of which does so many of something.
async fn median(times: usize, each: impl AsyncFn(usize)) -> Duration {
    let mut rounds = Vec::new();
    for round in 0..ROUNDS {
        let since = Instant::now();
        for n in 0..times {
            each(round * times + n).await;
        }
        rounds.push(since.elapsed() / u32::try_from(times).unwrap());
    }
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}

fn tell(what: &str, ours: Duration, by_hand: &str, theirs: Duration) {
    let ratio = ours.as_secs_f64() / theirs.as_secs_f64();
    println!("{what:<44} {ours:>11.1?}   {by_hand:<36} {theirs:>11.1?}   {ratio:.2}");
}

type Store = NamespacedStorage<EtcdBackend>;

fn store(backend: &EtcdBackend, n: usize) -> Store {
    NamespacedStorage::new(&format!("app/measure/{n}").parse().unwrap(), backend.clone())
}

async fn at_once(callers: usize, each: impl Fn(usize) -> tokio::task::JoinHandle<()>) -> Duration {
    let mut rounds = Vec::new();
    for _ in 0..ROUNDS {
        let since = Instant::now();
        let mut all = JoinSet::new();
        for caller in 0..callers {
            let caller = each(caller);
            all.spawn(async move { caller.await.unwrap() });
        }
        all.join_all().await;
        rounds.push(since.elapsed());
    }
    rounds.sort_unstable();
    rounds[ROUNDS / 2]
}

#[tokio::main]
async fn main() {
    let members = std::env::args().nth(1).and_then(|members| members.parse().ok()).unwrap_or(1);
    let Some(etcd) = EtcdCluster::start("a measurement", Setup { members, ..Setup::default() }) else { return };
    let backend = stash_etcd::open(&etcd.url("measure"), &EtcdOptions::default()).await.unwrap();
    let plain = Arc::new(Plain::connect(&etcd.url("plain")));
    let one = store(&backend, 0);
    let value = Bytes::from(vec![b'v'; VALUE]);
    println!("{members} members, values of {VALUE} bytes, medians of {ROUNDS} rounds");

    one.set("k", value.clone()).await.unwrap();
    plain.put(&[("plain/k".to_owned(), value.clone())]).await;
    let ours = median(200, async |_| drop(one.get("k").await.unwrap())).await;
    let theirs = median(200, async |_| drop(plain.get("plain/k").await)).await;
    tell("get", ours, "Range", theirs);

    let ours = median(50, async |n| one.set(&format!("set/{}", n % 50), value.clone()).await.unwrap()).await;
    let put = median(50, async |n| plain.put(&[(format!("plain/set/{}", n % 50), value.clone())]).await).await;
    tell("set (versioned, counted)", ours, "Put, not looking", put);
    let checked =
        median(50, async |n| plain.compare_and_put(&format!("plain/set/{}", n % 50), &value, "plain/state").await)
            .await;
    tell("set", ours, "Range, then Txn that compares", checked);

    let batch =
        |round: usize| (0..1000).fold(Batch::new(), |batch, n| batch.set(format!("b/{round}/{n}"), value.clone()));
    let ours = median(2, async |n| drop(one.commit(batch(n)).await.unwrap())).await;
    let entries = |round: usize| (0..1000).map(|n| (format!("plain/b/{round}/{n}"), value.clone())).collect::<Vec<_>>();
    let theirs = median(2, async |n| plain.put(&entries(n)).await).await;
    tell("batch of 1000 sets", ours, "one nested Txn of 1000 puts", theirs);

    let request = || ScanRequest { limit: 100, values: true, ..ScanRequest::prefix("b/0/") };
    let ours = median(50, async |_| drop(one.scan(&request()).await.unwrap())).await;
    let theirs = median(50, async |_| assert_eq!(plain.page("plain/b/0/", 100).await.len(), 100)).await;
    tell("page of 100 records", ours, "Range of 100", theirs);

    let each = |n: usize, key: String| {
        let (store, value) = (store(&backend, n), value.clone());
        tokio::spawn(async move { store.set(&key, value).await.unwrap() })
    };
    let by_hand = |key: String| {
        let (plain, value) = (Arc::clone(&plain), value.clone());
        tokio::spawn(async move { plain.put(&[(key, value)]).await })
    };
    let checked_by_hand = |key: String| {
        let (plain, value) = (Arc::clone(&plain), value.clone());
        tokio::spawn(async move { plain.compare_and_put(&key, &value, &format!("{key}/state")).await })
    };
    let theirs = at_once(64, |n| by_hand(format!("plain/at-once/{n}"))).await;
    let checked = at_once(64, |n| checked_by_hand(format!("plain/at-once/{n}"))).await;
    let ours = at_once(64, |n| each(n + 1, "k".to_owned())).await;
    tell("64 callers set at once, 64 components", ours, "64 puts at once, not looking", theirs);
    tell("64 callers set at once, 64 components", ours, "64 Range, then Txn that compares", checked);
    let ours = at_once(64, |n| each(1, format!("{n}"))).await;
    tell("64 callers set at once, one component", ours, "64 puts at once, not looking", theirs);

    let large = Bytes::from(vec![b'v'; 8 << 20]);
    let ours = median(1, async |_| one.set("large", large.clone()).await.unwrap()).await;
    let theirs = median(1, async |_| {
        for part in 0..8 {
            plain.put(&[(format!("plain/large/{part}"), large.slice(part << 20..(part + 1) << 20))]).await;
        }
    })
    .await;
    tell("set of 8 MiB", ours, "8 puts of 1 MiB", theirs);
    let ours = median(1, async |_| drop(one.get("large").await.unwrap())).await;
    let theirs = median(1, async |_| {
        for part in 0..8 {
            plain.get(&format!("plain/large/{part}")).await.unwrap();
        }
    })
    .await;
    tell("get of 8 MiB", ours, "8 ranges of 1 MiB", theirs);
}
