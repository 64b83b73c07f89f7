//! What reads see, and what a decision sees: the transaction that is being put together. A decision must see what its
//! predecessors in the same group wrote.

use std::cell::Cell;
use std::sync::Arc;

use bytes::Bytes;
use rusqlite::{CachedStatement, Connection};
use stash_core::StorageError;
use stash_core::engine::{Collect, Page, Scan, View};
use stash_group_commit::{ReadView, Transaction};

use crate::entries::{self, Writing};
use crate::states::State;

/// One committed state.
pub(crate) struct SqliteView(pub(crate) Arc<State>);

impl ReadView for SqliteView {
    fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.0.with(|connection| {
            let mut statement = entries::prepare_look(connection)?;
            keys.iter().map(|key| entries::read(connection, &mut statement, key)).collect()
        })
    }

    fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        self.0.with(|connection| entries::scan_into(connection, scan, into))
    }

    fn concern(&self) -> Option<StorageError> {
        self.0.concern()
    }
}

/// A group that is being put together, in the writer's transaction.
pub(crate) struct Pending<'c> {
    connection: &'c Connection,
    /// Taken while somebody looks, who may look again meanwhile.
    look: Cell<Option<CachedStatement<'c>>>,
    writing: Option<Writing<'c>>,
}

impl<'c> Pending<'c> {
    pub(crate) fn new(connection: &'c Connection) -> Self {
        Self { connection, look: Cell::new(None), writing: None }
    }
}

impl View for Pending<'_> {
    fn look(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StorageError> {
        let mut statement = match self.look.take() {
            Some(statement) => statement,
            None => entries::prepare_look(self.connection)?,
        };
        entries::show(self.connection, &mut statement, key, see)?;
        self.look.set(Some(statement));
        Ok(())
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        let (page, more) = entries::scan_into(self.connection, scan, &scan.page())?;
        Ok(page.finish(more))
    }
}

impl Transaction for Pending<'_> {
    fn apply(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), StorageError> {
        let writing = match &mut self.writing {
            Some(writing) => writing,
            writing => writing.insert(Writing::new(self.connection)?),
        };
        writing.write(&key, value.as_deref())
    }
}
