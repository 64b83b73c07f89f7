//! For guests of [Stash](https://github.com/stash-host/stash), a host in which every WebAssembly component has a durable
//! store of its own: typed values, collections, transactions and pages, over the interface `stash:storage`. It must never
//! know who the component is: the host does.
//!
//! ```no_run
//! use serde::{Deserialize, Serialize};
//! use stash_guest::{Collection, Range, Result, Store};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Order {
//!     fruit: String,
//!     pieces: u32,
//! }
//!
//! fn main() -> Result<()> {
//!     // The store that is always there: any value that serde knows.
//!     Store.set("greeting", &"hello")?;
//!     let visits = Store.increment("visits", 1)?;
//!
//!     // A collection: values of one type, with versions, expiry, pages and more.
//!     let orders: Collection<Order> = Collection::open_or_create("orders")?;
//!     orders.set(&format!("{visits:020}"), &Order { fruit: "pear".into(), pieces: 2 })?;
//!     for order in orders.entries(&Range::all().reversed()).take(10) {
//!         let order = order?;
//!         println!("{}: {} {}", order.key, order.value.pieces, order.value.fruit);
//!     }
//!     Ok(())
//! }
//! ```
//!
//! An ordinary program is a component: `cargo build --release --target wasm32-wasip2`, then `stash run` it. The crate brings
//! its own bindings, so there is no WIT to write. A guest with a world of its own, of functions that it exports, uses it beside
//! its own `wit_bindgen::generate!`: the imports of both become one.
//!
//! | | |
//! |---|---|
//! | [`Store`] | the component's records, each of the type that the call says |
//! | [`Collection`] | records of one type: [`update`](Collection::update), [expiry](SetOptions), [pages](Range), [batches](Batch) |
//! | [`transaction`] | several reads and writes as one, run again where somebody else was faster |
//! | [`Format`] | how values become bytes: [`Json`] unless you say otherwise |
//! | [`Error`] | what went wrong, by [kind](ErrorKind) for programs and in words for people |
//! | [`raw`] | the interface itself, for what has no shorter way here |
//!
//! Every change that was answered without an error is on disk. On targets other than WebAssembly the crate compiles, for
//! editors and for tests of what does not call the store; a call panics there.

#![warn(missing_docs)]

mod batch;
mod bindings;
mod collection;
mod entry;
mod error;
mod format;
mod options;
mod pages;
mod retry;
mod store;
mod transaction;

pub use batch::{Batch, Committed};
pub use collection::Collection;
pub use entry::{Entry, Metadata};
pub use error::{Conflict, Error, ErrorKind, Result};
pub use format::{Bytes, Format, Json, Text};
pub use options::{Condition, Retention, SetOptions, Settings};
pub use pages::{Pages, Range};
pub use store::Store;
pub use transaction::{Isolation, Transaction, TransactionOptions, transaction};

/// The number of a commit. It grows by one with every commit of the component that changes something.
pub type Version = u64;

/// The interface itself, as wit-bindgen shows it.
pub mod raw {
    pub use crate::bindings::stash::storage::{capabilities, changes, collections, store, transactions, types};
}

/// The component's present version: it has grown when any of its records was changed.
///
/// # Errors
/// Where the store cannot tell.
pub fn version() -> Result<Version> {
    Ok(raw::capabilities::status()?.version)
}

// The examples in the read-me are compiled with the others.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct ReadMe;
