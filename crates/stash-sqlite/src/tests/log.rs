//! The log stays short, whoever reads and for however long.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use stash_core::StorageError;
use stash_core::engine::{Engine, Scan, Snapshot};
use stash_group_commit::{ReadView, Store};

use super::{get, keys, open_within, place, put};
use crate::create::beside;
use crate::open::open_store;
use crate::states::Bounds;
use crate::{SqliteEngine, SqliteOptions};

/// The log is emptied often.
const SMALL: Bounds = Bounds { states: 8, checkpoint_pages: 50, max_pages: 0 };

fn log_bytes(path: &Path) -> u64 {
    beside(path, "-wal").metadata().map_or(0, |found| found.len())
}

#[tokio::test]
async fn the_log_begins_anew_where_nobody_reads() {
    let (_folder, path) = place();
    let engine = open_within(&path, SMALL);
    for n in 0..1000 {
        engine.update(put(format!("k{n:04}"), vec![7; 3000])).await.unwrap();
    }
    assert!(log_bytes(&path) < 100 * 4200, "{}", log_bytes(&path));
    assert!(path.metadata().unwrap().len() > 1000 * 3000 / 2, "it is in the file");
    assert_eq!((keys(&engine).await, engine.gaps()), (1000, 0));
}

#[test]
fn the_log_stays_short_while_many_read_all_the_time() {
    let (_folder, path) = place();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let options = SqliteOptions { max_log_bytes: 2 << 20, ..SqliteOptions::default() };
        let engine = Arc::new(SqliteEngine::open_within(&path, &options, SMALL).unwrap());
        for n in 0..500 {
            engine.update(put(format!("k{n:04}"), vec![7; 1000])).await.unwrap();
        }
        let stop = Arc::new(AtomicBool::new(false));
        let mut readers = tokio::task::JoinSet::new();
        for reader in 0..4 {
            let (engine, stop) = (Arc::clone(&engine), Arc::clone(&stop));
            readers.spawn(async move {
                let mut reads = 0;
                while !stop.load(Ordering::Relaxed) {
                    if reader == 0 {
                        // Longer than a commit takes.
                        assert!(engine.scan(&Scan::prefix(b"k")).await.unwrap().entries.len() >= 500);
                    } else {
                        assert!(get(&engine, "k0007").await.is_some());
                    }
                    reads += 1;
                    tokio::task::yield_now().await;
                }
                reads
            });
        }
        let mut longest = 0;
        for n in 0..2000_u32 {
            engine.update(put(format!("n{:04}", n % 300), vec![n.to_le_bytes()[0]; 3000])).await.unwrap();
            longest = longest.max(log_bytes(&path));
        }
        stop.store(true, Ordering::Relaxed);
        let reads: Vec<i32> = readers.join_all().await;
        assert!(reads.iter().all(|reads| *reads > 10), "{reads:?}");
        // What was written is eight times as much.
        assert!(longest < 3 << 20, "{longest} bytes of log");
        assert_eq!(engine.gaps(), 0);
    });
}

#[tokio::test]
async fn a_state_that_is_held_is_ended_when_the_log_becomes_too_long() {
    let (_folder, path) = place();
    let options = SqliteOptions { max_log_bytes: 4 << 20, ..SqliteOptions::default() };
    let engine = SqliteEngine::open_within(&path, &options, SMALL).unwrap();
    engine.update(put("k", "before")).await.unwrap();
    let held = engine.snapshot().await.unwrap();
    let mut longest = 0;
    for n in 0..3000_u32 {
        engine.update(put(format!("n{:04}", n % 300), vec![n.to_le_bytes()[0]; 3000])).await.unwrap();
        if log_bytes(&path) < 3 << 20 {
            assert_eq!(held.read(&[b"k", b"n0000"]).await, Ok(vec![Some("before".into()), None]), "at {n}");
        }
        longest = longest.max(log_bytes(&path));
    }
    assert!((3 << 20..6 << 20).contains(&longest), "{longest}");
    let error = held.read(&[b"k"]).await.unwrap_err();
    assert!(matches!(error, StorageError::Unavailable { .. }) && error.invites_retry(), "{error}");
    assert!(held.scan(&Scan::prefix(b"")).await.is_err());
    // The store is none the worse for it.
    assert_eq!(get(&engine, "k").await.unwrap(), "before");
    let now = engine.snapshot().await.unwrap();
    assert!(now.read(&[b"k"]).await.unwrap()[0].is_some());
    assert_eq!((engine.status().failure, engine.gaps()), (None, 0));
}

#[tokio::test]
async fn only_so_many_states_are_held_and_the_oldest_ends_first() {
    let (_folder, path) = place();
    let engine = open_within(&path, SMALL);
    let mut held = Vec::new();
    for n in 0..20_u8 {
        engine.update(put("k", vec![n])).await.unwrap();
        held.push(engine.snapshot().await.unwrap());
    }
    for (n, snapshot) in held.iter().enumerate() {
        match snapshot.read(&[b"k"]).await {
            Ok(found) => assert!(n >= 11 && found[0].as_deref() == Some(&[u8::try_from(n).unwrap()]), "{n}"),
            Err(error) => assert!(n < 11 && matches!(error, StorageError::Unavailable { .. }), "{n}: {error}"),
        }
    }
    drop(held);
    engine.update(put("k", "v")).await.unwrap();
    let held = engine.snapshot().await.unwrap();
    assert!(held.read(&[b"k"]).await.is_ok());
}

#[test]
fn all_who_read_one_state_see_the_same_whatever_is_committed_meanwhile() {
    let (_folder, path) = place();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(4).build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(open_within(&path, SMALL));
        for n in 0..300 {
            engine.update(put(format!("k{n:04}"), vec![0; 100])).await.unwrap();
        }
        let writing = Arc::clone(&engine);
        let writer = tokio::spawn(async move {
            for turn in 1..400_u16 {
                writing.update(put(format!("k{:04}", turn % 300), turn.to_le_bytes().to_vec())).await.unwrap();
                writing.update(put("z", turn.to_le_bytes().to_vec())).await.unwrap();
            }
        });
        while !writer.is_finished() {
            let snapshot = Arc::new(engine.snapshot().await.unwrap());
            let mut readers = tokio::task::JoinSet::new();
            for _ in 0..8 {
                let snapshot = Arc::clone(&snapshot);
                readers.spawn(async move {
                    let whole = snapshot.scan(&Scan::prefix(b"")).await;
                    whole.map(|page| page.entries)
                });
            }
            let mut seen = readers.join_all().await;
            let first = seen.pop().unwrap();
            // Under so small a bound it may have been ended, for all who come later.
            let others = seen.into_iter().filter_map(Result::ok);
            if let Ok(first) = first {
                assert!(others.into_iter().all(|other| other == first));
            }
        }
        writer.await.unwrap();
    });
}

#[test]
fn a_state_that_sqlite_has_let_go_of_is_never_shown_as_a_later_one() {
    let (_folder, path) = place();
    let (database, _again, _) = open_store(&path, &SqliteOptions::default(), SMALL).unwrap();
    let view = database.latest().unwrap();
    assert!(view.read(&[b"k"]).is_ok());
    // As SQLite does by itself where a page cannot be read.
    let rollback = view.0.with(|connection| Ok(connection.execute_batch("ROLLBACK")));
    rollback.unwrap().unwrap();
    let error = view.read(&[b"k"]).unwrap_err();
    assert!(matches!(error, StorageError::Io { .. }), "{error}");
    assert!(database.latest().unwrap().read(&[b"k"]).is_ok());
}
