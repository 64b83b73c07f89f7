//! What the cases have in common: assertions that say what was expected and what came, and short ways to write arguments.
//! An assertion must name the line that it is on.

use crate::stash::storage::collections::{self, Collection, Retention, SetCall, Settings};
use crate::stash::storage::types::{
    Change, Check, Condition, Conflict, Error, Expiry, Item, KeyRange, ListOptions, SetOptions,
};
use crate::stash::storage::{store, types};
use std::fmt::{Debug, Write};
use std::panic::Location;
use std::time::{SystemTime, UNIX_EPOCH};

/// How a case ends.
pub(crate) type Case = Result<(), String>;
/// A case with its name.
pub(crate) type Named = (&'static str, fn() -> Case);

/// Names functions after themselves.
macro_rules! cases {
    ($($case:ident),+ $(,)?) => { &[$((stringify!($case), $case as fn() -> $crate::support::Case)),+] };
}
pub(crate) use cases;

/// Long enough that nothing expires while a case runs.
pub(crate) const HOUR: u64 = 3_600_000;

/// What the host said, as `case: text`.
pub(crate) fn told(error: &Error) -> String {
    let (case, text) = match error {
        Error::NotFound(text) => ("not-found", text),
        Error::AlreadyExists(text) => ("already-exists", text),
        Error::QuotaExceeded(text) => ("quota-exceeded", text),
        Error::InvalidKey(text) => ("invalid-key", text),
        Error::IoError(text) => ("io-error", text),
        Error::LimitExceeded(text) => ("limit-exceeded", text),
        Error::Unavailable(text) => ("unavailable", text),
        Error::Conflict(Conflict { message, key, current }) => {
            return format!("conflict: {message} (key {key:?}, current {current:?})");
        }
        Error::InvalidNumber(text) => ("invalid-number", text),
        Error::InvalidArgument(text) => ("invalid-argument", text),
        Error::TransactionOver(text) => ("transaction-over", text),
        Error::NotEmpty(text) => ("not-empty", text),
        Error::VersionForgotten(text) => ("version-forgotten", text),
        Error::Unsupported(text) => ("unsupported", text),
    };
    format!("{case}: {text}")
}

#[track_caller]
fn wrong(text: &str) -> String {
    let line = Location::caller();
    format!("{}:{}: {text}", line.file(), line.line())
}

/// A value for a person: whole, unless it is long. What is left out is never written: it can be larger than the memory.
fn shown(value: &impl Debug) -> String {
    struct Short(String);

    impl Write for Short {
        fn write_str(&mut self, text: &str) -> std::fmt::Result {
            const LONG: usize = 400;
            if self.0.len() > LONG {
                return Err(std::fmt::Error);
            }
            self.0.push_str(text);
            Ok(())
        }
    }

    let mut short = Short(String::new());
    if write!(short, "{value:?}").is_err() {
        short.0.push_str("...");
    }
    short.0
}

/// The answer of a call that must not fail.
#[track_caller]
pub(crate) fn ok<T>(answer: Result<T, Error>) -> Result<T, String> {
    answer.map_err(|error| wrong(&format!("expected no error, but it was '{}'", told(&error))))
}

/// What must be there.
#[track_caller]
pub(crate) fn there<T>(found: Option<T>) -> Result<T, String> {
    found.ok_or_else(|| wrong("expected something, but it was none"))
}

/// The record that a call must find.
#[track_caller]
pub(crate) fn found<T>(answer: Result<Option<T>, Error>) -> Result<T, String> {
    there(ok(answer)?)
}

/// That two values are equal.
#[track_caller]
#[allow(clippy::needless_pass_by_value, reason = "what is compared is mostly made for that")]
pub(crate) fn same<T: Debug + PartialEq<U>, U: Debug>(found: T, expected: U) -> Case {
    if found == expected {
        return Ok(());
    }
    Err(wrong(&format!("expected {}, but it was {}", shown(&expected), shown(&found))))
}

/// That something is so.
#[track_caller]
pub(crate) fn holds(what: &str, holds: bool) -> Case {
    if holds { Ok(()) } else { Err(wrong(&format!("expected that {what}"))) }
}

/// That a call fails with exactly this `case: text`.
#[track_caller]
pub(crate) fn fails<T: Debug>(answer: Result<T, Error>, expected: &str) -> Case {
    same(failure(answer)?.as_str(), expected)
}

/// That a call fails with a `case: text` that begins so.
#[track_caller]
pub(crate) fn fails_like<T: Debug>(answer: Result<T, Error>, beginning: &str) -> Case {
    let told = failure(answer)?;
    if told.starts_with(beginning) {
        return Ok(());
    }
    Err(wrong(&format!("expected an error that begins '{beginning}', but it was '{told}'")))
}

#[track_caller]
fn failure<T: Debug>(answer: Result<T, Error>) -> Result<String, String> {
    match answer {
        Ok(answer) => Err(wrong(&format!("expected an error, but the answer was {}", shown(&answer)))),
        Err(error) => Ok(told(&error)),
    }
}

/// That a call with a condition meets another version of `key` (or none) than it expected.
#[track_caller]
pub(crate) fn meets<T: Debug>(answer: Result<T, Error>, key: &str, expected: u64, current: Option<u64>) -> Case {
    let there = current.map_or("no record".to_owned(), |current| format!("version {current}"));
    let told = format!(
        "conflict: conflict on '{key}': expected version {expected}, and there is {there} \
         (key Some({key:?}), current {current:?})"
    );
    fails(answer, &told)
}

/// That a transaction meets a later commit of a record; with no key, of a range.
#[track_caller]
pub(crate) fn collides<T: Debug>(answer: Result<T, Error>, key: Option<&str>, current: Option<u64>) -> Case {
    let what = key.map_or(" or an expiry, in what it has read".to_owned(), |key| format!(" of '{key}'"));
    let told = format!(
        "conflict: the transaction conflicts with a later commit{what}; run it again (key {key:?}, current {current:?})"
    );
    fails(answer, &told)
}

/// Settings of a collection that keeps nothing of the past.
pub(crate) fn plain() -> Settings {
    keeping(None, None)
}

/// Settings of a collection that keeps some of it.
pub(crate) fn keeping(versions: Option<u32>, age: Option<u64>) -> Settings {
    Settings { attributes: Vec::new(), retention: Retention { versions, age } }
}

/// Deletes a collection of an earlier run, if there is one.
pub(crate) fn gone(name: &str) -> Case {
    match collections::delete(name, true) {
        Ok(()) | Err(Error::NotFound(_)) => Ok(()),
        Err(error) => Err(told(&error)),
    }
}

/// A new collection of this name, whatever an earlier run has left.
#[track_caller]
pub(crate) fn fresh(name: &str) -> Result<Collection, String> {
    fresh_with(name, &plain())
}

/// The same with settings.
#[track_caller]
pub(crate) fn fresh_with(name: &str, settings: &Settings) -> Result<Collection, String> {
    gone(name)?;
    ok(collections::create(name, settings))
}

/// The default collection without the keys that begin so.
#[track_caller]
pub(crate) fn cleared_default(prefix: &str) -> Result<Collection, String> {
    let default = ok(collections::open(""))?;
    while ok(default.clear(prefix))?.more {}
    Ok(default)
}

/// A component as it was before it stored anything, but for its version.
pub(crate) fn wipe() -> Case {
    for collection in ok(collections::list(None))? {
        gone(&collection.name)?;
    }
    cleared_default("").map(drop)
}

/// Used bytes and number of records.
#[track_caller]
pub(crate) fn usage() -> Result<(u64, u64), String> {
    let usage = ok(store::usage())?;
    Ok((usage.used_bytes, usage.key_count))
}

/// That the component uses so many bytes and records more than before.
#[track_caller]
pub(crate) fn uses(before: (u64, u64), bytes: u64, keys: u64) -> Case {
    same(usage()?, (before.0 + bytes, before.1 + keys))
}

pub(crate) fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

pub(crate) fn pairs(texts: &[(&str, &str)]) -> Vec<(String, String)> {
    texts.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

/// A text that is there.
#[allow(clippy::unnecessary_wraps, reason = "it stands beside answers that may be none")]
pub(crate) fn some(text: &str) -> Option<String> {
    Some(text.to_owned())
}

/// The value of a record as text.
#[track_caller]
pub(crate) fn text(found: Result<Option<Vec<u8>>, Error>) -> Result<Option<String>, String> {
    Ok(ok(found)?.map(|value| String::from_utf8_lossy(&value).into_owned()))
}

/// So many keys of eight digits behind a prefix.
pub(crate) fn numbered(prefix: &str, n: usize) -> Vec<String> {
    (0..n).map(|n| format!("{prefix}{n:08}")).collect()
}

/// Options that say nothing.
pub(crate) fn bare() -> SetOptions {
    expiring(Expiry::Never)
}

pub(crate) fn expiring(expires: Expiry) -> SetOptions {
    SetOptions { expires, content_type: None, attributes: Vec::new() }
}

pub(crate) fn with(options: SetOptions) -> SetCall {
    SetCall { condition: None, options: Some(options) }
}

pub(crate) fn when(condition: Condition) -> SetCall {
    SetCall { condition: Some(condition), options: None }
}

pub(crate) fn check(key: &str, condition: Condition) -> Check {
    Check { key: key.to_owned(), condition }
}

pub(crate) fn item(key: &str, value: &[u8]) -> Item {
    Item { key: key.to_owned(), value: value.to_vec(), options: None }
}

/// Items of which each value is its key.
pub(crate) fn items(keys: &[String]) -> Vec<Item> {
    keys.iter().map(|key| item(key, key.as_bytes())).collect()
}

pub(crate) fn set(key: &str, value: &[u8]) -> Change {
    Change::Set(item(key, value))
}

pub(crate) fn add(key: &str, delta: i64) -> Change {
    Change::Increment((key.to_owned(), delta))
}

/// All keys.
pub(crate) fn all() -> KeyRange {
    KeyRange { prefix: None, start: None, end: None, pattern: None }
}

pub(crate) fn prefixed(prefix: &str) -> KeyRange {
    KeyRange { prefix: Some(prefix.to_owned()), ..all() }
}

pub(crate) fn between(start: &str, end: &str) -> KeyRange {
    KeyRange { start: Some(start.to_owned()), end: Some(end.to_owned()), ..all() }
}

pub(crate) fn like(pattern: &str) -> KeyRange {
    KeyRange { pattern: Some(pattern.to_owned()), ..all() }
}

/// The first page of a range.
pub(crate) fn page(range: KeyRange) -> ListOptions {
    ListOptions { range, start_after: None, reverse: false, limit: None, cursor: None }
}

/// All keys of a list, page after page.
#[track_caller]
pub(crate) fn keys(
    options: ListOptions,
    mut list: impl FnMut(&ListOptions) -> Result<types::KeyPage, Error>,
) -> Result<Vec<String>, String> {
    let (mut options, mut keys) = (options, Vec::new());
    loop {
        let page = ok(list(&options))?;
        keys.extend(page.keys);
        options.cursor = page.cursor;
        if options.cursor.is_none() {
            return Ok(keys);
        }
    }
}

/// All keys of a range of a collection.
#[track_caller]
pub(crate) fn keys_in(collection: &Collection, range: KeyRange) -> Result<Vec<String>, String> {
    keys(page(range), |options| collection.list_keys(options))
}

/// The guest's wall clock, in milliseconds since 1970.
pub(crate) fn now() -> u64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(now.as_millis()).unwrap_or(u64::MAX)
}

/// Waits for a moment. It is the only thing that can be done about expiry: the time must pass.
pub(crate) fn wait_until(moment: u64) {
    while now() < moment {
        std::hint::spin_loop();
    }
}
