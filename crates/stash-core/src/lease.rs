//! How long a transaction may hold on to a state of the store, and how many may at once. A forgotten transaction must end
//! by itself: while it lives, the engine keeps what it could read.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use crate::batch::limit_else;
use crate::clock::{Clock, SystemClock};
use crate::error::StorageError;
use crate::limits::{DEFAULT_TRANSACTION_AGE, MAX_BATCH_BYTES, MAX_OPEN_TRANSACTIONS};
use crate::snapshot::StorageSnapshot;

/// What to do instead of holding too much in transactions.
const END_ONE: &str = "commit or roll back one first";

/// Bytes that the open transactions of one component may hold together: what they have written and the keys that they
/// have read. Twice a batch: one that is large must not keep all others from beginning.
const MAX_HELD_BYTES: usize = 2 * MAX_BATCH_BYTES;

/// The open transactions of one component. Clones are the same.
#[derive(Clone)]
pub struct Leases {
    shared: Arc<Shared>,
}

struct Shared {
    clock: Arc<dyn Clock>,
    max_age: Duration,
    open: Mutex<Vec<Weak<Lease>>>,
    held_bytes: AtomicUsize,
}

impl Leases {
    /// Transactions that may be open for `max_age`, by `clock`; up to [`MAX_OPEN_TRANSACTIONS`] at once.
    pub fn new(clock: Arc<dyn Clock>, max_age: Duration) -> Self {
        let shared = Shared { clock, max_age, open: Mutex::default(), held_bytes: AtomicUsize::new(0) };
        Self { shared: Arc::new(shared) }
    }

    /// How long a transaction may be open.
    pub fn max_age(&self) -> Duration {
        self.shared.max_age
    }

    /// How many transactions are open.
    pub fn open(&self) -> usize {
        self.shared.open.lock().iter().filter(|lease| lease.upgrade().is_some_and(|lease| lease.is_alive())).count()
    }

    /// Whether both are the same.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared)
    }

    /// Whether anything but this handle could have a transaction open, now or later: another clone, or a transaction.
    pub fn is_shared(&self) -> bool {
        Arc::strong_count(&self.shared) > 1
    }

    /// Lets go of the states that transactions have held for too long: to be called every now and then, for those that
    /// never ask again. Says whether any transaction is open.
    pub fn end_old(&self) -> bool {
        let open: Vec<_> = self.shared.open.lock().iter().filter_map(Weak::upgrade).collect();
        for lease in &open {
            lease.end_if_old();
        }
        !open.is_empty()
    }

    pub(crate) fn begin(&self, snapshot: StorageSnapshot) -> Result<Arc<Lease>, StorageError> {
        let mut open = self.shared.open.lock();
        // Those that were let go of for their age count until their owner drops them: their memory is still there.
        open.retain(|lease| lease.strong_count() > 0);
        if open.len() >= MAX_OPEN_TRANSACTIONS {
            let what = "the number of open transactions";
            return Err(limit_else(what, open.len() + 1, MAX_OPEN_TRANSACTIONS, END_ONE));
        }
        let lease = Arc::new(Lease {
            shared: Arc::clone(&self.shared),
            begun: self.shared.clock.now(),
            snapshot: Mutex::new(Some(snapshot)),
            held_bytes: AtomicUsize::new(0),
        });
        open.push(Arc::downgrade(&lease));
        Ok(lease)
    }
}

impl Default for Leases {
    fn default() -> Self {
        Self::new(Arc::new(SystemClock), DEFAULT_TRANSACTION_AGE)
    }
}

impl std::fmt::Debug for Leases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Leases").field("open", &self.open()).finish_non_exhaustive()
    }
}

/// One transaction's hold on a state.
pub(crate) struct Lease {
    shared: Arc<Shared>,
    begun: Duration,
    snapshot: Mutex<Option<StorageSnapshot>>,
    held_bytes: AtomicUsize,
}

impl Lease {
    /// The state, while the transaction is not too old.
    pub(crate) fn snapshot(&self) -> Result<StorageSnapshot, StorageError> {
        self.end_if_old();
        let snapshot = self.snapshot.lock().clone();
        snapshot.ok_or_else(|| StorageError::transaction_too_old(self.shared.max_age))
    }

    /// Counts what the transaction holds in memory; counts nothing where that would be too much.
    pub(crate) fn hold(&self, bytes: usize) -> Result<(), StorageError> {
        let all = &self.shared.held_bytes;
        let more = |held: usize| Some(held.saturating_add(bytes)).filter(|held| *held <= MAX_HELD_BYTES);
        all.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).map_err(|held| {
            let what = "the size of the open transactions in bytes";
            limit_else(what, held.saturating_add(bytes), MAX_HELD_BYTES, END_ONE)
        })?;
        self.held_bytes.fetch_add(bytes, Ordering::Relaxed);
        Ok(())
    }

    /// Counts `bytes` in the place of `old`, which were counted before.
    pub(crate) fn exchange(&self, old: usize, bytes: usize) -> Result<(), StorageError> {
        if let Some(less) = old.checked_sub(bytes) {
            self.held_bytes.fetch_sub(less, Ordering::Relaxed);
            self.shared.held_bytes.fetch_sub(less, Ordering::Relaxed);
            return Ok(());
        }
        self.hold(bytes - old)
    }

    /// What the transaction is counted with.
    #[cfg(test)]
    pub(crate) fn held(&self) -> usize {
        self.held_bytes.load(Ordering::Relaxed)
    }

    fn is_alive(&self) -> bool {
        self.snapshot.lock().is_some()
    }

    fn end_if_old(&self) {
        if self.shared.clock.now().saturating_sub(self.begun) > self.shared.max_age {
            let snapshot = self.snapshot.lock().take();
            // Outside the lock: the last drop of a state frees its pages.
            drop(snapshot);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.shared.held_bytes.fetch_sub(*self.held_bytes.get_mut(), Ordering::Relaxed);
    }
}
