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
