//! The checks, by what a shape must have for them.

mod batches;
mod buckets;
mod counters;
mod pages;
mod swaps;
mod values;

pub use batches::batches;
pub use buckets::buckets;
pub use counters::counters;
pub use pages::pages;
pub use swaps::swaps;
pub use values::values;
