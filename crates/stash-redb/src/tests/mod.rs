//! What only the inside can be tested for: the disk failing, the power going, groups forming. The promises that every
//! engine keeps are in `tests/conformance.rs`.

mod damage;
mod disk;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc;

use bytes::Bytes;
use redb::{ReadableDatabase, TableHandle};
use stash_core::engine::{Decision, Engine, Scan, View, Writes};
use stash_core::{ComponentStorage, EngineBackend, NamespacedStorage, StorageError};

use crate::engine::RedbEngine;
use disk::Disk;

fn engine(disk: &Disk) -> RedbEngine {
    let opener = disk.opener();
    let database = opener().unwrap();
    RedbEngine::over(database, opener, Path::new("disk")).unwrap()
}

/// Puts one key; before that, does `first` in the writer's thread.
pub(crate) struct Put<F>(Bytes, Bytes, F);

impl<F: FnMut() + Send + 'static> Decision for Put<F> {
    type Output = ();

    fn queue(&self) -> &str {
        std::str::from_utf8(&self.0).unwrap()
    }

    fn cost(&self) -> usize {
        self.0.len() + self.1.len()
    }

    fn decide(&mut self, _: &dyn View, writes: &mut Writes) -> Result<(), StorageError> {
        (self.2)();
        writes.put(self.0.clone(), self.1.clone());
        Ok(())
    }
}

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Put<impl FnMut() + Send> {
    Put(key.into(), value.into(), || {})
}

async fn contents(engine: &RedbEngine) -> BTreeMap<Bytes, Bytes> {
    engine.scan(&Scan::prefix(b"")).await.unwrap().entries.into_iter().collect()
}

#[tokio::test]
async fn what_waits_during_a_commit_is_one_commit() {
    let disk = Disk::default();
    let engine = Arc::new(engine(&disk));
    let before = disk.syncs();
    engine.update(put("one", "")).await.unwrap();
    let per_commit = disk.syncs() - before;

    let (entered, writer_is_in) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let blocker = Put(Bytes::from("blocker"), Bytes::new(), move || {
        entered.send(()).unwrap();
        released.recv().unwrap();
    });
    let first = tokio::spawn({
        let engine = Arc::clone(&engine);
        async move { engine.update(blocker).await }
    });
    tokio::task::spawn_blocking(move || writer_is_in.recv().unwrap()).await.unwrap();
    let before = disk.syncs();
    let waiting: Vec<_> = (0..64).map(|n| engine.update(put(format!("k{n}"), "v"))).collect();
    let mut waiting: Vec<_> = waiting.into_iter().map(Box::pin).collect();
    for future in &mut waiting {
        // The first poll puts it in the queue.
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(future.as_mut().poll(cx))).await.is_pending());
    }
    release.send(()).unwrap();
    for future in waiting {
        future.await.unwrap();
    }
    first.await.unwrap().unwrap();
    assert_eq!(disk.syncs() - before, 2 * per_commit, "the blocker's commit, and one for all 64");
    assert_eq!(contents(&engine).await.len(), 66);
}

#[tokio::test]
async fn acknowledged_commits_survive_a_power_cut_at_any_moment() {
    // The choices of the power cut, from a seed that a failure prints.
    for seed in 0..40_u64 {
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        let mut random = move || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state
        };
        let disk = Disk::default();
        let store = engine(&disk);
        let mut acknowledged = BTreeMap::new();
        for n in 0..=random() % 30 {
            let (key, value) = (Bytes::from(format!("k{}", random() % 7)), Bytes::from(format!("{n}").repeat(300)));
            store.update(put(key.clone(), value.clone())).await.unwrap();
            acknowledged.insert(key, value);
            if random().is_multiple_of(4) {
                let cut = disk.after_power_cut(|| random().is_multiple_of(2));
                assert_eq!(contents(&engine(&cut)).await, acknowledged, "seed {seed}, after commit {n}");
            }
        }
        // In the middle of a commit: it may be there or not, but wholly, and everything before it is.
        disk.fail_after_writes(random() % 12);
        let (key, value) = (Bytes::from("k0"), Bytes::from("unacknowledged".repeat(100)));
        let outcome = store.update(put(key.clone(), value.clone())).await;
        let cut = disk.after_power_cut(|| random().is_multiple_of(2));
        let found = contents(&engine(&cut)).await;
        let mut with_it = acknowledged.clone();
        with_it.insert(key, value);
        match outcome {
            Ok(()) => assert_eq!(found, with_it, "seed {seed}"),
            Err(_) => assert!(found == acknowledged || found == with_it, "seed {seed}"),
        }
    }
}

#[tokio::test]
async fn after_an_io_error_reads_tell_what_the_disk_holds_and_writing_goes_on() {
    let disk = Disk::default();
    let backend = EngineBackend::open(engine(&disk)).await.unwrap();
    let store = NamespacedStorage::new(&"a/b/c".parse().unwrap(), backend);
    store.set("k", "before").await.unwrap();

    disk.fail(true);
    let error = store.set("k", "lost").await.unwrap_err();
    assert!(matches!(error, StorageError::Io { .. }), "{error}");
    disk.fail(false);

    assert_eq!(store.get("k").await.unwrap().unwrap().as_text(), Some("before"));
    store.set("k", "after").await.unwrap();
    assert_eq!(store.get("k").await.unwrap().unwrap().as_text(), Some("after"));
    let usage = store.usage("").await.unwrap();
    assert_eq!((usage.used_bytes, usage.key_count), (6, 1));
    assert!(store.gaps() > 0, "caches above are told");
}

#[tokio::test]
async fn a_read_that_fails_once_is_read_again_from_the_file_opened_again() {
    let disk = Disk::default();
    let filled = engine(&disk);
    // More than the page cache holds.
    for n in 0..200 {
        filled.update(put(format!("k{n:04}"), vec![b'v'; 20_000])).await.unwrap();
    }
    for n in 0..200 {
        disk.fail_reads(1);
        let key = format!("k{n:04}");
        let found = filled.read(&[key.as_bytes()]).await.unwrap();
        assert_eq!(found[0].as_deref(), Some(&*vec![b'v'; 20_000]));
        if disk.has_failed_reads() {
            assert!(filled.gaps() > 0);
            filled.update(put("after", "v")).await.unwrap();
            return;
        }
    }
    panic!("no read ever reached the disk");
}

#[tokio::test]
async fn a_closed_engine_refuses_and_its_data_is_there_when_opened_again() {
    let disk = Disk::default();
    let first = engine(&disk);
    first.update(put("k", "v")).await.unwrap();
    first.close();
    assert_eq!(first.update(put("k", "w")).await.unwrap_err(), StorageError::Closed);
    assert!(first.read(&[b"k"]).await.is_err());
    let again = engine(&disk);
    assert_eq!(again.read(&[b"k"]).await.unwrap(), [Some(Bytes::from("v"))]);
}

#[tokio::test]
async fn a_second_opening_says_who_has_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/store.redb");
    let _first = crate::open(&path, &crate::RedbOptions::default()).await.unwrap();
    let error = crate::open(&path, &crate::RedbOptions::default()).await.unwrap_err().to_string();
    let holder = if cfg!(target_os = "linux") { "this process already" } else { "another process" };
    assert!(error.contains(&format!("is in use by {holder}")), "{error}");
}

#[tokio::test]
async fn files_that_are_no_stores_are_refused_and_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let options = crate::RedbOptions::default();
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database, but somebody's notes\n".repeat(500)).unwrap();
    let before = std::fs::read(&text).unwrap();
    let error = crate::open(&text, &options).await.unwrap_err().to_string();
    assert!(error.contains("notes.txt is not a store"), "{error}");
    assert_eq!(std::fs::read(&text).unwrap(), before);

    let error = crate::open(folder.path(), &options).await.unwrap_err().to_string();
    assert!(error.contains("it is a folder"), "{error}");

    #[cfg(unix)]
    {
        let error = crate::open(Path::new("/dev/null"), &options).await.unwrap_err().to_string();
        assert!(error.contains("/dev/null: it is a device or another special file"), "{error}");
    }

    // Somebody else's redb file is not made into a store.
    for (table, reason) in [("theirs", "of another program"), ("stash", "no format number")] {
        let foreign = folder.path().join(table);
        let database = redb::Database::create(&foreign).unwrap();
        let writing = database.begin_write().unwrap();
        let definition: redb::TableDefinition<&[u8], &[u8]> = redb::TableDefinition::new(table);
        writing.open_table(definition).unwrap().insert(&b"x"[..], &b"y"[..]).unwrap();
        writing.commit().unwrap();
        drop(database);
        let error = crate::open(&foreign, &options).await.unwrap_err().to_string();
        assert!(error.contains("is not a store") && error.contains(reason), "{error}");
        let database = redb::Database::create(&foreign).unwrap();
        let tables: Vec<String> =
            database.begin_read().unwrap().list_tables().unwrap().map(|table| table.name().to_owned()).collect();
        assert_eq!(tables, [table]);
    }
}
