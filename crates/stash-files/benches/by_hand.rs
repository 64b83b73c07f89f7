//! What the engine costs beside doing the same by hand: a temporary file, an fsync, a rename and an fsync of the folder for
//! what is written, a file read for what is read. Both sides in turn, in one folder; every ratio is of neighbours. It prints
//! figures and never asserts one.
//!
//! `cargo bench -p stash-files`; with `-- WORD` only those with the word in their name; with `-- keys N` instead what opening a store of N keys takes, and what they take in memory.

#![allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::cast_precision_loss)]

use std::fs::{self, File};
use std::hint::black_box;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use stash_core::{Batch, ComponentStorage, EngineBackend, KeyRange, NamespacedStorage, ScanRequest};
use stash_files::{FilesBackend, FilesEngine, FilesOptions};
use tokio::runtime::Runtime;

const VALUE: usize = 500;
const KEYS: usize = 10_000;

type Store = NamespacedStorage<FilesBackend>;

fn store(path: &Path) -> Store {
    let engine = FilesEngine::open(path, &FilesOptions::default()).unwrap();
    let backend = runtime().block_on(EngineBackend::open(engine)).unwrap();
    NamespacedStorage::new(&"app/service-a/001".parse().unwrap(), backend)
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().build().unwrap()
}

fn key(n: usize) -> String {
    format!("user-{n:07}")
}

fn value(n: usize) -> Vec<u8> {
    format!("{n:010}").repeat(VALUE / 10).into_bytes()
}

/// Files, as careful people write them.
struct ByHand(PathBuf);

impl ByHand {
    fn write(&self, key: &str, value: &[u8]) {
        let temporary = self.0.join(format!(".{key}"));
        let mut file = File::create(&temporary).unwrap();
        file.write_all(value).unwrap();
        file.sync_all().unwrap();
        fs::rename(&temporary, self.0.join(key)).unwrap();
    }

    fn sync(&self) {
        File::open(&self.0).unwrap().sync_all().unwrap();
    }
}

fn nanoseconds(work: impl FnOnce()) -> f64 {
    let begin = Instant::now();
    work();
    begin.elapsed().as_nanos() as f64
}

fn median(figures: &mut [f64]) -> f64 {
    figures.sort_by(f64::total_cmp);
    figures[figures.len() / 2]
}

/// Runs both sides in turn and prints what they took.
fn contest(what: &str, rounds: usize, mut by_hand: impl FnMut(usize), mut engine: impl FnMut(usize)) {
    let wanted = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    if wanted.is_some_and(|wanted| !what.contains(&wanted)) {
        return;
    }
    let (mut by_hand_took, mut engine_took, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for round in 0..=rounds + rounds / 10 {
        let (one, other) = if round % 2 == 0 {
            let one = nanoseconds(|| by_hand(round));
            (one, nanoseconds(|| engine(round)))
        } else {
            let other = nanoseconds(|| engine(round));
            (nanoseconds(|| by_hand(round)), other)
        };
        if round > rounds / 10 {
            by_hand_took.push(one);
            engine_took.push(other);
            ratios.push(other / one);
        }
    }
    let shown = |figures: &mut [f64]| format!("{:?}", Duration::from_secs_f64(median(figures) / 1e9));
    println!(
        "{what:44} by hand {:>12}   engine {:>12}   ratio {:.2}",
        shown(&mut by_hand_took),
        shown(&mut engine_took),
        median(&mut ratios)
    );
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let folder = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    match arguments.iter().position(|argument| argument == "keys") {
        Some(at) => keys(folder.path(), arguments[at + 1].parse().unwrap()),
        None => contests(folder.path()),
    }
}

fn contests(folder: &Path) {
    let runtime = runtime();
    let by_hand = ByHand(folder.join("by hand"));
    fs::create_dir(&by_hand.0).unwrap();
    let path = folder.join("store");
    let filling = store(&path);
    for n in 0..KEYS {
        fs::write(by_hand.0.join(key(n)), value(n)).unwrap();
    }
    for n in (0..KEYS).step_by(1000) {
        let batch = (n..n + 1000).fold(Batch::new(), |batch, n| batch.set(key(n), value(n)));
        runtime.block_on(filling.commit(batch)).unwrap();
    }
    drop(filling);
    let engine = store(&path);
    let at = |round: usize| round * 7919 % KEYS;

    contest(
        "get, 100 records of 500 bytes",
        300,
        |round| (0..100).for_each(|n| drop(black_box(fs::read(by_hand.0.join(key(at(round * 100 + n)))).unwrap()))),
        |round| {
            (0..100).for_each(|n| {
                drop(black_box(runtime.block_on(engine.get(&key(at(round * 100 + n)))).unwrap().unwrap()));
            });
        },
    );
    contest(
        "a page of 100 records of 500 bytes",
        300,
        |round| {
            let first = at(round) / 100 * 100;
            // By hand the names are known: reading the folder would cost more.
            (first..first + 100).for_each(|n| drop(black_box(fs::read(by_hand.0.join(key(n))).unwrap())));
        },
        |round| {
            let prefix = format!("user-{:05}", at(round) / 100);
            let range = KeyRange { prefix, ..KeyRange::default() };
            let request = ScanRequest { range, values: true, ..ScanRequest::default() };
            assert_eq!(runtime.block_on(engine.scan(&request)).unwrap().entries.len(), 100);
        },
    );
    contest(
        "set, a new record of 500 bytes",
        300,
        |round| {
            by_hand.write(&format!("new-{round}"), &value(round));
            by_hand.sync();
        },
        |round| runtime.block_on(engine.set(&format!("new-{round}"), value(round))).map(drop).unwrap(),
    );
    contest(
        "set, a record of 500 bytes that is there",
        300,
        |round| {
            by_hand.write(&key(at(round)), &value(round));
            by_hand.sync();
        },
        |round| runtime.block_on(engine.set(&key(at(round)), value(round))).map(drop).unwrap(),
    );
    contest(
        "a batch of 1000 new records",
        10,
        |round| {
            (0..1000).for_each(|n| by_hand.write(&format!("b{round}-{n}"), &value(n)));
            by_hand.sync();
        },
        |round| {
            let batch = (0..1000).fold(Batch::new(), |batch, n| batch.set(format!("b{round}-{n}"), value(n)));
            runtime.block_on(engine.commit(batch)).map(drop).unwrap();
        },
    );
    drop(engine);
    contest(
        "the same, opened before and closed after",
        10,
        |round| {
            (0..1000).for_each(|n| by_hand.write(&format!("c{round}-{n}"), &value(n)));
            by_hand.sync();
        },
        |round| {
            let open = store(&path);
            let batch = (0..1000).fold(Batch::new(), |batch, n| batch.set(format!("c{round}-{n}"), value(n)));
            runtime.block_on(open.commit(batch)).map(drop).unwrap();
        },
    );
}

fn keys(folder: &Path, keys: usize) {
    let runtime = runtime();
    let path = folder.join("store");
    let empty = resident();
    let filling = store(&path);
    let begin = Instant::now();
    for n in (0..keys).step_by(1000) {
        let batch = (n..(n + 1000).min(keys)).fold(Batch::new(), |batch, n| batch.set(key(n), value(n)));
        runtime.block_on(filling.commit(batch)).unwrap();
    }
    drop(filling);
    println!("{keys} records written in {:?}", begin.elapsed());
    // Another process: what this one has freed is not given back.
    if std::env::var_os("OPEN").is_none() {
        let own = std::env::current_exe().unwrap();
        let status = std::process::Command::new(own).args(["keys", "0"]).env("OPEN", &path).status().unwrap();
        assert!(status.success());
        return;
    }
    let path = PathBuf::from(std::env::var_os("OPEN").unwrap());
    let begin = Instant::now();
    let store = store(&path);
    println!("opened in {:?}", begin.elapsed());
    let begin = Instant::now();
    let count = runtime.block_on(store.count(&KeyRange::default())).unwrap();
    println!("counted {count} in {:?}", begin.elapsed());
    println!("memory: {} KiB more, {} bytes a key", resident() - empty, (resident() - empty) * 1024 / count);
}

/// KiB of memory that the process has; 0 where the system does not tell.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    line.and_then(|line| line.trim().trim_end_matches(" kB").parse().ok()).unwrap_or(0)
}
