//! What a commit asks for and what it answers. A batch only describes; it never touches storage.

use std::fmt;

use crate::error::StorageError;
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_ITEMS};
use crate::record::Version;
use crate::value::StorageValue;

/// Checks and mutations of one component that happen wholly or not at all.
///
/// ```
/// use stash_core::{Batch, ComponentStorage, MemoryBackend, NamespacedStorage, StorageError};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = NamespacedStorage::new(&"app/shop/1".parse()?, MemoryBackend::in_memory());
/// store.commit(Batch::new().require_absent("order:7").set("order:7", "2 pears").set("last", "7")).await?;
/// let again = store.commit(Batch::new().require_absent("order:7").set("order:7", "9 pears")).await;
/// assert_eq!(again.unwrap_err(), StorageError::AlreadyExists { key: "order:7".into() });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug, Default)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    /// What every key below begins with: empty in the component's own terms, its namespace's prefix below the
    /// namespace layer.
    pub(crate) scope: String,
    pub(crate) checks: Vec<Check>,
    pub(crate) mutations: Vec<Mutation>,
    pub(crate) quota_bytes: Option<u64>,
    pub(crate) hooks: CommitHooks,
}

/// A condition that must hold when the batch commits.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Check {
    /// There is no record with this key.
    Absent(String),
    /// There is a record with this key.
    Present(String),
}

/// A change to one record. Of several for one key the last one counts.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Mutation {
    /// Store the value, whether or not there was one.
    Set {
        /// The record's key.
        key: String,
        /// What to store.
        value: StorageValue,
    },
    /// Remove the record, if there is one.
    Delete {
        /// The record's key.
        key: String,
    },
}

impl Mutation {
    /// The key of the record that changes.
    pub fn key(&self) -> &str {
        match self {
            Self::Set { key, .. } | Self::Delete { key } => key,
        }
    }

    fn key_mut(&mut self) -> &mut String {
        match self {
            Self::Set { key, .. } | Self::Delete { key } => key,
        }
    }
}

impl Check {
    /// The key of the record that it looks at.
    pub fn key(&self) -> &str {
        match self {
            Self::Absent(key) | Self::Present(key) => key,
        }
    }

    fn key_mut(&mut self) -> &mut String {
        match self {
            Self::Absent(key) | Self::Present(key) => key,
        }
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a change: store `value` under `key`.
    pub fn set(mut self, key: impl Into<String>, value: impl Into<StorageValue>) -> Self {
        self.mutations.push(Mutation::Set { key: key.into(), value: value.into() });
        self
    }

    /// Adds a change: remove `key`.
    pub fn delete(mut self, key: impl Into<String>) -> Self {
        self.mutations.push(Mutation::Delete { key: key.into() });
        self
    }

    /// Adds a check: fail with [`AlreadyExists`](StorageError::AlreadyExists) if `key` is there.
    pub fn require_absent(mut self, key: impl Into<String>) -> Self {
        self.checks.push(Check::Absent(key.into()));
        self
    }

    /// Adds a check: fail with [`NotFound`](StorageError::NotFound) if `key` is not there.
    pub fn require_present(mut self, key: impl Into<String>) -> Self {
        self.checks.push(Check::Present(key.into()));
        self
    }

    /// Adds a check: fail with [`QuotaExceeded`](StorageError::QuotaExceeded) if the component would use more than
    /// `bytes` afterwards and more than it did before. Of two, the lower counts.
    pub fn require_usage_at_most(mut self, bytes: u64) -> Self {
        self.quota_bytes = Some(self.quota_bytes.map_or(bytes, |quota| quota.min(bytes)));
        self
    }

    /// Adds what to do when the batch is over; see [`CommitHooks`].
    pub fn with_hook(mut self, hook: impl FnOnce(Option<&Committed>, Changes<'_>) + Send + 'static) -> Self {
        self.hooks.0.push((self.scope.len(), Box::new(hook)));
        self
    }

    /// The checks so far.
    pub fn checks(&self) -> &[Check] {
        &self.checks
    }

    /// The changes so far.
    pub fn mutations(&self) -> &[Mutation] {
        &self.mutations
    }

    /// Puts the batch into a namespace: every key, and the scope, gets `prefix` in front.
    pub(crate) fn enter(&mut self, prefix: &str) {
        self.scope.insert_str(0, prefix);
        let keys = self.checks.iter_mut().map(Check::key_mut).chain(self.mutations.iter_mut().map(Mutation::key_mut));
        for key in keys {
            *key = [prefix, key].concat();
        }
    }

    /// Bytes of keys and values that it carries, as the component wrote them: the same in every layer.
    pub fn bytes(&self) -> usize {
        let own = |key: &str| key.len().saturating_sub(self.scope.len());
        let checks = self.checks.iter().map(|check| own(check.key()));
        let mutations = self.mutations.iter().map(|mutation| match mutation {
            Mutation::Set { key, value } => own(key).saturating_add(value.len()),
            Mutation::Delete { key } => own(key),
        });
        checks.chain(mutations).fold(0, usize::saturating_add)
    }

    /// Holds the batch against the limits on its size. A single value is bounded by the value's own limit instead.
    pub(crate) fn check_size(&self) -> Result<(), StorageError> {
        let items = self.checks.len().saturating_add(self.mutations.len());
        if items > MAX_BATCH_ITEMS {
            return Err(limit("the number of checks and changes in a batch", items, MAX_BATCH_ITEMS));
        }
        let bytes = self.bytes();
        if self.mutations.len() > 1 && bytes > MAX_BATCH_BYTES {
            return Err(limit("the size of a batch in bytes", bytes, MAX_BATCH_BYTES));
        }
        Ok(())
    }
}

/// A [`StorageError::LimitExceeded`] from lengths.
pub(crate) fn limit(what: &'static str, actual: usize, limit: usize) -> StorageError {
    let number = |n| u64::try_from(n).unwrap_or(u64::MAX);
    StorageError::LimitExceeded { what, actual: number(actual), limit: number(limit) }
}

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The namespace's version afterwards. A batch that changed nothing leaves it as it was.
    pub version: Version,
    /// For each mutation, whether its key had a record before.
    pub existed: Vec<bool>,
}

type Hook = Box<dyn FnOnce(Option<&Committed>, Changes<'_>) + Send>;

/// What layers want done when a batch is over, whatever becomes of its caller.
///
/// Each hook is called exactly once: with the outcome, when the commit has taken effect and reads see it, in the order
/// of versions and before the caller is answered; or with `None`, when the batch did not or may not have taken effect.
/// It is shown the batch's changes with their keys as they were where the hook was added.
/// A hook must be quick and must not wait.
#[derive(Default)]
pub struct CommitHooks(Vec<(usize, Hook)>);

impl fmt::Debug for CommitHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitHooks({})", self.0.len())
    }
}

/// The changes of a batch, in their order, as a layer of the chain knows them.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    mutations: &'a [Mutation],
    /// What layers below have put in front of every key.
    prefix_bytes: usize,
}

impl<'a> Changes<'a> {
    /// Each key with its new value; `None` where it is deleted.
    pub fn iter(self) -> impl Iterator<Item = (&'a str, Option<&'a StorageValue>)> {
        self.mutations.iter().map(move |mutation| {
            let value = match mutation {
                Mutation::Set { value, .. } => Some(value),
                Mutation::Delete { .. } => None,
            };
            (mutation.key().get(self.prefix_bytes..).unwrap_or_default(), value)
        })
    }
}

impl Batch {
    /// Calls the hooks that have not been called.
    pub(crate) fn settle(&mut self, outcome: Option<&Committed>) {
        for (scope_bytes, hook) in self.hooks.0.drain(..) {
            let prefix_bytes = self.scope.len().saturating_sub(scope_bytes);
            hook(outcome, Changes { mutations: &self.mutations, prefix_bytes });
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.settle(None);
    }
}
