//! The write-ahead log, emptied into the file while the store is in use. It must never keep a commit waiting for a reader that
//! may take long, nor let the log grow because of one.

use std::cell::Cell;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rusqlite::Connection;
use stash_core::StorageError;

use crate::error::storage_error;
use crate::states::States;

/// How long a commit waits, once in a while, for reads of earlier states to end: most take less.
const FOR_READS: Duration = Duration::from_millis(20);
/// How many times as long where the log has become so many times as long as it should be.
const MOST_PATIENCE: u64 = 5;

/// What is known of the log.
pub(crate) struct Log {
    /// Pages in it after the last commit.
    pages: Arc<AtomicU64>,
    page_bytes: u64,
    /// From how many pages on it is emptied next.
    due: Cell<u64>,
    /// From how many pages on it is emptied.
    step: u64,
    max_bytes: u64,
}

impl Log {
    pub(crate) fn new(writer: &mut Connection, step: u64, max_bytes: u64) -> Result<Self, StorageError> {
        let failed = |error| storage_error("opening it", error);
        let page_bytes: u32 = writer.pragma_query_value(None, "page_size", |row| row.get(0)).map_err(failed)?;
        let pages = Arc::<AtomicU64>::default();
        let counted = Arc::clone(&pages);
        let count = move |_: &mut rusqlite::hooks::Wal, pages: i32| {
            counted.store(u64::try_from(pages).unwrap_or(0), Ordering::Relaxed);
            Ok(())
        };
        writer.wal_hook(Some(count)).map_err(failed)?;
        Ok(Self { pages, page_bytes: page_bytes.into(), due: Cell::new(step), step, max_bytes })
    }

    /// Empties the log into the file where it is long enough, before a commit; whether the whole of it is there now. If so,
    /// and if nobody reads from the log, the next commit begins it anew.
    pub(crate) fn empty_if_due(&self, writer: &Connection, states: &States) -> bool {
        let pages = self.pages.load(Ordering::Relaxed);
        if pages < self.due.get() {
            // It was begun anew.
            self.due.set(self.due.get().min(pages.saturating_add(self.step)));
            return false;
        }
        self.due.set(pages.saturating_add(self.step));
        let times = u32::try_from((pages / self.step.max(1)).clamp(1, MOST_PATIENCE)).unwrap_or(1);
        if !states.wait_for_earlier(FOR_READS * times) && pages.saturating_mul(self.page_bytes) > self.max_bytes {
            states.keep(0);
        }
        match checkpoint(writer) {
            Ok((in_log, in_file)) => {
                tracing::debug!(in_log, in_file, "emptied the log");
                states.worry(None);
                in_log == in_file
            }
            Err(error) => {
                // What is in the log is safe there.
                tracing::warn!(%error, "the log of the store cannot be emptied into its file");
                states.worry(Some(storage_error("emptying the log into the file", error)));
                false
            }
        }
    }
}

/// Writes what is in the log into the file as far as nobody reads earlier states; how many pages the log has, and how many
/// of them are in the file.
fn checkpoint(writer: &Connection) -> Result<(i64, i64), rusqlite::Error> {
    let mut checkpoint = writer.prepare_cached("PRAGMA wal_checkpoint(PASSIVE)")?;
    checkpoint.query_row([], |row| Ok((row.get(1)?, row.get(2)?)))
}
