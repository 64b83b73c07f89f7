//! The public suite on SQLite files, on chains over them, and across restarts and crashes.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

use stash_conformance::{EngineFixture, engine, model, storage};
use stash_sqlite::{SqliteEngine, SqliteOptions};
use tempfile::TempDir;

mod files;

/// Each engine in a file of its own, in one folder.
struct Files {
    folder: TempDir,
    made: AtomicUsize,
}

impl Files {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        Self { folder, made: AtomicUsize::new(0) }
    }

    fn next(&self) -> PathBuf {
        self.folder.path().join(format!("{}.sqlite", self.made.fetch_add(1, Ordering::Relaxed)))
    }
}

fn open(path: &Path) -> SqliteEngine {
    // Small, so that the suite also reads pages back.
    SqliteEngine::open(path, &SqliteOptions { page_cache_bytes: 1 << 20, ..SqliteOptions::default() }).unwrap()
}

impl EngineFixture for Files {
    type Engine = SqliteEngine;

    async fn fresh(&self) -> SqliteEngine {
        open(&self.next())
    }

    async fn reopen(&self, engine: SqliteEngine) -> Option<SqliteEngine> {
        let path = engine.path().to_owned();
        drop(engine);
        Some(open(&path))
    }

    async fn crash(&self, engine: &SqliteEngine) -> Option<SqliteEngine> {
        let copy = self.next();
        files::copy(engine.path(), &copy);
        Some(open(&copy))
    }
}

#[test]
fn the_engine_keeps_its_promises() {
    engine::run(Files::new());
}

#[test]
fn every_chain_keeps_its_promises() {
    storage::run(Files::new());
}

#[test]
fn every_chain_answers_as_the_model_does() {
    model::check(Files::new());
}
