//! What reads see: one committed state; and what a decision sees: that, with what its group has written so far. A view
//! must never show half of a group.

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Collect, Page, Scan, View};
use stash_group_commit::{ReadView, Transaction};

use crate::batch::Changes;
use crate::entry::{Entries, Entry};
use crate::shared::Shared;

/// One state.
#[derive(Debug)]
pub(crate) struct FilesView {
    shared: Arc<Shared>,
    pub(crate) entries: Entries,
}

impl FilesView {
    pub(crate) fn new(shared: Arc<Shared>, entries: Entries) -> Self {
        Self { shared, entries }
    }

    /// The entries of a range, in the direction of the scan, with as much of their values as is wanted.
    fn range(&self, scan: &Scan) -> impl Iterator<Item = Result<(Key<'_>, Value<'_>), StorageError>> {
        let bounds = (scan.start.as_ref().map(|key| &key[..]), scan.end.as_ref().map(|key| &key[..]));
        let mut range = self.entries.range::<(Bound<&[u8]>, Bound<&[u8]>), [u8]>(bounds);
        let (reverse, wanted) = (scan.reverse, scan.value_bytes);
        let entries = std::iter::from_fn(move || if reverse { range.next_back() } else { range.next() });
        entries.map(move |entry| {
            let value =
                if entry.shows(wanted) { Value::Head(entry) } else { Value::Whole(entry.value(&self.shared.root)?) };
            Ok((Key(entry), value))
        })
    }
}

struct Key<'a>(&'a Entry);

impl AsRef<[u8]> for Key<'_> {
    fn as_ref(&self) -> &[u8] {
        self.0.key()
    }
}

enum Value<'a> {
    Head(&'a Entry),
    Whole(Bytes),
}

impl AsRef<[u8]> for Value<'_> {
    fn as_ref(&self) -> &[u8] {
        match self {
            Self::Head(entry) => entry.head(),
            Self::Whole(value) => value,
        }
    }
}

impl ReadView for FilesView {
    fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.shared.check_open()?;
        let value = |entry: &Entry| entry.value(&self.shared.root);
        keys.iter().map(|key| self.entries.get(*key).map(value).transpose()).collect()
    }

    fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        self.shared.check_open()?;
        if scan.is_empty() {
            return Ok((into.clone(), false));
        }
        scan.collect_into(self.range(scan), into)
    }

    fn concern(&self) -> Option<StorageError> {
        self.shared.failed()
    }
}

/// A group that is being put together.
#[derive(Debug)]
pub(crate) struct Pending {
    /// The state with what was written.
    pub(crate) view: FilesView,
    pub(crate) changes: Changes,
}

impl Pending {
    pub(crate) fn new(before: FilesView) -> Self {
        Self { view: before, changes: Changes::default() }
    }
}

impl View for Pending {
    fn look(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StorageError> {
        match self.view.entries.get(key) {
            Some(entry) => entry.see(&self.view.shared.root, usize::MAX, |value| see(Some(value))),
            None => {
                see(None);
                Ok(())
            }
        }
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        let (page, more) = self.view.scan_into(scan, &scan.page())?;
        Ok(page.finish(more))
    }
}

impl Transaction for Pending {
    fn apply(&mut self, key: Bytes, value: Option<Bytes>) -> Result<(), StorageError> {
        const MAX_KEY_BYTES: usize = u16::MAX as usize;
        if key.is_empty() || key.len() > MAX_KEY_BYTES {
            return Err(StorageError::InvalidKey { reason: format!("it has {} bytes in the store", key.len()) });
        }
        self.changes.write(&mut self.view.entries, key, value);
        Ok(())
    }
}
