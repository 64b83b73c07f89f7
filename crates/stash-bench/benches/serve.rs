//! Prints `stash serve` beside `wasmtime serve`, both with their defaults, in turn: requests a second, and the time that 99
//! in 100 of them stay below, for the same guest. `-- --quick` for a short run; `-- hello` or `-- read` for one of them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use anyhow::{Context, Result};
use stash_bench::contest::Contest;
use stash_bench::load::Load;
use stash_bench::servers::Server;
use stash_bench::stores;
use stash_bench::table::{Figure, Target, heading, row};
use xtask::{command, guests, paths, tools};

/// Connections to each server.
const CONNECTIONS: u32 = 32;
/// Requests on each connection in a round.
const REQUESTS: usize = 100;
const KEY: &str = "greeting";
const VALUE: &str = "Hello from the store";

fn main() -> Result<()> {
    let given = |option| std::env::args().any(|argument| argument == option);
    let rounds = match () {
        () if !given("--bench") => 1,
        () if given("--quick") => 4,
        () => 40,
    };
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wasmtime = tools::wasmtime()?;
    command::run(command::cargo().args(["build", "--quiet", "--release", "-p", "stash-cli"]))?;
    let stash = paths::target().join("release").join(format!("stash{}", std::env::consts::EXE_SUFFIX));
    let guests = guests::build()?;
    let folder = stores::folder()?;

    println!("Each ratio is the median of the ratios of single rounds, ± their median distance from it.");
    println!("{CONNECTIONS} connections, each with one request under way, {REQUESTS} requests on each in a round.");
    for (wasi, guest) in [("0.2", "answers"), ("0.3", "answers-async")] {
        let guest = &guests.iter().find(|built| built.name == guest).context("the guest is not built")?.path;
        let store = folder.path().join(format!("{wasi}.redb"));
        let ours = Server::stash(&stash, guest, &store, KEY, VALUE)?;
        let theirs = Server::wasmtime(&wasmtime, guest, wasi == "0.3", KEY, VALUE)?;
        for (what, name, path, expected) in [
            ("hello", "hello", "/".to_owned(), "Hello, WASI!\n"),
            ("read", "one key read, durable / in memory", format!("/{KEY}"), VALUE),
        ] {
            if !only.is_empty() && !only.iter().any(|only| only == what) {
                continue;
            }
            let mut sides = [Load::new(theirs.addr, &path, CONNECTIONS)?, Load::new(ours.addr, &path, CONNECTIONS)?];
            let standings = Contest::against("wasmtime", |sides: &mut [Load; 2]| sides[0].run(REQUESTS, expected))
                .with("stash", |sides| sides[1].run(REQUESTS, expected))
                .run(&mut sides, rounds)?;
            heading(&format!("WASI {wasi}: {name}"));
            let (this, against) = (&standings[1], &standings[0]);
            let throughput = Figure::ThroughputOf(CONNECTIONS);
            row(
                "requests a second, stash serve / wasmtime serve",
                throughput,
                this,
                against,
                Some(Target::AtLeast(1.0)),
            );
            row("99 in 100 take less than", Figure::Slow, this, against, Some(Target::AtMost(1.0)));
            row("half of them take less than", Figure::Median, this, against, None);
        }
    }
    Ok(())
}
