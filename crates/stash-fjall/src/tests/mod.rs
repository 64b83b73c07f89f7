//! What only the inside can be tested for: folders that are not ours, the background failing, states that somebody still
//! holds. The promises that every engine keeps are in `tests/conformance.rs`, what a disk can do to a store in
//! `tests/crashes.rs`.

use std::fs;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Decision, Engine, Scan, Snapshot, View, Writes};
use tempfile::TempDir;

use crate::{FjallEngine, FjallOptions};

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/store");
    (folder, path)
}

/// Tables are written after a few updates.
fn small() -> FjallOptions {
    FjallOptions { write_buffer_bytes: 1 << 14, ..FjallOptions::default() }
}

fn open(path: &Path) -> FjallEngine {
    FjallEngine::open(path, &small()).unwrap()
}

fn refused(path: &Path) -> String {
    FjallEngine::open(path, &small()).unwrap_err().to_string()
}

struct Put(Bytes, Bytes);

impl Decision for Put {
    type Output = ();

    fn queue(&self) -> &'static str {
        ""
    }

    fn cost(&self) -> usize {
        self.0.len() + self.1.len()
    }

    fn decide(&mut self, _: &dyn View, writes: &mut Writes) -> Result<(), StorageError> {
        writes.put(self.0.clone(), self.1.clone());
        Ok(())
    }
}

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Put {
    Put(key.into(), value.into())
}

/// Every file below `folder`, with what is in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.push((path.clone(), Vec::new()));
            files.extend(self::files(&path));
        } else {
            let bytes = fs::read(&path).unwrap();
            files.push((path, bytes));
        }
    }
    files.sort();
    files
}

#[tokio::test]
async fn a_second_opening_says_who_has_the_store() {
    let (_folder, path) = place();
    let first = open(&path);
    let error = refused(&path);
    let holder = if cfg!(target_os = "linux") { "this process already" } else { "another process" };
    assert!(error.contains(&format!("is in use by {holder}")), "{error}");
    first.update(put("k", "v")).await.unwrap();
    drop(first);
    assert!(open(&path).read(&[b"k"]).await.unwrap()[0].is_some());
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let (folder, _) = place();
    let theirs = folder.path().join("theirs");
    fs::create_dir(&theirs).unwrap();
    fs::write(theirs.join("notes.txt"), "somebody's notes").unwrap();
    let before = files(&theirs);
    let error = refused(&theirs);
    assert!(error.contains("theirs is not a store") && error.contains("'notes.txt'"), "{error}");
    assert_eq!(files(&theirs), before);

    // Files with the names of ours.
    for name in ["lock", "fjall"] {
        let named = folder.path().join(format!("with {name}"));
        fs::create_dir(&named).unwrap();
        fs::write(named.join(name), "something").unwrap();
        let before = files(&named);
        refused(&named);
        assert_eq!(files(&named), before);
    }

    let error = refused(&theirs.join("notes.txt"));
    assert!(error.contains("it is a file; name a folder"), "{error}");

    // Another program's database, where theirs would be and where ours would be.
    for ours in [false, true] {
        let store = folder.path().join(format!("fjall {ours}"));
        let place = if ours { store.join("fjall") } else { store.clone() };
        let database = fjall::Database::builder(&place).open().unwrap();
        database.keyspace("theirs", fjall::KeyspaceCreateOptions::default).unwrap().insert("a", "b").unwrap();
        drop(database);
        let error = refused(&store);
        assert!(error.contains("is not a store"), "{error}");
        let database = fjall::Database::builder(&place).open().unwrap();
        assert_eq!(database.list_keyspace_names().len(), 1);
        let keyspace = database.keyspace("theirs", fjall::KeyspaceCreateOptions::default).unwrap();
        assert!(keyspace.get("a").unwrap().is_some());
    }
}

#[tokio::test]
async fn what_a_killed_process_left_half_made_is_in_nobodys_way() {
    let (_folder, path) = place();
    fs::create_dir_all(path.join(".stash-unfinished/keyspaces")).unwrap();
    fs::write(path.join(".stash-unfinished/0.jnl"), "half").unwrap();
    fs::write(path.join("lock"), "").unwrap();
    fs::create_dir(path.join("lost+found")).unwrap();
    let engine = open(&path);
    engine.update(put("k", "v")).await.unwrap();
    assert!(!path.join(".stash-unfinished").exists());
}

#[test]
fn many_that_make_a_store_at_once_make_one() {
    let (_folder, path) = place();
    let opened = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| FjallEngine::open(&path, &small()).is_ok())).collect();
        tries.into_iter().filter_map(|one| one.join().ok()).filter(|ok| *ok).count()
    });
    assert!(opened >= 1);
    drop(open(&path));
}

#[cfg(unix)]
#[test]
fn a_new_store_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = place();
    drop(open(&path));
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&path), mode(&path.join("fjall")), mode(&path.join("lock"))), (0o700, 0o700, 0o600));
}

#[tokio::test]
async fn a_closed_engine_refuses_and_its_states_end() {
    let (_folder, path) = place();
    let engine = open(&path);
    engine.update(put("k", "v")).await.unwrap();
    let held = engine.snapshot().await.unwrap();
    assert!(held.read(&[b"k"]).await.unwrap()[0].is_some());
    engine.close();
    assert_eq!(engine.update(put("k", "w")).await, Err(StorageError::Closed));
    assert_eq!(engine.read(&[b"k"]).await, Err(StorageError::Closed));
    assert!(engine.status().failure.is_some());
    // A state that somebody still holds keeps nobody from opening the store.
    let again = open(&path);
    held.read(&[b"k"]).await.unwrap_err();
    assert_eq!(again.read(&[b"k"]).await.unwrap(), [Some(Bytes::from("v"))]);
}

#[tokio::test]
async fn the_status_tells_the_bytes_on_the_disk() {
    let (_folder, path) = place();
    let engine = open(&path);
    let before = engine.status();
    assert_eq!(before.failure, None);
    engine.update(put("k", vec![7; 1 << 20])).await.unwrap();
    let grown = engine.status().disk_bytes.unwrap() - before.disk_bytes.unwrap();
    assert!((1 << 20..8 << 20).contains(&grown), "{grown}");
}

#[tokio::test]
async fn a_background_that_fails_shows_and_loses_nothing() {
    let (_folder, path) = place();
    let engine = open(&path);
    engine.update(put("first", "v")).await.unwrap();
    // No table can be written where there is a file.
    let tables = path.join("fjall/keyspaces/1/tables");
    let aside = path.join("aside");
    fs::rename(&tables, &aside).unwrap();
    fs::write(&tables, "").unwrap();
    let mut acknowledged = 0;
    let shown = loop {
        match engine.update(put(format!("k{acknowledged:06}"), vec![b'v'; 1 << 12])).await {
            Ok(()) => acknowledged += 1,
            Err(error) => assert!(matches!(error, StorageError::Io { .. } | StorageError::Corrupt { .. }), "{error}"),
        }
        if let Some(failure) = engine.status().failure {
            break failure;
        }
        assert!(acknowledged < 100_000, "the background never fails");
    };
    assert!(shown.contains("background") || shown.contains("cannot open the store"), "{shown}");
    assert!(engine.update(put("refused", "v")).await.is_err() || engine.gaps() > 0);

    fs::remove_file(&tables).unwrap();
    fs::rename(&aside, &tables).unwrap();
    engine.update(put("after", "v")).await.unwrap();
    assert!(engine.gaps() > 0);
    assert_eq!(engine.status().failure, None);
    let found = engine.scan(&Scan { value_bytes: 0, ..Scan::prefix(b"k") }).await.unwrap();
    assert_eq!(found.entries.len(), acknowledged);
    assert!(engine.read(&[b"first"]).await.unwrap()[0].is_some());
}

#[tokio::test]
async fn opening_again_takes_the_same_store_or_none() {
    let (_folder, path) = place();
    let (first, mut again) = crate::open::open_store(&path, &small()).unwrap();
    drop(first);
    drop(again().unwrap());
    let (database, aside) = (path.join("fjall"), path.join("aside"));
    fs::rename(&database, &aside).unwrap();
    assert!(again().is_err());
    assert!(!database.exists(), "no new store takes its place");
    crate::create::make_store(&path, &small()).unwrap();
    if cfg!(unix) {
        let error = again().err().unwrap().to_string();
        assert!(error.contains("another store has taken its place"), "{error}");
    }
    fs::remove_dir_all(&database).unwrap();
    fs::rename(&aside, &database).unwrap();
    drop(again().unwrap());
}
