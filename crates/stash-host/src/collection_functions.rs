//! The functions of `stash:storage/collections`. Each hands its call to the caller's chain and does nothing else.

use std::time::Duration;

use stash_core::{
    Batch, Cleared, CollectionInfo, CollectionName, CollectionSettings, ComponentStorage, Expiry, Retention, ScanEntry,
    StorageError, StorageExt, Version, VersionsRequest,
};
use wasmtime::component::Resource;

use crate::bindings::stash::storage::{collections, types};
use crate::component_store::ComponentStore;
use crate::convert;
use crate::failure::{Failure, push};
use crate::view::StorageCtxView;

/// A collection that a guest has open.
// `pub`, because the bindings' own modules name it; nothing exports those.
#[allow(unreachable_pub)]
pub struct OpenCollection {
    pub(crate) name: Option<CollectionName>,
    pub(crate) store: ComponentStore,
}

type Handle = Resource<OpenCollection>;

impl StorageCtxView<'_> {
    pub(crate) fn collection(&self, handle: &Handle) -> Result<&OpenCollection, Failure> {
        Ok(self.table.get(handle)?)
    }

    fn hand_out(&mut self, name: Option<CollectionName>) -> Result<Handle, Failure> {
        let store = self.ctx.store().in_collection(name.as_ref())?;
        push(self.table, OpenCollection { name, store })
    }
}

impl StorageCtxView<'_> {
    /// The handle of a collection that was to be made: it comes first, because an error must leave nothing made, and there
    /// may be no room for it.
    fn if_made(&mut self, handle: Handle, made: Result<(), StorageError>) -> Result<Handle, Failure> {
        match made {
            Ok(()) => Ok(handle),
            Err(error) => {
                self.table.delete(handle)?;
                Err(error.into())
            }
        }
    }
}

impl collections::HostCollection for StorageCtxView<'_> {
    async fn name(&mut self, this: Handle) -> wasmtime::Result<String> {
        Ok(self.table.get(&this)?.name.as_ref().map(ToString::to_string).unwrap_or_default())
    }

    async fn get(&mut self, this: Handle, key: String) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.collection(&this)?.store.read_one(&key).await?.map(convert::guest_value))
    }

    async fn get_entry(&mut self, this: Handle, key: String) -> Result<Option<types::Entry>, Failure> {
        let record = self.collection(&this)?.store.read_one(&key).await?;
        Ok(record.map(|record| convert::guest_entry(key, &record)))
    }

    async fn get_metadata(&mut self, this: Handle, key: String) -> Result<Option<types::Metadata>, Failure> {
        let record = self.collection(&this)?.store.read_one(&key).await?;
        Ok(record.map(|record| convert::guest_metadata(record.version, &record.metadata)))
    }

    async fn exists(&mut self, this: Handle, key: String) -> Result<bool, Failure> {
        Ok(self.collection(&this)?.store.exists(&key).await?)
    }

    async fn set(
        &mut self,
        this: Handle,
        key: String,
        value: Vec<u8>,
        call: Option<collections::SetCall>,
    ) -> Result<u64, Failure> {
        let (condition, options) = call.map(|call| (call.condition, call.options)).unwrap_or_default();
        let mut batch = Batch::new();
        if let Some(condition) = condition {
            batch = batch.require(key.as_str(), convert::condition(condition));
        }
        let (key, change) = convert::item(types::Item { key, value, options })?;
        Ok(self.collection(&this)?.store.commit(batch.change(key, change)).await?.version.0)
    }

    async fn set_metadata(&mut self, this: Handle, key: String, change: types::MetadataChange) -> Result<u64, Failure> {
        let change = convert::metadata_change(change)?;
        Ok(self.collection(&this)?.store.set_metadata(&key, change).await?.0)
    }

    async fn delete(
        &mut self,
        this: Handle,
        key: String,
        condition: Option<types::Condition>,
    ) -> Result<bool, Failure> {
        let store = &self.collection(&this)?.store;
        match condition {
            Some(condition) => Ok(store.delete_if(&key, convert::condition(condition)).await?),
            None => Ok(store.delete(&key).await?),
        }
    }

    async fn increment(&mut self, this: Handle, key: String, delta: i64) -> Result<i64, Failure> {
        Ok(self.collection(&this)?.store.increment(&key, delta).await?)
    }

    async fn touch(&mut self, this: Handle, key: String, expires: types::Expiry) -> Result<u64, Failure> {
        Ok(self.collection(&this)?.store.touch(&key, convert::expiry(expires)).await?.0)
    }

    async fn persist(&mut self, this: Handle, key: String) -> Result<u64, Failure> {
        Ok(self.collection(&this)?.store.touch(&key, Expiry::Never).await?.0)
    }

    async fn get_many(&mut self, this: Handle, keys: Vec<String>) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let records = self.collection(&this)?.store.read(&keys).await?;
        Ok(records.into_iter().map(|record| record.map(convert::guest_value)).collect())
    }

    async fn get_entries(&mut self, this: Handle, keys: Vec<String>) -> Result<Vec<Option<types::Entry>>, Failure> {
        let records = {
            let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
            self.collection(&this)?.store.read(&keys).await?
        };
        let entry = |(key, record): (String, Option<_>)| record.map(|record| convert::guest_entry(key, &record));
        Ok(keys.into_iter().zip(records).map(entry).collect())
    }

    async fn set_many(&mut self, this: Handle, items: Vec<types::Item>, overwrite: bool) -> Result<Vec<bool>, Failure> {
        let mut batch = Batch::new();
        for item in items {
            let (key, change) = convert::item(item)?;
            batch = batch.change(key, change);
        }
        if !overwrite {
            batch = batch.without_overwriting();
        }
        Ok(self.collection(&this)?.store.commit(batch).await?.existed())
    }

    async fn delete_many(&mut self, this: Handle, keys: Vec<String>) -> Result<Vec<bool>, Failure> {
        let batch = keys.into_iter().fold(Batch::new(), Batch::delete);
        Ok(self.collection(&this)?.store.commit(batch).await?.existed())
    }

    async fn commit(
        &mut self,
        this: Handle,
        checks: Vec<types::Check>,
        changes: Vec<types::Change>,
    ) -> Result<types::Committed, Failure> {
        let mut batch = Batch::new();
        for check in checks {
            batch = batch.require(check.key, convert::condition(check.condition));
        }
        for change in changes {
            let (key, change) = convert::change(change)?;
            batch = batch.change(key, change);
        }
        let committed = self.collection(&this)?.store.commit(batch).await?;
        let outcome =
            |outcome: stash_core::Outcome| types::Outcome { existed: outcome.existed, number: outcome.number };
        Ok(types::Committed {
            version: committed.version.0,
            outcomes: committed.outcomes.into_iter().map(outcome).collect(),
        })
    }

    async fn list_keys(&mut self, this: Handle, options: types::ListOptions) -> Result<types::KeyPage, Failure> {
        let (request, cursor) = convert::list(options, false)?;
        let page = self.collection(&this)?.store.list_keys_page(&request, cursor.as_deref()).await?;
        Ok(types::KeyPage { keys: page.keys, cursor: page.cursor })
    }

    async fn list_entries(&mut self, this: Handle, options: types::ListOptions) -> Result<types::EntryPage, Failure> {
        let (request, cursor) = convert::list(options, true)?;
        let page = self.collection(&this)?.store.list(&request, cursor.as_deref()).await?;
        Ok(types::EntryPage { entries: page.entries.into_iter().map(listed).collect(), cursor: page.cursor })
    }

    async fn count(&mut self, this: Handle, range: types::KeyRange) -> Result<u64, Failure> {
        Ok(self.collection(&this)?.store.count(&convert::range(range)?).await?)
    }

    async fn clear(&mut self, this: Handle, prefix: String) -> Result<collections::Cleared, Failure> {
        let Cleared { removed, more } = self.collection(&this)?.store.clear(&prefix).await?;
        Ok(collections::Cleared { removed, more })
    }

    async fn get_at(&mut self, this: Handle, key: String, version: u64) -> Result<Option<types::Entry>, Failure> {
        let record = self.collection(&this)?.store.read_at(&key, Version(version)).await?;
        Ok(record.map(|record| convert::guest_entry(key, &record)))
    }

    async fn list_versions(
        &mut self,
        this: Handle,
        key: String,
        at_most: Option<u64>,
        limit: u32,
    ) -> Result<collections::KeyVersions, Failure> {
        let limit = convert::at_least_one(limit)?;
        let request = VersionsRequest { key, at_most: at_most.map(Version), limit };
        let found = self.collection(&this)?.store.versions(&request).await?;
        let version = |version: stash_core::KeyVersion| collections::KeyVersion {
            version: version.version.0,
            entry: version.record.map(|record| convert::guest_entry(request.key.clone(), &record)),
        };
        Ok(collections::KeyVersions {
            versions: found.versions.into_iter().map(version).collect(),
            more: found.more,
            forgotten: found.forgotten,
        })
    }

    async fn drop(&mut self, this: Handle) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

pub(crate) fn listed(entry: ScanEntry) -> types::Entry {
    convert::guest_entry(entry.key.into(), &entry.record)
}

impl collections::Host for StorageCtxView<'_> {
    async fn create(&mut self, name: String, settings: collections::Settings) -> Result<Handle, Failure> {
        let name: CollectionName = name.parse()?;
        let settings = from_guest(settings)?;
        let handle = self.hand_out(Some(name.clone()))?;
        let made = self.ctx.store().create_collection(&name, &settings).await;
        self.if_made(handle, made.map(drop))
    }

    async fn open(&mut self, name: String) -> Result<Handle, Failure> {
        let name = CollectionName::parse(&name)?;
        self.ctx.store().collection_info(name.as_ref()).await?;
        self.hand_out(name)
    }

    async fn open_or_create(&mut self, name: String, settings: collections::Settings) -> Result<Handle, Failure> {
        let name = CollectionName::parse(&name)?;
        let Some(name) = name else { return self.hand_out(None) };
        let settings = from_guest(settings)?;
        let handle = self.hand_out(Some(name.clone()))?;
        let made = self.ctx.store().open_or_create_collection(&name, &settings).await;
        self.if_made(handle, made.map(drop))
    }

    async fn info(&mut self, name: String) -> Result<collections::CollectionInfo, Failure> {
        let name = CollectionName::parse(&name)?;
        Ok(to_guest(self.ctx.store().collection_info(name.as_ref()).await?))
    }

    async fn configure(&mut self, name: String, settings: collections::Settings) -> Result<(), Failure> {
        let name = CollectionName::parse(&name)?;
        Ok(self.ctx.store().configure_collection(name.as_ref(), &from_guest(settings)?).await?)
    }

    async fn list(&mut self, inside: Option<String>) -> Result<Vec<collections::CollectionInfo>, Failure> {
        let inside = CollectionName::parse(&inside.unwrap_or_default())?;
        Ok(self.ctx.store().collections(inside.as_ref()).await?.into_iter().map(to_guest).collect())
    }

    async fn delete(&mut self, name: String, recursive: bool) -> Result<(), Failure> {
        let name: CollectionName = name.parse()?;
        Ok(self.ctx.store().delete_collection(&name, recursive).await?)
    }
}

fn from_guest(settings: collections::Settings) -> Result<CollectionSettings, Failure> {
    Ok(CollectionSettings {
        attributes: convert::attributes(settings.attributes)?,
        retention: Retention {
            versions: settings.retention.versions,
            age: settings.retention.age.map(Duration::from_millis),
        },
    })
}

fn to_guest(info: CollectionInfo) -> collections::CollectionInfo {
    let CollectionSettings { attributes, retention } = info.settings;
    let millis = |age: Duration| u64::try_from(age.as_millis()).unwrap_or(u64::MAX);
    collections::CollectionInfo {
        name: info.name.map(|name| name.to_string()).unwrap_or_default(),
        created: info.created.map(|created| created.0),
        settings: collections::Settings {
            attributes: convert::guest_attributes(&attributes),
            retention: collections::Retention { versions: retention.versions, age: retention.age.map(millis) },
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bindings::stash::storage::collections::Host;
    use crate::{Stash, StashConfig, StorageCtx};
    use stash_core::MemoryBackend;
    use wasmtime::component::ResourceTable;

    fn plain() -> collections::Settings {
        let retention = collections::Retention { versions: None, age: None };
        collections::Settings { attributes: Vec::new(), retention }
    }

    #[tokio::test]
    async fn without_room_for_a_handle_nothing_is_made() {
        let stash = Stash::over(MemoryBackend::in_memory(), StashConfig::default());
        let mut ctx = StorageCtx::new(stash.component(&"app/a/1".parse().unwrap()));
        let mut table = ResourceTable::new();
        table.set_max_capacity(1);
        let mut view = StorageCtxView { ctx: &mut ctx, table: &mut table };
        let held = view.create("first".to_owned(), plain()).await.unwrap();
        let instead = "drop some that are no longer needed";
        let full = StorageError::LimitExceeded { what: "the number of open handles", actual: 2, limit: 1, instead };
        for error in [
            view.create("second".to_owned(), plain()).await.unwrap_err(),
            view.open_or_create("second".to_owned(), plain()).await.unwrap_err(),
            view.open("first".to_owned()).await.unwrap_err(),
        ] {
            assert!(matches!(&error, Failure::Storage(error) if *error == full), "{error:?}");
        }
        assert_eq!(view.ctx.store().collections(None).await.unwrap().len(), 1);
        // What cannot be made has no handle either.
        view.table.delete(held).unwrap();
        let error = view.create("first".to_owned(), plain()).await.unwrap_err();
        assert!(matches!(error, Failure::Storage(StorageError::CollectionExists { .. })), "{error:?}");
        assert!(view.table.is_empty());
    }
}
