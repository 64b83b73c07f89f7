//! What engines that several hosts share have in common, whatever server keeps the data.
//!
//! - A commit is optimistic: its decision runs on this host, on what was fetched; the server applies it only if none of the
//!   namespaces that it looked at has changed since. So no lock is held while anybody thinks, and a host that stops half-way
//!   stops nobody else.
//! - What waits for the same namespace on this host goes in one commit; different namespaces commit side by side.
//! - A commit whose answer was lost is looked up, never repeated: each namespace's head names the last commit of each host.
//! - What other hosts commit is heard of by asking for the heads of the namespaces in use, twice a second, and by
//!   announcements in between. Caches are trusted only as long as that has an answer.
//!
//! An engine brings a [`Server`]: how to read, and how to apply a [`Commit`] all or not at all. This crate must never know a
//! server's protocol, nor tell a caller that a commit took effect unless the server said so, or was asked and said so.

mod announce;
mod engine;
mod group;
mod head;
mod lanes;
mod news;
mod reach;
mod server;
mod view;

pub use engine::{SharedEngine, SharedOptions};
pub use head::{Head, HostId};
pub use server::{
    Commit, CommitError, CommitLimits, Expected, Fetched, HeadHeard, Heard, Outcome, Server, ServerError, Wanted,
};
