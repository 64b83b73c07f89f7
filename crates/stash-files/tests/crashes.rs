//! What a kill, a copy while it is in use, and a disk that changes bytes can do to a store: nothing acknowledged is lost,
//! and damage is an error.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use stash_conformance::decision::{act, number, put, to_number};
use stash_core::engine::Scan;
use stash_core::{Engine, StorageError};
use stash_files::{FilesEngine, FilesOptions};

mod folders;

/// Files are written at once.
fn at_once() -> FilesOptions {
    FilesOptions { apply_after: Duration::ZERO, ..FilesOptions::default() }
}

/// Files are written when the store is closed.
fn at_the_end() -> FilesOptions {
    FilesOptions { apply_after: Duration::from_hours(1), ..FilesOptions::default() }
}

fn open(path: &Path, options: &FilesOptions) -> FilesEngine {
    FilesEngine::open(path, options).unwrap()
}

async fn contents(engine: &FilesEngine) -> BTreeMap<Bytes, Bytes> {
    engine.scan(&Scan::prefix(b"")).await.unwrap().entries.into_iter().collect()
}

/// The journals, the oldest first.
fn journals(store: &Path) -> Vec<PathBuf> {
    let mut journals = Vec::new();
    list(&store.join(".stash/journal"), &mut journals);
    journals
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
    files.sort();
}

/// A small generator, from a seed that a failure prints.
fn random(seed: u64) -> impl FnMut() -> usize {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize
    }
}

const CHILD: &str = "STASH_FILES_TEST_STORE";

/// Not a test of its own: what `a_kill_in_the_midst_of_writes_loses_nothing_acknowledged` starts and kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(open(Path::new(&path), &at_once()));
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let engine = Arc::clone(&engine);
            writers.spawn(async move {
                for n in 0..u32::MAX {
                    let key = format!("ra/b/{writer}/{n:08}");
                    engine
                        .update(put(key.as_bytes(), key.repeat(50).as_bytes()).queue(format!("{writer}")))
                        .await
                        .unwrap();
                    // Raw, so that the test runner does not keep it.
                    writeln!(std::io::stdout(), "done {key}").unwrap();
                }
            });
        }
        writers.join_all().await;
    });
}

#[test]
fn a_kill_in_the_midst_of_writes_loses_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let mut acknowledged = Vec::new();
    for kill_after in [1, 40, 333, 900] {
        let mut child = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "child_that_writes_until_it_is_killed", "--nocapture"])
            .env(CHILD, &path)
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
        let mut heard = 0;
        while heard < kill_after {
            let line = lines.next().expect("the child ended by itself").unwrap();
            if let Some((_, key)) = line.split_once("done ") {
                acknowledged.push(key.to_owned());
                heard += 1;
            }
        }
        child.kill().unwrap();
        // What it had said before it died counts too.
        let rest = lines.map_while(Result::ok);
        acknowledged.extend(rest.filter_map(|line| line.split_once("done ").map(|(_, key)| key.to_owned())));
        child.wait().unwrap();

        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let found = contents(&open(&path, &at_once())).await;
            for key in acknowledged.iter().filter(|key| key.len() == "ra/b/0/00000000".len()) {
                let found = found.get(key.as_bytes()).map(|value| &value[..]);
                assert_eq!(found, Some(key.repeat(50).as_bytes()), "{key}, acknowledged and not there");
            }
        });
    }
}

const LIMITED: &str = "STASH_FILES_TEST_LIMITED_STORE";

/// Not a test of its own: what `an_io_error_is_told_and_costs_nothing_acknowledged` starts, with a limit on files.
#[tokio::test]
async fn child_whose_files_cannot_grow() {
    let Some(path) = std::env::var_os(LIMITED) else { return };
    let engine = open(Path::new(&path), &at_the_end());
    let mut acknowledged = BTreeMap::new();
    for round in 0..3 {
        for n in 0..20 {
            let (key, value) = (format!("ra/b/c/{round}-{n}"), vec![b'v'; 9_000]);
            engine.update(put(key.as_bytes(), &value)).await.unwrap();
            acknowledged.insert(Bytes::from(key), Bytes::from(value));
        }
        let error = engine.update(put(b"ra/b/c/large", &vec![b'v'; 2_000_000])).await.unwrap_err();
        assert!(matches!(error, StorageError::Io { .. }), "{error}");
        assert!(contents(&engine).await == acknowledged, "round {round}");
        assert_eq!(engine.gaps(), 0, "a full disk is no reason to open the store again");
    }
}

#[cfg(unix)]
#[tokio::test]
async fn an_io_error_is_told_and_costs_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let run = "trap '' XFSZ; ulimit -f 1500; exec \"$0\" --exact child_whose_files_cannot_grow --nocapture";
    let mut child = Command::new("sh");
    child.args(["-c", run]).arg(std::env::current_exe().unwrap()).env(LIMITED, &path);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let engine = open(&path, &at_once());
    assert_eq!(contents(&engine).await.len(), 60);
    engine.update(put(b"after", b"v")).await.unwrap();
}

/// Sets three records to one number, again and again, and tells the last that was acknowledged.
async fn write_threes(engine: Arc<FilesEngine>, acknowledged: Arc<AtomicU64>, stop: Arc<AtomicBool>) {
    for n in 1.. {
        let threes = act(move |_, writes| {
            for key in ["ra/b/c/x", "ra/b/c/y", "ra/b/d/z"] {
                writes.put(Bytes::from(key), [&number(n)[..], &vec![b'v'; 5000]].concat().into());
            }
            writes.put(Bytes::from(format!("ra/b/c/n{}", n % 50)), number(n));
            writes.remove(Bytes::from(format!("ra/b/c/n{}", (n + 25) % 50)));
            writes.put(Bytes::from("na/b/c/"), number(n));
            Ok(())
        });
        engine.update(threes).await.unwrap();
        acknowledged.store(n, Ordering::SeqCst);
        if stop.load(Ordering::SeqCst) {
            return;
        }
    }
}

/// What all three say, if a copy can be opened and read.
async fn read_threes(path: &Path) -> Result<u64, String> {
    let engine = FilesEngine::open(path, &at_once()).map_err(|error| error.to_string())?;
    let page = engine.scan(&Scan::prefix(b"")).await.map_err(|error| error.to_string())?;
    let all: BTreeMap<_, _> = page.entries.into_iter().collect();
    let told: Vec<_> = ["ra/b/c/x", "ra/b/c/y", "ra/b/d/z", "na/b/c/"]
        .map(|key| all.get(key.as_bytes()).map_or(0, |value| to_number(&value[..8])))
        .into();
    assert!(told.iter().all(|n| *n == told[0]), "torn: {told:?}");
    for n in told[0].saturating_sub(24)..=told[0] {
        let found = all.get(format!("ra/b/c/n{}", n % 50).as_bytes());
        assert!(n == 0 || found == Some(&number(n)), "{n} of {} is not there", told[0]);
    }
    Ok(told[0])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_that_is_made_while_the_store_is_in_use_is_one_state() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let engine = Arc::new(open(&path, &at_once()));
    let (acknowledged, stop) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicBool::new(false)));
    let writing = tokio::spawn(write_threes(Arc::clone(&engine), Arc::clone(&acknowledged), Arc::clone(&stop)));
    let (mut refused, mut unordered) = (0, 0);
    for _ in 0..15 {
        let before = acknowledged.load(Ordering::SeqCst);
        folders::copy(&path, &copy);
        let after = acknowledged.load(Ordering::SeqCst) + 1;
        let told = read_threes(&copy).await.unwrap();
        assert!((before..=after).contains(&told), "{before} <= {told} <= {after}");
        fs::remove_dir_all(&copy).unwrap();

        // The other way round it cannot be well: but it is never another state.
        folders::copy_backwards(&path, &copy);
        match read_threes(&copy).await {
            Err(error) => {
                assert!(error.contains("missing") || error.contains("is not what was stored"), "{error}");
                refused += 1;
            }
            Ok(_) => unordered += 1,
        }
        fs::remove_dir_all(&copy).unwrap();
    }
    stop.store(true, Ordering::SeqCst);
    writing.await.unwrap();
    // How many meet a file that is being written is up to the disk.
    println!("of copies in the wrong order {refused} were refused and {unordered} were well");
}

/// A store with files, and a journal with as many commits in it as there is a state for: what is after each. It is not
/// closed, so that nothing of the journal is in files.
async fn filled(path: &Path) -> (FilesEngine, Vec<BTreeMap<Bytes, Bytes>>) {
    let engine = open(path, &at_once());
    for n in 0..20 {
        engine.update(put(format!("ra/b/c/old{n:02}").as_bytes(), &vec![n; 500])).await.unwrap();
        engine.update(put(format!("va/b/c/{n:02}").as_bytes(), &vec![n; 500])).await.unwrap();
    }
    drop(engine);
    let engine = open(path, &at_the_end());
    let mut states = vec![contents(&engine).await];
    for n in 0..6 {
        engine.update(put(format!("ra/b/c/new{n}").as_bytes(), &vec![b'a' + n; 3000])).await.unwrap();
        states.push(contents(&engine).await);
    }
    (engine, states)
}

#[tokio::test]
async fn a_torn_end_of_the_journal_costs_only_the_last_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let (_engine, states) = filled(&path).await;
    let journal = journals(&path).pop().unwrap();
    let whole = fs::read(&journal).unwrap();
    let (last, before) = (&states[6], &states[5]);

    let try_with = async |bytes: &[u8], expected: &BTreeMap<_, _>, what: &str| {
        let copy = folder.path().join("copy");
        folders::copy(&path, &copy);
        fs::write(copy.join(journal.strip_prefix(&path).unwrap()), bytes).unwrap();
        let engine = FilesEngine::open(&copy, &at_once()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(contents(&engine).await == *expected, "{what}");
        // It goes on from there, and that is there when it is opened again.
        engine.update(put(b"after", b"v")).await.unwrap();
        let after = contents(&engine).await;
        drop(engine);
        assert!(contents(&open(&copy, &at_once())).await == after, "{what}: opened again");
        fs::remove_dir_all(&copy).unwrap();
    };
    try_with(&whole, last, "whole").await;
    for missing in [1, 7, 8, 9, 500, 2999, 3008, 3020, 3040, 3060] {
        try_with(&whole[..whole.len() - missing], before, &format!("{missing} bytes are missing")).await;
    }
    // Sectors reach the disk in any order.
    for seed in 0..24 {
        let mut random = random(seed);
        let mut torn = whole.clone();
        // Within the last commit, whose value has so many bytes.
        let start = whole.len() - 3000;
        let mut lost = 0;
        for sector in (start / 512)..=(whole.len() / 512) {
            if random().is_multiple_of(3) {
                let (from, to) = ((sector * 512).max(start), ((sector + 1) * 512).min(whole.len()));
                lost += torn[from..to].iter().filter(|byte| **byte != 0).count();
                torn[from..to].fill(0);
            }
        }
        try_with(&torn, if lost == 0 { last } else { before }, &format!("seed {seed}")).await;
    }
}

#[tokio::test]
async fn damage_within_the_journal_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let (_engine, states) = filled(&path).await;
    folders::copy(&path, &copy);
    let journal = journals(&copy).pop().unwrap();
    let whole = fs::read(&journal).unwrap();
    for at in [0, 8, 20, 31, 32, 39, 41, 50, 60, 70, 90, 3000, 3200] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&journal, &bytes).unwrap();
        let error = FilesEngine::open(&copy, &at_once()).unwrap_err().to_string();
        let expected = if at < 32 { "is not a file of this store" } else { "is damaged at byte" };
        assert!(error.contains(expected), "byte {at}: {error}");
        assert!(fs::read(&journal).unwrap() == bytes, "byte {at}");
    }
    fs::write(&journal, &whole).unwrap();
    assert!(contents(&open(&copy, &at_once())).await == states[6]);
}

#[tokio::test]
async fn damage_is_an_error_and_never_another_state() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let (_engine, states) = filled(&path).await;
    let mut files = Vec::new();
    list(&path, &mut files);
    files.retain(|file| !file.ends_with(".stash-lock"));
    let (mut refused, mut met, mut torn) = (0, 0, 0);
    for seed in 0..400 {
        let mut random = random(seed);
        folders::copy(&path, &copy);
        let file = &files[random() % files.len()];
        let damaged = copy.join(file.strip_prefix(&path).unwrap());
        let mut bytes = fs::read(&damaged).unwrap();
        for _ in 0..=random() % 3 {
            let at = random() % bytes.len();
            if random().is_multiple_of(2) {
                bytes[at] ^= 1 << (random() % 8);
            } else {
                bytes.truncate(at.max(1));
            }
        }
        let changed = bytes != fs::read(&damaged).unwrap();
        fs::write(&damaged, &bytes).unwrap();
        match FilesEngine::open(&copy, &at_once()) {
            Err(_) => refused += 1,
            Ok(engine) => match engine.scan(&Scan::prefix(b"")).await {
                Err(error) => {
                    assert!(matches!(error, StorageError::Corrupt { .. }), "seed {seed}: {error}");
                    met += 1;
                }
                Ok(page) => {
                    torn += 1;
                    let found: BTreeMap<_, _> = page.entries.into_iter().collect();
                    let state = states.iter().rposition(|state| *state == found);
                    // A journal whose end is gone cannot be told from one that was torn.
                    let is_journal = damaged.parent().is_some_and(|folder| folder.ends_with("journal"));
                    assert!(state == Some(6) && !changed || is_journal && state.is_some(), "seed {seed}: {damaged:?}");
                }
            },
        }
        fs::remove_dir_all(&copy).unwrap();
    }
    assert!(refused > 10 && met > 100 && torn < 100, "refused {refused}, met {met}, torn {torn}");
}

#[tokio::test]
async fn a_part_that_is_missing_is_never_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let (path, copy) = (folder.path().join("store"), folder.path().join("copy"));
    let (_engine, states) = filled(&path).await;
    folders::copy(&path, &copy);
    let mut parts = Vec::new();
    list(&copy.join(".stash"), &mut parts);
    assert_eq!(parts.len(), 3, "{parts:?}");
    for part in parts.into_iter().chain([copy.join(".stash/index"), copy.join(".stash/journal")]) {
        let aside = folder.path().join("aside");
        fs::rename(&part, &aside).unwrap();
        let error = FilesEngine::open(&copy, &at_once()).unwrap_err().to_string();
        assert!(error.contains("missing") || error.contains("No such file"), "{error}");
        fs::rename(&aside, &part).unwrap();
    }
    // What git does not keep: empty folders.
    fs::remove_dir(copy.join(".stash/tmp")).unwrap();
    fs::remove_dir(copy.join(".stash/old")).unwrap();
    assert!(contents(&open(&copy, &at_once())).await == states[6]);
}

#[tokio::test]
async fn a_value_that_looks_like_a_commit_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // Whoever forges one has a store, but not the mark of this one.
    let theirs = folder.path().join("theirs");
    let other = open(&theirs, &at_the_end());
    for _ in 0..5 {
        other.update(put(b"k", b"v")).await.unwrap();
    }
    let forged = fs::read(journals(&theirs).pop().unwrap()).unwrap();
    let engine = open(&path, &at_the_end());
    engine.update(put(b"k", b"v")).await.unwrap();
    let before = contents(&engine).await;
    engine.update(put(b"forged", &forged)).await.unwrap();
    let whole = fs::read(journals(&path).pop().unwrap()).unwrap();
    for missing in 1..forged.len() {
        let copy = folder.path().join("copy");
        folders::copy(&path, &copy);
        let file = OpenOptions::new().write(true).open(journals(&copy).pop().unwrap()).unwrap();
        file.set_len((whole.len() - missing) as u64).unwrap();
        drop(file);
        assert!(contents(&open(&copy, &at_once())).await == before, "{missing} bytes are missing");
        fs::remove_dir_all(&copy).unwrap();
    }
}

#[tokio::test]
async fn a_record_that_came_and_went_before_it_had_a_file_leaves_no_folder_behind() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let engine = open(&path, &at_once());
    engine.update(put(b"ra/b/c/stays", b"v")).await.unwrap();
    // Each in a folder of its own, at whatever moment files are written.
    for n in 0..300 {
        let key = format!("ra/b/c\x1fgone{n}/k");
        engine.update(put(key.as_bytes(), b"v")).await.unwrap();
        for _ in 0..2 {
            let key = Bytes::from(key.clone());
            let remove = act(move |_, writes| {
                writes.remove(key.clone());
                Ok(())
            });
            engine.update(remove).await.unwrap();
        }
    }
    assert_eq!(engine.status().failure, None);
    drop(engine);
    let engine = open(&path, &at_once());
    assert_eq!(contents(&engine).await.len(), 1);
}
