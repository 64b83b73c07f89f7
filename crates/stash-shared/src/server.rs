//! What a server must be able to do to keep a shared store, and what it is asked.

use std::future::Future;
use std::sync::Arc;

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{EngineInfo, EngineStatus, Page, Scan, Snapshot};

use crate::head::Head;

/// A server that several hosts write to: an ordered map of bytes, and beside it the [`Head`] of each namespace.
///
/// Its futures may be polled anywhere; timers and sockets of tokio can be used in them. Each is dropped when it takes too
/// long, and a connection that did not answer must not be used again.
pub trait Server: Send + Sync + 'static {
    /// A handle on one unchanging state.
    type Snapshot: Snapshot;

    /// What it is and does.
    fn info(&self) -> EngineInfo;

    /// How much one commit may write.
    fn limits(&self) -> CommitLimits;

    /// How it is now, as far as that is known without asking it.
    fn status(&self) -> EngineStatus {
        EngineStatus::default()
    }

    /// The values of some keys, from one state.
    fn read(&self, keys: &[&[u8]]) -> impl Future<Output = Result<Vec<Option<Bytes>>, ServerError>> + Send;

    /// The same, where the values together have at most so many bytes; else `None`. It is asked once.
    fn read_up_to(
        &self,
        keys: &[&[u8]],
        max_bytes: usize,
    ) -> impl Future<Output = Result<Option<Vec<Option<Bytes>>>, ServerError>> + Send;

    /// One page of a range, from one state.
    fn scan(&self, scan: &Scan) -> impl Future<Output = Result<Page, ServerError>> + Send;

    /// Keys, ranges and heads, all from one state.
    fn fetch(&self, wanted: &Wanted) -> impl Future<Output = Result<Fetched, ServerError>> + Send;

    /// The heads of some namespaces, each as it is at some moment within the call.
    fn heads(&self, owners: &[Bytes]) -> impl Future<Output = Result<Vec<Head>, ServerError>> + Send;

    /// Applies a commit, durably as [`EngineInfo::durable`] says, if every namespace's head has the expected revision; else
    /// nothing of it.
    fn commit(&self, commit: &Commit) -> impl Future<Output = Result<Outcome, CommitError>> + Send;

    /// The present state, to be read from for some time.
    fn snapshot(&self) -> impl Future<Output = Result<Self::Snapshot, ServerError>> + Send;

    /// Tells the other hosts, if there is a quick way for it. It may be lost: heads are asked for too.
    fn announce(&self, message: Bytes) -> impl Future<Output = ()> + Send {
        let _ = message;
        async {}
    }

    /// Whom to tell what other hosts announce. Called once, before anything else.
    fn listen(&self, heard: Heard) {
        drop(heard);
    }

    /// Whom to tell the heads that commits leave, where the server itself tells of them and needs no announcements. Called
    /// once, before anything else.
    fn listen_for_heads(&self, heard: HeadHeard) {
        drop(heard);
    }
}

/// Who is told of an announcement. It must not be kept waiting.
pub type Heard = Arc<dyn Fn(&[u8]) + Send + Sync>;

/// Who is told that a namespace has a new head. It must not be kept waiting.
pub type HeadHeard = Arc<dyn Fn(&[u8], &Head) + Send + Sync>;

/// How much one commit may write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CommitLimits {
    /// Keys that are set or removed.
    pub writes: usize,
    /// Bytes of keys and values. One change of a key may always have more.
    pub bytes: usize,
}

/// What a decision needs to know.
#[derive(Debug, Clone, Default)]
pub struct Wanted {
    /// Keys.
    pub keys: Vec<Bytes>,
    /// Ranges.
    pub scans: Vec<Scan>,
    /// Namespaces whose heads are wanted.
    pub owners: Vec<Bytes>,
}

/// The answer to [`Wanted`], in its order.
#[derive(Debug, Clone, Default)]
pub struct Fetched {
    /// Of each key.
    pub values: Vec<Option<Bytes>>,
    /// Of each range.
    pub pages: Vec<Page>,
    /// Of each namespace.
    pub heads: Vec<Head>,
}

/// Something to apply, all or not at all.
#[derive(Debug, Clone, Default)]
pub struct Commit {
    /// The namespaces that it depends on, in the order of their names, none twice.
    pub owners: Vec<Expected>,
    /// What is written, in the order of the keys, none twice: `None` removes the key.
    pub writes: Vec<(Bytes, Option<Bytes>)>,
}

impl Commit {
    /// Bytes of keys and values.
    pub(crate) fn bytes(&self) -> usize {
        let size = |(key, value): &(Bytes, Option<Bytes>)| key.len() + value.as_ref().map_or(0, Bytes::len);
        self.writes.iter().map(size).sum()
    }
}

/// What a commit expects of a namespace, and leaves there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Expected {
    /// The namespace; see [`owner`](stash_core::keyspace::owner).
    pub owner: Bytes,
    /// The revision that its head must have; 0 where there must be none.
    pub revision: u64,
    /// The writers of the head with that revision. A server that may have lost commits which it had answered can hold
    /// another head with the same revision; where it can, it compares these too.
    pub writers: Bytes,
    /// The head that the commit leaves: the next revision.
    pub head: Head,
}

/// What became of a commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It was applied.
    Applied,
    /// A head had another revision, or the server could not order it among others: nothing was applied.
    Conflict,
}

/// Why a server has not answered a question.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ServerError {
    /// It cannot be reached now, or said that it should be asked again.
    #[error("{0}")]
    Unreachable(String),
    /// It has answered, and asking again will not help.
    #[error(transparent)]
    Refused(#[from] StorageError),
}

/// Why a commit has no outcome.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// It was not applied, and never will be.
    #[error(transparent)]
    Refused(#[from] StorageError),
    /// It was not sent, because the server cannot be reached now.
    #[error("{0}")]
    NotSent(String),
    /// The answer was lost: it may be applied, or be applied yet.
    #[error("{0}")]
    Lost(String),
}
