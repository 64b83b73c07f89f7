//! What a key-value interface promises, as checks that run inside a guest and know nothing of the host. A shape says how its
//! functions are called ([`Bucket`] and what goes with it), and gets the checks of what it has. A check must need no other
//! one, must leave nothing behind, and must pass again on a store that it has used before.

mod checks;
mod expect;
mod runner;
mod shape;

pub use checks::{batches, buckets, counters, pages, swaps, values};
pub use runner::{Check, main};
pub use shape::{Batch, Bucket, Counters, Error, Got, Paged, Refused, Swaps};
