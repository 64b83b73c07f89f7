//! Other programs with the file open, and a disk that is full: nothing is lost, and nobody is told what is not so.

use std::time::{Duration, Instant};

use rusqlite::Connection;
use stash_core::engine::{Decision, Engine, Snapshot, View, Writes};
use stash_core::{ComponentStorage, EngineBackend, NamespacedStorage, StorageError};

use super::{get, keys, open, open_within, place, put};
use crate::states::Bounds;
use crate::{SqliteEngine, SqliteOptions};

#[tokio::test]
async fn another_program_reads_while_stash_writes() {
    let (_folder, path) = place();
    let engine = open(&path);
    let people = Connection::open(&path).unwrap();
    let count = |sql: &str| people.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap();
    for n in 1..50 {
        engine.update(put(format!("k{n}"), "v")).await.unwrap();
        assert_eq!(count("SELECT count(*) FROM entries"), n, "what was answered is there for all");
    }
    // A long read sees one state, and keeps nobody from writing.
    people.execute_batch("BEGIN").unwrap();
    assert_eq!(count("SELECT count(*) FROM entries"), 49);
    engine.update(put("later", "v")).await.unwrap();
    assert_eq!(count("SELECT count(*) FROM entries"), 49);
    people.execute_batch("COMMIT").unwrap();
    assert_eq!(count("SELECT count(*) FROM entries"), 50);
    assert_eq!(engine.gaps(), 0, "reading changes nothing");
    // Looking after Stash has gone, and while it comes again.
    drop(engine);
    assert_eq!(count("SELECT count(*) FROM entries"), 50);
    let engine = open(&path);
    engine.update(put("again", "v")).await.unwrap();
    assert_eq!(count("SELECT count(*) FROM entries"), 51);
}

#[tokio::test]
async fn a_program_that_has_the_file_locked_is_waited_for_but_not_for_ever() {
    let (_folder, path) = place();
    let patience = Duration::from_millis(300);
    let options = SqliteOptions { busy_timeout: patience, ..SqliteOptions::default() };
    let engine = SqliteEngine::open(&path, &options).unwrap();
    engine.update(put("k", "before")).await.unwrap();
    let held = engine.snapshot().await.unwrap();
    let people = Connection::open(&path).unwrap();
    people.execute_batch("BEGIN IMMEDIATE").unwrap();
    let start = Instant::now();
    let error = engine.update(put("k", "refused")).await.unwrap_err();
    assert!(start.elapsed() >= patience, "{:?}", start.elapsed());
    assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
    assert!(error.to_string().contains("another program has the file locked"), "{error}");
    // Reads went on, and states that are held are still there.
    assert_eq!(get(&engine, "k").await.unwrap(), "before");
    assert_eq!(held.read(&[b"k"]).await.unwrap()[0].as_deref(), Some(&b"before"[..]));
    assert_eq!(engine.gaps(), 0);
    people.execute_batch("ROLLBACK").unwrap();
    engine.update(put("k", "after")).await.unwrap();
    assert_eq!(get(&engine, "k").await.unwrap(), "after");
    // One that ends in time is not noticed, and the store can be opened while somebody writes.
    people.execute_batch("BEGIN IMMEDIATE").unwrap();
    drop(held);
    drop(engine);
    let engine = SqliteEngine::open(&path, &SqliteOptions::default()).unwrap();
    assert_eq!(get(&engine, "k").await.unwrap(), "after");
    let writing = tokio::spawn(async move { engine.update(put("k", "waited")).await.map(|()| engine) });
    tokio::task::spawn_blocking(move || people.execute_batch("ROLLBACK").unwrap()).await.unwrap();
    assert_eq!(get(&writing.await.unwrap().unwrap(), "k").await.unwrap(), "waited");
}

struct Nothing;

impl Decision for Nothing {
    type Output = ();

    fn queue(&self) -> &'static str {
        ""
    }

    fn cost(&self) -> usize {
        0
    }

    fn decide(&mut self, _: &dyn View, _: &mut Writes) -> Result<(), StorageError> {
        Ok(())
    }
}

#[tokio::test]
async fn what_another_program_wrote_empties_the_caches() {
    let (_folder, path) = place();
    let engine = open(&path);
    for n in 0..10 {
        engine.update(put(format!("k{n}"), "v")).await.unwrap();
    }
    let people = Connection::open(&path).unwrap();
    let change = "UPDATE entries SET value = CAST('theirs' AS BLOB) WHERE key = CAST('k1' AS BLOB)";
    assert_eq!(people.execute(change, []).unwrap(), 1);
    assert_eq!(engine.gaps(), 0);
    engine.update(put("k0", "w")).await.unwrap();
    assert_eq!(engine.gaps(), 1);
    assert_eq!(get(&engine, "k1").await.unwrap(), "theirs");
    engine.update(put("k0", "x")).await.unwrap();
    assert_eq!(engine.gaps(), 1);
    // Also where the next update writes nothing.
    people.execute("DELETE FROM entries WHERE key = CAST('k1' AS BLOB)", []).unwrap();
    engine.update(Nothing).await.unwrap();
    assert_eq!((engine.gaps(), get(&engine, "k1").await), (2, None));
}

#[tokio::test]
async fn a_full_disk_is_told_and_costs_nothing_acknowledged() {
    let (_folder, path) = place();
    let bounds = Bounds { max_pages: 300, checkpoint_pages: 50, ..Bounds::default() };
    let backend = EngineBackend::open(open_within(&path, bounds)).await.unwrap();
    let store = NamespacedStorage::new(&"a/b/c".parse().unwrap(), backend);
    let mut acknowledged = 0;
    for round in 0..3 {
        let error = loop {
            match store.set(&format!("k{acknowledged:04}"), vec![b'v'; 9000]).await {
                Ok(()) => acknowledged += 1,
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StorageError::Io { .. }) && error.to_string().contains("the disk is full"), "{error}");
        let usage = store.usage("").await.unwrap();
        assert_eq!(usage.key_count, acknowledged, "round {round}");
        assert_eq!(store.list_keys("").await.unwrap().len() as u64, acknowledged);
        // What still fits is taken, and there is room again where something was deleted.
        store.set("k0000", "small").await.unwrap();
        store.delete("k0001").await.unwrap();
        store.set("k0001", vec![b'w'; 9000]).await.unwrap();
    }
    assert!(acknowledged > 50, "{acknowledged}");
    assert!(store.gaps() > 0, "caches above are told");
    drop(store);
    let whole = open(&path);
    assert!(keys(&whole).await > usize::try_from(acknowledged).unwrap());
    whole.update(put("z", vec![7; 9000])).await.unwrap();
}
