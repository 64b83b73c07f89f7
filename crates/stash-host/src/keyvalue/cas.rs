//! Handles for compare-and-swap: what a key was when the guest looked. The values that a guest's handles keep must never
//! be more memory than one answer may be: a guest may have thousands of handles.

use stash_core::{ComponentStorage, StorageError, StorageValue, Version};

use super::failure::Failure;
use super::kept::Room;
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
    value: Seen,
}

/// What the handle keeps of the value that it was made of.
enum Seen {
    /// There was none.
    Nothing,
    Value(StorageValue, #[allow(dead_code, reason = "it counts while it is there")] Room),
    /// It is larger than an answer may be.
    TooLarge,
    /// The guest's other handles and its streams keep too much already.
    NoRoom,
}

impl Cas {
    /// A handle on what the key is now.
    pub(crate) async fn look(ctx: &StorageCtx, store: ComponentStore, key: String) -> Result<Self, StorageError> {
        let seen = store.read_one(&key).await?;
        let version = seen.as_ref().map(|record| record.version);
        let limit = ctx.keyvalue().max_result_bytes;
        let value = match seen {
            None => Seen::Nothing,
            Some(record) if record.value.len() > limit => Seen::TooLarge,
            Some(record) => match ctx.kept_bytes().take(record.value.len(), limit) {
                Some(room) => Seen::Value(record.value, room),
                None => Seen::NoRoom,
            },
        };
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
            Seen::Nothing => Ok(None),
            Seen::Value(value, _) => Ok(Some(value.to_vec())),
            Seen::TooLarge => Err(Failure::ResultTooLarge(limit)),
            Seen::NoRoom => Err(Failure::TooMuchKept(limit)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{KeyValueConfig, Stash, StashConfig, StoreUrl};

    #[tokio::test]
    async fn a_handle_says_why_it_has_no_value() {
        let stash = Stash::open(&StoreUrl::Memory, StashConfig::default()).await.unwrap();
        let store = stash.component(&"app/handles/1".parse().unwrap());
        let rules = KeyValueConfig { max_result_bytes: 10, ..KeyValueConfig::default() };
        let ctx = StorageCtx::new(store.clone()).with_keyvalue(rules.into());
        for (key, value) in [("large", "11 bytes ..."), ("most", "10 bytes ."), ("small", "1")] {
            store.set(key, value).await.unwrap();
        }
        let look = |key: &str| Cas::look(&ctx, store.clone(), key.to_owned());

        assert!(matches!(look("large").await.unwrap().current(10), Err(Failure::ResultTooLarge(10))));
        let most = look("most").await.unwrap();
        assert_eq!(most.current(10).unwrap().unwrap(), b"10 bytes .");
        let small = look("small").await.unwrap();
        assert!(matches!(small.current(10), Err(Failure::TooMuchKept(10))));
        assert!(matches!(look("nothing").await.unwrap().current(10), Ok(None)));
        drop(most);
        assert_eq!(small.look_again(&ctx).await.unwrap().current(10).unwrap().unwrap(), b"1");
    }
}
