//! A transaction that stays open between two calls of the guest, for tests that take turns with another instance.

use crate::stash::storage::collections::{self, Collection};
use crate::stash::storage::transactions::{self, Isolation, Transaction};
use crate::stash::storage::types::Error;
use crate::told;
use std::cell::RefCell;

thread_local! {
    static OPEN: RefCell<Option<(Transaction, Collection)>> = const { RefCell::new(None) };
}

pub(crate) fn begin(isolation: &str) -> Result<(), String> {
    let isolation = match isolation {
        "serializable" => Isolation::Serializable,
        "snapshot" => Isolation::Snapshot,
        "read-committed" => Isolation::ReadCommitted,
        other => return Err(format!("there is no isolation '{other}'")),
    };
    let collection = collections::open("").map_err(|error| told(&error))?;
    let transaction = transactions::begin(isolation).map_err(|error| told(&error))?;
    OPEN.set(Some((transaction, collection)));
    Ok(())
}

pub(crate) fn with<T>(step: impl FnOnce(&Transaction, &Collection) -> Result<T, Error>) -> Result<T, String> {
    OPEN.with_borrow(|open| {
        let (transaction, collection) = open.as_ref().ok_or("no transaction has begun")?;
        step(transaction, collection).map_err(|error| told(&error))
    })
}
