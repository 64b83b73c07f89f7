//! Files that are missing, replaced, half made or somebody else's: an error, never another store, and nothing changed.

use std::fs;
use std::path::Path;

use rusqlite::Connection;
use stash_core::StorageError;
use stash_core::engine::{Engine, Snapshot};

use super::{files, get, open, place, put, refused};
use crate::SqliteOptions;
use crate::connection::{APPLICATION_ID, SCHEMA};
use crate::create::beside;
use crate::open::open_store;
use crate::states::Bounds;

#[tokio::test]
async fn a_second_opening_says_who_has_the_store_and_disturbs_nobody() {
    let (_folder, path) = place();
    let first = open(&path);
    first.update(put("k", "v")).await.unwrap();
    let error = refused(&path);
    let holder = if cfg!(target_os = "linux") { "this process already" } else { "another process" };
    assert!(error.contains(&format!("is in use by {holder}")), "{error}");
    first.update(put("k", "w")).await.unwrap();
    // SQLite still has its locks: another program cannot take the log away.
    let mode = std::process::Command::new("sqlite3").arg(&path).arg("PRAGMA journal_mode = DELETE").output();
    if let Ok(mode) = mode {
        assert!(!String::from_utf8_lossy(&mode.stdout).contains("delete"), "{mode:?}");
    }
    drop(first);
    assert_eq!(get(&open(&path), "k").await.unwrap(), "w");
}

#[test]
fn what_is_no_store_is_refused_and_left_alone() {
    let (folder, _) = place();
    let folder = folder.path();
    fs::write(folder.join("notes.txt"), "somebody's notes\n".repeat(500)).unwrap();
    fs::write(folder.join("short"), "x").unwrap();
    let database = |name: &str, application: i32, schema: i32, table: &str| {
        let theirs = Connection::open(folder.join(name)).unwrap();
        theirs.pragma_update(None, "application_id", application).unwrap();
        theirs.pragma_update(None, "user_version", schema).unwrap();
        theirs.execute_batch(table).unwrap();
    };
    database("theirs", 0, 0, "CREATE TABLE t (x)");
    database("same number", 0, SCHEMA, "CREATE TABLE entries (key, value)");
    database("newer", APPLICATION_ID, SCHEMA + 1, "CREATE TABLE t (x)");
    database("older", APPLICATION_ID, 0, "CREATE TABLE t (x)");
    // In use by its own program, with a log.
    let theirs = Connection::open(folder.join("in use")).unwrap();
    theirs.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    theirs.execute_batch("CREATE TABLE t (x); INSERT INTO t VALUES (1)").unwrap();

    let before = files(folder);
    for (name, why) in [
        ("notes.txt", "is not a SQLite database"),
        ("short", "is not a SQLite database"),
        ("theirs", "a SQLite database of another program (application_id 0)"),
        ("same number", "a SQLite database of another program"),
        ("newer", "use a newer Stash"),
        ("older", "which never was"),
        ("in use", "another program"),
    ] {
        let error = refused(&folder.join(name));
        assert!(error.contains(&format!("{name} is not a store")) && error.contains(why), "{name}: {error}");
    }
    assert!(files(folder) == before, "something was changed");
    theirs.execute_batch("INSERT INTO t VALUES (2)").unwrap();

    let error = refused(folder);
    assert!(error.contains("it is a folder; name a file"), "{error}");
    #[cfg(unix)]
    {
        let error = refused(Path::new("/dev/null"));
        assert!(error.contains("/dev/null: it is a device or another special file"), "{error}");
    }
}

#[test]
fn a_store_whose_tables_are_not_ours_is_refused() {
    for change in
        ["DROP TABLE rests", "ALTER TABLE entries ADD COLUMN more TEXT", "ALTER TABLE entries RENAME TO others"]
    {
        let (_folder, path) = place();
        drop(open(&path));
        Connection::open(&path)
            .unwrap()
            .execute_batch(&format!("DROP VIEW records; DROP VIEW namespaces; DROP VIEW map; {change}"))
            .unwrap();
        let error = refused(&path);
        assert!(error.contains("is missing, or not what it was"), "{change}: {error}");
    }
}

#[tokio::test]
async fn what_people_add_is_not_run() {
    let (_folder, path) = place();
    drop(open(&path));
    let people = Connection::open(&path).unwrap();
    people
        .execute_batch(
            "CREATE TRIGGER t AFTER INSERT ON entries BEGIN DELETE FROM entries; END; CREATE VIEW mine AS SELECT 1",
        )
        .unwrap();
    drop(people);
    let engine = open(&path);
    engine.update(put("k", "v")).await.unwrap();
    assert_eq!(get(&engine, "k").await.unwrap(), "v");
}

#[tokio::test]
async fn what_a_killed_process_left_half_made_is_in_nobodys_way() {
    let (_folder, path) = place();
    for ending in ["", "-wal", "-journal"] {
        fs::write(beside(&beside(&path, "-unfinished"), ending), vec![7; 5000]).unwrap();
    }
    open(&path).update(put("k", "v")).await.unwrap();
    assert!(!beside(&path, "-unfinished").exists() && !beside(&path, "-unfinished-wal").exists());
    // Killed when the finished store had both names.
    fs::hard_link(&path, beside(&path, "-unfinished")).unwrap();
    assert_eq!(get(&open(&path), "k").await.unwrap(), "v");
    // An empty file is one that nobody has made a store yet.
    let empty = path.with_file_name("empty");
    fs::write(&empty, "").unwrap();
    drop(open(&empty));
    drop(open(&empty));
}

#[test]
fn a_log_without_its_file_is_never_taken_for_a_new_stores() {
    let (_folder, path) = place();
    fs::write(beside(&path, "-wal"), vec![7; 5000]).unwrap();
    let error = refused(&path);
    assert!(error.contains("store.sqlite-wal is there and may hold what was last written"), "{error}");
    assert!(!path.exists());
    fs::write(beside(&path, "-wal"), "").unwrap();
    drop(open(&path));
}

#[cfg(unix)]
#[test]
fn a_file_with_two_names_is_refused() {
    let (folder, path) = place();
    drop(open(&path));
    fs::hard_link(&path, folder.path().join("other name")).unwrap();
    let error = refused(&path);
    assert!(error.contains("another name"), "{error}");
}

#[test]
fn many_that_make_a_store_at_once_make_one() {
    let (_folder, path) = place();
    let path = path.with_file_name("deep/er/store.sqlite");
    let options = SqliteOptions::default();
    let opened = std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..8).map(|_| scope.spawn(|| crate::SqliteEngine::open(&path, &options).is_ok())).collect();
        tries.into_iter().filter_map(|one| one.join().ok()).filter(|ok| *ok).count()
    });
    assert!(opened >= 1);
    drop(open(&path));
}

#[cfg(unix)]
#[tokio::test]
async fn all_files_are_their_owners() {
    use std::os::unix::fs::PermissionsExt;
    let (folder, path) = place();
    let engine = open(&path);
    engine.update(put("k", "v")).await.unwrap();
    let mut seen = Vec::new();
    for entry in fs::read_dir(folder.path()).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{entry:?}");
        seen.push(entry.file_name().into_string().unwrap());
    }
    seen.sort();
    assert_eq!(seen, ["store.sqlite", "store.sqlite-lock", "store.sqlite-shm", "store.sqlite-wal"]);
}

#[cfg(unix)]
#[tokio::test]
async fn a_store_is_made_where_its_link_leads_whatever_it_is_called() {
    let (folder, path) = place();
    fs::create_dir(folder.path().join("volume")).unwrap();
    std::os::unix::fs::symlink("volume/real?a=%41#.sqlite", &path).unwrap();
    open(&path).update(put("k", "v")).await.unwrap();
    assert!(path.is_symlink() && folder.path().join("volume/real?a=%41#.sqlite").is_file());
    assert_eq!(get(&open(&path), "k").await.unwrap(), "v");
}

#[test]
fn opening_again_takes_the_same_file_or_none() {
    let (folder, path) = place();
    let options = SqliteOptions::default();
    let (first, mut again, _) = open_store(&path, &options, Bounds::default()).unwrap();
    drop(first);
    drop(again().unwrap());
    let aside = folder.path().join("aside");
    fs::rename(&path, &aside).unwrap();
    assert!(again().is_err());
    assert!(!path.exists(), "no new store takes its place");
    let theirs = folder.path().join("theirs");
    drop(open(&theirs));
    fs::rename(&theirs, &path).unwrap();
    if cfg!(unix) {
        let error = again().err().unwrap().to_string();
        assert!(error.contains("another file has taken its place"), "{error}");
    }
    fs::rename(&aside, &path).unwrap();
    drop(again().unwrap());
    fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    let error = again().err().unwrap().to_string();
    assert!(error.contains("removed or emptied"), "{error}");
    assert_eq!(path.metadata().unwrap().len(), 0, "nothing is made of it");
}

#[test]
fn every_commit_is_synced_however_often_the_store_is_opened() {
    let (_folder, path) = place();
    for _ in 0..2 {
        let (database, again, _) = open_store(&path, &SqliteOptions::default(), Bounds::default()).unwrap();
        let is = |pragma: &str| database.writer.pragma_query_value(None, pragma, |row| row.get::<_, i64>(0)).unwrap();
        let mode: String = database.writer.pragma_query_value(None, "journal_mode", |row| row.get(0)).unwrap();
        assert_eq!((mode.as_str(), is("synchronous"), is("fullfsync"), is("mmap_size")), ("wal", 2, 1, 0));
        drop((database, again));
        // As somebody may leave it.
        let people = Connection::open(&path).unwrap();
        people.pragma_update_and_check(None, "journal_mode", "DELETE", |_| Ok(())).unwrap();
    }
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
    // Nothing is left beside the file, though somebody still holds a state.
    assert!(!beside(&path, "-wal").exists());
    let again = open(&path);
    held.read(&[b"k"]).await.unwrap_err();
    assert_eq!(get(&again, "k").await.unwrap(), "v");
}

#[tokio::test]
async fn the_status_tells_the_bytes_on_the_disk_with_the_log() {
    let (_folder, path) = place();
    let engine = open(&path);
    let before = engine.status();
    assert_eq!(before.failure, None);
    engine.update(put("k", vec![7; 1 << 20])).await.unwrap();
    let grown = engine.status().disk_bytes.unwrap() - before.disk_bytes.unwrap();
    assert!((1 << 20..2 << 20).contains(&grown), "{grown}");
}
