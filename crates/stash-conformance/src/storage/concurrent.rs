//! Many callers at once, through several instances: nothing is lost, torn, or seen out of order. No case depends on how
//! the callers happen to be scheduled.

use std::collections::BTreeMap;
use std::sync::Arc;

use stash_core::{Batch, ComponentStorage, Mutation, Record, StorageError, Version};
use tokio::task::JoinSet;

use super::{contents, counted, one, open};
use crate::world::{World, WorldFixture};

const KEYS: [&str; 3] = ["a", "b", "c"];

/// What a commit did: the last change of each key, `None` for a deletion.
type Change = BTreeMap<String, Option<Vec<u8>>>;

fn change_of(mutations: &[Mutation]) -> Change {
    let one = |mutation: &Mutation| match mutation.change() {
        stash_core::Change::Set { value, .. } => (mutation.key().to_owned(), Some(value.to_vec())),
        _ => (mutation.key().to_owned(), None),
    };
    mutations.iter().map(one).collect()
}

/// The `turn`th batch of a writer: sets, deletions and both, of one key or several.
fn batch(writer: usize, turn: usize) -> Batch {
    let key = |n: usize| KEYS[(writer + turn + n) % KEYS.len()];
    let value = format!("{writer}:{turn}");
    match turn % 5 {
        0 | 1 => Batch::new().set(key(0), value),
        2 => Batch::new().delete(key(0)),
        3 => Batch::new().set(key(0), value.clone()).set(key(1), value),
        _ => Batch::new().set(key(1), "never seen").delete(key(0)).set(key(1), value),
    }
}

pub(super) async fn records_never_go_backwards<F: WorldFixture>(worlds: Arc<F>) {
    const TURNS: usize = 60;
    let world = worlds.fresh().await;
    let mut writers = JoinSet::new();
    for writer in 0..4 {
        let chain = open(&world, &one());
        writers.spawn(async move {
            let mut log = Vec::new();
            for turn in 0..TURNS {
                let batch = batch(writer, turn);
                let change = change_of(batch.mutations());
                let committed = chain.commit(batch).await.unwrap();
                for key in change.keys() {
                    // Its own write or a newer one; of an absent record there is nothing more to say.
                    if let Some(record) = chain.read_one(key).await.unwrap() {
                        let own = change[key].as_ref().is_some_and(|value| record.value[..] == value[..]);
                        assert!(record.version > committed.version || own, "{key} is {record:?} after {committed:?}");
                    }
                }
                log.push((committed, change));
            }
            log
        });
    }
    let mut readers = JoinSet::new();
    for reader in 0..4 {
        let chain = open(&world, &one());
        readers.spawn(async move {
            let mut newest: BTreeMap<&str, Version> = BTreeMap::new();
            let mut seen: Vec<(&str, Record)> = Vec::new();
            for turn in 0..TURNS * 4 {
                let records = if (reader + turn) % 2 == 0 {
                    chain.read(&KEYS).await.unwrap()
                } else {
                    let key = KEYS[turn % KEYS.len()];
                    let record = chain.read_one(key).await.unwrap();
                    KEYS.iter().map(|other| record.clone().filter(|_| *other == key)).collect()
                };
                for (key, record) in KEYS.into_iter().zip(records) {
                    let Some(record) = record else { continue };
                    let last = newest.entry(key).or_default();
                    assert!(record.version >= *last, "{key} went back from version {last} to {}", record.version);
                    *last = record.version;
                    seen.push((key, record));
                }
                tokio::task::yield_now().await;
            }
            seen
        });
    }
    let logs = writers.join_all().await.concat();
    let seen = readers.join_all().await.concat();
    let mut log: BTreeMap<Version, Change> = BTreeMap::new();
    for (committed, change) in logs {
        // A batch that only deleted what was absent changed nothing and has no version of its own.
        if committed.existed().contains(&true) || change.values().any(Option::is_some) {
            assert!(log.insert(committed.version, change).is_none(), "two commits have version {}", committed.version);
        }
    }
    for (key, record) in seen {
        let written = log.get(&record.version).and_then(|change| change.get(key)).cloned().flatten();
        assert_eq!(written.as_deref(), Some(&record.value[..]), "{key} at version {}", record.version);
    }
    assert!(log.keys().map(|version| version.0).eq(1..=log.len() as u64), "versions have no gap");

    let mut replayed = BTreeMap::new();
    for (version, change) in log {
        for (key, value) in change {
            match value {
                Some(value) => replayed.insert(key, (version, value)),
                None => replayed.remove(&key),
            };
        }
    }
    let chain = open(&world, &one());
    assert_eq!(contents(&chain).await, replayed, "the log, replayed in the order of versions, is what is left");
    assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
    for layer in world.beneath(&one()) {
        for key in KEYS {
            let full = format!("{}{key}", one().key_prefix());
            let record = layer.read_one(&full).await.unwrap().map(|record| (record.version, record.value.to_vec()));
            assert_eq!(record.as_ref(), replayed.get(key), "{key} in a layer below");
        }
    }
}

pub(super) async fn batches_never_tear<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let mut tasks = JoinSet::new();
    for writer in 0..3 {
        let chain = open(&world, &one());
        tasks.spawn(async move {
            for turn in 0..50 {
                let token = format!("{writer}:{turn}");
                let batch = match turn % 3 {
                    0 => Batch::new().set("x", token.clone()).set("y", token),
                    1 => Batch::new().set("y", token.clone()).set("x", token),
                    _ => Batch::new().delete("x").delete("y"),
                };
                chain.commit(batch).await.unwrap();
            }
        });
    }
    for _ in 0..3 {
        let chain = open(&world, &one());
        tasks.spawn(async move {
            for turn in 0..300 {
                let records = chain.read(&["x", "y", "x"]).await.unwrap();
                assert!(records.iter().all(|record| *record == records[0]), "torn: {records:?}");
                // Between reads of both, one alone: now only one of them may be in the cache.
                drop(chain.get(["x", "y"][turn % 2]).await.unwrap());
                let keys = chain.list_keys("").await.unwrap();
                assert!(keys.is_empty() || keys == ["x", "y"], "torn: {keys:?}");
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
}

pub(super) async fn a_lock_made_of_checks_excludes<F: WorldFixture>(worlds: Arc<F>) {
    const TURNS: u64 = 10;
    const CALLERS: u64 = 6;
    let world = worlds.fresh().await;
    let mut callers = JoinSet::new();
    for caller in 0..CALLERS {
        let chain = open(&world, &one());
        callers.spawn(async move {
            for _ in 0..TURNS {
                let mut attempts = 0;
                loop {
                    attempts += 1;
                    assert!(attempts < 100_000, "the lock is never free");
                    let take = Batch::new().require_absent("lock").set("lock", format!("{caller}"));
                    match chain.commit(take).await {
                        Ok(_) => break,
                        Err(StorageError::AlreadyExists { .. }) => tokio::task::yield_now().await,
                        Err(error) => panic!("{error}"),
                    }
                }
                // Alone in here: a read that is at all old makes the count wrong.
                let count = chain.get("count").await.unwrap();
                let count: u64 = count.map_or(0, |count| count.as_text().unwrap().parse().unwrap());
                tokio::task::yield_now().await;
                chain.set("count", format!("{}", count + 1)).await.unwrap();
                assert_eq!(chain.get("lock").await.unwrap(), Some(format!("{caller}").into()));
                assert!(chain.delete("lock").await.unwrap());
            }
        });
    }
    callers.join_all().await;
    let count = open(&world, &one()).get("count").await.unwrap();
    assert_eq!(count, Some(format!("{}", TURNS * CALLERS).into()));
}

pub(super) async fn creation_has_one_winner<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    for round in 0..10 {
        let key = format!("{round}");
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let (chain, key) = (open(&world, &one()), key.clone());
            callers.spawn(async move {
                // Absence is warm in the cache when the race begins.
                drop(chain.get(&key).await.unwrap());
                let create = Batch::new().require_absent(&*key).set(&*key, format!("{caller}"));
                let outcome = chain.commit(create.set("last", key.clone())).await;
                let found = chain.get(&key).await.unwrap().expect("somebody has created it");
                outcome.is_ok().then_some(caller).map(|caller| (caller, found))
            });
        }
        let winners: Vec<_> = callers.join_all().await.into_iter().flatten().collect();
        assert_eq!(winners.len(), 1, "round {round}: {winners:?}");
        assert_eq!(winners[0].1.as_text(), Some(format!("{}", winners[0].0).as_str()));
    }
}
