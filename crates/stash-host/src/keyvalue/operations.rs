//! What all shapes of key-value interfaces do, once. Names and types of the shapes are not known here.

use std::collections::VecDeque;
use std::time::Duration;

use stash_core::limits::{DEFAULT_PAGE_ITEMS, MAX_PAGE_BYTES, MAX_PAGE_ITEMS, MAX_READ_KEYS};
use stash_core::{
    Batch, ComponentId, ComponentStorage, Condition, Expiry, KeyPage, Record, ScanRequest, SetOptions, StorageError,
    StorageExt,
};
use wasmtime::component::Resource;

use super::bucket::{Bucket, open};
use super::cas::Cas;
use super::failure::{CasFailure, Failure};
use super::kept::{KeptBytes, Room};
use crate::component_store::ComponentStore;
use crate::view::{StorageCtx, StorageCtxView};

/// A first page has at least so many bytes of keys, or [`DEFAULT_PAGE_ITEMS`] keys, where there are as many: guests that
/// ignore the cursor see all of a list that is not large.
const MIN_PAGE_BYTES: usize = 1024 * 1024;

/// A page of a stream has at most about so many bytes of keys: a guest may have thousands of streams.
const STREAM_PAGE_BYTES: usize = 64 * 1024;

/// A bucket in use: what a call needs of the guest's state, so that it can wait without holding that.
#[derive(Clone)]
pub(crate) struct OpenBucket {
    store: ComponentStore,
    /// Bytes in one answer, and of what is kept for the guest.
    limit: usize,
    kept: KeptBytes,
}

impl StorageCtxView<'_> {
    /// Opens a bucket; under a label, one of the label's own.
    pub(crate) async fn open_bucket(
        &mut self,
        label: Option<&str>,
        identifier: &str,
    ) -> Result<Resource<Bucket>, Failure> {
        // Room first: what has none makes no collection.
        let handle = self.table.push(Bucket { store: self.ctx.store().clone() })?;
        match open(self.ctx, label, identifier).await {
            Ok(bucket) => {
                *self.table.get_mut(&handle).map_err(trap)? = bucket;
                Ok(handle)
            }
            Err(failure) => {
                self.table.delete(handle).map_err(trap)?;
                Err(failure)
            }
        }
    }

    /// The bucket of a handle.
    pub(crate) fn bucket(&self, bucket: &Resource<Bucket>) -> Result<OpenBucket, Failure> {
        let store = self.table.get(bucket).map_err(trap)?.store.clone();
        Ok(OpenBucket::new(self.ctx, store))
    }

    pub(crate) fn drop_bucket(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }

    pub(crate) async fn new_cas(&mut self, bucket: &Resource<Bucket>, key: String) -> Result<Resource<Cas>, Failure> {
        let cas = Cas::look(self.ctx, self.bucket(bucket)?.store, key).await?;
        Ok(self.table.push(cas)?)
    }

    pub(crate) fn cas_current(&mut self, cas: &Resource<Cas>) -> Result<Option<Vec<u8>>, Failure> {
        let limit = self.ctx.keyvalue().max_result_bytes;
        self.table.get(cas).map_err(trap)?.current(limit)
    }

    pub(crate) fn drop_cas(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }

    /// Stores a value if the key is as it was when the handle was made; else hands out a handle on what it is now.
    pub(crate) async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<(), CasFailure> {
        let cas = self.table.delete(cas).map_err(trap)?;
        let condition = cas.version.map_or(Condition::Absent, Condition::Version);
        let batch = Batch::new().require(cas.key.as_str(), condition).set(cas.key.as_str(), value);
        match cas.store().commit(batch).await {
            Ok(_) => Ok(()),
            Err(error) if is_changed(&error) => {
                let fresh = cas.look_again(self.ctx).await?;
                Err(CasFailure::Failed(self.table.push(fresh)?))
            }
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether a condition did not hold because somebody else has changed the record.
fn is_changed(error: &StorageError) -> bool {
    matches!(error, StorageError::Conflict { .. } | StorageError::AlreadyExists { .. } | StorageError::NotFound { .. })
}

/// What must be so for a value to be swapped.
pub(crate) struct Required {
    pub(crate) version: Option<String>,
    pub(crate) value: Option<Vec<u8>>,
}

impl Required {
    fn holds(&self, record: &Record) -> bool {
        self.version.as_ref().is_none_or(|version| *version == record.version.to_string())
            && self.value.as_ref().is_none_or(|value| **value == *record.value)
    }
}

/// How often a swap looks again while others write the same value.
const MAX_SWAPS: usize = 100;

impl OpenBucket {
    pub(super) fn new(ctx: &StorageCtx, store: ComponentStore) -> Self {
        Self { store, limit: ctx.keyvalue().max_result_bytes, kept: ctx.kept_bytes().clone() }
    }

    /// Room to keep keys for the guest, if there is any.
    pub(super) fn room_for(&self, keys: &VecDeque<String>) -> Option<Room> {
        let bytes = keys.iter().map(|key| key.len() + size_of::<String>()).sum();
        self.kept.take(bytes, self.limit)
    }

    /// Whose it is.
    pub(crate) fn component(&self) -> &ComponentId {
        self.store.id()
    }

    pub(crate) async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Failure> {
        let mut cached = None;
        if self.store.look(key, &mut |record| cached = record.map(|record| record.value.clone())) {
            return copied(cached, self.limit);
        }
        copied(self.store.get(key).await?, self.limit)
    }

    pub(crate) async fn set(&self, key: &str, value: Vec<u8>) -> Result<(), Failure> {
        Ok(self.store.set(key, value).await?)
    }

    /// Stores a value for some time; where `absent`, only where there is none.
    pub(crate) async fn set_for(
        &self,
        key: &str,
        value: Vec<u8>,
        time: Option<Duration>,
        absent: bool,
    ) -> Result<(), Failure> {
        let expiry = time.map_or(Expiry::Never, Expiry::After);
        let options = SetOptions { expiry, ..SetOptions::default() };
        self.store.set_with(key, value, options, absent.then_some(Condition::Absent)).await?;
        Ok(())
    }

    pub(crate) async fn delete(&self, key: &str) -> Result<(), Failure> {
        self.store.delete(key).await?;
        Ok(())
    }

    pub(crate) async fn exists(&self, key: &str) -> Result<bool, Failure> {
        Ok(self.store.exists(key).await?)
    }

    /// A page with a cursor that is text.
    pub(crate) async fn keys(
        &self,
        prefix: &str,
        cursor: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), Failure> {
        let key = self.store.cursors();
        let request = ScanRequest::prefix(prefix);
        let after = cursor.map(|cursor| key.open(&request, cursor)).transpose()?;
        let (keys, resume) = page(&self.store, request.clone(), after, self.limit).await?;
        Ok((keys, resume.map(|last| key.seal(&request, &last))))
    }

    /// A page with a cursor that is a number.
    pub(crate) async fn keys_numbered(&self, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>), Failure> {
        let (cursors, place) = (self.store.numbered_cursors(), self.store.place());
        let after = match cursor {
            None => None,
            Some(number) => Some(cursors.open(&place, number).ok_or_else(|| {
                Failure::invalid("the cursor is not one that this list has given; begin the list again without one")
            })?),
        };
        let (keys, resume) = page(&self.store, ScanRequest::default(), after, self.limit).await?;
        Ok((keys, resume.map(|last| cursors.seal(place, &last))))
    }

    /// Few of the keys after one, or none and still not the last.
    pub(super) async fn few_keys(&self, after: Option<String>) -> Result<KeyPage, Failure> {
        let request = ScanRequest { after, max_bytes: STREAM_PAGE_BYTES, ..ScanRequest::default() };
        Ok(self.store.scan_keys(&request).await?)
    }

    /// All keys, at one moment.
    pub(crate) async fn all_keys(&self) -> Result<Vec<String>, Failure> {
        let snapshot = self.store.snapshot().await?;
        let mut request = ScanRequest { limit: MAX_PAGE_ITEMS, ..ScanRequest::default() };
        let (mut keys, mut size) = (Vec::new(), 0_usize);
        loop {
            let page = snapshot.scan(&request).await?;
            for entry in page.entries {
                size = size.saturating_add(listed(&entry.key));
                if size > self.limit {
                    return Err(Failure::ResultTooLarge(self.limit));
                }
                keys.push(entry.key.into());
            }
            match page.resume {
                Some(resume) => request.after = Some(resume.into()),
                None => return Ok(keys),
            }
        }
    }

    pub(crate) async fn increment(&self, key: &str, delta: i64) -> Result<i64, Failure> {
        Ok(self.store.increment(key, delta).await?)
    }

    /// For shapes whose numbers have no sign: the number is never below zero, nor beyond what the others can tell.
    pub(crate) async fn increment_unsigned(&self, key: &str, delta: u64) -> Result<u64, Failure> {
        let negative = || Failure::invalid(format!("the number in '{key}' is negative, and this call has no sign"));
        if let Some(record) = self.store.read_one(key).await?
            && record.value.starts_with(b"-")
        {
            return Err(negative());
        }
        let delta = i64::try_from(delta).map_err(|_| {
            Failure::invalid(format!("the number in '{key}' would be out of range: the largest is {}", i64::MAX))
        })?;
        // Somebody may have made it negative since: then adding is still right, and telling is not possible.
        u64::try_from(self.store.increment(key, delta).await?).map_err(|_| negative())
    }

    /// The values of keys, in their order, as they are at one moment.
    pub(crate) async fn get_many(&self, keys: &[String]) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        let records = match self.store.read(&names).await {
            // More than one read gives. A snapshot makes several of them one moment's.
            Err(StorageError::LimitExceeded { .. }) if keys.len() <= MAX_READ_KEYS => {
                in_parts(&self.store, &names, self.limit).await?
            }
            records => records?,
        };
        let size = keys
            .iter()
            .zip(&records)
            .map(|(key, record)| listed(key).saturating_add(record.as_ref().map_or(0, |record| record.value.len())));
        if size.fold(0, usize::saturating_add) > self.limit {
            return Err(Failure::ResultTooLarge(self.limit));
        }
        Ok(records.into_iter().map(|record| record.map(|record| record.value.to_vec())).collect())
    }

    pub(crate) async fn set_many(&self, items: Vec<(String, Vec<u8>)>) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        let batch = items.into_iter().fold(Batch::new(), |batch, (key, value)| batch.set(key, value));
        self.store.commit(batch).await?;
        Ok(())
    }

    pub(crate) async fn delete_many(&self, keys: Vec<String>) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let batch = keys.into_iter().fold(Batch::new(), Batch::delete);
        self.store.commit(batch).await?;
        Ok(())
    }

    /// The value of a key and its version.
    pub(crate) async fn entry(&self, key: &str) -> Result<Option<(Vec<u8>, String)>, Failure> {
        let record = self.store.read_one(key).await?;
        record.map(|record| self.told(&record)).transpose()
    }

    fn told(&self, record: &Record) -> Result<(Vec<u8>, String), Failure> {
        let value = copied(Some(record.value.clone()), self.limit)?.unwrap_or_default();
        Ok((value, record.version.to_string()))
    }

    /// Stores a value if what is required holds; else tells what there is.
    pub(crate) async fn swap(
        &self,
        key: &str,
        value: Vec<u8>,
        required: &Required,
    ) -> Result<Result<(), Option<(Vec<u8>, String)>>, Failure> {
        for _ in 0..MAX_SWAPS {
            let Some(record) = self.store.read_one(key).await? else { return Ok(Err(None)) };
            if !required.holds(&record) {
                return Ok(Err(Some(self.told(&record)?)));
            }
            let batch = Batch::new().require_version(key, record.version).set(key, value.clone());
            match self.store.commit(batch).await {
                Ok(_) => return Ok(Ok(())),
                // Somebody else was faster, and may have written what is required.
                Err(error) if is_changed(&error) => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(StorageError::Unavailable { reason: "others write this key all the time".to_owned() }.into())
    }
}

/// A handle that the guest does not have: the binding would have trapped already.
fn trap(error: wasmtime::component::ResourceTableError) -> Failure {
    Failure::Trap(error.into())
}

fn copied(value: Option<stash_core::StorageValue>, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
    match value {
        Some(value) if value.len() > limit => Err(Failure::ResultTooLarge(limit)),
        value => Ok(value.map(|value| value.to_vec())),
    }
}

/// What a key in an answer costs the guest: its bytes, and the pair of numbers that says where they are.
fn listed(key: &str) -> usize {
    key.len() + 8
}

/// The keys after `after`: as many as a page has and the answer may be, and where there are as many never fewer than a small
/// list.
async fn page(
    store: &ComponentStore,
    mut request: ScanRequest,
    after: Option<String>,
    limit: usize,
) -> Result<(Vec<String>, Option<String>), Failure> {
    request.limit = MAX_PAGE_ITEMS;
    request.after = after;
    request.max_bytes = limit.clamp(1, MAX_PAGE_BYTES);
    let (mut keys, mut bytes) = (Vec::<String>::new(), 0_usize);
    loop {
        let page = store.scan_keys(&request).await?;
        for key in page.keys {
            bytes = bytes.saturating_add(listed(&key));
            if bytes > limit {
                // The list goes on with this key.
                return match keys.last().cloned() {
                    None => Err(Failure::ResultTooLarge(limit)),
                    last => Ok((keys, last)),
                };
            }
            keys.push(key);
        }
        // A page ends early where much has expired.
        if page.resume.is_none() || keys.len() >= DEFAULT_PAGE_ITEMS || bytes >= MIN_PAGE_BYTES {
            return Ok((keys, page.resume));
        }
        request.after = page.resume;
    }
}

/// Reads keys few at a time, until the answer is too large.
async fn in_parts(store: &ComponentStore, keys: &[&str], limit: usize) -> Result<Vec<Option<Record>>, Failure> {
    let snapshot = store.snapshot().await?;
    let (mut records, mut bytes) = (Vec::with_capacity(keys.len()), 0_usize);
    for key in keys {
        let read = snapshot.read(&[key]).await?;
        bytes += read.iter().flatten().map(|record| record.value.len()).sum::<usize>();
        if bytes > limit {
            return Err(Failure::ResultTooLarge(limit));
        }
        records.extend(read);
    }
    Ok(records)
}
