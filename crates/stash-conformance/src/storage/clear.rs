//! Clearing a prefix: all of it at once, or in parts that say so.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stash_core::limits::MAX_CLEAR_RECORDS;
use stash_core::{Batch, Cleared, ComponentStorage, ScanRequest, StorageExt};
use tokio::task::JoinSet;

use super::{contents, counted, keys_of, one, open, sets, text};
use crate::world::WorldFixture;

pub(super) async fn a_prefix_is_cleared_and_nothing_else<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let keys = ["a", "b", "b/", "b/1", "b/2", "b\u{0}", "ba", "c", "é"];
    let cases: [(&str, &[&str]); 6] = [
        ("b/", &["b/", "b/1", "b/2"]),
        ("b", &["b", "b/", "b/1", "b/2", "b\u{0}", "ba"]),
        ("nothing", &[]),
        ("é", &["é"]),
        ("b/2", &["b/2"]),
        ("", &keys),
    ];
    for (prefix, gone) in cases {
        chain.commit(sets(keys, "value")).await.unwrap();
        // Warm, and then asked for again: a cache must not show what was cleared, nor hide what was not.
        chain.read(&keys).await.unwrap();
        let cleared = chain.clear(prefix).await.unwrap();
        assert_eq!(cleared, Cleared { removed: gone.len() as u64, more: false }, "{prefix:?}");
        for key in keys {
            assert_eq!(chain.exists(key).await.unwrap(), !gone.contains(&key), "{key:?} after clearing {prefix:?}");
        }
        assert_eq!(contents(&chain).await.len(), keys.len() - gone.len());
        assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
        assert_eq!(chain.clear(prefix).await.unwrap(), Cleared::default(), "there is nothing more");
    }
}

pub(super) async fn clearing_is_part_of_its_batch<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.commit(sets(["p/a", "p/b", "q"], "old")).await.unwrap();
    chain.commit(Batch::new().clear("p/").set("p/b", "new").increment("p/a", 1).require_absent("q")).await.unwrap_err();
    assert_eq!(text(&chain, "p/a").await.as_deref(), Some("old"), "a refused batch has cleared nothing");
    let committed = chain.commit(Batch::new().clear("p/").set("p/b", "new").require_present("p/b")).await.unwrap();
    assert_eq!(committed.existed(), [true, false]);
    assert_eq!(keys_of(&chain, "").await.unwrap(), ["p/b", "q"]);
    for _ in 0..2 {
        assert_eq!(text(&chain, "p/a").await, None);
        assert_eq!(text(&chain, "p/b").await.as_deref(), Some("new"));
    }
    assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
}

pub(super) async fn nobody_sees_half_a_clearing<F: WorldFixture>(worlds: Arc<F>) {
    const KEYS: usize = 40;
    let world = worlds.fresh().await;
    let keys: Vec<String> = (0..KEYS).map(|n| format!("p/{n:02}")).collect();
    let done = Arc::new(AtomicBool::new(false));
    let mut tasks = JoinSet::new();
    let (chain, writing, over) = (open(&world, &one()), keys.clone(), Arc::clone(&done));
    tasks.spawn(async move {
        for turn in 0..15 {
            chain.commit(sets(writing.clone(), &format!("{turn}"))).await.unwrap();
            let cleared = chain.clear("p/").await.unwrap();
            assert_eq!(cleared, Cleared { removed: KEYS as u64, more: false });
        }
        over.store(true, Ordering::SeqCst);
    });
    for reader in 0..3 {
        let (chain, keys, done) = (open(&world, &one()), keys.clone(), Arc::clone(&done));
        tasks.spawn(async move {
            let names: Vec<&str> = keys.iter().map(String::as_str).collect();
            loop {
                let last = done.load(Ordering::SeqCst);
                let read = chain.read(&names).await.unwrap();
                assert!(read.iter().all(|record| *record == read[0]), "half of it: {read:?}");
                let listed = chain.list_keys("p/").await.unwrap();
                assert!(listed.is_empty() || listed.len() == KEYS, "half of it: {listed:?}");
                let page = chain.scan(&ScanRequest::prefix("p/").with_values()).await.unwrap().entries;
                let whole = page.is_empty() || page.len() == KEYS;
                assert!(whole && page.iter().all(|entry| entry.record == page[0].record), "half of it: {page:?}");
                // One alone, so that caches fill while the prefix is being cleared.
                let one = chain.read_one(names[reader]).await.unwrap();
                if last {
                    assert_eq!(one, None, "a cache brought back what was cleared");
                    break;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
}

pub(super) async fn more_than_one_commit_clears_says_so<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let fill = |from: usize, to: usize| sets((from..to).map(|n| format!("p/{n:05}")), "v");
    chain.commit(fill(0, MAX_CLEAR_RECORDS).require_absent("x").clear("nothing")).await.unwrap_err();
    chain.commit(fill(0, MAX_CLEAR_RECORDS)).await.unwrap();
    let all = Cleared { removed: MAX_CLEAR_RECORDS as u64, more: false };
    assert_eq!(chain.clear("p/").await.unwrap(), all, "as many as fit one commit go in one");
    assert_eq!(chain.usage("").await.unwrap(), stash_core::Usage::default());

    chain.commit(fill(0, MAX_CLEAR_RECORDS)).await.unwrap();
    chain.commit(fill(MAX_CLEAR_RECORDS, MAX_CLEAR_RECORDS + 5).set("q", "v")).await.unwrap();
    assert_eq!(chain.clear("p/").await.unwrap(), Cleared { more: true, ..all });
    assert_eq!(chain.list_keys("p/").await.unwrap().len(), 5);
    assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
    assert_eq!(chain.clear("p/").await.unwrap(), Cleared { removed: 5, more: false }, "the same call goes on");
    assert_eq!(chain.list_keys("").await.unwrap(), ["q"]);
}
