//! `bucket.get` of `wasi:keyvalue` once more, for what the cache knows: answered before there is a future to run. It must
//! answer as the operation that all shapes share does, and hand it everything else.

use std::future::ready;

use wasmtime::StoreContextMut;
use wasmtime::component::{Linker, Resource};

use super::Draft2;
use super::bindings::{draft, draft2, spin_draft2};
use super::bucket::Bucket;
use crate::cached_reads::{Value, cached_value};
use crate::view::{StorageCtxView, StorageView};

type Answer<E> = wasmtime::Result<(Result<Value, E>,)>;
type Answering<'a, E> = Box<dyn Future<Output = Answer<E>> + Send + 'a>;

/// Puts them in the place of the generated ones, which are in the linker already.
pub(super) fn add_to_linker<T: StorageView + 'static>(linker: &mut Linker<T>, shape: Draft2) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let added = replace(linker, shape);
    linker.allow_shadowing(false);
    added
}

fn replace<T: StorageView + 'static>(linker: &mut Linker<T>, shape: Draft2) -> wasmtime::Result<()> {
    macro_rules! get {
        ($bindings:ident, $version:literal) => {{
            use $bindings::wasi::keyvalue::store;
            linker.instance(concat!("wasi:keyvalue/store@", $version))?.func_wrap_async(
                "[method]bucket.get",
                |mut caller: StoreContextMut<'_, T>,
                 (bucket, key): (Resource<Bucket>, String)|
                 -> Answering<'_, store::Error> {
                    if let Some(value) = cached(&caller.data_mut().storage(), &bucket, &key) {
                        return Box::new(ready(Ok((Ok(value),))));
                    }
                    Box::new(async move {
                        let mut view = caller.data_mut().storage();
                        let value = match view.bucket(&bucket) {
                            Ok(bucket) => bucket.get(&key).await,
                            Err(failure) => Err(failure),
                        };
                        Ok((match value {
                            Ok(value) => Ok(value),
                            Err(failure) => Err(store::Host::convert_error(&mut view, failure)?),
                        },))
                    })
                },
            )
        }};
    }
    get!(draft, "0.2.0-draft")?;
    match shape {
        Draft2::Proposal => get!(draft2, "0.2.0-draft2"),
        Draft2::Spin => get!(spin_draft2, "0.2.0-draft2"),
    }
}

/// What the cache knows of a key, where that may be told.
fn cached(view: &StorageCtxView<'_>, bucket: &Resource<Bucket>, key: &str) -> Option<Value> {
    let value = cached_value(&view.table.get(bucket).ok()?.store, key)?;
    let size = value.as_ref().map_or(0, Vec::len);
    (size <= view.ctx.keyvalue().max_result_bytes).then_some(value)
}
