//! What a commit adds to the log, and what goes for it: the oldest commits, whole, in work that is bounded by what the
//! commit itself writes. It must leave the newest commit there, whatever its size.

use bytes::Bytes;

use super::entry::{Entry, HEAD_BYTES, Head, entry_key, log_prefix, version_of};
use crate::changes::ChangeKind;
use crate::clock::Timestamp;
use crate::collection::Place;
use crate::engine::{Scan, View, Writes};
use crate::error::StorageError;
use crate::limits::{MAX_CHANGE_BYTES, MAX_CHANGES};
use crate::namespace_state::LogState;
use crate::record::Version;

/// Entries that are removed at once beyond what is added, so that not every commit must remove some.
const AT_ONCE: u64 = 256;
/// A commit removes one more for so many bytes that it adds: a hundred thousand small ones are gone after 100 MiB.
const BYTES_FOR_ONE: u64 = 1024;
/// Room that is made beyond the limit of bytes, for the same reason.
const ROOM_BYTES: u64 = 1024 * 1024;

/// What one commit adds.
#[derive(Debug)]
pub(in crate::backend) struct Adding {
    scope: String,
    version: Version,
    time: Timestamp,
    entries: u32,
    bytes: u64,
}

impl Adding {
    /// Of the commit `version`, to the log of a namespace; `None` where it keeps none.
    pub(in crate::backend) fn to(
        log: Option<LogState>,
        scope: &str,
        version: Version,
        time: Timestamp,
    ) -> Option<Self> {
        let begin = |_| Self { scope: scope.to_owned(), version, time, entries: 0, bytes: 0 };
        log.filter(|log| log.is_on).map(begin)
    }

    /// Whether the commit has changed nothing that is logged.
    pub(in crate::backend) fn is_empty(&self) -> bool {
        self.entries == 0
    }

    /// The record of a key is now this one, as it is stored.
    pub(in crate::backend) fn set(&mut self, writes: &mut Writes, place: Option<&Place>, key: &str, record: &Bytes) {
        self.add(writes, place, key, ChangeKind::Set, record);
    }

    /// The record of a key is gone.
    pub(in crate::backend) fn gone(&mut self, writes: &mut Writes, place: Option<&Place>, key: &str, expired: bool) {
        self.add(writes, place, key, if expired { ChangeKind::Expire } else { ChangeKind::Delete }, &[]);
    }

    fn add(&mut self, writes: &mut Writes, place: Option<&Place>, key: &str, kind: ChangeKind, record: &[u8]) {
        let collection = match place {
            // How collections are is not what they hold.
            Some(Place::Registry) => return,
            Some(Place::Named(name)) => name.as_str(),
            Some(Place::Default) | None => "",
        };
        let stored = Entry { kind, time: self.time, collection, key, record }.encode();
        self.bytes = self.bytes.saturating_add(u64::try_from(stored.len()).unwrap_or(u64::MAX));
        writes.put(entry_key(&self.scope, self.version, self.entries), stored);
        self.entries = self.entries.saturating_add(1);
    }

    /// The log as the commit leaves it: with what was added, without what had to go for it.
    pub(in crate::backend) fn finish(
        &self,
        view: &dyn View,
        writes: &mut Writes,
        mut log: LogState,
    ) -> Result<LogState, StorageError> {
        let entries = u64::from(self.entries);
        log.entries = log.entries.saturating_add(entries);
        log.bytes = log.bytes.saturating_add(self.bytes);
        let most = AT_ONCE.saturating_add(entries.saturating_mul(2)).saturating_add(self.bytes / BYTES_FOR_ONE);
        // It is itself the newest commit, and not in the view yet.
        if entries > 0 { trim(view, writes, &self.scope, log, most, None) } else { Ok(log) }
    }
}

impl LogState {
    /// Whether there is something to remove.
    pub(super) fn is_due(&self) -> bool {
        !self.is_on || self.has_leftovers || self.is_over(0, 0)
    }

    pub(super) fn is_over(&self, entries: u64, bytes: u64) -> bool {
        self.entries.saturating_add(entries) > MAX_CHANGES || self.bytes.saturating_add(bytes) > MAX_CHANGE_BYTES
    }
}

/// Removes up to `most` of the oldest entries, where there is something to remove: commits before `newest`, and what no
/// longer counts. A commit no longer counts from its first entry on that goes, so nobody is ever shown a part of one.
pub(super) fn trim(
    view: &dyn View,
    writes: &mut Writes,
    scope: &str,
    mut log: LogState,
    most: u64,
    newest: Option<Version>,
) -> Result<LogState, StorageError> {
    if !log.is_due() {
        return Ok(log);
    }
    let most = usize::try_from(most).unwrap_or(usize::MAX);
    let scan = Scan { limit: most.saturating_add(1), value_bytes: HEAD_BYTES, ..Scan::prefix(&log_prefix(scope)) };
    log.has_leftovers = false;
    for (n, (key, stored)) in view.scan(&scan)?.entries.into_iter().enumerate() {
        let version = version_of(&key)?;
        if version > log.since {
            if !log.is_over(AT_ONCE, ROOM_BYTES) || newest.is_some_and(|newest| version >= newest) {
                break;
            }
            log.since = version;
        }
        if n == most {
            log.has_leftovers = true;
            break;
        }
        log.entries = log.entries.saturating_sub(1);
        log.bytes = log.bytes.saturating_sub(Head::decode(&stored)?.stored_bytes());
        writes.remove(key);
    }
    Ok(log)
}
