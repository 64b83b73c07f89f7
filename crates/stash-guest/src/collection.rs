//! Collections of records of one type. Each call must be one call of the store, but for those that say that they read first.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use crate::entry::Entry;
use crate::error::{Error, ErrorKind, Result};
use crate::format::{Format, Json};
use crate::options::{Condition, SetOptions, Settings, after};
use crate::pages::{Pages, Range};
use crate::raw::collections::{self, SetCall};
use crate::raw::types;
use crate::store::{decode, encode};
use crate::{Batch, Version, retry};

/// An open collection, whose values are of the type `V`, stored as the format `F` has it.
///
/// ```no_run
/// use serde::{Deserialize, Serialize};
/// use stash_guest::{Collection, SetOptions};
/// use std::time::Duration;
///
/// #[derive(Serialize, Deserialize)]
/// struct Session {
///     user: String,
///     clicks: u32,
/// }
///
/// # fn main() -> stash_guest::Result<()> {
/// let sessions: Collection<Session> = Collection::open_or_create("sessions")?;
/// let options = SetOptions::new().expires_after(Duration::from_mins(20));
/// sessions.set_with("7f3a", &Session { user: "anna".into(), clicks: 0 }, &options)?;
///
/// // Reads, changes and writes, again and again until nobody else came in between.
/// sessions.update("7f3a", |session| {
///     Ok(session.map(|session| Session { clicks: session.clicks + 1, ..session }))
/// })?;
/// # Ok(())
/// # }
/// ```
pub struct Collection<V, F = Json> {
    raw: collections::Collection,
    values: PhantomData<fn(V) -> (V, F)>,
}

impl<V, F: Format<V>> Collection<V, F> {
    fn of(raw: collections::Collection) -> Self {
        Self { raw, values: PhantomData }
    }

    /// The collection that is always there, without a name: the records of [`Store`](crate::Store).
    ///
    /// # Errors
    /// The store's.
    pub fn main() -> Result<Self> {
        Self::open("")
    }

    /// Opens a collection that was made.
    ///
    /// # Errors
    /// The store's, such as [`NotFound`](ErrorKind::NotFound).
    pub fn open(name: &str) -> Result<Self> {
        Ok(Self::of(collections::open(name)?))
    }

    /// Makes a collection and opens it.
    ///
    /// # Errors
    /// The store's, such as [`AlreadyExists`](ErrorKind::AlreadyExists).
    pub fn create(name: &str) -> Result<Self> {
        Self::create_with(name, &Settings::default())
    }

    /// Makes a collection with these settings and opens it.
    ///
    /// # Errors
    /// The store's, such as [`AlreadyExists`](ErrorKind::AlreadyExists).
    pub fn create_with(name: &str, settings: &Settings) -> Result<Self> {
        Ok(Self::of(collections::create(name, &settings.raw())?))
    }

    /// Opens a collection, and makes it where it is not there.
    ///
    /// # Errors
    /// The store's.
    pub fn open_or_create(name: &str) -> Result<Self> {
        Self::open_or_create_with(name, &Settings::default())
    }

    /// Opens a collection, and makes it with these settings where it is not there.
    ///
    /// # Errors
    /// The store's.
    pub fn open_or_create_with(name: &str, settings: &Settings) -> Result<Self> {
        Ok(Self::of(collections::open_or_create(name, &settings.raw())?))
    }

    /// The collection as the interface has it, for what has no shorter way here.
    pub fn raw(&self) -> &collections::Collection {
        &self.raw
    }

    /// The value under `key`, or `None` where there is no such record.
    ///
    /// # Errors
    /// The store's, and [`Format`](ErrorKind::Format) where the record is no `V`.
    pub fn get(&self, key: &str) -> Result<Option<V>> {
        self.raw.get(key)?.map(|bytes| decode::<V, F>(key, bytes)).transpose()
    }

    /// The record with this key, with all that is known of it.
    ///
    /// # Errors
    /// As with [`get`](Self::get).
    pub fn entry(&self, key: &str) -> Result<Option<Entry<V>>> {
        self.raw.get_entry(key)?.map(typed::<V, F>).transpose()
    }

    /// The values of up to 10,000 keys, in the order of the keys, as they are at one moment.
    ///
    /// # Errors
    /// As with [`get`](Self::get).
    pub fn get_many<K: AsRef<str>>(&self, keys: &[K]) -> Result<Vec<Option<V>>> {
        let keys: Vec<String> = keys.iter().map(|key| key.as_ref().to_owned()).collect();
        let values = self.raw.get_many(&keys)?;
        keys.iter().zip(values).map(|(key, value)| value.map(|bytes| decode::<V, F>(key, bytes)).transpose()).collect()
    }

    /// Whether there is a record with this key.
    ///
    /// # Errors
    /// The store's.
    pub fn exists(&self, key: &str) -> Result<bool> {
        Ok(self.raw.exists(key)?)
    }

    /// Stores `value` under `key`, whether or not there was one, and tells the new version.
    ///
    /// # Errors
    /// The store's, and [`Format`](ErrorKind::Format) where the value cannot be written.
    pub fn set(&self, key: &str, value: &V) -> Result<Version> {
        Ok(self.raw.set(key, &encode::<V, F>(key, value)?, None)?)
    }

    /// The same, with an expiry, a content type or attributes.
    ///
    /// # Errors
    /// As with [`set`](Self::set).
    pub fn set_with(&self, key: &str, value: &V, options: &SetOptions) -> Result<Version> {
        let call = SetCall { condition: None, options: Some(options.raw()) };
        Ok(self.raw.set(key, &encode::<V, F>(key, value)?, Some(&call))?)
    }

    /// The same, only if `condition` holds: what is asked and what is done are one.
    ///
    /// # Errors
    /// As with [`set`](Self::set), and the condition's.
    pub fn set_if(&self, key: &str, value: &V, condition: Condition, options: &SetOptions) -> Result<Version> {
        let call = SetCall { condition: Some(condition.into()), options: Some(options.raw()) };
        Ok(self.raw.set(key, &encode::<V, F>(key, value)?, Some(&call))?)
    }

    /// Stores `value` where there is no record with this key, and says whether it did.
    ///
    /// # Errors
    /// As with [`set`](Self::set).
    pub fn insert(&self, key: &str, value: &V, options: &SetOptions) -> Result<bool> {
        match self.set_if(key, value, Condition::Absent, options) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Reads the record, and stores what `change` makes of it, or removes it where that is `None`; again and again until
    /// nobody else came in between, so `change` must do nothing but answer. Expiry, content type and attributes stay. An
    /// error of `change`, such as [`Error::other`], ends it without a change. Tells what is stored then.
    ///
    /// # Errors
    /// The store's, the format's, and that of `change`; [`Conflict`](ErrorKind::Conflict) after 100 attempts.
    pub fn update(&self, key: &str, mut change: impl FnMut(Option<V>) -> Result<Option<V>>) -> Result<Option<V>> {
        retry::on_conflict(retry::ATTEMPTS, || {
            let entry = self.entry(key)?;
            let found = entry.as_ref().map(|entry| Condition::Version(entry.metadata.version));
            let options = SetOptions::keeping(entry.as_ref().map(|entry| &entry.metadata));
            match (change(entry.map(|entry| entry.value))?, found) {
                (Some(value), found) => match self.set_if(key, &value, found.unwrap_or(Condition::Absent), &options) {
                    Ok(_) => Ok(Some(value)),
                    // Somebody was faster, as with a conflict.
                    Err(error) if error.kind() == ErrorKind::AlreadyExists => Err(Error::overtaken(error, key)),
                    Err(error) => Err(error),
                },
                (None, Some(found)) => {
                    self.raw.delete(key, Some(found.into()))?;
                    Ok(None)
                }
                (None, None) => Ok(None),
            }
        })
    }

    /// Removes the record, and says whether there was one.
    ///
    /// # Errors
    /// The store's.
    pub fn delete(&self, key: &str) -> Result<bool> {
        Ok(self.raw.delete(key, None)?)
    }

    /// The same, only if `condition` holds.
    ///
    /// # Errors
    /// The store's, and the condition's.
    pub fn delete_if(&self, key: &str, condition: Condition) -> Result<bool> {
        Ok(self.raw.delete(key, Some(condition.into()))?)
    }

    /// Adds to the number under `key`, from 0 where there is none, and tells what it is then. Nobody comes in between. The
    /// number is decimal text, which is how [`Json`] has whole numbers.
    ///
    /// # Errors
    /// The store's, such as [`InvalidNumber`](ErrorKind::InvalidNumber).
    pub fn increment(&self, key: &str, delta: i64) -> Result<i64> {
        Ok(self.raw.increment(key, delta)?)
    }

    /// Lets the record go by itself so long after now, whatever was said before.
    ///
    /// # Errors
    /// The store's, such as [`NotFound`](ErrorKind::NotFound).
    pub fn expire_after(&self, key: &str, time: Duration) -> Result<Version> {
        Ok(self.raw.touch(key, after(time))?)
    }

    /// Lets the record stay until it is deleted.
    ///
    /// # Errors
    /// The store's, such as [`NotFound`](ErrorKind::NotFound).
    pub fn persist(&self, key: &str) -> Result<Version> {
        Ok(self.raw.persist(key)?)
    }

    /// The keys of a range, fetched page by page.
    pub fn keys(&self, range: &Range) -> Pages<'_, String> {
        Pages::new(range, |options| {
            let page = self.raw.list_keys(options)?;
            Ok((page.keys, page.cursor))
        })
    }

    /// The records of a range, fetched page by page. A record that is no `V` ends the list with an error.
    pub fn entries(&self, range: &Range) -> Pages<'_, Entry<V>> {
        Pages::new(range, |options| {
            let page = self.raw.list_entries(options)?;
            Ok((page.entries.into_iter().map(typed::<V, F>).collect::<Result<_>>()?, page.cursor))
        })
    }

    /// How many records a range has, at one moment.
    ///
    /// # Errors
    /// The store's.
    pub fn count(&self, range: &Range) -> Result<u64> {
        Ok(self.raw.count(range.keys())?)
    }

    /// Removes all records whose keys begin with `prefix`, 10,000 in a commit, and tells how many.
    ///
    /// # Errors
    /// The store's; what was removed before stays removed.
    pub fn clear(&self, prefix: &str) -> Result<u64> {
        let mut removed = 0;
        loop {
            let cleared = self.raw.clear(prefix)?;
            removed += cleared.removed;
            if !cleared.more {
                return Ok(removed);
            }
        }
    }

    /// Several changes that happen wholly or not at all.
    pub fn batch(&self) -> Batch<'_, V, F> {
        Batch::new(self)
    }
}

impl<V, F> fmt::Debug for Collection<V, F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Collection").field("raw", &self.raw).finish()
    }
}

/// A record of the interface, with its value.
pub(crate) fn typed<V, F: Format<V>>(entry: types::Entry) -> Result<Entry<V>> {
    let types::Entry { key, value, metadata } = entry;
    let value = decode::<V, F>(&key, value)?;
    Ok(Entry { key, value, metadata: metadata.into() })
}
