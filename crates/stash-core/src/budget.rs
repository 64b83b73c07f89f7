//! The bytes that all caches of a host share. When they run out, room is made in the cache that was asked longest ago: it
//! must never be one busy component that pays for another that is idle, nor one that keeps everything.

use std::collections::VecDeque;
use std::fmt;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use crate::cache::Cache;

/// Caches looked at to find the one to make room in: with more, it is the oldest of a sample.
const SAMPLE: usize = 16;

/// A number of bytes that many caches share.
pub struct CacheBudget {
    limit: usize,
    used: AtomicUsize,
    /// Grows with every entry that any cache takes in: what tells an idle cache from a busy one.
    time: AtomicU64,
    members: Mutex<VecDeque<Weak<Cache>>>,
}

impl CacheBudget {
    /// A budget of `bytes`.
    pub fn new(bytes: usize) -> Self {
        Self { limit: bytes, used: AtomicUsize::new(0), time: AtomicU64::new(0), members: Mutex::default() }
    }

    /// Bytes in use now, in all caches that share the budget.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(crate) fn join(&self, cache: &Arc<Cache>) {
        let mut members = self.members.lock();
        // Two out for one in: those of caches that are gone do not pile up.
        for _ in 0..2 {
            if let Some(member) = members.pop_front()
                && member.strong_count() > 0
            {
                members.push_back(member);
            }
        }
        members.push_back(Arc::downgrade(cache));
    }

    pub(crate) fn time(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    pub(crate) fn add(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        self.time.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn give_back(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }

    /// Makes room until the budget is kept. Takes one lock at a time, and no cache's while it holds its own.
    pub(crate) fn balance(&self) {
        // A round that finds nothing to give up ends it: then others are busy making room, or taking it.
        while self.is_over() && self.shed_oldest() {}
    }

    fn is_over(&self) -> bool {
        self.used() > self.limit
    }

    fn shed_oldest(&self) -> bool {
        let mut tried = 0;
        let members = self.members.lock().len();
        while tried < members {
            let mut sample = self.sample();
            tried += sample.len().max(1);
            sample.sort_by_key(|cache| cache.last_used());
            if sample.iter().any(|cache| cache.shed(|| !self.is_over())) {
                return true;
            }
        }
        false
    }

    /// The caches whose turn it is to be looked at.
    fn sample(&self) -> Vec<Arc<Cache>> {
        let mut members = self.members.lock();
        let mut sample = Vec::with_capacity(SAMPLE);
        for _ in 0..members.len().min(SAMPLE) {
            let Some(member) = members.pop_front() else { break };
            if let Some(cache) = member.upgrade() {
                members.push_back(member);
                sample.push(cache);
            }
        }
        sample
    }
}

impl fmt::Debug for CacheBudget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CacheBudget").field("limit", &self.limit).field("used", &self.used()).finish_non_exhaustive()
    }
}
