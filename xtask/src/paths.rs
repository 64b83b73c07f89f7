//! Where things are. It must never depend on the directory that the command was started in.

use anyhow::{Context, Result};
use std::fs::File;
use std::path::{Path, PathBuf};

/// The repository.
pub fn root() -> &'static Path {
    let xtask = Path::new(env!("CARGO_MANIFEST_DIR"));
    xtask.parent().unwrap_or(xtask)
}

/// Where cargo builds the main workspace.
pub fn target() -> PathBuf {
    match std::env::var_os("CARGO_TARGET_DIR") {
        Some(dir) if !dir.is_empty() => root().join(dir),
        _ => root().join("target"),
    }
}

/// The `stash` command as the tests and the demo use it.
pub fn stash() -> PathBuf {
    target().join("debug").join(format!("stash{}", std::env::consts::EXE_SUFFIX))
}

/// What is made once for a machine, not for a clone.
pub fn cache() -> PathBuf {
    let var = |name| std::env::var_os(name).filter(|v| !v.is_empty()).map(PathBuf::from);
    let base = var("XDG_CACHE_HOME").or_else(|| Some(var("HOME").or_else(|| var("USERPROFILE"))?.join(".cache")));
    base.unwrap_or_else(target).join("stash")
}

/// `path` as a person in the repository would type it.
pub fn shown(path: &Path) -> std::path::Display<'_> {
    path.strip_prefix(root()).unwrap_or(path).display()
}

/// Keeps other processes out of what is made at `path`, as long as the result lives. The lock goes with the process, so a
/// killed one leaves nothing behind.
pub fn lock(path: &Path) -> Result<File> {
    let path = path.with_added_extension("lock");
    let lock = || -> std::io::Result<File> {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent)?;
        }
        let file = File::options().create(true).truncate(false).write(true).open(&path)?;
        if file.try_lock().is_err() {
            eprintln!("waiting for another process that holds {}", path.display());
            file.lock()?;
        }
        Ok(file)
    };
    lock().with_context(|| format!("cannot lock {}", path.display()))
}
