//! Benchmarks of Stash, side by side with what a user would pick instead. Nothing here asserts: a benchmark prints what
//! it saw, and a person judges.
//!
//! - `cargo bench -p stash-bench --bench ratios` prints the ratios that the project promises, and what they are made of.
//! - `cargo bench -p stash-bench --bench layers` prints what each layer of a component's chain costs.
//! - `cargo bench -p stash-bench --bench contract` prints what the storage contract costs over an engine used by hand.
//! - `cargo bench -p stash-bench --bench serve` prints `stash serve` beside `wasmtime serve`.
//!
//! The parts: [`contest`] measures several sides in turn, so that a noisy machine is noisy for all of them;
//! [`records`] says what is stored and [`stores`] stores it; [`plain`] is redb without Stash; [`guest`] runs the guest
//! `tests/guests/kv-bench`; [`servers`] starts servers and [`load`] asks them;
//! [`ready`] waits for what does not wait; [`table`] prints.

// Nothing that a stranger wrote comes in here; a benchmark that cannot go on may stop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

pub mod contest;
pub mod guest;
pub mod load;
pub mod plain;
pub mod ready;
pub mod records;
pub mod servers;
pub mod stores;
pub mod table;
