//! The public suite on folders of files, on chains over them, and across restarts and crashes.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use stash_conformance::{EngineFixture, engine, model, storage};
use stash_files::{FilesEngine, FilesOptions};
use tempfile::TempDir;

mod folders;

/// Each engine in a folder of its own, in one folder.
struct Folders {
    folder: TempDir,
    made: AtomicUsize,
    apply_after: Duration,
}

impl Folders {
    /// Files are written that long after a commit.
    fn new(apply_after: Duration) -> Self {
        // In memory where the system has a place for that: the suite makes some hundred thousand files, and what a disk keeps
        // is tested elsewhere.
        let memory = tempfile::tempdir_in("/dev/shm");
        let folder = memory.or_else(|_| tempfile::tempdir()).unwrap();
        Self { folder, made: AtomicUsize::new(0), apply_after }
    }

    /// At once: most reads are of files, and snapshots of files that were put aside.
    fn at_once() -> Self {
        Self::new(Duration::ZERO)
    }

    fn next(&self) -> PathBuf {
        self.folder.path().join(format!("{}", self.made.fetch_add(1, Ordering::Relaxed)))
    }

    fn open(&self, path: &Path) -> FilesEngine {
        let options = FilesOptions { apply_after: self.apply_after, ..FilesOptions::default() };
        FilesEngine::open(path, &options).unwrap()
    }
}

impl EngineFixture for Folders {
    type Engine = FilesEngine;

    async fn fresh(&self) -> FilesEngine {
        self.open(&self.next())
    }

    async fn reopen(&self, engine: FilesEngine) -> Option<FilesEngine> {
        let path = engine.path().to_owned();
        drop(engine);
        Some(self.open(&path))
    }

    async fn crash(&self, engine: &FilesEngine) -> Option<FilesEngine> {
        let copy = self.next();
        folders::copy(engine.path(), &copy);
        Some(self.open(&copy))
    }
}

#[test]
fn the_engine_keeps_its_promises() {
    engine::run(Folders::at_once());
}

#[test]
fn every_chain_keeps_its_promises() {
    storage::run(Folders::at_once());
}

#[test]
fn every_chain_answers_as_the_model_does() {
    model::check(Folders::at_once());
}

#[test]
fn every_chain_answers_as_the_model_does_with_files_written_later() {
    model::check(Folders::new(FilesOptions::default().apply_after));
}
