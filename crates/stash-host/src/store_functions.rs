//! The functions of `stash:storage/store`. Each hands its call to the caller's chain and does nothing else.

use crate::bindings::stash::storage::{store, types};
use crate::failure::{self, Failure, guest_error};
use crate::view::StorageCtxView;
use stash_core::{ComponentStorage, StorageExt};

impl types::Host for StorageCtxView<'_> {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<types::Error> {
        let error = match failure {
            Failure::Storage(error) => error,
            Failure::Trap(trap) => return Err(trap),
        };
        failure::log(self.ctx.store().id(), &error);
        Ok(guest_error(error))
    }
}

impl store::Host for StorageCtxView<'_> {
    async fn get(&mut self, key: String) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.ctx.store().get(&key).await?.map(|value| value.to_vec()))
    }

    async fn set(&mut self, key: String, value: Vec<u8>) -> Result<(), Failure> {
        Ok(self.ctx.store().set(&key, value).await?)
    }

    async fn delete(&mut self, key: String) -> Result<bool, Failure> {
        Ok(self.ctx.store().delete(&key).await?)
    }

    async fn exists(&mut self, key: String) -> Result<bool, Failure> {
        Ok(self.ctx.store().exists(&key).await?)
    }

    async fn list_keys(&mut self, prefix: String) -> Result<Vec<String>, Failure> {
        Ok(self.ctx.store().list_keys(&prefix).await?)
    }

    async fn increment(&mut self, key: String, delta: i64) -> Result<i64, Failure> {
        Ok(self.ctx.store().increment(&key, delta).await?)
    }

    async fn usage(&mut self) -> Result<store::UsageInfo, Failure> {
        let usage = self.ctx.store().usage("").await?;
        Ok(store::UsageInfo {
            used_bytes: usage.used_bytes,
            quota_bytes: usage.quota_bytes,
            key_count: usage.key_count,
        })
    }
}
