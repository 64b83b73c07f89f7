//! The demo: components keep their data across processes, each its own. It must never show what it did not check, nor touch
//! a store other than its own.

use crate::{command, guests, paths, test};
use anyhow::{Context, Result, ensure};
use std::fs::File;
use std::process::Command;

/// Relative, as everything that the demo prints: each command can be typed again in the repository.
const DIR: &str = "target/demo";
const STORE: &str = "redb:target/demo/store.redb";
const TEXT: &str = "README.md";
const LINES: usize = 10;

/// Builds what is needed, and runs it.
pub fn run() -> Result<()> {
    test::build_stash()?;
    guests::build()?;
    let dir = paths::root().join(DIR);
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("cannot empty {}", dir.display()))?;
    }
    std::fs::create_dir_all(&dir).with_context(|| format!("cannot make {}", dir.display()))?;

    say("A store in one file. Nothing is in it yet.");
    println!("$ export STASH_STORE={STORE}");

    say("word-count is an ordinary program that keeps what it counts. The first run:");
    let word_count = guest("word-count");
    let first = counted(&show(stash().arg("run").arg(&word_count), Some(TEXT), usize::MAX)?)?;
    say("A second process finds what the first one kept:");
    let second = counted(&show(stash().arg("run").arg(&word_count), Some(TEXT), usize::MAX)?)?;
    ensure!(
        first.read > 0
            && first == (Counted { total: first.read, runs: 1, ..first })
            && second == (Counted { total: first.read * 2, runs: 2, ..first }),
        "the second run's counts have not grown as they should: first {first:?}, then {second:?}"
    );

    say("counter exports a function. Each id has a store of its own, so a and b count apart:");
    for (id, expected) in [("demo/counter/a", 1), ("demo/counter/a", 2), ("demo/counter/b", 1)] {
        let mut increment = stash();
        increment.args(["run", "--id", id, "--invoke", "increment()"]).arg(guest("counter"));
        let counter = show(&mut increment, None, usize::MAX)?;
        ensure!(numbers(&counter) == [expected], "{id} should have counted to {expected}, not {}", counter.trim());
    }

    say("job-queue gives each job to one worker, in a transaction; one that is not done in time comes back:");
    let queue = |arguments: &[&str]| show(stash().arg("run").arg(guest("job-queue")).args(arguments), None, usize::MAX);
    queue(&["add", "water", "the", "plants"])?;
    let taken = queue(&["take"])?;
    ensure!(taken.contains("water the plants"), "the job that was added should have been taken, not {}", taken.trim());
    let listed = queue(&["list"])?;
    ensure!(listed.contains("water the plants"), "a job that is not done should be listed");

    say("What the host knows of a record beside its value:");
    let entry = show(stash().args(["kv", "get", "--meta", "--id", "demo/counter/a", "count"]), None, usize::MAX)?;
    ensure!(entry.contains("version"), "`stash kv get --meta` does not show the version");

    say("Which components have data:");
    let ids = show(stash().arg("ids"), None, usize::MAX)?;
    for id in ["app/word-count/001", "demo/counter/a", "demo/counter/b"] {
        ensure!(ids.contains(id), "`stash ids` does not show {id}");
    }

    say("What one of them keeps:");
    let keys = show(stash().args(["kv", "list", "--id", "app/word-count/001"]), None, LINES)?;
    ensure!(keys.contains("word/"), "`stash kv list` does not show the words that were counted");

    say(&format!("All of it was checked. The store stays in {DIR} until the next demo; try the commands yourself."));
    Ok(())
}

/// What the last line of word-count says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Counted {
    read: u64,
    total: u64,
    runs: u64,
}

fn counted(output: &str) -> Result<Counted> {
    let line = output.lines().last().unwrap_or_default();
    match numbers(line).as_slice() {
        &[read, total, runs] => Ok(Counted { read, total, runs }),
        _ => anyhow::bail!("word-count's last line should say what it counted, not: {line:?}"),
    }
}

fn numbers(text: &str) -> Vec<u64> {
    text.split(|c: char| !c.is_ascii_digit()).filter_map(|digits| digits.parse().ok()).collect()
}

fn say(text: &str) {
    println!("\n# {text}");
}

fn stash() -> Command {
    let mut stash = command::clean(paths::stash());
    stash.current_dir(paths::root()).env("STASH_STORE", STORE);
    stash
}

fn guest(name: &str) -> String {
    paths::shown(&guests::dir().join(format!("{name}.wasm"))).to_string()
}

/// Prints the command, runs it, prints the first `lines` lines that it prints, and returns all of them.
fn show(stash: &mut Command, stdin: Option<&str>, lines: usize) -> Result<String> {
    let stdin_text = stdin.map(|file| format!(" < {file}")).unwrap_or_default();
    let head = if lines == usize::MAX { "" } else { " | head" };
    println!("$ {}{stdin_text}{head}", command::typed(stash));
    if let Some(file) = stdin {
        let path = paths::root().join(file);
        stash.stdin(File::open(&path).with_context(|| format!("cannot read {}", path.display()))?);
    }
    let output = command::output(stash)?;
    output.lines().take(lines).for_each(|line| println!("{line}"));
    Ok(output)
}

#[cfg(test)]
mod tests {
    use super::{Counted, counted, numbers};

    #[test]
    fn the_last_line_says_what_was_counted() {
        let counted = counted("12  the\n184 words read, 1203 counted in 2 runs\n");
        assert_eq!(counted.unwrap(), Counted { read: 184, total: 1203, runs: 2 });
    }

    #[test]
    fn a_result_is_found_in_its_text() {
        assert_eq!(numbers("ok(2)\n"), [2]);
    }
}
