//! The guest of `crates/stash-bench`: the same loops over `stash:storage`, `wasi:keyvalue` and a few bare host functions.
//! It must do nothing between two calls that one loop does and another does not.

wit_bindgen::generate!({
    path: "../../../wit",
    inline: "
        package stash:bench;

        /// Host functions that do as little as can be done, to tell what a call itself costs.
        interface probe {
            nothing: func();
            nothing-async: func();
            get: func(key: string) -> result<option<list<u8>>, string>;
            get-async: func(key: string) -> result<option<list<u8>>, string>;
        }

        world kv-bench {
            import stash:storage/store@0.1.0;
            import wasi:keyvalue/store@0.2.0-draft;
            import probe;

            /// Calls a host function that does nothing, `n` times.
            export call-nothing: func(n: u32);
            /// The same, where the host's function is async and ready at once.
            export call-nothing-async: func(n: u32);
            /// Gets one key after the other, `n` times in all, and returns the bytes it was given.
            export stash-get: func(keys: list<string>, n: u32) -> result<u64, string>;
            /// The same through `wasi:keyvalue`, from a bucket opened once.
            export keyvalue-get: func(keys: list<string>, n: u32) -> result<u64, string>;
            /// The same from a host function that only looks into a map.
            export probe-get: func(keys: list<string>, n: u32) -> result<u64, string>;
            /// The same, where the host's function is async and ready at once.
            export probe-get-async: func(keys: list<string>, n: u32) -> result<u64, string>;
            /// Whether each of the keys is there, `n` calls in all; how many were.
            export stash-exists: func(keys: list<string>, n: u32) -> result<u64, string>;
            /// Sets each key to `value`, and returns how many nanoseconds each call took.
            export stash-set: func(keys: list<string>, value: list<u8>) -> result<list<u64>, string>;
        }
    ",
    world: "stash:bench/kv-bench",
    generate_all,
});

use std::time::Instant;

use stash::bench::probe;
use stash::storage::store;
use wasi::keyvalue0_2_0_draft::store as keyvalue;

struct Bench;

/// Calls `get` for one key after the other, `n` times in all; the sum of what it returns.
fn repeat(keys: &[String], n: u32, mut get: impl FnMut(&str) -> Result<u64, String>) -> Result<u64, String> {
    let count = usize::try_from(n).map_err(|error| error.to_string())?;
    keys.iter().cycle().take(count).try_fold(0, |sum, key| Ok(sum + get(key)?))
}

fn length(value: Option<Vec<u8>>) -> u64 {
    value.map_or(0, |value| value.len() as u64)
}

impl Guest for Bench {
    fn call_nothing(n: u32) {
        (0..n).for_each(|_| probe::nothing());
    }

    fn call_nothing_async(n: u32) {
        (0..n).for_each(|_| probe::nothing_async());
    }

    fn stash_get(keys: Vec<String>, n: u32) -> Result<u64, String> {
        repeat(&keys, n, |key| store::get(key).map(length).map_err(|error| error.to_string()))
    }

    fn keyvalue_get(keys: Vec<String>, n: u32) -> Result<u64, String> {
        let bucket = keyvalue::open("").map_err(|error| error.to_string())?;
        repeat(&keys, n, |key| bucket.get(key).map(length).map_err(|error| error.to_string()))
    }

    fn probe_get(keys: Vec<String>, n: u32) -> Result<u64, String> {
        repeat(&keys, n, |key| probe::get(key).map(length))
    }

    fn probe_get_async(keys: Vec<String>, n: u32) -> Result<u64, String> {
        repeat(&keys, n, |key| probe::get_async(key).map(length))
    }

    fn stash_exists(keys: Vec<String>, n: u32) -> Result<u64, String> {
        repeat(&keys, n, |key| store::exists(key).map(u64::from).map_err(|error| error.to_string()))
    }

    fn stash_set(keys: Vec<String>, value: Vec<u8>) -> Result<Vec<u64>, String> {
        let mut nanos = Vec::with_capacity(keys.len());
        for key in &keys {
            let start = Instant::now();
            store::set(key, &value).map_err(|error| error.to_string())?;
            nanos.push(u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX));
        }
        Ok(nanos)
    }
}

export!(Bench);
