//! `get` and `exists` once more, for what the cache knows: answered before there is a future to run, which costs as much
//! as the cache itself. They must answer as the functions of [`store_functions`](crate::store_functions) do, and hand
//! them everything else.

use std::future::ready;

use stash_core::ComponentStorage;
use wasmtime::StoreContextMut;
use wasmtime::component::Linker;

use crate::bindings::stash::storage::{store, types};
use crate::component_store::ComponentStore;
use crate::failure::Failure;
use crate::view::{StorageCtxView, StorageView};

/// Values up to this are copied under the cache's lock; larger ones are shared under it and copied outside.
const COPIED_BYTES: usize = 16 * 1024;

type Answer<V> = wasmtime::Result<(Result<V, types::Error>,)>;
type Answering<'a, V> = Box<dyn Future<Output = Answer<V>> + Send + 'a>;

/// Puts them in the place of the generated ones, which are in the linker already.
pub(crate) fn add_to_linker<T: StorageView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    linker.allow_shadowing(true);
    let added = replace(linker);
    linker.allow_shadowing(false);
    added
}

fn replace<T: StorageView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    let mut instance = linker.instance("stash:storage/store@0.1.0")?;
    instance.func_wrap_async(
        "get",
        |mut caller: StoreContextMut<'_, T>, (key,): (String,)| -> Answering<'_, Value> {
            if let Some(value) = cached_value(caller.data_mut().storage().ctx.store(), &key) {
                return Box::new(ready(Ok((Ok(value),))));
            }
            Box::new(async move {
                let mut view = caller.data_mut().storage();
                let value = store::Host::get(&mut view, key).await;
                answer(&mut view, value)
            })
        },
    )?;
    instance.func_wrap_async("exists", |mut caller: StoreContextMut<'_, T>, (key,): (String,)| -> Answering<'_, bool> {
        let mut exists = false;
        if caller.data_mut().storage().ctx.store().look(&key, &mut |record| exists = record.is_some()) {
            return Box::new(ready(Ok((Ok(exists),))));
        }
        Box::new(async move {
            let mut view = caller.data_mut().storage();
            let exists = store::Host::exists(&mut view, key).await;
            answer(&mut view, exists)
        })
    })
}

/// A value, or that there is none.
pub(crate) type Value = Option<Vec<u8>>;

/// The value of a key that the cache knows, or that it has none; `None` where the cache does not know.
pub(crate) fn cached_value(store: &ComponentStore, key: &str) -> Option<Value> {
    let (mut copied, mut shared) = (None, None);
    let known = store.look(key, &mut |record| match record {
        Some(record) if record.value.len() <= COPIED_BYTES => copied = Some(record.value.to_vec()),
        Some(record) => shared = Some(record.value.clone()),
        None => {}
    });
    known.then(|| copied.or_else(|| shared.map(|value| value.to_vec())))
}

/// What the generated functions make of a result.
fn answer<V>(view: &mut StorageCtxView<'_>, result: Result<V, Failure>) -> Answer<V> {
    Ok((match result {
        Ok(value) => Ok(value),
        Err(failure) => Err(types::Host::convert_error(view, failure)?),
    },))
}
