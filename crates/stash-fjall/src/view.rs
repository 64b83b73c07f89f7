//! What reads see: one committed state; and what a decision sees: that, under what its group has written so far. A view
//! must never show half of a group.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use fjall::{Readable, Snapshot};
use stash_core::StorageError;
use stash_core::engine::{Collect, Page, Scan, View};
use stash_group_commit::{ReadView, Transaction};

use crate::database::{Handle, Opened};
use crate::error::storage_error;
use crate::merge::{Entry, Merged};

/// One committed state.
pub(crate) struct FjallView {
    handle: Arc<Handle>,
    snapshot: Snapshot,
}

impl FjallView {
    /// The state that was committed last.
    pub(crate) fn latest(handle: &Arc<Handle>) -> Result<Self, StorageError> {
        let snapshot = handle.with(|opened| Ok(opened.database.snapshot()))?;
        Ok(Self { handle: Arc::clone(handle), snapshot })
    }

    fn look<T>(&self, key: &[u8], see: impl FnOnce(Option<&[u8]>) -> T) -> Result<T, StorageError> {
        self.handle.with(|opened| {
            let found =
                self.snapshot.get(&opened.keyspace, key).map_err(|error| storage_error("reading a record", error))?;
            Ok(see(found.as_deref()))
        })
    }

    /// The entries of a range, in the direction of the scan.
    fn range<'a>(
        &self,
        opened: &Opened,
        scan: &Scan,
    ) -> impl Iterator<Item = Result<(Entry<'a>, Entry<'a>), StorageError>> + use<'a> {
        let mut range = self.snapshot.range::<&[u8], _>(&opened.keyspace, bounds(scan));
        let (reverse, mark) = (scan.reverse, self.handle.mark);
        let entries = std::iter::from_fn(move || {
            let entry = if reverse { range.next_back() } else { range.next() }?;
            Some(entry.into_inner().map_err(|error| storage_error("scanning the store", error)))
        });
        let others = entries.filter(move |entry| !matches!(entry, Ok((key, _)) if key[..] == *mark.key()));
        others.map(|entry| entry.map(|(key, value)| (Entry::Stored(key), Entry::Stored(value))))
    }
}

impl ReadView for FjallView {
    fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        keys.iter().map(|key| self.look(key, |value| value.map(Bytes::copy_from_slice))).collect()
    }

    fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        if scan.is_empty() {
            return Ok((into.clone(), false));
        }
        self.handle.with(|opened| scan.collect_into(self.range(opened, scan), into))
    }

    fn concern(&self) -> Option<StorageError> {
        self.handle.check().err()
    }
}

/// A group that is being put together: the state before it, and over that what it has written.
pub(crate) struct Pending {
    before: FjallView,
    /// The last write of each key; `None` removes it.
    pub(crate) writes: BTreeMap<Bytes, Option<Bytes>>,
}

impl Pending {
    pub(crate) fn new(before: FjallView) -> Self {
        Self { before, writes: BTreeMap::new() }
    }
}

impl View for Pending {
    fn look(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StorageError> {
        match self.writes.get(key) {
            Some(written) => {
                see(written.as_deref());
                Ok(())
            }
            None => self.before.look(key, see),
        }
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        if scan.is_empty() {
            return Ok(Page::default());
        }
        let mut written = self.writes.range::<[u8], _>(bounds(scan));
        let reverse = scan.reverse;
        let written = std::iter::from_fn(move || if reverse { written.next_back() } else { written.next() });
        self.before.handle.with(|opened| scan.collect(Merged::new(self.before.range(opened, scan), written, reverse)))
    }
}

impl Transaction for Pending {
    fn apply(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), StorageError> {
        const MAX_KEY_BYTES: usize = u16::MAX as usize;
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(StorageError::InvalidKey { reason: format!("it has {} bytes in the store", key.len()) });
        }
        self.writes.insert(key, value);
        Ok(())
    }
}

fn bounds(scan: &Scan) -> (Bound<&[u8]>, Bound<&[u8]>) {
    (scan.start.as_ref().map(|key| &key[..]), scan.end.as_ref().map(|key| &key[..]))
}
