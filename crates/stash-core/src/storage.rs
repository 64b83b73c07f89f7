//! The contract that every layer of a component's chain speaks: [`ComponentStorage`]. It says nothing of engines,
//! caches or WebAssembly.

use std::future::Future;

use crate::batch::{Batch, Committed, limit};
use crate::error::StorageError;
use crate::limits::{MAX_LIST_BYTES, MAX_LIST_KEYS, MAX_READ_KEYS};
use crate::record::Record;
use crate::value::StorageValue;

/// The storage of one component, or a layer of it.
///
/// At the top of a chain a key is what the component wrote (`user:123`); below the
/// [namespace layer](crate::NamespacedStorage) it is the full name (`app/service-a/001/user:123`).
///
/// `read`, `scan_keys`, `commit` and `usage` carry everything (`read_one` is the short way for one key); `get`, `set`, `delete`, `exists` and
/// `list_keys` are conveniences over them.
///
/// - A namespace is linearizable: what one caller was told, every later call sees, through whichever clone or instance.
/// - `Ok` from a commit means that the engine has made it durable, so far as the engine promises that.
/// - Dropping the future of a commit does not undo it: it may or may not take effect. Dropping a read has no effect.
/// - The futures of an embedded engine's reads are ready at once; those of commits may wait for the disk.
///
/// # Errors
/// Every call answers with [`StorageError`]; whatever the error, nothing of the call was done, but for
/// [`Io`](StorageError::Io) from a commit, after which a read tells what happened.
pub trait ComponentStorage: Send + Sync + 'static {
    /// Shows what the storage knows of `key` at once, uncopied: its record, or that there is none. `false` where it would
    /// have to ask further, or where the key is wrong: then nothing was shown, and [`read_one`](Self::read_one) answers.
    ///
    /// `see` must be quick and must not call any storage: it may run under a lock.
    fn look(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        let _ = (key, see);
        false
    }

    /// The record with this key.
    fn read_one(&self, key: &str) -> impl Future<Output = Result<Option<Record>, StorageError>> + Send;

    /// The records with these keys, in their order, from one consistent state. At most
    /// [`MAX_READ_KEYS`](crate::limits::MAX_READ_KEYS) keys.
    fn read(&self, keys: &[&str]) -> impl Future<Output = Result<Vec<Option<Record>>, StorageError>> + Send;

    /// Keys in byte order, from one consistent state.
    fn scan_keys(&self, request: &ListRequest) -> impl Future<Output = Result<KeyPage, StorageError>> + Send;

    /// Does all of a batch or nothing of it.
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<Committed, StorageError>> + Send;

    /// What the component stores. `scope` is empty at the top of a chain; the namespace layer puts its prefix there.
    fn usage(&self, scope: &str) -> impl Future<Output = Result<Usage, StorageError>> + Send;

    /// Grows when caches above must be emptied; see [`Engine::gaps`](crate::Engine::gaps).
    fn gaps(&self) -> u64;

    /// The value of `key`, or `None` where there is no such record.
    fn get(&self, key: &str) -> impl Future<Output = Result<Option<StorageValue>, StorageError>> + Send {
        async { Ok(self.read_one(key).await?.map(|record| record.value)) }
    }

    /// Stores `value` under `key`, whether or not there was one.
    fn set(
        &self,
        key: &str,
        value: impl Into<StorageValue> + Send,
    ) -> impl Future<Output = Result<(), StorageError>> + Send {
        let batch = Batch::new().set(key, value);
        async { self.commit(batch).await.map(drop) }
    }

    /// Removes the record with this key, and says whether there was one.
    fn delete(&self, key: &str) -> impl Future<Output = Result<bool, StorageError>> + Send {
        let batch = Batch::new().delete(key);
        async { Ok(self.commit(batch).await?.existed.contains(&true)) }
    }

    /// Whether there is a record with this key.
    fn exists(&self, key: &str) -> impl Future<Output = Result<bool, StorageError>> + Send {
        async { Ok(self.read_one(key).await?.is_some()) }
    }

    /// Every key that begins with `prefix`, in byte order, from one consistent state. Empty for all keys.
    ///
    /// Up to [`MAX_LIST_KEYS`] keys and [`MAX_LIST_BYTES`] bytes; where there are more, the answer is
    /// [`LimitExceeded`](StorageError::LimitExceeded) and never a part of them.
    fn list_keys(&self, prefix: &str) -> impl Future<Output = Result<Vec<String>, StorageError>> + Send {
        async {
            let request =
                ListRequest { prefix: prefix.to_owned(), after: None, limit: MAX_LIST_KEYS, max_bytes: MAX_LIST_BYTES };
            let page = self.scan_keys(&request).await?;
            if page.more {
                let found = page.keys.len().saturating_add(1);
                if found > MAX_LIST_KEYS {
                    return Err(limit("the number of keys with this prefix (at least)", found, MAX_LIST_KEYS));
                }
                let bytes = page.keys.iter().map(String::len).sum::<usize>().saturating_add(1);
                return Err(limit("the bytes of the keys with this prefix (at least)", bytes, MAX_LIST_BYTES));
            }
            Ok(page.keys)
        }
    }
}

/// Which keys to list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListRequest {
    /// Only keys that begin with this; empty for all.
    pub prefix: String,
    /// Only keys after this one, whether or not it is there.
    pub after: Option<String>,
    /// At most so many.
    pub limit: usize,
    /// Stop after the key with which the page reaches so many bytes of the component's own keys.
    pub max_bytes: usize,
}

/// Some keys, in byte order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyPage {
    /// The keys.
    pub keys: Vec<String>,
    /// Whether there are more after the last one.
    pub more: bool,
}

/// What a component stores, exactly: kept in the same commit as the data.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The bytes of all its keys and values, as the component wrote them, without what the store adds.
    pub used_bytes: u64,
    /// How many records there are.
    pub key_count: u64,
    /// How many bytes it may use; `None` where nothing limits it.
    pub quota_bytes: Option<u64>,
}

/// Holds a read of several keys against its limit.
pub(crate) fn check_read_size(keys: &[&str]) -> Result<(), StorageError> {
    if keys.len() > MAX_READ_KEYS {
        return Err(limit("the number of keys to read", keys.len(), MAX_READ_KEYS));
    }
    Ok(())
}
