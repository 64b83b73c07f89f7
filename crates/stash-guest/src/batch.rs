//! Several changes of one collection as one commit. A value that cannot be written must keep the whole batch from happening.

use std::fmt;
use std::time::Duration;

use crate::error::{Error, Result};
use crate::format::Format;
use crate::options::{Condition, SetOptions, after};
use crate::raw::types::{self, Change, Check, Item};
use crate::store::encode;
use crate::{Collection, Version};

/// Changes that happen wholly or not at all, if all checks hold: at most 10,000 of both. The checks are about the state before;
/// a change sees what those before it did.
///
/// ```no_run
/// # fn main() -> stash_guest::Result<()> {
/// use stash_guest::{Collection, Condition};
///
/// let accounts: Collection<i64> = Collection::open_or_create("accounts")?;
/// let done = accounts
///     .batch()
///     .check("anna", Condition::Present)
///     .increment("anna", -5)
///     .increment("bob", 5)
///     .commit()?;
/// println!("Bob has {:?}", done.numbers.last());
/// # Ok(())
/// # }
/// ```
#[must_use = "nothing happens before `commit`"]
pub struct Batch<'a, V, F> {
    collection: &'a Collection<V, F>,
    checks: Vec<Check>,
    changes: Vec<Change>,
    failed: Option<Error>,
}

/// What a batch did.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Committed {
    /// The component's version afterwards.
    pub version: Version,
    /// Whether the keys of the changes had a record before, in their order.
    pub existed: Vec<bool>,
    /// The numbers afterwards, in the order of the changes; `None` for those that are not about numbers.
    pub numbers: Vec<Option<i64>>,
}

impl<'a, V, F: Format<V>> Batch<'a, V, F> {
    pub(crate) fn new(collection: &'a Collection<V, F>) -> Self {
        Self { collection, checks: Vec::new(), changes: Vec::new(), failed: None }
    }

    /// Nothing happens unless `condition` holds of the record with this key.
    pub fn check(mut self, key: impl Into<String>, condition: Condition) -> Self {
        self.checks.push(Check { key: key.into(), condition: condition.into() });
        self
    }

    /// Stores a value.
    pub fn set(self, key: impl Into<String>, value: &V) -> Self {
        self.put(key.into(), value, None)
    }

    /// Stores a value with an expiry, a content type or attributes.
    pub fn set_with(self, key: impl Into<String>, value: &V, options: &SetOptions) -> Self {
        self.put(key.into(), value, Some(options.raw()))
    }

    fn put(mut self, key: String, value: &V, options: Option<types::SetOptions>) -> Self {
        match encode::<V, F>(&key, value) {
            Ok(value) => self.changes.push(Change::Set(Item { key, value, options })),
            Err(error) => self.failed = self.failed.or(Some(error)),
        }
        self
    }

    /// Removes a record, if there is one.
    pub fn delete(self, key: impl Into<String>) -> Self {
        self.change(Change::Delete(key.into()))
    }

    /// Adds to a number, from 0 where there is none.
    pub fn increment(self, key: impl Into<String>, delta: i64) -> Self {
        self.change(Change::Increment((key.into(), delta)))
    }

    /// Makes a number no smaller than this; where there is none, makes it this.
    pub fn at_least(self, key: impl Into<String>, number: i64) -> Self {
        self.change(Change::Max((key.into(), number)))
    }

    /// Makes a number no larger than this; where there is none, makes it this.
    pub fn at_most(self, key: impl Into<String>, number: i64) -> Self {
        self.change(Change::Min((key.into(), number)))
    }

    /// Lets a record, which must be there, go by itself so long after the commit.
    pub fn expire_after(self, key: impl Into<String>, time: Duration) -> Self {
        self.change(Change::Expire((key.into(), after(time))))
    }

    /// Any change that the interface has.
    pub fn change(mut self, change: Change) -> Self {
        self.changes.push(change);
        self
    }

    /// Does it all, or nothing.
    ///
    /// # Errors
    /// That of the first check that does not hold; the store's; [`Format`](crate::ErrorKind::Format) where a value cannot
    /// be written.
    pub fn commit(self) -> Result<Committed> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let done = self.collection.raw().commit(&self.checks, &self.changes)?;
        Ok(Committed {
            version: done.version,
            existed: done.outcomes.iter().map(|outcome| outcome.existed).collect(),
            numbers: done.outcomes.iter().map(|outcome| outcome.number).collect(),
        })
    }
}

impl<V, F> fmt::Debug for Batch<'_, V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Batch").field("checks", &self.checks).field("changes", &self.changes).finish_non_exhaustive()
    }
}
