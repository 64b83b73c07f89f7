//! Removing what has expired: in small batches, in the order of time, one namespace after another. It must never remove
//! what has not expired, and nothing depends on when it runs.

use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::log::{self, Adding};
use super::{EngineBackend, due, past, state_in};
use crate::clock::{Clock, Timestamp};
use crate::collection::Place;
use crate::engine::{Decision, Engine, Scan, View, Writes};
use crate::error::StorageError;
use crate::keyspace::{KeySpace, after_prefix, split_namespaced};
use crate::namespace_state::NamespaceState;
use crate::record::{Head, Version, corrupt};
use crate::waiting::Waiters;

/// Records that one commit of the sweeper removes: a millisecond or two of the writer's time.
const BATCH: usize = 256;

/// What a round of the sweeper did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Swept {
    /// Records, earlier versions, and changes that are no longer kept, that were removed.
    pub removed: u64,
    /// Whether there is more that is due.
    pub more: bool,
    /// What was wrong with the data of a component, whose records were left as they are.
    pub damaged: Option<String>,
}

impl<E: Engine> EngineBackend<E> {
    /// Removes what has expired, in commits of a few hundred records, at most `max_commits` of them.
    ///
    /// What has expired is invisible whether or not this is ever called; it only gives back space. The versions of
    /// namespaces stay as they are: nothing that anybody could see changes. But where a component keeps its changes, the
    /// removal of its records is one of them, and a commit as any other. What is left of logs that were stopped is removed
    /// too.
    ///
    /// # Errors
    /// The engine's, or [`StorageError::Corrupt`] where the index cannot be read. What was removed before stays so.
    pub async fn sweep(&self, max_commits: usize) -> Result<Swept, StorageError> {
        let mut swept = Swept::default();
        let mut commits = 0;
        // Where the last round has ended, so that one component's records do not keep others' waiting.
        let begin = self.shared.sweep_at.lock().clone();
        let first = KeySpace::Expiry.key("");
        let mut next = Scan { limit: 1, value_bytes: 0, ..Scan::prefix(&first) };
        let mut rounds = 0;
        if let Some(begin) = begin {
            next.start = Bound::Included(begin);
        } else {
            rounds = 1;
        }
        loop {
            let Some((key, _)) = self.engine().scan(&next).await?.entries.into_iter().next() else {
                if rounds > 0 {
                    *self.shared.sweep_at.lock() = None;
                    log::tidy_all(self, max_commits.saturating_sub(commits), &mut swept).await?;
                    return Ok(swept);
                }
                // Once more from the beginning.
                rounds += 1;
                next.start = Bound::Included(first.clone());
                continue;
            };
            let (scope, time) = due::parts(&key)?;
            let after = || after_prefix(&KeySpace::Expiry.key(scope)).map_or(Bound::Unbounded, Bound::Included);
            if time > self.shared.clock.wall() {
                next.start = after();
                continue;
            }
            if commits == max_commits {
                swept.more = true;
                *self.shared.sweep_at.lock() = match after() {
                    Bound::Included(key) => Some(key),
                    _ => None,
                };
                return Ok(swept);
            }
            commits += 1;
            let (clock, waiters) = (Arc::clone(&self.shared.clock), Arc::clone(&self.shared.waiters));
            let sweep = Sweep { scope: scope.to_owned(), clock, waiters };
            match self.engine().update(sweep).await {
                Ok(removed) => swept.removed += removed,
                // What cannot be read in one component is no reason to keep what has expired in the others.
                Err(StorageError::Corrupt { reason }) => {
                    swept.damaged = Some(reason);
                    next.start = after();
                }
                Err(error) => return Err(error),
            }
        }
    }
}

/// Removes a batch of one namespace.
struct Sweep {
    scope: String,
    clock: Arc<dyn Clock>,
    waiters: Arc<Waiters>,
}

impl Decision for Sweep {
    type Output = u64;

    fn queue(&self) -> &str {
        &self.scope
    }

    fn cost(&self) -> usize {
        // Keys only; the records that are removed cost nothing to write.
        BATCH * 64
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<u64, StorageError> {
        let before = state_in(view, &self.scope)?;
        let now = self.clock.wall();
        let next = before
            .version
            .0
            .checked_add(1)
            .ok_or_else(|| corrupt("a namespace's version is out of range".to_owned()))?;
        let mut adding = Adding::to(before.log, &self.scope, Version(next), now);
        let removed = remove(view, writes, &self.scope, now, BATCH, &HashSet::new(), &mut adding)?;
        let mut state = NamespaceState {
            used_bytes: before.used_bytes.saturating_sub(removed.used_bytes),
            key_count: before.key_count.saturating_sub(removed.key_count),
            ..before
        };
        if let (Some(adding), Some(log)) = (adding.filter(|adding| !adding.is_empty()), &mut state.log) {
            state.version = Version(next);
            *log = adding.finish(view, writes, *log)?;
        }
        if !writes.is_empty() && state != before {
            writes.put(KeySpace::Namespace.key(&self.scope), state.encode());
        }
        Ok(removed.entries)
    }

    fn committed(&mut self, _: &u64) {
        self.waiters.wake(&self.scope);
    }
}

/// What a commit has removed of what was due.
#[derive(Debug, Default)]
pub(super) struct Removed {
    pub(super) entries: u64,
    pub(super) used_bytes: u64,
    pub(super) key_count: u64,
}

impl Removed {
    fn count(&mut self, used_bytes: u64) {
        self.used_bytes = self.used_bytes.saturating_add(used_bytes);
    }
}

/// Removes up to `limit` entries that are due, but for the engine keys in `spare`: what the same commit
/// writes or removes itself.
pub(super) fn remove(
    view: &dyn View,
    writes: &mut Writes,
    scope: &str,
    now: Timestamp,
    limit: usize,
    spare: &HashSet<Bytes>,
    adding: &mut Option<Adding>,
) -> Result<Removed, StorageError> {
    let mut removed = Removed::default();
    for (index_key, _) in view.scan(&due::scan(scope, now, limit))?.entries {
        match due::decode(scope, &index_key)? {
            due::Due::Record(key) => {
                if spare.contains(&key) {
                    continue;
                }
                let mut used = Ok(None);
                view.look(&key, &mut |stored| {
                    used = stored
                        .map(|stored| {
                            let head = Head::decode(stored)?;
                            Ok((head.metadata.is_expired(now), head.used_bytes(stored)?))
                        })
                        .transpose();
                })?;
                if let Some((true, used)) = used? {
                    let damaged = || corrupt("a record's key is damaged".to_owned());
                    let name = KeySpace::Record.name(&key).and_then(split_namespaced).ok_or_else(damaged)?;
                    let (place_prefix, own_key) = name;
                    removed.count(u64::try_from(used.saturating_add(own_key.len())).unwrap_or(u64::MAX));
                    removed.key_count += 1;
                    if let Some(adding) = adding {
                        let place = Place::of_prefix(place_prefix, scope).ok_or_else(damaged)?;
                        adding.gone(writes, Some(&place), own_key, true);
                    }
                    writes.remove(key);
                }
            }
            due::Due::History(key) => {
                if spare.contains(&key) {
                    continue;
                }
                removed.count(past::remove(view, writes, scope, &key)?);
            }
        }
        removed.entries += 1;
        writes.remove(index_key);
    }
    Ok(removed)
}

/// The bytes of what is due after the first `removed` entries, which the same commit removes.
pub(super) fn rest(
    view: &dyn View,
    scope: &str,
    now: Timestamp,
    removed: usize,
    spare: &HashSet<Bytes>,
) -> Result<u64, StorageError> {
    /// So that a commit that is refused is not refused slowly.
    const MOST: usize = 100_000;
    let found = view.scan(&due::scan(scope, now, removed.saturating_add(MOST)))?;
    let mut bytes = 0_u64;
    for (index_key, value) in found.entries.into_iter().skip(removed) {
        let (due::Due::Record(key) | due::Due::History(key)) = due::decode(scope, &index_key)?;
        if !spare.contains(&key) {
            bytes = bytes.saturating_add(due::used_bytes(&value)?);
        }
    }
    Ok(bytes)
}
