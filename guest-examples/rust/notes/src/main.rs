//! Keeps notes by title, for ever or for some time. An ordinary Rust program with a command line.
//! It must never replace a note that it was not told to delete, however many of it run at once.

mod moment;

wit_bindgen::generate!({ path: "../../../wit", world: "stash:storage/imports", generate_all });

use stash::storage::collections::{self, Collection, SetCall};
use stash::storage::types::{Condition, Error as StoreError, Expiry, KeyRange, ListOptions, SetOptions};
use std::cmp::Reverse;
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::process::ExitCode;

const USAGE: &str = "\
usage: notes add [--for TIME] TITLE [TEXT..]
                                  keep a note; without TEXT, from stdin; with TIME, such as 90s, 5m, 12h
                                  or 7d, only for so long
       notes list [PREFIX]        the notes, the newest first: all, or those whose titles begin with PREFIX
       notes show TITLE           print a note
       notes delete TITLE         remove a note";

/// Titles are keys behind this prefix, so that later kinds of records do not meet them.
const NOTE: &str = "note/";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["add", "--for", time, title, text @ ..] => {
            moment::millis(time).and_then(|millis| add(title, text, Expiry::After(millis)))
        }
        ["add", title, text @ ..] => add(title, text, Expiry::Never),
        ["list"] => list(""),
        ["list", prefix] => list(prefix),
        ["show", title] => show(title),
        ["delete", title] => delete(title),
        ["help" | "--help" | "-h"] => print(format!("{USAGE}\n").as_bytes()),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("notes: {e}");
            ExitCode::FAILURE
        }
    }
}

fn add(title: &str, text: &[&str], expires: Expiry) -> Result<(), Box<dyn Error>> {
    if title.is_empty() || title.contains(char::is_control) {
        return Err("a title is one line of text, and not empty".into());
    }
    let mut note = text.join(" ").into_bytes();
    if text.is_empty() {
        std::io::stdin().read_to_end(&mut note).map_err(|e| format!("cannot read stdin: {e}"))?;
    }
    if note.is_empty() {
        return Err("nothing to keep: the text is empty".into());
    }
    if !note.ends_with(b"\n") {
        note.push(b'\n');
    }
    let options = SetOptions { expires, content_type: Some("text/plain".to_owned()), attributes: Vec::new() };
    // The store asks and stores in one: nobody can come between.
    let call = SetCall { condition: Some(Condition::Absent), options: Some(options) };
    match notes()?.set(&format!("{NOTE}{title}"), &note, Some(&call)) {
        Ok(_) => Ok(()),
        Err(StoreError::AlreadyExists(_)) => Err(format!("there is already a note '{title}'; delete it first").into()),
        Err(e) => Err(reason(e).into()),
    }
}

/// Where the notes are: the collection that is always there, so that `stash kv` shows them.
fn notes() -> Result<Collection, Box<dyn Error>> {
    Ok(collections::open("").map_err(reason)?)
}

fn list(prefix: &str) -> Result<(), Box<dyn Error>> {
    let range = KeyRange { prefix: Some(format!("{NOTE}{prefix}")), start: None, end: None, pattern: None };
    let mut options = ListOptions { range, start_after: None, reverse: false, limit: None, cursor: None };
    let (store, mut notes) = (notes()?, Vec::new());
    loop {
        let page = store.list_entries(&options).map_err(reason)?;
        notes.extend(page.entries.into_iter().map(|entry| (entry.key, entry.metadata)));
        options.cursor = page.cursor;
        if options.cursor.is_none() {
            break;
        }
    }
    // Versions, not times: two notes can be of one millisecond, but never of one commit.
    notes.sort_by_key(|(_, metadata)| Reverse(metadata.version));
    let mut lines = Vec::new();
    for (key, metadata) in notes {
        let created = metadata.created.map_or_else(|| "-".to_owned(), moment::shown);
        let until = metadata.expires.map_or_else(String::new, |at| format!("  (until {})", moment::shown(at)));
        writeln!(lines, "{created}  {}{until}", key.strip_prefix(NOTE).unwrap_or(&key))?;
    }
    print(&lines)
}

fn show(title: &str) -> Result<(), Box<dyn Error>> {
    match notes()?.get(&format!("{NOTE}{title}")).map_err(reason)? {
        Some(note) => print(&note),
        None => Err(missing(title)),
    }
}

fn delete(title: &str) -> Result<(), Box<dyn Error>> {
    if notes()?.delete(&format!("{NOTE}{title}"), None).map_err(reason)? { Ok(()) } else { Err(missing(title)) }
}

fn missing(title: &str) -> Box<dyn Error> {
    format!("there is no note '{title}'").into()
}

/// Prints bytes as they were given; a reader that has seen enough is no error.
fn print(bytes: &[u8]) -> Result<(), Box<dyn Error>> {
    let mut out = std::io::stdout().lock();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(e) if e.kind() != ErrorKind::BrokenPipe => Err(format!("cannot write the output: {e}").into()),
        _ => Ok(()),
    }
}

/// What the store said, for a person: all that these calls can meet.
fn reason(error: StoreError) -> String {
    match error {
        StoreError::InvalidKey(text)
        | StoreError::QuotaExceeded(text)
        | StoreError::IoError(text)
        | StoreError::Unavailable(text)
        | StoreError::LimitExceeded(text) => text,
        other => other.to_string(),
    }
}
