//! The power going at every moment, and the disk failing at every moment.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Engine, Scan};

use super::disk::{Failing, FakeDisk};
use super::{Put, put};
use crate::FilesEngine;
use crate::error::Unfit;
use crate::load::load;
use crate::open::{FilesOptions, open_on};
use crate::root::Root;
use crate::shared::Acknowledged;
use crate::store::Files;

const STORE: &str = "/store";

type Contents = BTreeMap<Bytes, Bytes>;

/// A small generator, from a seed that a failure prints.
pub(super) fn random(seed: u64) -> impl FnMut(usize) -> usize {
    let mut state = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1;
    move |below| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state >> 16) as usize % below
    }
}

fn options() -> FilesOptions {
    FilesOptions { kept_journal_bytes: 2000, ..FilesOptions::default() }
}

/// Opens the store, or makes it. Files are written after so many commits, by the writer itself.
fn open(disk: &FakeDisk, commits: u64) -> Result<FilesEngine, Unfit> {
    let root = Root::new(Arc::new(disk.clone()), Path::new(STORE));
    let acknowledged = Arc::new(Acknowledged::default());
    let start = move |applier| Ok(Files::start_after(applier, commits));
    let files = open_on(&root, &options(), &acknowledged, start)?;
    let again = move || {
        let applier = load(&root, &options(), &acknowledged)?;
        Ok(Files::start_after(applier, commits))
    };
    Ok(FilesEngine::over(files, Box::new(again), Path::new(STORE)).unwrap())
}

/// The same with a thread that writes files.
fn open_with_thread(disk: &FakeDisk, options: FilesOptions) -> FilesEngine {
    let root = Root::new(Arc::new(disk.clone()), Path::new(STORE));
    let acknowledged = Arc::new(Acknowledged::default());
    let files = open_on(&root, &options, &acknowledged, |applier| Ok(Files::start(applier).unwrap())).unwrap();
    let again = move || Files::start(load(&root, &options, &acknowledged)?);
    FilesEngine::over(files, Box::new(again), Path::new(STORE)).unwrap()
}

async fn contents(engine: &FilesEngine) -> Contents {
    engine.scan(&Scan::prefix(b"")).await.unwrap().entries.into_iter().collect()
}

/// A commit of a few keys: records of two components and a collection, and what has no file.
fn some_writes(n: usize, random: &mut impl FnMut(usize) -> usize) -> Vec<(Bytes, Option<Bytes>)> {
    let writes = (0..=random(3)).map(|_| {
        let key = match random(6) {
            0 => format!("na/b/{}/", random(2)),
            1 => format!("va/b/0/{}", random(3)),
            2 => format!("ra/b/0\u{1f}col/k{}", random(2)),
            _ => format!("ra/b/{}/k{}", random(2), random(4)),
        };
        let value = (random(4) > 0).then(|| Bytes::from(format!("{n} ").repeat(random(400))));
        (Bytes::from(key), value)
    });
    writes.collect()
}

fn apply(contents: &mut Contents, writes: &[(Bytes, Option<Bytes>)]) {
    for (key, value) in writes {
        match value {
            Some(value) => drop(contents.insert(key.clone(), value.clone())),
            None => drop(contents.remove(key)),
        }
    }
}

/// Writes until it is told of an error; gives what was acknowledged, and what that would be with the last commit.
async fn write_until_it_fails(disk: &FakeDisk, seed: u64, commits: usize) -> (Contents, Contents) {
    let mut random = random(seed);
    let mut acknowledged = Contents::new();
    let Ok(engine) = open(disk, 1 + seed % 4) else { return (acknowledged.clone(), acknowledged) };
    for n in 0..commits {
        // A snapshot that is held makes files be put aside.
        let _held = engine.snapshot().await;
        let writes = some_writes(n, &mut random);
        let mut with_it = acknowledged.clone();
        apply(&mut with_it, &writes);
        match engine.update(Put::all(writes)).await {
            Ok(()) => acknowledged = with_it,
            Err(_) => return (acknowledged, with_it),
        }
    }
    drop(engine);
    (acknowledged.clone(), acknowledged)
}

#[tokio::test]
async fn acknowledged_commits_survive_a_power_cut_at_every_operation() {
    const COMMITS: usize = 9;
    for seed in 0..4_u64 {
        let whole = FakeDisk::with(Path::new(STORE));
        let (all, _) = write_until_it_fails(&whole, seed, COMMITS).await;
        assert!(!all.is_empty());
        let operations = whole.operations();
        assert!(operations > 100, "{operations}");
        for operation in 0..operations {
            let disk = FakeDisk::with(Path::new(STORE));
            disk.fail(Failing::After(operation));
            let (acknowledged, with_it) = write_until_it_fails(&disk, seed, COMMITS).await;
            for cut in 0..3 {
                let what = format!("seed {seed}, operation {operation}, cut {cut}");
                let mut choose = random(seed + 1000 * cut + operation);
                let mut after = disk.after_power_cut(&mut choose);
                if cut == 0 {
                    // Only the process was killed.
                    after = disk.as_it_is();
                }
                // The power goes once more while the store is opened and files are written; and then it does not.
                after.fail(Failing::After(choose(60) as u64));
                let (mut seen, mut answered) = (None, false);
                if let Ok(engine) = open(&after, 1) {
                    seen = engine.scan(&Scan::prefix(b"")).await.ok().map(|page| page.entries.into_iter().collect());
                    answered = engine.update(put("na/b/second", "")).await.is_ok();
                }
                let after = after.after_power_cut(&mut choose);
                let engine = open(&after, 1).unwrap_or_else(|error| panic!("{what}: {error:?}"));
                let mut found = contents(&engine).await;
                let second = found.remove(&b"na/b/second"[..]).is_some();
                assert!(second || !answered, "{what}: the second commit is lost");
                assert!(found == acknowledged || found == with_it, "{what}: {found:?}, expected {acknowledged:?}");
                assert!(seen.is_none_or(|seen: Contents| seen == found), "{what}: what was read is lost");
                engine.update(put("ra/b/c/after", "it goes on")).await.unwrap();
            }
        }
    }
}

#[tokio::test]
async fn an_error_of_the_disk_is_told_and_costs_nothing_acknowledged() {
    let mut told = 0;
    for seed in 0..300_u64 {
        let mut random = random(seed);
        let disk = FakeDisk::with(Path::new(STORE));
        let engine = open(&disk, 1 + seed % 3).unwrap();
        let (mut expected, mut errors) = (Contents::new(), 0);
        for n in 0..30 {
            disk.fail(Failing::Once(random(60) as u64));
            let writes = some_writes(n, &mut random);
            let mut with_it = expected.clone();
            apply(&mut with_it, &writes);
            let outcome = engine.update(Put::all(writes)).await;
            if outcome.is_ok() {
                expected = with_it;
            } else {
                assert!(matches!(outcome, Err(StorageError::Io { .. })), "seed {seed}: {outcome:?}");
                errors += 1;
                let found = contents(&engine).await;
                assert!(found == expected || found == with_it, "seed {seed}, commit {n}");
                expected = found;
            }
            let cut = disk.after_power_cut(&mut random);
            assert_eq!(contents(&open(&cut, 1).unwrap()).await, expected, "seed {seed}, after commit {n}");
        }
        disk.fail(Failing::Never);
        assert_eq!(contents(&engine).await, expected, "seed {seed}");
        told += errors;
        drop(engine);
        assert_eq!(contents(&open(&disk, 1).unwrap()).await, expected, "seed {seed}, opened again");
    }
    assert!(told > 100, "{told}");
}

#[tokio::test]
async fn files_that_cannot_be_written_show_and_stop_commits_only_when_too_many_wait() {
    const VALUE: usize = 10_000;
    let disk = FakeDisk::with(Path::new(STORE));
    let pending_bytes = 20 * VALUE;
    let engine = open_with_thread(&disk, FilesOptions { apply_after: Duration::ZERO, pending_bytes, ..options() });
    engine.update(put("ra/b/c/before", "v")).await.unwrap();
    disk.fail(Failing::At("/store/a"));
    let mut acknowledged = 0;
    let error = loop {
        match engine.update(put(format!("ra/b/c/{acknowledged:03}"), vec![b'v'; VALUE])).await {
            Ok(()) => acknowledged += 1,
            Err(error) => break error,
        }
        assert!(acknowledged < 1000, "all is taken into memory");
    };
    assert!(acknowledged >= 20, "{acknowledged}");
    assert!(error.to_string().contains("/store/a"), "{error}");
    assert!(engine.status().failure.unwrap().contains("/store/a"));
    assert_eq!(contents(&engine).await.len(), acknowledged + 1, "what was acknowledged can be read");

    disk.fail(Failing::Never);
    engine.update(put("ra/b/c/after", "v")).await.unwrap();
    drop(engine);
    let engine = open(&disk, 1).unwrap();
    assert_eq!(engine.status().failure, None);
    assert_eq!(contents(&engine).await.len(), acknowledged + 2);
}
