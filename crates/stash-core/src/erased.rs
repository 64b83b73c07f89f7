//! [`ComponentStorage`] behind a pointer, for hosts that choose the engine when they run. It must add nothing but the
//! box around a future.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use crate::batch::{Batch, Committed};
use crate::error::StorageError;
use crate::record::Record;
use crate::storage::{ComponentStorage, KeyPage, ListRequest, Usage};

/// A boxed future.
pub type BoxFuture<'a, T> = Pin<Box<dyn Future<Output = T> + Send + 'a>>;

/// What [`ComponentStorage`] asks for, with boxed futures. Every storage is one; `dyn DynStorage` is a
/// [`ComponentStorage`] again.
pub trait DynStorage: Send + Sync + 'static {
    /// See [`ComponentStorage::look`].
    fn look_dyn(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool;

    /// See [`ComponentStorage::read_one`].
    fn read_one_dyn<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, StorageError>>;

    /// See [`ComponentStorage::read`].
    fn read_dyn<'a>(&'a self, keys: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Record>>, StorageError>>;

    /// See [`ComponentStorage::scan_keys`].
    fn scan_keys_dyn<'a>(&'a self, request: &'a ListRequest) -> BoxFuture<'a, Result<KeyPage, StorageError>>;

    /// See [`ComponentStorage::commit`].
    fn commit_dyn(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StorageError>>;

    /// See [`ComponentStorage::gaps`].
    fn gaps_dyn(&self) -> u64;

    /// See [`ComponentStorage::usage`].
    fn usage_dyn<'a>(&'a self, scope: &'a str) -> BoxFuture<'a, Result<Usage, StorageError>>;
}

impl<S: ComponentStorage> DynStorage for S {
    fn look_dyn(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        self.look(key, see)
    }

    fn read_one_dyn<'a>(&'a self, key: &'a str) -> BoxFuture<'a, Result<Option<Record>, StorageError>> {
        Box::pin(self.read_one(key))
    }

    fn read_dyn<'a>(&'a self, keys: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Record>>, StorageError>> {
        Box::pin(self.read(keys))
    }

    fn scan_keys_dyn<'a>(&'a self, request: &'a ListRequest) -> BoxFuture<'a, Result<KeyPage, StorageError>> {
        Box::pin(self.scan_keys(request))
    }

    fn commit_dyn(&self, batch: Batch) -> BoxFuture<'_, Result<Committed, StorageError>> {
        Box::pin(self.commit(batch))
    }

    fn gaps_dyn(&self) -> u64 {
        self.gaps()
    }

    fn usage_dyn<'a>(&'a self, scope: &'a str) -> BoxFuture<'a, Result<Usage, StorageError>> {
        Box::pin(self.usage(scope))
    }
}

/// A shared storage of a type chosen at run time.
impl ComponentStorage for Arc<dyn DynStorage> {
    fn look(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        (**self).look_dyn(key, see)
    }

    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        (**self).read_one_dyn(key).await
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        (**self).read_dyn(keys).await
    }

    async fn scan_keys(&self, request: &ListRequest) -> Result<KeyPage, StorageError> {
        (**self).scan_keys_dyn(request).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        (**self).commit_dyn(batch).await
    }

    fn gaps(&self) -> u64 {
        (**self).gaps_dyn()
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        (**self).usage_dyn(scope).await
    }
}
