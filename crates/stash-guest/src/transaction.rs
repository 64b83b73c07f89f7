//! Several reads and writes as one, over any number of collections. Work that others got in the way of must leave nothing, and
//! is done again from the start.

use crate::collection::typed;
use crate::entry::Entry;
use crate::error::{Error, Result};
use crate::format::Format;
use crate::options::SetOptions;
use crate::pages::{Pages, Range};
use crate::raw::transactions;
use crate::raw::types::{Change, Item};
use crate::store::{decode, encode};
use crate::{Collection, retry};

/// Does `work` as if nobody else were there: all its reads are of one state, and what it writes happens wholly or not at all.
/// Where somebody else was faster, it runs again, up to 100 times, so `work` must do nothing but read, decide and write. An
/// error, such as [`Error::other`], ends it without a change.
///
/// ```no_run
/// # fn main() -> stash_guest::Result<()> {
/// use stash_guest::{Collection, Error, transaction};
///
/// let stock: Collection<u32> = Collection::open_or_create("stock")?;
/// let orders: Collection<String> = Collection::open_or_create("orders")?;
/// transaction(|tx| {
///     let pears = tx.get(&stock, "pears")?.unwrap_or(0);
///     let left = pears.checked_sub(2).ok_or_else(|| Error::other("there are not enough pears"))?;
///     tx.set(&stock, "pears", &left)?;
///     tx.set(&orders, "17", &"2 pears".to_owned())
/// })?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// The store's, and that of `work`; [`Conflict`](crate::ErrorKind::Conflict) where the last attempt met one too.
pub fn transaction<T>(work: impl FnMut(&Transaction) -> Result<T>) -> Result<T> {
    TransactionOptions::default().run(work)
}

/// What a transaction is protected from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Isolation {
    /// Everything: it commits only if all that it has read, ranges included, is as it was.
    #[default]
    Serializable,
    /// Lost updates: it reads one state, and commits only if nobody else has changed what it writes.
    Snapshot,
    /// Reading what is not committed: each read sees the present state.
    ReadCommitted,
}

/// How a transaction runs, where it is not to be as [`transaction`] has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TransactionOptions {
    /// What it is protected from; everything, unless said otherwise.
    pub isolation: Isolation,
    /// How often it runs at most; 100, unless said otherwise.
    pub attempts: u32,
}

impl Default for TransactionOptions {
    fn default() -> Self {
        Self { isolation: Isolation::default(), attempts: retry::ATTEMPTS }
    }
}

impl TransactionOptions {
    /// [`transaction`] with these options.
    ///
    /// # Errors
    /// As with [`transaction`].
    pub fn run<T>(self, mut work: impl FnMut(&Transaction) -> Result<T>) -> Result<T> {
        let isolation = match self.isolation {
            Isolation::Serializable => transactions::Isolation::Serializable,
            Isolation::Snapshot => transactions::Isolation::Snapshot,
            Isolation::ReadCommitted => transactions::Isolation::ReadCommitted,
        };
        retry::on_conflict(self.attempts, || {
            // Dropped without a commit, it is rolled back.
            let transaction = Transaction { raw: transactions::begin(isolation)? };
            let answer = work(&transaction)?;
            transaction.raw.commit()?;
            Ok(answer)
        })
    }
}

/// What the work of a [`transaction`] reads and writes with. Reads see what it has written.
#[derive(Debug)]
pub struct Transaction {
    raw: transactions::Transaction,
}

impl Transaction {
    /// The value under `key`, or `None`.
    ///
    /// # Errors
    /// The store's, and [`Format`](crate::ErrorKind::Format) where the record is no `V`.
    pub fn get<V, F: Format<V>>(&self, of: &Collection<V, F>, key: &str) -> Result<Option<V>> {
        self.raw.get(of.raw(), key)?.map(|bytes| decode::<V, F>(key, bytes)).transpose()
    }

    /// The record with this key. The version of one that the transaction has written is 0.
    ///
    /// # Errors
    /// As with [`get`](Self::get).
    pub fn entry<V, F: Format<V>>(&self, of: &Collection<V, F>, key: &str) -> Result<Option<Entry<V>>> {
        self.raw.get_entry(of.raw(), key)?.map(typed::<V, F>).transpose()
    }

    /// Stores a value when the transaction commits.
    ///
    /// # Errors
    /// The store's, and [`Format`](crate::ErrorKind::Format) where the value cannot be written.
    pub fn set<V, F: Format<V>>(&self, of: &Collection<V, F>, key: &str, value: &V) -> Result<()> {
        Ok(self.raw.set(of.raw(), key, &encode::<V, F>(key, value)?)?)
    }

    /// The same, with an expiry, a content type or attributes.
    ///
    /// # Errors
    /// As with [`set`](Self::set).
    pub fn set_with<V, F>(&self, of: &Collection<V, F>, key: &str, value: &V, options: &SetOptions) -> Result<()>
    where
        F: Format<V>,
    {
        let item = Item { key: key.to_owned(), value: encode::<V, F>(key, value)?, options: Some(options.raw()) };
        self.change(of, &Change::Set(item)).map(|_| ())
    }

    /// Removes a record when the transaction commits.
    ///
    /// # Errors
    /// The store's.
    pub fn delete<V, F: Format<V>>(&self, of: &Collection<V, F>, key: &str) -> Result<()> {
        Ok(self.raw.delete(of.raw(), key)?)
    }

    /// Adds to a number when the transaction commits, and tells what it is then.
    ///
    /// # Errors
    /// The store's, such as [`InvalidNumber`](crate::ErrorKind::InvalidNumber).
    pub fn increment<V, F: Format<V>>(&self, of: &Collection<V, F>, key: &str, delta: i64) -> Result<i64> {
        let number = self.change(of, &Change::Increment((key.to_owned(), delta)))?;
        number.ok_or_else(|| Error::unexpected("the number"))
    }

    /// Any change that the interface has. Tells the number afterwards, of a change that is about numbers.
    ///
    /// # Errors
    /// The store's.
    pub fn change<V, F: Format<V>>(&self, of: &Collection<V, F>, change: &Change) -> Result<Option<i64>> {
        Ok(self.raw.change(of.raw(), change)?)
    }

    /// The keys of a range, fetched page by page.
    pub fn keys<'a, V, F: Format<V>>(&'a self, of: &'a Collection<V, F>, range: &Range) -> Pages<'a, String> {
        Pages::new(range, |options| {
            let page = self.raw.list_keys(of.raw(), options)?;
            Ok((page.keys, page.cursor))
        })
    }

    /// The records of a range, fetched page by page.
    pub fn entries<'a, V, F: Format<V>>(&'a self, of: &'a Collection<V, F>, range: &Range) -> Pages<'a, Entry<V>> {
        Pages::new(range, |options| {
            let page = self.raw.list_entries(of.raw(), options)?;
            Ok((page.entries.into_iter().map(typed::<V, F>).collect::<Result<_>>()?, page.cursor))
        })
    }

    /// How many records a range has.
    ///
    /// # Errors
    /// The store's.
    pub fn count<V, F: Format<V>>(&self, of: &Collection<V, F>, range: &Range) -> Result<u64> {
        Ok(self.raw.count(of.raw(), range.keys())?)
    }
}
