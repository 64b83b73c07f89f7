//! Whose data it is: puts `app/service-a/001/` in front of every key on the way down and takes it off on the way up.
//! It must be impossible for a key to leave its namespace, whatever the key contains, and for an answer to show it.

use std::cell::RefCell;

use crate::batch::{Batch, Check, Committed, Mutation};
use crate::error::StorageError;
use crate::id::ComponentId;
use crate::keyspace::check_key;
use crate::limits::MAX_KEY_BYTES;
use crate::record::Record;
use crate::storage::{ComponentStorage, KeyPage, ListRequest, Usage};

/// One component's part of a storage. Its keys are the component's own; below it they are full names,
/// `app/service-a/001/user:123`.
///
/// Isolation is by construction: an id has no `/` in its parts and no key is ever parsed to find its namespace, so the
/// full names of two components begin differently before either's key begins.
#[derive(Debug, Clone)]
pub struct NamespacedStorage<S> {
    id: ComponentId,
    inner: S,
}

impl<S> NamespacedStorage<S> {
    /// The part of `inner` that belongs to the component `id`.
    pub fn new(id: &ComponentId, inner: S) -> Self {
        Self { id: id.clone(), inner }
    }

    /// Whose part it is.
    pub fn id(&self) -> &ComponentId {
        &self.id
    }

    /// The layer below.
    pub fn inner(&self) -> &S {
        &self.inner
    }

    fn checked(&self, key: &str) -> Result<String, StorageError> {
        check_key(key)?;
        Ok(self.id.full_key(key))
    }
}

impl<S: ComponentStorage> ComponentStorage for NamespacedStorage<S> {
    fn look(&self, key: &str, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        thread_local! {
            // A cached read costs less than making a new text for the full name.
            static FULL: RefCell<String> = const { RefCell::new(String::new()) };
        }
        if check_key(key).is_err() {
            return false;
        }
        FULL.with(|full| {
            // In use: a layer with a namespace is above this one, and the variable is the same for both.
            let Ok(mut full) = full.try_borrow_mut() else { return false };
            full.clear();
            full.push_str(self.id.key_prefix());
            full.push_str(key);
            self.inner.look(&full, see)
        })
    }

    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        self.inner.read_one(&self.checked(key)?).await
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        let keys = keys.iter().map(|key| self.checked(key)).collect::<Result<Vec<_>, _>>()?;
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.inner.read(&keys).await
    }

    async fn scan_keys(&self, request: &ListRequest) -> Result<KeyPage, StorageError> {
        // No key is so long; and nothing so long is to be copied.
        if request.prefix.len() > MAX_KEY_BYTES {
            return Ok(KeyPage::default());
        }
        if let Some(after) = request.after.as_deref().filter(|after| !after.is_empty()) {
            check_key(after)?;
        }
        let prefix = self.id.key_prefix();
        let request = ListRequest {
            prefix: self.id.full_key(&request.prefix),
            after: request.after.as_deref().map(|after| self.id.full_key(after)),
            ..request.clone()
        };
        let mut page = self.inner.scan_keys(&request).await?;
        for key in &mut page.keys {
            if !key.starts_with(prefix) {
                return Err(StorageError::Corrupt { reason: "a listing left its namespace".to_owned() });
            }
            key.drain(..prefix.len());
        }
        Ok(page)
    }

    async fn commit(&self, mut batch: Batch) -> Result<Committed, StorageError> {
        batch.checks().iter().map(Check::key).try_for_each(check_key)?;
        batch.mutations().iter().map(Mutation::key).try_for_each(check_key)?;
        let prefix = self.id.key_prefix();
        batch.enter(prefix);
        self.inner.commit(batch).await.map_err(|error| error.without_prefix(prefix))
    }

    fn gaps(&self) -> u64 {
        self.inner.gaps()
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        self.inner.usage(&self.id.full_key(scope)).await
    }
}
