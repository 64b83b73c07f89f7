//! Files that are missing, replaced, half made or damaged: an error, never another store, a panic or a stuck writer.

use std::path::PathBuf;

use stash_core::engine::Engine;
use stash_core::{ComponentStorage, NamespacedStorage};
use tempfile::TempDir;

use super::put;
use crate::engine::RedbEngine;
use crate::file::{RedbOptions, open_store};

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.redb");
    (folder, path)
}

#[test]
fn opening_again_takes_the_same_file_or_none() {
    let (folder, path) = place();
    let options = RedbOptions::default();
    let (database, again) = open_store(&path, &options).unwrap();
    drop(database);
    drop(again().unwrap());

    let aside = folder.path().join("aside");
    std::fs::rename(&path, &aside).unwrap();
    again().unwrap_err();
    assert!(!path.exists(), "no new store takes its place");

    drop(open_store(&path, &options).unwrap());
    if cfg!(unix) {
        let error = again().unwrap_err().to_string();
        assert!(error.contains("another file has taken its place"), "{error}");
    }
    std::fs::rename(&aside, &path).unwrap();
    drop(again().unwrap());

    std::fs::File::options().write(true).open(&path).unwrap().set_len(0).unwrap();
    let error = again().unwrap_err().to_string();
    assert!(error.contains("has been emptied"), "{error}");
    assert_eq!(path.metadata().unwrap().len(), 0, "nothing is made of it");
}

#[test]
fn what_a_killed_process_left_half_made_is_in_nobodys_way() {
    let (folder, path) = place();
    // As `make_store` leaves it when it is killed, also by a process with our number.
    for unfinished in ["store.redb.new-1".to_owned(), format!("store.redb.new-{}-0", std::process::id())] {
        std::fs::write(folder.path().join(unfinished), vec![0; 1 << 20]).unwrap();
    }
    drop(open_store(&path, &RedbOptions::default()).unwrap());
    drop(open_store(&path, &RedbOptions::default()).unwrap());

    // An empty file is one that nobody has made a store yet.
    let empty = folder.path().join("empty");
    std::fs::write(&empty, "").unwrap();
    drop(open_store(&empty, &RedbOptions::default()).unwrap());
}

#[cfg(unix)]
#[test]
fn a_new_store_is_its_owners() {
    use std::os::unix::fs::PermissionsExt;
    let (_folder, path) = place();
    drop(open_store(&path, &RedbOptions::default()).unwrap());
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn many_that_make_a_store_at_once_make_one() {
    let (_folder, path) = place();
    let opened = std::thread::scope(|scope| {
        let tries: Vec<_> =
            (0..8).map(|_| scope.spawn(|| open_store(&path, &RedbOptions::default()).is_ok())).collect();
        tries.into_iter().filter_map(|one| one.join().ok()).filter(|ok| *ok).count()
    });
    assert!(opened >= 1);
    drop(open_store(&path, &RedbOptions::default()).unwrap());
}

/// Overwrites pages of the file with 0xff, those that `choose` says, but for the first, which says what the file is.
fn damage(path: &PathBuf, mut choose: impl FnMut() -> bool) {
    let mut bytes = std::fs::read(path).unwrap();
    for page in bytes.chunks_mut(4096).skip(1) {
        if page.iter().any(|byte| *byte != 0) && choose() {
            // The page's own header stays: it is the rest that is trusted.
            page[64..].fill(0xff);
        }
    }
    std::fs::write(path, bytes).unwrap();
}

#[tokio::test]
async fn damage_is_an_error_for_those_who_meet_it_and_for_nobody_else() {
    let (mut served, mut refused) = (0, 0);
    for seed in 1..=12_u64 {
        let (_folder, path) = place();
        let backend = crate::open(&path, &RedbOptions::default()).await.unwrap();
        let id = "a/b/c".parse().unwrap();
        let store = NamespacedStorage::new(&id, backend);
        for n in 0..60 {
            store.set(&format!("k{n:02}"), vec![b'v'; 700]).await.unwrap();
        }
        drop(store);
        let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
        damage(&path, || {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            state.is_multiple_of(9)
        });
        let Ok(backend) = crate::open(&path, &RedbOptions::default()).await else {
            refused += 1;
            continue;
        };
        let store = NamespacedStorage::new(&id, backend);
        // All at once, so that they share commits.
        let keys: Vec<String> = (0..60).map(|n| format!("k{n:02}")).collect();
        let mut writing = tokio::task::JoinSet::new();
        for key in keys.clone() {
            let store = store.clone();
            writing.spawn(async move { store.set(&key, "first").await.is_ok() });
        }
        writing.join_all().await;
        for key in keys {
            match store.set(&key, "new").await {
                Ok(()) => {
                    served += 1;
                    assert_eq!(store.get(&key).await.unwrap().unwrap().as_text(), Some("new"), "seed {seed}");
                }
                Err(_) => refused += 1,
            }
        }
        // Whatever it says, it says something.
        drop(store.list_keys("").await);
    }
    assert!(served > 0 && refused > 0, "{served} served, {refused} refused: the damage tests nothing");
}

#[cfg(unix)]
#[test]
fn a_store_is_made_where_its_link_leads() {
    let (folder, path) = place();
    std::fs::create_dir(folder.path().join("volume")).unwrap();
    std::os::unix::fs::symlink("volume/real.redb", &path).unwrap();
    drop(open_store(&path, &RedbOptions::default()).unwrap());
    assert!(path.is_symlink() && folder.path().join("volume/real.redb").is_file());
    drop(open_store(&path, &RedbOptions::default()).unwrap());
}

#[tokio::test]
async fn flipped_bytes_never_end_the_writer() {
    let (folder, path) = place();
    // Without records and their times: the same bytes in every run.
    let engine = RedbEngine::open(&path, &RedbOptions::default()).unwrap();
    let value = "v".repeat(200);
    for n in 0..12 {
        engine.update(put(format!("k{n:02}"), value.clone())).await.unwrap();
    }
    drop(engine);
    let whole = std::fs::read(&path).unwrap();
    let written: Vec<usize> = (0..whole.len()).filter(|at| whole[*at] != 0).collect();
    let copy = folder.path().join("copy.redb");
    let mut state = 0x9E37_79B9_7F4A_7C15_u64;
    let mut panics = 0;
    for _ in 0..300 {
        let mut bytes = whole.clone();
        for _ in 0..4 {
            state ^= state << 13;
            state ^= state >> 7;
            state ^= state << 17;
            let at = written[usize::try_from(state >> 33).unwrap() % written.len()];
            bytes[at] ^= 1 << (state & 7);
        }
        std::fs::write(&copy, &bytes).unwrap();
        let Ok(engine) = RedbEngine::open(&copy, &RedbOptions::default()) else { continue };
        // Whatever becomes of the first, the second finds somebody to serve it.
        let first = engine.update(put("k05", "new")).await;
        panics += usize::from(first.is_err());
        if let Err(error) = engine.update(put("other", "new")).await {
            assert!(!error.to_string().contains("writer has ended"), "{error}");
        }
    }
    assert!(panics > 0, "no damage was ever met: this tests nothing");
}

#[tokio::test]
async fn a_decision_that_panics_fails_alone() {
    let (_folder, path) = place();
    let engine = RedbEngine::open(&path, &RedbOptions::default()).unwrap();
    let panics = super::Put("bad".into(), "v".into(), || panic!("as a damaged page would"));
    engine.update(panics).await.unwrap_err();
    engine.update(put("good", "v")).await.unwrap();
    assert!(engine.read(&[b"good"]).await.unwrap()[0].is_some());
}
