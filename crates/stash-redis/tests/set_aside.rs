//! How much the server keeps for snapshots: no more than may be, and nothing that none of them sees.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use bytes::Bytes;
use stash_conformance::decision::put;
use stash_core::engine::{Scan, Snapshot};
use stash_core::{Engine, StorageError};
use stash_redis::RedisOptions;
use stash_redis::testing::TestServer;

const QUICK: &[&str] = &["--appendonly", "no", "--save", ""];
const KEY: &[u8] = b"rapp/a/1/k";

fn number(server: &TestServer, command: &[&str]) -> usize {
    let answer = server.ask(command).unwrap();
    redis::from_redis_value::<Option<usize>>(answer).unwrap().unwrap_or_default()
}

/// All that is set aside has been counted.
fn assert_counted(server: &TestServer) {
    let kept: Vec<Vec<u8>> = redis::from_redis_value(server.ask(&["HGETALL", "s:{-}:u"]).unwrap()).unwrap();
    let mut bytes = 0;
    for pair in kept.chunks(2) {
        let rest = format!("s:{{-}}:u:{}", String::from_utf8(pair[0].clone()).unwrap());
        bytes += 3 * pair[0].len() + pair[1].len() + number(server, &["STRLEN", &rest]);
    }
    assert_eq!(number(server, &["GET", "s:{-}:b"]), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_snapshot_sees_is_dropped_while_an_older_one_is_held() {
    let Some(server) = TestServer::start(QUICK) else { return };
    let engine = stash_redis::open_engine(&server.url("s"), &RedisOptions::default()).await.unwrap();
    let value = |n: u8| vec![n; 100_000];
    engine.update(put(KEY, &value(0))).await.unwrap();
    let oldest = engine.snapshot().await.unwrap();
    let mut before = None;
    for n in 1..=50 {
        let one = engine.snapshot().await.unwrap();
        engine.update(put(KEY, &value(n))).await.unwrap();
        assert_eq!(one.read(&[KEY]).await.unwrap(), [Some(Bytes::from(value(n - 1)))]);
        // The one before is still there: so two are never seen by the same.
        if let Some(before) = before.replace(one) {
            let before: stash_redis::RedisSnapshot = before;
            assert_eq!(before.read(&[KEY]).await.unwrap(), [Some(Bytes::from(value(n.saturating_sub(2))))]);
            let open = number(&server, &["ZCARD", "s:{-}:s"]);
            drop(before);
            // The server is told of it soon.
            while number(&server, &["ZCARD", "s:{-}:s"]) >= open {
                tokio::task::yield_now().await;
            }
        }
        assert!(number(&server, &["ZCARD", "s:{-}:d"]) <= 4, "after {n}");
        assert_counted(&server);
    }
    assert_eq!(oldest.read(&[KEY]).await.unwrap(), [Some(Bytes::from(value(0)))]);
    let page = before.unwrap().scan(&Scan::prefix(b"r")).await.unwrap();
    assert_eq!(page.entries, [(Bytes::from_static(KEY), Bytes::from(value(49)))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_oldest_snapshots_end_where_too_much_is_set_aside() {
    let Some(server) = TestServer::start(QUICK) else { return };
    let options = RedisOptions { set_aside_bytes: 1 << 20, ..RedisOptions::default() };
    let engine = stash_redis::open_engine(&server.url("s"), &options).await.unwrap();
    let keys: Vec<String> = (0..20).map(|n| format!("rapp/a/1/{n:02}")).collect();
    for key in &keys {
        engine.update(put(key.as_bytes(), &vec![1; 100_000])).await.unwrap();
    }
    let oldest = engine.snapshot().await.unwrap();
    for key in &keys[..8] {
        engine.update(put(key.as_bytes(), &vec![2; 100_000])).await.unwrap();
    }
    assert_counted(&server);
    // Still within what may be.
    assert_eq!(oldest.scan(&Scan::prefix(b"r")).await.unwrap().entries.len(), 20);
    let newer = engine.snapshot().await.unwrap();
    let state = engine.scan(&Scan::prefix(b"r")).await.unwrap();
    for key in &keys[8..14] {
        engine.update(put(key.as_bytes(), &vec![3; 100_000])).await.unwrap();
        assert!(number(&server, &["GET", "s:{-}:b"]) <= 1 << 20);
        assert_counted(&server);
    }
    let error = oldest.read(&[keys[0].as_bytes()]).await.unwrap_err();
    assert!(
        matches!(&error, StorageError::Unavailable { reason } if reason.contains("the snapshot is over: more than 1 MiB")),
        "{error}"
    );
    assert_eq!(newer.scan(&Scan::prefix(b"r")).await.unwrap(), state);
    // One commit alone may be too much: then it is applied, and no snapshot is left.
    engine.update(put(b"rapp/a/1/large", &vec![4; 2 << 20])).await.unwrap();
    let last = engine.snapshot().await.unwrap();
    engine.update(put(b"rapp/a/1/large", b"small")).await.unwrap();
    for snapshot in [&newer, &last] {
        assert!(snapshot.read(&[b"rapp/a/1/large"]).await.is_err());
    }
    assert_eq!(server.tell(&["EXISTS", "s:{-}:s", "s:{-}:x", "s:{-}:w", "s:{-}:u", "s:{-}:d", "s:{-}:b"]), "0");
    assert_eq!(engine.read(&[b"rapp/a/1/large"]).await.unwrap(), [Some(Bytes::from("small"))]);
}
