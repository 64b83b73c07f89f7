//! The states that reads see: each is a read transaction, begun when its commit had just been made. A state must never show
//! another one's data, and never outlive the opening of the store that it belongs to.

use std::num::NonZero;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::{Condvar, Mutex, MutexGuard};
use rusqlite::Connection;
use stash_core::StorageError;

use crate::connection::Opening;
use crate::error::storage_error;

/// What may be held.
#[derive(Debug, Clone)]
pub(crate) struct Bounds {
    /// States besides the last one. Each has a connection, which is two open files.
    pub(crate) states: usize,
    /// Pages in the log from which on it is emptied into the file: 16 MiB. SQLite itself takes a fourth of it; with more
    /// of them a page that changes often is written to the file less often.
    pub(crate) checkpoint_pages: u64,
    /// As [`Opening::max_pages`].
    pub(crate) max_pages: u32,
}

impl Default for Bounds {
    fn default() -> Self {
        Self { states: 256, checkpoint_pages: 4000, max_pages: 0 }
    }
}

/// Page cache of a connection beyond those that share what the options give.
const SPARE_CACHE_BYTES: usize = 512 * 1024;
/// Connections that wait for the next state beyond those.
const SPARE: usize = 16;
/// Connections that read one state at the same time.
const MOST_AT_ONCE: usize = 16;

/// What the states of one opening of the store share.
pub(crate) struct States {
    opening: Opening,
    /// How many connections may read one state at the same time.
    at_once: usize,
    /// How many connections have a whole share of the page cache, and how large that is.
    shares: usize,
    share_bytes: usize,
    /// Commits that have begun. A state is the last one while this is its number.
    pub(crate) commits: AtomicU64,
    pool: Mutex<Pool>,
    /// The states that somebody may hold, with their numbers, the oldest first.
    live: Mutex<Vec<(u64, Weak<State>)>>,
    /// Somebody has let go of one.
    left: Condvar,
    /// Why the log could not be emptied when that was tried last.
    worry: Mutex<Option<StorageError>>,
}

struct Pool {
    idle: Vec<Reader>,
    /// Connections with a whole share of the page cache.
    shares: usize,
    closed: bool,
}

/// A connection for reading.
pub(crate) struct Reader {
    connection: Connection,
    has_share: bool,
}

impl Reader {
    /// Begins a read transaction: what is committed after this is not seen.
    fn begin(&self) -> Result<(), rusqlite::Error> {
        self.connection.prepare_cached("BEGIN")?.execute([])?;
        // The transaction begins with the first read: this one reads least.
        self.connection.prepare_cached("PRAGMA data_version")?.exists([]).map(drop)
    }

    /// Reads in its transaction.
    fn read<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StorageError>) -> Result<T, StorageError> {
        // SQLite ends a transaction in which it could not read; what came next would read what is there by now.
        if self.connection.is_autocommit() {
            return Err(StorageError::io("reading a state of the store", "it could not be read before, and is lost"));
        }
        work(&self.connection)
    }

    fn end(&self) -> Result<(), rusqlite::Error> {
        if self.connection.is_autocommit() {
            return Ok(());
        }
        self.connection.prepare_cached("ROLLBACK")?.execute([]).map(drop)
    }
}

impl States {
    pub(crate) fn new(opening: Opening, cache_bytes: usize) -> Self {
        let at_once = std::thread::available_parallelism().map_or(1, NonZero::get).min(MOST_AT_ONCE);
        // The last state's, and as many for the next one.
        let shares = at_once * 2;
        Self {
            opening,
            at_once,
            shares,
            share_bytes: cache_bytes / shares,
            commits: AtomicU64::new(0),
            pool: Mutex::new(Pool { idle: Vec::new(), shares: 0, closed: false }),
            live: Mutex::default(),
            left: Condvar::new(),
            worry: Mutex::default(),
        }
    }

    /// A connection for the next state.
    pub(crate) fn take(&self) -> Result<Reader, StorageError> {
        let has_share = {
            let mut pool = self.pool.lock();
            if pool.closed {
                return Err(StorageError::io("reading the store", "it was closed or opened again since"));
            }
            if let Some(at) = pool.idle.iter().position(|reader| reader.has_share).or(pool.idle.len().checked_sub(1)) {
                return Ok(pool.idle.swap_remove(at));
            }
            let has_share = pool.shares < self.shares;
            pool.shares += usize::from(has_share);
            has_share
        };
        let cache_bytes = if has_share { self.share_bytes } else { SPARE_CACHE_BYTES.min(self.share_bytes) };
        let connection = self.opening.reader(cache_bytes).inspect_err(|_| {
            self.pool.lock().shares -= usize::from(has_share);
        })?;
        Ok(Reader { connection, has_share })
    }

    /// Takes a connection back. One that cannot end its transaction is closed.
    pub(crate) fn give_back(&self, reader: Reader) {
        let ended = reader.end();
        let mut pool = self.pool.lock();
        let spare = pool.idle.iter().filter(|reader| !reader.has_share).count();
        if ended.is_ok() && !pool.closed && (reader.has_share || spare < SPARE) {
            pool.idle.push(reader);
            return;
        }
        pool.shares -= usize::from(reader.has_share);
        drop(pool);
        drop(reader);
    }

    /// The state that was committed last, on a connection that was taken. Only the writer knows when that is.
    pub(crate) fn state(self: &Arc<Self>, reader: Reader) -> Result<Arc<State>, StorageError> {
        if let Err(error) = reader.begin() {
            self.give_back(reader);
            return Err(storage_error("reading the store", error));
        }
        let others = (1..self.at_once).map(|_| Mutex::default()).collect();
        let number = self.commits.load(Ordering::Acquire);
        let state = Arc::new(State {
            states: Arc::clone(self),
            number,
            first: Mutex::new(Slot::Reading(reader)),
            others,
            joined: AtomicUsize::new(0),
            turn: AtomicUsize::new(0),
        });
        self.live.lock().push((number, Arc::downgrade(&state)));
        Ok(state)
    }

    /// The states that somebody holds, the oldest first.
    fn held(&self) -> Vec<Arc<State>> {
        self.live.lock().iter().filter_map(|(_, state)| state.upgrade()).collect()
    }

    /// Ends states so that at most so many are left besides the last one.
    pub(crate) fn keep(&self, most: usize) {
        let mut live = self.live.lock();
        live.retain(|(_, state)| state.strong_count() > 0);
        let too_many = live.len().saturating_sub(most.saturating_add(1));
        let oldest: Vec<_> = live.drain(..too_many).collect();
        drop(live);
        for state in oldest.iter().filter_map(|(_, state)| state.upgrade()) {
            tracing::warn!("a state of the store is ended, which somebody has held while many others were made");
            state.end(Ended::TooOld);
        }
    }

    /// Begins the last state's transaction anew. The caller has the file locked against writers, and nothing was
    /// committed since that state: it is the same one, but no longer in need of the log.
    pub(crate) fn move_off_the_log(&self) -> Result<(), StorageError> {
        let number = self.commits.load(Ordering::Acquire);
        for state in self.held().into_iter().filter(|state| state.number == number) {
            let first = state.first.lock();
            if let Slot::Reading(reader) = &*first {
                reader
                    .end()
                    .and_then(|()| reader.begin())
                    .map_err(|error| storage_error("reading the store", error))?;
            }
            for other in &state.others {
                // They join again when they are needed.
                let reader = other.lock().take();
                state.leave(reader);
            }
        }
        Ok(())
    }

    /// Waits a little for reads of earlier states to end; whether they have.
    pub(crate) fn wait_for_earlier(&self, patience: Duration) -> bool {
        let number = self.commits.load(Ordering::Acquire);
        // Nothing is upgraded here: whoever lets go of a state last needs this lock.
        let has_earlier = |live: &mut Vec<(u64, Weak<State>)>| {
            live.retain(|(_, state)| state.strong_count() > 0);
            live.iter().any(|(of, _)| *of != number)
        };
        !self.left.wait_while_for(&mut self.live.lock(), has_earlier, patience).timed_out()
    }

    /// Keeps what is wrong with the log, for whoever asks how the store is.
    pub(crate) fn worry(&self, worry: Option<StorageError>) {
        *self.worry.lock() = worry;
    }

    /// Ends all states, and gives out no more connections.
    pub(crate) fn close(&self) {
        let idle = {
            let mut pool = self.pool.lock();
            pool.closed = true;
            std::mem::take(&mut pool.idle)
        };
        drop(idle);
        for state in self.held() {
            state.end(Ended::Closed);
        }
    }
}

/// One committed state.
pub(crate) struct State {
    states: Arc<States>,
    number: u64,
    first: Mutex<Slot>,
    /// More connections that read the same state, from the first that is needed on: a long scan must not delay others.
    others: Box<[Mutex<Option<Reader>>]>,
    /// How many others there are.
    joined: AtomicUsize,
    turn: AtomicUsize,
}

enum Slot {
    Reading(Reader),
    Ended(Ended),
}

#[derive(Clone, Copy)]
enum Ended {
    /// The store was closed, or opened again.
    Closed,
    /// It was in the way.
    TooOld,
}

impl Ended {
    fn error(self) -> StorageError {
        match self {
            Self::Closed => {
                StorageError::io("reading a state of the store", "the store was closed or opened again since")
            }
            Self::TooOld => StorageError::Unavailable {
                reason: "the state that is being read was held for too long, while much was written; begin again"
                    .into(),
            },
        }
    }
}

impl State {
    /// Reads with a connection that nobody else is using.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Connection) -> Result<T, StorageError>) -> Result<T, StorageError> {
        if let Some(first) = self.first.try_lock() {
            return Self::with_first(&first, work);
        }
        for other in &self.others {
            let Some(mut other) = other.try_lock() else { continue };
            if other.is_none() {
                *other = self.join();
            }
            match &*other {
                Some(reader) => return reader.read(work),
                None => break,
            }
        }
        // All are busy: each waiter waits for another one.
        let waits = self.joined.load(Ordering::Relaxed) + 1;
        let turn = self.turn.fetch_add(1, Ordering::Relaxed) % waits;
        if let Some(other) = turn.checked_sub(1).and_then(|turn| self.others.get(turn))
            && let Some(reader) = &*other.lock()
        {
            return reader.read(work);
        }
        Self::with_first(&self.first.lock(), work)
    }

    fn with_first<T>(
        first: &MutexGuard<'_, Slot>,
        work: impl FnOnce(&Connection) -> Result<T, StorageError>,
    ) -> Result<T, StorageError> {
        match &**first {
            Slot::Reading(reader) => reader.read(work),
            Slot::Ended(ended) => Err(ended.error()),
        }
    }

    /// What is wrong with the store although it can be read.
    pub(crate) fn concern(&self) -> Option<StorageError> {
        self.states.worry.lock().clone()
    }

    /// Another connection with the same state, if it still is the last one.
    fn join(&self) -> Option<Reader> {
        let is_last = || self.states.commits.load(Ordering::Acquire) == self.number;
        if !is_last() {
            return None;
        }
        let reader = self.states.take().ok()?;
        // A commit that takes effect after this was seen to be the last state has been counted before.
        if reader.begin().is_ok() && is_last() {
            self.joined.fetch_add(1, Ordering::Relaxed);
            return Some(reader);
        }
        self.states.give_back(reader);
        None
    }

    fn leave(&self, reader: Option<Reader>) {
        if let Some(reader) = reader {
            self.joined.fetch_sub(1, Ordering::Relaxed);
            self.states.give_back(reader);
        }
    }

    /// Ends it when reads that are under way are done; those that come get an error.
    fn end(&self, why: Ended) {
        let first = std::mem::replace(&mut *self.first.lock(), Slot::Ended(why));
        for other in &self.others {
            let reader = other.lock().take();
            self.leave(reader);
        }
        if let Slot::Reading(reader) = first {
            self.states.give_back(reader);
        }
    }
}

impl Drop for State {
    fn drop(&mut self) {
        self.end(Ended::Closed);
        // So that whoever has just looked for earlier states is waiting by now.
        drop(self.states.live.lock());
        self.states.left.notify_all();
    }
}
