//! The checks, by what a shape must have for them.

mod batches;
mod buckets;
mod counters;
mod errors;
mod options;
mod pages;
mod prefixes;
mod streams;
mod swaps;
mod together;
mod values;
mod versions;
mod watched;

pub use batches::batches;
pub use buckets::buckets;
pub use counters::counters;
pub use errors::{named_errors, told_errors};
pub use options::options;
pub use pages::pages;
pub use prefixes::prefixes;
pub use streams::streams;
pub use swaps::swaps;
pub use together::{counted_together, together};
pub use values::values;
pub use versions::versions;
pub use watched::{told, watched};
