//! The rules of the cache, one by one.

use super::*;
use crate::clock::ManualClock;

/// The layer below, over an engine that nobody else writes to.
struct Alone(u64);

impl Below for Alone {
    fn gaps(&self) -> u64 {
        self.0
    }

    fn feed(&self, _: &str) -> Option<Arc<Feed>> {
        None
    }
}

/// The layer below, over an engine that others write to.
struct Shared(Arc<Feed>);

impl Below for Shared {
    fn gaps(&self) -> u64 {
        0
    }

    fn feed(&self, _: &str) -> Option<Arc<Feed>> {
        Some(Arc::clone(&self.0))
    }
}

fn cache(max_entries: usize, max_size_bytes: usize, budget: Option<&Arc<CacheBudget>>) -> Arc<Cache> {
    let config = CacheConfig { max_entries, max_size_bytes, ttl: None };
    Cache::new(config, Arc::new(ManualClock::default()), budget.cloned())
}

fn fill(cache: &Cache, key: &str, bytes: usize) {
    let Lookup::Miss(filler) = cache.lookup(key, &Alone(0)) else { panic!("{key} is there") };
    cache.fill(filler, key, Some(&Record { version: Version(1), value: vec![0; bytes].into(), ..Record::default() }));
}

fn holds(cache: &Cache, key: &str) -> bool {
    matches!(cache.lookup(key, &Alone(0)), Lookup::Hit(_))
}

#[test]
fn the_entry_used_longest_ago_goes_first() {
    let cache = cache(2, usize::MAX, None);
    fill(&cache, "a", 1);
    fill(&cache, "b", 1);
    assert!(holds(&cache, "a"));
    fill(&cache, "c", 1);
    assert_eq!(["a", "b", "c"].map(|key| holds(&cache, key)), [true, false, true]);
    assert_eq!(cache.stats().entries, 2);
}

#[test]
fn bytes_are_bounded_and_given_back() {
    let cost = ENTRY_OVERHEAD_BYTES + 1 + 100;
    let cache = cache(100, 2 * cost, None);
    for key in ["a", "b", "c"] {
        fill(&cache, key, 100);
    }
    assert_eq!((cache.stats().entries, cache.stats().bytes), (2, 2 * cost));
    fill(&cache, "d", 2 * cost);
    assert_eq!(cache.stats().entries, 2, "what can never fit takes nobody's place");
    cache.begin(["b", "c"].map(Touched::Key).into_iter(), &Alone(0));
    assert_eq!((cache.stats().entries, cache.stats().bytes), (0, 0));
}

#[test]
fn a_budget_is_shared_and_the_idle_give_way() {
    let cost = ENTRY_OVERHEAD_BYTES + 1 + 100;
    let budget = Arc::new(CacheBudget::new(3 * cost));
    let (idle, busy) = (cache(100, usize::MAX, Some(&budget)), cache(100, usize::MAX, Some(&budget)));
    for (cache, key) in [(&idle, "a"), (&idle, "b"), (&busy, "c"), (&busy, "d")] {
        fill(cache, key, 100);
    }
    assert_eq!((idle.stats().entries, busy.stats().entries), (1, 2), "room is made where nobody asks");
    fill(&busy, "e", 100);
    fill(&busy, "f", 100);
    assert_eq!((idle.stats().entries, busy.stats().entries), (0, 3), "and then where it is oldest");
    assert_eq!(["c", "d", "e", "f"].map(|key| holds(&busy, key)), [false, true, true, true]);
    assert_eq!(budget.used(), 3 * cost);
    drop(busy);
    assert_eq!(budget.used(), 0);
}

#[test]
fn an_older_record_never_replaces_a_newer_one() {
    let cache = cache(10, usize::MAX, None);
    let Lookup::Miss(filler) = cache.lookup("k", &Alone(0)) else { panic!("the cache is empty") };
    let record = |version| Record { version: Version(version), value: "v".into(), ..Record::default() };
    for (version, held) in [(2, 2), (1, 2), (3, 3)] {
        cache.fill(filler, "k", Some(&record(version)));
        let Lookup::Hit(Some(found)) = cache.lookup("k", &Alone(0)) else { panic!("it was filled") };
        assert_eq!(found.version, Version(held));
    }
    cache.fill(filler, "k", None);
    assert!(matches!(cache.lookup("k", &Alone(0)), Lookup::Hit(Some(_))), "absence that was seen earlier is older too");
}

#[test]
fn nothing_fills_while_or_after_a_commit_is_under_way() {
    let cache = cache(10, usize::MAX, None);
    let record = Record { version: Version(1), value: "v".into(), ..Record::default() };
    let Lookup::Miss(before) = cache.lookup("k", &Alone(0)) else { panic!("the cache is empty") };
    let begun = cache.begin([Touched::Key("k")].into_iter(), &Alone(0));
    let Lookup::Miss(during) = cache.lookup("k", &Alone(0)) else { panic!("the key is pending") };
    for filler in [before, during] {
        cache.fill(filler, "k", Some(&record));
        assert!(!holds(&cache, "k"));
    }
    cache.settle(begun, None, [(Touched::Key("k"), None)].into_iter());
    for filler in [before, during] {
        cache.fill(filler, "k", Some(&record));
        assert!(!holds(&cache, "k"));
    }
    fill(&cache, "k", 1);
    assert!(holds(&cache, "k"));
}

#[test]
fn a_prefix_under_way_keeps_all_its_keys_out() {
    let cache = cache(10, usize::MAX, None);
    for key in ["a1", "a2", "b"] {
        fill(&cache, key, 1);
    }
    let cleared = cache.begin([Touched::Prefix("a")].into_iter(), &Alone(0));
    assert_eq!(["a1", "a2", "b"].map(|key| holds(&cache, key)), [false, false, true]);
    fill(&cache, "a1", 1);
    assert!(!holds(&cache, "a1"), "the commit may be visible already");
    let committed = Committed { version: Version(2), outcomes: Vec::new() };
    let begun = cache.begin([Touched::Key("a2")].into_iter(), &Alone(0));
    cache.settle(begun, Some(&committed), [(Touched::Key("a2"), None)].into_iter());
    assert!(!holds(&cache, "a2"), "another commit's key is under the prefix too");
    cache.settle(cleared, Some(&committed), [(Touched::Prefix("a"), None)].into_iter());
    fill(&cache, "a1", 1);
    assert!(holds(&cache, "a1"));
}

#[test]
fn a_bulk_commit_keeps_everything_out_until_it_is_over() {
    let cache = cache(10, usize::MAX, None);
    for key in ["a", "b", "pa"] {
        fill(&cache, key, 1);
    }
    cache.begin_bulk([Touched::Key("a"), Touched::Prefix("p")].into_iter());
    assert_eq!(["a", "b", "pa"].map(|key| holds(&cache, key)), [false, true, false], "what it leaves alone stays");
    fill(&cache, "a", 1);
    let committed = Committed { version: Version(2), outcomes: Vec::new() };
    let begun = cache.begin([Touched::Key("c")].into_iter(), &Alone(0));
    cache.settle(begun, Some(&committed), [(Touched::Key("c"), None)].into_iter());
    assert_eq!(["a", "c"].map(|key| holds(&cache, key)), [false, false], "it may change these too");
    let Lookup::Miss(filler) = cache.lookup("a", &Alone(0)) else { panic!("it is not there") };
    cache.settle_bulk();
    cache.fill(filler, "a", None);
    assert!(!holds(&cache, "a"), "it was looked at before the commit was over");
    fill(&cache, "a", 1);
    assert!(holds(&cache, "a"));
}

#[test]
fn what_has_expired_is_absent() {
    let clock = ManualClock::default();
    let config = CacheConfig { max_entries: 10, max_size_bytes: usize::MAX, ttl: None };
    let cache = Cache::new(config, Arc::new(clock.clone()), None);
    let Lookup::Miss(filler) = cache.lookup("k", &Alone(0)) else { panic!("the cache is empty") };
    let mut record = Record { value: "v".into(), ..Record::default() };
    record.metadata.expires = Some(clock.wall().after(Duration::from_millis(5)));
    cache.fill(filler, "k", Some(&record));
    for (millis, there) in [(4, true), (1, false)] {
        clock.advance(Duration::from_millis(millis));
        let Lookup::Hit(found) = cache.lookup("k", &Alone(0)) else { panic!("it was filled") };
        let mut looked = None;
        assert!(cache.look("k", &Alone(0), &mut |record| looked = Some(record.is_some())));
        assert_eq!((found.is_some(), looked), (there, Some(there)));
    }
}

const KEY: &str = "app/a/1/k";

fn record(version: u64) -> Record {
    Record { version: Version(version), ..Record::default() }
}

fn cached(cache: &Cache, below: &Shared) -> Option<u64> {
    match cache.lookup(KEY, below) {
        Lookup::Hit(record) => record.map(|record| record.version.0),
        Lookup::Miss(_) => None,
    }
}

fn shared() -> (Arc<Cache>, Shared, ManualClock) {
    let clock = ManualClock::default();
    (cache(10, 1 << 20, None), Shared(Arc::new(Feed::new(Arc::new(clock.clone())))), clock)
}

#[test]
fn entries_are_served_only_while_the_feed_vouches_for_them() {
    let (cache, below, clock) = shared();
    let fill = |version| {
        let Lookup::Miss(filler) = cache.lookup(KEY, &below) else { panic!("it is there") };
        cache.fill(filler, KEY, Some(&record(version)));
    };
    fill(1);
    assert_eq!(cached(&cache, &below), None, "nothing is known of the others yet");
    below.0.is_known_until(clock.now() + Duration::from_secs(2));
    fill(1);
    assert_eq!(cached(&cache, &below), Some(1));
    clock.advance(Duration::from_secs(2));
    assert_eq!(cached(&cache, &below), None);
    assert!(!cache.look(KEY, &below, &mut |_| panic!("it is not to be shown")));
    assert!(cache.lookup_all(&[KEY], &below).is_err());
    below.0.is_known_until(clock.now() + Duration::from_secs(2));
    assert_eq!(cached(&cache, &below), Some(1), "nobody has changed anything meanwhile");
    below.0.tell();
    assert_eq!(cached(&cache, &below), None);
    assert_eq!(cache.stats().entries, 0);
}

#[test]
fn what_was_read_before_others_changed_it_does_not_come_in() {
    let (cache, below, clock) = shared();
    below.0.is_known_until(clock.now() + Duration::from_secs(2));
    let Lookup::Miss(slow) = cache.lookup(KEY, &below) else { panic!("it is there") };
    below.0.tell();
    cache.fill(slow, KEY, Some(&record(1)));
    assert_eq!(cached(&cache, &below), None);
    // Nor what a commit has left, where another may have come after it.
    let committed = |version| Committed { version: Version(version), outcomes: Vec::new() };
    let begun = cache.begin([Touched::Key(KEY)].into_iter(), &below);
    below.0.tell();
    cache.settle(begun, Some(&committed(2)), [(Touched::Key(KEY), Some(&record(2)))].into_iter());
    assert_eq!(cached(&cache, &below), None);
    let begun = cache.begin([Touched::Key(KEY)].into_iter(), &below);
    cache.settle(begun, Some(&committed(4)), [(Touched::Key(KEY), Some(&record(4)))].into_iter());
    assert_eq!(cached(&cache, &below), Some(4));
    // A commit during which nothing was known.
    let begun = cache.begin([Touched::Key(KEY)].into_iter(), &below);
    clock.advance(Duration::from_secs(2));
    cache.settle(begun, Some(&committed(5)), [(Touched::Key(KEY), Some(&record(5)))].into_iter());
    below.0.is_known_until(clock.now() + Duration::from_secs(2));
    assert_eq!(cached(&cache, &below), None);
}
