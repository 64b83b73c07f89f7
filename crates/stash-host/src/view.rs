//! The embedding surface: [`StorageView`] lends a component's storage out of the embedder's own store state, and
//! [`add_to_linker`] gives guests `stash:storage`. That is all an embedder has to meet.

use std::sync::Arc;

use wasmtime::component::{HasData, Linker, ResourceTable};

use crate::bindings::stash::storage::{capabilities, changes, collections, store, transactions, types};
use crate::cached_reads;
use crate::component_store::ComponentStore;
use crate::keyvalue::{KeptBytes, KeyValueConfig};

/// Lends a guest's storage out of the state of its Wasmtime store.
///
/// See the [crate's first page](crate) for a whole program.
pub trait StorageView: Send {
    /// The storage of the component that runs in this store.
    fn storage(&mut self) -> StorageCtxView<'_>;
}

/// What the host's functions need of a store's state.
pub struct StorageCtxView<'a> {
    /// Whose storage it is.
    pub ctx: &'a mut StorageCtx,
    /// Where handles live that a guest holds; the same table that WASI uses.
    pub table: &'a mut ResourceTable,
}

/// Who runs in a Wasmtime store, and its storage.
#[derive(Debug, Clone)]
pub struct StorageCtx {
    store: ComponentStore,
    keyvalue: Arc<KeyValueConfig>,
    kept_bytes: KeptBytes,
}

impl StorageCtx {
    /// The guest is the component that `store` belongs to; see [`Stash::component`](crate::Stash::component).
    pub fn new(store: ComponentStore) -> Self {
        Self { store, keyvalue: Arc::default(), kept_bytes: KeptBytes::default() }
    }

    /// The same, with other rules for the key-value interfaces of other hosts.
    #[must_use]
    pub fn with_keyvalue(self, keyvalue: Arc<KeyValueConfig>) -> Self {
        Self { keyvalue, ..self }
    }

    /// The storage of the component that runs here.
    pub fn store(&self) -> &ComponentStore {
        &self.store
    }

    /// The rules for the key-value interfaces of other hosts.
    pub fn keyvalue(&self) -> &KeyValueConfig {
        &self.keyvalue
    }

    /// What the guest's handles keep in memory.
    pub(crate) fn kept_bytes(&self) -> &KeptBytes {
        &self.kept_bytes
    }
}

/// Gives guests `stash:storage`, in a linker whose state lends a [`StorageView`].
///
/// The functions are async: call guests with the `async` calls of Wasmtime, in a Tokio runtime that has its timer enabled;
/// a guest that waits for changes needs it.
///
/// Leaves [`Linker::allow_shadowing`] off.
///
/// # Errors
/// Wasmtime's, where the linker has one of the interfaces already.
pub fn add_to_linker<T: StorageView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    types::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    store::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    collections::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    transactions::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    changes::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    capabilities::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    cached_reads::add_to_linker(linker)?;
    Ok(())
}

pub(crate) struct HasStorage;

impl HasData for HasStorage {
    type Data<'a> = StorageCtxView<'a>;
}
