//! The suite that every engine and every chain of layers must pass. It must know no engine: what it tests is the
//! contract in `stash-core`, and what an engine says of itself decides what is skipped, which is printed.
//!
//! An engine's own tests run all of it:
//!
//! ```
//! use stash_conformance::Fresh;
//! use stash_core::MemoryEngine;
//!
//! // A closure is enough for an engine that cannot be opened again; a durable one implements `EngineFixture`.
//! let engines = || Fresh(async || MemoryEngine::default());
//! stash_conformance::engine::run(engines());
//! # if false {
//! stash_conformance::storage::run(engines());
//! stash_conformance::model::check(engines());
//! # }
//! ```
//!
//! - [`engine`]: the four verbs, case by case.
//! - [`storage`]: [`ComponentStorage`](stash_core::ComponentStorage) on whole chains, with many kinds of cache,
//!   concurrent callers included.
//! - [`model`]: random calls against a plain map.
//! - [`interleave`]: random interleavings and cancellations of calls around a cache, decided by hand and not by threads.
//!
//! The first two have `try_run`, which gives a [`Report`] instead of panicking, and the others `try_check`: so that a
//! deliberately wrong engine can be shown to fail.

// A test suite in the form of a library: panicking is how a case says no, and the runner catches it.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::missing_panics_doc)]

mod chain;
pub mod decision;
pub mod delayed;
pub mod engine;
mod fixture;
pub mod interleave;
pub mod model;
mod report;
pub mod storage;
mod world;

pub use fixture::{EngineFixture, Fresh};
pub use report::{Outcome, Report};
pub use world::{ChainConfig, Chains, ChainsOver, World, WorldFixture};
