//! The guests that the tests run: a constant for each, the path of its component, built by this crate's build script. It
//! must never be edited for a new guest: a folder in one of the guests' workspaces is enough.

// Tests may panic, and their helpers for them.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

pub mod history;
pub mod http;
pub mod proxy;
pub mod support;

include!(concat!(env!("OUT_DIR"), "/guests.rs"));
