//! Numbers that are counted up and down in the store: exact however many callers there are, and never a guess.

use std::sync::Arc;

use stash_core::{Batch, ComponentStorage, StorageError, StorageExt};
use tokio::task::JoinSet;

use super::{counted, one, open, text};
use crate::world::WorldFixture;

pub(super) async fn concurrent_increments_add_up<F: WorldFixture>(worlds: Arc<F>) {
    const CALLERS: i64 = 6;
    const TURNS: i64 = 25;
    let world = worlds.fresh().await;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let chain = open(&world, &one());
        callers.spawn(async move {
            let mut seen = Vec::new();
            for turn in 0..TURNS {
                seen.push(chain.increment("shared", 1).await.unwrap());
                let batch = Batch::new().increment("up", caller).increment("down", -turn).increment("up", 1);
                chain.commit(batch).await.unwrap();
                // Between increments a reader, whose cache must not hold an old number.
                let read: i64 = text(&chain, "shared").await.unwrap().parse().unwrap();
                assert!(read >= *seen.last().unwrap(), "{read} was read after {seen:?}");
            }
            assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
            seen
        });
    }
    let mut seen = callers.join_all().await.concat();
    seen.sort_unstable();
    assert!(seen.into_iter().eq(1..=CALLERS * TURNS), "every increment saw all before it");
    let chain = open(&world, &one());
    let expected =
        [CALLERS * TURNS, (CALLERS * (CALLERS - 1) / 2 + CALLERS) * TURNS, -CALLERS * TURNS * (TURNS - 1) / 2];
    for (key, expected) in ["shared", "up", "down"].into_iter().zip(expected) {
        assert_eq!(text(&chain, key).await, Some(expected.to_string()), "{key}");
    }
    assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
}

pub(super) async fn a_number_begins_at_nothing<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    for _ in 0..2 {
        assert_eq!(chain.increment("n", 5).await.unwrap(), 5);
        assert_eq!(chain.increment("n", -8).await.unwrap(), -3);
        assert_eq!(text(&chain, "n").await.as_deref(), Some("-3"), "it is text that anybody can read and write");
        chain.set("n", "0041").await.unwrap();
        assert_eq!(chain.increment("n", 1).await.unwrap(), 42);
        chain.set("n", "+1").await.unwrap();
        assert_eq!(chain.increment("n", 0).await.unwrap(), 1);
        assert!(chain.delete("n").await.unwrap());
    }
    let bounds = chain.commit(Batch::new().max("high", 7).max("high", 3).min("high", 5).min("low", -1)).await.unwrap();
    let numbers: Vec<_> = bounds.outcomes.iter().map(|outcome| outcome.number).collect();
    assert_eq!(numbers, [Some(7), Some(7), Some(5), Some(-1)]);
}

pub(super) async fn what_is_no_number_stays_as_it_is<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let not_numbers: [&[u8]; 8] = [b"", b"x", b"1.0", b" 1", b"1 ", b"9223372036854775808", b"\xff", b"--1"];
    for value in not_numbers {
        chain.set("k", value).await.unwrap();
        let not_a_number = StorageError::NotANumber { key: "k".to_owned() };
        assert_eq!(chain.increment("k", 1).await.unwrap_err(), not_a_number, "{value:?}");
        for batch in [Batch::new().min("k", 1), Batch::new().max("k", 1)] {
            assert_eq!(chain.commit(batch).await.unwrap_err(), not_a_number, "{value:?}");
        }
        assert_eq!(chain.get("k").await.unwrap().as_deref(), Some(value));
    }
    for (number, delta) in [(i64::MAX, 1), (i64::MIN, -1), (1, i64::MAX), (-2, i64::MIN)] {
        chain.set("k", number.to_string()).await.unwrap();
        let out_of_range = StorageError::NumberOutOfRange { key: "k".to_owned(), number, delta };
        assert_eq!(chain.increment("k", delta).await.unwrap_err(), out_of_range);
        assert_eq!(text(&chain, "k").await, Some(number.to_string()));
    }
    assert_eq!(chain.increment("k", i64::MAX).await.unwrap(), i64::MAX - 2, "up to the end and no further");
}
