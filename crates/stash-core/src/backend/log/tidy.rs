//! Removing what is left of logs: of those that were stopped, and of those that have grown beyond what commits have
//! removed. It goes in commits that are bounded, and nothing depends on when.

use super::entry::{log_prefix, scope_of, version_of};
use super::write::trim;
use crate::backend::sweep::Swept;
use crate::backend::{EngineBackend, Source, state_in};
use crate::engine::{Decision, Engine, Scan, View, Writes};
use crate::error::StorageError;
use crate::keyspace::{KeySpace, after_prefix};
use crate::namespace_state::{LogState, NamespaceState};

/// Entries that one commit removes: some milliseconds of the writer's time.
const BATCH: u32 = 1024;

/// Removes a batch of one namespace's log. Tells how many entries that were, and whether there is more to remove.
pub(in crate::backend) struct Tidy {
    pub(in crate::backend) scope: String,
}

impl Decision for Tidy {
    type Output = (u64, bool);

    fn queue(&self) -> &str {
        &self.scope
    }

    fn cost(&self) -> usize {
        // Keys only.
        BATCH as usize * 64
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<(u64, bool), StorageError> {
        let before = state_in(view, &self.scope)?;
        let Some(log) = before.log.filter(LogState::is_due) else { return Ok((0, false)) };
        let newest = if log.is_over(0, 0) {
            let last = Scan { limit: 1, value_bytes: 0, reverse: true, ..Scan::prefix(&log_prefix(&self.scope)) };
            view.scan(&last)?.entries.first().map(|(key, _)| version_of(key)).transpose()?
        } else {
            None
        };
        let after = trim(view, writes, &self.scope, log, u64::from(BATCH), newest)?;
        let is_gone = !after.is_on && !after.has_leftovers;
        if is_gone || after != log {
            let state = NamespaceState { log: (!is_gone).then_some(after), ..before };
            writes.put(KeySpace::Namespace.key(&self.scope), state.encode());
        }
        let removed = log.entries.saturating_sub(after.entries);
        // Of one commit that is too large alone nothing is removed.
        Ok((removed, !is_gone && removed > 0 && after.is_due()))
    }
}

/// Looks at the log of each component, and removes what is left of it, in at most `most` commits.
pub(in crate::backend) async fn tidy_all<E: Engine>(
    backend: &EngineBackend<E>,
    most: usize,
    swept: &mut Swept,
) -> Result<(), StorageError> {
    let mut commits = 0;
    let mut next = Scan { limit: 1, value_bytes: 0, ..Scan::prefix(&log_prefix("")) };
    while let Some((key, _)) = backend.engine().scan(&next).await?.entries.into_iter().next() {
        let scope = scope_of(&key)?;
        if let Some(after) = after_prefix(&log_prefix(scope)) {
            next.start = std::ops::Bound::Included(after);
        }
        let tidy = async {
            if !Source::Present(backend.engine()).state(scope).await?.log.is_some_and(|log| log.is_due()) {
                return Ok(());
            }
            loop {
                if commits == most {
                    swept.more = true;
                    return Ok(());
                }
                commits += 1;
                let (removed, more) = backend.engine().update(Tidy { scope: scope.to_owned() }).await?;
                swept.removed += removed;
                if !more {
                    return Ok(());
                }
            }
        };
        match tidy.await {
            Ok(()) if swept.more => return Ok(()),
            Ok(()) => {}
            // One component's data is no reason to leave the others'.
            Err(StorageError::Corrupt { reason }) => swept.damaged = Some(reason),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::log::Stop;
    use crate::limits::MAX_CHANGE_BYTES;
    use crate::{Batch, ComponentStorage, MemoryBackend, NamespacedStorage, StorageExt};
    use std::sync::Arc;

    const SCOPE: &str = "a/b/c/";

    async fn entries(backend: &MemoryBackend) -> usize {
        backend.engine().scan(&Scan::prefix(&log_prefix(""))).await.unwrap().entries.len()
    }

    async fn log(backend: &MemoryBackend) -> Option<LogState> {
        Source::Present(backend.engine()).state(SCOPE).await.unwrap().log
    }

    fn many(count: usize) -> Batch {
        (0..count).fold(Batch::new(), |batch, n| batch.set(format!("{n}"), "v"))
    }

    #[tokio::test]
    async fn a_log_whose_stopping_was_interrupted_is_swept_in_steps() {
        let backend = MemoryBackend::in_memory();
        let store = NamespacedStorage::new(&"a/b/c".parse().unwrap(), backend.clone());
        let other = NamespacedStorage::new(&"a/b/d".parse().unwrap(), backend.clone());
        for store in [&store, &other] {
            store.start_changes().await.unwrap();
            store.commit(many(5000)).await.unwrap();
        }
        let stop = Stop { scope: SCOPE.to_owned(), waiters: Arc::default() };
        assert!(backend.engine().update(stop).await.unwrap().1, "there is something left");
        store.commit(many(10)).await.unwrap();
        assert_eq!(entries(&backend).await, 10_000, "nothing is added to it");
        let swept = backend.sweep(1).await.unwrap();
        assert_eq!((swept.removed, swept.more), (u64::from(BATCH), true));
        // Turned on again: what is left of the old one goes all the same, and only that.
        let since = store.start_changes().await.unwrap();
        store.commit(many(3)).await.unwrap();
        let swept = backend.sweep(100).await.unwrap();
        assert!(!swept.more && swept.damaged.is_none(), "{swept:?}");
        assert_eq!(entries(&backend).await, 5003);
        let state = log(&backend).await.unwrap();
        assert_eq!((state.is_on, state.has_leftovers, state.since, state.entries), (true, false, since, 3));
        for store in [&store, &other] {
            store.stop_changes().await.unwrap();
        }
        assert_eq!((entries(&backend).await, log(&backend).await), (0, None), "as if there had never been one");
    }

    #[tokio::test]
    async fn a_log_that_is_too_large_shrinks_to_its_newest_commit() {
        let backend = MemoryBackend::in_memory();
        let store = NamespacedStorage::new(&"a/b/c".parse().unwrap(), backend.clone());
        store.start_changes().await.unwrap();
        store.commit(many(10_000)).await.unwrap();
        let half = vec![0; usize::try_from(MAX_CHANGE_BYTES / 2 + 1).unwrap()];
        store.set("large", half.clone()).await.unwrap();
        store.set("large", half).await.unwrap();
        backend.sweep(100).await.unwrap();
        let state = log(&backend).await.unwrap();
        assert_eq!((state.entries, entries(&backend).await), (1, 1));
        store.set("larger", vec![0; usize::try_from(MAX_CHANGE_BYTES).unwrap()]).await.unwrap();
        let swept = backend.sweep(100).await.unwrap();
        assert!(!swept.more);
        let state = log(&backend).await.unwrap();
        assert!(state.entries == 1 && state.bytes > MAX_CHANGE_BYTES && state.since.0 == 3, "{state:?}");
    }
}
