//! Counters that survive the process, as functions and over HTTP: the smallest component that exports something and keeps
//! something. It must never lose a count: it adds inside the store, so that any number of instances may count at once.

#[path = "../../http.rs"]
mod http;

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package stash:counter;

        world counter {
            include stash:storage/imports@0.1.0;

            /// Adds one, and returns the new value.
            export increment: func() -> result<s64, string>;
            /// The value, 0 where nothing was ever counted.
            export current: func() -> result<s64, string>;
        }
    ",
    world: "stash:counter/counter",
    generate_all,
});

use http::{Answer, IncomingRequest, Method, Request, ResponseOutparam};
use stash::storage::store;
use stash::storage::types::Error;

/// Where the number is kept that has no name, as decimal text, so that `stash kv get` shows it.
const KEY: &str = "count";

struct Counter;

impl Guest for Counter {
    fn increment() -> Result<i64, String> {
        store::increment(KEY, 1).map_err(reason)
    }

    fn current() -> Result<i64, String> {
        current(KEY).map_err(reason)
    }
}

export!(Counter);

// `wasip2` has WASI's side of it: the world above need not say that this component answers HTTP.
impl wasip2::exports::http::incoming_handler::Guest for Counter {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        http::serve(request, out, |request| answer(request).unwrap_or_else(failed));
    }
}

wasip2::http::proxy::export!(Counter);

fn answer(request: &Request) -> Result<Answer, Error> {
    let name = if request.path == "/" { KEY } else { request.name() };
    if !is_name(name) {
        return Ok(Answer::text(400, "a name has 1 to 64 letters, digits, '-' and '_'\n"));
    }
    Ok(match request.method {
        Method::Get => number(current(name)?),
        Method::Post => match whole_number(request.parameter("by").unwrap_or("1")) {
            Some(by) => number(store::increment(name, by)?),
            None => Answer::text(400, "by: not a whole number\n"),
        },
        Method::Delete => {
            store::delete(name)?;
            Answer::empty(204)
        }
        _ => Answer::text(405, "use GET, POST or DELETE\n").header("allow", "GET, POST, DELETE"),
    })
}

fn current(key: &str) -> Result<i64, Error> {
    let Some(bytes) = store::get(key)? else { return Ok(0) };
    match std::str::from_utf8(&bytes).ok().and_then(whole_number) {
        Some(number) => Ok(number),
        // Of a value that is no number, the store itself says what is wrong.
        None => store::increment(key, 0),
    }
}

fn is_name(name: &str) -> bool {
    (1..=64).contains(&name.len()) && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
}

/// A whole number; `+` is none, for in a query it is a space.
fn whole_number(text: &str) -> Option<i64> {
    if text.starts_with('+') { None } else { text.parse().ok() }
}

fn number(number: i64) -> Answer {
    Answer::text(200, format!("{number}\n"))
}

fn failed(error: Error) -> Answer {
    let status = if matches!(error, Error::InvalidNumber(_)) { 409 } else { 500 };
    Answer::text(status, format!("{}\n", reason(error)))
}

/// What the store said, for a person: all that these calls can meet.
fn reason(error: Error) -> String {
    match error {
        Error::InvalidNumber(text)
        | Error::QuotaExceeded(text)
        | Error::IoError(text)
        | Error::Unavailable(text)
        | Error::LimitExceeded(text) => text,
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::{is_name, whole_number};

    #[test]
    fn a_name_is_short_and_plain() {
        for name in ["a", "A-1_b", &"x".repeat(64)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "a/b", "a.b", "ä", "a b", "%41", &"x".repeat(65)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_number_is_whole_and_of_64_bits() {
        assert_eq!(whole_number("-9223372036854775808"), Some(i64::MIN));
        assert_eq!(whole_number("9223372036854775807"), Some(i64::MAX));
        for text in ["", "+1", "1.0", " 1", "1e3", "0x1", "9223372036854775808"] {
            assert_eq!(whole_number(text), None, "{text}");
        }
    }
}
