//! Handles for compare-and-swap: what a key was when the guest looked. The values that a guest's handles keep must never
//! be more memory than one answer may be: a guest may have thousands of handles.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stash_core::{ComponentStorage, StorageError, StorageValue, Version};

use super::failure::Failure;
use crate::component_store::ComponentStore;
use crate::view::StorageCtx;

/// What a key was when the guest looked.
// `pub`, because the bindings' own modules name it; nothing exports those.
#[allow(unreachable_pub)]
pub struct Cas {
    store: ComponentStore,
    pub(crate) key: String,
    /// The version that the key must still have; `None` where there must be none.
    pub(crate) version: Option<Version>,
    /// The value; `None` where there is none, and where it would have been too much to keep.
    value: Option<Kept>,
}

impl Cas {
    /// A handle on what the key is now.
    pub(crate) async fn look(ctx: &StorageCtx, store: ComponentStore, key: String) -> Result<Self, StorageError> {
        let seen = store.read_one(&key).await?;
        let version = seen.as_ref().map(|record| record.version);
        let limit = ctx.keyvalue().max_result_bytes;
        let value = seen.and_then(|record| ctx.kept_bytes().keep(record.value, limit));
        Ok(Self { store, key, version, value })
    }

    /// A handle on what the key of this one is now.
    pub(crate) async fn look_again(self, ctx: &StorageCtx) -> Result<Self, StorageError> {
        let Self { store, key, value, .. } = self;
        drop(value);
        Self::look(ctx, store, key).await
    }

    pub(crate) fn store(&self) -> &ComponentStore {
        &self.store
    }

    /// The value that the handle was made of.
    pub(crate) fn current(&self, limit: usize) -> Result<Option<Vec<u8>>, Failure> {
        match &self.value {
            Some(kept) => Ok(Some(kept.value.to_vec())),
            None if self.version.is_none() => Ok(None),
            None => Err(Failure::ResultTooLarge(limit)),
        }
    }
}

/// Bytes of values that one guest's handles keep. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptBytes(Arc<AtomicUsize>);

impl KeptBytes {
    /// Keeps a value, if all that are kept stay within `limit`.
    fn keep(&self, value: StorageValue, limit: usize) -> Option<Kept> {
        let more = |kept: usize| kept.checked_add(value.len()).filter(|kept| *kept <= limit);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Kept { of: self.clone(), value })
    }
}

/// A value that counts while it is kept.
struct Kept {
    of: KeptBytes,
    value: StorageValue,
}

impl Drop for Kept {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.value.len(), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_counts_until_it_goes() {
        let bytes = KeptBytes::default();
        let value = || StorageValue::from(vec![1; 6]);
        let first = bytes.keep(value(), 10);
        assert!(first.is_some());
        assert!(bytes.keep(value(), 10).is_none());
        drop(first);
        assert!(bytes.clone().keep(value(), 10).is_some());
        assert_eq!(bytes.0.load(Ordering::Relaxed), 0);
        assert!(bytes.keep(StorageValue::from(vec![1; 11]), 10).is_none());
    }
}
