//! What becomes of a batch: one decision of the engine. It must write nothing unless every check holds, and exactly what
//! the batch says if they do: records, versions, usage, the expiry index, history and the change log together.

mod checks;
mod writing;

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::HashSet;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{past, state_in};
use crate::batch::{Batch, Cleared, Committed, Mutation, Outcome, SMALLER_BATCHES, limit, limit_else};
use crate::clock::{Clock, Timestamp};
use crate::collection::{CollectionSettings, DEFAULT_SETTINGS, Place, Retention, registry_key};
use crate::engine::{Decision, Scan, View, Writes};
use crate::error::StorageError;
use crate::keyspace::KeySpace;
use crate::limits::MAX_BATCH_BYTES;
use crate::mutation::Change;
use crate::namespace_state::NamespaceState;
use crate::record::{self, Head, Record, Version, corrupt};
use crate::waiting::Waiters;

/// Changes from which on a batch first asks whether there is anything between its keys.
const LARGE_BATCH: usize = 16;
/// Records between a batch's keys up to which that is the shorter way.
const FEW: usize = 64;

/// A batch on its way through the engine.
pub(super) struct CommitBatch {
    batch: Batch,
    cost: usize,
    clock: Arc<dyn Clock>,
    waiters: Arc<Waiters>,
    /// The mutated records as the commit leaves them.
    after: Vec<Option<Record>>,
    remains: Remains,
}

/// What is left of a batch when it is over: memory that its caller's thread has made, and lets go of in a fraction of the
/// time that another would take.
pub(super) type Remains = Arc<Mutex<(Vec<Mutation>, Vec<Option<Record>>)>>;

impl CommitBatch {
    pub(super) fn new(batch: Batch, clock: Arc<dyn Clock>, waiters: Arc<Waiters>) -> (Self, Remains) {
        let remains = Remains::default();
        let cost = batch.cost();
        (Self { cost, batch, clock, waiters, after: Vec::new(), remains: Arc::clone(&remains) }, remains)
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
        *self.remains.lock() = (std::mem::take(&mut self.batch.mutations), std::mem::take(&mut self.after));
        self.waiters.wake(&self.batch.scope);
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
    kept: Vec<Option<Kept>>,
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

/// What a place keeps of the past.
#[derive(Debug, Clone, Copy, Default)]
struct Kept {
    retention: Retention,
    /// Whether its settings were others before: then there may be what they no longer keep.
    kept_more: bool,
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
        let before = state_in(view, &batch.scope)?;
        let version = before.version.0.checked_add(1).ok_or_else(|| out_of_range("version"))?;
        Ok(Self {
            batch,
            view,
            now,
            before,
            version: Version(version),
            kept: vec![None; batch.places.len()],
            slots: Vec::with_capacity(batch.mutations.len()),
            outcomes: Vec::with_capacity(batch.mutations.len()),
            slot_of: Vec::new(),
            forget: Vec::new(),
            rewritten: Cell::new(0),
            steps: Cell::new(checks::MAX_CHECK_STEPS),
        })
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
            let what = "the size of the values that a batch rewrites in bytes";
            return Err(limit_else(what, rewritten, MAX_BATCH_BYTES, SMALLER_BATCHES));
        }
        Ok(())
    }

    fn is_there(&self, stored: &Stored) -> bool {
        !stored.head.metadata.is_expired(self.now)
    }

    fn mutate(&mut self, n: usize, mutation: &Mutation) -> Result<(), StorageError> {
        let place = mutation.name.place;
        self.place(place)?;
        if let Change::Clear { limit, whole, records, history } = mutation.change {
            let cleared = self.clear(mutation, limit, records, history)?;
            if whole && cleared.more {
                return Err(too_many_to_clear(limit));
            }
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
        let key = |n: usize| mutations.get(n).map_or("", Mutation::key);
        let in_order = in_order((0..mutations.len()).filter(keyed).collect(), key);
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
        if self.kept.get(n).is_none_or(Option::is_some) {
            return Ok(());
        }
        let place = self.batch.places.get(n).and_then(|place| place.place.as_ref());
        let name = match place {
            Some(Place::Default) if !self.before.default_settings => None,
            place => place.and_then(Place::registry_name),
        };
        let mut kept = Kept::default();
        if let Some(name) = name {
            let settings = self.load(&KeySpace::Record.key(&registry_key(&self.batch.scope, name)))?;
            match settings.map(record::decode).transpose()? {
                Some(settings) => {
                    kept.retention = CollectionSettings::decode(&settings)?.retention;
                    kept.kept_more = settings.metadata.replaced;
                }
                None if name == DEFAULT_SETTINGS => {}
                None => return Err(StorageError::NoCollection { name: name.to_owned() }),
            }
        }
        if let Some(known) = self.kept.get_mut(n) {
            *known = Some(kept);
        }
        Ok(())
    }

    fn clear(
        &mut self,
        mutation: &Mutation,
        most: usize,
        records: bool,
        history: bool,
    ) -> Result<Cleared, StorageError> {
        let (prefix, place) = (mutation.key(), mutation.name.place);
        let mut cleared = Cleared::default();
        let most_records = if records { most } else { 0 };
        let scan = Scan { limit: most_records, value_bytes: 0, ..Scan::prefix(&KeySpace::Record.key(prefix)) };
        let found = self.view.scan(&scan)?;
        cleared.more = found.more;
        // Those that the batch is about anyway, also where only an earlier change of it has made them.
        let known: HashSet<&str> = self.slots.iter().map(|slot| &*slot.name).collect();
        let names = found.entries.iter().filter_map(|(key, _)| KeySpace::Record.name(key));
        let names: Vec<String> = names.filter(|name| !known.contains(name)).map(str::to_owned).collect();
        let mut bytes = 0_usize;
        for name in names {
            // What is in its history, or goes there, is in memory at once, and everybody waits for it.
            if bytes > MAX_BATCH_BYTES {
                cleared.more = true;
                break;
            }
            self.add_slot(Cow::Owned(name), place, true)?;
            let stored = self.slots.last().and_then(|slot| slot.stored.as_ref());
            bytes = bytes.saturating_add(stored.map_or(0, |stored| stored.used_bytes));
        }
        for slot in self.slots.iter_mut().filter(|slot| records && slot.name.starts_with(prefix)) {
            cleared.removed += u64::from(slot.record.is_some());
            slot.changed |= slot.record.is_some();
            (slot.record, slot.has_value) = (None, true);
            slot.forgotten |= history;
        }
        if history {
            let left = most.saturating_sub(found.entries.len());
            let found = self.view.scan(&past::first_of(self.batch.prefix(place), left.max(1)))?;
            cleared.more |= found.more;
            self.forget.extend(found.entries.into_iter().map(|(key, _)| key));
        }
        Ok(cleared)
    }
}

/// Sorts by key, and what has the same key by number. A batch's keys often begin alike and differ in a few bytes, which
/// are compared at once.
fn in_order<'a>(mut numbers: Vec<usize>, key: impl Fn(usize) -> &'a str) -> Vec<usize> {
    if numbers.is_sorted_by_key(|n| key(*n)) {
        return numbers;
    }
    let first = numbers.first().map_or("", |n| key(*n)).as_bytes();
    let alike = numbers.iter().fold(first.len(), |alike, n| {
        let both = first.iter().zip(key(*n).as_bytes()).take(alike);
        both.take_while(|(a, b)| a == b).count()
    });
    numbers.sort_by_cached_key(|n| {
        let rest = key(*n).as_bytes().get(alike..).unwrap_or_default();
        let mut bytes = [0; 8];
        bytes.iter_mut().zip(rest).for_each(|(to, from)| *to = *from);
        Differs { first: u64::from_be_bytes(bytes), key: key(*n) }
    });
    numbers
}

/// A key by the first bytes in which it differs from others.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Differs<'a> {
    first: u64,
    key: &'a str,
}

fn too_many_to_clear(most: usize) -> StorageError {
    limit("the number of records to remove at once (at least)", most.saturating_add(1), most)
}

fn out_of_range(what: &str) -> StorageError {
    corrupt(format!("a namespace's {what} is out of range"))
}
