//! [`RedbEngine`]: group commit over a redb file. It must never hold logic of its own beyond naming the file.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use redb::Database;
use stash_core::StorageError;
use stash_core::engine::{Collect, Decision, Engine, EngineInfo, EngineStatus, Page, Scan, Snapshot};
use stash_group_commit::{GroupCommit, GroupSnapshot};

use crate::commit::RedbStore;
use crate::file::{OpenError, Opener, RedbOptions, open_store};
use crate::view::ReadView;

/// A redb file as an engine. It has one owner: while it is open no other process can open it.
///
/// Needs no async runtime of its own. Dropping it, or [`close`](Self::close), finishes the updates that wait and closes
/// the file.
pub struct RedbEngine {
    path: PathBuf,
    store: GroupCommit<RedbStore>,
}

impl RedbEngine {
    /// Opens the file, or makes it, with the folders above it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, options: &RedbOptions) -> Result<Self, OpenError> {
        let (database, opener) = open_store(path, options)?;
        Self::over(database, opener, path)
    }

    pub(crate) fn over(database: Database, opener: Opener, path: &Path) -> Result<Self, OpenError> {
        let again = move || match opener() {
            Ok(database) => Ok(RedbStore(database)),
            Err(error) => Err(StorageError::Io { reason: error.to_string() }),
        };
        let store = GroupCommit::start("stash-redb-writer", RedbStore(database), Box::new(again));
        let store = store.map_err(|error| OpenError::of_storage(path, error))?;
        Ok(Self { path: path.to_owned(), store })
    }

    /// The file.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finishes the updates that wait and closes the file; every later call is refused. Waits for the disk.
    pub fn close(&self) {
        self.store.close();
    }
}

impl fmt::Debug for RedbEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedbEngine").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Engine for RedbEngine {
    type Snapshot = RedbSnapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "redb", durable: true }
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.store.read(keys).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        self.store.scan(scan).await
    }

    async fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        self.store.scan_into(scan, into).await
    }

    async fn update<D: Decision>(&self, decision: D) -> Result<D::Output, StorageError> {
        self.store.update(decision).await
    }

    fn gaps(&self) -> u64 {
        self.store.gaps()
    }

    fn status(&self) -> EngineStatus {
        let disk_bytes = std::fs::metadata(&self.path).ok().map(|file| file.len());
        EngineStatus { failure: self.store.failure(), disk_bytes }
    }

    async fn snapshot(&self) -> Result<RedbSnapshot, StorageError> {
        self.store.snapshot().await.map(RedbSnapshot)
    }
}

/// One committed state of a [`RedbEngine`]. While it is kept, the file cannot reuse the space of what was changed since.
pub struct RedbSnapshot(GroupSnapshot<ReadView>);

impl Snapshot for RedbSnapshot {
    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.0.read(keys).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        self.0.scan(scan).await
    }

    async fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        self.0.scan_into(scan, into).await
    }
}
