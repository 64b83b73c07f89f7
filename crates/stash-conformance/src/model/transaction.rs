//! Transactions as the model has them: a copy of everything, what was read of it, and what was written.

use std::collections::BTreeMap;

use stash_core::{Change, Isolation, ScanRequest, StorageError, Timestamp, Version};

use super::state::{Changes, Known, Model, PLACES, changed, fits, valid};

/// A list that was read: where, what was asked, and which records were there between its beginning and its end.
struct Listed {
    place: usize,
    request: ScanRequest,
    until: Option<String>,
    seen: Vec<(String, Version)>,
}

pub(super) struct Transaction {
    isolation: Isolation,
    snapshot: Model,
    /// What was read first of each key.
    reads: BTreeMap<(usize, String), Option<Version>>,
    lists: Vec<Listed>,
    /// What changes were worked out from: a snapshot's checks hold it as it was then.
    changed: BTreeMap<(usize, String), Option<Version>>,
    /// When the first of what was read expires.
    fresh_until: Option<Timestamp>,
    pub(super) writes: Changes,
    /// Whether it cannot be said how far its lists have looked.
    pub(super) uncertain: bool,
    own: BTreeMap<(usize, String), Option<Known>>,
}

impl Transaction {
    pub(super) fn begin(isolation: Isolation, present: &Model) -> Self {
        let snapshot = present.clone();
        Self {
            isolation,
            snapshot,
            reads: BTreeMap::new(),
            lists: Vec::new(),
            changed: BTreeMap::new(),
            fresh_until: None,
            writes: Vec::new(),
            uncertain: false,
            own: BTreeMap::new(),
        }
    }

    /// The state that reads go to.
    fn base(&self, present: &Model, now: Timestamp) -> Model {
        let mut base = if self.isolation == Isolation::ReadCommitted { present } else { &self.snapshot }.clone();
        base.expire(now);
        base
    }

    /// What its own writes have left of a key, where it has written it.
    fn own(&self, place: usize, key: &str, now: Timestamp) -> (bool, Option<Known>) {
        let own = self.own.get(&(place, key.to_owned()));
        let there = |record: &Known| record.expires.is_none_or(|expires| expires > now);
        (own.is_some(), own.cloned().flatten().filter(there))
    }

    pub(super) fn read(
        &mut self,
        present: &Model,
        place: usize,
        key: &str,
        now: Timestamp,
    ) -> Result<Option<Known>, StorageError> {
        valid(key)?;
        if let (true, own) = self.own(place, key, now) {
            return Ok(own);
        }
        let found = self.base(present, now).places[place].get(key).cloned();
        let version = found.as_ref().map(|record| record.version);
        self.reads.entry((place, key.to_owned())).or_insert(version);
        self.note_expiry(found.as_ref().and_then(|record| record.expires));
        Ok(found)
    }

    fn note_expiry(&mut self, expires: Option<Timestamp>) {
        self.fresh_until = [self.fresh_until, expires].into_iter().flatten().min();
    }

    /// Whether something that it has read has expired: one that has only read may have seen what never was.
    pub(super) fn is_stale(&self, now: Timestamp) -> bool {
        self.isolation != Isolation::ReadCommitted && self.fresh_until.is_some_and(|until| until <= now)
    }

    /// The keys that a list of so many gives, and whether it goes on.
    pub(super) fn list(
        &mut self,
        present: &Model,
        place: usize,
        request: &ScanRequest,
        now: Timestamp,
    ) -> (Vec<String>, bool) {
        let base = self.base(present, now);
        let mut all: Vec<(String, Version)> = base.places[place]
            .iter()
            .filter(|(key, _)| request.range.contains(key))
            .map(|(key, record)| (key.clone(), record.version))
            .collect();
        if request.reverse {
            all.reverse();
        }
        let ended = all.len() <= request.limit;
        all.truncate(request.limit);
        let until = (!ended).then(|| all.last().expect("a limit is not 0").0.clone());
        for (key, _) in &all {
            self.note_expiry(base.places[place].get(key).and_then(|record| record.expires));
        }
        let mut keys: Vec<String> = all.iter().map(|(key, _)| key.clone()).collect();
        for ((_, key), _) in self.own.iter().filter(|((at, key), _)| *at == place && request.range.contains(key)) {
            let there = self.own(place, key, now).1.is_some();
            keys.retain(|other| other != key);
            if there && within(key, until.as_deref(), request.reverse) {
                keys.push(key.clone());
            }
        }
        keys.sort();
        if request.reverse {
            keys.reverse();
        }
        self.lists.push(Listed { place, request: request.clone(), until, seen: all });
        let more = !ended || keys.len() > request.limit;
        keys.truncate(request.limit);
        (keys, more)
    }

    pub(super) fn change(
        &mut self,
        present: &Model,
        place: usize,
        key: &str,
        change: Change,
        max_value: usize,
        now: Timestamp,
    ) -> Result<Option<i64>, StorageError> {
        valid(key)?;
        if let Change::Set { value, .. } | Change::Append(value) = &change {
            fits(value.len(), max_value)?;
        }
        let looks = match &change {
            Change::Set { options, .. } => {
                options.as_ref().is_some_and(|options| options.expiry == stash_core::Expiry::Keep)
            }
            Change::Delete => false,
            _ => true,
        };
        let first = looks && !self.own.contains_key(&(place, key.to_owned()));
        let before = if looks { self.read(present, place, key, now)? } else { None };
        if first {
            self.changed.insert((place, key.to_owned()), before.as_ref().map(|record| record.version));
        }
        let (record, told) = changed(&change, key, before.as_ref(), now, Version(0), max_value)?;
        self.own.insert((place, key.to_owned()), record);
        self.writes.push((place, key.to_owned(), change));
        Ok(told)
    }

    /// Whether what the others have done since is in its way.
    pub(super) fn conflicts(&self, present: &Model, now: Timestamp) -> bool {
        let version =
            |model: &Model, place: usize, key: &str| model.places[place].get(key).map(|record| record.version);
        match self.isolation {
            Isolation::ReadCommitted => false,
            Isolation::Snapshot => {
                let snapshot = self.base(present, now);
                let moved = |at: &(usize, String)| {
                    let then = self.changed.get(at).copied().unwrap_or_else(|| version(&snapshot, at.0, &at.1));
                    then != version(present, at.0, &at.1)
                };
                self.own.keys().any(moved)
            }
            Isolation::Serializable => {
                self.reads.iter().any(|((place, key), seen)| version(present, *place, key) != *seen)
                    || self.lists.iter().any(|list| list.has_changed(present))
            }
        }
    }
}

impl Listed {
    fn has_changed(&self, present: &Model) -> bool {
        let inside =
            |key: &str| self.request.range.contains(key) && within(key, self.until.as_deref(), self.request.reverse);
        let mut now: Vec<_> = present.places[self.place]
            .iter()
            .filter(|(key, _)| inside(key))
            .map(|(key, record)| (key.clone(), record.version))
            .collect();
        if self.request.reverse {
            now.reverse();
        }
        now != self.seen
    }
}

fn within(key: &str, until: Option<&str>, reverse: bool) -> bool {
    until.is_none_or(|until| if reverse { key >= until } else { key <= until })
}

const _: () = assert!(PLACES.len() > 1, "transactions of several collections");
