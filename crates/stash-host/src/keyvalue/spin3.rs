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
use super::key_stream::KeyStream;
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
            let keys = StreamReader::new(&mut state, Keys { stream: KeyStream::new(bucket), over: Some(over) })?;
            // A guest that has read enough drops the stream, and was told nothing wrong.
            let outcome = async { wasmtime::error::Ok(ended.await.unwrap_or(Ok(()))) };
            Ok((keys, FutureReader::new(&mut state, outcome)?))
        })
    }
}

/// A bucket's keys, for a guest.
struct Keys {
    stream: KeyStream,
    /// Told how it ended.
    over: Option<oneshot::Sender<Result<(), key_value::Error>>>,
}

impl Keys {
    fn end(&mut self, outcome: Result<(), key_value::Error>) -> StreamResult {
        if let Some(over) = self.over.take() {
            // Nobody may be interested.
            let _ = over.send(outcome);
        }
        StreamResult::Dropped
    }
}

impl<D> StreamProducer<D> for Keys {
    type Item = String;
    type Buffer = VecBuffer<String>;

    fn poll_produce<'a>(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        store: StoreContextMut<'a, D>,
        mut destination: Destination<'a, String, VecBuffer<String>>,
        finish: bool,
    ) -> Poll<wasmtime::Result<StreamResult>> {
        // No more than is asked for now: what Wasmtime keeps for the guest is not counted.
        let wanted = destination.remaining(store).unwrap_or(usize::MAX);
        if wanted == 0 {
            return Poll::Ready(Ok(StreamResult::Completed));
        }
        match self.stream.poll_keys(cx, wanted) {
            Poll::Pending if finish => Poll::Ready(Ok(StreamResult::Cancelled)),
            Poll::Pending => Poll::Pending,
            Poll::Ready(Ok(keys)) => {
                destination.set_buffer(keys.into());
                Poll::Ready(Ok(if self.stream.is_over() { self.end(Ok(())) } else { StreamResult::Completed }))
            }
            Poll::Ready(Err(failure)) => {
                let error = error(failure, self.stream.bucket().component())?;
                Poll::Ready(Ok(self.end(Err(error))))
            }
        }
    }
}
