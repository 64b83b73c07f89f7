//! What a key-value interface promises, as checks that run inside a guest and know nothing of the host. A shape says how its
//! functions are called ([`Bucket`] and what goes with it), and gets the checks of what it has. A check must need no other
//! one, must leave nothing behind, and must pass again on a store that it has used before.

mod all;
mod checks;
mod expect;
mod runner;
mod shape;

pub use all::all;
pub use checks::{
    batches, buckets, counted_together, counters, named_errors, options, pages, prefixes, streams, swaps, together,
    told, told_errors, values, versions, watched,
};
pub use runner::{Check, main, now, report, run};
pub use shape::{
    Batch, Bucket, Counters, Entry, Error, Got, Options, Paged, Prefixed, Refused, Required, SetOptions, Streamed,
    Swapped, Swaps, Versions,
};
