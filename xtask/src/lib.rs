//! What `cargo xtask` does, as a library, because the tests' build script builds guests too.
//! It must never ask anything, and must never print to stdout from what a build script calls ([`guests`], [`wasm`]):
//! cargo reads that.

pub mod checks;
pub mod command;
pub mod demo;
pub mod guests;
pub mod languages;
pub mod paths;
pub mod servers;
pub mod test;
pub mod tools;
pub mod wasm;
