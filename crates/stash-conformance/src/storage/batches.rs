//! Batches of many changes, and of many changes of one key: each told of in its place, all of one version, or nothing.

use std::sync::Arc;
use std::time::Duration;

use stash_core::{
    Batch, Cleared, Committed, ComponentStorage, Expiry, MetadataChange, Outcome, SetOptions, StorageError, StorageExt,
    Version,
};

use super::{Chain, counted, counted_everywhere, one, open, records, sets, text};
use crate::world::WorldFixture;

pub(super) async fn each_change_is_told_of_in_its_place<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.commit(sets(["there", "p/1", "p/2"], "v").set("n", "40")).await.unwrap();
    let batch = Batch::new()
        .delete("there")
        .increment("n", 2)
        .set("new", "v")
        .delete("gone")
        .clear("p/")
        .min("n", 10)
        .max("m", -3)
        .append("new", "w")
        .clear("p/");
    let committed = chain.commit(batch).await.unwrap();
    let plain = |existed| Outcome { existed, ..Outcome::default() };
    let number = |existed, number| Outcome { existed, number: Some(number), cleared: None };
    let cleared =
        |removed| Outcome { existed: removed > 0, number: None, cleared: Some(Cleared { removed, more: false }) };
    let outcomes = vec![
        plain(true),
        number(true, 42),
        plain(false),
        plain(false),
        cleared(2),
        number(true, 10),
        number(false, -3),
        plain(true),
        cleared(0),
    ];
    assert_eq!(committed, Committed { version: Version(2), outcomes });
    let left = records(&chain).await;
    let expected = [("m", "-3"), ("n", "10"), ("new", "vw")];
    assert!(left.iter().map(|(key, record)| (key.as_str(), record.value.as_text().unwrap())).eq(expected), "{left:?}");
    assert!(left.values().all(|record| record.version == Version(2)), "one version");
    assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
}

pub(super) async fn changes_of_one_key_see_each_other<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    for round in 0..2 {
        let batch = Batch::new()
            .set("k", "5")
            .increment("k", 37)
            .append("k", "0")
            .increment("k", -20)
            .delete("k")
            .increment("k", 1)
            .append("k", "1")
            .max("k", 5)
            .expire("k", Expiry::After(Duration::from_hours(1)))
            .set_metadata("k", MetadataChange::Replace { content_type: Some("n/a".to_owned()), attributes: [].into() })
            .append("k", "!");
        let committed = chain.commit(batch).await.unwrap();
        let numbers: Vec<_> = committed.outcomes.iter().map(|outcome| outcome.number).collect();
        let expected = [None, Some(42), None, Some(400), None, Some(1), None, Some(11), None, None, None];
        assert_eq!(numbers, expected, "round {round}");
        let existed: Vec<_> = (0..11).map(|n| (n != 0 || round > 0) && n != 5).collect();
        assert_eq!(committed.existed(), existed);
        for _ in 0..2 {
            let record = chain.read_one("k").await.unwrap().unwrap();
            assert_eq!((record.version, record.value.as_text()), (committed.version, Some("11!")));
            assert_eq!(record.metadata.content_type(), Some("n/a"));
            assert!(record.metadata.expires.is_some());
        }
        assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    }
    chain.commit(Batch::new().clear("").set("k", "v").clear("k").append("k", "w").set("kk", "v")).await.unwrap();
    assert_eq!((text(&chain, "k").await.as_deref(), text(&chain, "kk").await.as_deref()), (Some("w"), Some("v")));
    // What comes and goes in one batch was never there.
    let committed = chain.commit(Batch::new().set("x", "v").delete("x")).await.unwrap();
    assert_eq!(committed.existed(), [false, true]);
    assert_eq!(text(&chain, "x").await, None);
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
}

/// Batches of which a later change fails, and how.
fn failing() -> Vec<(Batch, StorageError)> {
    let batch =
        || Batch::new().set("a", "new").delete("b").set("c", "new").increment("n", 1).append("a", "x").clear("p/");
    let key = |key: &str| key.to_owned();
    vec![
        (batch().increment("b2", 1), StorageError::NotANumber { key: key("b2") }),
        (batch().increment("a", 1), StorageError::NotANumber { key: key("a") }),
        (
            batch().increment("n", i64::MAX),
            StorageError::NumberOutOfRange { key: key("n"), number: 8, delta: i64::MAX },
        ),
        (batch().expire("absent", Expiry::Never), StorageError::NotFound { key: key("absent") }),
        (batch().expire("b", Expiry::Never), StorageError::NotFound { key: key("b") }),
        (batch().require_absent("a"), StorageError::AlreadyExists { key: key("a") }),
        (
            batch().set_metadata("p/1", MetadataChange::Replace { content_type: None, attributes: [].into() }),
            StorageError::NotFound { key: key("p/1") },
        ),
    ]
}

pub(super) async fn nothing_is_left_of_a_batch_that_fails<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.commit(sets(["a", "b", "b2", "p/1"], "old").set("n", "7")).await.unwrap();
    let before = records(&chain).await;
    let usage = chain.usage("").await.unwrap();
    for (batch, expected) in failing() {
        // Warm, so that a cache could keep what the batch would have written.
        chain.read(&["a", "b", "c", "n", "p/1", "absent"]).await.unwrap();
        assert_eq!(chain.commit(batch).await.unwrap_err(), expected);
        assert_eq!(records(&chain).await, before, "{expected}");
        for key in ["a", "b", "b2", "c", "n", "p/1", "absent"] {
            assert_eq!(chain.read_one(key).await.unwrap().as_ref(), before.get(key), "{key} after '{expected}'");
        }
        assert_eq!(chain.usage("").await.unwrap(), usage, "{expected}");
    }
    assert_eq!(chain.commit(Batch::new()).await.unwrap().version, Version(1));
}

async fn many(chain: &Chain, count: usize) {
    let committed = chain.commit(sets((0..count).map(|n| format!("{n:05}")), "1")).await.unwrap();
    assert_eq!(committed.existed(), vec![false; count]);
    let again = (0..count).fold(Batch::new(), |batch, n| match n % 4 {
        0 => batch.delete(format!("{n:05}")),
        1 => batch.increment(format!("{n:05}"), 1),
        2 => batch.set(format!("new {n:05}"), "v"),
        _ => batch.append(format!("{n:05}"), "0"),
    });
    let committed = chain.commit(again).await.unwrap();
    assert_eq!(committed.version, Version(2));
    assert!(committed.existed().into_iter().enumerate().all(|(n, existed)| existed == (n % 4 != 2)));
    let left = records(chain).await;
    assert_eq!(left.len(), count);
    for n in 0..count {
        let record = left.get(&format!("{n:05}"));
        let expected = [None, Some("2"), Some("1"), Some("10")][n % 4];
        assert_eq!(record.map(|record| record.value.as_text().unwrap()), expected, "{n}");
    }
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(chain).await);
}

pub(super) async fn a_thousand_changes_are_one_commit<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    many(&open(&world, &one()), 1000).await;
}

pub(super) async fn ten_thousand_changes_are_one_commit<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let most = chain.capabilities().limits.batch_items;
    many(&chain, most).await;
    let before = chain.usage("").await.unwrap();
    let over = sets((0..=most).map(|n| format!("{n:05}")), "x");
    let error = chain.commit(over).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "limit exceeded: the number of checks and changes in a batch is 10001; the limit is 10000; divide it into several batches"
    );
    // The last of ten thousand fails.
    let failing = sets((0..most - 1).map(|n| format!("{n:05}")), "x").increment("new 00002", 1);
    let error = chain.commit(failing).await.unwrap_err();
    assert_eq!(error, StorageError::NotANumber { key: "new 00002".to_owned() });
    assert_eq!(chain.usage("").await.unwrap(), before);
    assert_eq!(text(&chain, "00001").await.as_deref(), Some("2"));
}

pub(super) async fn options_of_a_batch_are_each_their_own<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let typed = |kind: &str| SetOptions { content_type: Some(kind.to_owned()), ..SetOptions::default() };
    chain
        .commit(Batch::new().set_with("a", "1", typed("a/a")).set("b", "2").set_with("c", "3", typed("c/c")))
        .await
        .unwrap();
    let kinds: Vec<_> =
        records(&chain).await.into_values().map(|record| record.metadata.content_type().map(str::to_owned)).collect();
    assert_eq!(kinds, [Some("a/a".to_owned()), None, Some("c/c".to_owned())]);
    chain.persist("a").await.unwrap();
    assert_eq!(records(&chain).await["a"].metadata.content_type(), Some("a/a"));
}
