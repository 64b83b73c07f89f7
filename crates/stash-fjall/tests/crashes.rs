//! What a power cut, a kill and a disk that changes bytes can do to a store: nothing acknowledged is lost, and damage is
//! an error.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use bytes::Bytes;
use stash_conformance::decision::put;
use stash_core::engine::Scan;
use stash_core::{Engine, StorageError};
use stash_fjall::{FjallEngine, FjallOptions};

mod folders;

/// Tables are written after a few updates.
fn small() -> FjallOptions {
    FjallOptions { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 16 }
}

fn open(path: &Path) -> FjallEngine {
    FjallEngine::open(path, &small()).unwrap()
}

async fn contents(engine: &FjallEngine) -> BTreeMap<Bytes, Bytes> {
    engine.scan(&Scan::prefix(b"")).await.unwrap().entries.into_iter().collect()
}

/// The journals, the oldest first.
fn journals(store: &Path) -> Vec<PathBuf> {
    let names = fs::read_dir(store.join("fjall")).unwrap().map(|entry| entry.unwrap().path());
    let mut journals: Vec<_> = names.filter(|path| path.extension().is_some_and(|end| end == "jnl")).collect();
    journals.sort();
    journals
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

const CHILD: &str = "STASH_FJALL_TEST_STORE";

/// Not a test of its own: what `a_kill_in_the_midst_of_writes_loses_nothing_acknowledged` starts and kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let engine = std::sync::Arc::new(open(Path::new(&path)));
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let engine = std::sync::Arc::clone(&engine);
            writers.spawn(async move {
                for n in 0..u32::MAX {
                    let key = format!("{writer}/{n:08}");
                    engine.update(put(key.as_bytes(), &vec![b'v'; 500]).queue(format!("{writer}"))).await.unwrap();
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
            let found = contents(&open(&path)).await;
            for key in acknowledged.iter().filter(|key| key.len() == 10) {
                assert_eq!(found.get(key.as_bytes()).map(Bytes::len), Some(500), "{key}, acknowledged and not there");
            }
        });
    }
}

const LIMITED: &str = "STASH_FJALL_TEST_LIMITED_STORE";

/// Not a test of its own: what `an_io_error_is_told_and_costs_nothing_acknowledged` starts, with a limit on files.
#[tokio::test]
async fn child_whose_files_cannot_grow() {
    let Some(path) = std::env::var_os(LIMITED) else { return };
    let engine = FjallEngine::open(Path::new(&path), &FjallOptions::default()).unwrap();
    let mut acknowledged = BTreeMap::new();
    for round in 0..3 {
        let error = loop {
            let (key, value) = (format!("{round}/{:06}", acknowledged.len()), vec![b'v'; 9_000]);
            match engine.update(put(key.as_bytes(), &value)).await {
                Ok(()) => assert!(acknowledged.insert(Bytes::from(key), Bytes::from(value)).is_none()),
                Err(error) => break error,
            }
        };
        assert!(matches!(error, StorageError::Io { .. }), "{error}");
        // It was opened again, and tells what is there; what was refused is not, as it was not whole.
        assert!(contents(&engine).await == acknowledged, "round {round}");
        assert!(engine.gaps() > round);
    }
    for key in acknowledged.keys() {
        println!("done {}", std::str::from_utf8(key).unwrap());
    }
}

#[cfg(unix)]
#[tokio::test]
async fn an_io_error_is_told_and_costs_nothing_acknowledged() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // Made, and opened once, so that the journal is as long as what is in it.
    for _ in 0..2 {
        drop(FjallEngine::open(&path, &FjallOptions::default()).unwrap());
    }
    let run = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" --exact child_whose_files_cannot_grow --nocapture";
    let mut child = Command::new("sh");
    child.args(["-c", run]).arg(std::env::current_exe().unwrap()).env(LIMITED, &path);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let acknowledged: Vec<_> = said.lines().filter_map(|line| line.split_once("done ").map(|(_, key)| key)).collect();
    assert!(acknowledged.len() > 10, "{said}");
    let engine = FjallEngine::open(&path, &FjallOptions::default()).unwrap();
    let found = contents(&engine).await;
    assert!(acknowledged.iter().all(|key| found.contains_key(key.as_bytes())));
    assert_eq!(found.len(), acknowledged.len());
    engine.update(put(b"after", b"v")).await.unwrap();
}

#[tokio::test]
async fn a_crash_with_several_journals_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let engine = FjallEngine::open(&path, &FjallOptions { write_buffer_bytes: 1 << 22, ..small() }).unwrap();
    let (mut acknowledged, mut most) = (0_u32, 0);
    // A journal has 64 MB at the least.
    while acknowledged < 150 || most < 2 {
        let value = [acknowledged.to_le_bytes().repeat(1 << 17), vec![b'v'; 1 << 19]].concat();
        engine.update(put(format!("k{acknowledged:03}").as_bytes(), &value)).await.unwrap();
        acknowledged += 1;
        most = most.max(journals(&path).len());
        assert!(acknowledged < 1000, "no second journal");
    }
    let copy = folder.path().join("copy");
    folders::copy(&path, &copy);
    let after = open(&copy);
    for n in 0..acknowledged {
        let found = after.read(&[format!("k{n:03}").as_bytes()]).await.unwrap();
        assert_eq!(found[0].as_ref().map(|value| (value.len(), &value[..4])), Some((1 << 20, &n.to_le_bytes()[..])));
    }
}

/// A store with some tables and a journal with as many commits in it as there is a state for: what is after each.
async fn filled(path: &Path) -> Vec<BTreeMap<Bytes, Bytes>> {
    let engine = open(path);
    for n in 0..60 {
        engine.update(put(format!("old/{n:02}").as_bytes(), &vec![n; 2000])).await.unwrap();
    }
    let mut states = vec![contents(&engine).await];
    for n in 0..6 {
        engine.update(put(format!("new/{n}").as_bytes(), &vec![b'a' + n; 3000])).await.unwrap();
        states.push(contents(&engine).await);
    }
    states
}

#[tokio::test]
async fn a_torn_end_of_the_journal_costs_only_the_last_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let states = filled(&path).await;
    let journal = journals(&path).pop().unwrap();
    let whole = fs::read(&journal).unwrap();
    let used = whole.iter().rposition(|byte| *byte != 0).unwrap() + 1;
    let (last, before) = (&states[6], &states[5]);

    let try_with = async |bytes: &[u8], expected: &BTreeMap<_, _>, what: &str| {
        let copy = folder.path().join("copy");
        folders::copy(&path, &copy);
        fs::write(copy.join("fjall").join(journal.file_name().unwrap()), bytes).unwrap();
        let engine = FjallEngine::open(&copy, &small()).unwrap_or_else(|error| panic!("{what}: {error}"));
        assert!(contents(&engine).await == *expected, "{what}");
        // It goes on from there, and that is there when it is opened again.
        engine.update(put(b"after", b"v")).await.unwrap();
        let after = contents(&engine).await;
        drop(engine);
        assert!(contents(&open(&copy)).await == after, "{what}: opened again");
        fs::remove_dir_all(&copy).unwrap();
    };
    try_with(&whole, last, "whole").await;
    for missing in [1, 4, 5, 12, 13, 14, 500, 2999, 3030] {
        try_with(&whole[..used - missing], before, &format!("{missing} bytes are missing")).await;
    }
    // Sectors reach the disk in any order, and a journal may have been made longer before.
    for seed in 0..24 {
        let mut random = random(seed);
        let mut torn = whole[..used].to_vec();
        torn.resize(used + 4096, 0);
        // Within the last commit, whose value has so many bytes.
        let start = used - 3000;
        let mut lost = 0;
        for sector in (start / 512)..=(used / 512) {
            if random().is_multiple_of(3) {
                let (from, to) = ((sector * 512).max(start), ((sector + 1) * 512).min(used));
                lost += torn[from..to].iter().filter(|byte| **byte != 0).count();
                torn[from..to].fill(0);
            }
        }
        try_with(&torn, if lost == 0 { last } else { before }, &format!("seed {seed}")).await;
    }
}

#[tokio::test]
async fn damage_is_an_error_and_never_another_state() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let states = filled(&path).await;
    let copy = folder.path().join("copy");
    let mut files = Vec::new();
    list(&path, &mut files);
    let (mut refused, mut met, mut harmless) = (0, 0, 0);
    for seed in 0..400 {
        let mut random = random(seed);
        folders::copy(&path, &copy);
        let file = &files[random() % files.len()];
        let damaged = copy.join(file.strip_prefix(&path).unwrap());
        let mut bytes = fs::read(&damaged).unwrap();
        let used = bytes.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        if used == 0 {
            continue;
        }
        for _ in 0..=random() % 3 {
            let at = random() % used;
            if random().is_multiple_of(2) {
                bytes[at] ^= 1 << (random() % 8);
            } else {
                bytes[at] = 0xff;
            }
        }
        fs::write(&damaged, &bytes).unwrap();
        match FjallEngine::open(&copy, &small()) {
            Err(_) => refused += 1,
            Ok(engine) => match engine.scan(&Scan::prefix(b"")).await {
                Err(_) => met += 1,
                Ok(page) => {
                    harmless += 1;
                    // A last commit that is damaged cannot be told from one that was torn.
                    let found: BTreeMap<_, _> = page.entries.into_iter().collect();
                    let state = states.iter().rposition(|state| *state == found);
                    assert!(state.is_some_and(|state| state >= 5), "seed {seed}, {}: {state:?}", file.display());
                    // Whatever it says, it says something.
                    drop(engine.update(put(b"new", b"v")).await);
                }
            },
        }
        fs::remove_dir_all(&copy).unwrap();
    }
    eprintln!("{refused} refused, {met} met later, {harmless} harmless");
    assert!(refused > 0 && met > 0, "{refused} refused, {met} met later, {harmless} harmless");
}

/// The end of a table says how much is in it: fjall makes room for that before it looks at the checksum.
#[tokio::test]
async fn no_byte_at_the_end_of_a_table_can_end_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    filled(&path).await;
    let mut files = Vec::new();
    list(&path, &mut files);
    let copy = folder.path().join("copy");
    for table in files.iter().filter(|file| file.parent().is_some_and(|folder| folder.ends_with("tables"))) {
        let whole = fs::read(table).unwrap();
        for at in whole.len() - 320..whole.len() {
            folders::copy(&path, &copy);
            let mut bytes = whole.clone();
            bytes[at] ^= 0xff;
            fs::write(copy.join(table.strip_prefix(&path).unwrap()), bytes).unwrap();
            if let Ok(engine) = FjallEngine::open(&copy, &small()) {
                drop(engine.scan(&Scan::prefix(b"")).await);
            }
            fs::remove_dir_all(&copy).unwrap();
        }
    }
}

fn list(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { list(&path, files) } else { files.push(path) }
    }
    files.sort();
}

#[tokio::test]
async fn damage_within_the_journal_is_refused_and_left_as_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    filled(&path).await;
    let journal = journals(&path).pop().unwrap();
    let whole = fs::read(&journal).unwrap();
    // The first commit's begin, its item, its end: fjall would drop what follows, or end the process.
    for at in [0, 1, 13, 15, 26, 30, 40, 3000] {
        let mut bytes = whole.clone();
        bytes[at] ^= 0x40;
        fs::write(&journal, &bytes).unwrap();
        let error = FjallEngine::open(&path, &small()).unwrap_err().to_string();
        assert!(error.contains("is damaged at byte"), "byte {at}: {error}");
        assert!(at > 2000 || error.contains("at byte 0,"), "byte {at}: {error}");
        assert!(fs::read(&journal).unwrap() == bytes, "byte {at}");
    }
    fs::write(&journal, &whole).unwrap();
    drop(open(&path));
}

#[tokio::test]
async fn a_part_that_is_missing_is_never_made_anew() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let states = filled(&path).await;
    let parts = ["version", "keyspaces/0/current", "keyspaces/1/current", "lock", "mark"]
        .map(|part| path.join("fjall").join(part));
    for part in parts.into_iter().chain(journals(&path)) {
        let aside = folder.path().join("aside");
        fs::rename(&part, &aside).unwrap();
        let error = FjallEngine::open(&path, &small()).unwrap_err().to_string();
        assert!(error.contains("missing"), "{error}");
        fs::rename(&aside, &part).unwrap();
    }
    fs::create_dir(path.join("fjall/keyspaces/stray")).unwrap();
    let error = FjallEngine::open(&path, &small()).unwrap_err().to_string();
    assert!(error.contains("stray"), "{error}");
    fs::remove_dir(path.join("fjall/keyspaces/stray")).unwrap();
    assert!(contents(&open(&path)).await == states[6]);
}

#[tokio::test]
async fn a_value_that_looks_like_a_commit_changes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    // Whoever forges one has a store, but not the mark of this one.
    let theirs = folder.path().join("theirs");
    FjallEngine::open(&theirs, &FjallOptions::default()).unwrap().update(put(b"k", b"v")).await.unwrap();
    let mut forged = fs::read(journals(&theirs).pop().unwrap()).unwrap();
    let engine = FjallEngine::open(&path, &FjallOptions::default()).unwrap();
    engine.update(put(b"k", b"v")).await.unwrap();
    let journal = journals(&path).pop().unwrap();
    // A later number: the checksum is not of that.
    forged[5..13].copy_from_slice(&u64::MAX.to_le_bytes());
    let before = contents(&engine).await;
    engine.update(put(b"forged", &forged)).await.unwrap();
    drop(engine);
    for missing in 1..13 + forged.len() as u64 {
        let length = journal.metadata().unwrap().len();
        let file = OpenOptions::new().write(true).open(&journal).unwrap();
        file.set_len(length - missing).unwrap();
        drop(file);
        let engine = FjallEngine::open(&path, &FjallOptions::default()).unwrap();
        assert!(contents(&engine).await == before, "{missing} bytes are missing");
        engine.update(put(b"forged", &forged)).await.unwrap();
    }
}
