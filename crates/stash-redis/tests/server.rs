//! What a server is asked before a store is opened in it, what it says when it cannot take more, and what is left in it.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stash_conformance::decision::{act, increment, put};
use stash_core::engine::{Scan, Snapshot};
use stash_core::{Engine, StorageError};
use stash_redis::testing::{DURABLE, Proxy, TestServer};
use stash_redis::{OpenError, RedisEngine, RedisOptions};
use stash_shared::{Server, ServerError, SharedOptions, Wanted};

async fn open(url: &str) -> Result<RedisEngine, OpenError> {
    stash_redis::open_engine(url, &RedisOptions::default()).await
}

fn quick() -> RedisOptions {
    let shared = SharedOptions { patience: Duration::from_millis(300), ..SharedOptions::default() };
    RedisOptions { shared, ..RedisOptions::default() }
}

fn unsuitable(outcome: Result<RedisEngine, OpenError>) -> String {
    match outcome {
        Err(OpenError::Unsuitable { reason, .. }) => reason,
        other => panic!("{other:?}"),
    }
}

/// Asks until the server says what is waited for.
fn until(what: &str, is_so: impl Fn() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(30);
    while !is_so() {
        assert!(Instant::now() < deadline, "{what}");
        std::thread::yield_now();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn durable_is_what_the_server_is() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    for (setting, value, durable) in [
        ("appendfsync", "everysec", false),
        ("appendfsync", "always", true),
        ("no-appendfsync-on-rewrite", "yes", false),
        ("no-appendfsync-on-rewrite", "no", true),
        ("appendonly", "no", false),
        ("appendonly", "yes", true),
    ] {
        server.tell(&["CONFIG", "SET", setting, value]);
        assert_eq!(open(&server.url("s")).await.unwrap().info().durable, durable, "{setting} {value}");
    }
    // One that may not be asked.
    server.tell(&["ACL", "SETUSER", "blind", "on", ">pw", "~*", "&*", "+@all", "-config"]);
    let url = server.url("s").replace("redis://", "redis://blind:pw@");
    assert!(!open(&url).await.unwrap().info().durable);
}

#[tokio::test(flavor = "multi_thread")]
async fn servers_that_cannot_keep_a_store_are_refused() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    server.tell(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    assert!(unsuitable(open(&server.url("s")).await).contains("noeviction"));
    open(&format!("{}&allow-eviction=true", server.url("s"))).await.unwrap();
    server.tell(&["CONFIG", "SET", "maxmemory-policy", "volatile-lru"]);
    open(&server.url("s")).await.unwrap();
    let said = unsuitable(open(&format!("{}&cluster=true", server.url("s"))).await);
    assert!(said.contains("remove cluster=true"), "{said}");
    let port = server.port().to_string();
    let replica = TestServer::start(&["--replicaof", "127.0.0.1", &port]).unwrap();
    let said = unsuitable(open(&replica.url("s")).await);
    assert!(said.contains("replica"), "{said}");
}

#[tokio::test(flavor = "multi_thread")]
async fn foreign_and_newer_stores_are_refused() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    server.tell(&["SET", "newer:{-}:f", "stash-redis 2"]);
    let error = open(&server.url("newer")).await.unwrap_err();
    assert!(matches!(&error, OpenError::NotAStore { reason, .. } if reason.contains("newer Stash")), "{error}");
    server.tell(&["HSET", "foreign:{-}:v", "a", "b"]);
    let error = open(&server.url("foreign")).await.unwrap_err();
    assert!(matches!(&error, OpenError::NotAStore { reason, .. } if reason.contains("another prefix")), "{error}");
    assert_eq!(server.tell(&["EXISTS", "foreign:{-}:f"]), "0", "it is left as it was");
    // Two stores in one server, and in two databases, do not meet.
    let other = format!("redis://127.0.0.1:{}/1?prefix=one", server.port());
    for url in [server.url("one"), server.url("two"), other] {
        let engine = open(&url).await.unwrap();
        assert_eq!(engine.update(increment(b"rapp/a/1/n")).await, Ok(1), "{url}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_without_memory_takes_what_removes() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let engine = stash_redis::open_engine(&server.url("s"), &quick()).await.unwrap();
    for n in 0..8 {
        engine.update(put(format!("rapp/a/1/{n}").as_bytes(), &vec![7; 500_000])).await.unwrap();
    }
    server.tell(&["CONFIG", "SET", "maxmemory", "1mb"]);
    let error = engine.update(put(b"rapp/a/1/more", &vec![7; 100_000])).await.unwrap_err();
    assert!(matches!(&error, StorageError::Unavailable { reason } if reason.contains("maxmemory")), "{error}");
    // Nothing of it is there, and everything else is.
    let keys = Scan { value_bytes: 0, ..Scan::prefix(b"rapp/a/1/") };
    assert_eq!(engine.scan(&keys).await.unwrap().entries.len(), 8);
    assert_eq!(engine.snapshot().await.unwrap().scan(&keys).await.unwrap().entries.len(), 8);
    let remove = act(|_, writes| {
        (0..7).for_each(|n| writes.remove(Bytes::from(format!("rapp/a/1/{n}"))));
        writes.put(Bytes::from_static(b"napp/a/1/"), Bytes::from_static(b"state"));
        Ok(())
    });
    engine.update(remove).await.unwrap();
    assert_eq!(engine.scan(&keys).await.unwrap().entries.len(), 1);
    server.tell(&["CONFIG", "SET", "maxmemory", "0"]);
    engine.update(put(b"rapp/a/1/more", b"x")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_cannot_write_to_its_disk_takes_nothing() {
    let Some(server) = TestServer::start(&["--appendonly", "no", "--save", "3600 1"]) else { return };
    let engine = stash_redis::open_engine(&server.url("s"), &quick()).await.unwrap();
    engine.update(put(b"rapp/a/1/k", b"v")).await.unwrap();
    let save = |status: &str| {
        server.tell(&["BGSAVE"]);
        until("nothing is saved", || {
            let info = server.tell(&["INFO", "persistence"]);
            info.contains("rdb_bgsave_in_progress:0") && info.contains(&format!("rdb_last_bgsave_status:{status}"))
        });
    };
    // The file cannot be put in its place.
    let in_its_place = server.folder().join("dump.rdb");
    std::fs::create_dir(&in_its_place).unwrap();
    save("err");
    let error = engine.update(put(b"rapp/a/1/k", b"w")).await.unwrap_err();
    assert!(matches!(&error, StorageError::Unavailable { reason } if reason.contains("write to its disk")), "{error}");
    assert_eq!(engine.read(&[b"rapp/a/1/k"]).await.unwrap(), [Some(Bytes::from("v"))]);
    std::fs::remove_dir(&in_its_place).unwrap();
    save("ok");
    engine.update(put(b"rapp/a/1/k", b"w")).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_is_gone_is_not_taken_for_an_empty_one() {
    let Some(server) = TestServer::start(&["--appendonly", "no", "--save", ""]) else { return };
    let engine = stash_redis::open_engine(&server.url("s"), &quick()).await.unwrap();
    assert!(!engine.info().durable);
    engine.update(put(b"rapp/a/1/k", b"v")).await.unwrap();
    server.kill();
    server.restart();
    let error = loop {
        match engine.update(put(b"rapp/a/1/k", b"w")).await {
            // The first ones may meet the broken connection.
            Err(StorageError::Unavailable { reason }) if !reason.contains("is gone") => {}
            outcome => break outcome.unwrap_err(),
        }
    };
    assert!(error.to_string().contains("restart the hosts"), "{error}");
    assert_eq!(server.tell(&["DBSIZE"]), "0");
    let again = open(&server.url("s")).await.unwrap();
    assert_eq!(again.update(increment(b"rapp/a/1/n")).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_may_not_write_is_read_from() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let engine = stash_redis::open_engine(&server.url("s"), &quick()).await.unwrap();
    engine.update(put(b"rapp/a/1/k", b"v")).await.unwrap();
    server.tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    let error = engine.update(put(b"rapp/a/1/k", b"w")).await.unwrap_err();
    assert!(matches!(&error, StorageError::Unavailable { reason } if reason.contains("replicas")), "{error}");
    assert_eq!(engine.read(&[b"rapp/a/1/k"]).await.unwrap(), [Some(Bytes::from("v"))]);
    server.tell(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    engine.update(put(b"rapp/a/1/k", b"w")).await.unwrap();
    // What becomes a replica may have old data: it is not read from.
    server.tell(&["REPLICAOF", "127.0.0.1", "1"]);
    for error in
        [engine.read(&[b"rapp/a/1/k"]).await.unwrap_err(), engine.update(put(b"rapp/a/1/k", b"x")).await.unwrap_err()]
    {
        assert!(matches!(&error, StorageError::Unavailable { reason } if reason.contains("replica")), "{error}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_primary_that_may_have_been_replaced_is_only_read_from() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let engine = stash_redis::open_engine(&server.url("s"), &quick()).await.unwrap();
    engine.update(put(b"rapp/a/1/k", b"v")).await.unwrap();
    let owners = [Bytes::from("app/a/1")];
    let wanted = Wanted { keys: vec![Bytes::from("rapp/a/1/k")], ..Wanted::default() };
    server.tell(&["CONFIG", "SET", "min-replicas-to-write", "1"]);
    assert_eq!(engine.server().read(&[b"rapp/a/1/k"]).await.unwrap(), [Some(Bytes::from("v"))]);
    for outcome in [engine.server().heads(&owners).await.err(), engine.server().fetch(&wanted).await.err()] {
        assert!(matches!(&outcome, Some(ServerError::Unreachable(why)) if why.contains("replicas")), "{outcome:?}");
    }
    server.tell(&["CONFIG", "SET", "min-replicas-to-write", "0"]);
    assert_eq!(engine.server().heads(&owners).await.unwrap().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn large_values_go_over_a_connection_of_their_own() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let proxy = Proxy::start(&server).await;
    let engine = open(&proxy.url("s")).await.unwrap();
    until("nobody listens", || {
        format!("{:?}", server.ask(&["PUBSUB", "NUMSUB", "s:0:news"]).unwrap()).contains("int(1)")
    });
    let large = vec![7; 400_000];
    for (key, value) in [(&b"rapp/a/1/small"[..], &b"x"[..]), (b"rapp/a/1/large", &large)] {
        // As another host does it.
        open(&server.url("s")).await.unwrap().update(put(key, value)).await.unwrap();
    }
    engine.server().heads(&[Bytes::from("app/a/1")]).await.unwrap();
    let page = Scan { limit: 10, value_bytes: 10, ..Scan::prefix(b"rapp/a/1/") };
    let snapshot = engine.snapshot().await.unwrap();
    let before = proxy.connections();
    engine.server().read(&[b"rapp/a/1/small"]).await.unwrap();
    engine.server().scan(&page).await.unwrap();
    snapshot.read(&[b"rapp/a/1/small"]).await.unwrap();
    assert_eq!(engine.server().read_up_to(&[b"rapp/a/1/large"], 10).await.unwrap(), None);
    assert_eq!(proxy.connections(), before, "small answers share one connection");
    let wanted = Wanted { keys: vec![Bytes::from("rapp/a/1/large")], ..Wanted::default() };
    let fetched = engine.server().fetch(&wanted).await.unwrap();
    assert_eq!(fetched.values, [Some(Bytes::from(large.clone()))]);
    assert_eq!(proxy.connections(), before + 1, "a large answer has another one");
    for values in [
        engine.server().read(&[b"rapp/a/1/small", b"rapp/a/1/large"]).await.unwrap(),
        snapshot.read(&[b"rapp/a/1/small", b"rapp/a/1/large"]).await.unwrap(),
        engine.server().read_up_to(&[b"rapp/a/1/small", b"rapp/a/1/large"], 500_000).await.unwrap().unwrap(),
    ] {
        assert_eq!(values, [Some(Bytes::from("x")), Some(Bytes::from(large.clone()))]);
    }
    assert_eq!(proxy.connections(), before + 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_with_the_permissions_of_the_guide_is_enough() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let permissions = [
        "on",
        ">SECRET",
        "~stash:*",
        "&stash:*",
        "+@read",
        "+@write",
        "+@scripting",
        "+@connection",
        "+publish",
        "+subscribe",
        "+info",
        "+time",
        "+config|get",
        "+cluster|slots",
    ];
    server.tell(&[&["ACL", "SETUSER", "stash"][..], &permissions].concat());
    let url = format!("redis://stash:SECRET@127.0.0.1:{}/0", server.port());
    let engine = Arc::new(open(&url).await.unwrap());
    assert!(engine.info().durable);
    let snapshot = engine.snapshot().await.unwrap();
    let large = vec![7; 5000];
    engine.update(put(b"rapp/a/1/k", &large)).await.unwrap();
    let second = engine.snapshot().await.unwrap();
    engine.update(put(b"rapp/a/1/k", b"small")).await.unwrap();
    assert_eq!(snapshot.read(&[b"rapp/a/1/k"]).await.unwrap(), [None]);
    assert_eq!(second.read(&[b"rapp/a/1/k"]).await.unwrap(), [Some(large.into())]);
    assert_eq!(engine.scan(&Scan::prefix(b"")).await.unwrap().entries.len(), 1);
    let told = server.tell(&["ACL", "LOG"]);
    assert!(!told.contains("reason"), "something was denied: {told}");
    let wrong = url.replace("SECRET", "WRONG");
    let error = stash_redis::open_engine(&wrong, &quick()).await.unwrap_err().to_string();
    assert!(error.contains("password") && !error.contains("WRONG:") && !error.contains(":WRONG"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_is_left_of_snapshots() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let engine = open(&server.url("s")).await.unwrap();
    let large = vec![7; 100_000];
    for n in 0..20 {
        engine.update(put(format!("rapp/a/1/{n}").as_bytes(), &large)).await.unwrap();
    }
    let names = |server: &TestServer| {
        let mut names: Vec<String> = redis::from_redis_value(server.ask(&["KEYS", "s:*"]).unwrap()).unwrap();
        names.sort_unstable();
        names
    };
    let before = names(&server);
    let snapshots = [engine.snapshot().await.unwrap(), engine.snapshot().await.unwrap()];
    for n in 0..20 {
        let key = format!("rapp/a/1/{n}");
        match n % 4 {
            0 => engine.update(put(key.as_bytes(), b"small")).await.unwrap(),
            1 => engine.update(put(key.as_bytes(), &large)).await.unwrap(),
            2 => {
                let remove = act(move |_, writes| {
                    writes.remove(Bytes::from(key.clone()));
                    Ok(())
                });
                engine.update(remove).await.unwrap();
            }
            _ => engine.update(put(format!("rapp/a/1/new{n}").as_bytes(), &large)).await.unwrap(),
        }
    }
    let third = engine.snapshot().await.unwrap();
    engine.update(put(b"rapp/a/1/0", &large)).await.unwrap();
    for snapshot in &snapshots {
        let page = snapshot.scan(&Scan::prefix(b"rapp/a/1/")).await.unwrap();
        assert_eq!(page.entries.len(), 20);
        assert!(page.entries.iter().all(|(_, value)| *value == large));
    }
    assert_eq!(third.read(&[b"rapp/a/1/0"]).await.unwrap(), [Some(Bytes::from("small"))]);
    assert!(names(&server).len() > before.len());
    // What is on the disk has nothing of it: neither keys that are kept for a snapshot nor what they were.
    let present = engine.scan(&Scan::prefix(b"")).await.unwrap();
    drop(snapshots);
    server.kill();
    server.restart();
    assert_eq!(engine.scan(&Scan::prefix(b"")).await.unwrap(), present);
    for name in names(&server) {
        assert!(![":s", ":x", ":w", ":u", ":d", ":b"].iter().any(|what| name.ends_with(what)), "{name}");
        assert!(!name.contains(":u:"), "{name}");
    }
    assert_eq!(server.tell(&["ZCARD", "s:{app/a/1}:k"]), server.tell(&["HLEN", "s:{app/a/1}:v"]));
    // And where the server goes on, it is forgotten when the last one is dropped.
    let held = engine.snapshot().await.unwrap();
    engine.update(put(b"rapp/a/1/1", b"other")).await.unwrap();
    let remove = act(|_, writes| {
        writes.remove(Bytes::from_static(b"rapp/a/1/5"));
        Ok(())
    });
    engine.update(remove).await.unwrap();
    assert_ne!(server.tell(&["ZCARD", "s:{app/a/1}:k"]), server.tell(&["HLEN", "s:{app/a/1}:v"]));
    drop(held);
    until("what was set aside stays", || {
        server.tell(&["EXISTS", "s:{-}:s", "s:{-}:x", "s:{-}:w", "s:{-}:u", "s:{-}:d", "s:{-}:b"]) == "0"
    });
    assert_eq!(server.tell(&["ZCARD", "s:{app/a/1}:k"]), server.tell(&["HLEN", "s:{app/a/1}:v"]));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rewritten_file_with_snapshots_in_it_is_read_right() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let engine = open(&server.url("s")).await.unwrap();
    for n in 0..10 {
        engine.update(put(format!("rapp/a/1/{n}").as_bytes(), &[7; 3000])).await.unwrap();
    }
    let snapshot = engine.snapshot().await.unwrap();
    let change = |from: usize| {
        act(move |_, writes| {
            writes.remove(Bytes::from(format!("rapp/a/1/{from}")));
            writes.put(Bytes::from(format!("rapp/a/1/{}", from + 1)), Bytes::from_static(b"other"));
            Ok(())
        })
    };
    engine.update(change(0)).await.unwrap();
    server.tell(&["BGREWRITEAOF"]);
    until("the file is not rewritten", || {
        let info = server.tell(&["INFO", "persistence"]);
        info.contains("aof_rewrite_in_progress:0") && info.contains("aof_rewrite_scheduled:0")
    });
    engine.update(change(4)).await.unwrap();
    engine.update(put(b"rapp/a/1/0", b"again")).await.unwrap();
    let present = engine.scan(&Scan::prefix(b"")).await.unwrap();
    server.kill();
    server.restart();
    assert_eq!(engine.scan(&Scan::prefix(b"")).await.unwrap(), present);
    let error = snapshot.read(&[b"rapp/a/1/0"]).await.unwrap_err();
    assert!(matches!(&error, StorageError::Unavailable { reason } if reason.contains("begin again")), "{error}");
    // Another commit, and another start: what was set aside then is of no use, and hides nothing.
    engine.update(change(7)).await.unwrap();
    let present = engine.scan(&Scan::prefix(b"")).await.unwrap();
    let again = engine.snapshot().await.unwrap();
    engine.update(put(b"rapp/a/1/8", b"later")).await.unwrap();
    assert_eq!(again.scan(&Scan::prefix(b"")).await.unwrap(), present);
    drop(again);
    server.kill();
    server.restart();
    assert_eq!(engine.read(&[b"rapp/a/1/8"]).await.unwrap(), [Some(Bytes::from("later"))]);
}

#[tokio::test(flavor = "multi_thread")]
async fn snapshots_are_bounded_in_number_and_life() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let options = RedisOptions { snapshots: 3, snapshot_life: Duration::from_millis(200), ..quick() };
    let engine = stash_redis::open_engine(&server.url("s"), &options).await.unwrap();
    engine.update(put(b"k", b"1")).await.unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    let others = [engine.snapshot().await.unwrap(), engine.snapshot().await.unwrap()];
    let error = engine.snapshot().await.unwrap_err();
    assert!(matches!(&error, StorageError::Unavailable { reason } if reason.contains("3 snapshots")), "{error}");
    drop(others);
    let another = engine.snapshot().await.unwrap();
    let deadline = Instant::now() + Duration::from_secs(30);
    let error = loop {
        // Lives end when something is committed, or another begins.
        engine.update(put(b"k", b"2")).await.unwrap();
        match snapshot.read(&[b"k"]).await {
            Ok(values) => assert_eq!(values, [Some(Bytes::from("1"))]),
            Err(error) => break error,
        }
        assert!(Instant::now() < deadline, "it lives for ever");
    };
    assert!(matches!(&error, StorageError::Unavailable { reason } if reason.contains("longer than")), "{error}");
    drop(another);
}

#[tokio::test(flavor = "multi_thread")]
async fn largest_values_come_back() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let engine = open(&server.url("s")).await.unwrap();
    for size in [0, 1023, 1024, 1025, 64 * 1024 * 1024] {
        let value: Vec<u8> = (0_u32..).map(|n| n.to_le_bytes()[(n % 3) as usize]).take(size).collect();
        engine.update(put(b"rapp/a/1/k", &value)).await.unwrap();
        assert_eq!(engine.read(&[b"rapp/a/1/k"]).await.unwrap(), [Some(Bytes::from(value.clone()))], "{size}");
        let begin = Scan { value_bytes: 2000, ..Scan::prefix(b"rapp/a/1/") };
        let page = engine.scan(&begin).await.unwrap();
        assert_eq!(page.entries[0].1, value[..size.min(2000)], "{size}");
        assert!(engine.read_up_to(&[b"rapp/a/1/k"], size).await.unwrap().is_some(), "{size}");
        if size > 0 {
            assert_eq!(engine.read_up_to(&[b"rapp/a/1/k"], size - 1).await.unwrap(), None, "{size}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_server_with_tls() {
    let folder = tempfile::tempdir().unwrap();
    let make = |arguments: &[&str]| {
        let made = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2"])
            .args(arguments)
            .current_dir(folder.path())
            .output();
        made.as_ref().is_ok_and(|made| made.status.success()).then_some(()).ok_or_else(|| format!("{made:?}"))
    };
    let authority = ["-subj", "/CN=an authority", "-keyout", "ca-key.pem", "-out", "ca.pem"];
    let names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-addext", "basicConstraints=CA:FALSE"];
    let signed = ["-subj", "/CN=localhost", "-CA", "ca.pem", "-CAkey", "ca-key.pem", "-keyout", "key.pem"];
    let certificate = [&signed[..], &["-out", "cert.pem"], &names].concat();
    if let Err(error) = make(&authority).and_then(|()| make(&certificate)) {
        let why = format!("openssl cannot make a certificate: {error}");
        assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
        println!("skipped: a test with TLS, because {why}");
        return;
    }
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let (ca, cert, key) = (file("ca.pem"), file("cert.pem"), file("key.pem"));
    // A port for tests to ask on, and one with TLS.
    let tls_port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let port = tls_port.to_string();
    let tls = ["--tls-port", &port, "--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    let Some(_server) = TestServer::start(&[DURABLE, &tls].concat()) else { return };
    // The server asks for a certificate of the host too.
    let engine = open(&format!("rediss://127.0.0.1:{tls_port}?ca={ca}&cert={cert}&key={key}")).await.unwrap();
    assert_eq!(engine.update(increment(b"rapp/a/1/n")).await, Ok(1));
    let error = stash_redis::open_engine(&format!("rediss://127.0.0.1:{tls_port}"), &quick()).await.unwrap_err();
    assert!(matches!(&error, OpenError::Unreachable { .. }), "{error}");
    println!("{error}");
}

/// What the store has in the server, but for the mark.
fn dump(server: &TestServer, prefix: &str) -> Vec<(String, redis::Value)> {
    let mut names: Vec<String> =
        redis::from_redis_value(server.ask(&["KEYS", &format!("{prefix}:*")]).unwrap()).unwrap();
    names.sort_unstable();
    names.into_iter().map(|name| (name.clone(), server.ask(&["DUMP", &name]).unwrap())).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_user_that_may_not_do_everything_is_told_what() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let url = server.url("s").replace("redis://", "redis://some:pw@");
    for denied in ["unlink", "exists", "rename", "getrange", "zrangebylex", "time", "publish", "eval"] {
        let minus = format!("-{denied}");
        server.tell(&["ACL", "SETUSER", "some", "reset", "on", ">pw", "~s:*", "&s:*", "+@all", &minus]);
        let said = unsuitable(stash_redis::open_engine(&url, &quick()).await);
        assert!(said.contains(&format!("may not run {}", denied.to_uppercase())), "{said}");
    }
    // Neither may the keys and the channel be others'.
    for (keys, channels, said) in [("~other:*", "&s:*", "PING"), ("~s:*", "&other:*", "PUBLISH")] {
        server.tell(&["ACL", "SETUSER", "some", "reset", "on", ">pw", keys, channels, "+@all"]);
        let denied = unsuitable(stash_redis::open_engine(&url, &quick()).await);
        assert!(denied.contains("may not run"), "{said}: {denied}");
    }
    assert_eq!(server.tell(&["DBSIZE"]), "0", "something was written");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_permission_that_is_taken_away_leaves_no_half_of_a_commit() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    server.tell(&["ACL", "SETUSER", "some", "on", ">pw", "~s:*", "&s:*", "+@all"]);
    let url = server.url("s").replace("redis://", "redis://some:pw@");
    let engine = stash_redis::open_engine(&url, &quick()).await.unwrap();
    let large = vec![7; 5000];
    engine.update(put(b"rapp/a/1/k", &large)).await.unwrap();
    let snapshot = engine.snapshot().await.unwrap();
    for denied in ["zadd", "hset", "unlink", "rename", "incr"] {
        let before = dump(&server, "s");
        server.tell(&["ACL", "SETUSER", "some", &format!("-{denied}")]);
        let error = engine.update(put(b"rapp/a/1/k", b"other")).await.unwrap_err();
        assert!(matches!(&error, StorageError::Unavailable { reason } if reason.contains("permissions")), "{error}");
        assert_eq!(dump(&server, "s"), before, "{denied}");
        server.tell(&["ACL", "SETUSER", "some", &format!("+{denied}")]);
    }
    engine.update(put(b"rapp/a/1/k", b"other")).await.unwrap();
    assert_eq!(snapshot.read(&[b"rapp/a/1/k"]).await.unwrap(), [Some(large.into())]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_of_others_under_the_prefix_leave_no_half_of_a_commit() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let engine = stash_redis::open_engine(&server.url("s"), &quick()).await.unwrap();
    let held = ["s:{-}:u", "s:{-}:w", "s:{-}:d", "s:{-}:n", "s:{-}:b"];
    for name in ["s:{app/a/1}:v", "s:{app/a/1}:k", "s:{app/a/1}:t", "s:{-}:i"].into_iter().chain(held) {
        let snapshot = engine.snapshot().await.unwrap();
        server.tell(&["RPUSH", name, "other's"]);
        let before = dump(&server, "s");
        let error = engine.update(put(b"rapp/a/1/k", &[7; 5000])).await.unwrap_err();
        assert!(
            matches!(&error, StorageError::Corrupt { reason } if reason.contains("nothing was stored")),
            "{name}: {error}"
        );
        assert_eq!(dump(&server, "s"), before, "{name}");
        server.tell(&["DEL", name]);
        drop(snapshot);
    }
    assert_eq!(engine.update(increment(b"rapp/a/1/n")).await, Ok(1));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_script_that_fails_on_the_way_is_called_damage() {
    let Some(server) = TestServer::start(DURABLE) else { return };
    let engine = stash_redis::open_engine(&server.url("s"), &quick()).await.unwrap();
    engine.update(put(b"rapp/a/1/k", b"v")).await.unwrap();
    let _snapshot = engine.snapshot().await.unwrap();
    // What nothing looks for: it has the right type.
    server.tell(&["HSET", "s:{-}:w", "rapp/a/1/k", "other's"]);
    let error = engine.update(put(b"rapp/a/1/k", b"w")).await.unwrap_err();
    assert!(matches!(&error, StorageError::Corrupt { reason } if reason.contains("the store is damaged")), "{error}");
    println!("{error}");
}
