//! Counts the words of a text, and keeps the counts: every run adds to those before. An ordinary Rust program.
//! It must never print a count that is not kept, nor lose one where two of it run at once: it adds inside the store.

mod words;

wit_bindgen::generate!({ path: "../../../wit", world: "stash:storage/imports", generate_all });

use stash::storage::collections::{self, Collection};
use stash::storage::types::{Change, Error as StoreError, KeyRange, ListOptions};
use std::cmp::Reverse;
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
/// How many changes go in one commit: as many as the store takes.
const BATCH: usize = 10_000;

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

    // Every commit is durable by itself, and costs what the disk takes: so as few of them as possible. The totals are in
    // the last one, so that a run which is interrupted is not counted as one.
    let store = collections::open("").map_err(reason)?;
    let read: u64 = counts.values().sum();
    let words = counts.iter().map(|(word, count)| (format!("{WORD}{word}"), *count));
    let numbers: Vec<(String, u64)> =
        words.chain([(TOTAL_WORDS.to_owned(), read), (TOTAL_RUNS.to_owned(), 1)]).collect();
    let mut kept = Vec::new();
    for batch in numbers.chunks(BATCH) {
        kept.extend(add(&store, batch)?);
    }
    let [.., total, runs] = kept.as_slice() else { return Err("the store did not tell the totals".into()) };

    match report(&top(&store)?, left_out, read, *total, *runs) {
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

/// Adds to the numbers kept under some keys in one commit, and returns what they are then.
fn add(store: &Collection, more: &[(String, u64)]) -> Result<Vec<i64>, Box<dyn Error>> {
    let mut changes = Vec::with_capacity(more.len());
    for (key, count) in more {
        changes.push(Change::Increment((key.clone(), i64::try_from(*count)?)));
    }
    let committed = store.commit(&[], &changes).map_err(reason)?;
    Ok(committed.outcomes.iter().filter_map(|outcome| outcome.number).collect())
}

/// The most frequent of all kept words; of equally frequent ones, those that come first in the alphabet. Page by page, so
/// that it does not matter how many there are.
fn top(store: &Collection) -> Result<Vec<(String, u64)>, Box<dyn Error>> {
    let range = KeyRange { prefix: Some(WORD.to_owned()), start: None, end: None, pattern: None };
    let mut options = ListOptions { range, start_after: None, reverse: false, limit: None, cursor: None };
    let mut top = Vec::new();
    loop {
        let page = store.list_entries(&options).map_err(reason)?;
        for entry in page.entries {
            let text = String::from_utf8_lossy(&entry.value);
            let count = text.parse().map_err(|_| format!("'{}' holds {text:?}, not a count", entry.key))?;
            top.push((entry.key.strip_prefix(WORD).unwrap_or(&entry.key).to_owned(), count));
        }
        // Listed in byte order, and the sort is stable.
        top.sort_by_key(|(_, count)| Reverse(*count));
        top.truncate(TOP);
        options.cursor = page.cursor;
        if options.cursor.is_none() {
            return Ok(top);
        }
    }
}

fn report(top: &[(String, u64)], left_out: usize, read: u64, total: i64, runs: i64) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    let width = top.iter().map(|(_, count)| count.to_string().len()).max().unwrap_or(0);
    for (word, count) in top {
        writeln!(out, "{count:>width$}  {word}")?;
    }
    if left_out > 0 {
        writeln!(out, "{left_out} {} too long to keep, left out", plural(left_out == 1, "word was", "words were"))?;
    }
    writeln!(
        out,
        "{read} {} read, {total} counted in {runs} {}",
        plural(read == 1, "word", "words"),
        plural(runs == 1, "run", "runs")
    )?;
    out.flush()
}

fn plural<'a>(is_one: bool, one: &'a str, many: &'a str) -> &'a str {
    if is_one { one } else { many }
}

/// What the store said, for a person: all that these calls can meet.
fn reason(error: StoreError) -> String {
    match error {
        StoreError::InvalidNumber(text)
        | StoreError::QuotaExceeded(text)
        | StoreError::IoError(text)
        | StoreError::Unavailable(text)
        | StoreError::LimitExceeded(text) => text,
        other => other.to_string(),
    }
}
