//! A counter that survives the process: the smallest component that exports functions and keeps something.
//! It must never start again from zero because it could not read what it kept. It counts for one instance at a time: it
//! reads and then writes, and two instances between the two would count once.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package stash:counter;

        world counter {
            include stash:storage/imports@0.1.0;

            /// Adds one, and returns the new value.
            export increment: func() -> result<u64, string>;
            /// The value, 0 where nothing was ever counted.
            export current: func() -> result<u64, string>;
        }
    ",
    world: "stash:counter/counter",
    generate_all,
});

use stash::storage::{store, types};

/// Where the number is kept, as decimal text, so that `stash kv get` shows it.
const KEY: &str = "count";

struct Counter;

impl Guest for Counter {
    fn increment() -> Result<u64, String> {
        let next = Self::current()?.checked_add(1).ok_or("the counter is at its largest value")?;
        store::set(KEY, next.to_string().as_bytes()).map_err(reason)?;
        Ok(next)
    }

    fn current() -> Result<u64, String> {
        let Some(bytes) = store::get(KEY).map_err(reason)? else { return Ok(0) };
        str::from_utf8(&bytes)
            .ok()
            .and_then(|text| text.trim().parse().ok())
            .ok_or_else(|| format!("'{KEY}' holds {:?}, not a number", String::from_utf8_lossy(&bytes)))
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

export!(Counter);
