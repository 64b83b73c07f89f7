//! Builds the guests, the sample ones and those of the tests. It must never hand out a path to a guest that is not there or
//! is older than its source.

use crate::{command, languages, paths, wasm};
use anyhow::{Context, Result};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

/// The workspaces of guests; each folder in them with a Cargo.toml is a guest.
pub const WORKSPACES: [&str; 2] = ["guest-examples/rust", "tests/guests"];

/// What guests have in common beside the interfaces.
const SHARED: [&str; 2] = ["guest-examples/rust/http.rs", "crates/stash-guest"];

/// A component that was built.
#[derive(Debug)]
pub struct Guest {
    /// The package's name, such as `word-count`.
    pub name: String,
    /// The component; the file is called as the package is.
    pub path: PathBuf,
    /// The package's folder.
    pub source: PathBuf,
}

/// Where the guests are when they are built.
pub fn dir() -> PathBuf {
    paths::target().join("guests")
}

/// Builds all guests, in the order of their names.
pub fn build() -> Result<Vec<Guest>> {
    let toolchain = wasm::toolchain()?;
    let built = build_dir(&toolchain)?;
    let mut guests = Vec::new();
    for workspace in WORKSPACES {
        let workspace = paths::root().join(workspace);
        command::run(
            toolchain
                .cargo()
                .args(["build", "--release", "--locked", "--target", wasm::GUESTS, "--target-dir"])
                .arg(&built)
                .current_dir(&workspace)
                .stdout(Stdio::null()),
        )
        .with_context(|| format!("cannot build the guests in {}", paths::shown(&workspace)))?;
        for (name, source) in packages(&workspace)? {
            let path = publish(&built.join(wasm::GUESTS).join("release"), &name)?;
            guests.push(Guest { name, path, source });
        }
    }
    guests.sort_by(|a, b| a.name.cmp(&b.name));
    mark()?;
    Ok(guests)
}

/// Builds all guests, and prints where they are.
pub fn print() -> Result<()> {
    for guest in build()? {
        let size = std::fs::metadata(&guest.path)?.len();
        println!("{:>6} KB  {}", size.div_ceil(1000), paths::shown(&guest.path));
    }
    for language in languages::build()? {
        println!("{:>12}{}", "", paths::shown(&languages::dir(language)));
    }
    Ok(())
}

/// What cargo builds in; another one for each toolchain, see [`wasm::Toolchain::identity`].
pub fn build_dir(toolchain: &wasm::Toolchain) -> Result<PathBuf> {
    Ok(dir().join(format!("build-{}", toolchain.identity()?)))
}

/// What the guests are made from; a build script builds them again when one of these changes. The last is there once they
/// were built, so that they come back when somebody removes them.
pub fn inputs() -> Result<Vec<PathBuf>> {
    let mut inputs = vec![paths::root().join("wit"), marker()];
    inputs.extend(SHARED.map(|source| paths::root().join(source)));
    // Whole workspaces: a guest may share a package that is none itself.
    inputs.extend(WORKSPACES.map(|workspace| paths::root().join(workspace)));
    Ok(inputs)
}

fn packages(workspace: &Path) -> Result<Vec<(String, PathBuf)>> {
    let mut packages = Vec::new();
    let entries = std::fs::read_dir(workspace).with_context(|| format!("cannot read {}", workspace.display()))?;
    for entry in entries {
        let entry = entry?;
        if entry.path().join("Cargo.toml").exists() {
            packages.push((entry.file_name().to_string_lossy().into_owned(), entry.path()));
        }
    }
    Ok(packages)
}

/// Copies what cargo built to the place that people and tests know. A file that did not change keeps its time, and one
/// that did is replaced in one step: somebody may be running it.
fn publish(built: &Path, name: &str) -> Result<PathBuf> {
    let files = [format!("{name}.wasm"), format!("{}.wasm", name.replace('-', "_"))];
    let from = files.iter().map(|file| built.join(file)).find(|path| path.exists()).with_context(|| {
        format!("no component came out of the guest '{name}': is its folder among its workspace's members?")
    })?;
    let path = dir().join(format!("{name}.wasm"));
    let new = std::fs::read(&from).with_context(|| format!("cannot read {}", from.display()))?;
    if !std::fs::read(&path).is_ok_and(|old| old == new) {
        let part = dir().join(format!(".{name}.{}", std::process::id()));
        std::fs::write(&part, &new)
            .and_then(|()| std::fs::rename(&part, &path))
            .with_context(|| format!("cannot write {}", path.display()))?;
    }
    Ok(path)
}

fn marker() -> PathBuf {
    dir().join("built")
}

/// The marker is old on purpose: a file newer than a build script's start makes cargo run the script again.
fn mark() -> Result<()> {
    if !marker().exists() {
        let old = SystemTime::UNIX_EPOCH + Duration::from_hours(24);
        std::fs::File::create(marker())
            .and_then(|file| file.set_modified(old))
            .with_context(|| format!("cannot write {}", marker().display()))?;
    }
    Ok(())
}
