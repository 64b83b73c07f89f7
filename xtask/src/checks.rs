//! What must hold before a change is taken: one function a check. It must never pass because a check could not run; what
//! is left out is said.

use crate::{command, guests, paths, servers, test, tools};
use anyhow::{Context, Result, bail};
use std::process::Stdio;
use std::time::Instant;

type Step = fn() -> Result<()>;

/// All checks, the cheap ones first.
pub fn ci() -> Result<()> {
    let steps: [(&str, Step); 6] = [
        ("fmt", || fmt(true)),
        ("deny", || deny(false)),
        ("lint", lint),
        ("doc", doc),
        ("servers", servers::install),
        ("test", || test::run(&[])),
    ];
    let begin = Instant::now();
    for (n, (name, step)) in (1..).zip(steps) {
        println!("== {n}/{}: {name}", steps.len());
        let begin = Instant::now();
        step().with_context(|| format!("`cargo xtask {name}` failed"))?;
        println!("== {name}: ok, {:.0} s", begin.elapsed().as_secs_f64());
    }
    println!("== all checks passed in {:.0} s", begin.elapsed().as_secs_f64());
    Ok(())
}

/// Formats the code of all workspaces; with `check`, an error where that would change something.
pub fn fmt(check: bool) -> Result<()> {
    let workspaces = std::iter::once(paths::root().to_owned()).chain(guests::WORKSPACES.map(|w| paths::root().join(w)));
    for workspace in workspaces {
        let mut fmt = command::cargo();
        fmt.args(["fmt", "--all"]).current_dir(&workspace);
        if check {
            fmt.arg("--check");
        }
        command::run(&mut fmt).with_context(|| format!("in {}; `cargo xtask fmt` repairs it", workspace.display()))?;
    }
    Ok(())
}

/// Clippy on all workspaces; a warning is an error.
pub fn lint() -> Result<()> {
    // Guests are linted as programs of this machine: their bindings compile everywhere, and clippy need not be there for
    // the toolchain that builds them.
    for workspace in guests::WORKSPACES {
        command::run(
            command::clean_cargo()
                .args(["clippy", "--all-targets", "--locked", "--target-dir"])
                .arg(guests::dir().join("host"))
                .args(["--", "--deny", "warnings"])
                .current_dir(paths::root().join(workspace)),
        )?;
    }
    command::run(command::cargo().args([
        "clippy",
        "--workspace",
        "--all-targets",
        "--locked",
        "--",
        "--deny",
        "warnings",
    ]))
}

/// The API documentation; a warning is an error.
pub fn doc() -> Result<()> {
    // `--examples` for the same reason as in `test::build_stash`: clippy's results for the dependencies are used again.
    command::run(
        command::cargo()
            .args(["doc", "--workspace", "--no-deps", "--locked", "--lib", "--bins", "--examples"])
            .env("RUSTDOCFLAGS", "--deny warnings"),
    )
}

/// Licences, sources and duplicates of what the workspaces depend on; known vulnerabilities where their list can be fetched,
/// and an error where it cannot and `require_advisories`.
pub fn deny(require_advisories: bool) -> Result<()> {
    // Not every workspace has a dependency with each licence that is allowed.
    let options: [(&str, &[&str]); 3] = [
        ("Cargo.toml", &[]),
        ("guest-examples/rust/Cargo.toml", &["--allow", "license-not-encountered"]),
        ("tests/guests/Cargo.toml", &["--allow", "license-not-encountered"]),
    ];
    let fetched =
        tools::cargo_deny()?.args(["--log-level", "off", "fetch", "db"]).stderr(Stdio::null()).status()?.success();
    if !fetched && require_advisories {
        bail!("the list of known vulnerabilities cannot be fetched; see why with `cargo deny fetch db`");
    }
    if !fetched {
        println!("skipped: known vulnerabilities, because their list cannot be fetched here");
    }
    for (manifest, options) in options {
        let mut deny = tools::cargo_deny()?;
        deny.args(["--log-level", "error", "--locked", "--manifest-path", manifest, "--config", "deny.toml", "check"]);
        deny.args(options).args(["bans", "licenses", "sources"]);
        if fetched {
            deny.args(["advisories", "--disable-fetch"]);
        }
        command::run(&mut deny)?;
    }
    Ok(())
}
