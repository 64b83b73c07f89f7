//! Records as an embedder's own types: keys that sort as their values do, values through serde. It must refuse what it
//! cannot read, and never store what it could not read again.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::batch::{Batch, Condition};
use crate::error::StorageError;
use crate::ext::StorageExt;
use crate::metadata::SetOptions;
use crate::record::{Record, Version};
use crate::scan::{KeyRange, ScanRequest};
use crate::storage::ComponentStorage;
use crate::value::StorageValue;

/// A type that can be a key. Texts sort as they are, numbers by their size.
pub trait StorageKey: Sized {
    /// The key's text.
    fn to_key(&self) -> String;

    /// The value whose text it is; `None` where it is none.
    fn from_key(text: &str) -> Option<Self>;
}

impl StorageKey for String {
    fn to_key(&self) -> String {
        self.clone()
    }

    fn from_key(text: &str) -> Option<Self> {
        Some(text.to_owned())
    }
}

/// With so many digits that the texts sort as the numbers do.
macro_rules! number_keys {
    ($($number:ty: $digits:literal),*) => {$(
        impl StorageKey for $number {
            fn to_key(&self) -> String {
                format!(concat!("{:0", $digits, "}"), self)
            }

            fn from_key(text: &str) -> Option<Self> {
                // Digits alone: a sign would parse too, and sorts elsewhere.
                let digits = text.len() == $digits && text.bytes().all(|byte| byte.is_ascii_digit());
                digits.then(|| text.parse().ok()).flatten()
            }
        }
    )*};
}
number_keys!(u8: 3, u16: 5, u32: 10, u64: 20);

/// Two parts with a `/` between them: all of the first part's keys together. The first must have no `/` in its text.
impl<A: StorageKey, B: StorageKey> StorageKey for (A, B) {
    fn to_key(&self) -> String {
        format!("{}/{}", self.0.to_key(), self.1.to_key())
    }

    fn from_key(text: &str) -> Option<Self> {
        let (first, second) = text.split_once('/')?;
        Some((A::from_key(first)?, B::from_key(second)?))
    }
}

/// The content type of what a [`Typed`] stores.
pub const JSON: &str = "application/json";

/// Records of one type under keys of one type, beginning with one prefix. Values are JSON: guests in every language, and
/// people, can read them.
///
/// ```
/// use serde::{Deserialize, Serialize};
/// use stash_core::{MemoryBackend, NamespacedStorage, Typed};
///
/// #[derive(Debug, PartialEq, Serialize, Deserialize)]
/// struct User { name: String }
///
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// let store = NamespacedStorage::new(&"app/shop/1".parse()?, MemoryBackend::in_memory());
/// let users: Typed<_, u64, User> = Typed::new(store, "user:");
/// users.set(&7, &User { name: "Ada".into() }).await?;
/// assert_eq!(users.get(&7).await?, Some(User { name: "Ada".into() }));
/// assert_eq!(users.page(None, 10).await?.len(), 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub struct Typed<S, K, V> {
    storage: S,
    prefix: String,
    types: PhantomData<fn(K) -> V>,
}

impl<S: Clone, K, V> Clone for Typed<S, K, V> {
    fn clone(&self) -> Self {
        Self { storage: self.storage.clone(), prefix: self.prefix.clone(), types: PhantomData }
    }
}

impl<S, K, V> fmt::Debug for Typed<S, K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Typed").field("prefix", &self.prefix).finish_non_exhaustive()
    }
}

impl<S, K, V> Typed<S, K, V>
where
    S: ComponentStorage + Clone,
    K: StorageKey + Sync,
    V: Serialize + DeserializeOwned + Sync,
{
    /// The records of `storage` whose keys begin with `prefix`.
    pub fn new(storage: S, prefix: impl Into<String>) -> Self {
        Self { storage, prefix: prefix.into(), types: PhantomData }
    }

    /// The text of a key, for a batch or a transaction.
    pub fn key(&self, key: &K) -> String {
        [&*self.prefix, &key.to_key()].concat()
    }

    /// The value to store, for a batch or a transaction.
    ///
    /// # Errors
    /// [`StorageError::InvalidArgument`] where serde cannot write it as JSON.
    pub fn encode(value: &V) -> Result<StorageValue, StorageError> {
        let json = serde_json::to_vec(value).map_err(|error| StorageError::InvalidArgument {
            reason: format!("the value cannot be written as JSON: {error}"),
        })?;
        Ok(json.into())
    }

    /// The value in a record.
    ///
    /// # Errors
    /// [`StorageError::InvalidArgument`] where it is not of this type.
    pub fn decode(&self, key: &str, record: &Record) -> Result<V, StorageError> {
        serde_json::from_slice(&record.value).map_err(|error| StorageError::InvalidArgument {
            reason: format!("the value of '{key}' is not of the type that was asked for: {error}"),
        })
    }

    /// The value under `key`.
    ///
    /// # Errors
    /// Those of a read; as [`decode`](Self::decode).
    pub async fn get(&self, key: &K) -> Result<Option<V>, StorageError> {
        Ok(self.get_versioned(key).await?.map(|(value, _)| value))
    }

    /// The same with the version, for [`set_if`](Self::set_if).
    ///
    /// # Errors
    /// As [`get`](Self::get).
    pub async fn get_versioned(&self, key: &K) -> Result<Option<(V, Version)>, StorageError> {
        let key = self.key(key);
        let record = self.storage.read_one(&key).await?;
        record.map(|record| Ok((self.decode(&key, &record)?, record.version))).transpose()
    }

    /// Stores `value` under `key`, whether or not there was one.
    ///
    /// # Errors
    /// As [`encode`](Self::encode); those of a commit.
    pub async fn set(&self, key: &K, value: &V) -> Result<Version, StorageError> {
        self.put(key, value, None).await
    }

    /// The same where a condition holds.
    ///
    /// # Errors
    /// What the condition says; as [`set`](Self::set).
    pub async fn set_if(&self, key: &K, value: &V, condition: Condition) -> Result<Version, StorageError> {
        self.put(key, value, Some(condition)).await
    }

    async fn put(&self, key: &K, value: &V, condition: Option<Condition>) -> Result<Version, StorageError> {
        let options = SetOptions { content_type: Some(JSON.to_owned()), ..SetOptions::default() };
        self.storage.set_with(&self.key(key), Self::encode(value)?, options, condition).await
    }

    /// Removes the record, and says whether there was one.
    ///
    /// # Errors
    /// Those of a commit.
    pub async fn delete(&self, key: &K) -> Result<bool, StorageError> {
        self.storage.delete(&self.key(key)).await
    }

    /// Stores many at once, or none of them.
    ///
    /// # Errors
    /// As [`set`](Self::set).
    pub async fn set_many<'a>(&self, items: impl IntoIterator<Item = (&'a K, &'a V)>) -> Result<Version, StorageError>
    where
        K: 'a,
        V: 'a,
    {
        let mut batch = Batch::new();
        for (key, value) in items {
            let options = SetOptions { content_type: Some(JSON.to_owned()), ..SetOptions::default() };
            batch = batch.set_with(self.key(key), Self::encode(value)?, options);
        }
        Ok(self.storage.commit(batch).await?.version)
    }

    /// Records in the order of their keys, after `after`, about `limit` of them: fewer where they are large. Empty at the
    /// end.
    ///
    /// # Errors
    /// Those of a scan; as [`decode`](Self::decode); [`StorageError::InvalidArgument`] where a key is not of this type.
    pub async fn page(&self, after: Option<&K>, limit: usize) -> Result<Vec<(K, V)>, StorageError> {
        let mut request = ScanRequest {
            range: KeyRange::prefix(self.prefix.clone()),
            after: after.map(|after| self.key(after)),
            limit,
            ..ScanRequest::default().with_values()
        };
        loop {
            let page = self.storage.scan(&request).await?;
            let typed = |entry: &crate::scan::ScanEntry| {
                let key = entry.key.get(self.prefix.len()..).and_then(K::from_key);
                let wrong = || StorageError::InvalidArgument {
                    reason: format!("'{}' is not a key of the type that was asked for", entry.key.escape_debug()),
                };
                Ok((key.ok_or_else(wrong)?, self.decode(&entry.key, &entry.record)?))
            };
            match page.resume {
                Some(resume) if page.entries.is_empty() => request.after = Some(resume.into()),
                _ => return page.entries.iter().map(typed).collect(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_digits_alone() {
        assert_eq!(u8::from_key("012"), Some(12));
        assert_eq!(u64::from_key(&u64::MAX.to_key()), Some(u64::MAX));
        for text in ["+12", "-12", " 12", "12 ", "12", "0012", "256", "0x1", ""] {
            assert_eq!(u8::from_key(text), None, "{text:?}");
        }
    }
}
