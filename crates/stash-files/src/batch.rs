//! What commits have changed and files do not hold yet. A batch is all that one journal has, each key once, as the last
//! commit left it.

use std::collections::BTreeMap;
use std::collections::btree_map::Entry as Slot;
use std::time::Instant;

use bytes::Bytes;

use crate::entry::{Entries, Entry, WeakEntry};

/// Keys that were changed.
#[derive(Debug, Default)]
pub(crate) struct Changes(BTreeMap<Bytes, Change>);

/// What became of a key.
#[derive(Debug)]
pub(crate) struct Change {
    /// Its value now; `None` where it is gone.
    pub(crate) new: Option<Entry>,
    /// What it had before all changes of the batch.
    pub(crate) old: Option<Old>,
}

/// A value that was replaced.
#[derive(Debug)]
pub(crate) struct Old {
    /// As long as somebody can read it.
    pub(crate) entry: WeakEntry,
    /// The length of its file, if it has one.
    pub(crate) file_bytes: Option<u64>,
    /// What it takes in the index.
    pub(crate) index_bytes: u64,
}

impl Changes {
    /// Sets a key, or removes it, among the entries too.
    pub(crate) fn write(&mut self, entries: &mut Entries, key: Bytes, value: Option<Bytes>) {
        let (new, old) = match value {
            Some(value) => {
                let new = Entry::new(&key, value);
                (Some(new.clone()), entries.insert(new))
            }
            None => (None, entries.remove(&key[..])),
        };
        match self.0.entry(key) {
            Slot::Occupied(mut change) => change.get_mut().new = new,
            // Who removes what is not there changes nothing.
            Slot::Vacant(_) if new.is_none() && old.is_none() => {}
            Slot::Vacant(change) => {
                let old = old.map(|old| Old {
                    entry: old.downgrade(),
                    file_bytes: old.has_file().then(|| old.rest().bytes),
                    index_bytes: old.index_bytes(),
                });
                change.insert(Change { new, old });
            }
        }
    }

    /// Adds what was changed after these.
    pub(crate) fn merge(&mut self, later: Self) {
        for (key, change) in later.0 {
            match self.0.entry(key) {
                Slot::Occupied(mut before) => before.get_mut().new = change.new,
                Slot::Vacant(none) => drop(none.insert(change)),
            }
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// In the order of keys.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&Bytes, &Change)> {
        self.0.iter()
    }
}

/// All that one journal has.
#[derive(Debug)]
pub(crate) struct Batch {
    pub(crate) changes: Changes,
    /// Up to where the journals tell what it is.
    pub(crate) upto: Upto,
    /// About how much memory it keeps.
    pub(crate) bytes: usize,
    /// When the first of its commits was.
    pub(crate) since: Option<Instant>,
    /// Everything in the store after it; only known when no more is added to it.
    pub(crate) entries: Entries,
    /// The length of its journal; the same.
    pub(crate) journal_bytes: u64,
}

/// A place in the row of all commits: the end of one journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Upto {
    /// The journal's number.
    pub(crate) journal: u64,
    /// The number of the last commit.
    pub(crate) commit: u64,
    /// The checksum of its frame.
    pub(crate) checksum: u64,
}

impl Batch {
    /// Nothing yet, in the journal after `before`.
    pub(crate) fn after(before: Upto) -> Self {
        Self {
            changes: Changes::default(),
            upto: Upto { journal: before.journal + 1, ..before },
            bytes: 0,
            since: None,
            entries: Entries::default(),
            journal_bytes: 0,
        }
    }

    /// Adds a commit.
    pub(crate) fn add(&mut self, changes: Changes, frame_bytes: usize, commit: u64, checksum: u64) {
        self.changes.merge(changes);
        self.bytes += frame_bytes;
        self.since.get_or_insert_with(Instant::now);
        (self.upto.commit, self.upto.checksum) = (commit, checksum);
    }
}
