//! Three processes of the real binary on one store, behind networks that fail, paused, killed, and a server that crashes: what
//! their callers have seen is recorded, and must have an order that explains it.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![cfg(unix)]

#[path = "histories/callers.rs"]
mod callers;
#[path = "histories/servers.rs"]
mod servers;

use std::sync::Arc;
use std::time::Duration;

use stash_tests::HISTORY;
use stash_tests::history::{bank, register};
use stash_tests::http::Server;
use stash_tests::proxy::{Fault, Proxy};
use stash_tests::support::Place;
use tokio::sync::watch;
use tokio::task::block_in_place;

use callers::{Caller, Record, Started};
use servers::Shared;

const HOSTS: usize = 3;
const CALLERS_OF_A_HOST: u64 = 3;

/// A host with a network of its own to the server.
struct Host {
    place: Place,
    store: String,
    proxies: Vec<Proxy>,
    server: Option<Server>,
    started: Arc<watch::Sender<Started>>,
}

impl Host {
    async fn start(shared: &impl Shared) -> Self {
        let mut proxies = Vec::new();
        for port in shared.ports() {
            proxies.push(Proxy::to(port).await);
        }
        let store = shared.url(&proxies.iter().map(Proxy::port).collect::<Vec<_>>());
        let (started, _) = watch::channel(None);
        let mut host = Self { place: Place::new(), store, proxies, server: None, started: Arc::new(started) };
        host.run();
        host
    }

    fn run(&mut self) {
        // A caller waits for a new one only where it is told that there is one.
        static RUNS: std::sync::atomic::AtomicUsize = std::sync::atomic::AtomicUsize::new(0);
        let run = RUNS.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let options = ["--store", &self.store, "--id", "app/history/001"];
        let server = block_in_place(|| Server::start(&self.place, HISTORY, options));
        self.started.send_replace(Some((run, server.addr)));
        self.server = Some(server);
    }

    fn kill(&mut self) {
        self.server = None;
    }

    fn signal(&self, name: &str) {
        self.server.as_ref().unwrap().signal(name);
    }

    fn network(&self, fault: Fault) {
        for proxy in &self.proxies {
            proxy.set(fault);
        }
    }
}

/// Lets that go on for a while: the times here are what the test is about.
async fn during(millis: u64) {
    tokio::time::sleep(Duration::from_millis(millis)).await;
}

/// Everything that goes wrong, one after the other.
async fn disturb(hosts: &mut [Host], shared: &mut impl Shared) {
    during(700).await;
    hosts[0].network(Fault::Delay(Duration::from_millis(30)));
    during(700).await;
    hosts[0].network(Fault::None);
    for _ in 0..3 {
        hosts[1].network(Fault::HalveAnswers);
        during(150).await;
        hosts[1].network(Fault::None);
        during(150).await;
        hosts[1].network(Fault::HalveQuestions);
        during(150).await;
        hosts[1].network(Fault::None);
        during(150).await;
    }
    // Paused for longer than a cache is trusted, while another one is cut off.
    hosts[2].signal("STOP");
    hosts[0].network(Fault::Refuse);
    during(1_300).await;
    hosts[0].network(Fault::None);
    during(1_300).await;
    hosts[2].signal("CONT");
    during(300).await;
    hosts[1].network(Fault::Stall);
    hosts[2].kill();
    during(2_300).await;
    hosts[1].network(Fault::None);
    hosts[2].run();
    during(500).await;
    block_in_place(|| shared.crash());
    during(1_500).await;
}

async fn histories_have_an_order(mut shared: impl Shared) {
    let mut hosts = Vec::new();
    for _ in 0..HOSTS {
        hosts.push(Host::start(&shared).await);
    }
    let (stop, stopped) = watch::channel(false);
    let clock = std::time::Instant::now();
    let callers: Vec<_> = (0..HOSTS * usize::try_from(CALLERS_OF_A_HOST).unwrap())
        .map(|n| {
            let caller = Caller::new(n, hosts[n % HOSTS].started.subscribe(), clock);
            // The first of each host.
            if n < HOSTS {
                tokio::spawn(caller.read_only(stopped.clone()))
            } else {
                tokio::spawn(caller.run(stopped.clone()))
            }
        })
        .collect();
    disturb(&mut hosts, &mut shared).await;
    stop.send_replace(true);
    let mut record = Record::default();
    for caller in callers {
        record.extend(caller.await.unwrap());
    }
    // What is there at the end, as each of them says; all of them serve again.
    let mut ends = Vec::new();
    for (n, host) in hosts.iter().enumerate() {
        let mut last = Caller::new(1_000 + n, host.started.subscribe(), clock);
        let (calls, end) = last.everything().await;
        record.extend(calls);
        ends.push(end);
    }
    assert!(ends.iter().all(|end| *end == ends[0]), "the hosts do not agree: {ends:#?}");
    println!("{record}");
    record.assert_worth();
    for (key, calls) in &record.registers {
        register::check(calls).unwrap_or_else(|violation| panic!("{key} is not linearizable:\n{violation}"));
    }
    bank::check(&record.bank, &ends[0], callers::START)
        .unwrap_or_else(|violation| panic!("the bank is not serializable:\n{violation}"));
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_on_postgres() {
    let Some(shared) = servers::Postgres::start() else { return };
    histories_have_an_order(shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_on_redis() {
    let Some(shared) = servers::Redis::start() else { return };
    histories_have_an_order(shared).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn histories_on_etcd() {
    let Some(shared) = servers::Etcd::start() else { return };
    histories_have_an_order(shared).await;
}
