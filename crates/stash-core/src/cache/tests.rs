//! The rules of the cache, one by one.

use super::*;
use crate::clock::ManualClock;

fn cache(max_entries: usize, max_size_bytes: usize, budget: Option<&Arc<CacheBudget>>) -> Arc<Cache> {
    let config = CacheConfig { max_entries, max_size_bytes, ttl: None };
    Cache::new(config, Arc::new(ManualClock::default()), budget.cloned())
}

fn fill(cache: &Cache, key: &str, bytes: usize) {
    let Lookup::Miss(filler) = cache.lookup(key, 0) else { panic!("{key} is there") };
    cache.fill(filler, key, Some(&Record { version: Version(1), value: vec![0; bytes].into(), ..Record::default() }));
}

fn holds(cache: &Cache, key: &str) -> bool {
    matches!(cache.lookup(key, 0), Lookup::Hit(_))
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
    cache.begin(["b", "c"].map(Touched::Key).into_iter());
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
    let Lookup::Miss(filler) = cache.lookup("k", 0) else { panic!("the cache is empty") };
    let record = |version| Record { version: Version(version), value: "v".into(), ..Record::default() };
    for (version, held) in [(2, 2), (1, 2), (3, 3)] {
        cache.fill(filler, "k", Some(&record(version)));
        let Lookup::Hit(Some(found)) = cache.lookup("k", 0) else { panic!("it was filled") };
        assert_eq!(found.version, Version(held));
    }
    cache.fill(filler, "k", None);
    assert!(matches!(cache.lookup("k", 0), Lookup::Hit(Some(_))), "absence that was seen earlier is older too");
}

#[test]
fn nothing_fills_while_or_after_a_commit_is_under_way() {
    let cache = cache(10, usize::MAX, None);
    let record = Record { version: Version(1), value: "v".into(), ..Record::default() };
    let Lookup::Miss(before) = cache.lookup("k", 0) else { panic!("the cache is empty") };
    cache.begin([Touched::Key("k")].into_iter());
    let Lookup::Miss(during) = cache.lookup("k", 0) else { panic!("the key is pending") };
    for filler in [before, during] {
        cache.fill(filler, "k", Some(&record));
        assert!(!holds(&cache, "k"));
    }
    cache.settle(None, [(Touched::Key("k"), None)].into_iter());
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
    cache.begin([Touched::Prefix("a")].into_iter());
    assert_eq!(["a1", "a2", "b"].map(|key| holds(&cache, key)), [false, false, true]);
    fill(&cache, "a1", 1);
    assert!(!holds(&cache, "a1"), "the commit may be visible already");
    let committed = Committed { version: Version(2), outcomes: Vec::new() };
    cache.begin([Touched::Key("a2")].into_iter());
    cache.settle(Some(&committed), [(Touched::Key("a2"), None)].into_iter());
    assert!(!holds(&cache, "a2"), "another commit's key is under the prefix too");
    cache.settle(Some(&committed), [(Touched::Prefix("a"), None)].into_iter());
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
    cache.begin([Touched::Key("c")].into_iter());
    cache.settle(Some(&committed), [(Touched::Key("c"), None)].into_iter());
    assert_eq!(["a", "c"].map(|key| holds(&cache, key)), [false, false], "it may change these too");
    let Lookup::Miss(filler) = cache.lookup("a", 0) else { panic!("it is not there") };
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
    let Lookup::Miss(filler) = cache.lookup("k", 0) else { panic!("the cache is empty") };
    let mut record = Record { value: "v".into(), ..Record::default() };
    record.metadata.expires = Some(clock.wall().after(Duration::from_millis(5)));
    cache.fill(filler, "k", Some(&record));
    for (millis, there) in [(4, true), (1, false)] {
        clock.advance(Duration::from_millis(millis));
        let Lookup::Hit(found) = cache.lookup("k", 0) else { panic!("it was filled") };
        let mut looked = None;
        assert!(cache.look("k", 0, &mut |record| looked = Some(record.is_some())));
        assert_eq!((found.is_some(), looked), (there, Some(there)));
    }
}
