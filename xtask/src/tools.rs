//! Finds a tool that the checks need, or installs it. It must never install where the person's own tools are, nor use
//! another version than the one that the configuration was written for.

use crate::{command, paths};
use anyhow::{Context, Result};
use std::path::PathBuf;
use std::process::Command;
use std::time::Instant;

const CARGO_DENY: &str = "0.20.2";

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
    let root = paths::cache().join(format!("tools/cargo-deny-{CARGO_DENY}"));
    let program = root.join(format!("bin/cargo-deny{}", std::env::consts::EXE_SUFFIX));
    let _lock = paths::lock(&root)?;
    if !program.exists() {
        eprintln!("installing cargo-deny {CARGO_DENY} in {} (once, one to three minutes)", root.display());
        let begin = Instant::now();
        let build = root.join("build");
        // A quick build: it runs for seconds. It needs no TLS of its own, git fetches the list of vulnerabilities.
        command::run(
            command::clean_cargo()
                .args(["install", "--quiet", "--locked", "--debug", "--no-default-features"])
                .args(["--version", CARGO_DENY, "cargo-deny", "--root"])
                .arg(&root)
                .arg("--target-dir")
                .arg(&build)
                .env("CARGO_PROFILE_DEV_DEBUG", "0"),
        )
        .context("cannot install cargo-deny")?;
        std::fs::remove_dir_all(&build).with_context(|| format!("cannot remove {}", build.display()))?;
        eprintln!("done in {:.0} s", begin.elapsed().as_secs_f64());
    }
    Ok(tool(program))
}
