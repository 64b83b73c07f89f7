//! `fermyon:spin/key-value@2.0.0`. Each function hands its call to the operations that all shapes share.

use wasmtime::component::Resource;

use super::bindings::spin2::fermyon::spin::key_value;
use super::bucket::Bucket;
use super::failure::{Failure, Told};
use crate::view::StorageCtxView;

impl key_value::Host for StorageCtxView<'_> {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<key_value::Error> {
        Ok(match failure.told(self.ctx.store().id())? {
            Told::NoSuchStore => key_value::Error::NoSuchStore,
            Told::AccessDenied => key_value::Error::AccessDenied,
            Told::Full(_) => key_value::Error::StoreTableFull,
            Told::Other(text) => key_value::Error::Other(text),
        })
    }
}

impl key_value::HostStore for StorageCtxView<'_> {
    async fn open(&mut self, label: String) -> Result<Resource<Bucket>, Failure> {
        self.open_bucket(None, &label).await
    }

    async fn get(&mut self, this: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>, Failure> {
        self.bucket(&this)?.get(&key).await
    }

    async fn set(&mut self, this: Resource<Bucket>, key: String, value: Vec<u8>) -> Result<(), Failure> {
        self.bucket(&this)?.set(&key, value).await
    }

    async fn delete(&mut self, this: Resource<Bucket>, key: String) -> Result<(), Failure> {
        self.bucket(&this)?.delete(&key).await
    }

    async fn exists(&mut self, this: Resource<Bucket>, key: String) -> Result<bool, Failure> {
        self.bucket(&this)?.exists(&key).await
    }

    async fn get_keys(&mut self, this: Resource<Bucket>) -> Result<Vec<String>, Failure> {
        self.bucket(&this)?.all_keys().await
    }

    async fn drop(&mut self, this: Resource<Bucket>) -> wasmtime::Result<()> {
        self.drop_bucket(this)
    }
}
