//! The public suite on fjall folders, on chains over them, and across restarts and crashes.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use stash_conformance::{EngineFixture, engine, model, storage};
use stash_fjall::{FjallEngine, FjallOptions};
use tempfile::TempDir;

mod folders;

/// Each engine in a folder of its own, in one folder.
struct Folders {
    folder: TempDir,
    made: AtomicUsize,
}

impl Folders {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, made: AtomicUsize::new(0) }
    }

    fn next(&self) -> PathBuf {
        self.folder.path().join(format!("{}", self.made.fetch_add(1, Ordering::Relaxed)))
    }
}

fn open(path: &Path) -> FjallEngine {
    // Small, so that the suite also reads tables.
    let options = FjallOptions { block_cache_bytes: 1 << 20, write_buffer_bytes: 1 << 14 };
    FjallEngine::open(path, &options).unwrap()
}

impl EngineFixture for Folders {
    type Engine = FjallEngine;

    async fn fresh(&self) -> FjallEngine {
        open(&self.next())
    }

    async fn reopen(&self, engine: FjallEngine) -> Option<FjallEngine> {
        let path = engine.path().to_owned();
        drop(engine);
        Some(open(&path))
    }

    async fn crash(&self, engine: &FjallEngine) -> Option<FjallEngine> {
        let copy = self.next();
        folders::copy(engine.path(), &copy);
        Some(open(&copy))
    }
}

#[test]
fn the_engine_keeps_its_promises() {
    engine::run(Folders::new());
}

#[test]
fn every_chain_keeps_its_promises() {
    storage::run(Folders::new());
}

#[test]
fn every_chain_answers_as_the_model_does() {
    model::check(Folders::new());
}
