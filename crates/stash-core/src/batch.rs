//! What a commit does: checks that must hold and mutations that happen together, or not at all. It must not know how
//! they are carried out.

use crate::collection::{CollectionName, Place};
use crate::error::StorageError;
use crate::hooks::{Changes, CommitHooks};
use crate::id::ComponentId;
use crate::keyspace::{check_key, check_prefix};
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_ITEMS, MAX_CLEAR_RECORDS, MAX_CLEARS, MAX_VALUE_BYTES};
use crate::metadata::{Expiry, MetadataChange, SetOptions};
use crate::mutation::Change;
use crate::record::Version;
use crate::scan::ScanRequest;
use crate::snapshot::Since;
use crate::value::StorageValue;

/// Checks and changes that are committed together: all of them, as one version, or none.
///
/// Checks are about the state before the batch. Changes happen in their order; each sees what those before it did.
/// At most [`MAX_BATCH_ITEMS`] checks and changes; [`MAX_BATCH_BYTES`] of keys and values unless it is a single change.
///
/// ```
/// # use stash_core::{Batch, ComponentStorage, MemoryBackend, NamespacedStorage, StorageError};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = NamespacedStorage::new(&"app/shop/1".parse()?, MemoryBackend::in_memory());
/// store.commit(Batch::new().require_absent("order:7").set("order:7", "2 pears").increment("orders", 1)).await?;
/// let again = store.commit(Batch::new().require_absent("order:7").set("order:7", "9 pears")).await;
/// assert_eq!(again.unwrap_err(), StorageError::AlreadyExists { key: "order:7".into() });
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
#[derive(Debug)]
#[must_use = "a batch does nothing until it is committed"]
pub struct Batch {
    /// What the names of the component's places begin with: empty until the namespace layer has put its prefix there.
    pub(crate) scope: String,
    /// Where the keys are: first the collection that the batch is committed to, then others. Below the namespace layer
    /// each has its prefix.
    pub(crate) places: Vec<BatchPlace>,
    /// Which place the next item is in.
    place: usize,
    pub(crate) checks: Vec<Check>,
    pub(crate) ranges: Vec<RangeCheck>,
    pub(crate) mutations: Vec<Mutation>,
    /// The state that a transaction has read: while it is the present one, nothing needs to be checked.
    pub(crate) since: Option<Since>,
    pub(crate) overwrite: bool,
    pub(crate) quota_bytes: Option<u64>,
    pub(crate) max_value_bytes: usize,
    hooks: CommitHooks,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct BatchPlace {
    /// `None`: the collection that the batch is committed to.
    pub(crate) place: Option<Place>,
    pub(crate) prefix: String,
}

/// The key of a check or a mutation, as the layer that has the batch knows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Name {
    pub(crate) text: String,
    pub(crate) place: usize,
}

/// A condition that must hold when the batch commits.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Check {
    pub(crate) name: Name,
    condition: Condition,
}

/// What must be so of a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Condition {
    /// There is no record; else [`AlreadyExists`](StorageError::AlreadyExists).
    Absent,
    /// There is a record; else [`NotFound`](StorageError::NotFound).
    Present,
    /// There is a record of this version; else [`Conflict`](StorageError::Conflict).
    Version(Version),
    /// A transaction has read this version, or that there was no record; else
    /// [`TransactionConflict`](StorageError::TransactionConflict).
    Unchanged(Option<Version>),
}

/// A range that a transaction has read: it must hold the same records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RangeCheck {
    pub(crate) place: usize,
    /// What was asked for, in the component's own keys.
    pub(crate) request: ScanRequest,
    /// The last key that was looked at, in the direction of the scan; `None` where it was all of them.
    pub(crate) until: Option<String>,
    /// How many records there were.
    pub(crate) count: u64,
    /// None of them is newer than this.
    pub(crate) since: Version,
}

/// A change of the record with one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mutation {
    pub(crate) name: Name,
    pub(crate) change: Change,
}

impl Mutation {
    /// The key, as this layer knows it.
    pub fn key(&self) -> &str {
        &self.name.text
    }

    /// What happens to its record.
    pub fn change(&self) -> &Change {
        &self.change
    }
}

impl Check {
    /// The key, as this layer knows it.
    pub fn key(&self) -> &str {
        &self.name.text
    }

    /// What must be so.
    pub fn condition(&self) -> Condition {
        self.condition
    }
}

impl Default for Batch {
    fn default() -> Self {
        Self {
            scope: String::new(),
            places: vec![BatchPlace::default()],
            place: 0,
            checks: Vec::new(),
            ranges: Vec::new(),
            mutations: Vec::new(),
            since: None,
            overwrite: true,
            quota_bytes: None,
            max_value_bytes: MAX_VALUE_BYTES,
            hooks: CommitHooks::default(),
        }
    }
}

impl Batch {
    /// An empty batch.
    pub fn new() -> Self {
        Self::default()
    }

    /// What is added from here on is about keys of the collection `name`, with `None` of the default one, whichever
    /// collection the batch is committed to.
    pub fn in_collection(self, name: Option<&CollectionName>) -> Self {
        self.in_place(name.map_or(Place::Default, |name| Place::Named(name.clone())))
    }

    pub(crate) fn in_place(mut self, place: Place) -> Self {
        let place = Some(place);
        self.place = self.places.iter().position(|known| known.place == place).unwrap_or_else(|| {
            self.places.push(BatchPlace { place, prefix: String::new() });
            self.places.len() - 1
        });
        self
    }

    /// Adds a change.
    pub fn change(mut self, key: impl Into<String>, change: Change) -> Self {
        self.mutations.push(Mutation { name: Name { text: key.into(), place: self.place }, change });
        self
    }

    /// Adds a change: store `value` under `key`.
    pub fn set(self, key: impl Into<String>, value: impl Into<StorageValue>) -> Self {
        self.change(key, Change::Set { value: value.into(), options: None })
    }

    /// Adds a change: store `value` under `key`, with an expiry, a content type, attributes.
    pub fn set_with(self, key: impl Into<String>, value: impl Into<StorageValue>, options: SetOptions) -> Self {
        self.change(key, Change::Set { value: value.into(), options: Some(Box::new(options)) })
    }

    /// Adds a change: remove `key`.
    pub fn delete(self, key: impl Into<String>) -> Self {
        self.change(key, Change::Delete)
    }

    /// Adds a change: add `delta` to the number under `key`, from 0 where there is none.
    pub fn increment(self, key: impl Into<String>, delta: i64) -> Self {
        self.change(key, Change::Add(delta))
    }

    /// Adds a change: make the number under `key` no larger than `bound`.
    pub fn min(self, key: impl Into<String>, bound: i64) -> Self {
        self.change(key, Change::Min(bound))
    }

    /// Adds a change: make the number under `key` no smaller than `bound`.
    pub fn max(self, key: impl Into<String>, bound: i64) -> Self {
        self.change(key, Change::Max(bound))
    }

    /// Adds a change: put bytes after those under `key`.
    pub fn append(self, key: impl Into<String>, more: impl Into<StorageValue>) -> Self {
        self.change(key, Change::Append(more.into()))
    }

    /// Adds a change: let the record expire at another time, or never.
    pub fn expire(self, key: impl Into<String>, expiry: Expiry) -> Self {
        self.change(key, Change::Expire(expiry))
    }

    /// Adds a change of content type and attributes.
    pub fn set_metadata(self, key: impl Into<String>, change: MetadataChange) -> Self {
        self.change(key, Change::Metadata(Box::new(change)))
    }

    /// Adds a change: remove every record whose key begins with `prefix`, up to
    /// [`MAX_CLEAR_RECORDS`]; [`Outcome::cleared`] tells how many there were and whether there are more.
    pub fn clear(self, prefix: impl Into<String>) -> Self {
        self.change(prefix, Change::Clear { limit: MAX_CLEAR_RECORDS, whole: false, records: true, history: false })
    }

    /// Adds a check.
    pub fn require(mut self, key: impl Into<String>, condition: Condition) -> Self {
        self.checks.push(Check { name: Name { text: key.into(), place: self.place }, condition });
        self
    }

    /// Adds a check: fail with [`AlreadyExists`](StorageError::AlreadyExists) if `key` is there.
    pub fn require_absent(self, key: impl Into<String>) -> Self {
        self.require(key, Condition::Absent)
    }

    /// Turns overwriting off: fail with [`AlreadyExists`](StorageError::AlreadyExists) if a key that is set has a record.
    pub fn without_overwriting(mut self) -> Self {
        self.overwrite = false;
        self
    }

    /// Adds a check: fail with [`NotFound`](StorageError::NotFound) if `key` is not there.
    pub fn require_present(self, key: impl Into<String>) -> Self {
        self.require(key, Condition::Present)
    }

    /// Adds a check: fail with [`Conflict`](StorageError::Conflict) unless the record has this version.
    pub fn require_version(self, key: impl Into<String>, version: Version) -> Self {
        self.require(key, Condition::Version(version))
    }

    /// Adds a check: the range holds as many records as before, and none that is newer.
    pub(crate) fn require_range(mut self, range: RangeCheck) -> Self {
        self.ranges.push(RangeCheck { place: self.place, ..range });
        self
    }

    /// Adds a check: fail with [`QuotaExceeded`](StorageError::QuotaExceeded) if the component would use more than
    /// `bytes` afterwards and more than it did before. Of two, the lower counts.
    pub fn require_usage_at_most(mut self, bytes: u64) -> Self {
        self.quota_bytes = Some(self.quota_bytes.map_or(bytes, |quota| quota.min(bytes)));
        self
    }

    /// Adds a check: fail with [`LimitExceeded`](StorageError::LimitExceeded) if a value would have more than `bytes`,
    /// also where it grows by what is appended.
    pub fn require_values_at_most(mut self, bytes: usize) -> Self {
        self.max_value_bytes = self.max_value_bytes.min(bytes);
        self
    }

    /// Adds what to do when the batch is over; see [`CommitHooks`].
    pub fn with_hook(mut self, hook: impl FnOnce(Option<&Committed>, Changes<'_>) + Send + 'static) -> Self {
        let below = self.has_entered();
        self.hooks.add(below, hook);
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

    /// Whether it is about keys of several collections.
    pub(crate) fn spans_collections(&self) -> bool {
        self.places.len() > 1
    }

    /// Whether a namespace layer has put its prefix in front of the keys.
    pub(crate) fn has_entered(&self) -> bool {
        !self.scope.is_empty()
    }

    /// Checks keys, and puts the batch into a component: every key gets the prefix of its place in front.
    pub(crate) fn enter(&mut self, id: &ComponentId, own: &Place) -> Result<(), StorageError> {
        if self.has_entered() {
            let reason = "the batch is in a namespace already".to_owned();
            return Err(StorageError::InvalidArgument { reason });
        }
        self.checks.iter().try_for_each(|check| check_key(check.key()))?;
        for mutation in &self.mutations {
            match mutation.change {
                Change::Clear { .. } => check_prefix(mutation.key())?,
                _ => check_key(mutation.key())?,
            }
        }
        id.key_prefix().clone_into(&mut self.scope);
        for place in &mut self.places {
            let found = place.place.get_or_insert_with(|| own.clone());
            place.prefix = found.prefix(id);
        }
        let names = self.checks.iter_mut().map(|check| &mut check.name);
        for name in names.chain(self.mutations.iter_mut().map(|mutation| &mut mutation.name)) {
            if let Some(place) = self.places.get(name.place) {
                name.text = [place.prefix.as_str(), name.text.as_str()].concat();
            }
        }
        Ok(())
    }

    /// What the names of a place begin with, in this layer.
    pub(crate) fn prefix(&self, place: usize) -> &str {
        self.places.get(place).map_or("", |place| &place.prefix)
    }

    fn own_key_bytes(&self, name: &Name) -> usize {
        name.text.len().saturating_sub(self.prefix(name.place).len())
    }

    /// The key as the component wrote it.
    pub(crate) fn own_key<'a>(&self, name: &'a Name) -> &'a str {
        name.text.get(self.prefix(name.place).len()..).unwrap_or_default()
    }

    /// Bytes of keys and values that it carries, as the component wrote them: the same in every layer.
    pub fn bytes(&self) -> usize {
        let checks = self.checks.iter().map(|check| self.own_key_bytes(&check.name));
        let change = |mutation: &Mutation| self.own_key_bytes(&mutation.name).saturating_add(mutation.change.bytes());
        checks.chain(self.mutations.iter().map(change)).fold(0, usize::saturating_add)
    }

    /// About how many bytes its commit writes: what it carries, and a guess at the values that it changes.
    pub(crate) fn cost(&self) -> usize {
        /// Of a record whose value is read and written again.
        const REWRITTEN: usize = 32 * 1024;
        let rewrites = |mutation: &&Mutation| {
            matches!(mutation.change, Change::Append(_) | Change::Expire(_) | Change::Metadata(_))
        };
        self.bytes().saturating_add(self.mutations.iter().filter(rewrites).count().saturating_mul(REWRITTEN))
    }

    /// Holds the batch against the limits on its size. A single value is bounded by the value's own limit instead.
    pub(crate) fn check_size(&self) -> Result<(), StorageError> {
        // A transaction's reads have a limit of their own.
        let carried = |check: &&Check| !matches!(check.condition, Condition::Unchanged(_));
        let items = self.checks.iter().filter(carried).count().saturating_add(self.mutations.len());
        if items > MAX_BATCH_ITEMS {
            let what = "the number of checks and changes in a batch";
            return Err(limit_else(what, items, MAX_BATCH_ITEMS, SMALLER_BATCHES));
        }
        let clears = self.mutations.iter().filter(|mutation| matches!(mutation.change, Change::Clear { .. })).count();
        if clears > MAX_CLEARS {
            return Err(limit("the number of prefixes to clear in a batch", clears, MAX_CLEARS));
        }
        let read_bytes =
            self.checks.iter().filter(|check| !carried(check)).map(|check| self.own_key_bytes(&check.name));
        let bytes = self.bytes().saturating_sub(read_bytes.sum());
        if self.mutations.len() > 1 && bytes > MAX_BATCH_BYTES {
            return Err(limit_else("the size of a batch in bytes", bytes, MAX_BATCH_BYTES, SMALLER_BATCHES));
        }
        self.mutations.iter().try_for_each(|mutation| mutation.change.check(self.max_value_bytes))
    }

    /// Calls the hooks that have not been called. `after` are the mutated records as the commit has left them.
    pub(crate) fn settle(&mut self, outcome: Option<&Committed>, after: &[Option<crate::record::Record>]) {
        let hooks = std::mem::take(&mut self.hooks);
        hooks.call(outcome, |below| Changes { batch: self, after, below });
    }
}

/// Which keys a change is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Touched<'a> {
    /// One key.
    Key(&'a str),
    /// All keys that begin so.
    Prefix(&'a str),
}

impl Mutation {
    /// Which keys it is about, as this layer knows them.
    pub fn touches(&self) -> Touched<'_> {
        match self.change {
            Change::Clear { .. } => Touched::Prefix(self.key()),
            _ => Touched::Key(self.key()),
        }
    }
}

impl Drop for Batch {
    fn drop(&mut self) {
        self.settle(None, &[]);
    }
}

/// A [`StorageError::LimitExceeded`] from lengths.
pub(crate) fn limit(what: &'static str, actual: usize, limit: usize) -> StorageError {
    let number = |n| u64::try_from(n).unwrap_or(u64::MAX);
    StorageError::LimitExceeded { what, actual: number(actual), limit: number(limit), instead: "" }
}

/// The same with what to do instead.
pub(crate) fn limit_else(what: &'static str, actual: usize, most: usize, instead: &'static str) -> StorageError {
    match limit(what, actual, most) {
        StorageError::LimitExceeded { what, actual, limit, .. } => {
            StorageError::LimitExceeded { what, actual, limit, instead }
        }
        error => error,
    }
}

/// What to do instead of too large a batch.
pub(crate) const SMALLER_BATCHES: &str = "divide it into several batches";

/// What a commit did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Committed {
    /// The namespace's version afterwards. A batch that changed nothing leaves it as it was.
    pub version: Version,
    /// What each mutation did, in their order.
    pub outcomes: Vec<Outcome>,
}

/// What one mutation did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Whether its key had a record before.
    pub existed: bool,
    /// The number afterwards, of a change that is about numbers.
    pub number: Option<i64>,
    /// What [`Change::Clear`] did.
    pub cleared: Option<Cleared>,
}

/// What a commit that clears a prefix did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Cleared {
    /// How many records it removed.
    pub removed: u64,
    /// Whether there are more with the prefix: clear again.
    pub more: bool,
}

impl Committed {
    /// For each mutation, whether its key had a record before.
    pub fn existed(&self) -> Vec<bool> {
        self.outcomes.iter().map(|outcome| outcome.existed).collect()
    }
}
