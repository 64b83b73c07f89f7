//! Folders that are not ours, files that are not what was stored, and files of somebody else beside ours.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use stash_core::engine::{Engine, Scan, Snapshot};
use stash_core::{ComponentStorage, EngineBackend, NamespacedStorage, SetOptions, StorageError, StorageExt};
use tempfile::TempDir;

use super::{Put, put};
use crate::{FilesEngine, FilesOptions};

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("deep/er/store");
    (folder, path)
}

/// Files are written at once.
fn options() -> FilesOptions {
    FilesOptions { apply_after: Duration::ZERO, ..FilesOptions::default() }
}

fn open(path: &Path) -> FilesEngine {
    FilesEngine::open(path, &options()).unwrap()
}

fn refused(path: &Path) -> String {
    FilesEngine::open(path, &options()).unwrap_err().to_string()
}

fn remove(key: &'static str) -> Put {
    Put::all(vec![(Bytes::from(key), None)])
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

/// The names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut names: Vec<_> = names.collect();
    names.sort();
    names
}

#[tokio::test]
async fn a_record_is_a_file_with_its_value_and_nothing_else() {
    let (_folder, path) = place();
    let backend = EngineBackend::open(open(&path)).await.unwrap();
    let store = NamespacedStorage::new(&"app/service-a/001".parse().unwrap(), backend.clone());
    store.set("user:123", "Ada\n").await.unwrap();
    store.set("User:123", "Bob").await.unwrap();
    store.set("empty", "").await.unwrap();
    let attributes = [("colour".to_owned(), "blue".to_owned())].into();
    let options = SetOptions { content_type: Some("image/png".to_owned()), attributes, ..SetOptions::default() };
    store.set_with("photo.png", &b"\x89PNG"[..], options, None).await.unwrap();
    let orders = "orders/2026".parse().unwrap();
    store.create_collection(&orders, &stash_core::CollectionSettings::default()).await.unwrap();
    store.open_collection(Some(&orders)).await.unwrap().set("7", "seven").await.unwrap();
    drop((store, backend));

    let component = path.join("app/service-a/001");
    assert_eq!(names(&component), ["+orders", "^User%3A123", "empty", "photo.png", "user%3A123"]);
    for (file, value) in [
        ("user%3A123", &b"Ada\n"[..]),
        ("^User%3A123", b"Bob"),
        ("empty", b""),
        ("photo.png", b"\x89PNG"),
        ("+orders/+2026/7", b"seven"),
    ] {
        assert_eq!(fs::read(component.join(file)).unwrap(), value, "{file}");
    }
    assert_eq!(names(&path), [".stash", ".stash-lock", "app"]);
    assert_eq!(names(&path.join(".stash")), ["format", "index", "journal", "old", "tmp"]);

    let backend = EngineBackend::open(open(&path)).await.unwrap();
    let store = NamespacedStorage::new(&"app/service-a/001".parse().unwrap(), backend);
    let record = store.read_one("photo.png").await.unwrap().unwrap();
    assert_eq!((record.metadata.content_type(), &record.value[..]), (Some("image/png"), &b"\x89PNG"[..]));
    assert_eq!(record.metadata.attributes()["colour"], "blue");
    assert!(record.metadata.updated.is_some());
}

#[tokio::test]
async fn what_is_removed_takes_its_folders_with_it() {
    let (_folder, path) = place();
    let engine = open(&path);
    engine.update(put("ra/b/c\u{1f}one\u{1f}two/k", "v")).await.unwrap();
    engine.update(put("ra/b/d/k", "v")).await.unwrap();
    drop(engine);
    assert!(path.join("a/b/c/+one/+two/k").exists());
    fs::write(path.join("a/b/d/notes"), "somebody's").unwrap();
    let engine = open(&path);
    engine.update(remove("ra/b/c\u{1f}one\u{1f}two/k")).await.unwrap();
    engine.update(remove("ra/b/d/k")).await.unwrap();
    drop(engine);
    assert_eq!(names(&path.join("a/b")), ["d"]);
    assert_eq!(names(&path.join("a/b/d")), ["notes"]);
    let engine = open(&path);
    engine.update(put("ra/b/c\u{1f}one\u{1f}two/k", "again")).await.unwrap();
    drop(engine);
    assert_eq!(fs::read(path.join("a/b/c/+one/+two/k")).unwrap(), b"again");
}

#[tokio::test]
async fn files_of_others_are_left_alone() {
    let (_folder, path) = place();
    fs::create_dir_all(path.join(".git/objects")).unwrap();
    fs::write(path.join(".git/HEAD"), "ref: refs/heads/main\n").unwrap();
    fs::write(path.join(".gitattributes"), "* -text\n").unwrap();
    let engine = open(&path);
    engine.update(put("ra/b/c/user", "v")).await.unwrap();
    drop(engine);
    let theirs = [".DS_Store", ".user.swp", ".user.x7Df2k", "user~", "#user#", "notes.txt", "a b", "%", "\u{e9}"];
    for name in theirs {
        fs::write(path.join("a/b/c").join(name), "theirs").unwrap();
    }
    fs::create_dir(path.join("a/b/c/folder")).unwrap();
    fs::write(path.join("README"), "theirs").unwrap();
    fs::write(path.join(".stash/index/notes"), "theirs").unwrap();
    let before: Vec<_> = files(&path).into_iter().filter(|(_, bytes)| bytes == b"theirs").collect();
    assert_eq!(before.len(), theirs.len() + 2);

    let engine = open(&path);
    let all = engine.scan(&Scan::prefix(b"r")).await.unwrap().entries;
    assert_eq!(all, [(Bytes::from("ra/b/c/user"), Bytes::from("v"))]);
    engine.update(put("ra/b/c/other", "v")).await.unwrap();
    engine.update(remove("ra/b/c/user")).await.unwrap();
    drop(engine);
    let after: Vec<_> = files(&path).into_iter().filter(|(_, bytes)| bytes == b"theirs").collect();
    assert_eq!(after, before);
    assert!(path.join(".git/objects").is_dir());
}

#[tokio::test]
async fn a_file_that_was_changed_is_damage_of_that_record_alone() {
    let (_folder, path) = place();
    let engine = open(&path);
    for key in ["torn", "longer", "edited", "missing", "folder", "loop", "well"] {
        engine.update(put(format!("ra/b/c/{key}"), key)).await.unwrap();
    }
    drop(engine);
    let file = |name: &str| path.join("a/b/c").join(name);
    fs::write(file("torn"), "tor").unwrap();
    fs::write(file("longer"), "longer!").unwrap();
    fs::write(file("edited"), "edifed").unwrap();
    fs::remove_file(file("missing")).unwrap();
    fs::remove_file(file("folder")).unwrap();
    fs::create_dir(file("folder")).unwrap();
    fs::remove_file(file("loop")).unwrap();
    #[cfg(unix)]
    std::os::unix::fs::symlink(file("loop"), file("loop")).unwrap();

    let engine = open(&path);
    for (name, what) in [
        ("torn", "is not what was stored"),
        ("longer", "is not what was stored"),
        ("edited", "is not what was stored"),
        ("missing", "is missing"),
        ("folder", "is not what was stored"),
    ] {
        let key = format!("ra/b/c/{name}");
        let Err(StorageError::Corrupt { reason }) = engine.read(&[key.as_bytes()]).await else { panic!("{name}") };
        assert!(reason.contains(&file(name).display().to_string()) && reason.contains(what), "{reason}");
        // An update that reads it fails, and no other.
        let looking = stash_conformance::decision::act(move |view, writes| {
            view.look(key.as_bytes(), &mut |_| {})?;
            writes.put(Bytes::from(key.clone()), Bytes::new());
            Ok(())
        });
        let (damaged, well) = tokio::join!(engine.update(looking), engine.update(put("ra/b/c/other", name)));
        assert!(matches!(damaged, Err(StorageError::Corrupt { .. })), "{damaged:?}");
        well.unwrap();
    }
    assert_eq!(engine.gaps(), 0, "it need not be opened again for that");
    assert_eq!(engine.read(&[b"ra/b/c/well"]).await.unwrap(), [Some(Bytes::from("well"))]);
    // What is no damage is no reason either.
    if cfg!(unix) {
        let engine = &engine;
        let error = engine.read(&[b"ra/b/c/loop"]).await.unwrap_err();
        assert!(matches!(error, StorageError::Unavailable { .. }), "{error}");
        assert_eq!(engine.gaps(), 0);
    }
    // Keys can be listed: nothing of the files is read for that.
    let keys = engine.scan(&Scan { value_bytes: 28, ..Scan::prefix(b"ra/b/c/") }).await.unwrap();
    assert_eq!(keys.entries.len(), 8);
    // Put back as it was, it is well.
    fs::write(file("torn"), "torn").unwrap();
    assert_eq!(engine.read(&[b"ra/b/c/torn"]).await.unwrap(), [Some(Bytes::from("torn"))]);
}

#[tokio::test]
async fn a_snapshot_reads_what_was_replaced_and_removed_since() {
    let (_folder, path) = place();
    let engine = open(&path);
    let large = |n: u8| Bytes::from(vec![n; 100_000]);
    for key in ["ra/b/c/replaced", "ra/b/c/removed", "va/b/c/"] {
        engine.update(put(key, large(1))).await.unwrap();
    }
    drop(engine);
    let engine = open(&path);
    let held = engine.snapshot().await.unwrap();
    for n in 2..20 {
        engine.update(put("ra/b/c/replaced", large(n))).await.unwrap();
        engine.update(put("va/b/c/", large(n))).await.unwrap();
        // So that each is in a file before it is replaced.
        while fs::read(path.join("a/b/c/replaced")).unwrap() != large(n) {
            tokio::task::yield_now().await;
        }
    }
    engine.update(remove("ra/b/c/removed")).await.unwrap();
    while path.join("a/b/c/removed").exists() {
        tokio::task::yield_now().await;
    }
    let keys: [&[u8]; 3] = [b"ra/b/c/replaced", b"ra/b/c/removed", b"va/b/c/"];
    assert_eq!(held.read(&keys).await.unwrap(), [Some(large(1)), Some(large(1)), Some(large(1))]);
    assert_eq!(held.scan(&Scan::prefix(b"r")).await.unwrap().entries.len(), 2);
    assert_eq!(names(&path.join(".stash/old")).len(), 2, "only what is still read is put aside");
    assert_eq!(engine.read(&keys).await.unwrap(), [Some(large(19)), None, Some(large(19))]);
    drop(held);
    // The last state that the thread has in hand goes with what it does next.
    engine.update(put("ra/b/c/next", "")).await.unwrap();
    while !names(&path.join(".stash/old")).is_empty() {
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn the_index_does_not_grow_with_what_is_replaced() {
    let (_folder, path) = place();
    let engine = open(&path);
    let index =
        || fs::read_dir(path.join(".stash/index")).unwrap().map(|entry| entry.unwrap().metadata().unwrap().len());
    for n in 0..200_u8 {
        // Each replaces one and removes the one before.
        let (key, gone) = (format!("ca/b/c/{n}"), format!("ca/b/c/{}", n.wrapping_sub(1)));
        let value = Bytes::from(vec![n; 50_000]);
        let writes = vec![(key.into(), Some(value.clone())), (gone.into(), None), ("va/b/c/".into(), Some(value))];
        engine.update(Put::all(writes)).await.unwrap();
    }
    drop(engine);
    assert_eq!(index().count(), 1);
    assert!(index().sum::<u64>() < 3_000_000, "{:?}", index().collect::<Vec<_>>());
    let engine = open(&path);
    let all = engine.scan(&Scan::prefix(b"")).await.unwrap().entries;
    let value = Bytes::from(vec![199; 50_000]);
    assert_eq!(all, [("ca/b/c/199".into(), value.clone()), ("va/b/c/".into(), value)]);
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

    let error = refused(&theirs.join("notes.txt"));
    assert!(error.contains("it is a file; name a folder"), "{error}");

    // With the name of ours.
    for (part, is_folder) in [(".stash", true), (".stash", false)] {
        let named = folder.path().join(format!("named {is_folder}"));
        fs::create_dir(&named).unwrap();
        if is_folder {
            fs::create_dir(named.join(part)).unwrap();
        } else {
            fs::write(named.join(part), "").unwrap();
        }
        let before = files(&named);
        refused(&named);
        assert_eq!(files(&named), before);
    }

    let newer = folder.path().join("newer");
    drop(open(&newer));
    let format = newer.join(".stash/format");
    let text = fs::read_to_string(&format).unwrap();
    fs::write(&format, text.replace("format 1", "format 2")).unwrap();
    let error = refused(&newer);
    assert!(error.contains("format 2; use a newer Stash"), "{error}");
    fs::write(&format, text.replace("mark ", "mark f")).unwrap();
    assert!(refused(&newer).contains("not what it was"));
    fs::write(&format, text.replace('\n', "\r\n")).unwrap();
    drop(open(&newer));
}

#[tokio::test]
async fn what_a_killed_process_left_half_made_is_in_nobodys_way() {
    let (_folder, path) = place();
    fs::create_dir_all(path.join(".stash-unfinished/journal")).unwrap();
    fs::write(path.join(".stash-unfinished/journal/000000000001"), "half").unwrap();
    fs::write(path.join(".stash-unfinished/format"), "half").unwrap();
    fs::write(path.join(".stash-lock"), "").unwrap();
    fs::create_dir(path.join("lost+found")).unwrap();
    let engine = open(&path);
    engine.update(put("k", "v")).await.unwrap();
    assert!(!path.join(".stash-unfinished").exists());
}

#[test]
fn many_that_make_a_store_at_once_make_one() {
    let (_folder, path) = place();
    let opened = std::thread::scope(|scope| {
        let tries: Vec<_> = (0..8).map(|_| scope.spawn(|| FilesEngine::open(&path, &options()).is_ok())).collect();
        tries.into_iter().filter_map(|one| one.join().ok()).filter(|ok| *ok).count()
    });
    assert!(opened >= 1);
    drop(open(&path));
}

#[cfg(unix)]
#[tokio::test]
async fn a_new_store_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = place();
    let engine = open(&path);
    engine.update(put("ra/b/c/k", "v")).await.unwrap();
    drop(engine);
    let mode = |path: &Path| path.metadata().unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&path), 0o700);
    for (file, _) in files(&path) {
        assert_eq!(mode(&file), if file.is_dir() { 0o700 } else { 0o600 }, "{file:?}");
    }
}

#[tokio::test]
async fn a_closed_engine_refuses_and_its_states_end() {
    let (_folder, path) = place();
    let engine = open(&path);
    engine.update(put("ra/b/c/k", "v")).await.unwrap();
    let held = engine.snapshot().await.unwrap();
    assert!(held.read(&[b"ra/b/c/k"]).await.unwrap()[0].is_some());
    engine.close();
    assert_eq!(engine.update(Put::all(Vec::new())).await, Err(StorageError::Closed));
    assert_eq!(engine.read(&[b"ra/b/c/k"]).await, Err(StorageError::Closed));
    assert!(engine.status().failure.is_some());
    // A state that somebody still holds keeps nobody from opening the store.
    let again = open(&path);
    held.read(&[b"ra/b/c/k"]).await.unwrap_err();
    assert_eq!(again.read(&[b"ra/b/c/k"]).await.unwrap(), [Some(Bytes::from("v"))]);
}

#[tokio::test]
async fn the_status_tells_the_bytes_on_the_disk() {
    let (_folder, path) = place();
    let engine = open(&path);
    let before = engine.status();
    assert_eq!(before.failure, None);
    engine.update(put("ra/b/c/k", vec![7; 1 << 20])).await.unwrap();
    let grown = engine.status().disk_bytes.unwrap() - before.disk_bytes.unwrap();
    assert!((1 << 20..4 << 20).contains(&grown), "{grown}");
    drop(engine);
    let engine = open(&path);
    let closed = engine.status().disk_bytes.unwrap() - before.disk_bytes.unwrap();
    assert!((1 << 20..(1 << 20) + 10_000).contains(&closed), "{closed}");
    engine.update(remove("ra/b/c/k")).await.unwrap();
    drop(engine);
    assert!(open(&path).status().disk_bytes.unwrap() < before.disk_bytes.unwrap() + 10_000);
}

#[tokio::test]
async fn opening_again_takes_the_same_store_or_none() {
    let (_folder, path) = place();
    let (first, mut again) = crate::open::open_store(&path, &options()).unwrap();
    drop(first);
    drop(again().unwrap());
    let (own, aside) = (path.join(".stash"), path.join("aside"));
    fs::rename(&own, &aside).unwrap();
    assert!(again().is_err());
    assert!(!own.exists(), "no new store takes its place");
    let other = path.join("other");
    drop(open(&other));
    fs::rename(other.join(".stash"), &own).unwrap();
    if cfg!(unix) {
        let error = again().err().unwrap().to_string();
        assert!(error.contains("another store has taken its place"), "{error}");
    }
    fs::remove_dir_all(&own).unwrap();
    fs::rename(&aside, &own).unwrap();
    drop(again().unwrap());
}
