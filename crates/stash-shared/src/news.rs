//! What is known of other hosts' commits, by namespace. It must never vouch for a moment of which it has not asked: feeds are
//! vouched for only from the moment before the server was asked.

use std::collections::HashMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stash_core::engine::OthersCommitted;
use stash_core::{Clock, Feed};
use tokio::sync::Notify;

use crate::head::{Head, HostId};
use crate::server::Expected;

/// The namespaces that somebody wants to hear of.
pub(crate) struct News {
    clock: Arc<dyn Clock>,
    followed: Mutex<HashMap<Bytes, Followed>>,
    told: Mutex<Option<Arc<OthersCommitted>>>,
    /// Told when a namespace is followed anew.
    more: Notify,
}

/// One namespace.
struct Followed {
    feed: Weak<Feed>,
    /// The head up to which all is told, as the server said it; `None` before the first answer. What others announce is no
    /// such thing: it may be wrong.
    known: Option<Head>,
    /// The revision that a commit of ours which is under way would make, and the commit's number.
    ours: Option<(u64, u64)>,
    /// What was known when the question began that is under way.
    before: Option<Head>,
    /// The last revision that was announced.
    announced: u64,
}

impl Followed {
    /// Whether the head that was asked for shows that commits which were known are gone: a server that replicates in its own
    /// time can lose some of those that it has answered. What was committed since the question began may be missing in it.
    fn goes_back(&mut self, head: &Head) -> bool {
        let is_another = |known: &Head| known.revision == head.revision && known.writers != head.writers;
        self.before.take().is_some_and(|before| before.revision > head.revision || is_another(&before))
            || self.known.as_ref().is_some_and(is_another)
    }
}

impl News {
    pub(crate) fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, followed: Mutex::default(), told: Mutex::default(), more: Notify::new() }
    }

    /// The time on the clock of the feeds.
    pub(crate) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Whom to tell beside the feeds.
    pub(crate) fn tell(&self, told: OthersCommitted) {
        *self.told.lock() = Some(Arc::new(told));
    }

    /// The feed of a namespace, which is followed as long as somebody holds it and asks.
    pub(crate) fn feed(&self, owner: &[u8]) -> Arc<Feed> {
        let mut followed = self.followed.lock();
        if let Some(feed) = followed.get(owner).and_then(|followed| followed.feed.upgrade()) {
            return feed;
        }
        let feed = Arc::new(Feed::new(Arc::clone(&self.clock)));
        let entry = Followed { feed: Arc::downgrade(&feed), known: None, ours: None, before: None, announced: 0 };
        followed.insert(Bytes::copy_from_slice(owner), entry);
        drop(followed);
        self.more.notify_one();
        feed
    }

    /// Ready when a namespace is followed anew.
    pub(crate) async fn more(&self) {
        self.more.notified().await;
    }

    /// The namespaces to ask for, at once: one question follows the other. Those that nobody holds any more are forgotten.
    pub(crate) fn wanted(&self) -> Vec<Bytes> {
        let mut followed = self.followed.lock();
        followed.retain(|_, followed| followed.feed.strong_count() > 0);
        let wanted = followed.iter_mut().filter(|(_, it)| it.feed.upgrade().is_some_and(|feed| feed.is_wanted()));
        let begun = wanted.map(|(owner, entry)| {
            entry.before.clone_from(&entry.known);
            owner.clone()
        });
        begun.collect()
    }

    /// A head, as a server told it. Where it was asked for at a known moment, all that was committed before is told then.
    pub(crate) fn heard(&self, owner: &[u8], head: &Head, us: HostId, vouched: Option<Duration>) {
        let (mut others, mut is_first) = (false, false);
        {
            let mut followed = self.followed.lock();
            let Some(entry) = followed.get_mut(owner) else { return };
            let Some(feed) = entry.feed.upgrade() else { return };
            let by_us =
                head.last().is_some_and(|(host, number)| host == us && entry.ours == Some((head.revision, number)));
            let is_known = match entry.known.as_ref().map(|known| known.revision) {
                // The beginning: nothing was vouched for before.
                None if vouched.is_some() => {
                    is_first = true;
                    false
                }
                None => return,
                Some(_) if vouched.is_some() && entry.goes_back(head) => {
                    others = true;
                    false
                }
                Some(known) if head.revision <= known => true,
                Some(known) => {
                    // Our own, before its answer was seen, is nobody's news.
                    others = !(by_us && head.revision == known.saturating_add(1));
                    false
                }
            };
            if !is_known {
                entry.known = Some(head.clone());
            }
            if others {
                feed.tell();
            }
            if let Some(until) = vouched {
                feed.is_known_until(until);
            }
        }
        // Who began to wait before the first answer may have looked before a commit that is in it.
        if others || is_first {
            self.wake(owner);
        }
    }

    /// Another host says that it has made this revision. Whether it has is asked for as always.
    pub(crate) fn announced(&self, owner: &[u8], revision: u64) {
        {
            let mut followed = self.followed.lock();
            let Some(entry) = followed.get_mut(owner) else { return };
            let Some(feed) = entry.feed.upgrade() else { return };
            // Before the first answer nothing is vouched for.
            let Some(known) = &entry.known else { return };
            if revision <= known.revision.max(entry.announced) {
                return;
            }
            entry.announced = revision;
            feed.tell();
        }
        self.wake(owner);
    }

    /// A commit of ours is about to be sent.
    pub(crate) fn under_way(&self, owners: &[Expected]) {
        self.each(owners, |entry, expected| {
            entry.ours = expected.head.last().map(|(_, number)| (expected.head.revision, number));
        });
    }

    /// Nobody is told any more that a commit of ours has come about: where it still does, it is news as another's.
    pub(crate) fn over(&self, owners: &[Expected]) {
        self.each(owners, |entry, _| entry.ours = None);
    }

    fn each(&self, owners: &[Expected], mut change: impl FnMut(&mut Followed, &Expected)) {
        let mut followed = self.followed.lock();
        for expected in owners {
            if let Some(entry) = followed.get_mut(&expected.owner) {
                change(entry, expected);
            }
        }
    }

    /// A commit of ours was applied.
    pub(crate) fn committed(&self, owners: &[Expected], us: HostId) {
        for expected in owners {
            self.heard(&expected.owner, &expected.head, us, None);
        }
    }

    fn wake(&self, owner: &[u8]) {
        let told = self.told.lock().clone();
        if let (Some(told), Ok(owner)) = (told, std::str::from_utf8(owner)) {
            told(&format!("{owner}/"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stash_core::ManualClock;
    use std::sync::atomic::{AtomicUsize, Ordering};

    const US: HostId = HostId(1);
    const OTHER: HostId = HostId(2);
    const OWNER: &[u8] = b"app/a/1";

    fn head(revision: u64, host: HostId) -> Head {
        let before = Head { revision: revision - 1, ..Head::default() };
        before.after(host, revision)
    }

    fn expected(revision: u64) -> [Expected; 1] {
        [Expected { owner: OWNER.into(), revision, writers: Bytes::new(), head: head(revision + 1, US) }]
    }

    fn followed() -> (News, Arc<Feed>, Arc<AtomicUsize>, ManualClock) {
        let clock = ManualClock::default();
        let news = News::new(Arc::new(clock.clone()));
        let woken = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&woken);
        news.tell(Box::new(move |scope| {
            assert_eq!(scope, "app/a/1/");
            count.fetch_add(1, Ordering::SeqCst);
        }));
        let feed = news.feed(OWNER);
        (news, feed, woken, clock)
    }

    const LATER: Option<Duration> = Some(Duration::from_hours(1));

    #[test]
    fn others_commits_are_told_once_and_ours_are_not() {
        let (news, feed, woken, _) = followed();
        news.heard(OWNER, &head(3, OTHER), US, None);
        assert_eq!(feed.changes(), None, "nothing was asked for yet");
        news.heard(OWNER, &head(3, OTHER), US, LATER);
        assert_eq!(feed.changes(), Some(0));
        // Ours, whose answer comes after its news; and one the other way about.
        news.under_way(&expected(3));
        news.heard(OWNER, &head(4, US), US, LATER);
        news.committed(&expected(3), US);
        news.under_way(&expected(4));
        news.committed(&expected(4), US);
        news.heard(OWNER, &head(5, US), US, LATER);
        assert_eq!((feed.changes(), woken.load(Ordering::SeqCst)), (Some(0), 1), "whoever waits looks once more");
        news.announced(OWNER, 6);
        news.announced(OWNER, 6);
        assert_eq!((feed.changes(), woken.load(Ordering::SeqCst)), (Some(1), 2));
        // Only now it is certain, and what was read in between may have been read before it.
        news.heard(OWNER, &head(6, OTHER), US, LATER);
        news.heard(OWNER, &head(6, OTHER), US, LATER);
        assert_eq!((feed.changes(), woken.load(Ordering::SeqCst)), (Some(2), 3));
        // An answer to something else that is late tells nothing.
        news.heard(OWNER, &head(4, OTHER), US, None);
        assert_eq!(feed.changes(), Some(2));
        // Ours shows that another's came in between.
        news.under_way(&expected(7));
        news.committed(&expected(7), US);
        assert_eq!(feed.changes(), Some(3));
    }

    #[test]
    fn what_is_announced_is_not_believed() {
        let (news, feed, _, _) = followed();
        news.heard(OWNER, &head(3, OTHER), US, LATER);
        news.announced(OWNER, u64::MAX);
        assert_eq!(feed.changes(), Some(1));
        news.heard(OWNER, &head(4, OTHER), US, LATER);
        assert_eq!(feed.changes(), Some(2));
    }

    #[test]
    fn a_commit_of_ours_that_comes_about_after_its_end_is_news() {
        let (news, feed, _, _) = followed();
        news.heard(OWNER, &head(3, OTHER), US, LATER);
        news.under_way(&expected(3));
        news.over(&expected(3));
        news.heard(OWNER, &head(4, US), US, LATER);
        assert_eq!(feed.changes(), Some(1));
        // Also where the next one would have made the same revision.
        let (news, feed, _, _) = followed();
        news.heard(OWNER, &head(3, OTHER), US, LATER);
        let next = Head { revision: 3, ..Head::default() }.after(US, 99);
        news.under_way(&[Expected { head: next, ..expected(3)[0].clone() }]);
        news.heard(OWNER, &head(4, US), US, LATER);
        assert_eq!(feed.changes(), Some(1));
    }

    #[test]
    fn commits_of_ours_that_a_server_has_lost_are_told() {
        let (news, feed, _, _) = followed();
        news.heard(OWNER, &head(3, OTHER), US, LATER);
        news.under_way(&expected(3));
        news.committed(&expected(3), US);
        assert_eq!((feed.changes(), news.wanted().len()), (Some(0), 1));
        news.heard(OWNER, &head(4, OTHER), US, LATER);
        assert_eq!(feed.changes(), Some(1), "the number is the same, and the commit is not");
        // What is committed while it is asked is not lost because the answer does not have it.
        news.heard(OWNER, &head(4, OTHER), US, LATER);
        news.wanted();
        news.under_way(&expected(4));
        news.committed(&expected(4), US);
        news.heard(OWNER, &head(4, OTHER), US, LATER);
        assert_eq!(feed.changes(), Some(1));
    }

    #[test]
    fn commits_that_a_server_has_lost_are_told() {
        let (news, feed, _, _) = followed();
        news.heard(OWNER, &head(7, OTHER), US, LATER);
        news.heard(OWNER, &head(7, OTHER), US, LATER);
        assert_eq!(feed.changes(), Some(0));
        // An answer to something else may be late.
        news.heard(OWNER, &head(5, OTHER), US, None);
        assert_eq!(feed.changes(), Some(0));
        news.wanted();
        news.heard(OWNER, &head(5, OTHER), US, LATER);
        assert_eq!(feed.changes(), Some(1));
        // What comes after that is told as always, though it was heard of by the same number before.
        news.heard(OWNER, &head(6, OTHER), US, LATER);
        assert_eq!(feed.changes(), Some(2));
        // Lost, and made again by somebody else.
        news.heard(OWNER, &head(6, HostId(3)), US, LATER);
        assert_eq!(feed.changes(), Some(3));
    }

    #[test]
    fn what_nobody_wants_is_not_asked_for() {
        let (news, feed, _, clock) = followed();
        assert_eq!(news.wanted(), [OWNER]);
        clock.advance(Duration::from_mins(1));
        assert!(news.wanted().is_empty());
        assert_eq!(feed.changes(), None);
        assert_eq!(news.wanted(), [OWNER]);
        assert!(Arc::ptr_eq(&feed, &news.feed(OWNER)));
        drop(feed);
        assert!(news.wanted().is_empty() && news.followed.lock().is_empty());
    }
}
