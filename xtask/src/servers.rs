//! The servers that the engines with one are tested on, in CI, where none may be missing. Elsewhere a test says which one it
//! has not found. It must never start one: tests start their own.

use crate::command;
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A Debian package with a program in it that tests look for.
const SERVERS: [(&str, &str); 3] =
    [("postgresql", "initdb"), ("redis-server", "redis-server"), ("etcd-server", "etcd")];

/// Installs the servers that are missing, with Debian's packages.
pub fn install() -> Result<()> {
    let missing = || SERVERS.into_iter().filter(|(_, program)| !is_there(program));
    let packages: Vec<&str> = missing().map(|(package, _)| package).collect();
    if packages.is_empty() {
        return Ok(());
    }
    println!("installing {}", packages.join(", "));
    let is_root = Command::new("id").arg("-u").output().is_ok_and(|id| id.stdout.starts_with(b"0\n"));
    for arguments in [&["update", "--quiet"][..], &["install", "--quiet", "--yes", "--no-install-recommends"]] {
        let mut apt = command::clean(PathBuf::from(if is_root { "apt-get" } else { "sudo" }));
        if !is_root {
            apt.args(["--non-interactive", "apt-get"]);
        }
        apt.args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        if arguments.contains(&"install") {
            apt.args(&packages);
        }
        command::run(&mut apt).context("the servers that engines are tested on are Debian's packages")?;
    }
    match missing().next() {
        Some((package, program)) => bail!("{package} is installed, and there is no {program}"),
        None => Ok(()),
    }
}

/// Whether a program is on the path, or where Debian keeps those of PostgreSQL.
fn is_there(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let versions = Path::new("/usr/lib/postgresql").read_dir().into_iter().flatten().flatten();
    let mut folders = std::env::split_paths(&path).chain(versions.map(|version| version.path().join("bin")));
    folders.any(|folder| folder.join(program).is_file())
}
