//! Sets `k/00000001`, `k/00000002`, ... and prints each key once its `set` was acknowledged, for ever or for as many as
//! the argument says. A test kills the host in the middle, and looks for every key that was printed.
//! It must never print a key before the store said that it is kept.

wit_bindgen::generate!({ path: "../../../wit", world: "stash:storage/imports", generate_all });

use stash::storage::store;
use std::error::Error;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("set-stream: {e}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let last = match std::env::args().nth(1) {
        Some(n) => n.parse().map_err(|e| format!("'{n}' is not a number of keys: {e}"))?,
        None => u64::MAX,
    };
    let mut out = std::io::stdout().lock();
    for n in 1..=last {
        let key = format!("k/{n:08}");
        store::set(&key, n.to_string().as_bytes())?;
        writeln!(out, "{key}")?;
        out.flush()?;
    }
    Ok(())
}
