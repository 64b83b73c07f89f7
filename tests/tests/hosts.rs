//! Several processes of the real binary on one store: what they do together is what one would have done.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(unix)]

#[path = "histories/servers.rs"]
mod servers;

use std::time::{Duration, Instant};

use stash_tests::http::Server;
use stash_tests::proxy::{Fault, Proxy};
use stash_tests::support::Place;
use stash_tests::{CONTRACT, COUNTER, GUEST_CRATE, WATCHER};

use servers::Shared;

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

/// What is behind a network that has stopped must not be served for longer than it may be: two seconds.
async fn a_host_that_was_cut_off_serves_nothing_old(shared: &impl Shared) {
    let mut proxies = Vec::new();
    for port in shared.ports() {
        proxies.push(Proxy::to(port).await);
    }
    let place = Place::new();
    let cut_off = serve(&place, &shared.url(&proxies.iter().map(Proxy::port).collect::<Vec<_>>()), &[]);
    let goes_on = serve(&place, &shared.url(&shared.ports()), &[]);
    assert_eq!(goes_on.ask("POST", "/n", "").await.text, "1\n");
    for _ in 0..3 {
        until(&cut_off, "/n", "1\n").await;
    }
    for proxy in &proxies {
        proxy.set(Fault::Stall);
    }
    assert_eq!(goes_on.ask("POST", "/n", "").await.text, "2\n");
    let written = Instant::now();
    let mut old = 0;
    loop {
        let asked = written.elapsed();
        let answer = cut_off.ask("GET", "/n", "").await;
        if answer.said() != (200, "1\n") {
            break;
        }
        old += 1;
        assert!(asked <= Duration::from_secs(2), "after {asked:?} it still serves what is old");
    }
    println!("what is old was served {old} times");
    assert!(old > 0, "nothing was served from the cache: the test shows nothing");
    for proxy in &proxies {
        proxy.set(Fault::None);
    }
    until(&cut_off, "/n", "2\n").await;
}

async fn a_server_that_crashes_keeps_what_it_answered(shared: &mut impl Shared) {
    let place = Place::new();
    let store = shared.url(&shared.ports());
    let hosts = [serve(&place, &store, &[]), serve(&place, &store, &[])];
    for round in 0..4 {
        assert_eq!(hosts[round % 2].ask("POST", "/n", "").await.text, format!("{}\n", round + 1));
    }
    tokio::task::block_in_place(|| shared.crash());
    for host in &hosts {
        until(host, "/n", "4\n").await;
    }
    // It may be away for a while yet: what is refused is not counted.
    let deadline = Instant::now() + PATIENCE;
    let mut counted = 4;
    while counted < 8 {
        let answer = hosts[counted % 2].ask("POST", "/n", "").await;
        assert!(Instant::now() < deadline, "it stays {answer:?}");
        if answer.status == 200 {
            counted += 1;
            assert_eq!(answer.text, format!("{counted}\n"));
        }
    }
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
    // A typing error takes nothing from the target, and makes nothing on the server.
    let mistyped = format!("{store}x");
    for _ in 0..2 {
        let error = place.stash(["copy", &mistyped, "redb:to", "--replace"]).failure(2);
        assert!(error.contains("there is no store"), "{error}");
        let error = place.stash(["ids", "--store", &mistyped]).failure(2);
        assert!(error.contains("there is no store"), "{error}");
    }
    assert_eq!(kv(&place, "redb:to", &["list"]), kv(&place, "redb:from", &["list"]));
    // The same store by another way is still the same.
    let error = place.stash(["copy", store, store, "--replace"]).failure(2);
    assert!(error.contains("itself"), "{error}");
}

macro_rules! on_a_server {
    ($($engine:ident: $server:ty;)+) => { $(
        mod $engine {
            use super::servers::Shared;

            macro_rules! case {
                ($name:ident) => {
                    #[tokio::test(flavor = "multi_thread")]
                    async fn $name() {
                        let Some(server) = <$server>::start() else { return };
                        super::$name(&server.url(&server.ports())).await;
                    }
                };
            }
            case!(counters_add_up);
            case!(a_host_that_dies_takes_nothing_with_it);
            case!(a_host_that_was_paused_serves_nothing_old);
            case!(a_quota_holds_in_total);
            case!(a_watcher_hears_of_another_host);

            #[tokio::test(flavor = "multi_thread")]
            async fn a_host_that_was_cut_off_serves_nothing_old() {
                let Some(server) = <$server>::start() else { return };
                super::a_host_that_was_cut_off_serves_nothing_old(&server).await;
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn a_server_that_crashes_keeps_what_it_answered() {
                let Some(mut server) = <$server>::start() else { return };
                super::a_server_that_crashes_keeps_what_it_answered(&mut server).await;
            }

            #[test]
            fn guests_do_the_same() {
                let Some(server) = <$server>::start() else { return };
                super::guests_do_the_same(&server.url(&server.ports()));
            }

            #[test]
            fn copied_there_and_back() {
                let Some(server) = <$server>::start() else { return };
                super::copied_there_and_back(&server.url(&server.ports()));
            }
        }
    )+ };
}

on_a_server! {
    postgres: crate::servers::Postgres;
    redis: crate::servers::Redis;
    etcd: crate::servers::Etcd;
}
