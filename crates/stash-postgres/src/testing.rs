//! A PostgreSQL server for tests, on a free port of 127.0.0.1 with its data in a temporary folder. It must end with the test,
//! however that ends: a watchman stops it as soon as the test's process is gone.
//!
//! Whoever calls these functions is a test: they panic where something cannot be done.

#![allow(clippy::expect_used, clippy::panic, clippy::missing_panics_doc)]

use std::fs;
use std::io::Write as _;
use std::net::TcpListener;
use std::os::unix::fs::{PermissionsExt as _, chown, symlink};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// How long a server may take to start or to stop.
const PATIENCE: Duration = Duration::from_mins(1);

/// A server of the test's own.
pub struct TestServer {
    programs: PathBuf,
    folder: TempDir,
    port: u16,
    user: Option<(u32, u32)>,
    running: Option<Child>,
    schemas: AtomicUsize,
}

impl TestServer {
    /// Makes and starts a server whose settings are PostgreSQL's own, and so durable. `None`, with a line that says so, where
    /// the programs are missing.
    ///
    /// # Panics
    /// Where they are missing and `CI` is set, and where the server does not start.
    pub fn start() -> Option<Self> {
        Self::start_with("")
    }

    /// The same, with more lines in its `postgresql.conf`.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_with(settings: &str) -> Option<Self> {
        Self::start_in(settings, None)
    }

    /// The same, with its data in this folder instead of the fastest one that is thrown away.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    pub fn start_in(settings: &str, within: Option<&Path>) -> Option<Self> {
        let Some(programs) = programs() else {
            assert!(std::env::var_os("CI").is_none(), "PostgreSQL's initdb is missing: install it, or set PG_BIN");
            let _ = writeln!(std::io::stderr(), "skipped: tests on PostgreSQL, because its initdb is not installed");
            return None;
        };
        let mut server = Self::in_folder(programs, within);
        let data = server.data();
        let arguments = ["-A", "trust", "-U", "stash", "-E", "UTF8", "--locale=C", "--no-sync", "-D"];
        let made = server.command("initdb").args(arguments).arg(&data).output().expect("initdb runs");
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        let own = format!(
            "listen_addresses = '127.0.0.1'\nport = {}\nunix_socket_directories = ''\nmax_connections = 200\n\
             shared_buffers = 64MB\ndynamic_shared_memory_type = mmap\n{settings}\n",
            server.port
        );
        server.configure(&own);
        server.run();
        Some(server)
    }

    /// A server with nothing in its folder yet.
    fn in_folder(programs: PathBuf, within: Option<&Path>) -> Self {
        // Where fsync costs nothing, the tests are quicker, and the server does all that it does elsewhere.
        let in_memory = Path::new("/dev/shm");
        let mut builder = tempfile::Builder::new();
        let builder = builder.prefix("stash-postgres-");
        let folder = match within {
            Some(within) => builder.tempdir_in(within),
            None if in_memory.is_dir() => builder.tempdir_in(in_memory).or_else(|_| builder.tempdir()),
            None => builder.tempdir(),
        };
        let folder = folder.expect("a temporary folder");
        let user = other_user();
        let port = TcpListener::bind("127.0.0.1:0").and_then(|it| it.local_addr()).expect("a free port").port();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o700)).expect("a folder of ours");
        if let Some((user, group)) = user {
            chown(folder.path(), Some(user), Some(group)).expect("a folder for the server's user");
        }
        Self { programs, folder, port, user, running: None, schemas: AtomicUsize::new(0) }
    }

    /// A server on a copy of the files as they are at this moment, as if this one's machine had failed.
    #[must_use]
    pub fn crashed(&self) -> Self {
        let mut copy = Self::in_folder(self.programs.clone(), self.folder.path().parent());
        self.freeze();
        let copied = self.command_of(Path::new("cp")).arg("-a").arg(self.data()).arg(copy.data()).status();
        self.thaw();
        assert!(copied.expect("cp runs").success(), "the files cannot be copied");
        fs::remove_file(copy.data().join("postmaster.pid")).expect("what says that it runs");
        copy.configure(&format!("port = {}", copy.port));
        copy.run();
        copy
    }

    /// The URL of its database, as its superuser, with a `?` and no parameters.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same at another port, such as a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://stash@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    /// The URL with a schema that no other call has been given.
    pub fn fresh_url(&self) -> String {
        format!("{}&schema={}", self.url(), self.fresh_schema())
    }

    /// The name of a schema that no other call has been given.
    pub fn fresh_schema(&self) -> String {
        format!("s{}", self.schemas.fetch_add(1, Ordering::Relaxed))
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Its data.
    pub fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    /// Adds lines to its settings, which count from its next start.
    pub fn configure(&self, lines: &str) {
        let path = self.data().join("postgresql.conf");
        let mut file = fs::OpenOptions::new().append(true).open(path).expect("its settings");
        writeln!(file, "{lines}").expect("its settings are written");
    }

    /// Starts it again, and waits until it can be asked.
    pub fn run(&mut self) {
        assert!(self.running.is_none(), "it runs already");
        // The watchman reads until he is told, or the test ends whatever way, and then leaves nothing.
        let script = "\"$0\" -D \"$1/data\" >\"$1/log\" 2>&1 & server=$!; read -r word; kill -QUIT $server; \
                      wait $server; [ \"$word\" = keep ] || rm -rf \"$1\"";
        let mut command = self.command_of(Path::new("/bin/sh"));
        command.arg("-c").arg(script).arg(self.programs.join("postgres")).arg(self.folder.path());
        let child = command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn();
        self.running = Some(child.expect("the server's programs run"));
        let deadline = Instant::now() + PATIENCE;
        while !self.is_ready() {
            assert!(Instant::now() < deadline, "the server does not start: {}", self.log());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Ends it as a power cut of its processes would, and waits until all of them are gone.
    pub fn kill(&mut self) {
        let mut processes = self.children();
        processes.extend(self.postmaster());
        signal("KILL", &processes);
        self.gone(&processes);
    }

    /// Shuts it down in order: what is under way is broken off.
    pub fn stop(&mut self) {
        let mut processes = self.children();
        processes.extend(self.postmaster());
        signal("INT", &self.postmaster().into_iter().collect::<Vec<_>>());
        self.gone(&processes);
    }

    /// Stops all its processes where they are, until [`thaw`](Self::thaw).
    pub fn freeze(&self) {
        // The one that starts others first.
        signal("STOP", &self.postmaster().into_iter().collect::<Vec<_>>());
        signal("STOP", &self.children());
    }

    /// Lets its processes go on.
    pub fn thaw(&self) {
        let mut processes = self.children();
        processes.extend(self.postmaster());
        signal("CONT", &processes);
    }

    /// What it has logged since its last start.
    pub fn log(&self) -> String {
        fs::read_to_string(self.log_path()).unwrap_or_default()
    }

    fn log_path(&self) -> PathBuf {
        self.folder.path().join("log")
    }

    fn gone(&mut self, processes: &[u32]) {
        let deadline = Instant::now() + PATIENCE;
        while processes.iter().any(|process| is_alive(*process)) {
            assert!(Instant::now() < deadline, "the server does not end");
            std::thread::sleep(Duration::from_millis(5));
        }
        if let Some(mut child) = self.running.take() {
            if let Some(mut ear) = child.stdin.take() {
                writeln!(ear, "keep").expect("its watchman hears");
            }
            child.wait().expect("its watchman ends");
        }
    }

    fn is_ready(&self) -> bool {
        let port = self.port.to_string();
        let mut command = self.command("pg_isready");
        command.args(["-q", "-h", "127.0.0.1", "-d", "postgres", "-p", &port]);
        command.status().is_ok_and(|status| status.success())
    }

    fn postmaster(&self) -> Option<u32> {
        let text = fs::read_to_string(self.data().join("postmaster.pid")).ok()?;
        text.lines().next()?.trim().parse().ok()
    }

    fn children(&self) -> Vec<u32> {
        let Some(parent) = self.postmaster() else { return Vec::new() };
        let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).unwrap_or_default();
        text.split_whitespace().filter_map(|process| process.parse().ok()).collect()
    }

    fn command(&self, program: &str) -> Command {
        self.command_of(&self.programs.join(program))
    }

    fn command_of(&self, program: &Path) -> Command {
        let mut command = Command::new(program);
        command.current_dir(self.folder.path()).env("LC_ALL", "C").stdin(Stdio::null());
        if let Some((user, group)) = self.user {
            command.uid(user).gid(group);
        }
        command
    }
}

impl Drop for TestServer {
    fn drop(&mut self) {
        self.thaw();
        if let Some(mut child) = self.running.take() {
            drop(child.stdin.take());
            let _ = child.wait();
        }
    }
}

/// Whether a process runs; one that has ended and is not waited for does not.
fn is_alive(process: u32) -> bool {
    let status = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
    status.rsplit(')').next().is_some_and(|rest| !rest.is_empty() && !rest.trim_start().starts_with('Z'))
}

fn signal(name: &str, processes: &[u32]) {
    if !processes.is_empty() {
        let names = processes.iter().map(u32::to_string);
        let _ = Command::new("kill").arg(format!("-{name}")).args(names).stderr(Stdio::null()).status();
    }
}

/// Where PostgreSQL's programs are: `$PG_BIN`, the newest of the usual places, or the folder of `initdb` on the path.
fn programs() -> Option<PathBuf> {
    let named = std::env::var_os("PG_BIN").map(PathBuf::from);
    let mut places: Vec<PathBuf> = named.into_iter().collect();
    for parent in ["/usr/lib/postgresql", "/opt/homebrew/opt", "/usr/local/opt"] {
        let versions = fs::read_dir(parent).into_iter().flatten().flatten().map(|entry| entry.path().join("bin"));
        let mut versions: Vec<_> = versions.collect();
        versions.sort();
        places.extend(versions.into_iter().rev());
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    places.extend(std::env::split_paths(&path));
    places.into_iter().find(|place| place.join("initdb").is_file() && place.join("postgres").is_file())
}

/// Another user to run it as, where we are root, as which it does not run.
fn other_user() -> Option<(u32, u32)> {
    use std::os::unix::fs::MetadataExt as _;
    let is_root = fs::metadata("/proc/self").is_ok_and(|process| process.uid() == 0);
    if !is_root {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("the list of users");
    let find = |name: &str| {
        let line = users.lines().find(|line| line.split(':').next() == Some(name))?;
        let mut fields = line.split(':').skip(2);
        Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
    };
    let user = find("postgres").or_else(|| find("nobody"));
    Some(user.expect("a user `postgres` or `nobody`, because PostgreSQL does not run as root"))
}

impl TestServer {
    /// A standby of this server, which follows it.
    #[must_use]
    pub fn standby(&self) -> Self {
        let mut copy = Self::in_folder(self.programs.clone(), self.folder.path().parent());
        let from = format!("host=127.0.0.1 port={} user=stash", self.port);
        let mut command = self.command("pg_basebackup");
        command.args(["--write-recovery-conf", "--checkpoint=fast", "--wal-method=stream", "-d", &from, "-D"]);
        let made = command.arg(copy.data()).output().expect("pg_basebackup runs");
        assert!(made.status.success(), "pg_basebackup: {}", String::from_utf8_lossy(&made.stderr));
        copy.configure(&format!("port = {}", copy.port));
        copy.run();
        copy
    }

    /// Lets nobody but its superuser in without a password, from when its settings are read again.
    pub fn demand_passwords(&self) {
        let rules = "host all stash 127.0.0.1/32 trust\nhost all all 127.0.0.1/32 scram-sha-256\n";
        fs::write(self.data().join("pg_hba.conf"), rules).expect("its rules are written");
    }

    /// Lets it encrypt with this certificate and key, from when its settings are read again.
    pub fn encrypt(&self, certificate: &Path, key: &Path) {
        for (from, name, mode) in [(certificate, "server.crt", 0o644), (key, "server.key", 0o600)] {
            let to = self.data().join(name);
            fs::copy(from, &to).expect("a copy");
            fs::set_permissions(&to, fs::Permissions::from_mode(mode)).expect("a file of ours");
            if let Some((user, group)) = self.user {
                chown(&to, Some(user), Some(group)).expect("a file for the server's user");
            }
        }
        self.configure("ssl = on");
    }

    /// Moves its write-ahead log to a folder that is not there yet; to be called while it does not run.
    pub fn keep_log_in(&self, folder: &Path) {
        let here = self.data().join("pg_wal");
        let copied = self.command_of(Path::new("cp")).arg("-a").arg(&here).arg(folder).status();
        assert!(copied.expect("cp runs").success(), "the log cannot be copied");
        fs::remove_dir_all(&here).expect("the log is removed");
        symlink(folder, &here).expect("a link to the log");
    }

    /// Makes a standby the server that takes writes.
    pub fn promote(&self) {
        let done = self.command("pg_ctl").args(["promote", "-w", "-D"]).arg(self.data()).output().expect("pg_ctl runs");
        assert!(done.status.success(), "pg_ctl promote: {}", String::from_utf8_lossy(&done.stderr));
    }
}

/// A disk with little room: a file system in memory, which only root may mount.
pub struct SmallDisk {
    folder: TempDir,
}

impl SmallDisk {
    /// Mounts one of so many MiB that belongs to the server's user. `None`, with a line that says so, where that is not
    /// allowed.
    pub fn mount(mebibytes: usize) -> Option<Self> {
        let folder = tempfile::Builder::new().prefix("stash-disk-").tempdir().expect("a temporary folder");
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o755)).expect("a folder of ours");
        let size = format!("size={mebibytes}m,mode=0755");
        let mounted = Command::new("mount").args(["-t", "tmpfs", "-o", &size, "tmpfs"]).arg(folder.path()).output();
        if !mounted.is_ok_and(|mounted| mounted.status.success()) {
            let _ = writeln!(std::io::stderr(), "skipped: a full disk, because only root may mount a small one");
            return None;
        }
        let disk = Self { folder };
        fs::create_dir(disk.space()).expect("a folder on it");
        if let Some((user, group)) = other_user() {
            chown(disk.space(), Some(user), Some(group)).expect("a folder for the server's user");
        }
        Some(disk)
    }

    /// An empty folder on it, which belongs to the server's user.
    pub fn space(&self) -> PathBuf {
        self.folder.path().join("space")
    }

    /// Leaves no room.
    pub fn fill(&self) {
        let mut file = fs::File::create(self.filling()).expect("a file");
        let piece = vec![1; 1 << 16];
        while file.write_all(&piece).is_ok() {}
    }

    /// Gives the room back.
    pub fn free(&self) {
        fs::remove_file(self.filling()).expect("what fills it");
    }

    fn filling(&self) -> PathBuf {
        self.folder.path().join("filling")
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(self.folder.path()).status();
    }
}
