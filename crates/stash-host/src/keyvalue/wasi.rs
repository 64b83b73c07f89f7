//! `wasi:keyvalue` in its three shapes. Each function hands its call to the operations that all shapes share; only what the
//! shapes differ in is said here.

use wasmtime::component::Resource;

use super::bucket::Bucket;
use super::cas::Cas;
use super::failure::{CasFailure, Failure, Told};
use super::operations::OpenBucket;
use crate::view::StorageCtxView;

/// What the interface `store` of a shape needs beyond its cursor.
macro_rules! store {
    ($bindings:ident, $cursor:ty, $keys:ident) => {
        use super::super::bindings::$bindings::wasi::keyvalue::{batch, store};
        use super::*;

        impl store::Host for StorageCtxView<'_> {
            async fn open(&mut self, identifier: String) -> Result<Resource<Bucket>, Failure> {
                self.open_bucket(None, &identifier).await
            }

            fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<store::Error> {
                Ok(match failure.told(self.ctx.store().id())? {
                    Told::NoSuchStore => store::Error::NoSuchStore,
                    Told::AccessDenied => store::Error::AccessDenied,
                    Told::Full(text) | Told::Other(text) => store::Error::Other(text),
                })
            }
        }

        impl store::HostBucket for StorageCtxView<'_> {
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

            async fn list_keys(
                &mut self,
                this: Resource<Bucket>,
                cursor: Option<$cursor>,
            ) -> Result<store::KeyResponse, Failure> {
                let (keys, cursor) = self.bucket(&this)?.$keys(cursor).await?;
                Ok(store::KeyResponse { keys, cursor })
            }

            async fn drop(&mut self, this: Resource<Bucket>) -> wasmtime::Result<()> {
                self.drop_bucket(this)
            }
        }
    };
}

/// The interface `batch` of a shape: what `get-many` answers for a key and its value.
macro_rules! batch {
    ($answer:ty, $each:expr) => {
        impl batch::Host for StorageCtxView<'_> {
            async fn get_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<Vec<$answer>, Failure> {
                let values = self.bucket(&bucket)?.get_many(&keys).await?;
                Ok(keys.into_iter().zip(values).map($each).collect())
            }

            async fn set_many(
                &mut self,
                bucket: Resource<Bucket>,
                key_values: Vec<(String, Vec<u8>)>,
            ) -> Result<(), Failure> {
                self.bucket(&bucket)?.set_many(key_values).await
            }

            async fn delete_many(&mut self, bucket: Resource<Bucket>, keys: Vec<String>) -> Result<(), Failure> {
                self.bucket(&bucket)?.delete_many(keys).await
            }
        }
    };
}

/// The interface `atomics` of the shapes with a sign and compare-and-swap.
macro_rules! atomics {
    ($bindings:ident) => {
        use super::super::bindings::$bindings::wasi::keyvalue::atomics;

        impl atomics::Host for StorageCtxView<'_> {
            async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: i64) -> Result<i64, Failure> {
                self.bucket(&bucket)?.increment(&key, delta).await
            }

            async fn swap(&mut self, cas: Resource<Cas>, value: Vec<u8>) -> Result<(), CasFailure> {
                StorageCtxView::swap(self, cas, value).await
            }

            fn convert_cas_error(&mut self, failure: CasFailure) -> wasmtime::Result<atomics::CasError> {
                Ok(match failure {
                    CasFailure::Failed(cas) => atomics::CasError::CasFailed(cas),
                    CasFailure::Store(failure) => {
                        atomics::CasError::StoreError(store::Host::convert_error(self, failure)?)
                    }
                })
            }
        }

        impl atomics::HostCas for StorageCtxView<'_> {
            async fn new(&mut self, bucket: Resource<Bucket>, key: String) -> Result<Resource<Cas>, Failure> {
                self.new_cas(&bucket, key).await
            }

            async fn current(&mut self, this: Resource<Cas>) -> Result<Option<Vec<u8>>, Failure> {
                self.cas_current(&this)
            }

            async fn drop(&mut self, this: Resource<Cas>) -> wasmtime::Result<()> {
                self.drop_cas(this)
            }
        }
    };
}

type Pair = (String, Option<Vec<u8>>);

/// A pair for a key that has a value; none for one that has none.
fn where_there_is_one((key, value): Pair) -> Option<(String, Vec<u8>)> {
    value.map(|value| (key, value))
}

mod draft {
    store!(draft, u64, keys_numbered);
    batch!(Option<(String, Vec<u8>)>, where_there_is_one);

    use super::super::bindings::draft::wasi::keyvalue::atomics;

    impl atomics::Host for StorageCtxView<'_> {
        async fn increment(&mut self, bucket: Resource<Bucket>, key: String, delta: u64) -> Result<u64, Failure> {
            self.bucket(&bucket)?.increment_unsigned(&key, delta).await
        }
    }
}

mod draft2 {
    store!(draft2, String, keys_from);
    batch!(Option<(String, Vec<u8>)>, where_there_is_one);
    atomics!(draft2);
}

mod spin_draft2 {
    store!(spin_draft2, String, keys_from);
    batch!(Pair, |pair| pair);
    atomics!(spin_draft2);
}

impl OpenBucket {
    async fn keys_from(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), Failure> {
        self.keys("", cursor.as_deref()).await
    }
}
