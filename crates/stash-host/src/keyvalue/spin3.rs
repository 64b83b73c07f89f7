//! `spin:key-value@3.0.0`, whose functions are async and whose keys come as a stream: page by page, as the guest reads. No
//! function holds the guest's state while it waits.

use std::pin::Pin;
use std::task::{Context, Poll};

use stash_core::ComponentId;
use tokio::sync::oneshot;
use wasmtime::StoreContextMut;
use wasmtime::component::{
    Accessor, Destination, FutureReader, Resource, StreamProducer, StreamReader, StreamResult, VecBuffer,
};

use super::bindings::spin3::spin::key_value::key_value;
use super::bucket::Bucket;
use super::failure::{Failure, Told};
use super::operations::OpenBucket;
use super::wasmcloud::{open, opened};
use crate::view::{HasStorage, StorageCtxView};

impl key_value::Host for StorageCtxView<'_> {
    fn convert_error(&mut self, failure: Failure) -> wasmtime::Result<key_value::Error> {
        error(failure, self.ctx.store().id())
    }
}

fn error(failure: Failure, component: &ComponentId) -> wasmtime::Result<key_value::Error> {
    Ok(match failure.told(component)? {
        Told::NoSuchStore => key_value::Error::NoSuchStore,
        Told::AccessDenied => key_value::Error::AccessDenied,
        Told::Full(_) => key_value::Error::StoreTableFull,
        Told::Other(text) => key_value::Error::Other(text),
    })
}

impl key_value::HostStore for StorageCtxView<'_> {
    fn drop(&mut self, this: Resource<Bucket>) -> wasmtime::Result<()> {
        self.drop_bucket(this)
    }
}

impl<U: Send + 'static> key_value::HostStoreWithStore<U> for HasStorage {
    async fn open(guest: &Accessor<U, Self>, label: String) -> Result<Resource<Bucket>, Failure> {
        open(guest, &label).await
    }

    async fn get(guest: &Accessor<U, Self>, this: Resource<Bucket>, key: String) -> Result<Option<Vec<u8>>, Failure> {
        opened(guest, &this)?.get(&key).await
    }

    async fn set(
        guest: &Accessor<U, Self>,
        this: Resource<Bucket>,
        key: String,
        value: Vec<u8>,
    ) -> Result<(), Failure> {
        opened(guest, &this)?.set(&key, value).await
    }

    async fn delete(guest: &Accessor<U, Self>, this: Resource<Bucket>, key: String) -> Result<(), Failure> {
        opened(guest, &this)?.delete(&key).await
    }

    async fn exists(guest: &Accessor<U, Self>, this: Resource<Bucket>, key: String) -> Result<bool, Failure> {
        opened(guest, &this)?.exists(&key).await
    }

    async fn get_keys(
        guest: &Accessor<U, Self>,
        this: Resource<Bucket>,
    ) -> wasmtime::Result<(StreamReader<String>, FutureReader<Result<(), key_value::Error>>)> {
        guest.with(|mut state| {
            let bucket = match state.get().bucket(&this) {
                Ok(bucket) => bucket,
                Err(failure) => {
                    let error = key_value::Host::convert_error(&mut state.get(), failure)?;
                    let keys = StreamReader::new(&mut state, Vec::new())?;
                    let outcome = FutureReader::new(&mut state, async { wasmtime::error::Ok(Err(error)) })?;
                    return Ok((keys, outcome));
                }
            };
            let (over, ended) = oneshot::channel();
            let keys = StreamReader::new(&mut state, Keys { reading: Some(read(bucket, None)), over: Some(over) })?;
            // A guest that has read enough drops the stream, and was told nothing wrong.
            let outcome = async { wasmtime::error::Ok(ended.await.unwrap_or(Ok(()))) };
            Ok((keys, FutureReader::new(&mut state, outcome)?))
        })
    }
}

type Page = (OpenBucket, Result<(Vec<String>, Option<String>), Failure>);
type Reading = Pin<Box<dyn Future<Output = Page> + Send>>;

fn read(bucket: OpenBucket, after: Option<String>) -> Reading {
    Box::pin(async move {
        let page = bucket.keys_after(after).await;
        (bucket, page)
    })
}

/// A bucket's keys, a page at a time.
struct Keys {
    /// The page that comes; `None` after the last, which the guest may be reading still.
    reading: Option<Reading>,
    /// Told how it ended.
    over: Option<oneshot::Sender<Result<(), key_value::Error>>>,
}

impl Keys {
    fn end(&mut self, outcome: Result<(), key_value::Error>) -> Poll<wasmtime::Result<StreamResult>> {
        self.reading = None;
        if let Some(over) = self.over.take() {
            // Nobody may be interested.
            let _ = over.send(outcome);
        }
        Poll::Ready(Ok(StreamResult::Dropped))
    }
}

impl<D> StreamProducer<D> for Keys {
    type Item = String;
    type Buffer = VecBuffer<String>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        _: StoreContextMut<'a, D>,
        mut destination: Destination<'a, String, VecBuffer<String>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        let Some(reading) = &mut self.reading else { return Poll::Ready(Ok(StreamResult::Dropped)) };
        let (bucket, page) = match reading.as_mut().poll(cx) {
            Poll::Ready(page) => page,
            Poll::Pending if finish => return Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => return Poll::Pending,
        };
        match page {
            Ok((keys, resume)) => {
                destination.set_buffer(keys.into());
                match resume {
                    None => self.end(Ok(())),
                    after => {
                        self.reading = Some(read(bucket, after));
                        Poll::Ready(Ok(StreamResult::Completed))
                    }
                }
            }
            Err(failure) => {
                let outcome = Err(error(failure, bucket.component())?);
                self.end(outcome)
            }
        }
    }
}
