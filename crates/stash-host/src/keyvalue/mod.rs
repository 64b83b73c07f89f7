//! The key-value interfaces of other hosts, over the component's own store: what `stash:storage` sets, `wasi:keyvalue` gets.
//! A bucket is a collection of the component; it must never lead out of it.

pub(crate) mod bindings;
pub(crate) mod bucket;
mod cached_gets;
mod cas;
mod cursors;
mod failure;
mod kept;
mod key_stream;
mod operations;
mod spin;
mod spin3;
mod wasi;
mod wasmcloud;

use std::collections::BTreeSet;
use std::sync::Arc;

use stash_core::{CollectionName, StorageError};
use wasmtime::StoreContextMut;
use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::{Component, Linker};

use crate::view::{HasStorage, StorageView};
use bindings::{draft, draft2, spin_draft2, spin2};

pub(crate) use cursors::NumberedCursors;
pub(crate) use kept::KeptBytes;

/// How the key-value interfaces of other hosts behave.
#[derive(Debug, Clone)]
pub struct KeyValueConfig {
    /// The names of buckets that may be opened; of a labelled import its label. `None` for any. The default bucket is
    /// allowed where it is named, as `default`.
    pub allowed: Option<BTreeSet<String>>,
    /// Bytes in one answer. Larger ones are an error that tells the limit.
    pub max_result_bytes: usize,
}

impl Default for KeyValueConfig {
    /// Any name, answers up to 128 MiB.
    fn default() -> Self {
        Self { allowed: None, max_result_bytes: 128 * 1024 * 1024 }
    }
}

impl KeyValueConfig {
    fn allows(&self, label: Option<&str>, identifier: &str) -> bool {
        let Some(allowed) = &self.allowed else { return true };
        let name = if bucket::is_default(identifier) { "default" } else { identifier };
        allowed.contains(label.unwrap_or(name))
    }

    /// Whether one of the names that may be opened is this collection's.
    pub(crate) fn allows_collection(&self, collection: Option<&CollectionName>) -> bool {
        let Some(allowed) = &self.allowed else { return true };
        allowed.iter().any(|name| collection_of(name).is_ok_and(|allowed| allowed.as_ref() == collection))
    }
}

/// The collection that the bucket with this name is; `None` for the default one.
///
/// # Errors
/// [`StorageError::InvalidArgument`] for names too long to be a bucket's.
pub fn collection_of(identifier: &str) -> Result<Option<CollectionName>, StorageError> {
    if bucket::is_default(identifier) {
        return Ok(None);
    }
    let too_long = |_| StorageError::InvalidArgument { reason: "the bucket's name is too long".to_owned() };
    bucket::collection(identifier).map(Some).map_err(too_long)
}

/// Which of two shapes `wasi:keyvalue@0.2.0-draft2` has: its name and version are the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Draft2 {
    /// As the proposal has it.
    #[default]
    Proposal,
    /// As Spin has it.
    Spin,
}

impl Draft2 {
    /// The shape that a component imports, which the answer of `get-many` tells.
    pub fn of(component: &Component) -> Self {
        let engine = component.engine();
        let kind = component.component_type();
        let batch = kind.imports(engine).find(|(name, item)| {
            const BATCH: &str = "wasi:keyvalue/batch@0.2.0-draft2";
            *name == BATCH || item.is_implements(BATCH)
        });
        let Some(ComponentItem::ComponentInstance(batch)) = batch.map(|(_, item)| item.ty) else {
            return Self::Proposal;
        };
        let get_many = batch.exports(engine).find(|(name, _)| *name == "get-many");
        let Some(ComponentItem::ComponentFunc(get_many)) = get_many.map(|(_, item)| item.ty) else {
            return Self::Proposal;
        };
        match get_many.results().next() {
            Some(Type::Result(answer)) => match answer.ok() {
                Some(Type::List(list)) if matches!(list.ty(), Type::Tuple(_)) => Self::Spin,
                _ => Self::Proposal,
            },
            _ => Self::Proposal,
        }
    }
}

/// Puts an `open` that knows its label in the place of the generated one.
macro_rules! open_labelled {
    ($bindings:ident, $instance:expr, $label:expr) => {{
        let label: Arc<str> = $label.into();
        $instance.func_wrap_async("open", move |mut caller: StoreContextMut<'_, T>, (identifier,): (String,)| {
            let label = Arc::clone(&label);
            Box::new(async move {
                let mut view = caller.data_mut().storage();
                let opened = view.open_bucket(Some(&label), &identifier).await;
                Ok((match opened {
                    Ok(bucket) => Ok(bucket),
                    Err(failure) => Err($bindings::wasi::keyvalue::store::Host::convert_error(&mut view, failure)?),
                },))
            })
        })
    }};
}

/// Gives guests the key-value interfaces of other hosts, in a linker whose state lends a [`StorageView`]:
/// `wasi:keyvalue` 0.2.0-draft and 0.2.0-draft2, and `fermyon:spin/key-value@2.0.0`.
///
/// # Errors
/// Wasmtime's, where the linker has one of the interfaces already.
pub fn add_to_linker<T: StorageView + 'static>(linker: &mut Linker<T>, shape: Draft2) -> wasmtime::Result<()> {
    draft::wasi::keyvalue::store::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    draft::wasi::keyvalue::atomics::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    draft::wasi::keyvalue::batch::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    match shape {
        Draft2::Proposal => {
            draft2::wasi::keyvalue::store::add_to_linker::<T, HasStorage>(linker, T::storage)?;
            draft2::wasi::keyvalue::atomics::add_to_linker::<T, HasStorage>(linker, T::storage)?;
            draft2::wasi::keyvalue::batch::add_to_linker::<T, HasStorage>(linker, T::storage)?;
        }
        Draft2::Spin => {
            spin_draft2::wasi::keyvalue::store::add_to_linker::<T, HasStorage>(linker, T::storage)?;
            spin_draft2::wasi::keyvalue::atomics::add_to_linker::<T, HasStorage>(linker, T::storage)?;
            spin_draft2::wasi::keyvalue::batch::add_to_linker::<T, HasStorage>(linker, T::storage)?;
        }
    }
    cached_gets::add_to_linker(linker, shape)?;
    spin2::fermyon::spin::key_value::add_to_linker::<T, HasStorage>(linker, T::storage)
}

/// Gives guests the key-value interfaces whose functions are async, in a linker of an engine with component-model
/// concurrency whose state lends a [`StorageView`]: `wasmcloud:keyvalue@0.2.0` and `spin:key-value@3.0.0`.
///
/// # Errors
/// Wasmtime's, where the linker has one of the interfaces already.
pub fn add_async_to_linker<T: StorageView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    use bindings::spin3::spin::key_value::key_value;
    use bindings::wasmcloud::wasmcloud::keyvalue::{atomics, batch, cas, store, types};
    types::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    store::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    atomics::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    cas::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    batch::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    key_value::add_to_linker::<T, HasStorage>(linker, T::storage)
}

/// The interfaces of `wasi:keyvalue` in the labelled imports of a component. Each label is a collection of the component's
/// own; the buckets in it are collections inside that.
pub(crate) fn add_labelled_to_linker<T: StorageView + 'static>(
    linker: &mut Linker<T>,
    component: &Component,
    shape: Draft2,
) -> wasmtime::Result<()> {
    let engine = linker.engine().clone();
    let kind = component.component_type();
    for (name, item) in kind.imports(&engine).filter(|(_, item)| item.implements.is_some()) {
        macro_rules! implement {
            ($bindings:ident, $version:literal) => {
                use $bindings::wasi::keyvalue::{atomics, batch, store};
                if item.is_implements(concat!("wasi:keyvalue/store@", $version)) {
                    let mut instance = linker.instance(name)?;
                    store::add_to_linker_instance::<T, HasStorage>(&mut instance, T::storage)?;
                    linker.allow_shadowing(true);
                    let opened = open_labelled!($bindings, linker.instance(name)?, name);
                    linker.allow_shadowing(false);
                    opened?;
                } else if item.is_implements(concat!("wasi:keyvalue/atomics@", $version)) {
                    atomics::add_to_linker_instance::<T, HasStorage>(&mut linker.instance(name)?, T::storage)?;
                } else if item.is_implements(concat!("wasi:keyvalue/batch@", $version)) {
                    batch::add_to_linker_instance::<T, HasStorage>(&mut linker.instance(name)?, T::storage)?;
                }
            };
        }
        {
            implement!(draft, "0.2.0-draft");
        }
        match shape {
            Draft2::Proposal => {
                implement!(draft2, "0.2.0-draft2");
            }
            Draft2::Spin => {
                implement!(spin_draft2, "0.2.0-draft2");
            }
        }
    }
    Ok(())
}
