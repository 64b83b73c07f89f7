//! What the shapes of key-value interfaces have in common. A shape's guest says how each call is made; nothing here may
//! hide what a host answered. Every call is async: in a shape of WASI 0.2 it has answered when it is first polled.

// A guest has one thread: nobody needs a future that can be sent.
#![allow(async_fn_in_trait)]

use std::fmt::{self, Debug};

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// The shape's `no-such-store`.
    NoSuchStore,
    /// The shape's `access-denied`.
    AccessDenied,
    /// The shape's `store-table-full`, where it has one.
    TableFull,
    /// The shape's `invalid-argument`, where it has one.
    InvalidArgument,
    /// The shape's `precondition-failed`, where it has one.
    PreconditionFailed,
    /// The shape's `timeout`, where it has one.
    Timeout,
    /// The shape's `store-unavailable`, where it has one.
    StoreUnavailable,
    /// The shape's `quota-exceeded`, where it has one.
    QuotaExceeded,
    /// The shape's `other`.
    Other(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoSuchStore => f.write_str("no-such-store"),
            Self::AccessDenied => f.write_str("access-denied"),
            Self::TableFull => f.write_str("store-table-full"),
            Self::InvalidArgument => f.write_str("invalid-argument"),
            Self::PreconditionFailed => f.write_str("precondition-failed"),
            Self::Timeout => f.write_str("timeout"),
            Self::StoreUnavailable => f.write_str("store-unavailable"),
            Self::QuotaExceeded => f.write_str("quota-exceeded"),
            Self::Other(text) => write!(f, "other({text:?})"),
        }
    }
}

/// An open bucket.
pub trait Bucket: Sized + 'static {
    /// Opens the bucket with this name.
    ///
    /// # Errors
    /// What the host says.
    async fn open(name: &str) -> Result<Self, Error>;

    /// A key's value.
    ///
    /// # Errors
    /// What the host says.
    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error>;

    /// Stores a value.
    ///
    /// # Errors
    /// What the host says.
    async fn set(&self, key: &str, value: &[u8]) -> Result<(), Error>;

    /// Removes a key.
    ///
    /// # Errors
    /// What the host says.
    async fn delete(&self, key: &str) -> Result<(), Error>;

    /// Whether a key has a value.
    ///
    /// # Errors
    /// What the host says.
    async fn exists(&self, key: &str) -> Result<bool, Error>;

    /// All keys, over as many pages as there are, in the order in which they came.
    ///
    /// # Errors
    /// What the host says.
    async fn keys(&self) -> Result<Vec<String>, Error>;

    /// Stores many values that a check needs, by the fastest way that the shape has.
    ///
    /// # Errors
    /// What the host says.
    async fn fill(&self, items: &[(String, Vec<u8>)]) -> Result<(), Error> {
        for (key, value) in items {
            self.set(key, value).await?;
        }
        Ok(())
    }

    /// Removes many keys, by the fastest way that the shape has.
    ///
    /// # Errors
    /// What the host says.
    async fn sweep(&self, keys: &[String]) -> Result<(), Error> {
        for key in keys {
            self.delete(key).await?;
        }
        Ok(())
    }
}

/// A shape whose lists come in pages.
pub trait Paged: Bucket {
    /// Where the next page begins.
    type Cursor: Debug + Clone + PartialEq;

    /// A page of keys, and where the next one begins.
    ///
    /// # Errors
    /// What the host says.
    async fn page(&self, cursor: Option<Self::Cursor>) -> Result<(Vec<String>, Option<Self::Cursor>), Error>;

    /// Cursors that no host has made.
    fn forged() -> Vec<Self::Cursor>;

    /// [`Bucket::keys`], where lists come in pages.
    ///
    /// # Errors
    /// What the host says; a cursor that leads to itself.
    async fn all_pages(&self) -> Result<Vec<String>, Error> {
        let (mut keys, mut cursor) = self.page(None).await?;
        while let Some(here) = cursor {
            let (more, next) = self.page(Some(here.clone())).await?;
            if next.as_ref() == Some(&here) {
                return Err(Error::Other(format!("the cursor {here:?} leads to itself")));
            }
            keys.extend(more);
            cursor = next;
        }
        Ok(keys)
    }
}

/// What `get-many` answered for one key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Got {
    /// The key, where the shape tells it.
    pub key: Option<String>,
    /// Its value.
    pub value: Option<Vec<u8>>,
}

/// A shape with calls for several keys.
pub trait Batch: Bucket {
    /// Whether `get-many` tells the key also where there is no value.
    const TELLS_ABSENT_KEYS: bool;

    /// Several keys' values.
    ///
    /// # Errors
    /// What the host says.
    async fn get_many(&self, keys: &[String]) -> Result<Vec<Got>, Error>;

    /// Stores several values.
    ///
    /// # Errors
    /// What the host says.
    async fn set_many(&self, items: &[(String, Vec<u8>)]) -> Result<(), Error>;

    /// Removes several keys.
    ///
    /// # Errors
    /// What the host says.
    async fn delete_many(&self, keys: &[String]) -> Result<(), Error>;
}

/// A shape with `increment`.
pub trait Counters: Bucket {
    /// Whether it adds negative numbers.
    const SIGNED: bool;
    /// The largest number that its type has.
    const LARGEST: &'static str;

    /// Adds to a number. For a shape without a sign, `delta` is not negative.
    ///
    /// # Errors
    /// What the host says.
    async fn increment(&self, key: &str, delta: i64) -> Result<i64, Error>;
}

/// Why a swap did not happen.
#[derive(Debug)]
pub enum Refused<C> {
    /// The store failed.
    Store(Error),
    /// Somebody else was faster: a handle on what there is now.
    Failed(C),
}

/// A shape with compare-and-swap by handles.
pub trait Swaps: Bucket {
    /// A handle on what a key was.
    type Cas;

    /// A handle on what a key is.
    ///
    /// # Errors
    /// What the host says.
    async fn cas(&self, key: &str) -> Result<Self::Cas, Error>;

    /// The value that the handle was made of.
    ///
    /// # Errors
    /// What the host says.
    async fn current(cas: &Self::Cas) -> Result<Option<Vec<u8>>, Error>;

    /// Stores a value if nobody has changed the key since.
    ///
    /// # Errors
    /// Why it did not happen.
    async fn swap(cas: Self::Cas, value: &[u8]) -> Result<(), Refused<Self::Cas>>;
}

/// How a value is stored, where the shape has options for that.
#[derive(Debug, Clone, Copy, Default)]
pub struct SetOptions {
    /// For so many milliseconds.
    pub ttl_ms: Option<u64>,
    /// Only where the key has no value: else [`Error::PreconditionFailed`].
    pub if_not_exists: bool,
}

/// A shape whose `set` has options.
pub trait Options: Bucket {
    /// Stores a value.
    ///
    /// # Errors
    /// What the host says.
    async fn set_with(&self, key: &str, value: &[u8], options: SetOptions) -> Result<(), Error>;
}

/// A shape whose lists may be of the keys with some text in front.
pub trait Prefixed: Paged {
    /// A page of the keys that begin with `prefix`, and where the next one begins.
    ///
    /// # Errors
    /// What the host says.
    async fn page_of(
        &self,
        prefix: &str,
        cursor: Option<Self::Cursor>,
    ) -> Result<(Vec<String>, Option<Self::Cursor>), Error>;
}

/// A value, and which write it is of.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entry {
    /// The value.
    pub value: Vec<u8>,
    /// Only whether two are the same means anything.
    pub version: String,
}

/// What must be so for a swap to happen: all that there is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Required<'a> {
    /// The key's version is this one.
    pub version: Option<&'a str>,
    /// The key's value is this one.
    pub value: Option<&'a [u8]>,
}

/// How a swap went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Swapped {
    /// The value was stored.
    Done,
    /// What was required is not so: what the key has.
    Stale(Option<Entry>),
}

/// A shape with compare-and-swap by version or value, in one call.
pub trait Versions: Bucket {
    /// A key's value and its version.
    ///
    /// # Errors
    /// What the host says.
    async fn entry(&self, key: &str) -> Result<Option<Entry>, Error>;

    /// Stores a value where all that is required is so.
    ///
    /// # Errors
    /// What the host says.
    async fn swap_where(&self, key: &str, value: &[u8], required: Required<'_>) -> Result<Swapped, Error>;
}

/// A shape whose keys come as a stream.
pub trait Streamed: Bucket {
    /// The keys that have not come yet.
    type Keys;
    /// What tells whether all have come.
    type Outcome;

    /// Begins to read all keys.
    async fn stream(&self) -> (Self::Keys, Self::Outcome);

    /// The next key; none after the last.
    async fn next(keys: &mut Self::Keys) -> Option<String>;

    /// Whether all keys have come.
    ///
    /// # Errors
    /// What the host says.
    async fn outcome(outcome: Self::Outcome) -> Result<(), Error>;
}
