//! What engines with one owner and one writer thread share, whatever their files look like.
//!
//! - Callers queue, components take turns ([`GroupCommit`]); what arrives during one disk commit is the next group, and
//!   there is no timer.
//! - Reads come from the view that was published after the last commit, and never wait for a writer.
//! - After an I/O error the store is opened again, so that reads tell what the disk holds.
//!
//! An engine brings a [`Store`]: how to read, how to make one disk commit of a [`Group`], and how to open the same store
//! again. This crate must never know a file format, nor answer an update before the store says that the disk has it.

mod engine;
pub mod folder;
mod holder;
mod job;
mod panics;
mod queue;
mod store;
mod writer;

pub use engine::{GroupCommit, GroupSnapshot, Opener};
pub use holder::describe as describe_holder;
pub use job::{Answer, DecisionJob, Job};
pub use panics::unless_it_panics;
pub use store::{Failure, Group, ReadView, Store, Transaction};
