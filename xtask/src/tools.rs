//! Finds a tool that the checks need, or installs it. It must never install where the person's own tools are, nor use
//! another version than the one that the configuration was written for.

use crate::{command, paths};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const CARGO_DENY: &str = "0.20.2";

/// What `wasmtime serve` needs to serve what `stash serve` does in the benchmarks.
const WASMTIME_FEATURES: &str = "serve,cranelift,wasi-keyvalue,component-model,component-model-async,pooling-allocator,\
                                 parallel-compilation,cache";

/// `cargo-deny`, to be called as a program of its own.
pub fn cargo_deny() -> Result<Command> {
    let tool = |program: PathBuf| {
        let mut command = command::clean(program);
        command.current_dir(paths::root());
        command
    };
    let version = tool("cargo-deny".into()).arg("--version").output();
    if version.is_ok_and(|v| String::from_utf8_lossy(&v.stdout).trim() == format!("cargo-deny {CARGO_DENY}")) {
        return Ok(tool("cargo-deny".into()));
    }
    // A quick build: it runs for seconds. It needs no TLS of its own, git fetches the list of vulnerabilities.
    let program = install("cargo-deny", "cargo-deny", CARGO_DENY, "one to three minutes", |install| {
        install.args(["--debug", "--no-default-features"]).env("CARGO_PROFILE_DEV_DEBUG", "0");
    })?;
    Ok(tool(program))
}

/// The `wasmtime` command of the same version as the library that Stash is built with.
pub fn wasmtime() -> Result<PathBuf> {
    let lock = paths::root().join("Cargo.lock");
    let lock = std::fs::read_to_string(&lock).with_context(|| format!("cannot read {}", lock.display()))?;
    let version = lock
        .split("[[package]]")
        .find_map(|package| package.trim_start().strip_prefix("name = \"wasmtime\"\nversion = \"")?.split('"').next())
        .context("Cargo.lock does not name wasmtime")?;
    install("wasmtime-cli", "wasmtime", version, "five to fifteen minutes", |install| {
        install.args(["--no-default-features", "--features", WASMTIME_FEATURES]);
    })
}

/// Builds a program in a folder of its own, once.
fn install(
    package: &str,
    program: &str,
    version: &str,
    takes: &str,
    options: impl FnOnce(&mut Command),
) -> Result<PathBuf> {
    let root = paths::cache().join(format!("tools/{package}-{version}"));
    let program = root.join(format!("bin/{program}{}", std::env::consts::EXE_SUFFIX));
    let _lock = paths::lock(&root)?;
    if program.exists() {
        return Ok(program);
    }
    eprintln!("installing {package} {version} in {} (once, {takes})", root.display());
    let begin = Instant::now();
    let build = root.join("build");
    let mut install = command::clean_cargo();
    install.args(["install", "--quiet", "--locked", "--version", version, package, "--root"]).arg(&root);
    install.arg("--target-dir").arg(&build);
    options(&mut install);
    command::run(&mut install).with_context(|| format!("cannot install {package}"))?;
    std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
    eprintln!("done in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(program)
}
