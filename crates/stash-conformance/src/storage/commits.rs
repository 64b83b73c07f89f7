//! Commits: versions, checks, batches, exact usage, hooks.

use std::sync::{Arc, Mutex};

use stash_core::{Batch, Committed, ComponentStorage, StorageError, Touched, Version};

use super::{contents, counted, one, open, sets};
use crate::world::WorldFixture;

fn told(committed: &Committed) -> (Version, Vec<bool>) {
    (committed.version, committed.existed())
}

pub(super) async fn versions_grow_by_one<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let nothing = chain.commit(Batch::new()).await.unwrap();
    assert_eq!(told(&nothing), (Version(0), vec![]), "an empty batch in a new namespace");
    for version in 1..=5 {
        let committed = chain.commit(Batch::new().set("k", "same value")).await.unwrap();
        assert_eq!(told(&committed), (Version(version), vec![version > 1]));
        assert_eq!(chain.read_one("k").await.unwrap().unwrap().version, Version(version));
    }
    let unchanged = [
        Batch::new(),
        Batch::new().delete("absent"),
        Batch::new().require_present("k"),
        Batch::new().delete("absent").delete("absent too").require_absent("absent"),
    ];
    for batch in unchanged {
        let shown = format!("{batch:?}");
        assert_eq!(chain.commit(batch).await.unwrap().version, Version(5), "{shown} changes nothing");
    }
    chain.commit(Batch::new().require_absent("k").set("k", "")).await.unwrap_err();
    assert_eq!(chain.commit(Batch::new().delete("k")).await.unwrap().version, Version(6), "a deletion is a change");
    assert_eq!(chain.commit(Batch::new()).await.unwrap().version, Version(6));
}

pub(super) async fn versions_never_repeat<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let mut last = Version(0);
    for _ in 0..10 {
        chain.set("k", "same").await.unwrap();
        let version = chain.read_one("k").await.unwrap().unwrap().version;
        assert!(version > last, "{version} after {last}: deleted and made again, a record looks unchanged");
        last = version;
        assert!(chain.delete("k").await.unwrap());
        // Also when nothing at all is left of the component.
        assert!(contents(&chain).await.is_empty());
    }
}

pub(super) async fn a_batch_is_one_commit<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.commit(sets(["a", "b"], "old")).await.unwrap();
    let committed = chain.commit(Batch::new().set("a", "new").delete("b").set("c", "new").delete("d")).await.unwrap();
    assert_eq!(told(&committed), (Version(2), vec![true, true, false, false]));
    let expected = ["a", "c"].map(|key| (key.to_owned(), (Version(2), b"new".to_vec())));
    assert_eq!(contents(&chain).await, expected.into());

    let many: Vec<String> = (0..1000).map(|n| format!("many/{n:04}")).collect();
    let committed = chain.commit(sets(many.clone(), "v")).await.unwrap();
    assert_eq!(told(&committed), (Version(3), vec![false; 1000]));
    assert_eq!(chain.list_keys("many/").await.unwrap(), many);
    let keys: Vec<&str> = many.iter().map(String::as_str).collect();
    let records = chain.read(&keys).await.unwrap();
    assert!(records.iter().flatten().filter(|record| record.version == Version(3)).count() == 1000);
}

pub(super) async fn checks_hold_or_nothing_happens<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.set("there", "old").await.unwrap();
    let before = contents(&chain).await;
    let exists = |key: &str| StorageError::AlreadyExists { key: key.to_owned() };
    let missing = |key: &str| StorageError::NotFound { key: key.to_owned() };
    let refused = [
        (Batch::new().require_absent("there"), exists("there")),
        (Batch::new().require_present("gone"), missing("gone")),
        (Batch::new().require_absent("gone").require_present("there").require_absent("there"), exists("there")),
        // The first check that does not hold is named.
        (Batch::new().require_present("gone").require_absent("there"), missing("gone")),
        // A check looks at what was there before the batch, whatever the batch does.
        (Batch::new().delete("there").require_absent("there"), exists("there")),
        (Batch::new().set("gone", "v").require_present("gone"), missing("gone")),
    ];
    for (batch, error) in refused {
        // Warm, so that a cache could keep what the batch would have written.
        chain.read(&["there", "gone", "more"]).await.unwrap();
        let batch = batch.set("there", "new").set("more", "new").delete("there");
        assert_eq!(chain.commit(batch).await.unwrap_err(), error);
        assert_eq!(contents(&chain).await, before);
        assert_eq!(chain.get("more").await.unwrap(), None);
    }
    assert_eq!(exists("k").to_string(), "there is already a record with the key 'k'");
    let held = Batch::new().require_absent("gone").require_present("there").set("gone", "v").delete("there");
    chain.commit(held).await.unwrap();
    assert_eq!(chain.list_keys("").await.unwrap(), ["gone"]);
}

pub(super) async fn the_last_change_of_a_key_counts<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let batch =
        Batch::new().set("a", "1").set("a", "22").delete("b").set("b", "1").set("c", "1").delete("c").delete("c");
    let committed = chain.commit(batch).await.unwrap();
    let existed = vec![false, true, false, false, false, true, false];
    assert_eq!(told(&committed), (Version(1), existed), "each change sees the ones before it");
    for _ in 0..2 {
        let values = ["a", "b", "c"].map(|key| chain.get(key));
        let [a, b, c] = values;
        assert_eq!(a.await.unwrap(), Some("22".into()));
        assert_eq!(b.await.unwrap(), Some("1".into()));
        assert_eq!(c.await.unwrap(), None);
    }
    assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
    let committed = chain.commit(Batch::new().delete("a").set("a", "333").set("b", "").delete("b")).await.unwrap();
    assert_eq!(committed.existed(), [true, false, true, true]);
    assert_eq!(chain.get("a").await.unwrap(), Some("333".into()));
    assert_eq!(chain.list_keys("").await.unwrap(), ["a"]);
    assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
}

pub(super) async fn usage_matches_what_is_listed<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let batches = [
        Batch::new().set("a", "12345"),
        Batch::new().set("a", ""),
        Batch::new().set("a", "123456789"),
        Batch::new().set("é", "é").set("long/".repeat(400), "v"),
        Batch::new().delete("a").delete("absent"),
        sets((0..100).map(|n| format!("{n}")), "vvvv"),
        (0..50).fold(Batch::new(), |batch, n| batch.delete(format!("{n}")).set(format!("{}", n + 50), "v")),
        Batch::new().delete("é").set("é", "again").delete("é"),
    ];
    for batch in batches {
        chain.commit(batch).await.unwrap();
        assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
        chain.commit(sets(["x", "y"], "refused").require_present("absent")).await.unwrap_err();
        assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
    }
    for key in chain.list_keys("").await.unwrap() {
        chain.delete(&key).await.unwrap();
    }
    assert_eq!(chain.usage("").await.unwrap(), stash_core::Usage::default());
}

/// Whose hook was called, with what outcome and which changes: each key, and whether it has a record now.
type Told = (&'static str, Option<Committed>, Vec<(String, bool)>);

pub(super) async fn hooks_tell_the_outcome_once<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let told: Arc<Mutex<Vec<Told>>> = Arc::default();
    let hook = |name: &'static str, batch: Batch| {
        let told = Arc::clone(&told);
        batch.with_hook(move |outcome, changes| {
            let change = |(touched, record): (Touched<'_>, Option<&_>)| match touched {
                Touched::Key(key) => (key.to_owned(), record.is_some()),
                Touched::Prefix(prefix) => (format!("{prefix}*"), record.is_some()),
            };
            let changes = changes.iter().map(change).collect();
            told.lock().unwrap().push((name, outcome.cloned(), changes));
        })
    };
    let committed = chain.commit(hook("set", hook("set too", sets(["a", "b"], "v")))).await.unwrap();
    chain.commit(hook("refused", Batch::new().require_absent("a").set("a", "v"))).await.unwrap_err();
    chain.commit(hook("invalid", Batch::new().set("", "v"))).await.unwrap_err();
    drop(chain.commit(hook("never polled", Batch::new().set("a", "v"))));
    drop(hook("never committed", Batch::new().set("a", "v")));
    let unchanged = chain.commit(hook("unchanged", Batch::new().delete("absent"))).await.unwrap();
    let mut told = told.lock().unwrap();
    // The hooks of one batch come in no promised order.
    told[..2].sort_by_key(|(name, ..)| *name);
    // The component's own keys, wherever the batch had come to; records only where it was committed.
    let change = |key: &str, set| (key.to_owned(), set);
    let both = vec![change("a", true), change("b", true)];
    let expected = [
        ("set", Some(committed.clone()), both.clone()),
        ("set too", Some(committed), both),
        ("refused", None, vec![change("a", false)]),
        ("invalid", None, vec![change("", false)]),
        ("never polled", None, vec![change("a", false)]),
        ("never committed", None, vec![change("a", false)]),
        ("unchanged", Some(unchanged), vec![change("absent", false)]),
    ];
    assert_eq!(*told, expected);
}
