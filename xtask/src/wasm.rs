//! Finds a Rust toolchain that builds WebAssembly, or installs one. It must never replace one that works, nor leave half of
//! one behind.

use crate::{command, paths};
use anyhow::{Context, Result, bail};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// What guests are built for.
pub const GUESTS: &str = "wasm32-wasip2";
/// What the browser host will be built for; stash-core must build for it.
pub const BROWSER: &str = "wasm32-unknown-unknown";

const SCRIPT: &str = "xtask/scripts/wasm-toolchain.sh";

/// A Rust toolchain with a standard library for [`GUESTS`].
#[derive(Debug)]
pub struct Toolchain {
    sysroot: PathBuf,
    /// Whether it is the one that [`SCRIPT`] makes.
    fallback: bool,
}

/// The active toolchain if it can, else one made by the fallback script; installs what is missing.
pub fn toolchain() -> Result<Toolchain> {
    if let Some(found) = find()? {
        return Ok(found);
    }
    // Two builds at once want the same thing: the second waits, and finds what the first made.
    let dir = fallback_dir();
    let _lock = paths::lock(&dir)?;
    if let Some(found) = find()? {
        return Ok(found);
    }
    let why = match rustup_add(&[GUESTS, BROWSER]) {
        Ok(()) => match find()? {
            Some(found) => return Ok(found),
            None => "it added nothing to the Rust that is used here".to_owned(),
        },
        Err(e) => format!("{e:#}"),
    };
    eprintln!("`rustup target add {GUESTS}` did not work: {why}");
    install_fallback(&dir)
        .ok()
        .and_then(|()| finished(&dir))
        .with_context(|| format!(
            "there is no Rust for {GUESTS} here, and neither rustup nor {SCRIPT} could get one.\n\
             Run `rustup target add {GUESTS}` where it can download, or set STASH_WASM_TOOLCHAIN to a directory that the script made"
        ))
}

impl Toolchain {
    /// `cargo` with this toolchain, and nothing of an outer cargo's environment.
    pub fn cargo(&self) -> Command {
        let mut cargo = command::clean_cargo();
        if self.fallback {
            cargo.env("RUSTC", self.rustc()).env("LD_LIBRARY_PATH", self.sysroot.join("lib"));
        }
        cargo
    }

    /// Whether its standard library is there for `target`.
    pub fn has(&self, target: &str) -> bool {
        has(&self.sysroot, target)
    }

    /// [`Toolchain::has`], after an attempt to install it.
    pub fn install(&self, target: &str) -> bool {
        self.has(target) || (!self.fallback && rustup_add(&[target]).is_ok() && self.has(target))
    }

    /// Differs where the compiler or the standard library differs. Cargo does not notice a changed sysroot, so it is
    /// part of the name of the directory that guests are built in.
    pub fn identity(&self) -> Result<String> {
        let mut hasher = DefaultHasher::new();
        let mut rustc = command::clean(self.rustc());
        if self.fallback {
            rustc.env("LD_LIBRARY_PATH", self.sysroot.join("lib"));
        }
        command::output(rustc.arg("-vV"))?.hash(&mut hasher);
        for target in [GUESTS, BROWSER] {
            let mut files = Vec::new();
            for entry in std::fs::read_dir(libs(&self.sysroot, target)).into_iter().flatten() {
                let entry = entry?;
                let meta = entry.metadata()?;
                files.push((entry.file_name(), meta.len(), meta.modified().ok()));
            }
            files.sort();
            files.hash(&mut hasher);
        }
        Ok(format!("{:016x}", hasher.finish()))
    }

    fn rustc(&self) -> PathBuf {
        if self.fallback { self.sysroot.join("bin/rustc") } else { "rustc".into() }
    }
}

fn find() -> Result<Option<Toolchain>> {
    let sysroot = command::output(command::clean("rustc").args(["--print", "sysroot"]))
        .context("Rust is not on this machine, or not in PATH")?;
    let sysroot = PathBuf::from(sysroot.trim_end());
    if has(&sysroot, GUESTS) {
        return Ok(Some(Toolchain { sysroot, fallback: false }));
    }
    Ok(finished(&fallback_dir()))
}

/// The fallback toolchain in `dir`, if it is whole and has what a present-day script gives it.
fn finished(dir: &Path) -> Option<Toolchain> {
    let toolchain = Toolchain { sysroot: dir.join("usr"), fallback: true };
    (dir.join("complete").exists() && toolchain.has(GUESTS) && toolchain.has(BROWSER)).then_some(toolchain)
}

fn fallback_dir() -> PathBuf {
    match std::env::var_os("STASH_WASM_TOOLCHAIN") {
        Some(dir) if !dir.is_empty() => paths::root().join(dir),
        _ => paths::cache().join("wasm-toolchain"),
    }
}

fn libs(sysroot: &Path, target: &str) -> PathBuf {
    sysroot.join("lib/rustlib").join(target).join("lib")
}

fn has(sysroot: &Path, target: &str) -> bool {
    std::fs::read_dir(libs(sysroot, target)).into_iter().flatten().flatten().any(|entry| {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        name.starts_with("libstd-") && Path::new(&*name).extension().is_some_and(|e| e == "rlib")
    })
}

fn rustup_add(targets: &[&str]) -> Result<()> {
    let mut rustup = command::clean("rustup");
    rustup.args(["target", "add"]).args(targets).stdout(Stdio::null()).stderr(Stdio::piped());
    eprintln!("installing a standard library: {}", command::typed(&rustup));
    let output = rustup.output().context("rustup is not on this machine")?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        let first = text.lines().find(|line| line.contains("error")).or_else(|| text.lines().last());
        bail!("{}", first.unwrap_or("it gave no reason").trim_start_matches("error: "));
    }
    Ok(())
}

fn install_fallback(dir: &Path) -> Result<()> {
    eprintln!("building one from Debian packages in {} (once, two to three minutes)", dir.display());
    let begin = Instant::now();
    // Its stdout is not ours: a build script's stdout is read by cargo.
    command::run(command::clean("bash").arg(paths::root().join(SCRIPT)).arg(dir).stdout(Stdio::null()))
        .inspect_err(|e| eprintln!("{e:#}"))?;
    eprintln!("done in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}
