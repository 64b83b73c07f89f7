//! Commits. One must be applied wholly or not at all, and be called refused or not sent only where it never can be applied.

use std::sync::Arc;

use bytes::Bytes;
use stash_core::StorageError;
use stash_shared::{Commit, CommitError, Outcome};
use tokio_postgres::types::ToSql;

use crate::error::Failure;
use crate::link::Link;
use crate::reads::{MOST_KEY_BYTES, number};
use crate::sql::{Heads, Shape};

/// A commit as a statement takes it.
pub(crate) struct Prepared<'a> {
    heads: Heads,
    owners: Vec<&'a [u8]>,
    revisions: Vec<i64>,
    writers: Vec<&'a [u8]>,
    /// The writers of the heads that are expected.
    before: Vec<&'a [u8]>,
    keys: Vec<&'a [u8]>,
    values: Vec<&'a [u8]>,
    removed: Vec<&'a [u8]>,
}

impl<'a> Prepared<'a> {
    pub(crate) fn of(commit: &'a Commit) -> Result<Self, CommitError> {
        let heads = match commit.owners.as_slice() {
            [one] if one.revision == 0 => Heads::New,
            [_] => Heads::One,
            _ => Heads::Several,
        };
        let mut prepared = Self {
            heads,
            owners: commit.owners.iter().map(|expected| &expected.owner[..]).collect(),
            revisions: Vec::with_capacity(commit.owners.len()),
            writers: commit.owners.iter().map(|expected| &expected.head.writers[..]).collect(),
            before: commit.owners.iter().map(|expected| &expected.writers[..]).collect(),
            keys: Vec::new(),
            values: Vec::new(),
            removed: Vec::new(),
        };
        for expected in &commit.owners {
            let revision = i64::try_from(expected.revision).map_err(|_| {
                let reason = "a namespace has a revision that PostgreSQL cannot count to".to_owned();
                CommitError::Refused(StorageError::Corrupt { reason })
            })?;
            prepared.revisions.push(revision);
        }
        for (key, value) in &commit.writes {
            match value {
                Some(value) => {
                    check_key(key)?;
                    prepared.keys.push(key);
                    prepared.values.push(value);
                }
                None => prepared.removed.push(key),
            }
        }
        Ok(prepared)
    }

    /// The namespaces that may have no head yet and must have one to be locked.
    fn new_owners(&self) -> Vec<&'a [u8]> {
        if self.heads != Heads::Several {
            return Vec::new();
        }
        let owners = self.owners.iter().zip(&self.revisions);
        owners.filter(|(_, revision)| **revision == 0).map(|(owner, _)| *owner).collect()
    }

    /// Whether a server that changes each table once in a statement can take it as one.
    pub(crate) fn is_portable(&self) -> bool {
        self.keys.is_empty() || self.removed.is_empty()
    }

    /// Applies it as one statement.
    pub(crate) async fn apply(&self, link: &Arc<Link>) -> Result<Outcome, CommitError> {
        match self.begin(link).await {
            Ok(()) => {}
            Err(failure) => return not_begun(failure),
        }
        match self.run(link, true).await {
            Ok(outcome) => Ok(outcome),
            Err(failure) => failure.of_commit(),
        }
    }

    /// Applies it as a transaction on a connection that nobody else uses.
    pub(crate) async fn apply_in_steps(&self, link: &Arc<Link>) -> Result<Outcome, CommitError> {
        let begun = async {
            self.begin(link).await?;
            link.run("BEGIN").await?;
            self.run(link, false).await
        };
        match begun.await {
            Ok(Outcome::Applied) => {}
            // Whoever holds the connection ends the transaction.
            Ok(Outcome::Conflict) => return Ok(Outcome::Conflict),
            Err(failure) => return not_begun(failure),
        }
        if let Err(failure) = link.ask(Shape::Remove, &[&self.removed]).await {
            return not_begun(failure);
        }
        match link.run("COMMIT").await {
            Ok(()) => Ok(Outcome::Applied),
            Err(failure) => failure.of_commit(),
        }
    }

    /// Sees that all heads are there. One of revision 0 is none.
    async fn begin(&self, link: &Arc<Link>) -> Result<(), Failure> {
        let new = self.new_owners();
        if !new.is_empty() {
            link.ask(Shape::Begin, &[&new]).await?;
        }
        Ok(())
    }

    async fn run(&self, link: &Arc<Link>, removes: bool) -> Result<Outcome, Failure> {
        let mut parameters: Vec<&(dyn ToSql + Sync)> = Vec::with_capacity(7);
        if self.heads == Heads::Several {
            parameters.extend([&self.owners as &(dyn ToSql + Sync), &self.revisions, &self.writers, &self.before]);
        } else if let (Some(owner), Some(revision), Some(writers), Some(before)) =
            (self.owners.first(), self.revisions.first(), self.writers.first(), self.before.first())
        {
            parameters.extend([owner as &(dyn ToSql + Sync), revision, writers]);
            if self.heads == Heads::One {
                parameters.push(before);
            }
        }
        let (sets, removes) = (!self.keys.is_empty(), removes && !self.removed.is_empty());
        if sets {
            parameters.extend([&self.keys as &(dyn ToSql + Sync), &self.values]);
        }
        if removes {
            parameters.push(&self.removed);
        }
        let rows = link.ask(Shape::Commit { heads: self.heads, sets, removes }, &parameters).await?;
        let bumped = rows.first().map_or(Ok(0), |row| number(row, 0))?;
        let is_applied = usize::try_from(bumped) == Ok(self.owners.len());
        Ok(if is_applied { Outcome::Applied } else { Outcome::Conflict })
    }
}

/// What a failure before the statement that commits means: nothing was committed, and nothing will be.
fn not_begun(failure: Failure) -> Result<Outcome, CommitError> {
    let text = failure.to_string();
    match failure.of_commit() {
        Err(CommitError::Lost(_)) => Err(CommitError::NotSent(text)),
        other => other,
    }
}

fn check_key(key: &Bytes) -> Result<(), CommitError> {
    if key.len() <= MOST_KEY_BYTES {
        return Ok(());
    }
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    Err(CommitError::Refused(StorageError::LimitExceeded {
        what: "the size in bytes of a key, with the names of its component and collection, in PostgreSQL",
        actual: number(key.len()),
        limit: number(MOST_KEY_BYTES),
        instead: "use a shorter key, or shorter names",
    }))
}
