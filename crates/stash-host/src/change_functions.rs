//! The functions of `stash:storage/changes`. Each hands its call to the caller's chain; waiting is bounded here, because the
//! layers below know no timer.

use std::time::Duration;

use stash_core::limits::MAX_CHANGE_WAIT;
use stash_core::{
    ChangeKind, ChangeRecord, ChangesOf, ChangesPage, ChangesRequest, CollectionName, ComponentStorage, StorageError,
    StorageExt, Version,
};

use crate::bindings::stash::storage::changes;
use crate::convert;
use crate::failure::Failure;
use crate::view::StorageCtxView;

/// What is asked for, and how long to wait for it.
fn request(since: u64, options: changes::PollOptions) -> Result<(ChangesRequest, Duration), StorageError> {
    let mut request = ChangesRequest { values: options.values, ..ChangesRequest::since(Version(since)) };
    if let Some(name) = options.collection {
        request.of = ChangesOf::Collection(CollectionName::parse(&name)?);
    }
    request.prefix = options.prefix.unwrap_or_default();
    if let Some(limit) = options.limit {
        request.limit = convert::at_least_one(limit)?;
    }
    let wait = Duration::from_millis(options.wait_millis.unwrap_or(0).into()).min(MAX_CHANGE_WAIT);
    Ok((request, wait))
}

fn guest_change(change: ChangeRecord) -> changes::ChangeRecord {
    changes::ChangeRecord {
        version: change.version.0,
        collection: change.collection.map(|name| name.to_string()).unwrap_or_default(),
        key: change.key,
        kind: match change.kind {
            ChangeKind::Set => changes::ChangeKind::Set,
            ChangeKind::Delete => changes::ChangeKind::Delete,
            ChangeKind::Expire => changes::ChangeKind::Expire,
        },
        time: change.time.0,
        metadata: change.record.as_ref().map(|record| convert::guest_metadata(record.version, &record.metadata)),
        value: change.record.map(convert::guest_value),
    }
}

fn guest_page(page: ChangesPage) -> changes::ChangePage {
    changes::ChangePage {
        changes: page.changes.into_iter().map(guest_change).collect(),
        through: page.through.0,
        more: page.more,
    }
}

impl changes::Host for StorageCtxView<'_> {
    async fn start(&mut self) -> Result<u64, Failure> {
        Ok(self.ctx.store().start_changes().await?.0)
    }

    async fn stop(&mut self) -> Result<(), Failure> {
        Ok(self.ctx.store().stop_changes().await?)
    }

    async fn poll(&mut self, since: u64, options: changes::PollOptions) -> Result<changes::ChangePage, Failure> {
        let (request, wait) = request(since, options)?;
        let store = self.ctx.store();
        let page = if wait.is_zero() {
            store.changes("", &request).await?
        } else {
            store.next_changes(&request, tokio::time::sleep(wait)).await?
        };
        Ok(guest_page(page))
    }
}

#[cfg(test)]
mod tests {
    use super::changes::Host;
    use super::*;
    use crate::{Stash, StashConfig, StorageCtx, StoreUrl};
    use std::time::Instant;
    use wasmtime::component::ResourceTable;

    fn waiting(millis: u32) -> changes::PollOptions {
        changes::PollOptions {
            collection: None,
            prefix: Some("k".to_owned()),
            limit: None,
            wait_millis: Some(millis),
            values: true,
        }
    }

    #[tokio::test]
    async fn a_guest_that_waits_is_woken_by_another_instance_or_by_time() {
        let stash = Stash::open(&StoreUrl::Memory, StashConfig::default()).await.unwrap();
        let store = stash.component(&"app/follower/1".parse().unwrap());
        let (mut ctx, mut table) = (StorageCtx::new(store.clone()), ResourceTable::new());
        let mut view = StorageCtxView { ctx: &mut ctx, table: &mut table };
        let since = view.start().await.unwrap();

        let begun = Instant::now();
        let page = view.poll(since, waiting(50)).await.unwrap();
        assert!(begun.elapsed() >= Duration::from_millis(50));
        assert_eq!((page.changes.len(), page.through, page.more), (0, since, false));

        let writer = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(20)).await;
            store.set("other", "1").await.unwrap();
            store.set("k", "2").await.unwrap();
        });
        let begun = Instant::now();
        let page = view.poll(since, waiting(u32::MAX)).await.unwrap();
        assert!(begun.elapsed() < MAX_CHANGE_WAIT / 2, "it was woken");
        let change = &page.changes[0];
        assert_eq!((change.version, change.key.as_str(), change.value.as_deref()), (2, "k", Some(&b"2"[..])));
        assert_eq!(change.metadata.as_ref().map(|metadata| metadata.version), Some(2));
        writer.await.unwrap();
    }
}
