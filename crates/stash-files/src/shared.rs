//! What the writer, the thread that writes files and the readers have in common: the last commit, the journal, and what is
//! in no file yet. A commit must be in the journal, and the journal on the disk, before anybody sees it.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use stash_core::StorageError;
use stash_group_commit::Failure;

use crate::batch::{Batch, Changes, Upto};
use crate::entry::{Entries, Entry, Place};
use crate::log::{Items, Log, Mark};
use crate::open::FilesOptions;
use crate::root::Root;

/// A journal is ended when it has so many bytes.
pub(crate) const JOURNAL_BYTES: usize = 8 << 20;

/// A store while it is open.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) root: Root,
    pub(crate) mark: Mark,
    pub(crate) options: FilesOptions,
    state: Mutex<State>,
    changed: Condvar,
    /// Why files cannot be written at present.
    failed: Mutex<Option<StorageError>>,
    closed: AtomicBool,
    /// About what files, index and old journals take on the disk.
    pub(crate) disk_bytes: AtomicU64,
    pub(crate) acknowledged: Arc<Acknowledged>,
}

/// Up to where the last journal is on the disk: what is after that was answered to nobody. It outlives the store, for who
/// opens it again after an I/O error.
#[derive(Debug, Default)]
pub(crate) struct Acknowledged(Mutex<Option<(u64, u64)>>);

impl Acknowledged {
    pub(crate) fn set(&self, journal: u64, bytes: u64) {
        *self.0.lock() = Some((journal, bytes));
    }

    /// The journal's number, and its length.
    pub(crate) fn get(&self) -> Option<(u64, u64)> {
        *self.0.lock()
    }
}

/// What changes with each commit.
#[derive(Debug)]
pub(crate) struct State {
    /// Everything in the store.
    pub(crate) entries: Entries,
    /// The last journal.
    pub(crate) journal: Log,
    /// What it has.
    pub(crate) batch: Batch,
    /// What earlier journals have, the oldest first.
    pub(crate) sealed: Vec<Arc<Batch>>,
    /// The bytes in them.
    pub(crate) sealed_bytes: usize,
    /// Whether no more commits come.
    pub(crate) closing: bool,
    /// Whether somebody wants to know if files can be written now.
    pub(crate) asked: bool,
    /// How often writing files was tried, with whatever success.
    pub(crate) tries: u64,
    /// After an error nobody knows what the journal's end is.
    pub(crate) is_broken: bool,
}

impl Shared {
    pub(crate) fn new(
        root: Root,
        mark: Mark,
        options: FilesOptions,
        state: State,
        acknowledged: Arc<Acknowledged>,
    ) -> Self {
        acknowledged.set(state.batch.upto.journal, state.journal.bytes);
        Self {
            root,
            mark,
            options,
            state: Mutex::new(state),
            changed: Condvar::new(),
            failed: Mutex::new(None),
            closed: AtomicBool::new(false),
            disk_bytes: AtomicU64::new(0),
            acknowledged,
        }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock()
    }

    /// Tells those who wait that the state has changed.
    pub(crate) fn notify(&self) {
        self.changed.notify_all();
    }

    /// Waits for a change, or so long.
    pub(crate) fn wait(&self, state: &mut MutexGuard<'_, State>, at_most: Option<Duration>) {
        match at_most {
            Some(at_most) => drop(self.changed.wait_for(state, at_most)),
            None => self.changed.wait(state),
        }
    }

    pub(crate) fn failed(&self) -> Option<StorageError> {
        self.failed.lock().clone()
    }

    /// Tells that writing files was tried, and why that failed, if it has.
    pub(crate) fn tried(&self, failed: Option<StorageError>) {
        *self.failed.lock() = failed;
        let mut state = self.state();
        state.tries += 1;
        state.asked = false;
        drop(state);
        self.notify();
    }

    /// Views end here: what they would read may be somebody else's from now on.
    pub(crate) fn close(&self) {
        self.closed.store(true, Ordering::Release);
    }

    pub(crate) fn check_open(&self) -> Result<(), StorageError> {
        if self.closed.load(Ordering::Acquire) {
            let reason = "the store was closed or opened again since";
            return Err(StorageError::io("reading a state of the store", reason));
        }
        Ok(())
    }

    /// Waits until there is room for a commit: until enough of what was committed before is in files.
    pub(crate) fn wait_for_room(&self) -> Result<(), StorageError> {
        let mut state = self.state();
        let before = state.tries;
        // One commit always goes.
        while state.pending_bytes() >= self.options.pending_bytes.max(1) {
            if let Some(failed) = self.failed() {
                if state.tries > before {
                    return Err(failed);
                }
                state.asked = true;
                self.notify();
            }
            self.wait(&mut state, None);
        }
        Ok(())
    }

    /// Makes changes a commit, and `entries` what all see.
    pub(crate) fn commit(&self, changes: Changes, entries: Entries) -> Result<(), Failure> {
        let items = items(&changes);
        let frame_bytes = items.bytes();
        let mut state = self.state();
        let state = &mut *state;
        if state.is_broken {
            let error = StorageError::io("committing", "the journal could not be written before");
            return Err(Failure::before_writing(error));
        }
        let (commit, before) = (state.batch.upto.commit + 1, state.journal.bytes);
        let doing = format!("writing {}", state.journal.path.display());
        let failed = |error: io::Error| StorageError::io(&doing, error);
        state.is_broken = true;
        let checksum = match state.journal.append(commit, state.batch.upto.checksum, items) {
            Ok((_, checksum)) => checksum,
            // A full disk: with what it has taken cut off again, all is as before.
            Err(error) => {
                let cut = state.journal.file.cut(before).and_then(|()| state.journal.file.sync());
                state.is_broken = cut.is_err();
                let failure = Failure::before_writing(failed(error));
                return Err(if cut.is_ok() { failure.leaving_the_store_open() } else { failure });
            }
        };
        state.journal.file.sync().map_err(|error| Failure::unknown(failed(error)))?;
        state.is_broken = false;
        state.batch.add(changes, frame_bytes, commit, checksum);
        state.entries = entries;
        self.acknowledged.set(state.batch.upto.journal, state.journal.bytes);
        self.notify();
        Ok(())
    }
}

/// What the frame of a commit holds.
fn items(changes: &Changes) -> Items {
    const OVERHEAD: usize = 16;
    let room = changes.iter().map(|(key, change)| {
        let value = change.new.as_ref().map_or(0, Entry::bytes);
        OVERHEAD + key.len() + usize::try_from(value).unwrap_or_default()
    });
    let mut items = Items::with_room(room.sum());
    for (key, change) in changes.iter() {
        match &change.new {
            None => items.removed(key),
            Some(new) => match new.place() {
                Place::Memory(value) => drop(items.value(key, &value)),
                _ => drop(items.value(key, new.head())),
            },
        }
    }
    items
}

impl State {
    /// Whether what was committed is to be written to files now, and when else.
    pub(crate) fn due(&self, options: &FilesOptions) -> Due {
        let Some(since) = self.batch.since else {
            return if self.sealed.is_empty() { Due::Never } else { Due::Now };
        };
        if !self.sealed.is_empty() || self.closing || self.batch.bytes >= JOURNAL_BYTES.min(options.pending_bytes) {
            return Due::Now;
        }
        match options.apply_after.checked_sub(since.elapsed()).filter(|left| !left.is_zero()) {
            Some(left) => Due::In(left),
            None => Due::Now,
        }
    }

    /// The bytes of commits that are in no file.
    fn pending_bytes(&self) -> usize {
        self.sealed_bytes.saturating_add(self.batch.bytes)
    }

    /// Ends the last journal and goes on with another.
    pub(crate) fn seal(&mut self, next: Log) {
        let upto = self.batch.upto;
        let mut batch = std::mem::replace(&mut self.batch, Batch::after(upto));
        batch.entries = self.entries.clone();
        batch.journal_bytes = std::mem::replace(&mut self.journal, next).bytes;
        self.sealed_bytes += batch.bytes;
        self.sealed.push(Arc::new(batch));
    }

    /// Where the last commit is.
    pub(crate) fn upto(&self) -> Upto {
        self.batch.upto
    }
}

/// When files are to be written.
pub(crate) enum Due {
    Now,
    In(Duration),
    Never,
}
