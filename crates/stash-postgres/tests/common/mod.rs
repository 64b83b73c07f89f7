//! What the tests on a server have in common: engines, counters, and a bad network.

// Each test uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use bytes::Bytes;
use stash_conformance::decision::{act, to_number};
use stash_core::{Engine, StorageError};
use stash_postgres::{PostgresEngine, PostgresOptions, open_engine};
use stash_shared::SharedOptions;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::JoinSet;

/// Options that notice what is wrong sooner than a host's.
pub fn options() -> PostgresOptions {
    let shared = SharedOptions {
        call_timeout: Duration::from_secs(1),
        patience: Duration::from_secs(30),
        ..SharedOptions::default()
    };
    PostgresOptions { shared, ..PostgresOptions::default() }
}

/// Options with which a call gives up soon.
pub fn impatient() -> PostgresOptions {
    let mut options = options();
    options.shared.patience = Duration::from_millis(500);
    options
}

pub async fn open(url: &str, options: &PostgresOptions) -> Arc<PostgresEngine> {
    Arc::new(open_engine(url, options).await.unwrap())
}

pub async fn hosts(url: &str, options: &PostgresOptions, number: usize) -> Vec<Arc<PostgresEngine>> {
    let mut hosts = Vec::new();
    for _ in 0..number {
        hosts.push(open(url, options).await);
    }
    hosts
}

pub async fn number(engine: &PostgresEngine, key: &str) -> u64 {
    engine.read(&[key.as_bytes()]).await.unwrap()[0].as_deref().map_or(0, to_number)
}

/// Adds one to the number in `key`, in whatever namespace it is.
pub async fn increment(engine: &PostgresEngine, key: &str) -> Result<u64, StorageError> {
    let key = Bytes::copy_from_slice(key.as_bytes());
    let decision = act(move |view, writes| {
        let mut number = 0;
        view.look(&key, &mut |value| number = value.map_or(0, to_number))?;
        writes.put(key.clone(), (number + 1).to_be_bytes().to_vec().into());
        Ok(number + 1)
    });
    engine.update(decision).await
}

/// Calls until it gives what is waited for.
pub async fn until<T: PartialEq + std::fmt::Debug>(expected: T, call: impl AsyncFn() -> T) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let now = call().await;
        if now == expected {
            return;
        }
        assert!(Instant::now() < deadline, "it stays {now:?}");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Writers that count, each in a namespace of its own, while something happens to the server.
pub struct Writers {
    tasks: JoinSet<u64>,
    done: Arc<AtomicUsize>,
    ends: watch::Sender<bool>,
    hosts: Vec<Arc<PostgresEngine>>,
    number: usize,
    namespaces: usize,
    before: u64,
}

impl Writers {
    /// Begins, on these hosts in turn.
    pub async fn start(hosts: &[Arc<PostgresEngine>], number: usize, namespaces: usize) -> Self {
        let before = found(&hosts[0], namespaces).await;
        let (ends, over) = watch::channel(false);
        let done = Arc::<AtomicUsize>::default();
        let mut tasks = JoinSet::new();
        for writer in 0..number {
            let (host, over, done) = (Arc::clone(&hosts[writer % hosts.len()]), over.clone(), Arc::clone(&done));
            let key = count_of(writer % namespaces);
            tasks.spawn(async move {
                let mut counted = 0;
                while !*over.borrow() {
                    increment(&host, &key).await.unwrap();
                    counted += 1;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                counted
            });
        }
        Self { tasks, done, ends, hosts: hosts.to_vec(), number, namespaces, before }
    }

    /// Waits until so many more are acknowledged for each writer, on average.
    pub async fn progress(&self, each: usize) {
        let wanted = self.done.load(Ordering::Relaxed) + each * self.number;
        until(true, async || self.done.load(Ordering::Relaxed) >= wanted).await;
    }

    /// Ends them, and sees that all that was acknowledged is there, once.
    pub async fn finish(self) -> u64 {
        self.ends.send(true).unwrap();
        let counted: u64 = self.tasks.join_all().await.into_iter().sum();
        let found = found(&self.hosts[0], self.namespaces).await;
        assert_eq!(found - self.before, counted, "stored, and acknowledged");
        counted
    }
}

async fn found(engine: &PostgresEngine, namespaces: usize) -> u64 {
    let mut found = 0;
    for namespace in 0..namespaces {
        found += number(engine, &count_of(namespace)).await;
    }
    found
}

fn count_of(namespace: usize) -> String {
    format!("rapp/count/{namespace}/n")
}

/// A network between hosts and a server.
pub struct Proxy {
    port: u16,
    state: Arc<State>,
    task: tokio::task::JoinHandle<()>,
}

struct State {
    target: u16,
    /// Grows to break the connections that are there.
    cuts: watch::Sender<u64>,
    /// New connections get no further, and what is on its way waits.
    held: watch::Sender<bool>,
    /// Answers that are lost with their connection: one of so many; 0 for none.
    lost: AtomicU64,
    /// Requests of which only a half arrives, and then no more: one of so many.
    halved: AtomicU64,
    /// How long each piece takes.
    delay: AtomicU64,
    pieces: AtomicU64,
    refuses: AtomicBool,
    /// Connections that were made.
    made: AtomicUsize,
}

impl Proxy {
    pub async fn start(target: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let state = Arc::new(State {
            target,
            cuts: watch::Sender::new(0),
            held: watch::Sender::new(false),
            lost: AtomicU64::new(0),
            halved: AtomicU64::new(0),
            delay: AtomicU64::new(0),
            pieces: AtomicU64::new(0),
            refuses: AtomicBool::new(false),
            made: AtomicUsize::new(0),
        });
        let accepting = Arc::clone(&state);
        let task = tokio::spawn(async move {
            loop {
                let (client, _) = listener.accept().await.unwrap();
                if !accepting.refuses.load(Ordering::Relaxed) {
                    accepting.made.fetch_add(1, Ordering::Relaxed);
                    tokio::spawn(Arc::clone(&accepting).carry(client));
                }
            }
        });
        Self { port, state, task }
    }

    pub fn port(&self) -> u16 {
        self.port
    }

    /// Breaks all connections.
    pub fn cut(&self) {
        self.state.cuts.send_modify(|cuts| *cuts += 1);
    }

    /// Whether nothing gets through, and nobody is told.
    pub fn hold(&self, held: bool) {
        self.state.held.send_replace(held);
    }

    /// Loses one answer of so many, with its connection.
    pub fn lose(&self, one_of: u64) {
        self.state.lost.store(one_of, Ordering::Relaxed);
    }

    /// Lets a half of one request of so many through, and then breaks its connection.
    pub fn halve(&self, one_of: u64) {
        self.state.halved.store(one_of, Ordering::Relaxed);
    }

    pub fn delay(&self, each: Duration) {
        self.state.delay.store(u64::try_from(each.as_millis()).unwrap(), Ordering::Relaxed);
    }

    /// Whether new connections are closed at once.
    pub fn refuse(&self, refuses: bool) {
        self.state.refuses.store(refuses, Ordering::Relaxed);
    }

    /// Connections that were made up to now.
    pub fn made(&self) -> usize {
        self.state.made.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
        self.cut();
    }
}

/// Where a piece goes.
#[derive(Clone, Copy)]
enum Direction {
    Request,
    Answer,
}

impl State {
    async fn carry(self: Arc<Self>, client: TcpStream) {
        let mut cuts = self.cuts.subscribe();
        let Ok(server) = TcpStream::connect(("127.0.0.1", self.target)).await else { return };
        client.set_nodelay(true).unwrap();
        server.set_nodelay(true).unwrap();
        let (from_client, to_client) = client.into_split();
        let (from_server, to_server) = server.into_split();
        tokio::select! {
            _ = cuts.changed() => {}
            () = self.pass(from_client, to_server, Direction::Request) => {}
            () = self.pass(from_server, to_client, Direction::Answer) => {}
        }
    }

    async fn pass(
        &self,
        mut from: tokio::net::tcp::OwnedReadHalf,
        mut to: tokio::net::tcp::OwnedWriteHalf,
        direction: Direction,
    ) {
        let breaks = match direction {
            Direction::Request => &self.halved,
            Direction::Answer => &self.lost,
        };
        let (mut piece, mut held) = (vec![0; 64 * 1024], self.held.subscribe());
        loop {
            let Ok(length @ 1..) = from.read(&mut piece).await else { return };
            held.wait_for(|held| !held).await.unwrap();
            match self.delay.load(Ordering::Relaxed) {
                0 => {}
                delay => tokio::time::sleep(Duration::from_millis(delay)).await,
            }
            let one_of = breaks.load(Ordering::Relaxed);
            let count = self.pieces.fetch_add(1, Ordering::Relaxed);
            let is_broken = one_of > 0 && count.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32 < (1 << 32) / one_of;
            let length = match (is_broken, direction) {
                (false, _) => length,
                (true, Direction::Answer) => 0,
                (true, Direction::Request) => length / 2,
            };
            if to.write_all(&piece[..length]).await.is_err() || is_broken {
                return;
            }
        }
    }
}
