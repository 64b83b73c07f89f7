//! Several processes of the real binary on one store: what they do together is what one would have done.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(unix)]

use std::time::{Duration, Instant};

use stash_tests::http::Server;
use stash_tests::support::Place;
use stash_tests::{CONTRACT, COUNTER, GUEST_CRATE, WATCHER};

/// An etcd that can lose a member.
fn three_members() -> stash_etcd::testing::Setup {
    stash_etcd::testing::Setup { members: 3, ..Default::default() }
}

const ID: [&str; 2] = ["--id", "app/shared/001"];

/// How long one host may take to hear of what another has done: two seconds, and a machine that does more.
const PATIENCE: Duration = Duration::from_mins(1);

fn serve(place: &Place, store: &str, more: &[&str]) -> Server {
    Server::start(place, COUNTER, [&["--store", store], &ID[..], more].concat())
}

fn kv(place: &Place, store: &str, arguments: &[&str]) -> String {
    place.stash([&["kv"], arguments, &["--store", store], &ID].concat()).success()
}

/// Asks until it is answered so.
async fn until(server: &Server, target: &str, expected: &str) {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answer = server.ask("GET", target, "").await;
        if answer.said() == (200, expected) {
            return;
        }
        assert!(Instant::now() < deadline, "it stays {answer:?}");
    }
}

async fn counters_add_up(store: &str) {
    let place = Place::new();
    let hosts = [serve(&place, store, &[]), serve(&place, store, &[]), serve(&place, store, &[])];
    let callers = (0..12).map(|caller| {
        let host = &hosts[caller % hosts.len()];
        async move {
            let mut connection = host.connect().await;
            for _ in 0..10 {
                assert_eq!(connection.ask("POST", "/n", "").await.status, 200);
            }
        }
    });
    futures_util::future::join_all(callers).await;
    for host in &hosts {
        until(host, "/n", "120\n").await;
    }
    // What an operator looks at is the same, while they go on.
    assert_eq!(kv(&place, store, &["get", "n"]), "120\n");
}

async fn a_host_that_dies_takes_nothing_with_it(store: &str) {
    let place = Place::new();
    let (dies, lives) = (serve(&place, store, &[]), serve(&place, store, &[]));
    let mut counted = 0;
    let mut connection = dies.connect().await;
    for _ in 0..20 {
        assert_eq!(connection.ask("POST", "/n", "").await.status, 200);
        counted += 1;
    }
    // Some are under way when it is killed: each counts or not, and none twice.
    let under_way = (0..8).map(|_| async {
        let mut connection = dies.connect().await;
        connection.send("POST", "/n", http_body_util::Empty::new()).await.is_ok_and(|answer| answer.status == 200)
    });
    let (answered, ()) = tokio::join!(futures_util::future::join_all(under_way), async { dies.signal("KILL") });
    counted += answered.into_iter().filter(|answered| *answered).count();
    let stored: usize = lives.ask("GET", "/n", "").await.text.trim().parse().unwrap();
    assert!((counted..=28).contains(&stored), "{counted} were answered, {stored} are stored");
    assert_eq!(lives.ask("POST", "/n", "").await.text, format!("{}\n", stored + 1));
}

async fn a_host_that_was_paused_serves_nothing_old(store: &str) {
    let place = Place::new();
    let (paused, goes_on) = (serve(&place, store, &[]), serve(&place, store, &[]));
    assert_eq!(paused.ask("POST", "/n", "").await.text, "1\n");
    for _ in 0..3 {
        assert_eq!(paused.ask("GET", "/n", "").await.text, "1\n");
    }
    paused.signal("STOP");
    // The other one waits for nobody.
    assert_eq!(goes_on.ask("POST", "/n", "").await.text, "2\n");
    // Longer than what is in a cache may be trusted: this is the time that the test is about.
    tokio::time::sleep(Duration::from_millis(2_500)).await;
    paused.signal("CONT");
    assert_eq!(paused.ask("GET", "/n", "").await.text, "2\n");
}

async fn a_quota_holds_in_total(store: &str) {
    let place = Place::new();
    let (one, other) = (serve(&place, store, &["--quota", "20B"]), serve(&place, store, &["--quota", "20B"]));
    // Two bytes each: the key and a digit.
    for n in 0..5 {
        assert_eq!(one.ask("POST", &format!("/{n}"), "").await.status, 200);
        assert_eq!(other.ask("POST", &format!("/{}", n + 5), "").await.status, 200);
    }
    for host in [&one, &other] {
        let refused = host.ask("POST", "/more", "").await;
        assert!(refused.status >= 400, "{refused:?}");
    }
}

async fn a_watcher_hears_of_another_host(store: &str) {
    let place = Place::new();
    let watches = Server::start(&place, WATCHER, [&["--store", store], &ID[..]].concat());
    kv(&place, store, &["set", "told", "by another process"]);
    watches.wait_for("app/shared/001: on-set told by another process");
    // And where it had been told it goes on.
    drop(watches);
    kv(&place, store, &["set", "later", "text"]);
    let watches = Server::start(&place, WATCHER, [&["--store", store], &ID[..]].concat());
    watches.wait_for("app/shared/001: on-set later text");
}

fn guests_do_the_same(store: &str) {
    let place = Place::new();
    let ran = place.stash(["run", "--store", store, "--id", "app/guest/001", GUEST_CRATE]);
    assert_eq!((ran.code, ran.out.as_str()), (Some(0), "ok\n"), "{}", ran.err);
    let run = ["run", "--store", store, "--id", "app/contract/001", "--invoke", "run-all()", CONTRACT];
    let told = place.stash(run).success();
    assert!(told.starts_with("ok("), "{told}");
}

fn copied_there_and_back(store: &str) {
    let place = Place::new();
    for n in 0..20 {
        kv(&place, "redb:from", &["set", &format!("key/{n}"), "value"]);
    }
    let there = place.stash(["copy", "redb:from", store]).success();
    let back = place.stash(["copy", store, "redb:to"]).success();
    let digest = |said: &str| said.trim().rsplit(' ').next().unwrap().to_owned();
    assert_eq!(digest(&there), digest(&back));
    assert_eq!(kv(&place, "redb:to", &["list"]), kv(&place, "redb:from", &["list"]));
    // The same store by another way is still the same.
    let error = place.stash(["copy", store, store, "--replace"]).failure(2);
    assert!(error.contains("itself"), "{error}");
}

macro_rules! on_a_server {
    ($($engine:ident: $start:expr, $url:expr;)+) => { $(
        mod $engine {
            macro_rules! case {
                ($name:ident) => {
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $name() {
                        let Some(server) = $start else { return };
                        let url: fn(&_) -> String = $url;
                        super::$name(&url(&server)).await;
                    }
                };
            }
            case!(counters_add_up);
            case!(a_host_that_dies_takes_nothing_with_it);
            case!(a_host_that_was_paused_serves_nothing_old);
            case!(a_quota_holds_in_total);
            case!(a_watcher_hears_of_another_host);

            #[test]
            fn guests_do_the_same() {
                let Some(server) = $start else { return };
                let url: fn(&_) -> String = $url;
                super::guests_do_the_same(&url(&server));
            }

            #[test]
            fn copied_there_and_back() {
                let Some(server) = $start else { return };
                let url: fn(&_) -> String = $url;
                super::copied_there_and_back(&url(&server));
            }
        }
    )+ };
}

on_a_server! {
    postgres: stash_postgres::testing::TestServer::start(),
        |server: &stash_postgres::testing::TestServer| server.fresh_url();
    redis: stash_redis::testing::TestServer::start(&["--appendonly", "yes", "--appendfsync", "always"]),
        |server: &stash_redis::testing::TestServer| server.url("hosts");
    etcd: stash_etcd::testing::EtcdCluster::start("hosts", super::three_members()),
        |cluster: &stash_etcd::testing::EtcdCluster| cluster.url("hosts");
}
