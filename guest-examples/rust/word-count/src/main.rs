//! Counts the words of a text, and keeps the counts: every run adds to those before. An ordinary Rust program.
//! It must never print a count that is not kept. It lists all words to find the top ten, which the store allows for up to
//! 100,000 of them.

mod words;

wit_bindgen::generate!({ path: "../../../wit", world: "stash:storage/imports", generate_all });

use stash::storage::{store, types};
use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, ErrorKind, Write};
use std::process::ExitCode;

/// A key is at most this long; a longer "word" (a line of base64, say) is left out and reported.
const MAX_KEY_BYTES: usize = 2048;
const WORD: &str = "word/";
const TOTAL_WORDS: &str = "total/words";
const TOTAL_RUNS: &str = "total/runs";
/// How many words are shown.
const TOP: usize = 10;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("word-count: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut counts = read_words()?;
    let found = counts.len();
    counts.retain(|word, _| WORD.len() + word.len() <= MAX_KEY_BYTES);
    let left_out = found - counts.len();

    // Every `set` is a durable commit of its own, so one for each different word, not one for each word.
    for (word, count) in &counts {
        add(&format!("{WORD}{word}"), *count)?;
    }
    let read: u64 = counts.values().sum();
    let total = add(TOTAL_WORDS, read)?;
    let runs = add(TOTAL_RUNS, 1)?;

    match report(&top()?, left_out, read, total, runs) {
        // Whoever reads the output (`| head`) has seen enough; the counts are kept.
        Err(e) if e.kind() == ErrorKind::BrokenPipe => Ok(()),
        other => Ok(other?),
    }
}

/// The words of stdin. Line by line, so that a long text needs no more memory than its different words.
fn read_words() -> Result<BTreeMap<String, u64>, String> {
    let (mut stdin, mut line, mut counts) = (std::io::stdin().lock(), Vec::new(), BTreeMap::new());
    loop {
        line.clear();
        match stdin.read_until(b'\n', &mut line) {
            Ok(0) => return Ok(counts),
            Ok(_) => words::count(&String::from_utf8_lossy(&line), &mut counts),
            Err(e) => return Err(format!("cannot read stdin: {e}")),
        }
    }
}

/// The number kept under `key`, 0 where there is none.
fn kept(key: &str) -> Result<u64, Box<dyn Error>> {
    let Some(bytes) = store::get(key).map_err(reason)? else { return Ok(0) };
    let text = String::from_utf8_lossy(&bytes);
    text.trim().parse().map_err(|_| format!("'{key}' holds {text:?}, not a number: delete or correct it").into())
}

/// Adds to the number kept under `key`, and returns the sum.
fn add(key: &str, more: u64) -> Result<u64, Box<dyn Error>> {
    let sum = kept(key)?.saturating_add(more);
    store::set(key, sum.to_string().as_bytes()).map_err(reason)?;
    Ok(sum)
}

/// The most frequent of all kept words; of equally frequent ones, those that come first in the alphabet.
fn top() -> Result<Vec<(String, u64)>, Box<dyn Error>> {
    let mut all = Vec::new();
    for key in store::list_keys(WORD).map_err(reason)? {
        let count = kept(&key)?;
        all.push((key.strip_prefix(WORD).unwrap_or(&key).to_owned(), count));
    }
    // Listed in byte order, and the sort is stable.
    all.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    all.truncate(TOP);
    Ok(all)
}

fn report(top: &[(String, u64)], left_out: usize, read: u64, total: u64, runs: u64) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let width = top.iter().map(|(_, count)| count.to_string().len()).max().unwrap_or(0);
    for (word, count) in top {
        writeln!(out, "{count:>width$}  {word}")?;
    }
    if left_out > 0 {
        writeln!(out, "{left_out} {} too long to keep, left out", plural(left_out as u64, "word was", "words were"))?;
    }
    writeln!(
        out,
        "{read} {} read, {total} counted in {runs} {}",
        plural(read, "word", "words"),
        plural(runs, "run", "runs")
    )?;
    out.flush()
}

fn plural<'a>(n: u64, one: &'a str, many: &'a str) -> &'a str {
    if n == 1 { one } else { many }
}

/// What the store said, for a person.
fn reason(error: types::Error) -> String {
    use types::Error::{AlreadyExists, InvalidKey, IoError, LimitExceeded, NotFound, QuotaExceeded, Unavailable};
    match error {
        NotFound(text) | AlreadyExists(text) | QuotaExceeded(text) | InvalidKey(text) | IoError(text)
        | LimitExceeded(text) | Unavailable(text) => text,
    }
}
