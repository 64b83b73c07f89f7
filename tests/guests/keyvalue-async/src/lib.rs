//! Uses the key-value interfaces of WASI 0.3 for what only this host promises, and for what a test sees from outside; the
//! checks that any host can run are `keyvalue-wasmcloud` and `keyvalue-spin3`. A function must say what it expected and what
//! came, and must work again on a store that it has used before.

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "stash:keyvalue-async/suite",
    generate_all,
});

mod same;
mod spin3;
mod wasmcloud2;

use std::fmt::Debug;

struct Suite;

impl Guest for Suite {
    async fn see_the_same() -> Result<(), String> {
        same::check().await
    }

    async fn stream_keys(number: u32) -> Result<u32, String> {
        spin3::stream_keys(number).await
    }

    async fn hold_streams(keys: u32, streams: u32) -> Result<u32, String> {
        spin3::hold_streams(keys, streams).await
    }

    async fn count(times: u32) -> Result<i64, String> {
        wasmcloud2::count(times).await
    }

    async fn open(name: String) -> Result<(), String> {
        wasmcloud2::open(name).await
    }
}

/// What came is what was expected.
#[allow(clippy::needless_pass_by_value, reason = "what came and what was expected are written in place")]
fn expect<T: PartialEq + Debug>(what: &str, came: T, expected: T) -> Result<(), String> {
    if came == expected { Ok(()) } else { Err(format!("{what}: expected {expected:?}, got {came:?}")) }
}

/// An error of an interface as text, with what was done.
fn failed<E: Debug>(what: &'static str) -> impl Fn(E) -> String {
    move |error| format!("{what}: {error:?}")
}

export!(Suite);
