//! Runs the tests, with what they need built first. It must never leave a part out without saying so.

use crate::{command, guests, languages, wasm};
use anyhow::{Context, Result};

/// All tests; with `args`, `cargo test` with these alone.
pub fn run(args: &[&str]) -> Result<()> {
    build_stash()?;
    let guests = guests::build()?;
    if args.is_empty() {
        core_builds_for_the_browser()?;
        guests_on_this_machine()?;
        languages::build()?;
    }
    println!("{} guests and the stash command are built; now the tests", guests.len());
    let mut test = command::cargo();
    test.args(["test", "--locked"]);
    // A choice of packages is the caller's.
    if !args.iter().any(|arg| matches!(*arg, "-p" | "--package")) {
        test.arg("--workspace");
    }
    command::run(test.args(args))
}

/// Builds target/debug/stash.
pub fn build_stash() -> Result<()> {
    // `--examples` makes cargo choose the features that the tests need. Without it wasmtime would be compiled once for the
    // command and once for the tests. This program is running, so it is left alone.
    command::run(command::cargo().args([
        "build",
        "--locked",
        "--workspace",
        "--bins",
        "--examples",
        "--exclude",
        "xtask",
    ]))
    .context("cannot build the stash command")
}

fn core_builds_for_the_browser() -> Result<()> {
    let toolchain = wasm::toolchain()?;
    if !toolchain.install(wasm::BROWSER) {
        println!("skipped: stash-core for {}, because `rustup target add` cannot get that target here", wasm::BROWSER);
        return Ok(());
    }
    let built = guests::build_dir(&toolchain)?;
    command::run(
        toolchain
            .cargo()
            .args(["check", "--locked", "--package", "stash-core", "--target", wasm::BROWSER, "--target-dir"])
            .arg(built)
            .current_dir(crate::paths::root()),
    )
    .context("stash-core must build without an operating system")
}

/// What in a guest does not need the store is tested as any other Rust.
fn guests_on_this_machine() -> Result<()> {
    for workspace in guests::WORKSPACES {
        command::run(
            command::clean_cargo()
                .args(["test", "--quiet", "--locked", "--target-dir"])
                .arg(guests::dir().join("host"))
                .current_dir(crate::paths::root().join(workspace)),
        )?;
    }
    Ok(())
}
