//! What all shapes of key-value interfaces do, once. Names and types of the shapes are not known here.

use stash_core::limits::{DEFAULT_PAGE_ITEMS, MAX_PAGE_ITEMS, MAX_READ_KEYS};
use stash_core::{Batch, ComponentStorage, Condition, Record, ScanRequest, StorageError, StorageExt};
use wasmtime::component::Resource;

use super::bucket::{Bucket, Cas, open};
use super::failure::{CasFailure, Failure};
use crate::component_store::ComponentStore;
use crate::view::StorageCtxView;

/// A first page has at least so many bytes of keys, or [`DEFAULT_PAGE_ITEMS`] keys, where there are as many: guests that
/// ignore the cursor see all of a list that is not large.
const MIN_PAGE_BYTES: usize = 1024 * 1024;

impl StorageCtxView<'_> {
    /// Opens a bucket; under a label, one of the label's own.
    pub(crate) async fn open_bucket(
        &mut self,
        label: Option<&str>,
        identifier: &str,
    ) -> Result<Resource<Bucket>, Failure> {
        let bucket = open(self.ctx, label, identifier).await?;
        Ok(self.table.push(bucket)?)
    }

    pub(crate) fn bucket(&self, bucket: &Resource<Bucket>) -> Result<ComponentStore, Failure> {
        Ok(self.table.get(bucket).map_err(trap)?.store.clone())
    }

    pub(crate) fn drop_bucket(&mut self, bucket: Resource<Bucket>) -> wasmtime::Result<()> {
        self.table.delete(bucket)?;
        Ok(())
    }

    pub(crate) async fn bucket_get(
        &mut self,
        bucket: &Resource<Bucket>,
        key: &str,
    ) -> Result<Option<Vec<u8>>, Failure> {
        let limit = self.ctx.keyvalue().max_result_bytes;
        let store = &self.table.get(bucket).map_err(trap)?.store;
        let mut cached = None;
        if store.look(key, &mut |record| cached = record.map(|record| record.value.clone())) {
            return copied(cached, limit);
        }
        copied(store.get(key).await?, limit)
    }

    pub(crate) async fn bucket_set(
        &mut self,
        bucket: &Resource<Bucket>,
        key: &str,
        value: Vec<u8>,
    ) -> Result<(), Failure> {
        Ok(self.bucket(bucket)?.set(key, value).await?)
    }

    pub(crate) async fn bucket_delete(&mut self, bucket: &Resource<Bucket>, key: &str) -> Result<(), Failure> {
        self.bucket(bucket)?.delete(key).await?;
        Ok(())
    }

    pub(crate) async fn bucket_exists(&mut self, bucket: &Resource<Bucket>, key: &str) -> Result<bool, Failure> {
        Ok(self.bucket(bucket)?.exists(key).await?)
    }

    /// A page with a cursor that is text.
    pub(crate) async fn bucket_keys(
        &mut self,
        bucket: &Resource<Bucket>,
        prefix: &str,
        cursor: Option<&str>,
    ) -> Result<(Vec<String>, Option<String>), Failure> {
        let limit = self.ctx.keyvalue().max_result_bytes;
        let store = self.bucket(bucket)?;
        let key = store.cursors();
        let request = ScanRequest::prefix(prefix);
        let after = cursor.map(|cursor| key.open(&request, cursor)).transpose()?;
        let (keys, resume) = page(&store, request.clone(), after, limit).await?;
        Ok((keys, resume.map(|last| key.seal(&request, &last))))
    }

    /// A page with a cursor that is a number.
    pub(crate) async fn bucket_keys_numbered(
        &mut self,
        bucket: &Resource<Bucket>,
        cursor: Option<u64>,
    ) -> Result<(Vec<String>, Option<u64>), Failure> {
        let limit = self.ctx.keyvalue().max_result_bytes;
        let store = self.bucket(bucket)?;
        let (cursors, place) = (store.numbered_cursors(), store.place());
        let after = match cursor {
            None => None,
            Some(number) => Some(cursors.open(&place, number).ok_or_else(|| {
                Failure::invalid("the cursor is not one that this list has given; begin the list again without one")
            })?),
        };
        let (keys, resume) = page(&store, ScanRequest::default(), after, limit).await?;
        Ok((keys, resume.map(|last| cursors.seal(place, &last))))
    }

    /// All keys, at one moment.
    pub(crate) async fn bucket_all_keys(&mut self, bucket: &Resource<Bucket>) -> Result<Vec<String>, Failure> {
        let limit = self.ctx.keyvalue().max_result_bytes;
        let snapshot = self.bucket(bucket)?.snapshot().await?;
        let mut request = ScanRequest { limit: MAX_PAGE_ITEMS, ..ScanRequest::default() };
        let (mut keys, mut size) = (Vec::new(), 0_usize);
        loop {
            let page = snapshot.scan(&request).await?;
            for entry in page.entries {
                size = size.saturating_add(listed(&entry.key));
                if size > limit {
                    return Err(Failure::ResultTooLarge(limit));
                }
                keys.push(entry.key.into());
            }
            match page.resume {
                Some(resume) => request.after = Some(resume.into()),
                None => return Ok(keys),
            }
        }
    }

    pub(crate) async fn bucket_increment(
        &mut self,
        bucket: &Resource<Bucket>,
        key: &str,
        delta: i64,
    ) -> Result<i64, Failure> {
        Ok(self.bucket(bucket)?.increment(key, delta).await?)
    }

    /// For shapes whose numbers have no sign: the number is never below zero, nor beyond what the others can tell.
    pub(crate) async fn bucket_increment_unsigned(
        &mut self,
        bucket: &Resource<Bucket>,
        key: &str,
        delta: u64,
    ) -> Result<u64, Failure> {
        let store = self.bucket(bucket)?;
        let negative = || Failure::invalid(format!("the number in '{key}' is negative, and this call has no sign"));
        if let Some(record) = store.read_one(key).await?
            && record.value.starts_with(b"-")
        {
            return Err(negative());
        }
        let delta = i64::try_from(delta).map_err(|_| {
            Failure::invalid(format!("the number in '{key}' would be out of range: the largest is {}", i64::MAX))
        })?;
        // Somebody may have made it negative since: then adding is still right, and telling is not possible.
        u64::try_from(store.increment(key, delta).await?).map_err(|_| negative())
    }

    /// The values of keys, in their order, as they are at one moment.
    pub(crate) async fn bucket_get_many(
        &mut self,
        bucket: &Resource<Bucket>,
        keys: &[String],
    ) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let limit = self.ctx.keyvalue().max_result_bytes;
        let store = self.bucket(bucket)?;
        let names: Vec<&str> = keys.iter().map(String::as_str).collect();
        let records = match store.read(&names).await {
            // More than one read gives. A snapshot makes several of them one moment's.
            Err(StorageError::LimitExceeded { .. }) if keys.len() <= MAX_READ_KEYS => {
                in_parts(&store, &names, limit).await?
            }
            records => records?,
        };
        let size = keys
            .iter()
            .zip(&records)
            .map(|(key, record)| listed(key).saturating_add(record.as_ref().map_or(0, |record| record.value.len())));
        if size.fold(0, usize::saturating_add) > limit {
            return Err(Failure::ResultTooLarge(limit));
        }
        Ok(records.into_iter().map(|record| record.map(|record| record.value.to_vec())).collect())
    }

    pub(crate) async fn bucket_set_many(
        &mut self,
        bucket: &Resource<Bucket>,
        items: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Failure> {
        if items.is_empty() {
            return Ok(());
        }
        let batch = items.into_iter().fold(Batch::new(), |batch, (key, value)| batch.set(key, value));
        self.bucket(bucket)?.commit(batch).await?;
        Ok(())
    }

    pub(crate) async fn bucket_delete_many(
        &mut self,
        bucket: &Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<(), Failure> {
        if keys.is_empty() {
            return Ok(());
        }
        let batch = keys.into_iter().fold(Batch::new(), Batch::delete);
        self.bucket(bucket)?.commit(batch).await?;
        Ok(())
    }

    pub(crate) async fn new_cas(&mut self, bucket: &Resource<Bucket>, key: String) -> Result<Resource<Cas>, Failure> {
        let cas = Cas::look(self.bucket(bucket)?, key).await?;
        Ok(self.table.push(cas)?)
    }

    pub(crate) fn cas_current(&mut self, cas: &Resource<Cas>) -> Result<Option<Vec<u8>>, Failure> {
        let limit = self.ctx.keyvalue().max_result_bytes;
        let seen = self.table.get(cas).map_err(trap)?.seen.as_ref();
        copied(seen.map(|record| record.value.clone()), limit)
    }

    pub(crate) fn drop_cas(&mut self, cas: Resource<Cas>) -> wasmtime::Result<()> {
        self.table.delete(cas)?;
        Ok(())
    }

    /// Stores a value if the key is as it was when the handle was made; else hands out a handle on what it is now.
    pub(crate) async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<(), CasFailure> {
        let cas = self.table.delete(cas).map_err(trap)?;
        let condition = cas.version().map_or(Condition::Absent, Condition::Version);
        let batch = Batch::new().require(cas.key.as_str(), condition).set(cas.key.as_str(), value);
        match cas.store.commit(batch).await {
            Ok(_) => Ok(()),
            Err(StorageError::Conflict { .. } | StorageError::AlreadyExists { .. } | StorageError::NotFound { .. }) => {
                let fresh = Cas::look(cas.store, cas.key).await?;
                Err(CasFailure::Failed(self.table.push(fresh)?))
            }
            Err(error) => Err(error.into()),
        }
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

/// The keys after `after`: as many as a page has, and where there are as many never fewer than a small list.
async fn page(
    store: &ComponentStore,
    mut request: ScanRequest,
    after: Option<String>,
    limit: usize,
) -> Result<(Vec<String>, Option<String>), Failure> {
    request.limit = MAX_PAGE_ITEMS;
    request.after = after;
    let (mut keys, mut bytes) = (Vec::new(), 0_usize);
    loop {
        let page = store.scan_keys(&request).await?;
        bytes += page.keys.iter().map(|key| listed(key)).sum::<usize>();
        keys.extend(page.keys);
        if bytes > limit {
            return Err(Failure::ResultTooLarge(limit));
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
