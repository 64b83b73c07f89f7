//! Labelled imports: a component imports one interface several times, under labels of its own (`implements`), and each
//! label is a store of its own: the collection of the component with the label's name. A label must never mean another
//! component's data, nor the default collection.

use std::sync::Arc;

use stash_core::{CollectionSettings, ComponentStorage, StorageExt};
use wasmtime::component::{Component, Linker};

use crate::bindings::named_imports::stash::storage::store as labelled;
use crate::bindings::stash::storage::store;
use crate::component_store::ComponentStore;
use crate::failure::Failure;
use crate::keyvalue::{self, Draft2};
use crate::view::{HasStorage, StorageCtxView, StorageView};

/// The name under which a component imports a store.
// `pub`, because the bindings' own modules name it; nothing exports those.
#[allow(unreachable_pub)]
#[derive(Debug, Clone)]
pub struct Label(pub(crate) Arc<str>);

/// Gives a component what it imports under labels.
pub(crate) fn add_to_linker<T: StorageView + 'static>(
    linker: &mut Linker<T>,
    component: &Component,
    shape: Draft2,
) -> wasmtime::Result<()> {
    labelled::add_to_linker::<T, HasStorage>(linker, component, |name| Ok(Label(name.into())), T::storage)?;
    keyvalue::add_labelled_to_linker(linker, component, shape)
}

impl StorageCtxView<'_> {
    /// The collection that a label means; made where it is not there.
    async fn labelled(&mut self, label: &Label) -> Result<ComponentStore, Failure> {
        let name = label.0.parse()?;
        Ok(self.ctx.store().open_or_create_collection(&name, &CollectionSettings::default()).await?)
    }
}

impl labelled::Host for StorageCtxView<'_> {
    async fn get(&mut self, label: Label, key: String) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.labelled(&label).await?.get(&key).await?.map(|value| value.to_vec()))
    }

    async fn set(&mut self, label: Label, key: String, value: Vec<u8>) -> Result<(), Failure> {
        Ok(self.labelled(&label).await?.set(&key, value).await?)
    }

    async fn delete(&mut self, label: Label, key: String) -> Result<bool, Failure> {
        Ok(self.labelled(&label).await?.delete(&key).await?)
    }

    async fn exists(&mut self, label: Label, key: String) -> Result<bool, Failure> {
        Ok(self.labelled(&label).await?.exists(&key).await?)
    }

    async fn list_keys(&mut self, label: Label, prefix: String) -> Result<Vec<String>, Failure> {
        Ok(self.labelled(&label).await?.list_keys(&prefix).await?)
    }

    async fn increment(&mut self, label: Label, key: String, delta: i64) -> Result<i64, Failure> {
        Ok(self.labelled(&label).await?.increment(&key, delta).await?)
    }

    async fn usage(&mut self, _: Label) -> Result<store::UsageInfo, Failure> {
        store::Host::usage(self).await
    }
}
