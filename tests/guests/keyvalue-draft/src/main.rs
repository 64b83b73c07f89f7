//! The checks of wasi:keyvalue@0.2.0-draft, as a command. It must import nothing but WASI and that shape: it runs on any
//! host that has both.

mod store;

use std::process::ExitCode;

use keyvalue_checks::{batches, buckets, counters, pages, values};
use store::Store;

fn main() -> ExitCode {
    let checks = [values(), buckets(), pages(), batches(), counters()];
    keyvalue_checks::main::<Store>("wasi:keyvalue@0.2.0-draft", checks.into_iter().flatten())
}
