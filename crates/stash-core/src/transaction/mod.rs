//! Transactions: reads of one state and of the transaction's own writes, committed together if nothing that matters has
//! changed meanwhile. A transaction must never show, or commit, a state that no order of commits could have made
//! (unless it was asked to check less).

mod overlay;
mod within;

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::batch::{Batch, Committed, Condition, RangeCheck};
use crate::clock::Timestamp;
use crate::collection::{CollectionName, Place};
use crate::error::StorageError;
use crate::lease::{Lease, Leases};
use crate::limits::MAX_KEY_BYTES;
use crate::metadata::SetOptions;
use crate::mutation::Change;
use crate::record::{Record, Version};
use crate::scan::{KeyRange, ScanPage, ScanRequest};
use crate::snapshot::{Since, StorageSnapshot};
use crate::storage::{ComponentStorage, PlaceName};
use crate::value::StorageValue;
use crate::yielding::yield_now;

/// Keys whose versions are looked up between two breaks.
const LOOKED_UP_BETWEEN_BREAKS: usize = 256;

/// What a transaction is protected from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// From everything: it commits only if all that it has read, ranges included, is as it was. As if it had run alone.
    #[default]
    Serializable,
    /// From lost updates: it reads one state, and commits only if nobody has changed what it writes. Two transactions
    /// that each read what the other writes may both commit (write skew).
    Snapshot,
    /// From reading what is not committed: each read sees the present state, and its writes go on top of whatever is there.
    ReadCommitted,
}

/// A transaction. It holds a state of the store: keep it for a short time. Dropped without being committed, it is rolled
/// back.
///
/// Nothing is written before [`commit`](Self::commit); reads see the transaction's own writes. It may read and write all
/// collections of the component.
pub struct Transaction<S> {
    storage: S,
    isolation: Isolation,
    lease: Arc<Lease>,
    version: Version,
    /// Which versions of records were read, so far as the commit checks them.
    reads: BTreeMap<Place, BTreeMap<String, Option<Version>>>,
    ranges: Vec<(Place, RangeCheck)>,
    read_count: usize,
    /// When the first of what was read expires.
    fresh_until: Option<Timestamp>,
    writes: Vec<(Place, String, Change)>,
    written_bytes: usize,
    /// What the writes have made of records.
    written: BTreeMap<Place, BTreeMap<String, Option<Record>>>,
}

impl<S> std::fmt::Debug for Transaction<S> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let reads = self.read_count;
        f.debug_struct("Transaction").field("isolation", &self.isolation).field("reads", &reads).finish_non_exhaustive()
    }
}

/// A transaction, seen from one collection.
#[derive(Debug)]
pub struct TransactionIn<'t, S> {
    transaction: &'t mut Transaction<S>,
    place: Place,
}

impl<S: ComponentStorage + Clone> Transaction<S> {
    /// Begins a transaction on the present state of `storage`.
    ///
    /// # Errors
    /// [`StorageError::LimitExceeded`] where too many are open in `leases`; the engine's errors.
    pub async fn begin(storage: &S, isolation: Isolation, leases: &Leases) -> Result<Self, StorageError> {
        let snapshot = storage.snapshot().await?;
        let version = snapshot.version().await?;
        Ok(Self {
            storage: storage.clone(),
            isolation,
            lease: leases.begin(snapshot)?,
            version,
            reads: BTreeMap::new(),
            ranges: Vec::new(),
            read_count: 0,
            fresh_until: None,
            writes: Vec::new(),
            written_bytes: 0,
            written: BTreeMap::new(),
        })
    }

    /// The component's version in the state that the transaction began with.
    pub fn version(&self) -> Version {
        self.version
    }

    /// What it is protected from.
    pub fn isolation(&self) -> Isolation {
        self.isolation
    }

    /// The same transaction, seen from another collection of the component; with `None`, from the default one.
    pub fn in_collection(&mut self, name: Option<&CollectionName>) -> TransactionIn<'_, S> {
        let place = name.map_or(Place::Default, |name| Place::Named(name.clone()));
        TransactionIn { transaction: self, place }
    }

    /// The transaction, seen from the collection of the storage that it was begun on.
    fn here(&mut self) -> TransactionIn<'_, S> {
        let PlaceName(place) = self.storage.place();
        TransactionIn { transaction: self, place }
    }

    /// See [`TransactionIn::read_one`].
    ///
    /// # Errors
    /// As there.
    pub async fn read_one(&mut self, key: &str) -> Result<Option<Record>, StorageError> {
        self.here().read_one(key).await
    }

    /// The value of `key`, or `None` where there is no such record.
    ///
    /// # Errors
    /// As [`TransactionIn::read_one`].
    pub async fn get(&mut self, key: &str) -> Result<Option<StorageValue>, StorageError> {
        Ok(self.read_one(key).await?.map(|record| record.value))
    }

    /// See [`TransactionIn::read`].
    ///
    /// # Errors
    /// As there.
    pub async fn read(&mut self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        self.here().read(keys).await
    }

    /// See [`TransactionIn::scan`].
    ///
    /// # Errors
    /// As there.
    pub async fn scan(&mut self, request: &ScanRequest) -> Result<ScanPage, StorageError> {
        self.here().scan(request).await
    }

    /// See [`TransactionIn::count`].
    ///
    /// # Errors
    /// As there.
    pub async fn count(&mut self, range: &KeyRange) -> Result<u64, StorageError> {
        self.here().count(range).await
    }

    /// Stores `value` under `key` when the transaction commits.
    ///
    /// # Errors
    /// As [`TransactionIn::change`].
    pub async fn set(&mut self, key: &str, value: impl Into<StorageValue>) -> Result<(), StorageError> {
        self.here().change(key, Change::Set { value: value.into(), options: None }).await.map(drop)
    }

    /// The same with an expiry, a content type, attributes.
    ///
    /// # Errors
    /// As [`TransactionIn::change`].
    pub async fn set_with(
        &mut self,
        key: &str,
        value: impl Into<StorageValue>,
        options: SetOptions,
    ) -> Result<(), StorageError> {
        let change = Change::Set { value: value.into(), options: Some(Box::new(options)) };
        self.here().change(key, change).await.map(drop)
    }

    /// Removes `key` when the transaction commits.
    ///
    /// # Errors
    /// As [`TransactionIn::change`].
    pub async fn delete(&mut self, key: &str) -> Result<(), StorageError> {
        self.here().change(key, Change::Delete).await.map(drop)
    }

    /// Adds `delta` to the number under `key`, and tells what it is then.
    ///
    /// # Errors
    /// As [`TransactionIn::change`].
    pub async fn increment(&mut self, key: &str, delta: i64) -> Result<i64, StorageError> {
        let number = self.here().change(key, Change::Add(delta)).await?;
        number.ok_or_else(|| StorageError::NotANumber { key: key.to_owned() })
    }

    /// See [`TransactionIn::change`].
    ///
    /// # Errors
    /// As there.
    pub async fn change(&mut self, key: &str, change: Change) -> Result<Option<i64>, StorageError> {
        self.here().change(key, change).await
    }

    /// Writes what the transaction has changed, if what it has read (see [`Isolation`]) is as it was.
    ///
    /// One that has written nothing conflicts with nobody's commit, but with the time: where something that it has read
    /// expired meanwhile, parts of what it has seen may never have been there together.
    ///
    /// # Errors
    /// [`StorageError::TransactionConflict`]: run the whole transaction again, or let
    /// [`transaction`](crate::StorageExt::transaction) do so. [`StorageError::TransactionOver`] where it was open for too
    /// long; errors of the commit. Nothing was written then, but for [`StorageError::Io`], after which a read tells.
    pub async fn commit(mut self) -> Result<Committed, StorageError> {
        let snapshot = self.lease.snapshot()?;
        if self.writes.is_empty() {
            let now = self.storage.now();
            if self.fresh_until.is_some_and(|until| until <= now) {
                return Err(StorageError::TransactionConflict { key: None, current: None });
            }
            return Ok(Committed { version: self.version, outcomes: Vec::new() });
        }
        let mut batch = Batch::new();
        match self.isolation {
            Isolation::Serializable => {
                for (place, keys) in self.reads {
                    batch = batch.in_place(place);
                    for (key, version) in keys {
                        batch = batch.require(key, Condition::Unchanged(version));
                    }
                }
                for (place, range) in self.ranges {
                    batch = batch.in_place(place).require_range(range);
                }
                batch.since = Some(Since { version: self.version, fresh_until: self.fresh_until });
            }
            Isolation::Snapshot => {
                let mut looked_up = 0_usize;
                for (place, keys) in &self.written {
                    let mut reads = self.reads.remove(place).unwrap_or_default();
                    let snapshot = snapshot.in_place(place);
                    batch = batch.in_place(place.clone());
                    for key in keys.keys() {
                        // What a change was worked out from counts as it was then, though it may have expired since.
                        let version = match reads.remove(key) {
                            Some(version) => version,
                            None => {
                                looked_up += 1;
                                if looked_up.is_multiple_of(LOOKED_UP_BETWEEN_BREAKS) {
                                    yield_now().await;
                                }
                                version_of(&snapshot, key).await?
                            }
                        };
                        batch = batch.require(key.as_str(), Condition::Unchanged(version));
                    }
                }
            }
            Isolation::ReadCommitted => {}
        }
        drop(snapshot);
        for (place, key, change) in self.writes {
            batch = batch.in_place(place).change(key, change);
        }
        self.storage.commit(batch).await
    }

    /// Forgets what the transaction has changed. So does dropping it.
    pub fn roll_back(self) {
        drop(self);
    }
}

/// The version of a record in a state, without its value: what a commit writes may be more than one read may give.
async fn version_of(snapshot: &StorageSnapshot, key: &str) -> Result<Option<Version>, StorageError> {
    // Nothing is between a key and the one with a NUL after it. No key is longer than the longest, so none follows it.
    let end = (key.len() < MAX_KEY_BYTES).then(|| [key, "\0"].concat());
    let range = KeyRange { end, ..KeyRange::prefix(key) };
    let page = snapshot.scan(&ScanRequest { range, limit: 1, ..ScanRequest::default() }).await?;
    Ok(page.entries.first().filter(|entry| entry.key == *key).map(|entry| entry.record.version))
}

#[cfg(test)]
mod tests;
