//! [`SqliteEngine`]: group commit over a SQLite file. It must never hold logic of its own beyond naming the file.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Collect, Decision, Engine, EngineInfo, EngineStatus, Page, Scan, Snapshot};
use stash_group_commit::{GroupCommit, GroupSnapshot};

use crate::commit::Database;
use crate::create::beside;
use crate::error::OpenError;
use crate::open::{Place, SqliteOptions, open_store};
use crate::states::Bounds;
use crate::view::SqliteView;

/// A SQLite file as an engine. It has one owner; other programs may read it meanwhile.
///
/// Needs no async runtime of its own. Dropping it, or [`close`](Self::close), finishes the updates that wait and closes
/// the file.
pub struct SqliteEngine {
    path: PathBuf,
    place: Place,
    store: GroupCommit<Database>,
}

impl SqliteEngine {
    /// Opens the file, or makes it, with the folders above it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, options: &SqliteOptions) -> Result<Self, OpenError> {
        Self::open_within(path, options, Bounds::default())
    }

    pub(crate) fn open_within(path: &Path, options: &SqliteOptions, bounds: Bounds) -> Result<Self, OpenError> {
        let (database, opener, place) = open_store(path, options, bounds)?;
        let store = GroupCommit::start("stash-sqlite-writer", database, opener);
        let store = store.map_err(|error| OpenError::of_storage(path, error))?;
        Ok(Self { path: path.to_owned(), place, store })
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

impl fmt::Debug for SqliteEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqliteEngine").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Engine for SqliteEngine {
    type Snapshot = SqliteSnapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "sqlite", durable: true }
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
        self.store.gaps() + self.place.strangers.load(Ordering::Acquire)
    }

    fn status(&self) -> EngineStatus {
        let path = &self.place.path;
        let bytes = |path: &Path| std::fs::metadata(path).map(|found| found.len());
        let beside = ["-wal", "-shm"].map(|ending| bytes(&beside(path, ending)).unwrap_or(0));
        let disk_bytes = bytes(path).ok().map(|bytes| bytes + beside.iter().sum::<u64>());
        EngineStatus { failure: self.store.failure(), disk_bytes }
    }

    async fn snapshot(&self) -> Result<SqliteSnapshot, StorageError> {
        self.store.snapshot().await.map(SqliteSnapshot)
    }
}

/// One committed state of a [`SqliteEngine`]. While it is kept, the write-ahead log grows with what is written; where that
/// becomes too much it is ended, and reading it answers [`StorageError::Unavailable`]. It ends, too, when the engine is
/// closed, or has to open its file again.
pub struct SqliteSnapshot(GroupSnapshot<SqliteView>);

impl Snapshot for SqliteSnapshot {
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
