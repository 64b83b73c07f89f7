//! The store that is always there, for values of any type. It must do nothing but turn values into bytes.

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::error::{Error, Result};
use crate::format::Format;
use crate::raw::{store, types};

/// The component's records, outside of any collection: JSON under keys of 1 to 2048 bytes. The same records, with all that a
/// collection can do, are [`Collection::main`](crate::Collection::main).
///
/// ```no_run
/// # fn main() -> stash_guest::Result<()> {
/// use stash_guest::Store;
///
/// Store.set("user:anna", &("Anna", 41))?;
/// let anna: Option<(String, u32)> = Store.get("user:anna")?;
/// let visits = Store.increment("visits", 1)?;
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Store;

impl Store {
    /// The value under `key`, or `None` where there is no such record.
    ///
    /// # Errors
    /// The store's, and [`Format`](crate::ErrorKind::Format) where the record is no `V`.
    pub fn get<V: DeserializeOwned>(self, key: &str) -> Result<Option<V>> {
        let Some(bytes) = store::get(key)? else { return Ok(None) };
        let value = serde_json::from_slice(&bytes).map_err(|e| Error::format(key, "read", e.into()))?;
        Ok(Some(value))
    }

    /// Stores `value` under `key`, whether or not there was one.
    ///
    /// # Errors
    /// The store's, and [`Format`](crate::ErrorKind::Format) where JSON cannot say the value.
    pub fn set<V: Serialize + ?Sized>(self, key: &str, value: &V) -> Result<()> {
        let bytes = serde_json::to_vec(value).map_err(|e| Error::format(key, "written", e.into()))?;
        Ok(store::set(key, &bytes)?)
    }

    /// Removes the record, and says whether there was one.
    ///
    /// # Errors
    /// The store's.
    pub fn delete(self, key: &str) -> Result<bool> {
        Ok(store::delete(key)?)
    }

    /// Whether there is a record with this key.
    ///
    /// # Errors
    /// The store's.
    pub fn exists(self, key: &str) -> Result<bool> {
        Ok(store::exists(key)?)
    }

    /// Adds to the number under `key`, from 0 where there is none, and tells what it is then. Nobody comes in between.
    ///
    /// # Errors
    /// The store's, such as [`InvalidNumber`](crate::ErrorKind::InvalidNumber).
    pub fn increment(self, key: &str, delta: i64) -> Result<i64> {
        Ok(store::increment(key, delta)?)
    }

    /// Every key that begins with `prefix`, in byte order, as they are at one moment; at most 100,000.
    ///
    /// # Errors
    /// The store's.
    pub fn list_keys(self, prefix: &str) -> Result<Vec<String>> {
        Ok(store::list_keys(prefix)?)
    }

    /// What the component stores, all its collections together.
    ///
    /// # Errors
    /// The store's.
    pub fn usage(self) -> Result<types::UsageInfo> {
        Ok(store::usage()?)
    }
}

/// A value's bytes.
pub(crate) fn encode<V, F: Format<V>>(key: &str, value: &V) -> Result<Vec<u8>> {
    F::encode(value).map_err(|e| Error::format(key, "written", e))
}

/// A record's value.
pub(crate) fn decode<V, F: Format<V>>(key: &str, bytes: Vec<u8>) -> Result<V> {
    F::decode(bytes).map_err(|e| Error::format(key, "read", e))
}
