//! Conditions of one key: a set or a deletion that happens only if the record is as its caller believes.

use std::sync::Arc;
use std::time::Duration;

use stash_core::{Batch, ComponentStorage, Condition, Expiry, SetOptions, StorageError, StorageExt, Version};
use tokio::task::JoinSet;

use super::{driven, one, open, records, text};
use crate::report::Skip;
use crate::world::{World, WorldFixture};

fn conflict(expected: Version, current: Option<Version>) -> StorageError {
    StorageError::Conflict { key: "k".to_owned(), expected: Some(expected), current }
}

fn plain() -> SetOptions {
    SetOptions::default()
}

pub(super) async fn a_condition_holds_or_nothing_is_stored<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    // Twice through, so that every answer is also given from a warm cache.
    for _ in 0..2 {
        let missing = StorageError::NotFound { key: "k".to_owned() };
        assert_eq!(chain.set_with("k", "v", plain(), Some(Condition::Present)).await.unwrap_err(), missing);
        assert_eq!(chain.delete_if("k", Condition::Present).await.unwrap_err(), missing);
        assert_eq!(
            chain.set_with("k", "v", plain(), Some(Condition::Version(Version(1)))).await.unwrap_err(),
            conflict(Version(1), None)
        );
        assert!(!chain.delete_if("k", Condition::Absent).await.unwrap());
        assert_eq!(text(&chain, "k").await, None);

        let first = chain.set_with("k", "one", plain(), Some(Condition::Absent)).await.unwrap();
        let exists = StorageError::AlreadyExists { key: "k".to_owned() };
        assert_eq!(chain.set_with("k", "v", plain(), Some(Condition::Absent)).await.unwrap_err(), exists);
        let second = chain.set_with("k", "two", plain(), Some(Condition::Version(first))).await.unwrap();
        assert_eq!(
            chain.set_with("k", "three", plain(), Some(Condition::Version(first))).await.unwrap_err(),
            conflict(first, Some(second))
        );
        assert_eq!(chain.delete_if("k", Condition::Version(first)).await.unwrap_err(), conflict(first, Some(second)));
        assert_eq!(text(&chain, "k").await.as_deref(), Some("two"));
        let third = chain.set_with("k", "three", plain(), Some(Condition::Present)).await.unwrap();
        assert!(chain.delete_if("k", Condition::Version(third)).await.unwrap());
        assert_eq!(text(&chain, "k").await, None);
    }
    let shown = conflict(Version(3), Some(Version(7))).to_string();
    assert_eq!(shown, "conflict on 'k': expected version 3, and there is version 7");
    assert_eq!(conflict(Version(3), None).to_string(), "conflict on 'k': expected version 3, and there is no record");
}

pub(super) async fn conditions_guard_a_whole_batch<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let k = chain.set_with("k", "v", plain(), None).await.unwrap();
    let other = chain.set_with("other", "v", plain(), None).await.unwrap();
    let before = records(&chain).await;
    let refused = chain
        .commit(Batch::new().require_version("other", other).require_version("k", other).set("new", "v").delete("k"));
    assert_eq!(refused.await.unwrap_err(), conflict(other, Some(k)));
    assert_eq!(records(&chain).await, before);
    let held = Batch::new().require_version("other", other).require_version("k", k).require_absent("new");
    let committed = chain.commit(held.set("new", "v").delete("k")).await.unwrap();
    assert_eq!(records(&chain).await["new"].version, committed.version);
}

pub(super) async fn a_record_made_again_is_another<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    driven(&world)?;
    let chain = open(&world, &one());
    let first = chain.set_with("k", "same", plain(), None).await.unwrap();
    chain.delete("k").await.unwrap();
    assert_eq!(chain.delete_if("k", Condition::Version(first)).await.unwrap_err(), conflict(first, None));
    let second = chain.set_with("k", "same", plain(), None).await.unwrap();
    assert_eq!(
        chain.set_with("k", "v", plain(), Some(Condition::Version(first))).await.unwrap_err(),
        conflict(first, Some(second))
    );
    // Deleted and made again within one commit, too.
    chain.commit(Batch::new().delete("k").set("k", "same")).await.unwrap();
    chain.delete_if("k", Condition::Version(second)).await.unwrap_err();

    let short = SetOptions { expiry: Expiry::After(Duration::from_secs(1)), ..plain() };
    let expiring = chain.set_with("k", "same", short.clone(), None).await.unwrap();
    world.advance(Duration::from_secs(1));
    assert_eq!(chain.delete_if("k", Condition::Version(expiring)).await.unwrap_err(), conflict(expiring, None));
    let missing = StorageError::NotFound { key: "k".to_owned() };
    assert_eq!(chain.delete_if("k", Condition::Present).await.unwrap_err(), missing);
    let again = chain.set_with("k", "same", short, Some(Condition::Absent)).await.unwrap();
    assert_eq!(chain.delete_if("k", Condition::Version(expiring)).await.unwrap_err(), conflict(expiring, Some(again)));
    assert!(chain.delete_if("k", Condition::Version(again)).await.unwrap());
    Ok(())
}

pub(super) async fn of_equal_conditions_one_wins<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let mut version = chain.set_with("k", "0", plain(), None).await.unwrap();
    for round in 0..5 {
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let chain = open(&world, &one());
            callers.spawn(async move {
                let value = format!("{round}:{caller}");
                (chain.set_with("k", value.clone(), plain(), Some(Condition::Version(version))).await, value)
            });
        }
        let outcomes = callers.join_all().await;
        let won: Vec<_> =
            outcomes.iter().filter_map(|(outcome, value)| outcome.as_ref().ok().map(|won| (*won, value))).collect();
        let [(next, value)] = won[..] else { panic!("round {round}: {outcomes:?}") };
        assert_eq!(text(&chain, "k").await.as_ref(), Some(value));
        for (outcome, _) in &outcomes {
            assert!(outcome.is_ok() || *outcome == Err(conflict(version, Some(next))), "{outcome:?}");
        }
        version = next;
    }
}
