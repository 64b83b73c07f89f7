//! The servers that are measured, each a process of its own on a free port of the loopback. It must end what it started.

use std::io::{BufRead, BufReader};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result};

/// A server that runs until it is dropped.
pub struct Server {
    child: Child,
    /// Where it listens.
    pub addr: SocketAddr,
}

impl Server {
    /// Starts a command that prints `http://ADDRESS` on standard error when it listens.
    ///
    /// # Errors
    /// Those of starting it, with what it printed in place of an address.
    pub fn start(command: &mut Command) -> Result<Self> {
        let shown = format!("{command:?}");
        let child = command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).spawn();
        let child = child.with_context(|| format!("cannot start {shown}"))?;
        let mut server = Self { child, addr: SocketAddr::from(([127, 0, 0, 1], 0)) };
        let errors = server.child.stderr.take().context("no standard error")?;
        let mut lines = BufReader::new(errors).lines();
        let mut said = Vec::new();
        server.addr = loop {
            let Some(line) = lines.next().transpose()? else {
                anyhow::bail!("{shown} does not serve:\n{}", said.join("\n"));
            };
            let addr = line.split_once("http://").and_then(|(_, rest)| {
                let end = rest.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ':')).unwrap_or(rest.len());
                rest[..end].parse().ok()
            });
            if let Some(addr) = addr {
                break addr;
            }
            said.push(line);
        };
        // What else it prints must not stop it.
        std::thread::spawn(move || lines.for_each(drop));
        Ok(server)
    }

    /// `stash serve` of a component with one key in a durable store.
    ///
    /// # Errors
    /// Those of starting it.
    pub fn stash(program: &Path, guest: &Path, store: &Path, key: &str, value: &str) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--addr", "127.0.0.1:0", "--preset", &format!("default/{key}={value}"), "--store"]);
        command.arg(format!("redb:{}", store.display())).arg(guest);
        Self::start(&mut command)
    }

    /// `wasmtime serve` of a component with one key in memory; of WASI 0.3 where that is asked for, as it makes the rest
    /// slower.
    ///
    /// # Errors
    /// Those of starting it.
    pub fn wasmtime(program: &Path, guest: &Path, wasi_3: bool, key: &str, value: &str) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["serve", "--addr", "127.0.0.1:0", "-Scli", "-Skeyvalue"]);
        if wasi_3 {
            command.args(["-Sp3", "-Wcomponent-model-async"]);
        }
        command.args(["-S", &format!("keyvalue-in-memory-data={key}={value}")]).arg(guest);
        Self::start(&mut command)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
