//! What a batch writes once it is decided: records, the expiry index, history, the change log, and the namespace's state
//! with its exact usage. It must leave nothing out that belongs to a record it changes.

use std::collections::HashSet;

use bytes::Bytes;

use super::{Slot, Work, out_of_range};
use crate::backend::log::Adding;
use crate::backend::past::History;
use crate::backend::{due, past, sweep};
use crate::batch::{Committed, limit};
use crate::collection::{DEFAULT_SETTINGS, Place, is_collection};
use crate::engine::Writes;
use crate::error::StorageError;
use crate::keyspace::KeySpace;
use crate::limits::MAX_COLLECTIONS;
use crate::namespace_state::NamespaceState;
use crate::record::{self, Head, Record};

/// Records that a commit which would break its quota removes first, where they have expired.
const SWEEP_FOR_ROOM: usize = 10_000;

impl Work<'_> {
    /// Writes what has become of everything.
    pub(super) fn write(&mut self, writes: &mut Writes) -> Result<Committed, StorageError> {
        let log = Adding::to(self.before.log, &self.batch.scope, self.version, self.now);
        let mut sum = Sum { log, ..Sum::default() };
        let mut changed = !self.forget.is_empty();
        let mut spare = HashSet::new();
        let mut slots = std::mem::take(&mut self.slots);
        writes.reserve(slots.len() + 1);
        for slot in &mut slots {
            // What comes and goes within a batch was never there.
            let was_there = slot.stored.as_ref().is_some_and(|stored| self.is_there(stored));
            changed |= slot.changed && (was_there || slot.record.is_some());
            self.write_slot(slot, writes, &mut sum, &mut spare)?;
        }
        self.slots = slots;
        for key in &self.forget {
            sum.used -= i128::from(past::remove(self.view, writes, &self.batch.scope, key)?);
            spare.insert(key.clone());
        }
        let outcomes = std::mem::take(&mut self.outcomes);
        if writes.is_empty() {
            return Ok(Committed { version: self.before.version, outcomes });
        }
        self.check_quota(writes, &mut sum, &mut spare)?;
        let used_bytes = self.used_after(&sum)?;
        let mut log = self.before.log;
        if let (Some(adding), Some(log)) = (&sum.log, &mut log) {
            // What is in the log has a version of its own, also where time has removed it.
            changed |= !adding.is_empty();
            *log = adding.finish(self.view, writes, *log)?;
        }
        let state = NamespaceState {
            version: if changed { self.version } else { self.before.version },
            used_bytes,
            key_count: u64::try_from(i128::from(self.before.key_count) + sum.keys)
                .map_err(|_| out_of_range("number of keys"))?,
            collections: u32::try_from(i128::from(self.before.collections) + sum.collections)
                .map_err(|_| out_of_range("number of collections"))?,
            default_settings: sum.default_settings.unwrap_or(self.before.default_settings),
            log,
        };
        let collections = usize::try_from(state.collections).unwrap_or(usize::MAX);
        if sum.collections > 0 && collections > MAX_COLLECTIONS {
            return Err(limit("the number of collections", collections, MAX_COLLECTIONS));
        }
        writes.put(KeySpace::Namespace.key(&self.batch.scope), state.encode());
        Ok(Committed { version: state.version, outcomes })
    }

    fn write_slot(
        &self,
        slot: &mut Slot<'_>,
        writes: &mut Writes,
        sum: &mut Sum,
        spare: &mut HashSet<Bytes>,
    ) -> Result<(), StorageError> {
        // A record that has expired goes with whatever touches its key.
        let expired = slot.stored.as_ref().is_some_and(|stored| !self.is_there(stored));
        if !slot.changed && !expired {
            return Ok(());
        }
        let scope = &self.batch.scope;
        let place = self.batch.places.get(slot.place).and_then(|place| place.place.as_ref());
        let own_key = slot.name.get(self.batch.prefix(slot.place).len()..).unwrap_or_default();
        if let Some(record) = &mut slot.record {
            record.metadata.replaced = slot.stored.is_some();
        }
        let had_others = self.write_past(slot, own_key, writes, sum, spare)?;
        if let Some(record) = &mut slot.record {
            record.metadata.replaced |= had_others;
        }
        let record = slot.record.as_ref();
        let expires = |head: &Head| head.metadata.expires;
        let old = slot.stored.as_ref().and_then(|stored| expires(&stored.head));
        let new = record.and_then(|record| record.metadata.expires);
        if let Some(old) = old.filter(|old| Some(*old) != new) {
            writes.remove(due::record_entry(scope, old, &slot.name));
        }
        if let (Some(new), Some(record)) = (new, record) {
            let used = u64::try_from(own_key.len() + record.used_bytes()).unwrap_or(u64::MAX);
            writes.put(due::record_entry(scope, new, &slot.name), due::entry_value(used));
        }
        if old.is_some() {
            spare.insert(slot.key.clone());
        }
        match (place, own_key) {
            (Some(Place::Registry), DEFAULT_SETTINGS) => sum.default_settings = Some(record.is_some()),
            (Some(Place::Registry), name) if !is_collection(name) => {}
            (Some(Place::Registry), _) => {
                sum.collections += i128::from(record.is_some()) - i128::from(slot.stored.is_some());
            }
            _ => {
                let size = |used: Option<usize>| used.map_or(0, |used| widen(own_key.len()) + widen(used));
                let stored = slot.stored.as_ref().map(|stored| stored.used_bytes);
                if expired {
                    sum.expired += u64::try_from(size(stored)).unwrap_or(0);
                }
                sum.used += size(record.map(Record::used_bytes)) - size(stored);
                sum.keys += i128::from(record.is_some()) - i128::from(stored.is_some());
            }
        }
        match record {
            // Nobody asks for the slot's key after this.
            Some(record) => {
                let stored = record::encode(record);
                if let Some(log) = &mut sum.log {
                    log.set(writes, place, own_key, &stored);
                }
                writes.put(std::mem::take(&mut slot.key), stored);
            }
            None if slot.stored.is_some() => {
                if let Some(log) = &mut sum.log {
                    log.gone(writes, place, own_key, expired);
                }
                writes.remove(std::mem::take(&mut slot.key));
            }
            None => {}
        }
        Ok(())
    }

    /// Puts what the slot's record was into its history, where its collection keeps one, and removes what is no longer
    /// kept. Gives whether the key had a version before.
    fn write_past(
        &self,
        slot: &Slot<'_>,
        own_key: &str,
        writes: &mut Writes,
        sum: &mut Sum,
        spare: &mut HashSet<Bytes>,
    ) -> Result<bool, StorageError> {
        let kept = self.kept.get(slot.place).copied().flatten().unwrap_or_default();
        if slot.forgotten || !(kept.retention.keeps_history() || kept.kept_more) {
            return Ok(false);
        }
        let history = History {
            view: self.view,
            scope: &self.batch.scope,
            prefix: past::key_prefix(self.batch.prefix(slot.place), own_key),
            retention: kept.retention,
            now: self.now,
        };
        // What has expired is not kept.
        let old = slot.stored.as_ref().filter(|stored| self.is_there(stored) && kept.retention.keeps_history());
        let stored = if old.is_some() { self.load(&slot.key)? } else { None };
        let record = old.and_then(|old| stored.as_ref().map(|stored| (old.head.version, &stored[..])));
        let (used, had_others) = history.add(record, self.version, slot.record.is_none(), writes, spare)?;
        sum.used += used;
        Ok(had_others)
    }

    /// Refuses what would break the quota, unless removing what has expired makes room.
    fn check_quota(&self, writes: &mut Writes, sum: &mut Sum, spare: &mut HashSet<Bytes>) -> Result<(), StorageError> {
        let Some(quota) = self.batch.quota_bytes else { return Ok(()) };
        if self.used_after(sum)? <= quota {
            return Ok(());
        }
        let removed =
            sweep::remove(self.view, writes, &self.batch.scope, self.now, SWEEP_FOR_ROOM, spare, &mut sum.log)?;
        sum.used -= i128::from(removed.used_bytes);
        sum.keys -= i128::from(removed.key_count);
        // What this commit cannot remove as well does not count either.
        let rest = sweep::rest(self.view, &self.batch.scope, self.now, SWEEP_FOR_ROOM, spare)?;
        let used = self.used_after(sum)?.saturating_sub(rest);
        // What has expired was no part of what there was.
        let gone = removed.used_bytes.saturating_add(rest).saturating_add(sum.expired);
        let used_before = self.before.used_bytes.saturating_sub(gone);
        if used > quota && used > used_before {
            return Err(StorageError::QuotaExceeded {
                used: used_before,
                quota,
                needed: used.saturating_sub(used_before),
            });
        }
        Ok(())
    }

    fn used_after(&self, sum: &Sum) -> Result<u64, StorageError> {
        u64::try_from(i128::from(self.before.used_bytes) + sum.used).map_err(|_| out_of_range("usage"))
    }

    /// The record that each mutation was about, as the commit leaves it.
    pub(super) fn after(mut self) -> Vec<Option<Record>> {
        let mut references = vec![0_usize; self.slots.len()];
        for n in self.slot_of.iter().flatten() {
            if let Some(count) = references.get_mut(*n) {
                *count += 1;
            }
        }
        let mut record = |slot: &Option<usize>| {
            let n = (*slot)?;
            let slot = self.slots.get_mut(n)?;
            if references.get(n) == Some(&1) { slot.record.take() } else { slot.record.clone() }
        };
        self.slot_of.iter().map(&mut record).collect()
    }
}

/// By how much a commit changes what is counted.
#[derive(Debug, Default)]
struct Sum {
    used: i128,
    keys: i128,
    /// Bytes of what had expired and goes with this commit, which `used` counts too.
    expired: u64,
    collections: i128,
    default_settings: Option<bool>,
    /// What is added to the change log, where there is one.
    log: Option<Adding>,
}

fn widen(bytes: usize) -> i128 {
    i128::try_from(bytes).unwrap_or(i128::MAX)
}
