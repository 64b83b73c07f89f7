//! What becomes of a batch: one decision of the engine. It must write nothing unless every check holds, and exactly what
//! the batch says if they do: records, versions, usage, the expiry index and history together.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use super::page::{CHUNK, go_on, scan_of};
use super::{due, past, sweep};
use crate::batch::{Batch, Cleared, Committed, Condition, Mutation, Outcome, RangeCheck, limit};
use crate::clock::{Clock, Timestamp};
use crate::collection::{CollectionSettings, DEFAULT_SETTINGS, Place, Retention, registry_key};
use crate::engine::{Decision, Scan, View, Writes};
use crate::error::StorageError;
use crate::keyspace::KeySpace;
use crate::limits::{MAX_BATCH_BYTES, MAX_COLLECTIONS};
use crate::mutation::Change;
use crate::namespace_state::NamespaceState;
use crate::record::{self, Head, Record, Version, corrupt};

/// Steps that a commit may take to check the ranges that a transaction has read; a record takes [`RECORD_STEPS`], and
/// matching a pattern as many as it says. Everybody's commits wait meanwhile, for some 50 ms at most.
const MAX_CHECK_STEPS: usize = 32 * 1024 * 1024;
const RECORD_STEPS: usize = 64;

/// Records that a commit which would break its quota removes first, where they have expired.
const SWEEP_FOR_ROOM: usize = 10_000;

/// Changes from which on a batch first asks whether there is anything between its keys.
const LARGE_BATCH: usize = 16;
/// Records between a batch's keys up to which that is the shorter way.
const FEW: usize = 64;

/// A batch on its way through the engine.
pub(super) struct CommitBatch {
    batch: Batch,
    cost: usize,
    clock: Arc<dyn Clock>,
    /// The mutated records as the commit leaves them.
    after: Vec<Option<Record>>,
}

impl CommitBatch {
    pub(super) fn new(batch: Batch, clock: Arc<dyn Clock>) -> Self {
        Self { cost: batch.bytes(), batch, clock, after: Vec::new() }
    }
}

impl Decision for CommitBatch {
    type Output = Committed;

    fn queue(&self) -> &str {
        &self.batch.scope
    }

    fn cost(&self) -> usize {
        self.cost
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<Committed, StorageError> {
        let mut work = Work::new(&self.batch, view, self.clock.wall())?;
        work.check()?;
        work.load_slots()?;
        for (n, mutation) in self.batch.mutations.iter().enumerate() {
            work.mutate(n, mutation)?;
        }
        let committed = work.write(writes)?;
        self.after = work.after();
        Ok(committed)
    }

    fn committed(&mut self, committed: &Committed) {
        self.batch.settle(Some(committed), &self.after);
    }
}

/// A batch while it is being decided.
struct Work<'a> {
    batch: &'a Batch,
    view: &'a dyn View,
    now: Timestamp,
    before: NamespaceState,
    version: Version,
    /// What the batch's places keep of the past, for those that were asked.
    retention: Vec<Option<Retention>>,
    slots: Vec<Slot<'a>>,
    /// Which slot each mutation is about.
    slot_of: Vec<Option<usize>>,
    outcomes: Vec<Outcome>,
    /// Entries of the history that are removed with a collection.
    forget: Vec<Bytes>,
    /// Bytes of values that were read in order to change them, and of what came of them.
    rewritten: Cell<usize>,
    /// Steps that checking ranges may still take.
    steps: Cell<usize>,
}

/// One record that the batch changes.
struct Slot<'a> {
    name: Cow<'a, str>,
    place: usize,
    key: Bytes,
    /// What is stored now, also where it has expired.
    stored: Option<Stored>,
    /// What there is after the mutations so far.
    record: Option<Record>,
    /// Whether `record` has its value, or only what is known without it.
    has_value: bool,
    changed: bool,
    /// Whether nothing of what it was is to be kept.
    forgotten: bool,
}

struct Stored {
    head: Head,
    used_bytes: usize,
}

impl<'a> Work<'a> {
    fn new(batch: &'a Batch, view: &'a dyn View, now: Timestamp) -> Result<Self, StorageError> {
        let mut state = Ok(None);
        view.look(&KeySpace::Namespace.key(&batch.scope), &mut |stored| {
            state = stored.map(NamespaceState::decode).transpose();
        })?;
        let before = state?.unwrap_or_default();
        let version = before.version.0.checked_add(1).ok_or_else(|| out_of_range("version"))?;
        Ok(Self {
            batch,
            view,
            now,
            before,
            version: Version(version),
            retention: vec![None; batch.places.len()],
            slots: Vec::with_capacity(batch.mutations.len()),
            outcomes: Vec::with_capacity(batch.mutations.len()),
            slot_of: Vec::new(),
            forget: Vec::new(),
            rewritten: Cell::new(0),
            steps: Cell::new(MAX_CHECK_STEPS),
        })
    }

    fn check(&self) -> Result<(), StorageError> {
        // The transaction has read the present state: nothing of it can have changed, unless it has expired since.
        let fresh = self.batch.since.is_some_and(|since| {
            since.version == self.before.version && since.fresh_until.is_none_or(|until| until > self.now)
        });
        for check in &self.batch.checks {
            let condition = check.condition();
            if fresh && matches!(condition, Condition::Unchanged(_)) {
                continue;
            }
            let current = self.look(&KeySpace::Record.key(check.key()))?;
            let current = current.filter(|stored| self.is_there(stored)).map(|stored| stored.head.version);
            let key = || check.key().to_owned();
            match condition {
                Condition::Absent if current.is_some() => return Err(StorageError::AlreadyExists { key: key() }),
                Condition::Present if current.is_none() => return Err(StorageError::NotFound { key: key() }),
                Condition::Version(version) if current != Some(version) => {
                    return Err(StorageError::Conflict { key: key(), expected: Some(version), current });
                }
                Condition::Unchanged(version) if current != version => {
                    return Err(StorageError::TransactionConflict { key: Some(key()), current });
                }
                _ => {}
            }
        }
        self.batch.ranges.iter().filter(|_| !fresh).try_for_each(|range| self.check_range(range))
    }

    /// That a range holds the same records: as many, and none that is newer. What is there now and is not newer was there
    /// then, so as many means the same.
    fn check_range(&self, check: &RangeCheck) -> Result<(), StorageError> {
        let conflict = || StorageError::TransactionConflict { key: None, current: None };
        let prefix = self.batch.prefix(check.place);
        let Some(mut scan) = scan_of(&check.request.enter(prefix))? else { return Ok(()) };
        scan.limit = CHUNK;
        if let Some(until) = &check.until {
            let until = Bound::Included(KeySpace::Record.key(&[prefix, until].concat()));
            *(if scan.reverse { &mut scan.start } else { &mut scan.end }) = until;
        }
        (scan.max_bytes, scan.value_bytes) = (usize::MAX, record::HEAD_BYTES);
        let pattern = check.request.range.pattern.as_ref();
        let mut count = 0;
        loop {
            let found = self.view.scan(&scan)?;
            for (key, stored) in &found.entries {
                let own = key.get(1 + prefix.len()..).and_then(|own| std::str::from_utf8(own).ok()).unwrap_or_default();
                let matching = pattern.map_or(0, |pattern| pattern.steps() * own.len());
                let left = self.steps.get().checked_sub(RECORD_STEPS + matching).ok_or_else(|| {
                    let most = MAX_CHECK_STEPS / RECORD_STEPS;
                    limit("the number of records in the ranges that a transaction has read", most + 1, most)
                })?;
                self.steps.set(left);
                let head = Head::decode(stored)?;
                if head.metadata.is_expired(self.now) || pattern.is_some_and(|pattern| !pattern.matches(own)) {
                    continue;
                }
                count += 1;
                if head.version > check.since || count > check.count {
                    return Err(conflict());
                }
            }
            match found.entries.last() {
                Some((key, _)) if found.more => go_on(&mut scan, key.clone()),
                _ => break,
            }
        }
        if count == check.count { Ok(()) } else { Err(conflict()) }
    }

    fn look(&self, key: &[u8]) -> Result<Option<Stored>, StorageError> {
        let mut found = Ok(None);
        self.view.look(key, &mut |stored| {
            found = stored
                .map(|stored| {
                    let head = Head::decode(stored)?;
                    Ok(Stored { used_bytes: head.used_bytes(stored)?, head })
                })
                .transpose();
        })?;
        found
    }

    /// The whole record in an engine key that is known to have one.
    fn load(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        let mut found = Ok(None);
        self.view.look(key, &mut |stored| {
            // Before it is copied: the values of a large batch's records may be more than memory holds.
            found =
                stored.map(|stored| self.rewrite(stored.len()).map(|()| Bytes::copy_from_slice(stored))).transpose();
        })?;
        found
    }

    /// Counts bytes that the batch takes in hand although it does not carry them.
    fn rewrite(&self, bytes: usize) -> Result<(), StorageError> {
        let rewritten = self.rewritten.get().saturating_add(bytes);
        self.rewritten.set(rewritten);
        if self.batch.mutations.len() > 1 && rewritten > MAX_BATCH_BYTES {
            return Err(limit("the size of the values that a batch rewrites in bytes", rewritten, MAX_BATCH_BYTES));
        }
        Ok(())
    }

    fn is_there(&self, stored: &Stored) -> bool {
        !stored.head.metadata.is_expired(self.now)
    }

    fn mutate(&mut self, n: usize, mutation: &Mutation) -> Result<(), StorageError> {
        let place = mutation.name.place;
        self.place(place)?;
        if let Change::Clear { limit, whole, history } = mutation.change {
            let cleared = self.clear(mutation.key(), place, limit, whole, history)?;
            self.outcomes.push(Outcome { existed: cleared.removed > 0, number: None, cleared: Some(cleared) });
            return Ok(());
        }
        let lost = || corrupt("a batch has lost a record".to_owned());
        let n = self.slot_of.get(n).copied().flatten().ok_or_else(lost)?;
        let (now, version, max) = (self.now, self.version, self.batch.max_value_bytes);
        let slot = self.slots.get(n).ok_or_else(lost)?;
        let loaded = if mutation.change.needs_value() && !slot.has_value && slot.record.is_some() {
            self.load(&slot.key)?.map(record::decode).transpose()?
        } else {
            None
        };
        let slot = self.slots.get_mut(n).ok_or_else(lost)?;
        if loaded.is_some() {
            slot.record = loaded;
        }
        slot.has_value = true;
        let existed = slot.record.is_some();
        let old_bytes = slot.record.as_ref().map_or(0, |record| record.value.len());
        if !self.batch.overwrite
            && let Change::Set { .. } = mutation.change
            && slot.stored.as_ref().is_some_and(|stored| !stored.head.metadata.is_expired(now))
        {
            return Err(StorageError::AlreadyExists { key: slot.name.to_string() });
        }
        let applied = mutation.change.apply(&slot.name, slot.record.as_ref(), now, version, max)?;
        slot.changed |= existed || applied.record.is_some();
        slot.record = applied.record;
        if let Change::Append(_) = mutation.change {
            self.rewrite(old_bytes)?;
        }
        self.outcomes.push(Outcome { existed, number: applied.number, cleared: None });
        Ok(())
    }

    /// Adds the slot of a record, read from the view unless it is known to have none.
    fn add_slot(&mut self, name: Cow<'a, str>, place: usize, look: bool) -> Result<(), StorageError> {
        let key = KeySpace::Record.key(&name);
        let stored = if look { self.look(&key)? } else { None };
        let there = stored.as_ref().filter(|stored| self.is_there(stored));
        let record = there.map(|stored| Record {
            version: stored.head.version,
            metadata: stored.head.metadata.clone(),
            ..Record::default()
        });
        self.slots.push(Slot { name, place, key, stored, record, has_value: false, changed: false, forgotten: false });
        Ok(())
    }

    /// Reads what is stored under the keys that the batch changes: in their order, because neighbours share the engine's
    /// pages, and each key once.
    fn load_slots(&mut self) -> Result<(), StorageError> {
        let mutations = &self.batch.mutations;
        self.slot_of = vec![None; mutations.len()];
        let keyed = |n: &usize| mutations.get(*n).is_some_and(|m| !matches!(m.change, Change::Clear { .. }));
        let mut in_order: Vec<usize> = (0..mutations.len()).filter(keyed).collect();
        let key = |n: usize| mutations.get(n).map_or("", Mutation::key);
        in_order.sort_by(|a, b| key(*a).cmp(key(*b)));
        let known = match (in_order.first(), in_order.last()) {
            (Some(first), Some(last)) if in_order.len() >= LARGE_BATCH => {
                self.stored_between(key(*first), key(*last))?
            }
            _ => None,
        };
        for n in in_order {
            let Some(mutation) = mutations.get(n) else { continue };
            let name = mutation.key();
            if self.slots.last().is_none_or(|slot| slot.name != name) {
                let absent = known.as_ref().is_some_and(|known| !known.contains(name.as_bytes()));
                self.add_slot(Cow::Borrowed(name), mutation.name.place, !absent)?;
            }
            if let Some(slot) = self.slot_of.get_mut(n) {
                *slot = self.slots.len().checked_sub(1);
            }
        }
        Ok(())
    }

    /// The names of the records between two keys, if there are few: a batch of new keys then needs no reads of its own.
    fn stored_between(&self, first: &str, last: &str) -> Result<Option<HashSet<Bytes>>, StorageError> {
        let key = |name: &str| KeySpace::Record.key(name);
        let scan = Scan {
            start: Bound::Included(key(first)),
            end: Bound::Included(key(last)),
            limit: FEW,
            value_bytes: 0,
            ..Scan::prefix(b"")
        };
        let found = self.view.scan(&scan)?;
        Ok((!found.more).then(|| found.entries.into_iter().map(|(key, _)| key.slice(1..)).collect()))
    }

    /// Makes sure that a place may be written to, and knows what it keeps of the past.
    fn place(&mut self, n: usize) -> Result<(), StorageError> {
        if self.retention.get(n).is_none_or(Option::is_some) {
            return Ok(());
        }
        let place = self.batch.places.get(n).and_then(|place| place.place.as_ref());
        let name = match place {
            Some(Place::Default) if !self.before.default_settings => None,
            place => place.and_then(Place::registry_name),
        };
        let mut retention = Retention::default();
        if let Some(name) = name {
            let settings = self.load(&KeySpace::Record.key(&registry_key(&self.batch.scope, name)))?;
            match settings.map(record::decode).transpose()? {
                Some(settings) => retention = CollectionSettings::decode(&settings)?.retention,
                None if name == DEFAULT_SETTINGS => {}
                None => return Err(StorageError::NoCollection { name: name.to_owned() }),
            }
        }
        if let Some(known) = self.retention.get_mut(n) {
            *known = Some(retention);
        }
        Ok(())
    }

    fn clear(
        &mut self,
        prefix: &str,
        place: usize,
        most: usize,
        whole: bool,
        history: bool,
    ) -> Result<Cleared, StorageError> {
        let mut cleared = Cleared::default();
        let scan = Scan { limit: most, value_bytes: 0, ..Scan::prefix(&KeySpace::Record.key(prefix)) };
        let found = self.view.scan(&scan)?;
        cleared.more = found.more;
        // Those that the batch is about anyway, also where only an earlier change of it has made them.
        let known: HashSet<&str> = self.slots.iter().map(|slot| &*slot.name).collect();
        let names = found.entries.iter().filter_map(|(key, _)| KeySpace::Record.name(key));
        let names: Vec<String> = names.filter(|name| !known.contains(name)).map(str::to_owned).collect();
        for name in names {
            self.add_slot(Cow::Owned(name), place, true)?;
        }
        for slot in self.slots.iter_mut().filter(|slot| slot.name.starts_with(prefix)) {
            cleared.removed += u64::from(slot.record.is_some());
            slot.changed |= slot.record.is_some();
            (slot.record, slot.has_value) = (None, true);
            slot.forgotten |= history;
        }
        if history {
            let left = most.saturating_sub(found.entries.len());
            let found = self.view.scan(&past::first_of(prefix, left.max(1)))?;
            cleared.more |= found.more;
            self.forget.extend(found.entries.into_iter().map(|(key, _)| key));
        }
        if whole && cleared.more {
            return Err(limit("the number of records to remove at once (at least)", most + 1, most));
        }
        Ok(cleared)
    }

    /// Writes what has become of everything.
    fn write(&mut self, writes: &mut Writes) -> Result<Committed, StorageError> {
        let mut sum = Sum::default();
        let mut changed = !self.forget.is_empty();
        let mut spare = HashSet::new();
        let mut slots = std::mem::take(&mut self.slots);
        for slot in &mut slots {
            // What comes and goes within a batch was never there.
            let was_there = slot.stored.as_ref().is_some_and(|stored| self.is_there(stored));
            changed |= slot.changed && (was_there || slot.record.is_some());
            self.write_slot(slot, writes, &mut sum, &mut spare)?;
        }
        self.slots = slots;
        for key in &self.forget {
            sum.used -= past::used_bytes(self.view, key)?.map_or(0, i128::from);
            writes.remove(key.clone());
            spare.insert(key.clone());
        }
        let outcomes = std::mem::take(&mut self.outcomes);
        if writes.is_empty() {
            return Ok(Committed { version: self.before.version, outcomes });
        }
        self.check_quota(writes, &mut sum, &mut spare)?;
        let used_bytes = self.used_after(&sum)?;
        let state = NamespaceState {
            version: if changed { self.version } else { self.before.version },
            used_bytes,
            key_count: u64::try_from(i128::from(self.before.key_count) + sum.keys)
                .map_err(|_| out_of_range("number of keys"))?,
            collections: u32::try_from(i128::from(self.before.collections) + sum.collections)
                .map_err(|_| out_of_range("number of collections"))?,
            default_settings: sum.default_settings.unwrap_or(self.before.default_settings),
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
        let retention = self.retention.get(slot.place).copied().flatten().unwrap_or_default();
        if let Some(record) = &mut slot.record {
            record.metadata.replaced = slot.stored.is_some();
        }
        if retention.keeps_history() && !slot.forgotten {
            let had_others = self.write_past(slot, own_key, retention, writes, sum, spare)?;
            if let Some(record) = &mut slot.record {
                record.metadata.replaced |= had_others;
            }
        }
        let record = slot.record.as_ref();
        let expires = |head: &Head| head.metadata.expires;
        let old = slot.stored.as_ref().and_then(|stored| expires(&stored.head));
        let new = record.and_then(|record| record.metadata.expires);
        if let Some(old) = old.filter(|old| Some(*old) != new) {
            writes.remove(due::record_entry(scope, old, &slot.name));
        }
        if let (Some(new), Some(record)) = (new, record) {
            let used = own_key.len() + record.used_bytes();
            writes.put(due::record_entry(scope, new, &slot.name), due::entry_value(used));
        }
        if old.is_some() {
            spare.insert(slot.key.clone());
        }
        match (place, own_key) {
            (Some(Place::Registry), DEFAULT_SETTINGS) => sum.default_settings = Some(record.is_some()),
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
            Some(record) => writes.put(slot.key.clone(), record::encode(record)),
            None if slot.stored.is_some() => writes.remove(slot.key.clone()),
            None => {}
        }
        Ok(())
    }

    /// Puts what the slot's record was into its history. Gives whether there was anything in it.
    fn write_past(
        &self,
        slot: &Slot<'_>,
        own_key: &str,
        retention: Retention,
        writes: &mut Writes,
        sum: &mut Sum,
        spare: &mut HashSet<Bytes>,
    ) -> Result<bool, StorageError> {
        let prefix = past::key_prefix(self.batch.prefix(slot.place), own_key);
        let mut added = 0;
        let mut add = |version: Version, entry: Bytes, used: usize| {
            let key = past::entry_key(&prefix, version);
            if let Some(age) = retention.age {
                writes.put(due::history_entry(&self.batch.scope, self.now.after(age), &key), due::entry_value(0));
            }
            writes.put(key, entry);
            sum.used += widen(own_key.len()) + widen(used);
            added += 1;
        };
        let was_there = slot.stored.as_ref().is_some_and(|stored| self.is_there(stored));
        match &slot.stored {
            Some(old) if was_there => {
                if let Some(stored) = self.load(&slot.key)? {
                    add(old.head.version, past::replaced(&stored, self.now), old.used_bytes);
                }
            }
            // What has expired is not kept, but that it hid what was there before.
            Some(old) => add(old.head.version, past::deleted(old.head.metadata.expires.unwrap_or(self.now)), 0),
            None => {}
        }
        if slot.record.is_none() && was_there {
            add(self.version, past::deleted(self.now), 0);
        }
        if let Some(versions) = retention.versions {
            let keep =
                usize::try_from(versions).unwrap_or(usize::MAX).saturating_sub(usize::from(slot.record.is_some()));
            if past::forgets_now(keep, self.version) {
                for key in past::beyond(self.view, &prefix, keep.saturating_sub(added))? {
                    sum.used -= past::used_bytes(self.view, &key)?.map_or(0, i128::from);
                    writes.remove(key.clone());
                    spare.insert(key);
                }
            }
        }
        past::has_any(self.view, &prefix)
    }

    /// Refuses what would break the quota, unless removing what has expired makes room.
    fn check_quota(&self, writes: &mut Writes, sum: &mut Sum, spare: &mut HashSet<Bytes>) -> Result<(), StorageError> {
        let Some(quota) = self.batch.quota_bytes else { return Ok(()) };
        if self.used_after(sum)? <= quota {
            return Ok(());
        }
        let removed = sweep::remove(self.view, writes, &self.batch.scope, self.now, SWEEP_FOR_ROOM, spare)?;
        sum.used -= i128::from(removed.used_bytes);
        sum.keys -= i128::from(removed.key_count);
        let used = self.used_after(sum)?;
        // What has expired was no part of what there was.
        let used_before = self.before.used_bytes.saturating_sub(removed.used_bytes).saturating_sub(sum.expired);
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
    fn after(mut self) -> Vec<Option<Record>> {
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
}

fn out_of_range(what: &str) -> StorageError {
    corrupt(format!("a namespace's {what} is out of range"))
}

fn widen(bytes: usize) -> i128 {
    i128::try_from(bytes).unwrap_or(i128::MAX)
}
