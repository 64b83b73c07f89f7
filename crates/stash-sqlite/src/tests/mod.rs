//! What only the inside can be tested for: the log, states that somebody still holds, other programs, a full disk. The
//! promises that every engine keeps are in `tests/conformance.rs`, what a disk can do to a store in `tests/crashes.rs`.

mod files;
mod log;
mod others;

use std::path::{Path, PathBuf};

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Decision, Engine, Scan, View, Writes};
use tempfile::TempDir;

use crate::states::Bounds;
use crate::{SqliteEngine, SqliteOptions};

fn place() -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    (folder, path)
}

fn open(path: &Path) -> SqliteEngine {
    SqliteEngine::open(path, &SqliteOptions::default()).unwrap()
}

fn open_within(path: &Path, bounds: Bounds) -> SqliteEngine {
    SqliteEngine::open_within(path, &SqliteOptions::default(), bounds).unwrap()
}

fn refused(path: &Path) -> String {
    SqliteEngine::open(path, &SqliteOptions::default()).unwrap_err().to_string()
}

struct Put(Bytes, Bytes);

impl Decision for Put {
    type Output = ();

    fn queue(&self) -> &'static str {
        ""
    }

    fn cost(&self) -> usize {
        self.0.len() + self.1.len()
    }

    fn decide(&mut self, _: &dyn View, writes: &mut Writes) -> Result<(), StorageError> {
        writes.put(self.0.clone(), self.1.clone());
        Ok(())
    }
}

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Put {
    Put(key.into(), value.into())
}

async fn get(engine: &SqliteEngine, key: &str) -> Option<Bytes> {
    engine.read(&[key.as_bytes()]).await.unwrap().remove(0)
}

async fn keys(engine: &SqliteEngine) -> usize {
    engine.scan(&Scan { value_bytes: 0, ..Scan::prefix(b"") }).await.unwrap().entries.len()
}

/// Every file in a folder, with what is in it.
fn files(folder: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let mut files: Vec<_> =
        paths.filter(|path| path.is_file()).map(|path| (path.clone(), std::fs::read(path).unwrap())).collect();
    files.sort();
    files
}
