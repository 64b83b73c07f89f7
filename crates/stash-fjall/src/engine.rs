//! [`FjallEngine`]: group commit over a fjall folder. It must never hold logic of its own beyond naming the folder.

use std::fmt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Collect, Decision, Engine, EngineInfo, EngineStatus, Page, Scan, Snapshot};
use stash_group_commit::{GroupCommit, GroupSnapshot};

use crate::database::Database;
use crate::error::OpenError;
use crate::open::{FjallOptions, bytes_in, open_store};
use crate::view::FjallView;

/// A fjall folder as an engine. It has one owner: while it is open no other process can open it.
///
/// Needs no async runtime of its own. Dropping it, or [`close`](Self::close), finishes the updates that wait and closes
/// the store.
pub struct FjallEngine {
    path: PathBuf,
    store: GroupCommit<Database>,
}

impl FjallEngine {
    /// Opens the store in the folder `path`, or makes it, with the folders above it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, options: &FjallOptions) -> Result<Self, OpenError> {
        let (database, opener) = open_store(path, options)?;
        let store = GroupCommit::start("stash-fjall-writer", database, opener);
        let store = store.map_err(|error| OpenError::of_storage(path, error))?;
        Ok(Self { path: path.to_owned(), store })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finishes the updates that wait and closes the store; every later call is refused. Waits for the disk.
    pub fn close(&self) {
        self.store.close();
    }
}

impl fmt::Debug for FjallEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FjallEngine").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Engine for FjallEngine {
    type Snapshot = FjallSnapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "fjall", durable: true }
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
        EngineStatus { failure: self.store.failure(), disk_bytes: bytes_in(&self.path).ok() }
    }

    async fn snapshot(&self) -> Result<FjallSnapshot, StorageError> {
        self.store.snapshot().await.map(FjallSnapshot)
    }
}

/// One committed state of a [`FjallEngine`]. While it is kept, space of what was changed since is not reused. It ends
/// when the engine is closed, or has to open its store again.
pub struct FjallSnapshot(GroupSnapshot<FjallView>);

impl Snapshot for FjallSnapshot {
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
