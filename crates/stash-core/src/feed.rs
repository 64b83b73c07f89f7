//! What is known of the commits that other hosts make to a namespace, where an engine is shared: what caches and those who
//! wait for changes rely on. It must never say that it has told all of them for a moment of which it does not know that.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use crate::clock::Clock;

/// Asked for within this time, a feed is kept going.
const WANTED: Duration = Duration::from_secs(30);

/// The commits of other hosts to one namespace, as a shared engine hears of them.
///
/// The engine says up to when it has told all of them ([`is_known_until`](Self::is_known_until)): a promise that lapses by
/// itself, so that a host that was paused, or cut off, trusts nothing old when it goes on.
pub struct Feed {
    clock: Arc<dyn Clock>,
    /// How many changes it has told: one may stand for several commits.
    changes: AtomicU64,
    /// Nanoseconds on the clock.
    known_until: AtomicU64,
    asked: AtomicU64,
}

impl Feed {
    /// A feed that knows nothing yet. `clock` is the one on which moments are told.
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        let asked = AtomicU64::new(nanos(clock.now()));
        Self { clock, changes: AtomicU64::new(0), known_until: AtomicU64::new(0), asked }
    }

    /// A number that grows when another host has changed something; `None` while that is not known. What was read under
    /// one number, and is read again under the same, was true all the while, but for what was committed so shortly before
    /// that the engine has not heard of it.
    pub fn changes(&self) -> Option<u64> {
        let now = nanos(self.clock.now());
        self.asked.store(now, Ordering::Relaxed);
        // In this order: a change that was told before the promise was renewed is seen with the promise.
        let known = self.known_until.load(Ordering::Acquire);
        (now < known).then(|| self.changes.load(Ordering::Acquire))
    }

    /// Tells that another host has changed something in the namespace.
    pub fn tell(&self) {
        self.changes.fetch_add(1, Ordering::AcqRel);
    }

    /// Tells that everything which was changed so far is told, and that what will be changed until this moment may be told
    /// later.
    pub fn is_known_until(&self, until: Duration) {
        self.known_until.fetch_max(nanos(until), Ordering::AcqRel);
    }

    /// Takes the promise back: the engine knows that it has missed something, and not what.
    pub fn is_unknown(&self) {
        self.tell();
        self.known_until.store(0, Ordering::Release);
    }

    /// Whether anybody has asked lately. An engine need not follow namespaces of which nobody wants to know.
    pub fn is_wanted(&self) -> bool {
        let asked = self.asked.load(Ordering::Relaxed);
        nanos(self.clock.now()).saturating_sub(asked) < nanos(WANTED)
    }
}

impl fmt::Debug for Feed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Feed").field("changes", &self.changes).finish_non_exhaustive()
    }
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::ManualClock;

    #[test]
    fn a_promise_lapses_by_itself_and_changes_are_counted() {
        let clock = ManualClock::default();
        let feed = Feed::new(Arc::new(clock.clone()));
        assert_eq!(feed.changes(), None);
        feed.is_known_until(clock.now() + Duration::from_secs(2));
        assert_eq!(feed.changes(), Some(0));
        feed.tell();
        assert_eq!(feed.changes(), Some(1));
        // An earlier moment takes nothing back.
        feed.is_known_until(clock.now());
        clock.advance(Duration::from_secs(1));
        assert_eq!(feed.changes(), Some(1));
        clock.advance(Duration::from_secs(1));
        assert_eq!(feed.changes(), None);
        feed.is_known_until(clock.now() + Duration::from_secs(2));
        assert_eq!(feed.changes(), Some(1), "nothing has changed meanwhile");
        feed.is_unknown();
        assert_eq!(feed.changes(), None);
        feed.is_known_until(clock.now() + Duration::from_secs(2));
        assert_eq!(feed.changes(), Some(2));
    }

    #[test]
    fn what_nobody_asks_for_is_not_wanted() {
        let clock = ManualClock::default();
        let feed = Feed::new(Arc::new(clock.clone()));
        assert!(feed.is_wanted());
        clock.advance(WANTED);
        assert!(!feed.is_wanted());
        feed.changes();
        assert!(feed.is_wanted());
    }
}
