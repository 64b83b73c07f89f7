//! Starting etcd for tests: members on free loopback ports, with their data in a temporary folder. It must end what it has
//! started, whatever becomes of the test, and nothing else.

// A helper of tests: panicking is how it says no.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::time::{Duration, Instant};

use bytes::Bytes;
use tempfile::TempDir;

use crate::client::{Client, Repeat};
use crate::keys;
use crate::nest::nested;
use crate::proto::{Compare, RangeRequest, RangeResponse, TxnRequest, TxnResponse, path};
use crate::url::Target;

/// Starts a program, says its number, and ends it when nobody holds the other end of the pipe any more: also when the test
/// is killed.
const WATCHED: &str =
    r#""$@" >/dev/null & child=$!; echo $child; read -r end; kill -9 $child; wait $child 2>/dev/null"#;
/// How long members may take to find each other.
const START: Duration = Duration::from_mins(1);
/// Times that free ports are looked for: another process may take one in between.
const TRIES: usize = 5;

/// How members are started.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// How many; 0 is 1.
    pub members: usize,
    /// Options of etcd beside the necessary ones.
    pub options: Vec<String>,
    /// Certificate, key and authority of members for TLS, with `127.0.0.1` in the certificate.
    pub tls: Option<(PathBuf, PathBuf, PathBuf)>,
    /// Keeps the data in memory where the system has a place for that (`/dev/shm`): three members that wait for one disk take
    /// minutes for what is no test of the disk.
    pub in_memory: bool,
}

/// An etcd of one or more members, which ends with this.
pub struct EtcdCluster {
    members: Vec<Member>,
    setup: Setup,
    /// The members' data and what they print.
    folder: TempDir,
}

struct Member {
    client: u16,
    peer: u16,
    metrics: u16,
    running: Option<Running>,
}

struct Running {
    watcher: Child,
    /// What keeps it running.
    _pipe: ChildStdin,
    /// The number of etcd itself.
    id: String,
}

impl Drop for Running {
    fn drop(&mut self) {
        signal("-KILL", &self.id);
        // The watcher is ended by the pipe, and by etcd's end.
        let _ = self.watcher.stdin.take();
        let _ = self.watcher.kill();
        let _ = self.watcher.wait();
    }
}

fn signal(signal: &str, id: &str) {
    let _ = Command::new("kill").args([signal, id]).stderr(Stdio::null()).status();
}

fn program(name: &str) -> String {
    // Another version than the one in the path.
    std::env::var(name.to_uppercase()).unwrap_or_else(|_| name.to_owned())
}

/// Why there is nothing to test with, printed; an error where tests must be complete.
fn skip(what: &str, why: &str) {
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{what} cannot be tested: {why}");
    println!("skipped: {what}, because {why}");
}

impl EtcdCluster {
    /// Starts one member, or says that `what` is skipped because there is no etcd.
    pub fn one(what: &str) -> Option<Self> {
        Self::start(what, Setup::default())
    }

    /// Starts members, or says that `what` is skipped because there is no etcd.
    pub fn start(what: &str, setup: Setup) -> Option<Self> {
        if Command::new(program("etcd")).arg("--version").stdout(Stdio::null()).stderr(Stdio::null()).status().is_err()
        {
            skip(what, "the program etcd was not found; install etcd 3.4 or newer");
            return None;
        }
        for _ in 0..TRIES {
            let mut cluster = Self::new(&setup);
            if cluster.spawn_all() {
                return Some(cluster);
            }
            println!("etcd did not start; trying other ports\n{}", cluster.printed());
        }
        panic!("etcd does not start");
    }

    /// Members that do not run yet.
    fn new(setup: &Setup) -> Self {
        let ports = free_ports(setup.members.max(1) * 3);
        let members =
            ports.chunks(3).map(|ports| Member { client: ports[0], peer: ports[1], metrics: ports[2], running: None });
        let memory = setup.in_memory.then(|| tempfile::tempdir_in("/dev/shm").ok()).flatten();
        let folder = memory.unwrap_or_else(|| tempfile::tempdir().unwrap());
        Self { members: members.collect(), setup: setup.clone(), folder }
    }

    fn spawn_all(&mut self) -> bool {
        for member in 0..self.members.len() {
            self.spawn(member);
        }
        self.wait_until_ready()
    }

    fn spawn(&mut self, at: usize) {
        let scheme = if self.setup.tls.is_some() { "https" } else { "http" };
        let member = &self.members[at];
        let url = |scheme: &str, port: u16| format!("{scheme}://127.0.0.1:{port}");
        let cluster: Vec<_> =
            self.members.iter().enumerate().map(|(n, member)| format!("m{n}={}", url("http", member.peer))).collect();
        let log =
            File::options().create(true).append(true).open(self.folder.path().join(format!("m{at}.log"))).unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", WATCHED, "sh", &program("etcd")]);
        command.args(["--name", &format!("m{at}")]);
        command.arg("--data-dir").arg(self.folder.path().join(format!("m{at}")));
        command.args(["--listen-client-urls", &url(scheme, member.client)]);
        command.args(["--advertise-client-urls", &url(scheme, member.client)]);
        command.args(["--listen-peer-urls", &url("http", member.peer)]);
        command.args(["--initial-advertise-peer-urls", &url("http", member.peer)]);
        command.args(["--initial-cluster", &cluster.join(",")]);
        command.args(["--listen-metrics-urls", &url("http", member.metrics)]);
        if let Some((certificate, key, ca)) = &self.setup.tls {
            command.arg("--cert-file").arg(certificate).arg("--key-file").arg(key);
            command.arg("--trusted-ca-file").arg(ca).arg("--client-cert-auth");
        }
        command.args(&self.setup.options);
        let mut watcher = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(log).spawn().unwrap();
        let mut id = String::new();
        BufReader::new(watcher.stdout.take().unwrap()).read_line(&mut id).unwrap();
        let pipe = watcher.stdin.take().unwrap();
        self.members[at].running = Some(Running { watcher, _pipe: pipe, id: id.trim().to_owned() });
    }

    /// Waits until all members that run have a leader.
    pub fn wait_until_ready(&self) -> bool {
        let deadline = Instant::now() + START;
        let healthy = |member: &Member| http_get(member.metrics, "/health").contains("\"health\":\"true\"");
        while Instant::now() < deadline {
            if self.members.iter().filter(|member| member.running.is_some()).all(healthy) {
                return true;
            }
            let is_over = |member: &Member| {
                member.running.as_ref().is_some_and(|it| !Path::new(&format!("/proc/{}", it.id)).exists())
            };
            if Path::new("/proc/self").exists() && self.members.iter().any(is_over) {
                return false;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        false
    }

    /// The URL of a store in it.
    pub fn url(&self, prefix: &str) -> String {
        format!("etcd://{}/{prefix}", self.addresses().join(","))
    }

    /// `host:port` of each member.
    pub fn addresses(&self) -> Vec<String> {
        self.members.iter().map(|member| format!("127.0.0.1:{}", member.client)).collect()
    }

    /// Which member leads the others; `None` while none does.
    pub fn leader(&self) -> Option<usize> {
        let leads = |member: &Member| {
            member.running.is_some() && http_get(member.metrics, "/metrics").contains("\netcd_server_is_leader 1\n")
        };
        self.members.iter().position(leads)
    }

    /// Ends a member at once, as a power cut does.
    pub fn kill(&mut self, member: usize) {
        self.members[member].running = None;
    }

    /// Starts a member that was ended, with the data that it had, and waits for it.
    pub fn restart(&mut self, member: usize) {
        self.spawn(member);
        assert!(self.wait_until_ready(), "it does not start again\n{}", self.printed());
    }

    /// Starts a copy of an etcd of one member, with what that has on its disk now; both go on.
    #[must_use]
    pub fn copy(&self) -> Self {
        assert_eq!(self.members.len(), 1, "one of several members may not have all that was answered");
        for _ in 0..TRIES {
            let mut copy = Self::new(&self.setup);
            // Files that nobody writes to.
            self.freeze(0);
            copy_folder(&self.folder.path().join("m0"), &copy.folder.path().join("m0"));
            self.thaw(0);
            if copy.spawn_all() {
                return copy;
            }
            println!("the copy of etcd did not start; trying other ports\n{}", copy.printed());
        }
        panic!("a copy of etcd does not start");
    }

    /// Stops a member: its connections stay, and nothing is answered.
    pub fn freeze(&self, member: usize) {
        self.signal(member, "-STOP");
    }

    /// Lets a stopped member go on.
    pub fn thaw(&self, member: usize) {
        self.signal(member, "-CONT");
    }

    fn signal(&self, member: usize, name: &str) {
        if let Some(running) = &self.members[member].running {
            signal(name, &running.id);
        }
    }

    /// Runs `etcdctl` on the first member, and gives what it prints; `None`, said, where there is none.
    pub fn etcdctl(&self, what: &str, arguments: &[&str]) -> Option<String> {
        let mut command = Command::new(program("etcdctl"));
        command.env("ETCDCTL_API", "3").args(["--endpoints", &self.addresses()[0]]).args(arguments);
        match command.output() {
            Ok(output) => {
                let printed = [&output.stdout[..], &output.stderr].concat();
                Some(String::from_utf8_lossy(&printed).into_owned())
            }
            Err(_) => {
                skip(what, "the program etcdctl was not found; install it beside etcd");
                None
            }
        }
    }

    fn printed(&self) -> String {
        let log = |n: usize| std::fs::read_to_string(self.folder.path().join(format!("m{n}.log"))).unwrap_or_default();
        let last = |text: String| text.lines().rev().take(5).map(str::to_owned).collect::<Vec<_>>().join("\n");
        (0..self.members.len()).map(|n| last(log(n))).collect::<Vec<_>>().join("\n---\n")
    }
}

/// The calls of etcd by hand, on one open connection: what a program without Stash would do. For measurements.
pub struct Plain(Client);

impl Plain {
    /// A connection to what a URL names. To be called within a runtime.
    pub fn connect(url: &str) -> Self {
        Self(Client::new(&Target::parse(url).unwrap(), Duration::from_mins(1)).unwrap())
    }

    async fn txn(&self, txn: TxnRequest) -> TxnResponse {
        self.0.call(path::TXN, &txn, Repeat::MustNot).await.unwrap()
    }

    /// The value of a key.
    pub async fn get(&self, key: &str) -> Option<Bytes> {
        let answer: RangeResponse = self.0.call(path::RANGE, &keys::get(text(key), 0), Repeat::May).await.unwrap();
        answer.kvs.into_iter().next().map(|kv| kv.value)
    }

    /// Sets keys, in one transaction.
    pub async fn put(&self, entries: &[(String, Bytes)]) {
        let ops = entries.iter().map(|(key, value)| keys::put(text(key), value.clone())).collect();
        let answer = self.txn(keys::if_all(Vec::new(), nested(ops, 128, 0))).await;
        assert!(answer.succeeded);
    }

    /// Looks at a key and sets it if nobody was faster, and another one with it.
    pub async fn compare_and_put(&self, key: &str, value: &Bytes, beside: &str) {
        loop {
            let found: RangeResponse = self.0.call(path::RANGE, &keys::get(text(key), 0), Repeat::May).await.unwrap();
            let version = found.kvs.first().map_or(0, |kv| kv.version);
            let puts = vec![keys::put(text(key), value.clone()), keys::put(text(beside), value.clone())];
            if self.txn(keys::if_all(vec![Compare::version(text(key), version)], puts)).await.succeeded {
                return;
            }
        }
    }

    /// So many keys and values from the first with a prefix on.
    pub async fn page(&self, prefix: &str, limit: i64) -> Vec<(Bytes, Bytes)> {
        self.page_from(prefix, prefix, limit).await
    }

    /// The same from a key on that has the prefix.
    pub async fn page_from(&self, start: &str, prefix: &str, limit: i64) -> Vec<(Bytes, Bytes)> {
        let all = keys::range(keys::prefixed(&text(prefix)), 0);
        let range = RangeRequest { key: text(start), ..all };
        let answer: RangeResponse =
            self.0.call(path::RANGE, &RangeRequest { limit, ..range }, Repeat::May).await.unwrap();
        answer.kvs.into_iter().map(|kv| (kv.key, kv.value)).collect()
    }
}

fn text(key: &str) -> Bytes {
    Bytes::copy_from_slice(key.as_bytes())
}

fn copy_folder(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copied = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            copy_folder(&entry.path(), &copied);
        } else {
            std::fs::copy(entry.path(), copied).unwrap();
        }
    }
}

fn free_ports(count: usize) -> Vec<u16> {
    // All are held until all are known, so that they differ.
    let listeners: Vec<_> = (0..count).map(|_| TcpListener::bind("127.0.0.1:0").unwrap()).collect();
    listeners.iter().map(|listener| listener.local_addr().unwrap().port()).collect()
}

/// The answer to a request, or nothing.
fn http_get(port: u16, path: &str) -> String {
    let ask = || -> std::io::Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(Duration::from_secs(2)))?;
        write!(stream, "GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    ask().unwrap_or_default()
}
