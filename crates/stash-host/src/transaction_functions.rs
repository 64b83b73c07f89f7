//! The functions of `stash:storage/transactions`. Each hands its call to the guest's transaction and does nothing else.

use stash_core::{
    Change, ComponentStorage, Isolation, ScanPage, ScanRequest, StorageError, StorageExt, Transaction, TransactionIn,
};
use wasmtime::component::Resource;

use crate::bindings::stash::storage::{transactions, types};
use crate::collection_functions::{OpenCollection, listed};
use crate::component_store::ComponentStore;
use crate::convert;
use crate::failure::{Failure, push};
use crate::view::StorageCtxView;

/// A transaction that a guest has begun; nothing where it is over.
// `pub`, because the bindings' own modules name it; nothing exports those.
#[allow(unreachable_pub)]
pub struct OpenTransaction(Option<Transaction<ComponentStore>>);

type Handle = Resource<OpenTransaction>;
type Collection = Resource<OpenCollection>;

impl StorageCtxView<'_> {
    /// The transaction, seen from a collection.
    fn within(&mut self, this: &Handle, of: &Collection) -> Result<TransactionIn<'_, ComponentStore>, Failure> {
        let name = self.collection(of)?.name.clone();
        let transaction = self.table.get_mut(this)?.0.as_mut().ok_or_else(over)?;
        Ok(transaction.in_collection(name.as_ref()))
    }

    /// A page of a list in a transaction, and the cursor of the next one.
    async fn page(
        &mut self,
        this: &Handle,
        of: &Collection,
        mut request: ScanRequest,
        cursor: Option<String>,
    ) -> Result<(ScanPage, Option<String>), Failure> {
        let cursors = self.collection(of)?.store.cursors();
        if let Some(cursor) = cursor {
            request.after = Some(cursors.open(&request, &cursor)?);
        }
        let page = self.within(this, of)?.scan(&request).await?;
        let cursor = page.resume.as_ref().map(|last| cursors.seal(&request, last));
        Ok((page, cursor))
    }
}

fn over() -> StorageError {
    StorageError::TransactionOver { reason: "it was committed or rolled back; begin a new one".to_owned() }
}

impl transactions::HostTransaction for StorageCtxView<'_> {
    async fn get(&mut self, this: Handle, of: Collection, key: String) -> Result<Option<Vec<u8>>, Failure> {
        Ok(self.within(&this, &of)?.read_one(&key).await?.map(convert::guest_value))
    }

    async fn get_entry(&mut self, this: Handle, of: Collection, key: String) -> Result<Option<types::Entry>, Failure> {
        let record = self.within(&this, &of)?.read_one(&key).await?;
        Ok(record.map(|record| convert::guest_entry(key, &record)))
    }

    async fn get_many(
        &mut self,
        this: Handle,
        of: Collection,
        keys: Vec<String>,
    ) -> Result<Vec<Option<Vec<u8>>>, Failure> {
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        let records = self.within(&this, &of)?.read(&keys).await?;
        Ok(records.into_iter().map(|record| record.map(convert::guest_value)).collect())
    }

    async fn list_keys(
        &mut self,
        this: Handle,
        of: Collection,
        options: types::ListOptions,
    ) -> Result<types::KeyPage, Failure> {
        let (request, cursor) = convert::list(options, false)?;
        let (page, cursor) = self.page(&this, &of, request, cursor).await?;
        Ok(types::KeyPage { keys: page.keys(), cursor })
    }

    async fn list_entries(
        &mut self,
        this: Handle,
        of: Collection,
        options: types::ListOptions,
    ) -> Result<types::EntryPage, Failure> {
        let (request, cursor) = convert::list(options, true)?;
        let (page, cursor) = self.page(&this, &of, request, cursor).await?;
        Ok(types::EntryPage { entries: page.entries.into_iter().map(listed).collect(), cursor })
    }

    async fn count(&mut self, this: Handle, of: Collection, range: types::KeyRange) -> Result<u64, Failure> {
        let range = convert::range(range)?;
        Ok(self.within(&this, &of)?.count(&range).await?)
    }

    async fn set(&mut self, this: Handle, of: Collection, key: String, value: Vec<u8>) -> Result<(), Failure> {
        let change = Change::Set { value: value.into(), options: None };
        self.within(&this, &of)?.change(&key, change).await?;
        Ok(())
    }

    async fn delete(&mut self, this: Handle, of: Collection, key: String) -> Result<(), Failure> {
        self.within(&this, &of)?.change(&key, Change::Delete).await?;
        Ok(())
    }

    async fn change(&mut self, this: Handle, of: Collection, change: types::Change) -> Result<Option<i64>, Failure> {
        let (key, change) = convert::change(change)?;
        Ok(self.within(&this, &of)?.change(&key, change).await?)
    }

    async fn commit(&mut self, this: Handle) -> Result<u64, Failure> {
        let transaction = self.table.get_mut(&this)?.0.take().ok_or_else(over)?;
        Ok(transaction.commit().await?.version.0)
    }

    async fn rollback(&mut self, this: Handle) -> wasmtime::Result<()> {
        drop(self.table.get_mut(&this)?.0.take());
        Ok(())
    }

    async fn drop(&mut self, this: Handle) -> wasmtime::Result<()> {
        self.table.delete(this)?;
        Ok(())
    }
}

impl transactions::Host for StorageCtxView<'_> {
    async fn begin(&mut self, isolation: transactions::Isolation) -> Result<Handle, Failure> {
        let isolation = match isolation {
            transactions::Isolation::Serializable => Isolation::Serializable,
            transactions::Isolation::Snapshot => Isolation::Snapshot,
            transactions::Isolation::ReadCommitted => Isolation::ReadCommitted,
        };
        let transaction = self.ctx.store().begin(isolation).await?;
        push(self.table, OpenTransaction(Some(transaction)))
    }
}
