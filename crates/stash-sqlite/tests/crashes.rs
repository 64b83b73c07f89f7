//! What a power cut, a kill and a disk that changes bytes can do to a store: nothing acknowledged is lost, and damage that
//! SQLite can see is an error.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;

use bytes::Bytes;
use files::beside;
use stash_conformance::decision::put;
use stash_core::engine::Scan;
use stash_core::{Engine, StorageError};
use stash_sqlite::{SqliteEngine, SqliteOptions};

mod files;

fn open(path: &Path) -> SqliteEngine {
    SqliteEngine::open(path, &SqliteOptions { page_cache_bytes: 1 << 20, ..SqliteOptions::default() }).unwrap()
}

async fn contents(engine: &SqliteEngine) -> BTreeMap<Bytes, Bytes> {
    engine.scan(&Scan::prefix(b"")).await.unwrap().entries.into_iter().collect()
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

const CHILD: &str = "STASH_SQLITE_TEST_STORE";

/// Not a test of its own: what `a_kill_in_the_midst_of_writes_loses_nothing_acknowledged` starts and kills.
#[test]
fn child_that_writes_until_it_is_killed() {
    let Some(path) = std::env::var_os(CHILD) else { return };
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let engine = Arc::new(open(Path::new(&path)));
        let mut writers = tokio::task::JoinSet::new();
        for writer in 0..4 {
            let engine = Arc::clone(&engine);
            writers.spawn(async move {
                for n in 0..u32::MAX {
                    let key = format!("{writer}/{n:08}");
                    // Some in the entry, some beside it; enough that the log is emptied now and then.
                    let value = vec![b'v'; if n % 2 == 0 { 300 } else { 30_000 }];
                    engine.update(put(key.as_bytes(), &value).queue(format!("{writer}"))).await.unwrap();
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
    let path = folder.path().join("store.sqlite");
    let mut acknowledged = Vec::new();
    for kill_after in [1, 40, 333, 1500] {
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
        assert!(beside(&path, "-wal").exists(), "it ended in order");

        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let found = contents(&open(&path)).await;
            for key in acknowledged.iter().filter(|key| key.len() == 10) {
                let even = key.as_bytes()[9].is_multiple_of(2);
                let bytes = if even { 300 } else { 30_000 };
                assert_eq!(found.get(key.as_bytes()).map(Bytes::len), Some(bytes), "{key}, acknowledged and not there");
            }
        });
    }
}

const LIMITED: &str = "STASH_SQLITE_TEST_LIMITED_STORE";

/// Not a test of its own: what `an_io_error_is_told_and_costs_nothing_acknowledged` starts, with a limit on files.
#[tokio::test]
async fn child_whose_files_cannot_grow() {
    let Some(path) = std::env::var_os(LIMITED) else { return };
    let engine = SqliteEngine::open(Path::new(&path), &SqliteOptions::default()).unwrap();
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
        // It was opened again, and tells what is there. What was refused may be there, if all of it is.
        let mut found = contents(&engine).await;
        found.retain(|key, value| acknowledged.contains_key(key) || value.len() != 9_000);
        assert!(found == acknowledged, "round {round}: {} of {}", found.len(), acknowledged.len());
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
    let path = folder.path().join("store.sqlite");
    drop(open(&path));
    let run = "trap '' XFSZ; ulimit -f 1000; exec \"$0\" --exact child_whose_files_cannot_grow --nocapture";
    let mut child = Command::new("sh");
    child.args(["-c", run]).arg(std::env::current_exe().unwrap()).env(LIMITED, &path);
    let output = child.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{said}\n{}", String::from_utf8_lossy(&output.stderr));
    let acknowledged: Vec<_> = said.lines().filter_map(|line| line.split_once("done ").map(|(_, key)| key)).collect();
    assert!(acknowledged.len() > 10, "{said}");
    let engine = open(&path);
    let found = contents(&engine).await;
    assert!(acknowledged.iter().all(|key| found.contains_key(key.as_bytes())));
    engine.update(put(b"after", b"v")).await.unwrap();
}

/// A store with a file and a log that has as many commits in it as there is a state for: what is after each.
async fn filled(path: &Path) -> (SqliteEngine, Vec<BTreeMap<Bytes, Bytes>>) {
    let engine = open(path);
    for n in 0..60 {
        engine.update(put(format!("old/{n:02}").as_bytes(), &[n; 200])).await.unwrap();
    }
    // Into the file.
    drop(engine);
    let engine = open(path);
    let mut states = vec![contents(&engine).await];
    for n in 0..6 {
        engine.update(put(format!("new/{n}").as_bytes(), &vec![b'a' + n; 9000])).await.unwrap();
        states.push(contents(&engine).await);
    }
    (engine, states)
}

#[tokio::test]
async fn a_torn_end_of_the_log_costs_only_the_last_commit() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (engine, states) = filled(&path).await;
    let crashed = folder.path().join("crashed.sqlite");
    files::copy(&path, &crashed);
    drop(engine);
    let whole = fs::read(beside(&crashed, "-wal")).unwrap();
    // Of a page each, behind 24 bytes that say which it is: the last commit has the rest of its value in two, and more.
    let frame = 24 + 4096;
    let (last, before) = (&states[6], &states[5]);
    let try_with = async |bytes: &[u8], expected: &BTreeMap<_, _>, what: &str| {
        let copy = folder.path().join("copy.sqlite");
        fs::copy(&crashed, &copy).unwrap();
        fs::write(beside(&copy, "-wal"), bytes).unwrap();
        let engine = open(&copy);
        assert!(contents(&engine).await == *expected, "{what}");
        // It goes on from there, and that is there when it is opened again.
        engine.update(put(b"after", b"v")).await.unwrap();
        let after = contents(&engine).await;
        drop(engine);
        assert!(contents(&open(&copy)).await == after, "{what}: opened again");
    };
    try_with(&whole, last, "whole").await;
    for missing in [1, 24, 512, 4095, 4096, 4097, frame, frame + 1, 2 * frame] {
        try_with(&whole[..whole.len() - missing], before, &format!("{missing} bytes are missing")).await;
    }
    // Sectors reach the disk in any order, and the log may have been longer before.
    for seed in 0..24 {
        let mut random = random(seed);
        let mut torn = whole.clone();
        torn.resize(whole.len() + frame, 0);
        let mut lost = false;
        for sector in (whole.len() - 3 * frame) / 512 + 1..whole.len() / 512 {
            if random().is_multiple_of(3) {
                let bytes = &mut torn[sector * 512..(sector + 1) * 512];
                lost |= bytes.iter().any(|byte| *byte != 0);
                bytes.fill(0);
            }
        }
        try_with(&torn, if lost { before } else { last }, &format!("seed {seed}")).await;
    }
}

#[tokio::test]
async fn a_file_into_which_its_log_was_being_emptied_is_whole_with_it() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (engine, states) = filled(&path).await;
    let crashed = folder.path().join("crashed.sqlite");
    files::copy(&path, &crashed);
    drop(engine);
    let (before, after) = (fs::read(&crashed).unwrap(), fs::read(&path).unwrap());
    let pages = after.len() / 4096;
    assert!(before.len() < after.len());
    for seed in 0..40 {
        let mut random = random(seed);
        // Any pages may be there, the first one above all: it tells how many there should be.
        let mut torn = before.clone();
        for page in 0..pages {
            if page == 0 || random().is_multiple_of(2) {
                let end = (page + 1) * 4096;
                torn.resize(torn.len().max(end), 0);
                torn[end - 4096..end].copy_from_slice(&after[end - 4096..end]);
            }
        }
        let copy = folder.path().join("copy.sqlite");
        fs::write(&copy, torn).unwrap();
        fs::copy(beside(&crashed, "-wal"), beside(&copy, "-wal")).unwrap();
        let engine = open(&copy);
        assert!(contents(&engine).await == states[6], "seed {seed}");
        engine.update(put(b"after", b"v")).await.unwrap();
    }
}

#[tokio::test]
async fn damage_is_an_error_for_those_who_meet_it_and_never_ends_the_process() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let engine = open(&path);
    for n in 0..200 {
        let bytes = if n % 3 == 0 { 6000 } else { 150 };
        engine.update(put(format!("k{n:03}").as_bytes(), &vec![b'v'; bytes])).await.unwrap();
    }
    drop(engine);
    let whole = fs::read(&path).unwrap();
    let (mut refused, mut met, mut served) = (0, 0, 0);
    for seed in 0..300 {
        let mut random = random(seed);
        let mut bytes = whole.clone();
        if seed % 2 == 0 {
            // A page that the disk lost.
            let page = 1 + random() % (bytes.len() / 4096 - 1);
            bytes[page * 4096..(page + 1) * 4096].fill(if seed % 4 == 0 { 0 } else { 0xff });
        } else {
            for _ in 0..=random() % 8 {
                // Where SQLite says what is where, more often than chance would.
                let page = random() % (bytes.len() / 4096);
                let at = page * 4096 + random() % if seed % 3 == 0 { 100 } else { 4096 };
                bytes[at] ^= 1 << (random() % 8);
            }
        }
        let copy = folder.path().join("copy.sqlite");
        fs::write(&copy, &bytes).unwrap();
        let Ok(engine) = SqliteEngine::open(&copy, &SqliteOptions::default()) else {
            refused += 1;
            continue;
        };
        let mut errors = 0;
        let mut check = |error: Option<StorageError>| {
            if let Some(error) = error {
                assert!(matches!(error, StorageError::Corrupt { .. }), "seed {seed}: {error}");
                errors += 1;
            }
        };
        check(engine.scan(&Scan::prefix(b"")).await.err());
        check(engine.scan(&Scan { reverse: true, value_bytes: 10, ..Scan::prefix(b"k") }).await.err());
        for n in 0..200 {
            check(engine.read(&[format!("k{n:03}").as_bytes()]).await.err());
        }
        // Whatever it says, it says something, and the next finds somebody to serve it.
        for n in [3, 7, 150] {
            drop(engine.update(put(format!("k{n:03}").as_bytes(), &[b'w'; 700])).await);
        }
        match engine.update(put(b"zz", b"new")).await {
            Ok(()) => served += 1,
            Err(error) => assert!(!error.to_string().contains("writer has ended"), "{error}"),
        }
        met += usize::from(errors > 0);
        drop(engine);
        for ending in ["-wal", "-shm"] {
            drop(fs::remove_file(beside(&copy, ending)));
        }
    }
    eprintln!("{refused} refused, {met} met later, {served} served");
    assert!(refused > 0 && met > 0 && served > 0, "{refused} refused, {met} met later, {served} served");
}

#[tokio::test]
async fn a_file_without_the_log_that_a_crash_left_is_an_earlier_state_and_the_copy_with_it_the_last() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let (engine, states) = filled(&path).await;
    let copy = folder.path().join("copy.sqlite");
    files::copy(&path, &copy);
    assert!(contents(&open(&copy)).await == states[6]);
    assert!(contents(&engine).await == states[6], "the copy has disturbed nobody");
    assert!(engine.update(put(b"after", b"v")).await.is_ok());
}
