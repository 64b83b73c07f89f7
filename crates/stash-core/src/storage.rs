//! The contract that every layer of a component's chain speaks: [`ComponentStorage`]. It says nothing of engines,
//! caches or WebAssembly.

use std::future::Future;

use crate::batch::{Batch, Committed, limit_else};
use crate::capabilities::Capabilities;
use crate::changes::{ChangesPage, ChangesRequest};
use crate::clock::Timestamp;
use crate::collection::{CollectionName, Place};
use crate::cursor::CursorKey;
use crate::engine::EngineStatus;
use crate::error::StorageError;
use crate::feed::Feed;
use crate::history::{KeyVersions, VersionsRequest};
use crate::lease::Leases;
use crate::limits::{MAX_LIST_BYTES, MAX_LIST_KEYS, MAX_READ_BYTES, MAX_READ_KEYS};
use crate::record::{Record, Version};
use crate::scan::{KeyPage, KeyRange, ScanPage, ScanRequest};
use crate::snapshot::{BackendSnapshot, StorageSnapshot};
use crate::value::StorageValue;

/// The storage of one component, or a layer of it.
///
/// At the top of a chain a key is what the component wrote (`user:123`); below the
/// [namespace layer](crate::NamespacedStorage) it is the full name (`app/service-a/001/user:123`).
///
/// `read`, `scan`, `commit` and `snapshot` carry nearly everything (`read_one` is the short way for one key); `get`,
/// `set`, `delete`, `exists` and `list_keys` are conveniences over them. [`StorageExt`](crate::StorageExt) has more.
///
/// - A namespace is linearizable: what one caller was told, every later call sees, through whichever clone or instance.
/// - `Ok` from a commit means that the engine has made it durable, so far as the engine promises that.
/// - A record that has expired is not there, whichever call asks, whether or not anybody has removed it yet.
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

    /// A page of records in the byte order of their keys, from one consistent state.
    ///
    /// A page has at most [`MAX_PAGE_ITEMS`](crate::limits::MAX_PAGE_ITEMS) records and, beyond a single one,
    /// [`MAX_PAGE_BYTES`](crate::limits::MAX_PAGE_BYTES), whatever is asked for.
    fn scan(&self, request: &ScanRequest) -> impl Future<Output = Result<ScanPage, StorageError>> + Send;

    /// As [`scan`](Self::scan), but only the keys.
    fn scan_keys(&self, request: &ScanRequest) -> impl Future<Output = Result<KeyPage, StorageError>> + Send {
        async move { Ok(self.scan(&ScanRequest { values: false, ..request.clone() }).await?.into()) }
    }

    /// How many records there are in a range, in one consistent state, without reading values.
    fn count(&self, range: &KeyRange) -> impl Future<Output = Result<u64, StorageError>> + Send;

    /// What is kept of a key's versions, the newest first; see [`VersionsRequest`].
    fn versions(&self, request: &VersionsRequest) -> impl Future<Output = Result<KeyVersions, StorageError>> + Send;

    /// A page of what the component's commits have done, all its collections together; see [`ChangesRequest`].
    /// `scope` is as with [`usage`](Self::usage).
    ///
    /// Fails with [`ChangesForgotten`](StorageError::ChangesForgotten) where they are not kept since the version that is
    /// asked for.
    fn changes(
        &self,
        scope: &str,
        request: &ChangesRequest,
    ) -> impl Future<Output = Result<ChangesPage, StorageError>> + Send;

    /// Begins to keep what the component's commits do, from the next one on, or stops and forgets what was kept. Either is
    /// durable. Tells since which version changes are kept, also where they were already; or the present version, where it
    /// was to stop. `scope` is as with [`usage`](Self::usage).
    ///
    /// The last [`MAX_CHANGES`](crate::limits::MAX_CHANGES) of at most
    /// [`MAX_CHANGE_BYTES`](crate::limits::MAX_CHANGE_BYTES) are kept, whole commits only. They do not count towards the
    /// quota. Nothing is kept before anybody asks, since it is one more write for each.
    fn keep_changes(&self, scope: &str, keep: bool) -> impl Future<Output = Result<Version, StorageError>> + Send;

    /// Waits until [`changes`](Self::changes) since `after` has something to tell: a later commit, or that they are not
    /// kept. Tells the present version. `scope` is as with [`usage`](Self::usage).
    ///
    /// It may wait for ever; whoever calls it sees to a bound. Dropping the future has no effect.
    fn changed(&self, scope: &str, after: Version) -> impl Future<Output = Result<Version, StorageError>> + Send;

    /// Does all of a batch or nothing of it.
    fn commit(&self, batch: Batch) -> impl Future<Output = Result<Committed, StorageError>> + Send;

    /// What the component stores, all its collections together. `scope` is empty at the top of a chain; the namespace
    /// layer puts its prefix there.
    fn usage(&self, scope: &str) -> impl Future<Output = Result<Usage, StorageError>> + Send;

    /// The present state, in full names: what the namespace layer makes a [`StorageSnapshot`] of.
    fn backend_snapshot(
        &self,
    ) -> impl Future<Output = Result<std::sync::Arc<dyn BackendSnapshot>, StorageError>> + Send;

    /// The present state. Keep it for a short time; see [`StorageSnapshot`].
    fn snapshot(&self) -> impl Future<Output = Result<StorageSnapshot, StorageError>> + Send;

    /// The same component's storage, seen from one of its collections; with `None`, from the default one. It costs
    /// nothing, and does not ask whether there is such a collection: reads of one that was not made find nothing, and
    /// commits to it fail with [`NoCollection`](StorageError::NoCollection).
    ///
    /// # Errors
    /// [`Unsupported`](StorageError::Unsupported) below the namespace layer.
    fn in_collection(&self, name: Option<&CollectionName>) -> Result<Self, StorageError>
    where
        Self: Sized,
    {
        self.in_place(&PlaceName(name.map_or(Place::Default, |name| Place::Named(name.clone()))))
    }

    /// As [`in_collection`](Self::in_collection), for places that have no name: what a layer implements.
    ///
    /// # Errors
    /// As there.
    fn in_place(&self, place: &PlaceName) -> Result<Self, StorageError>
    where
        Self: Sized;

    /// Which collection this storage is seen from.
    fn place(&self) -> PlaceName;

    /// The time of day by which records are dated and expire.
    fn now(&self) -> Timestamp;

    /// Where the component's open transactions are counted, and ended when they are too old.
    fn leases(&self) -> Leases {
        Leases::default()
    }

    /// What cursors are sealed with.
    fn cursors(&self) -> CursorKey;

    /// What this storage can do, and its limits.
    fn capabilities(&self) -> Capabilities;

    /// How the engine is now.
    fn status(&self) -> EngineStatus;

    /// Grows when caches above must be emptied; see [`Engine::gaps`](crate::Engine::gaps).
    fn gaps(&self) -> u64;

    /// What is heard of others' commits to the namespace of this key; see [`Engine::feed`](crate::Engine::feed).
    fn feed(&self, key: &str) -> Option<std::sync::Arc<Feed>>;

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
        async { Ok(self.commit(batch).await?.outcomes.iter().any(|outcome| outcome.existed)) }
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
        async move {
            let snapshot = self.snapshot().await?;
            let mut request = ScanRequest { limit: usize::MAX, ..ScanRequest::prefix(prefix) };
            let (mut keys, mut bytes) = (Vec::new(), 0_usize);
            loop {
                let page = snapshot.scan(&request).await?;
                for entry in page.entries {
                    bytes = bytes.saturating_add(entry.key.len());
                    if keys.len() >= MAX_LIST_KEYS {
                        let what = "the number of keys with this prefix (at least)";
                        return Err(limit_else(what, keys.len() + 1, MAX_LIST_KEYS, PAGES));
                    }
                    if bytes > MAX_LIST_BYTES {
                        let what = "the bytes of the keys with this prefix (at least)";
                        return Err(limit_else(what, bytes, MAX_LIST_BYTES, PAGES));
                    }
                    keys.push(entry.key.into());
                }
                match page.resume {
                    Some(resume) => request.after = Some(resume.into()),
                    None => return Ok(keys),
                }
            }
        }
    }
}

/// Which of a component's places; see [`ComponentStorage::in_place`].
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct PlaceName(pub(crate) Place);

/// What a component stores, exactly: kept in the same commit as the data. What has expired does not count.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Usage {
    /// The bytes of all its keys, values, content types and attributes, as the component wrote them, without what the
    /// store adds; and those of the earlier versions that its collections keep.
    pub used_bytes: u64,
    /// How many records there are.
    pub key_count: u64,
    /// How many bytes it may use; `None` where nothing limits it.
    pub quota_bytes: Option<u64>,
}

/// What to do instead of too large a list.
const PAGES: &str = "list them in pages";
/// What to do instead of too large a read.
pub(crate) const FEWER_KEYS: &str = "read fewer at once";

/// Holds what a read of several keys gives against its limit. Keys may be named twice.
pub(crate) fn check_read_bytes(records: &[Option<Record>]) -> Result<(), StorageError> {
    let bytes = records.iter().flatten().map(Record::used_bytes).fold(0, usize::saturating_add);
    if records.len() > 1 && bytes > MAX_READ_BYTES {
        return Err(limit_else("the size of the values to read in bytes", bytes, MAX_READ_BYTES, FEWER_KEYS));
    }
    Ok(())
}

/// Holds a read of several keys against its limit.
pub(crate) fn check_read_size(keys: &[&str]) -> Result<(), StorageError> {
    if keys.len() > MAX_READ_KEYS {
        return Err(limit_else("the number of keys to read", keys.len(), MAX_READ_KEYS, FEWER_KEYS));
    }
    Ok(())
}
