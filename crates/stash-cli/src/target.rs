//! Whose data a command is about, in which collection, and how it answers "no". It must never make a store or a
//! collection for a command that only looks.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use serde_json::{Map, Value};
use stash_core::limits::DEFAULT_MAX_VALUE_BYTES;
use stash_core::{CollectionName, ComponentId, ComponentStorage, StorageError, StorageExt, StoreLimits, Version};
use stash_host::{ComponentStore, StashConfig};

use crate::args::{StoreArguments, TargetArguments};
use crate::{hints, output, store};

/// What grep says too: nothing wrong, but no.
pub(crate) const NO: u8 = 1;

/// Done, or no.
pub(crate) fn yes_or_no(yes: bool) -> ExitCode {
    if yes { ExitCode::SUCCESS } else { ExitCode::from(NO) }
}

/// Whose data, and how to print.
pub(crate) struct Target<'a> {
    store: &'a StoreArguments,
    pub(crate) id: ComponentId,
    pub(crate) collection: Option<CollectionName>,
    pub(crate) json: bool,
    max_value_bytes: usize,
}

impl<'a> Target<'a> {
    pub(crate) fn new(
        store: &'a StoreArguments,
        arguments: &TargetArguments,
        collection: Option<CollectionName>,
    ) -> Result<Self> {
        let max_value_bytes = DEFAULT_MAX_VALUE_BYTES;
        Ok(Self { store, id: arguments.id()?.clone(), collection, json: arguments.json, max_value_bytes })
    }

    /// The same, to store a value of this size.
    pub(crate) fn with_max_value(self, max_value_bytes: usize) -> Self {
        Self { max_value_bytes, ..self }
    }

    fn config(&self) -> StashConfig {
        let limits = StoreLimits { max_value_bytes: self.max_value_bytes, ..StoreLimits::default() };
        StashConfig { limits, ..StashConfig::default() }
    }

    /// The component's data in a store that is there already.
    pub(crate) async fn existing(&self) -> Result<ComponentStore> {
        let component = store::open_existing(self.store, self.config()).await?.component(&self.id);
        Ok(component.open_collection(self.collection.as_ref()).await?)
    }

    /// The component's data, in a new store where there is none. A new one has no collections to look into.
    pub(crate) async fn existing_or_new(&self) -> Result<ComponentStore> {
        if self.collection.is_some() {
            return self.existing().await;
        }
        Ok(store::open(self.store, self.config()).await?.component(&self.id))
    }

    /// The component, and the collection where it is not the one without a name, for people.
    pub(crate) fn name(&self) -> String {
        let id = output::key(self.id.as_str());
        match &self.collection {
            Some(collection) => format!("{id} (collection {})", output::key(collection.as_str())),
            None => id,
        }
    }

    /// Tells a person that there is no record.
    pub(crate) fn say_absent(&self, key: &str) {
        output::say(&format!("{} has no key {}", self.name(), output::key(key)));
    }

    /// Tells a person who sees nothing that nobody has this id: it may be another that is meant.
    pub(crate) async fn say_if_unknown(&self, component: &ComponentStore) -> Result<()> {
        if !self.json && component.snapshot().await?.version().await? == Version::default() {
            let id = output::key(self.id.as_str());
            output::say(&format!("({id} has never stored anything here; 'stash ids' shows who has)"));
        }
        Ok(())
    }

    /// Answers "no" where the error is one of those that say no; else the error stays one. `row` is what a script is
    /// told of the call beside the reason.
    pub(crate) fn refused(&self, error: StorageError, mut row: Map<String, Value>) -> Result<ExitCode> {
        if !hints::is_no(&error) {
            return Err(error.into());
        }
        output::say(&hints::with_hint(&error));
        if self.json {
            if let StorageError::Conflict { current, .. } = &error {
                row.insert("current_version".into(), current.map(|version| version.0).into());
            }
            row.insert("error".into(), error.to_string().into());
            writeln!(stdout(), "{}", Value::Object(row))?;
        }
        Ok(ExitCode::from(NO))
    }
}

/// How many records there are in the collection that the storage is seen from.
pub(crate) async fn count_all(component: &ComponentStore) -> Result<u64> {
    Ok(component.count(&stash_core::KeyRange::default()).await?)
}
