//! What is hot: the entries of one component's cache, and the rules by which they come and go. It must never hold a
//! value that a read of the engine could no longer return. [`CachedStorage`](crate::CachedStorage) puts it into a chain.
//!
//! Why a cached value is never stale, on an engine with one owner:
//!
//! 1. Before a commit is handed down, its keys leave the cache and are *pending*: reads of them go to the engine.
//! 2. When the engine has made the commit visible, the commit's hook ends the pending state and puts the new values in,
//!    in the order of versions. It runs also when the caller has gone away, and for a commit that failed it puts in
//!    nothing.
//! 3. A reader that missed may fill the cache only if no commit has begun or ended since it looked, so a slow reader
//!    cannot bring an old value back, not even one whose newer entry has come and gone again meanwhile.
//! 4. A commit that removes all keys with a prefix does the same to all of them: they leave, and stay out until it is over.
//!    So do all keys during a large commit.
//! 5. A record that has expired is answered as absent: were there a newer one, it would have taken its place.
//! 6. An engine that was closed and opened again counts a gap, and the next lookup forgets everything.
//!
//! On an engine that other hosts write to, a value may be as old as the news of their commits ([`Feed`]):
//!
//! 7. Entries are served, and come in, only while the feed vouches for what it has told; when it tells a change, everything
//!    is forgotten. What a commit has left is put in only if the feed has told nothing since before the commit: another
//!    host's may have come after it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use lru::LruCache;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use crate::batch::{Committed, Touched};
use crate::budget::CacheBudget;
use crate::clock::Clock;
use crate::feed::Feed;
use crate::keyspace::split_namespaced;
use crate::record::{Record, Version};

/// How much one component's cache may hold.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct CacheConfig {
    /// Records, and keys known to be absent. 0 turns the cache off.
    pub max_entries: usize,
    /// Bytes of keys and values, with an allowance for bookkeeping. 0 turns the cache off.
    pub max_size_bytes: usize,
    /// How long an entry is served before the engine is asked again; `None` for as long as it stays.
    pub ttl: Option<Duration>,
}

impl Default for CacheConfig {
    /// 10,000 entries, 16 MiB, no TTL.
    fn default() -> Self {
        Self { max_entries: 10_000, max_size_bytes: 16 * 1024 * 1024, ttl: None }
    }
}

impl CacheConfig {
    /// No cache.
    pub fn disabled() -> Self {
        Self { max_entries: 0, max_size_bytes: 0, ttl: None }
    }

    /// Whether anything is ever cached.
    pub fn is_enabled(&self) -> bool {
        self.max_entries > 0 && self.max_size_bytes > 0
    }
}

/// What a cache has done and holds.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CacheStats {
    /// Reads answered from the cache.
    pub hits: u64,
    /// Reads that went to the engine.
    pub misses: u64,
    /// Entries held now.
    pub entries: usize,
    /// Bytes held now.
    pub bytes: usize,
}

/// Bytes that an entry costs beside its key and value: the table, the list, the record.
const ENTRY_OVERHEAD_BYTES: usize = 128;

/// What a cache asks of the layer below it.
pub(crate) trait Below {
    /// See [`Engine::gaps`](crate::Engine::gaps).
    fn gaps(&self) -> u64;
    /// See [`Engine::feed`](crate::Engine::feed).
    fn feed(&self, key: &str) -> Option<Arc<Feed>>;
}

pub(crate) struct Cache {
    state: Mutex<State>,
    config: CacheConfig,
    clock: Arc<dyn Clock>,
    budget: Option<Arc<CacheBudget>>,
    /// When it was last asked, on the budget's clock.
    last_used: AtomicU64,
}

struct State {
    entries: LruCache<Box<str>, Entry>,
    bytes: usize,
    /// Keys with commits under way, and how many.
    pending: HashMap<Box<str>, usize>,
    /// Large commits under way; while there are any, every key counts as pending.
    pending_bulk: usize,
    /// Prefixes whose keys are all being removed by commits under way.
    pending_prefixes: Vec<Box<str>>,
    /// Grows when a commit begins, and when it is over: a reader that looked in between may have seen what it replaced.
    generation: u64,
    /// The engine's gaps that the entries have come after.
    gaps: u64,
    others: Others,
    /// How often others' changes have made it forget everything.
    overtaken: u64,
    hits: u64,
    misses: u64,
}

/// Who else may write to what is cached.
enum Others {
    /// Not asked yet.
    Unknown,
    /// Nobody.
    Nobody,
    /// Other hosts.
    Heard(Heard),
}

/// The namespace whose entries are held, and what was heard of others' commits to it when they came in.
struct Heard {
    prefix: Box<str>,
    feed: Arc<Feed>,
    changes: u64,
}

/// What is known of a key: its record, or that it has none.
type Known = Option<Record>;

struct Entry {
    record: Known,
    /// The record's version, or the commit that is known to have left the key absent.
    version: Version,
    expires: Option<Duration>,
    cost: usize,
}

pub(crate) enum Lookup {
    Hit(Known),
    Miss(Filler),
}

/// The right to fill the cache with what was read from the engine, while no commit begins or ends.
#[derive(Clone, Copy)]
pub(crate) struct Filler {
    generation: u64,
    /// Whether what others do was known when the reader looked.
    known: bool,
}

/// A commit under way, as the cache knows it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Begun {
    /// How often others had overtaken the cache; `None` where that was not known.
    overtaken: Option<u64>,
}

impl Cache {
    pub(crate) fn new(config: CacheConfig, clock: Arc<dyn Clock>, budget: Option<Arc<CacheBudget>>) -> Arc<Self> {
        let state = State {
            entries: LruCache::unbounded(),
            bytes: 0,
            pending: HashMap::new(),
            pending_bulk: 0,
            pending_prefixes: Vec::new(),
            generation: 0,
            gaps: 0,
            others: Others::Unknown,
            overtaken: 0,
            hits: 0,
            misses: 0,
        };
        let cache = Arc::new(Self { state: Mutex::new(state), config, clock, budget, last_used: AtomicU64::new(0) });
        if let Some(budget) = &cache.budget {
            budget.join(&cache);
        }
        cache
    }

    /// When it was last asked for an entry, in steps of its budget's clock.
    pub(crate) fn last_used(&self) -> u64 {
        self.last_used.load(Ordering::Relaxed)
    }

    /// Gives up the entries used longest ago, until `enough` or nothing is left; whether it gave up any.
    pub(crate) fn shed(&self, enough: impl Fn() -> bool) -> bool {
        let mut state = self.state.lock();
        let mut shed = false;
        while !enough()
            && let Some((_, evicted)) = state.entries.pop_lru()
        {
            self.forget(&mut state, &evicted);
            shed = true;
        }
        shed
    }

    pub(crate) fn stats(&self) -> CacheStats {
        let state = self.state.lock();
        CacheStats { hits: state.hits, misses: state.misses, entries: state.entries.len(), bytes: state.bytes }
    }

    /// Shows a hit in place, under the lock; `false` for a miss, which is not counted: a [`lookup`](Self::lookup) follows.
    #[inline]
    pub(crate) fn look(&self, key: &str, below: &impl Below, see: &mut dyn FnMut(Option<&Record>)) -> bool {
        let now = self.now();
        let mut state = self.state.lock();
        let state = &mut *state;
        if !self.notice(state, key, below) {
            return false;
        }
        // The same key again is the commonest read of all, and needs neither a hash nor a new place in the order.
        let again = state.entries.peek_mru().is_some_and(|(latest, _)| **latest == *key);
        let found = if again { state.entries.peek_mru().map(|(_, entry)| entry) } else { state.entries.get(key) };
        let Some(entry) = found else { return false };
        if let (Some(now), Some(expires)) = (now, entry.expires)
            && now >= expires
        {
            return false;
        }
        state.hits += 1;
        self.touch();
        see(entry.record.as_ref().filter(|record| !self.has_expired(record)));
        true
    }

    pub(crate) fn lookup(&self, key: &str, below: &impl Below) -> Lookup {
        self.touch();
        let now = self.now();
        let mut state = self.state.lock();
        let known = self.notice(&mut state, key, below);
        if known && let Some(record) = self.find(&mut state, key, now) {
            state.hits += 1;
            return Lookup::Hit(record);
        }
        state.misses += 1;
        Lookup::Miss(Filler { generation: state.generation, known })
    }

    /// All of `keys` from one state of the cache, which is one state of the namespace; or none of them.
    pub(crate) fn lookup_all(&self, keys: &[&str], below: &impl Below) -> Result<Vec<Option<Record>>, Filler> {
        self.touch();
        let now = self.now();
        let mut state = self.state.lock();
        let known = keys.first().is_some_and(|key| self.notice(&mut state, key, below));
        let mut find = |key: &&str| if known { self.find(&mut state, key, now) } else { None };
        let found: Option<Vec<_>> = keys.iter().map(&mut find).collect();
        let count = u64::try_from(keys.len()).unwrap_or(u64::MAX);
        if let Some(found) = found {
            state.hits += count;
            return Ok(found);
        }
        state.misses += count;
        Err(Filler { generation: state.generation, known })
    }

    /// Puts in what a reader found in the engine, unless a commit has begun or ended since it missed or is under way.
    pub(crate) fn fill(&self, filler: Filler, key: &str, record: Option<&Record>) {
        let expires = self.expiry();
        let mut state = self.state.lock();
        let may = filler.known && self.is_known(&mut state);
        if may && state.generation == filler.generation && !state.is_pending(key) {
            // No commit of this key was under way since the reader looked, so a record's own version orders it; an
            // absent key has only its being newer than whatever was there.
            let version = record.map_or(Version::default(), |record| record.version);
            self.insert(&mut state, key, record.cloned(), version, expires);
        }
        drop(state);
        self.balance();
    }

    /// A commit that changes these keys is about to be handed down. What it gives is for [`settle`](Self::settle).
    pub(crate) fn begin<'a>(&self, touched: impl Iterator<Item = Touched<'a>>, below: &impl Below) -> Begun {
        let mut state = self.state.lock();
        let mut known = true;
        state.generation += 1;
        for touched in touched {
            let (Touched::Key(key) | Touched::Prefix(key)) = touched;
            known = known && self.notice(&mut state, key, below);
            match touched {
                Touched::Key(key) => {
                    self.remove(&mut state, key);
                    match state.pending.get_mut(key) {
                        Some(count) => *count += 1,
                        None => drop(state.pending.insert(key.into(), 1)),
                    }
                }
                Touched::Prefix(prefix) => {
                    self.remove_prefix(&mut state, prefix);
                    state.pending_prefixes.push(prefix.into());
                }
            }
        }
        Begun { overtaken: known.then_some(state.overtaken) }
    }

    /// That commit is over: visible to reads, or, with `None`, not known to have happened. `changes` are its keys with
    /// the records that they have now.
    pub(crate) fn settle<'a>(
        &self,
        begun: Begun,
        outcome: Option<&Committed>,
        changes: impl Iterator<Item = (Touched<'a>, Option<&'a Record>)>,
    ) {
        let expires = self.expiry();
        let mut state = self.state.lock();
        let known = self.is_known(&mut state);
        let is_latest = known && begun.overtaken == Some(state.overtaken);
        state.generation += 1;
        let mut over = Vec::new();
        for (touched, record) in changes {
            let key = match touched {
                Touched::Key(key) => key,
                Touched::Prefix(prefix) => {
                    if let Some(at) = state.pending_prefixes.iter().position(|pending| **pending == *prefix) {
                        state.pending_prefixes.swap_remove(at);
                    }
                    continue;
                }
            };
            if let Some(count) = state.pending.get_mut(key) {
                *count -= 1;
                if *count > 0 {
                    // A later mutation of this batch, or a later commit, will say what the key holds.
                    continue;
                }
                state.pending.remove(key);
            }
            over.push((key, record));
        }
        // After all prefixes: a batch may clear a prefix and set keys with it.
        for (key, record) in over {
            if let Some(Committed { version, .. }) = outcome
                && is_latest
                && !state.is_pending(key)
            {
                self.insert(&mut state, key, record.cloned(), *version, expires);
            }
        }
        drop(state);
        self.balance();
    }

    /// As [`begin`](Self::begin), for a commit of so many keys that noting each one would cost more than the commit, and
    /// that must not push out what is hot: nothing is put in until it is over, and nothing of it ever.
    pub(crate) fn begin_bulk<'a>(&self, touched: impl Iterator<Item = Touched<'a>>) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.pending_bulk += 1;
        for touched in touched {
            match touched {
                Touched::Key(_) if state.entries.is_empty() => {}
                Touched::Key(key) => self.remove(&mut state, key),
                Touched::Prefix(prefix) => self.remove_prefix(&mut state, prefix),
            }
        }
    }

    /// That commit is over, whatever became of it.
    pub(crate) fn settle_bulk(&self) {
        let mut state = self.state.lock();
        state.generation += 1;
        state.pending_bulk -= 1;
    }

    /// Forgets what the engine below can no longer vouch for, before `key` is looked up. Whether what is held then may be
    /// served. A reader that read before a gap and fills after it fills what the next lookup forgets.
    fn notice(&self, state: &mut State, key: &str, below: &impl Below) -> bool {
        let gaps = below.gaps();
        if state.gaps < gaps {
            state.gaps = gaps;
            self.forget_all(state);
        }
        match &state.others {
            Others::Nobody => return true,
            Others::Heard(heard) if key.starts_with(&*heard.prefix) => {}
            Others::Unknown | Others::Heard(_) => match below.feed(key) {
                None => {
                    state.others = Others::Nobody;
                    return true;
                }
                Some(feed) => {
                    let prefix = split_namespaced(key).map_or("", |(prefix, _)| prefix).into();
                    // None of what is held was vouched for by this feed.
                    let changes = feed.changes().unwrap_or_default();
                    state.others = Others::Heard(Heard { prefix, feed, changes });
                    self.overtake(state);
                }
            },
        }
        self.is_known(state)
    }

    /// Whether all is known of what others have done, and so whether what is held, and what comes in now, may be served.
    /// Forgets what they have changed.
    fn is_known(&self, state: &mut State) -> bool {
        let heard = match &mut state.others {
            Others::Nobody => return true,
            Others::Unknown => return false,
            Others::Heard(heard) => heard,
        };
        let Some(changes) = heard.feed.changes() else { return false };
        if changes != std::mem::replace(&mut heard.changes, changes) {
            self.overtake(state);
        }
        true
    }

    fn overtake(&self, state: &mut State) {
        state.overtaken += 1;
        self.forget_all(state);
    }

    fn forget_all(&self, state: &mut State) {
        state.generation += 1;
        while let Some((_, entry)) = state.entries.pop_lru() {
            self.forget(state, &entry);
        }
    }

    fn touch(&self) {
        if let Some(budget) = &self.budget {
            self.last_used.store(budget.time(), Ordering::Relaxed);
        }
    }

    /// Makes room in the shared budget. Not to be called with the state locked: room may be made in any cache.
    fn balance(&self) {
        if let Some(budget) = &self.budget {
            budget.balance();
        }
    }

    fn has_expired(&self, record: &Record) -> bool {
        record.metadata.expires.is_some_and(|expires| expires <= self.clock.wall())
    }

    fn now(&self) -> Option<Duration> {
        self.config.ttl.map(|_| self.clock.now())
    }

    fn expiry(&self) -> Option<Duration> {
        self.config.ttl.map(|ttl| self.clock.now().saturating_add(ttl))
    }

    fn find(&self, state: &mut State, key: &str, now: Option<Duration>) -> Option<Known> {
        let entry = state.entries.get(key)?;
        if let (Some(now), Some(expires)) = (now, entry.expires)
            && now >= expires
        {
            self.remove(state, key);
            return None;
        }
        Some(entry.record.clone().filter(|record| !self.has_expired(record)))
    }

    fn insert(
        &self,
        state: &mut State,
        key: &str,
        record: Option<Record>,
        version: Version,
        expires: Option<Duration>,
    ) {
        if state.entries.peek(key).is_some_and(|entry| entry.version > version) {
            return;
        }
        self.remove(state, key);
        let value_bytes = record.as_ref().map_or(0, Record::used_bytes);
        let cost = ENTRY_OVERHEAD_BYTES.saturating_add(key.len()).saturating_add(value_bytes);
        if cost > self.config.max_size_bytes {
            return;
        }
        state.entries.put(key.into(), Entry { record, version, expires, cost });
        state.bytes += cost;
        if let Some(budget) = &self.budget {
            budget.add(cost);
        }
        while state.bytes > self.config.max_size_bytes || state.entries.len() > self.config.max_entries {
            let Some((_, evicted)) = state.entries.pop_lru() else { break };
            self.forget(state, &evicted);
        }
    }

    fn remove(&self, state: &mut State, key: &str) {
        if let Some(entry) = state.entries.pop(key) {
            self.forget(state, &entry);
        }
    }

    fn remove_prefix(&self, state: &mut State, prefix: &str) {
        let keys = state.entries.iter().filter(|(key, _)| key.starts_with(prefix));
        let keys: Vec<Box<str>> = keys.map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.remove(state, &key);
        }
    }

    fn forget(&self, state: &mut State, entry: &Entry) {
        state.bytes -= entry.cost;
        if let Some(budget) = &self.budget {
            budget.give_back(entry.cost);
        }
    }
}

impl State {
    /// Whether a commit that changes `key` is under way.
    fn is_pending(&self, key: &str) -> bool {
        self.pending_bulk > 0
            || self.pending.contains_key(key)
            || self.pending_prefixes.iter().any(|prefix| key.starts_with(&**prefix))
    }
}

impl Drop for Cache {
    fn drop(&mut self) {
        let bytes = self.state.get_mut().bytes;
        if let Some(budget) = &self.budget {
            budget.give_back(bytes);
        }
    }
}

#[cfg(test)]
mod tests;
