//! A counter that survives the process: the smallest component that exports functions and keeps something.
//! It must never lose a count: it adds inside the store, so that any number of instances may count at once.

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

use stash::storage::store;
use stash::storage::types::Error;

/// Where the number is kept, as decimal text, so that `stash kv get` shows it.
const KEY: &str = "count";

struct Counter;

impl Guest for Counter {
    fn increment() -> Result<i64, String> {
        store::increment(KEY, 1).map_err(reason)
    }

    fn current() -> Result<i64, String> {
        let Some(bytes) = store::get(KEY).map_err(reason)? else { return Ok(0) };
        let text = String::from_utf8_lossy(&bytes);
        text.parse().map_err(|_| format!("'{KEY}' holds {text:?}, not a number"))
    }
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

export!(Counter);
