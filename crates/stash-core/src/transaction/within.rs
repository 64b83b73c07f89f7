//! Reads and changes of a transaction in one collection. Whatever it reads must be noted, so that the commit can check it.

use super::{Isolation, TransactionIn};
use crate::batch::{RangeCheck, limit_else};
use crate::clock::Timestamp;
use crate::error::StorageError;
use crate::keyspace::check_key;
use crate::limits::{MAX_BATCH_BYTES, MAX_BATCH_ITEMS, MAX_TRANSACTION_READS};
use crate::metadata::MetadataChange;
use crate::mutation::Change;
use crate::record::{Record, Version};
use crate::scan::{KeyRange, ScanPage, ScanRequest};
use crate::storage::{ComponentStorage, PlaceName, check_read_bytes, check_read_size};
use crate::yielding::yield_now;

/// What a change takes in memory beside its texts and values: the places where it is kept, and what holds them together.
pub(super) const CHANGE_OVERHEAD: usize = 256;
/// The same of an attribute.
pub(super) const ATTRIBUTE_OVERHEAD: usize = 64;

impl<S: ComponentStorage + Clone> TransactionIn<'_, S> {
    /// The record with this key, as the transaction has left it.
    ///
    /// The version of a record that the transaction has written is 0, because it is not known before the commit. When
    /// the record was made (`created`) is told only where the transaction has looked at what was there before: a plain
    /// set does not, and the commit keeps the moment of the record that it replaces.
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
        self.read_for(keys, For::Reading).await
    }

    async fn read_for(&mut self, keys: &[&str], what_for: For) -> Result<Vec<Option<Record>>, StorageError> {
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
            self.note_read(key, record.as_ref(), what_for)?;
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
        Ok(self.overlay(request, page).await)
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
            // Each page may be ready at once.
            yield_now().await;
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
            let what = "the number of changes in a transaction";
            return Err(limit_else(what, count + 1, MAX_BATCH_ITEMS, SMALLER));
        }
        if count > 0 && written > MAX_BATCH_BYTES {
            return Err(limit_else("the size of a transaction in bytes", written, MAX_BATCH_BYTES, SMALLER));
        }
        let keeps =
            matches!(&change, Change::Set { options: Some(options), .. } if options.expiry == crate::Expiry::Keep);
        let looks = change.needs_value() || keeps;
        let before = if looks {
            self.read_for(&[key], For::Changing).await?.into_iter().next().flatten()
        } else {
            self.transaction.lease.snapshot()?;
            None
        };
        let transaction = &mut *self.transaction;
        let now = transaction.storage.now();
        // Its version is not known before it is committed.
        let mut applied = change.apply(key, before.as_ref(), now, Version(0), max_value_bytes)?;
        let replaced = transaction.written.get(&self.place).and_then(|own| own.get(key));
        if !looks && let Some(record) = &mut applied.record {
            record.metadata.created = match replaced {
                Some(Some(own)) if !own.metadata.is_expired(now) => own.metadata.created,
                // The transaction itself has removed what there was.
                Some(_) => Some(now),
                None => None,
            };
        }
        let bytes = bytes.saturating_add(CHANGE_OVERHEAD).saturating_add(attributes_in(&change) * ATTRIBUTE_OVERHEAD);
        let held = bytes.saturating_add(held_by(applied.record.as_ref()));
        transaction.lease.exchange(held_by(replaced.and_then(Option::as_ref)), held)?;
        transaction.written.entry(self.place.clone()).or_default().insert(key.to_owned(), applied.record);
        transaction.writes.push((self.place.clone(), key.to_owned(), change));
        transaction.written_bytes = written;
        Ok(applied.number)
    }

    fn note_read(&mut self, key: &str, record: Option<&Record>, what_for: For) -> Result<(), StorageError> {
        let transaction = &mut *self.transaction;
        let checked = match transaction.isolation {
            Isolation::Serializable => true,
            // Two that have read the same record may both commit, unless they write it: those reads alone are checked.
            Isolation::Snapshot => what_for == For::Changing,
            Isolation::ReadCommitted => return Ok(()),
        };
        if checked && transaction.reads.get(&self.place).is_none_or(|reads| !reads.contains_key(key)) {
            check_reads(transaction.read_count)?;
            transaction.lease.hold(size_of::<Version>() + size_of::<String>() + key.len())?;
            transaction.read_count += 1;
            let reads = transaction.reads.entry(self.place.clone()).or_default();
            reads.insert(key.to_owned(), record.map(|record| record.version));
        }
        note_expiry(&mut transaction.fresh_until, record);
        Ok(())
    }

    fn note_range(&mut self, request: &ScanRequest, page: &ScanPage) -> Result<(), StorageError> {
        let transaction = &mut *self.transaction;
        if transaction.isolation == Isolation::ReadCommitted {
            return Ok(());
        }
        if transaction.isolation == Isolation::Serializable {
            check_reads(transaction.read_count)?;
            let until = page.resume.as_ref().map(|key| key.as_str().to_owned());
            let range = &request.range;
            let texts = [&range.start, &range.end, &request.after, &until];
            let texts: usize = texts.into_iter().flatten().map(String::len).sum();
            let pattern = range.pattern.as_ref().map_or(0, |pattern| pattern.as_str().len() * size_of::<char>() * 3);
            transaction.lease.hold(size_of::<RangeCheck>() + range.prefix.len() + texts + pattern)?;
            transaction.read_count += 1;
            let count = u64::try_from(page.entries.len()).unwrap_or(u64::MAX);
            let request = request.clone();
            let range = RangeCheck { place: 0, request, until, count, since: transaction.version };
            transaction.ranges.push((self.place.clone(), range));
        }
        for entry in &page.entries {
            note_expiry(&mut transaction.fresh_until, Some(&entry.record));
        }
        Ok(())
    }
}

/// What a record is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum For {
    /// To be told.
    Reading,
    /// To work out what a change makes of it.
    Changing,
}

/// How many attributes a change carries.
fn attributes_in(change: &Change) -> usize {
    match change {
        Change::Set { options: Some(options), .. } => options.attributes.len(),
        Change::Metadata(change) => match &**change {
            MetadataChange::Replace { attributes, .. } => attributes.len(),
            MetadataChange::Merge { attributes, .. } => attributes.len(),
        },
        _ => 0,
    }
}

/// What the transaction's own record takes in memory.
fn held_by(record: Option<&Record>) -> usize {
    record
        .map_or(0, |record| record.used_bytes().saturating_add(record.metadata.attributes().len() * ATTRIBUTE_OVERHEAD))
}

/// What to do instead of too large a transaction.
const SMALLER: &str = "divide it into several transactions";

fn check_reads(count: usize) -> Result<(), StorageError> {
    if count >= MAX_TRANSACTION_READS {
        let what = "the number of keys and ranges that a transaction reads";
        return Err(limit_else(what, count + 1, MAX_TRANSACTION_READS, SMALLER));
    }
    Ok(())
}

fn note_expiry(fresh_until: &mut Option<Timestamp>, record: Option<&Record>) {
    if let Some(expires) = record.and_then(|record| record.metadata.expires) {
        *fresh_until = Some(fresh_until.map_or(expires, |until| until.min(expires)));
    }
}
