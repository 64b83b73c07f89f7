//! Transactions: reads of one state and of the transaction's own writes, committed together if nothing that matters has
//! changed meanwhile. A transaction must never show, or commit, a state that no order of commits could have made
//! (unless it was asked to check less).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use crate::batch::{Batch, Committed, Condition, RangeCheck, limit};
use crate::clock::Timestamp;
use crate::collection::{CollectionName, Place};
use crate::error::StorageError;
use crate::keyspace::check_key;
use crate::lease::{Lease, Leases};
use crate::limits::{
    MAX_BATCH_BYTES, MAX_BATCH_ITEMS, MAX_PAGE_BYTES, MAX_PAGE_ITEMS, MAX_READ_KEYS, MAX_TRANSACTION_READS,
};
use crate::metadata::{Attributes, SetOptions};
use crate::mutation::Change;
use crate::record::{Record, Version};
use crate::scan::{Key, KeyRange, ScanEntry, ScanPage, ScanRequest};
use crate::snapshot::Since;
use crate::storage::{ComponentStorage, PlaceName, check_read_bytes, check_read_size};
use crate::value::StorageValue;

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
    /// Which versions of records were read.
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
    /// # Errors
    /// [`StorageError::TransactionConflict`]: run the whole transaction again, or let
    /// [`transaction`](crate::StorageExt::transaction) do so. [`StorageError::TransactionOver`] where it was open for too
    /// long; errors of the commit. Nothing was written then, but for [`StorageError::Io`], after which a read tells.
    pub async fn commit(self) -> Result<Committed, StorageError> {
        let snapshot = self.lease.snapshot()?;
        if self.writes.is_empty() {
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
                for (place, keys) in &self.written {
                    batch = batch.in_place(place.clone());
                    let keys: Vec<&str> = keys.keys().map(String::as_str).collect();
                    for chunk in keys.chunks(MAX_READ_KEYS) {
                        let records = snapshot.in_place(place).read(chunk).await?;
                        for (key, record) in chunk.iter().zip(records) {
                            batch = batch.require(*key, Condition::Unchanged(record.map(|record| record.version)));
                        }
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

impl<S: ComponentStorage + Clone> TransactionIn<'_, S> {
    /// The record with this key, as the transaction has left it.
    ///
    /// # Errors
    /// [`StorageError::TransactionOver`] where the transaction was open for too long; those of the storage's reads.
    pub async fn read_one(&mut self, key: &str) -> Result<Option<Record>, StorageError> {
        Ok(self.read(&[key]).await?.into_iter().next().flatten())
    }

    /// The records with these keys, in their order, as the transaction has left them.
    ///
    /// # Errors
    /// As [`read_one`](Self::read_one).
    pub async fn read(&mut self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        check_read_size(keys)?;
        keys.iter().try_for_each(|key| check_key(key))?;
        let snapshot = self.transaction.lease.snapshot()?;
        let own = self.transaction.written.get(&self.place);
        let ask: Vec<&str> = keys.iter().copied().filter(|key| own.is_none_or(|own| !own.contains_key(*key))).collect();
        let found = match self.transaction.isolation {
            _ if ask.is_empty() => Vec::new(),
            Isolation::ReadCommitted => {
                self.transaction.storage.in_place(&PlaceName(self.place.clone()))?.read(&ask).await?
            }
            Isolation::Serializable | Isolation::Snapshot => snapshot.in_place(&self.place).read(&ask).await?,
        };
        for (key, record) in ask.iter().zip(&found) {
            self.note_read(key, record.as_ref())?;
        }
        let now = self.transaction.storage.now();
        let mut found = found.into_iter();
        let own = self.transaction.written.get(&self.place);
        let answer = |key: &&str| match own.and_then(|own| own.get(*key)) {
            Some(written) => written.clone().filter(|record| !record.metadata.is_expired(now)),
            None => found.next().flatten(),
        };
        let records: Vec<_> = keys.iter().map(answer).collect();
        check_read_bytes(&records)?;
        Ok(records)
    }

    /// One page, with what the transaction has written in it.
    ///
    /// # Errors
    /// As [`read_one`](Self::read_one).
    pub async fn scan(&mut self, request: &ScanRequest) -> Result<ScanPage, StorageError> {
        let snapshot = self.transaction.lease.snapshot()?;
        let page = match self.transaction.isolation {
            Isolation::ReadCommitted => {
                self.transaction.storage.in_place(&PlaceName(self.place.clone()))?.scan(request).await?
            }
            Isolation::Serializable | Isolation::Snapshot => snapshot.in_place(&self.place).scan(request).await?,
        };
        self.note_range(request, &page)?;
        Ok(self.overlay(request, page))
    }

    /// How many records are in a range, with what the transaction has written.
    ///
    /// # Errors
    /// As [`read_one`](Self::read_one).
    pub async fn count(&mut self, range: &KeyRange) -> Result<u64, StorageError> {
        let mut request = ScanRequest { range: range.clone(), limit: usize::MAX, ..ScanRequest::default() };
        let mut count = 0_u64;
        loop {
            let page = self.scan(&request).await?;
            count = count.saturating_add(u64::try_from(page.entries.len()).unwrap_or(u64::MAX));
            match page.resume {
                Some(resume) => request.after = Some(resume.into()),
                None => return Ok(count),
            }
        }
    }

    /// Changes a record when the transaction commits. Changes that depend on the value, such as an increment, read it
    /// now; the number afterwards is told of those about numbers.
    ///
    /// # Errors
    /// As [`read_one`](Self::read_one), and those of the change itself;
    /// [`Unsupported`](StorageError::Unsupported) for [`Change::Clear`]; [`LimitExceeded`](StorageError::LimitExceeded)
    /// where the transaction would be larger than a batch. The transaction is then as it was before the call.
    pub async fn change(&mut self, key: &str, change: Change) -> Result<Option<i64>, StorageError> {
        check_key(key)?;
        if let Change::Clear { .. } = change {
            let reason = "a transaction removes records one by one; list them first".to_owned();
            return Err(StorageError::Unsupported { reason });
        }
        let max_value_bytes = self.transaction.storage.capabilities().limits.value_bytes;
        change.check(max_value_bytes)?;
        let bytes = key.len().saturating_add(change.bytes());
        let written = self.transaction.written_bytes.saturating_add(bytes);
        let count = self.transaction.writes.len();
        if count >= MAX_BATCH_ITEMS {
            return Err(limit("the number of changes in a transaction", count + 1, MAX_BATCH_ITEMS));
        }
        if count > 0 && written > MAX_BATCH_BYTES {
            return Err(limit("the size of a transaction in bytes", written, MAX_BATCH_BYTES));
        }
        let keeps =
            matches!(&change, Change::Set { options: Some(options), .. } if options.expiry == crate::Expiry::Keep);
        let before = if change.needs_value() || keeps {
            self.read_one(key).await?
        } else {
            self.transaction.lease.snapshot()?;
            None
        };
        let now = self.transaction.storage.now();
        // Its version is not known before it is committed.
        let applied = change.apply(key, before.as_ref(), now, Version(0), max_value_bytes)?;
        let result_bytes = applied.record.as_ref().map_or(0, |record| record.value.len());
        self.transaction.lease.hold(bytes.saturating_add(result_bytes))?;
        let transaction = &mut *self.transaction;
        transaction.written.entry(self.place.clone()).or_default().insert(key.to_owned(), applied.record);
        transaction.writes.push((self.place.clone(), key.to_owned(), change));
        transaction.written_bytes = written;
        Ok(applied.number)
    }

    fn note_read(&mut self, key: &str, record: Option<&Record>) -> Result<(), StorageError> {
        let transaction = &mut *self.transaction;
        if transaction.isolation != Isolation::Serializable {
            return Ok(());
        }
        let reads = transaction.reads.entry(self.place.clone()).or_default();
        if reads.contains_key(key) {
            return Ok(());
        }
        transaction.lease.hold(size_of::<Version>() + size_of::<String>() + key.len())?;
        count_reads(&mut transaction.read_count, 1)?;
        reads.insert(key.to_owned(), record.map(|record| record.version));
        note_expiry(&mut transaction.fresh_until, record);
        Ok(())
    }

    fn note_range(&mut self, request: &ScanRequest, page: &ScanPage) -> Result<(), StorageError> {
        let transaction = &mut *self.transaction;
        if transaction.isolation != Isolation::Serializable {
            return Ok(());
        }
        let until = page.resume.as_ref().map(|key| key.as_str().to_owned());
        let range = &request.range;
        let texts = [&range.start, &range.end, &request.after, &until];
        let texts: usize = texts.into_iter().flatten().map(String::len).sum();
        let pattern = range.pattern.as_ref().map_or(0, |pattern| pattern.as_str().len() * size_of::<char>() * 3);
        transaction.lease.hold(size_of::<RangeCheck>() + range.prefix.len() + texts + pattern)?;
        count_reads(&mut transaction.read_count, 1)?;
        let count = u64::try_from(page.entries.len()).unwrap_or(u64::MAX);
        let request = request.clone();
        let range = RangeCheck { place: 0, request, until, count, since: transaction.version };
        transaction.ranges.push((self.place.clone(), range));
        for entry in &page.entries {
            note_expiry(&mut transaction.fresh_until, Some(&entry.record));
        }
        Ok(())
    }

    /// Puts the transaction's own records into a page.
    fn overlay(&self, request: &ScanRequest, page: ScanPage) -> ScanPage {
        let Some(own) = self.transaction.written.get(&self.place) else { return page };
        let now = self.transaction.storage.now();
        // The part of the keys that the page has looked at.
        let after = request.after.clone().map_or(Bound::Unbounded, Bound::Excluded);
        let until = page.resume.as_ref().map_or(Bound::Unbounded, |key| Bound::Included(key.as_str().to_owned()));
        let looked_at = |key: &str| {
            let (low, high) = if request.reverse { (&until, &after) } else { (&after, &until) };
            (match low {
                Bound::Excluded(low) => key > low.as_str(),
                Bound::Included(low) => key >= low.as_str(),
                Bound::Unbounded => true,
            }) && (match high {
                Bound::Excluded(high) => key < high.as_str(),
                Bound::Included(high) => key <= high.as_str(),
                Bound::Unbounded => true,
            })
        };
        let mut entries: BTreeMap<_, _> =
            page.entries.into_iter().map(|entry| (entry.key.clone(), entry.record)).collect();
        for (key, record) in own.range(request.range.prefix.clone()..) {
            if !key.starts_with(&request.range.prefix) {
                break;
            }
            if !request.range.contains(key) || !looked_at(key) {
                continue;
            }
            match record.as_ref().filter(|record| !record.metadata.is_expired(now)) {
                Some(record) => {
                    let mut record = record.clone();
                    if !request.values {
                        record.value = StorageValue::default();
                        record.metadata = record.metadata.with_texts(None, Attributes::new());
                    }
                    entries.insert(key.as_str().into(), record);
                }
                None => drop(entries.remove(&Key::from(key.as_str()))),
            }
        }
        let entries = entries.into_iter().map(|(key, record)| ScanEntry { key, record });
        let mut entries: Vec<ScanEntry> = if request.reverse { entries.rev().collect() } else { entries.collect() };
        let mut resume = page.resume;
        // As large as any other page: what the transaction has written may have made it larger.
        let limit = request.limit.min(MAX_PAGE_ITEMS);
        let max_bytes = request.max_bytes.min(MAX_PAGE_BYTES);
        let mut bytes = 0_usize;
        let mut fits = |entry: &ScanEntry| {
            let before = bytes;
            let value = if request.values { entry.record.used_bytes() } else { 0 };
            bytes = bytes.saturating_add(entry.key.len()).saturating_add(value);
            before < max_bytes || before == 0
        };
        let count = entries.iter().take(limit).take_while(|entry| fits(entry)).count();
        if count < entries.len() {
            entries.truncate(count);
            resume = entries.last().map(|entry| entry.key.clone()).or(resume);
        }
        ScanPage { entries, resume }
    }
}

fn count_reads(count: &mut usize, more: usize) -> Result<(), StorageError> {
    *count = count.saturating_add(more);
    if *count > MAX_TRANSACTION_READS {
        return Err(limit("the number of keys and ranges that a transaction reads", *count, MAX_TRANSACTION_READS));
    }
    Ok(())
}

fn note_expiry(fresh_until: &mut Option<Timestamp>, record: Option<&Record>) {
    if let Some(expires) = record.and_then(|record| record.metadata.expires) {
        *fresh_until = Some(fresh_until.map_or(expires, |until| until.min(expires)));
    }
}
