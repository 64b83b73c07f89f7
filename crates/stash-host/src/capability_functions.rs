//! The functions of `stash:storage/capabilities`: what the store can do, and how it is. They must tell nothing of the host
//! or of other components.

use stash_core::{ComponentStorage, StorageExt};

use crate::bindings::stash::storage::capabilities;
use crate::failure::Failure;
use crate::view::StorageCtxView;

impl capabilities::Host for StorageCtxView<'_> {
    async fn get(&mut self) -> wasmtime::Result<capabilities::CapabilitiesInfo> {
        let found = self.ctx.store().capabilities();
        let limits = found.limits;
        Ok(capabilities::CapabilitiesInfo {
            engine: found.engine.to_owned(),
            durable: found.durable,
            transactions: found.transactions,
            history: found.history,
            expiry: found.expiry,
            max_key_bytes: wide(limits.key_bytes),
            max_value_bytes: wide(limits.value_bytes),
            quota_bytes: limits.quota_bytes,
            max_batch_items: narrow(limits.batch_items),
            max_batch_bytes: wide(limits.batch_bytes),
            max_read_keys: narrow(limits.read_keys),
            max_page_items: narrow(limits.page_items),
            max_page_bytes: wide(limits.page_bytes),
            max_open_transactions: narrow(limits.open_transactions),
            max_transaction_millis: u64::try_from(limits.transaction_age.as_millis()).unwrap_or(u64::MAX),
            max_collections: narrow(limits.collections),
        })
    }

    async fn status(&mut self) -> Result<capabilities::StatusInfo, Failure> {
        let store = self.ctx.store();
        let healthy = store.status().failure.is_none();
        let (snapshot, usage) = (store.snapshot().await?, store.usage("").await?);
        Ok(capabilities::StatusInfo {
            healthy,
            version: snapshot.version().await?.0,
            used_bytes: usage.used_bytes,
            key_count: usage.key_count,
            collections: narrow(store.collections(None).await?.len()),
            open_transactions: narrow(store.open_transactions()),
        })
    }
}

fn wide(number: usize) -> u64 {
    u64::try_from(number).unwrap_or(u64::MAX)
}

fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}
