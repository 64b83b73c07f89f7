//! Panics of a file format's code as errors. Only for code that reads what a damaged disk may hold.

use std::panic::{AssertUnwindSafe, catch_unwind};

/// Formats trust what they have written: a damaged file can make their code panic. Here that is an error like any other.
///
/// # Errors
/// What a caller may be told where `work` panicked.
pub fn unless_it_panics<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|_| "the store is damaged: reading it failed".to_owned())
}
