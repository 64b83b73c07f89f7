//! Servers for tests: real ones, on free ports of this machine, with their data in a folder that goes with them. Nothing of
//! them may be left when a test ends, however it ends.

// What only tests call.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener as AsyncListener, TcpStream};
use tokio::sync::watch;

/// What makes `Ok` durable.
pub const DURABLE: &[&str] = &["--appendonly", "yes", "--appendfsync", "always", "--save", ""];

/// How long a server may take to start.
const START: Duration = Duration::from_secs(20);

/// A `redis-server` that ends with this.
#[derive(Debug)]
pub struct TestServer {
    port: u16,
    arguments: Vec<String>,
    folder: TempDir,
    running: Mutex<Option<Running>>,
}

#[derive(Debug)]
struct Running {
    /// A shell that ends the server when its input ends, as it does when the test's process does.
    shell: Child,
    server: u32,
}

impl TestServer {
    /// Starts one with these arguments. `None` where there is no `redis-server` on this machine, which is printed; with
    /// `CI=true` that is a failure.
    pub fn start(arguments: &[&str]) -> Option<Self> {
        // In memory, where there is a place for that: the server is killed and not the machine, so what it has written is
        // there all the same.
        let memory = Path::new("/dev/shm");
        if memory.is_dir() {
            Self::start_in(memory, arguments)
        } else {
            Self::start_in(&std::env::temp_dir(), arguments)
        }
    }

    /// The same with its files in this folder.
    pub fn start_in(base: &Path, arguments: &[&str]) -> Option<Self> {
        if Command::new("redis-server").arg("--version").stdout(Stdio::null()).status().is_err() {
            let why = "there is no redis-server here: install Redis 7 or later";
            assert!(std::env::var("CI").as_deref() != Ok("true"), "{why}");
            println!("skipped: a test with a Redis server, because {why}");
            return None;
        }
        let arguments: Vec<String> = arguments.iter().map(|&argument| argument.to_owned()).collect();
        for _ in 0..5 {
            let folder = tempfile::tempdir_in(base).unwrap();
            let server = Self { port: free_port(), arguments: arguments.clone(), folder, running: Mutex::new(None) };
            // Somebody else may take the port in between.
            if server.run() {
                return Some(server);
            }
        }
        panic!("redis-server does not start");
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Where its files are.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The URL of the store with this prefix in it.
    pub fn url(&self, prefix: &str) -> String {
        format!("redis://127.0.0.1:{}?prefix={prefix}", self.port)
    }

    /// Starts it again, with its data, where it was killed.
    pub fn restart(&self) {
        assert!(self.run(), "redis-server does not start again");
    }

    fn run(&self) -> bool {
        let script = "redis-server \"$@\" >>log 2>&1 & echo $!; read wait; kill -9 $! 2>/dev/null; wait";
        let mut shell = Command::new("sh")
            .args(["-c", script, "sh", "--port", &self.port.to_string(), "--bind", "127.0.0.1"])
            .args(["--dir", "./", "--daemonize", "no"])
            .args(&self.arguments)
            .current_dir(self.folder.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(shell.stdout.take().unwrap()).read_line(&mut line).unwrap();
        *self.running.lock() = Some(Running { shell, server: line.trim().parse().unwrap() });
        let deadline = Instant::now() + START;
        while Instant::now() < deadline {
            if matches!(self.ask(&["PING"]), Ok(redis::Value::SimpleString(pong)) if pong == "PONG") {
                return true;
            }
            let log = std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default();
            if log.contains("Failed listening") || log.contains("Can't open") {
                break;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        self.kill();
        false
    }

    /// Ends it as a power cut would, but for what the system has yet to write to the disk.
    pub fn kill(&self) {
        if let Some(mut running) = self.running.lock().take() {
            self.signal_to("-KILL", running.server);
            drop(running.shell.stdin.take());
            running.shell.wait().unwrap();
        }
    }

    /// Sends it a signal, such as `-STOP` and `-CONT`.
    pub fn signal(&self, signal: &str) {
        let server = self.running.lock().as_ref().map(|running| running.server);
        self.signal_to(signal, server.expect("it runs"));
    }

    #[allow(clippy::unused_self)]
    fn signal_to(&self, signal: &str, server: u32) {
        Command::new("kill").args([signal, &server.to_string()]).stderr(Stdio::null()).status().unwrap();
    }

    /// Its answer to a command.
    pub fn ask(&self, command: &[&str]) -> redis::RedisResult<redis::Value> {
        let client = redis::Client::open(("127.0.0.1", self.port))?;
        let mut connection = client.get_connection_with_timeout(Duration::from_secs(1))?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        let mut asked = redis::cmd(command[0]);
        asked.arg(&command[1..]);
        asked.query(&mut connection)
    }

    /// The same, as a text of numbers and words.
    pub fn tell(&self, command: &[&str]) -> String {
        let answer = self.ask(command).unwrap();
        redis::from_redis_value::<String>(answer.clone()).unwrap_or_else(|_| format!("{answer:?}"))
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.kill();
    }
}

/// A cluster of primaries.
#[derive(Debug)]
pub struct TestCluster {
    /// Its nodes.
    pub nodes: Vec<TestServer>,
}

impl TestCluster {
    /// Starts one with so many nodes. `None` as with [`TestServer::start`].
    pub fn start(nodes: u16, arguments: &[&str]) -> Option<Self> {
        let mut started = Vec::new();
        for _ in 0..nodes {
            let bus = free_port().to_string();
            let of_cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
            let node = TestServer::start(&[&of_cluster[..], arguments].concat())?;
            started.push((node, bus));
        }
        let step = 16384 / nodes;
        for (n, (node, _)) in (0..nodes).zip(&started) {
            let last = if n + 1 == nodes { 16383 } else { (n + 1) * step - 1 };
            node.tell(&["CLUSTER", "SET-CONFIG-EPOCH", &(n + 1).to_string()]);
            node.tell(&["CLUSTER", "ADDSLOTSRANGE", &(n * step).to_string(), &last.to_string()]);
        }
        let first = &started[0].0;
        for (node, bus) in &started[1..] {
            first.tell(&["CLUSTER", "MEET", "127.0.0.1", &node.port().to_string(), bus]);
        }
        let deadline = Instant::now() + START;
        let is_ready = |node: &TestServer| {
            let info = node.tell(&["CLUSTER", "INFO"]);
            info.contains("cluster_state:ok") && info.contains(&format!("cluster_known_nodes:{nodes}"))
        };
        while !started.iter().all(|(node, _)| is_ready(node)) {
            assert!(Instant::now() < deadline, "the cluster does not come up");
            std::thread::sleep(Duration::from_millis(20));
        }
        Some(Self { nodes: started.into_iter().map(|(node, _)| node).collect() })
    }

    /// Starts a replica of a node, and waits until it has what the node has.
    pub fn add_replica(&self, node: &TestServer, arguments: &[&str]) -> TestServer {
        let bus = free_port().to_string();
        let of_cluster = ["--cluster-enabled", "yes", "--cluster-port", &bus, "--cluster-node-timeout", "2000"];
        let quick = ["--repl-diskless-sync-delay", "0"];
        let replica = TestServer::start(&[&of_cluster[..], &quick, arguments].concat()).unwrap();
        self.nodes[0].tell(&["CLUSTER", "MEET", "127.0.0.1", &replica.port().to_string(), &bus]);
        let id = node.tell(&["CLUSTER", "MYID"]);
        let own = replica.tell(&["CLUSTER", "MYID"]);
        let deadline = Instant::now() + START;
        let waiting = |is_ready: &dyn Fn() -> bool| {
            while !is_ready() {
                assert!(Instant::now() < deadline, "the replica does not come up");
                std::thread::sleep(Duration::from_millis(20));
            }
        };
        waiting(&|| replica.tell(&["CLUSTER", "NODES"]).contains(&id));
        replica.tell(&["CLUSTER", "REPLICATE", &id]);
        waiting(&|| replica.tell(&["INFO", "replication"]).contains("master_link_status:up"));
        // Each must know of it, or would not let it take over.
        waiting(&|| self.nodes.iter().all(|node| node.tell(&["CLUSTER", "NODES"]).contains(&own)));
        replica
    }

    /// The URL of the store with this prefix in it.
    pub fn url(&self, prefix: &str) -> String {
        format!("{}&cluster=true", self.nodes[0].url(prefix))
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// What a [`Proxy`] does with what goes through it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Passes it on.
    None,
    /// Passes questions on, and no answers; a connection that has lost one never answers again, as TCP has it.
    Mute,
    /// Passes nothing on.
    Stall,
    /// Cuts connections, and takes no new ones.
    Refuse,
    /// Passes questions on, and cuts the connection instead of passing on the answer.
    CutAnswers,
    /// Passes on one byte of each piece, and cuts the connection.
    Halve,
    /// Passes everything on after this many milliseconds.
    Delay(u64),
}

/// Something between a host and its server that does what bad networks do.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    fault: Arc<watch::Sender<Fault>>,
    connections: Arc<AtomicUsize>,
    task: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port.
    pub async fn start(server: &TestServer) -> Self {
        let listener = AsyncListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let fault = Arc::new(watch::channel(Fault::None).0);
        let connections = Arc::new(AtomicUsize::new(0));
        let (faults, count, port) = (Arc::clone(&fault), Arc::clone(&connections), server.port());
        let task = tokio::spawn(async move {
            loop {
                let Ok((client, _)) = listener.accept().await else { return };
                if *faults.borrow() == Fault::Refuse {
                    continue;
                }
                count.fetch_add(1, Ordering::Relaxed);
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)).await else { continue };
                let (from_client, to_client) = client.into_split();
                let (from_server, to_server) = server.into_split();
                let (ask, answer) = (faults.subscribe(), faults.subscribe());
                tokio::spawn(async move {
                    tokio::select! {
                        () = pass(from_client, to_server, ask, false) => {}
                        () = pass(from_server, to_client, answer, true) => {}
                    }
                });
            }
        });
        Self { address, fault, connections, task }
    }

    /// The URL of the store with this prefix behind it.
    pub fn url(&self, prefix: &str) -> String {
        format!("redis://{}?prefix={prefix}", self.address)
    }

    /// What it does from now on.
    pub fn fault(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// Connections that were made through it so far.
    pub fn connections(&self) -> usize {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Passes on what comes from one side until a fault cuts it.
async fn pass(mut from: OwnedReadHalf, mut to: OwnedWriteHalf, mut faults: watch::Receiver<Fault>, is_answer: bool) {
    let mut piece = vec![0; 1 << 16];
    loop {
        let read = tokio::select! {
            read = from.read(&mut piece) => read,
            _ = faults.wait_for(|fault| *fault == Fault::Refuse) => return,
        };
        let Ok(count @ 1..) = read else { return };
        let fault = *faults.borrow_and_update();
        match (fault, is_answer) {
            (Fault::None, _) | (Fault::Mute | Fault::CutAnswers, false) => {}
            (Fault::Delay(millis), _) => tokio::time::sleep(Duration::from_millis(millis)).await,
            (Fault::Mute, true) => {
                // What comes later must not be taken for the answer that was lost.
                while from.read(&mut piece).await.is_ok_and(|count| count > 0) {}
                return;
            }
            (Fault::Stall, _) => {
                // Until it is over; then what was kept goes on.
                if faults.wait_for(|fault| *fault != Fault::Stall).await.is_err() {
                    return;
                }
            }
            (Fault::Halve, _) => {
                let _ = to.write_all(&piece[..1]).await;
                return;
            }
            (Fault::Refuse, _) | (Fault::CutAnswers, true) => return,
        }
        if to.write_all(&piece[..count]).await.is_err() {
            return;
        }
    }
}
