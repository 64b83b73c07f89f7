//! What the engine costs beside the same done by hand, on an open connection of the same client to the same server:
//! `cargo run --release --package stash-redis --features testing --example redis_by_hand -- FOLDER`.
//!
//! By hand, what is written can be listed in order too: a string for each value, and a sorted set of the keys.

// It is run by hand.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::aio::MultiplexedConnection;
use stash_conformance::decision::{act, put};
use stash_core::Engine;
use stash_core::engine::Scan;
use stash_redis::testing::{DURABLE, TestServer};
use stash_redis::{RedisEngine, RedisOptions};
use tokio::task::JoinSet;

/// How long each is done.
const TIME: Duration = Duration::from_secs(2);
const VALUE: [u8; 100] = [7; 100];
const CALLERS: usize = 64;

/// Calls one after another, and tells how many microseconds one takes.
async fn each<F: Future<Output = ()>>(mut call: impl FnMut(usize) -> F) -> f64 {
    for n in 0..20 {
        call(n).await;
    }
    let (begun, mut calls) = (Instant::now(), 0_u32);
    while begun.elapsed() < TIME {
        call(calls as usize).await;
        calls += 1;
    }
    begun.elapsed().as_secs_f64() * 1e6 / f64::from(calls)
}

/// The same from many callers at once.
async fn at_once<F: Future<Output = ()> + Send>(
    call: impl Fn(usize, usize) -> F + Send + Sync + Clone + 'static,
) -> f64 {
    let mut callers = JoinSet::new();
    let begun = Instant::now();
    for caller in 0..CALLERS {
        let call = call.clone();
        callers.spawn(async move {
            let mut calls = 0_u32;
            while begun.elapsed() < TIME {
                call(caller, calls as usize).await;
                calls += 1;
            }
            f64::from(calls)
        });
    }
    let calls: f64 = callers.join_all().await.into_iter().sum();
    begun.elapsed().as_secs_f64() * 1e6 / calls
}

fn tell(what: &str, engine: f64, by_hand: f64, how: &str) {
    println!("{what:<34} {engine:>9.1} us  {by_hand:>9.1} us  {:>5.2}   {how}", engine / by_hand);
}

fn command(name: &str, arguments: &[&[u8]]) -> redis::Cmd {
    let mut command = redis::cmd(name);
    command.arg(arguments);
    command
}

#[tokio::main]
async fn main() {
    let folder =
        std::env::args().nth(1).expect("the folder for the server's files: its disk is what a commit waits for");
    let Some(server) = TestServer::start_in(folder.as_ref(), DURABLE) else { return };
    let url = server.url("s");
    let engine: Arc<RedisEngine> = Arc::new(stash_redis::open_engine(&url, &RedisOptions::default()).await.unwrap());
    let client = redis::Client::open(("127.0.0.1", server.port())).unwrap();
    let hand = client.get_multiplexed_async_connection().await.unwrap();
    let run = async |command: redis::Cmd| drop(command.query_async::<redis::Value>(&mut hand.clone()).await.unwrap());

    println!("{:<34} {:>12}  {:>12}  ratio   by hand", "", "engine", "by hand");
    for n in 0..1000 {
        let key = format!("rapp/a/1/{n:04}");
        engine.update(put(key.as_bytes(), &VALUE)).await.unwrap();
        set_by_hand(hand.clone(), [key], false).await;
    }
    let key = |n: usize| format!("rapp/a/1/{:04}", n % 1000);
    let get = each(|n| {
        let engine = &engine;
        async move { drop(engine.read(&[key(n).as_bytes()]).await.unwrap()) }
    })
    .await;
    tell("get", get, each(|n| run(command("GET", &[key(n).as_bytes()]))).await, "GET");

    let set = each(|n| {
        let engine = &engine;
        async move { engine.update(put(key(n).as_bytes(), &VALUE)).await.unwrap() }
    })
    .await;
    let once = each(|n| set_by_hand(hand.clone(), [key(n)], false)).await;
    tell("set", set, once, "MULTI, SET, ZADD, EXEC");
    let after_look = each(|n| set_by_hand(hand.clone(), [key(n)], true)).await;
    tell("set", set, after_look, "GET; MULTI, SET, ZADD, EXEC");

    let batch = each(|_| {
        let write = act(move |_, writes| {
            (0..1000).for_each(|n| writes.put(key(n).into(), Bytes::from_static(&VALUE)));
            Ok(())
        });
        let engine = &engine;
        async move { engine.update(write).await.unwrap() }
    })
    .await;
    let by_hand = each(|_| set_by_hand(hand.clone(), (0..1000).map(key), false)).await;
    tell("batch of 1000", batch, by_hand, "MULTI, 1000 SET, 1000 ZADD, EXEC");

    let page = each(|n| {
        let start = std::ops::Bound::Included(Bytes::from(key(n % 800)));
        let scan = Scan { start, limit: 100, ..Scan::prefix(b"rapp/a/1/") };
        let engine = &engine;
        async move { assert_eq!(engine.scan(&scan).await.unwrap().entries.len(), 100) }
    })
    .await;
    let by_hand = each(async |n| {
        let start = format!("[{}", key(n % 800));
        let range = command("ZRANGEBYLEX", &[b"keys", start.as_bytes(), b"+", b"LIMIT", b"0", b"100"]);
        let keys: Vec<Vec<u8>> = range.query_async(&mut hand.clone()).await.unwrap();
        let mut values = redis::cmd("MGET");
        values.arg(&keys);
        let values: Vec<Vec<u8>> = values.query_async(&mut hand.clone()).await.unwrap();
        assert_eq!(values.len(), 100);
    })
    .await;
    tell("page of 100", page, by_hand, "ZRANGEBYLEX; MGET");
    in_snapshot(&engine, key).await;

    for (what, components) in [("64 callers set, 64 components", CALLERS), ("64 callers set, 1 component", 1)] {
        let own = Arc::clone(&engine);
        let engine = at_once(move |caller, n| {
            let engine = Arc::clone(&own);
            let key = format!("rapp/a/{}/{caller}-{}", caller % components, n % 100);
            async move { engine.update(put(key.as_bytes(), &VALUE)).await.unwrap() }
        })
        .await;
        let own = hand.clone();
        let set = at_once(move |caller, n| set_by_hand(own.clone(), [format!("{caller}-{}", n % 100)], false)).await;
        tell(what, engine, set, "MULTI, SET, ZADD, EXEC");
        let own = hand.clone();
        let both = at_once(move |caller, n| set_by_hand(own.clone(), [format!("{caller}-{}", n % 100)], true)).await;
        tell(what, engine, both, "GET; MULTI, SET, ZADD, EXEC");
    }
}

async fn in_snapshot(engine: &RedisEngine, key: impl Fn(usize) -> String) {
    use stash_core::engine::Snapshot;
    let page = each(|n| {
        let start = std::ops::Bound::Included(Bytes::from(key(n % 800)));
        let scan = Scan { start, limit: 100, ..Scan::prefix(b"rapp/a/1/") };
        async move {
            let snapshot = engine.snapshot().await.unwrap();
            assert_eq!(snapshot.scan(&scan).await.unwrap().entries.len(), 100);
        }
    })
    .await;
    println!("{:<34} {page:>9.1} us", "page of 100 in a snapshot");
}

/// One transaction, as Redis has it, after a look at what there is where that is wanted.
async fn set_by_hand(mut hand: MultiplexedConnection, keys: impl IntoIterator<Item = String>, looks: bool) {
    let mut pipeline = redis::pipe();
    pipeline.atomic();
    for key in keys {
        if looks {
            let _: Option<Vec<u8>> = command("GET", &[key.as_bytes()]).query_async(&mut hand).await.unwrap();
        }
        pipeline.add_command(command("SET", &[key.as_bytes(), &VALUE])).ignore();
        pipeline.add_command(command("ZADD", &[b"keys", b"0", key.as_bytes()])).ignore();
    }
    pipeline.exec_async(&mut hand).await.unwrap();
}
