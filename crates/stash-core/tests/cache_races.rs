//! The cache's rules, one interleaving each, driven by hand: a slow reader never brings an old value back, whatever
//! happens to the entry meanwhile, and a commit whose caller goes away leaves the cache in agreement with the engine.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use stash_conformance::delayed::{ByHand, DelayedEngine, Gate, Gates};
use stash_core::{
    Batch, CacheConfig, CachedStorage, ComponentStorage, EngineBackend, ManualClock, NamespacedStorage, StorageError,
    StorageValue,
};

type Store = NamespacedStorage<CachedStorage<EngineBackend<DelayedEngine>>>;

struct Setup {
    store: Store,
    gates: Gates,
    clock: ManualClock,
    /// The engine's truth, past the cache and the gates.
    truth: NamespacedStorage<EngineBackend<stash_core::MemoryEngine>>,
}

fn setup(config: CacheConfig) -> Setup {
    let (engine, clock) = (DelayedEngine::default(), ManualClock::default());
    let (gates, undelayed) = (engine.gates().clone(), engine.undelayed());
    let id = "app/service-a/001".parse().unwrap();
    let backend = now(EngineBackend::open_with(engine, Arc::new(clock.clone()))).unwrap();
    let cached = CachedStorage::with(backend, config, Arc::new(clock.clone()), None);
    let truth = NamespacedStorage::new(&id, now(EngineBackend::open_with(undelayed, Arc::new(clock.clone()))).unwrap());
    Setup { store: NamespacedStorage::new(&id, cached), gates, clock, truth }
}

fn entries(max_entries: usize) -> CacheConfig {
    CacheConfig { max_entries, ..CacheConfig::default() }
}

/// The answer of a call that does not wait.
fn now<T>(call: impl Future<Output = T>) -> T {
    let mut call = std::pin::pin!(call);
    match call.as_mut().poll(&mut std::task::Context::from_waker(std::task::Waker::noop())) {
        std::task::Poll::Ready(answer) => answer,
        std::task::Poll::Pending => panic!("the call waits"),
    }
}

impl Setup {
    fn get(&self, key: &'static str) -> ByHand<Option<StorageValue>> {
        let store = self.store.clone();
        ByHand::new(async move { store.get(key).await.unwrap() })
    }

    fn commit(&self, batch: Batch) -> ByHand<Result<(), StorageError>> {
        let store = self.store.clone();
        ByHand::new(async move { store.commit(batch).await.map(drop) })
    }

    fn set(&self, key: &str, value: &str) -> ByHand<Result<(), StorageError>> {
        self.commit(Batch::new().set(key, value))
    }

    /// A reader that has looked at `key` in the engine and is slow to come back.
    fn slow_reader(&self, key: &'static str) -> ByHand<Option<StorageValue>> {
        self.gates.read_ends.close();
        let reader = self.get(key).must_wait();
        self.gates.read_ends.open();
        reader
    }

    /// A commit that waits at a gate.
    fn held(&self, gate: &Gate, batch: Batch) -> ByHand<Result<(), StorageError>> {
        gate.close();
        let commit = self.commit(batch).must_wait();
        gate.open();
        commit
    }

    /// The chain agrees with the engine, when asked and when asked again.
    fn assert_agrees(&self, keys: &[&str]) {
        for key in keys.iter().chain(keys) {
            assert_eq!(now(self.store.read_one(key)), now(self.truth.read_one(key)), "{key}");
        }
    }

    /// The key is served from the cache, which shows that no commit of it is thought to be under way.
    fn assert_cached(&self, key: &str) {
        now(self.store.get(key)).unwrap();
        let before = self.store.inner().stats().hits;
        now(self.store.get(key)).unwrap();
        assert_eq!(self.store.inner().stats().hits, before + 1, "{key} does not stay in the cache");
    }
}

#[allow(clippy::unnecessary_wraps)] // What a `get` answers.
fn text(value: &str) -> Option<StorageValue> {
    Some(value.into())
}

#[test]
fn a_reader_that_looked_before_the_commit_does_not_fill() {
    for (config, evict) in [(entries(100), false), (entries(1), true)] {
        let setup = setup(config);
        let reader = setup.slow_reader("k");
        setup.set("k", "new").must_end().unwrap();
        if evict {
            now(setup.store.get("other")).unwrap();
        }
        assert_eq!(reader.must_end(), None, "it began before the commit");
        assert_eq!(now(setup.store.get("k")), Ok(text("new")));
    }
}

#[test]
fn a_reader_that_looked_while_the_commit_waited_does_not_fill() {
    // What happens to the new entry before the reader comes back.
    type Meanwhile = fn(&Setup);
    let cases: [(&str, CacheConfig, Meanwhile); 4] = [
        ("it stays", entries(100), |_| {}),
        ("it is evicted", entries(1), |setup| drop(now(setup.store.get("other")))),
        ("it expires", CacheConfig { ttl: Some(Duration::from_secs(1)), ..entries(100) }, |setup| {
            setup.clock.advance(Duration::from_secs(1));
            // The reader's own entry must not be served either: this read takes the expired one away.
            setup.gates.read_ends.close();
            drop(setup.get("k").must_wait());
            setup.gates.read_ends.open();
        }),
        ("it was too large", CacheConfig { max_size_bytes: 1000, ..entries(100) }, |_| {}),
    ];
    for (what, config, meanwhile) in cases {
        let setup = setup(config);
        setup.set("k", "old").must_end().unwrap();
        let large = "new".repeat(1000);
        let writer = setup.held(&setup.gates.update_begins, Batch::new().set("k", &*large));
        let reader = setup.slow_reader("k");
        writer.must_end().unwrap();
        meanwhile(&setup);
        assert_eq!(reader.must_end(), text("old"), "it began before the commit took effect");
        assert_eq!(now(setup.store.get("k")), Ok(text(&large)), "{what}");
    }
}

#[test]
fn a_reader_that_found_nothing_does_not_hide_what_was_created() {
    let setup = setup(entries(1));
    let writer = setup.held(&setup.gates.update_begins, Batch::new().set("k", "new"));
    let reader = setup.slow_reader("k");
    writer.must_end().unwrap();
    now(setup.store.get("other")).unwrap();
    assert_eq!(reader.must_end(), None);
    setup.assert_agrees(&["k"]);
}

#[test]
fn a_reader_does_not_bring_back_what_was_deleted() {
    let setup = setup(entries(1));
    setup.set("k", "old").must_end().unwrap();
    now(setup.store.get("other")).unwrap();
    let reader = setup.slow_reader("k");
    setup.commit(Batch::new().delete("k")).must_end().unwrap();
    now(setup.store.get("other")).unwrap();
    assert_eq!(reader.must_end(), text("old"));
    setup.assert_agrees(&["k"]);
}

#[test]
fn a_key_with_a_commit_under_way_is_read_through() {
    let setup = setup(entries(100));
    setup.set("k", "old").must_end().unwrap();
    setup.assert_cached("k");
    let waiting = setup.held(&setup.gates.update_begins, Batch::new().set("k", "new"));
    assert_eq!(now(setup.store.get("k")), Ok(text("old")), "not yet in effect");
    waiting.must_end().unwrap();
    let visible = setup.held(&setup.gates.update_is_visible, Batch::new().set("k", "newer"));
    assert_eq!(now(setup.store.get("k")), Ok(text("newer")), "in effect, the cache not yet told");
    assert_eq!(now(setup.store.list_keys("")), Ok(vec!["k".to_owned()]));
    let told = {
        setup.gates.update_ends.close();
        visible.must_wait()
    };
    assert_eq!(now(setup.store.get("k")), Ok(text("newer")));
    setup.assert_cached("k");
    setup.gates.update_ends.open();
    told.must_end().unwrap();
    setup.assert_agrees(&["k"]);
}

#[test]
fn a_key_with_two_commits_under_way_is_read_through_until_both_are_over() {
    let setup = setup(entries(100));
    let second = setup.held(&setup.gates.update_begins, Batch::new().set("k", "second"));
    setup.set("k", "first").must_end().unwrap();
    assert_eq!(now(setup.store.get("k")), Ok(text("first")));
    setup.gates.update_is_visible.close();
    let second = second.must_wait();
    assert_eq!(now(setup.store.get("k")), Ok(text("second")), "in effect, the cache not yet told");
    setup.gates.update_is_visible.open();
    second.must_end().unwrap();
    setup.assert_cached("k");
    setup.assert_agrees(&["k"]);
}

#[test]
fn a_read_of_several_never_mixes_two_states() {
    let setup = setup(entries(100));
    setup.commit(Batch::new().set("a", "1").set("b", "1")).must_end().unwrap();
    let both = |store: &Store| {
        let records = now(store.read(&["a", "b"])).unwrap();
        records.into_iter().map(|record| record.unwrap().value).collect::<Vec<_>>()
    };
    // The commit takes one key out of the cache and not the other; then it is visible and the cache does not know.
    let writer = setup.held(&setup.gates.update_is_visible, Batch::new().set("a", "2").set("b", "2"));
    assert_eq!(both(&setup.store), ["2".into(), "2".into()]);
    writer.must_end().unwrap();
    let other = setup.held(&setup.gates.update_begins, Batch::new().set("b", "3"));
    assert_eq!(both(&setup.store), ["2".into(), "2".into()]);
    other.must_end().unwrap();
    assert_eq!(both(&setup.store), ["2".into(), "3".into()]);
}

#[test]
fn a_commit_whose_caller_goes_away_leaves_the_cache_right() {
    for gate in 0..3 {
        for warm in [false, true] {
            let setup = setup(entries(100));
            setup.commit(Batch::new().set("a", "old").set("b", "old")).must_end().unwrap();
            if warm {
                setup.assert_cached("a");
            }
            let gates = [&setup.gates.update_begins, &setup.gates.update_is_visible, &setup.gates.update_ends];
            drop(setup.held(gates[gate], Batch::new().set("a", "new").delete("b").set("a", "newer")));
            let happened = now(setup.truth.get("a")).unwrap() == text("newer");
            assert_eq!(happened, gate > 0, "dropped at gate {gate}");
            setup.assert_agrees(&["a", "b"]);
            setup.assert_cached("a");
            setup.assert_cached("b");
        }
    }
}

#[test]
fn commits_of_one_key_may_overtake_each_other_and_go_away() {
    let setup = setup(entries(100));
    let first = setup.held(&setup.gates.update_begins, Batch::new().set("k", "first"));
    let second = setup.held(&setup.gates.update_begins, Batch::new().set("k", "second"));
    let third = setup.held(&setup.gates.update_begins, Batch::new().set("k", "third"));
    second.must_end().unwrap();
    assert_eq!(now(setup.store.get("k")), Ok(text("second")));
    drop(third);
    assert_eq!(now(setup.store.get("k")), Ok(text("second")));
    first.must_end().unwrap();
    assert_eq!(now(setup.store.get("k")), Ok(text("first")), "it took effect last");
    setup.assert_cached("k");
    setup.assert_agrees(&["k"]);
}

#[test]
fn a_refused_commit_leaves_the_cache_right() {
    let setup = setup(entries(100));
    setup.set("k", "old").must_end().unwrap();
    let refused = setup.held(&setup.gates.update_begins, Batch::new().require_absent("k").set("k", "new").delete("a"));
    assert_eq!(now(setup.store.get("k")), Ok(text("old")));
    refused.must_end().unwrap_err();
    setup.assert_agrees(&["k", "a"]);
    setup.assert_cached("k");
    setup.assert_cached("a");
    // Refused before the engine has seen it.
    setup.commit(Batch::new().set("k", "new").set("", "no key")).must_end().unwrap_err();
    setup.assert_cached("k");
    setup.assert_agrees(&["k"]);
}

#[test]
fn a_reader_that_goes_away_leaves_nothing() {
    let setup = setup(entries(100));
    setup.set("k", "old").must_end().unwrap();
    drop(setup.slow_reader("other"));
    drop(setup.slow_reader("k2"));
    setup.set("k2", "new").must_end().unwrap();
    setup.assert_agrees(&["k", "k2", "other"]);
}

#[test]
fn an_entry_is_served_until_its_ttl_and_not_after() {
    let setup = setup(CacheConfig { ttl: Some(Duration::from_secs(10)), ..entries(100) });
    setup.set("k", "v").must_end().unwrap();
    setup.gates.read_begins.close();
    setup.clock.advance(Duration::from_nanos(9_999_999_999));
    assert_eq!(now(setup.store.get("k")), Ok(text("v")), "from the cache: the engine does not answer");
    setup.clock.advance(Duration::from_nanos(1));
    let reader = setup.get("k").must_wait();
    setup.gates.read_begins.open();
    assert_eq!(reader.must_end(), text("v"));
    setup.assert_cached("k");
}

#[test]
fn absence_is_cached_and_a_hit_does_not_touch_the_engine() {
    let setup = setup(entries(100));
    now(setup.store.get("absent")).unwrap();
    setup.set("there", "v").must_end().unwrap();
    setup.set("gone", "v").must_end().unwrap();
    setup.commit(Batch::new().delete("gone")).must_end().unwrap();
    // From here on the engine answers no read at all.
    setup.gates.read_begins.close();
    assert_eq!(now(setup.store.get("there")), Ok(text("v")), "filled by its own commit");
    assert_eq!(now(setup.store.get("gone")), Ok(None));
    assert_eq!(now(setup.store.exists("there")), Ok(true));
}
