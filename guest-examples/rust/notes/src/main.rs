//! Keeps notes by title. An ordinary Rust program with a command line.
//! It must never replace a note that it was not told to delete, so long as one instance runs at a time: no call of this
//! version asks and stores in one.

wit_bindgen::generate!({ path: "../../../wit", world: "stash:storage/imports", generate_all });

use stash::storage::{store, types};
use std::error::Error;
use std::io::{ErrorKind, Read, Write};
use std::process::ExitCode;

const USAGE: &str = "\
usage: notes add TITLE [TEXT..]   keep a note; without TEXT, from stdin
       notes list [PREFIX]        the titles, all or those that begin with PREFIX
       notes show TITLE           print a note
       notes delete TITLE         remove a note";

/// Titles are keys behind this prefix, so that later kinds of records do not meet them.
const NOTE: &str = "note/";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["add", title, text @ ..] => add(title, text),
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

fn add(title: &str, text: &[&str]) -> Result<(), Box<dyn Error>> {
    if title.is_empty() || title.contains(char::is_control) {
        return Err("a title is one line of text, and not empty".into());
    }
    let key = format!("{NOTE}{title}");
    if store::exists(&key).map_err(reason)? {
        return Err(format!("there is already a note '{title}'; delete it first").into());
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
    store::set(&key, &note).map_err(reason)?;
    Ok(())
}

fn list(prefix: &str) -> Result<(), Box<dyn Error>> {
    let mut titles = String::new();
    for key in store::list_keys(&format!("{NOTE}{prefix}")).map_err(reason)? {
        titles.push_str(key.strip_prefix(NOTE).unwrap_or(&key));
        titles.push('\n');
    }
    print(titles.as_bytes())
}

fn show(title: &str) -> Result<(), Box<dyn Error>> {
    match store::get(&format!("{NOTE}{title}")).map_err(reason)? {
        Some(note) => print(&note),
        None => Err(missing(title)),
    }
}

fn delete(title: &str) -> Result<(), Box<dyn Error>> {
    if store::delete(&format!("{NOTE}{title}")).map_err(reason)? { Ok(()) } else { Err(missing(title)) }
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

/// What the store said, for a person.
fn reason(error: types::Error) -> String {
    use types::Error::{AlreadyExists, InvalidKey, IoError, LimitExceeded, NotFound, QuotaExceeded, Unavailable};
    match error {
        NotFound(text) | AlreadyExists(text) | QuotaExceeded(text) | InvalidKey(text) | IoError(text)
        | LimitExceeded(text) | Unavailable(text) => text,
    }
}
