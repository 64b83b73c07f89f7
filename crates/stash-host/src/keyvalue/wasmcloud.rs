//! `wasmcloud:keyvalue@0.2.0`, whose functions are async. No function holds the guest's state while it waits, so that the
//! guest's other tasks go on.

use std::time::Duration;

use stash_core::StorageError;
use wasmtime::component::{Accessor, Resource};

use super::bindings::wasmcloud::wasmcloud::keyvalue::{atomics, batch, cas, store, types};
use super::bucket::{self, Bucket};
use super::failure::{Failure, Told};
use super::operations::{OpenBucket, Required};
use crate::view::{HasStorage, StorageCtxView};

impl types::Host for StorageCtxView<'_> {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<types::Error> {
        Ok(match failure {
            Failure::Storage(StorageError::AlreadyExists { .. }) => types::Error::PreconditionFailed,
            Failure::Storage(
                StorageError::InvalidArgument { .. }
                | StorageError::InvalidKey { .. }
                | StorageError::LimitExceeded { .. },
            ) => types::Error::InvalidArgument,
            Failure::Storage(StorageError::QuotaExceeded { .. }) => types::Error::QuotaExceeded,
            Failure::Storage(StorageError::Unavailable { .. } | StorageError::Closed) => types::Error::StoreUnavailable,
            failure => match failure.told(self.ctx.store().id())? {
                Told::NoSuchStore => types::Error::NoSuchStore,
                Told::AccessDenied => types::Error::AccessDenied,
                Told::Full(text) | Told::Other(text) => types::Error::Other(text),
            },
        })
    }
}

impl store::Host for StorageCtxView<'_> {}
impl atomics::Host for StorageCtxView<'_> {}
impl batch::Host for StorageCtxView<'_> {}
impl cas::Host for StorageCtxView<'_> {}

impl types::HostBucket for StorageCtxView<'_> {
    fn drop(&mut self, this: Resource<Bucket>) -> wasmtime::Result<()> {
        self.drop_bucket(this)
    }
}

/// The bucket of a handle, without the guest's state.
pub(super) fn opened<U: 'static>(
    guest: &Accessor<U, HasStorage>,
    bucket: &Resource<Bucket>,
) -> Result<OpenBucket, Failure> {
    guest.with(|mut state| state.get().bucket(bucket))
}

/// Opens a bucket, and hands out the handle.
pub(super) async fn open<U: 'static>(
    guest: &Accessor<U, HasStorage>,
    identifier: &str,
) -> Result<Resource<Bucket>, Failure> {
    let ctx = guest.with(|mut state| state.get().ctx.clone());
    let bucket = bucket::open(&ctx, None, identifier).await?;
    guest.with(|mut state| Ok(state.get().table.push(bucket)?))
}

impl<U: 'static> store::HostWithStore<U> for HasStorage {
    async fn open(guest: &Accessor<U, Self>, identifier: String) -> Result<Resource<Bucket>, Failure> {
        open(guest, &identifier).await
    }
}

impl<U: 'static> types::HostBucketWithStore<U> for HasStorage {
    async fn get(guest: &Accessor<U, Self>, this: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>, Failure> {
        opened(guest, &this)?.get(&key).await
    }

    async fn set(
        guest: &Accessor<U, Self>,
        this: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        options: Option<types::SetOptions>,
    ) -> Result<(), Failure> {
        let bucket = opened(guest, &this)?;
        let Some(options) = options else { return bucket.set(&key, value).await };
        if options.ttl_ms == Some(0) {
            return Err(Failure::invalid("a value that is stored for no time at all"));
        }
        let time = options.ttl_ms.map(Duration::from_millis);
        bucket.set_for(&key, value, time, options.if_not_exists).await
    }

    async fn delete(guest: &Accessor<U, Self>, this: Resource<Bucket>, key: String) -> Result<(), Failure> {
        opened(guest, &this)?.delete(&key).await
    }

    async fn exists(guest: &Accessor<U, Self>, this: Resource<Bucket>, key: String) -> Result<bool, Failure> {
        opened(guest, &this)?.exists(&key).await
    }

    async fn list_keys(
        guest: &Accessor<U, Self>,
        this: Resource<Bucket>,
        prefix: Option<String>,
        cursor: Option<String>,
    ) -> Result<types::KeyResponse, Failure> {
        let bucket = opened(guest, &this)?;
        let (keys, cursor) = bucket.keys(prefix.as_deref().unwrap_or_default(), cursor.as_deref()).await?;
        Ok(types::KeyResponse { keys, cursor })
    }
}

impl<U: 'static> atomics::HostWithStore<U> for HasStorage {
    async fn increment(
        guest: &Accessor<U, Self>,
        bucket: Resource<Bucket>,
        key: String,
        delta: i64,
    ) -> Result<i64, Failure> {
        opened(guest, &bucket)?.increment(&key, delta).await
    }
}

impl<U: 'static> batch::HostWithStore<U> for HasStorage {
    async fn get_many(
        guest: &Accessor<U, Self>,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<Vec<Option<(String, Vec<u8>)>>, Failure> {
        let values = opened(guest, &bucket)?.get_many(&keys).await?;
        Ok(keys.into_iter().zip(values).map(|(key, value)| value.map(|value| (key, value))).collect())
    }

    async fn set_many(
        guest: &Accessor<U, Self>,
        bucket: Resource<Bucket>,
        items: Vec<(String, Vec<u8>)>,
    ) -> Result<(), Failure> {
        opened(guest, &bucket)?.set_many(items).await
    }

    async fn delete_many(
        guest: &Accessor<U, Self>,
        bucket: Resource<Bucket>,
        keys: Vec<String>,
    ) -> Result<(), Failure> {
        opened(guest, &bucket)?.delete_many(keys).await
    }
}

fn entry((value, version): (Vec<u8>, String)) -> cas::Entry {
    cas::Entry { value, version }
}

impl<U: 'static> cas::HostWithStore<U> for HasStorage {
    async fn current(
        guest: &Accessor<U, Self>,
        bucket: Resource<Bucket>,
        key: String,
    ) -> Result<Option<cas::Entry>, Failure> {
        Ok(opened(guest, &bucket)?.entry(&key).await?.map(entry))
    }

    async fn swap(
        guest: &Accessor<U, Self>,
        bucket: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
        options: cas::CasOptions,
    ) -> Result<cas::CasResult, Failure> {
        let required = Required { version: options.require_version, value: options.require_value };
        if required.version.is_none() && required.value.is_none() {
            return Err(Failure::invalid("a swap that requires nothing"));
        }
        Ok(match opened(guest, &bucket)?.swap(&key, value, &required).await? {
            Ok(()) => cas::CasResult::Swapped,
            Err(current) => cas::CasResult::Stale(current.map(entry)),
        })
    }
}
