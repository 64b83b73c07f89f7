//! What people do with a storage, in one call each: conveniences over [`ComponentStorage`] that every storage has. They
//! must add nothing that a layer could see.

use std::future::Future;
use std::pin::pin;

use futures_util::future::{Either, select};

use crate::batch::{Batch, Cleared, Condition};
use crate::bookmarks::{self, Bookmark};
use crate::changes::{ChangesPage, ChangesRequest};
use crate::collection::{CollectionInfo, CollectionName, CollectionSettings};
use crate::collections;
use crate::erased::BoxFuture;
use crate::error::StorageError;
use crate::history::VersionsRequest;
use crate::metadata::{Expiry, MetadataChange, SetOptions};
use crate::record::{Record, Version};
use crate::scan::{ScanEntry, ScanRequest};
use crate::storage::ComponentStorage;
use crate::transaction::{Isolation, Transaction};
use crate::value::StorageValue;
use crate::yielding::yield_now;

/// How often a transaction is run again after conflicts before its conflict is the answer. With a fair engine one of
/// the transactions that meet always commits.
const MAX_ATTEMPTS: usize = 100;

/// A page of a list, with the cursor of the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CursorPage {
    /// The records.
    pub entries: Vec<ScanEntry>,
    /// Where the list goes on; `None` at its end.
    pub cursor: Option<String>,
}

/// A page of keys, with the cursor of the next one.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyCursorPage {
    /// The keys.
    pub keys: Vec<String>,
    /// Where the list goes on; `None` at its end.
    pub cursor: Option<String>,
}

/// More calls on every storage.
///
/// ```
/// use std::time::Duration;
/// use stash_core::{ComponentStorage, Condition, Expiry, MemoryBackend, NamespacedStorage, SetOptions, StorageExt};
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = NamespacedStorage::new(&"app/shop/1".parse()?, MemoryBackend::in_memory());
///
/// // A session that goes by itself, and is only ever changed by who has read its last version.
/// let options = SetOptions { expiry: Expiry::After(Duration::from_secs(3600)), ..SetOptions::default() };
/// let version = store.set_with("session:7", "{}", options.clone(), Some(Condition::Absent)).await?;
/// store.set_with("session:7", "{\"n\":1}", options, Some(Condition::Version(version))).await?;
/// assert_eq!(store.increment("sessions", 1).await?, 1);
///
/// // Reads, decides and writes as if alone, however often that takes.
/// let left = store
///     .transaction(async |tx| {
///         let stock = tx.get("pears").await?.and_then(|value| value.as_text()?.parse().ok()).unwrap_or(10);
///         tx.set("pears", (stock - 2).to_string()).await?;
///         Ok::<u32, stash_core::StorageError>(stock - 2)
///     })
///     .await?;
/// assert_eq!(left, 8);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub trait StorageExt: ComponentStorage + Clone {
    /// Stores a value with an expiry, a content type, attributes; with a condition, only where it holds. Tells the new
    /// version.
    ///
    /// # Errors
    /// What the condition says; those of a commit.
    fn set_with(
        &self,
        key: &str,
        value: impl Into<StorageValue> + Send,
        options: SetOptions,
        condition: Option<Condition>,
    ) -> impl Future<Output = Result<Version, StorageError>> + Send {
        let batch = under(key, condition).set_with(key, value, options);
        async { Ok(self.commit(batch).await?.version) }
    }

    /// Removes the record if the condition holds, and says whether there was one.
    ///
    /// # Errors
    /// What the condition says; those of a commit.
    fn delete_if(&self, key: &str, condition: Condition) -> impl Future<Output = Result<bool, StorageError>> + Send {
        let batch = under(key, Some(condition)).delete(key);
        async { Ok(self.commit(batch).await?.existed().contains(&true)) }
    }

    /// Adds `delta` to the number under `key`, from 0 where there is none, and tells what it is then.
    ///
    /// # Errors
    /// [`StorageError::NotANumber`], [`StorageError::NumberOutOfRange`]; those of a commit.
    fn increment(&self, key: &str, delta: i64) -> impl Future<Output = Result<i64, StorageError>> + Send {
        let batch = Batch::new().increment(key, delta);
        async move {
            let committed = self.commit(batch).await?;
            let number = committed.outcomes.first().and_then(|outcome| outcome.number);
            number.ok_or_else(|| StorageError::NotANumber { key: key.to_owned() })
        }
    }

    /// Lets the record expire at another time.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] where there is none; those of a commit.
    fn touch(&self, key: &str, expiry: Expiry) -> impl Future<Output = Result<Version, StorageError>> + Send {
        let batch = Batch::new().expire(key, expiry);
        async { Ok(self.commit(batch).await?.version) }
    }

    /// Lets the record stay until it is deleted.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] where there is none; those of a commit.
    fn persist(&self, key: &str) -> impl Future<Output = Result<Version, StorageError>> + Send {
        self.touch(key, Expiry::Never)
    }

    /// Changes content type and attributes.
    ///
    /// # Errors
    /// [`StorageError::NotFound`] where there is no record; those of a commit.
    fn set_metadata(
        &self,
        key: &str,
        change: MetadataChange,
    ) -> impl Future<Output = Result<Version, StorageError>> + Send {
        let batch = Batch::new().set_metadata(key, change);
        async { Ok(self.commit(batch).await?.version) }
    }

    /// Removes the records whose keys begin with `prefix`: all of them at once, or, where there are more than
    /// [`MAX_CLEAR_RECORDS`](crate::limits::MAX_CLEAR_RECORDS), so many of them; [`Cleared::more`] says so, and the same
    /// call goes on.
    ///
    /// # Errors
    /// Those of a commit.
    fn clear(&self, prefix: &str) -> impl Future<Output = Result<Cleared, StorageError>> + Send {
        let batch = Batch::new().clear(prefix);
        async { Ok(self.commit(batch).await?.outcomes.first().and_then(|outcome| outcome.cleared).unwrap_or_default()) }
    }

    /// The record as it was when the component was at `version`; `None` where there was none then.
    ///
    /// # Errors
    /// [`StorageError::VersionForgotten`] where the collection no longer keeps it.
    fn read_at(
        &self,
        key: &str,
        version: Version,
    ) -> impl Future<Output = Result<Option<Record>, StorageError>> + Send {
        let request = VersionsRequest { key: key.to_owned(), at_most: Some(version), limit: 1 };
        async move {
            let snapshot = self.snapshot().await?;
            if snapshot.version().await? <= version {
                return Ok(snapshot.read(&[key]).await?.into_iter().next().flatten());
            }
            let found = self.versions(&request).await?;
            match found.versions.into_iter().next() {
                // Others came after it, and before the version that was asked for.
                Some(found) if found.ended.is_some_and(|ended| ended <= version) => {
                    Err(StorageError::VersionForgotten { key: request.key, version })
                }
                Some(found) => Ok(found.record),
                None if found.forgotten => Err(StorageError::VersionForgotten { key: request.key, version }),
                None => Ok(None),
            }
        }
    }

    /// Begins to keep what the component's commits do; see [`ComponentStorage::keep_changes`]. Tells since which version
    /// they are kept: read everything, then follow from there.
    ///
    /// # Errors
    /// Those of a commit.
    fn start_changes(&self) -> impl Future<Output = Result<Version, StorageError>> + Send {
        self.keep_changes("", true)
    }

    /// Stops keeping changes, and forgets those that were kept. What is interrupted in it, the same call, or the store by
    /// itself, goes on with.
    ///
    /// # Errors
    /// Those of a commit.
    fn stop_changes(&self) -> impl Future<Output = Result<(), StorageError>> + Send {
        async { self.keep_changes("", false).await.map(drop) }
    }

    /// The next changes: where there are none, waits for some until `end` is ready, and then tells how far it has looked.
    ///
    /// ```
    /// # use stash_core::{Batch, ChangesRequest, ComponentStorage, MemoryBackend, NamespacedStorage, StorageExt};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let store = NamespacedStorage::new(&"app/shop/1".parse()?, MemoryBackend::in_memory());
    /// let mut since = store.start_changes().await?;
    /// store.commit(Batch::new().set("order:7", "2 pears").delete("cart:7")).await?;
    /// // Each commit exactly once, also over restarts of a reader that keeps `through`.
    /// let page = store.next_changes(&ChangesRequest::since(since), std::future::pending()).await?;
    /// assert_eq!(page.changes[0].key, "order:7");
    /// since = page.through;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// Those of [`ComponentStorage::changes`].
    fn next_changes(
        &self,
        request: &ChangesRequest,
        end: impl Future<Output = ()> + Send,
    ) -> impl Future<Output = Result<ChangesPage, StorageError>> + Send {
        async move {
            let mut request = request.clone();
            let mut end = pin!(end);
            loop {
                let page = self.changes("", &request).await?;
                if !page.changes.is_empty() {
                    return Ok(page);
                }
                request.since = page.through;
                let (through, more) = (page.through, page.more);
                let next = async move {
                    // Where nothing fits so far, others still get their turn.
                    yield_now().await;
                    if more { Ok(through) } else { self.changed("", through).await }
                };
                match select(pin!(next), end.as_mut()).await {
                    Either::Left((next, _)) => next.map(drop)?,
                    Either::Right(_) => return Ok(page),
                }
            }
        }
    }

    /// One page of a list, from its beginning or from where a cursor says.
    ///
    /// The cursor goes on after the last key of its page, whatever was deleted or added since.
    ///
    /// # Errors
    /// [`StorageError::InvalidArgument`] for a cursor that was not given for this list; those of a scan.
    fn list(
        &self,
        request: &ScanRequest,
        cursor: Option<&str>,
    ) -> impl Future<Output = Result<CursorPage, StorageError>> + Send {
        async move {
            let key = self.cursors();
            let mut request = request.clone();
            if let Some(cursor) = cursor {
                request.after = Some(key.open(&request, cursor)?);
            }
            let page = self.scan(&request).await?;
            let cursor = page.resume.map(|last| key.seal(&request, &last));
            Ok(CursorPage { entries: page.entries, cursor })
        }
    }

    /// As [`list`](Self::list), but only the keys.
    ///
    /// # Errors
    /// As there.
    fn list_keys_page(
        &self,
        request: &ScanRequest,
        cursor: Option<&str>,
    ) -> impl Future<Output = Result<KeyCursorPage, StorageError>> + Send {
        async move {
            let key = self.cursors();
            let mut request = request.clone();
            if let Some(cursor) = cursor {
                request.after = Some(key.open(&request, cursor)?);
            }
            let page = self.scan_keys(&request).await?;
            let cursor = page.resume.map(|last| key.seal(&request, &last));
            Ok(KeyCursorPage { keys: page.keys, cursor })
        }
    }

    /// Makes a collection.
    ///
    /// # Errors
    /// [`StorageError::CollectionExists`]; [`StorageError::LimitExceeded`] where there are too many; those of a commit.
    fn create_collection(
        &self,
        name: &CollectionName,
        settings: &CollectionSettings,
    ) -> impl Future<Output = Result<(), StorageError>> + Send {
        collections::create(self, name, settings)
    }

    /// The storage, seen from a collection, which is made with these settings where it is not there.
    ///
    /// # Errors
    /// [`StorageError::LimitExceeded`] where there are too many; those of a read and of a commit.
    fn open_or_create_collection(
        &self,
        name: &CollectionName,
        settings: &CollectionSettings,
    ) -> impl Future<Output = Result<Self, StorageError>> + Send {
        async move {
            match collections::info(self, Some(name)).await {
                Ok(_) => {}
                Err(StorageError::NoCollection { .. }) => match collections::create(self, name, settings).await {
                    // Somebody else was faster.
                    Ok(()) | Err(StorageError::CollectionExists { .. }) => {}
                    Err(error) => return Err(error),
                },
                Err(error) => return Err(error),
            }
            self.in_collection(Some(name))
        }
    }

    /// Changes how a collection is; with `None`, the default one.
    ///
    /// # Errors
    /// [`StorageError::NoCollection`]; those of a commit.
    fn configure_collection(
        &self,
        name: Option<&CollectionName>,
        settings: &CollectionSettings,
    ) -> impl Future<Output = Result<(), StorageError>> + Send {
        collections::configure(self, name, settings)
    }

    /// The storage, seen from a collection that was made; with `None`, from the default one.
    ///
    /// # Errors
    /// [`StorageError::NoCollection`]; those of a read.
    fn open_collection(
        &self,
        name: Option<&CollectionName>,
    ) -> impl Future<Output = Result<Self, StorageError>> + Send {
        async move {
            if let Some(name) = name {
                collections::info(self, Some(name)).await?;
            }
            self.in_collection(name)
        }
    }

    /// How a collection is; with `None`, the default one.
    ///
    /// # Errors
    /// [`StorageError::NoCollection`]; those of a read.
    fn collection_info(
        &self,
        name: Option<&CollectionName>,
    ) -> impl Future<Output = Result<CollectionInfo, StorageError>> + Send {
        collections::info(self, name)
    }

    /// The collections that were made, in the order of their names: all of them, or those inside `parent`.
    ///
    /// # Errors
    /// Those of a scan.
    fn collections(
        &self,
        parent: Option<&CollectionName>,
    ) -> impl Future<Output = Result<Vec<CollectionInfo>, StorageError>> + Send {
        collections::list(self, parent)
    }

    /// Deletes a collection: where `recursive` is off, only if it is empty and no other is inside it; else with all that
    /// is in it. What fits one commit goes in one; of more, the records go first and the collection with the last of
    /// them, and after an interruption the same call goes on.
    ///
    /// # Errors
    /// [`StorageError::NoCollection`], [`StorageError::CollectionNotEmpty`]; those of a commit.
    fn delete_collection(
        &self,
        name: &CollectionName,
        recursive: bool,
    ) -> impl Future<Output = Result<(), StorageError>> + Send {
        collections::delete(self, name, recursive)
    }

    /// How far the follower with this name has come; `None` where it has said nothing yet.
    ///
    /// # Errors
    /// [`StorageError::InvalidArgument`] for a name that is empty, has control characters or more than
    /// [`MAX_BOOKMARK_NAME_BYTES`](crate::limits::MAX_BOOKMARK_NAME_BYTES); those of a read.
    fn bookmark(&self, name: &str) -> impl Future<Output = Result<Option<Bookmark>, StorageError>> + Send {
        bookmarks::read(self, name)
    }

    /// Says how far a follower has come. It is kept with the component, but is none of its records: it counts for nothing,
    /// and is no change.
    ///
    /// # Errors
    /// As [`bookmark`](Self::bookmark), also for a note of more than
    /// [`MAX_BOOKMARK_NOTE_BYTES`](crate::limits::MAX_BOOKMARK_NOTE_BYTES); those of a commit.
    fn set_bookmark(
        &self,
        name: &str,
        bookmark: impl Into<Bookmark>,
    ) -> impl Future<Output = Result<(), StorageError>> + Send {
        let bookmark = bookmark.into();
        async move { bookmarks::write(self, name, &bookmark).await }
    }

    /// Forgets how far a follower has come.
    ///
    /// # Errors
    /// As there.
    fn remove_bookmark(&self, name: &str) -> impl Future<Output = Result<(), StorageError>> + Send {
        bookmarks::remove(self, name)
    }

    /// Begins a transaction. It may be open for
    /// [`DEFAULT_TRANSACTION_AGE`](crate::limits::DEFAULT_TRANSACTION_AGE) unless the storage says otherwise.
    ///
    /// # Errors
    /// [`StorageError::LimitExceeded`] where too many are open; the engine's.
    fn begin(&self, isolation: Isolation) -> impl Future<Output = Result<Transaction<Self>, StorageError>> + Send {
        async move { Transaction::begin(self, isolation, &self.leases()).await }
    }

    /// Runs a transaction, serializable, and runs it again as often as others get in its way.
    ///
    /// An error of `run` rolls the transaction back and is the answer; so is a conflict that 100 attempts have met.
    ///
    /// # Errors
    /// Those of `run`, of beginning and of committing.
    fn transaction<T, X: From<StorageError>>(
        &self,
        mut run: impl AsyncFnMut(&mut Transaction<Self>) -> Result<T, X>,
    ) -> impl Future<Output = Result<T, X>> {
        async move {
            let mut attempt = 1;
            loop {
                let mut transaction = self.begin(Isolation::Serializable).await?;
                let answer = run(&mut transaction).await?;
                match transaction.commit().await {
                    Ok(_) => return Ok(answer),
                    Err(StorageError::TransactionConflict { .. }) if attempt < MAX_ATTEMPTS => attempt += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }

    /// The same with a boxed future, where the whole is to be spawned: a compiler of today cannot tell that the future of
    /// an async closure may move between threads.
    ///
    /// ```
    /// # use stash_core::{MemoryBackend, NamespacedStorage, StorageError, StorageExt};
    /// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
    /// let store = NamespacedStorage::new(&"app/shop/1".parse()?, MemoryBackend::in_memory());
    /// let task = tokio::spawn(async move {
    ///     store.transaction_boxed(|tx| Box::pin(async move { tx.increment("visits", 1).await })).await
    /// });
    /// assert_eq!(task.await??, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// # }).unwrap();
    /// ```
    ///
    /// # Errors
    /// As [`transaction`](Self::transaction).
    fn transaction_boxed<T: Send, X: From<StorageError> + Send>(
        &self,
        mut run: impl for<'t> FnMut(&'t mut Transaction<Self>) -> BoxFuture<'t, Result<T, X>> + Send,
    ) -> impl Future<Output = Result<T, X>> + Send {
        async move {
            let mut attempt = 1;
            loop {
                let mut transaction = self.begin(Isolation::Serializable).await?;
                let answer = run(&mut transaction).await?;
                match transaction.commit().await {
                    Ok(_) => return Ok(answer),
                    Err(StorageError::TransactionConflict { .. }) if attempt < MAX_ATTEMPTS => attempt += 1,
                    Err(error) => return Err(error.into()),
                }
            }
        }
    }
}

impl<S: ComponentStorage + Clone> StorageExt for S {}

fn under(key: &str, condition: Option<Condition>) -> Batch {
    match condition {
        Some(condition) => Batch::new().require(key, condition),
        None => Batch::new(),
    }
}
