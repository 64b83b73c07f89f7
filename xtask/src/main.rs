//! `cargo xtask TASK`: reads the task's name and calls it. It must never do any of the work itself.

use anyhow::{Result, bail};
use std::process::ExitCode;
use xtask::{checks, demo, guests, servers, test};

const USAGE: &str = "\
usage: cargo xtask TASK

  demo          build Stash and the sample guests, and see components keep their data
  test [ARGS]   all tests; with ARGS only `cargo test ARGS` (guests and the stash binary are built first)
  ci            everything that must pass before a change is taken: fmt, deny, lint, doc, servers, test
  guests        build all guests, in every language there are tools for; where they are and how large
  fmt [--check] format the code of all workspaces
  lint          clippy on all workspaces; a warning is an error
  doc           the API documentation; a warning is an error
  deny [--require-advisories]
                licences, sources and duplicates of dependencies; known vulnerabilities where their list can be fetched
  servers       install the servers that engines are tested on, with Debian's packages";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("xtask: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &[&str]) -> Result<()> {
    match args {
        ["demo"] => demo::run(),
        ["test", args @ ..] => test::run(args),
        ["ci"] => checks::ci(),
        ["guests"] => guests::print(),
        ["fmt"] => checks::fmt(false),
        ["fmt", "--check"] => checks::fmt(true),
        ["lint"] => checks::lint(),
        ["doc"] => checks::doc(),
        ["servers"] => servers::install(),
        ["deny"] => checks::deny(false),
        ["deny", "--require-advisories"] => checks::deny(true),
        ["help" | "--help" | "-h"] => {
            println!("{USAGE}");
            Ok(())
        }
        [] => bail!("say what to do\n{USAGE}"),
        [task, ..] => bail!("there is no such task: {task}\n{USAGE}"),
    }
}
