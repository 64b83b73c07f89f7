//! [`FilesEngine`]: group commit over a folder of files. It must never hold logic of its own beyond naming the folder.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use parking_lot::Mutex;
use stash_core::StorageError;
use stash_core::engine::{Collect, Decision, Engine, EngineInfo, EngineStatus, Page, Scan, Snapshot};
use stash_group_commit::{GroupCommit, GroupSnapshot, Opener};

use crate::error::OpenError;
use crate::open::{FilesOptions, open_store};
use crate::shared::Shared;
use crate::store::Files;
use crate::view::FilesView;

/// A folder of files as an engine. It has one owner: while it is open no other process can open it.
///
/// Needs no async runtime of its own. Dropping it, or [`close`](Self::close), finishes the updates that wait, writes to files
/// what is in none yet, and closes the store.
pub struct FilesEngine {
    path: PathBuf,
    store: GroupCommit<Files>,
    /// The store as it was opened last.
    shared: Arc<Mutex<Arc<Shared>>>,
}

impl FilesEngine {
    /// Opens the store in the folder `path`, or makes it, with the folders above it.
    ///
    /// # Errors
    /// See [`OpenError`].
    pub fn open(path: &Path, options: &FilesOptions) -> Result<Self, OpenError> {
        let (files, opener) = open_store(path, options)?;
        Self::over(files, opener, path)
    }

    pub(crate) fn over(files: Files, mut opener: Opener<Files>, path: &Path) -> Result<Self, OpenError> {
        let shared = Arc::new(Mutex::new(Arc::clone(&files.shared)));
        let opened = Arc::clone(&shared);
        let again: Opener<Files> = Box::new(move || {
            let files = opener()?;
            *opened.lock() = Arc::clone(&files.shared);
            Ok(files)
        });
        let store = GroupCommit::start("stash-files-writer", files, again);
        let store = store.map_err(|error| OpenError::of_storage(path, error))?;
        Ok(Self { path: path.to_owned(), store, shared })
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Finishes the updates that wait, writes to files what is in none yet, and closes the store; every later call is
    /// refused. Waits for the disk.
    pub fn close(&self) {
        self.store.close();
    }
}

impl fmt::Debug for FilesEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("FilesEngine").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Engine for FilesEngine {
    type Snapshot = FilesSnapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "files", durable: true }
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
        let shared = Arc::clone(&self.shared.lock());
        let journal = shared.acknowledged.get().map_or(0, |(_, bytes)| bytes);
        let disk_bytes = shared.disk_bytes.load(Ordering::Relaxed) + journal;
        EngineStatus { failure: self.store.failure(), disk_bytes: Some(disk_bytes) }
    }

    async fn snapshot(&self) -> Result<FilesSnapshot, StorageError> {
        self.store.snapshot().await.map(FilesSnapshot)
    }
}

/// One committed state of a [`FilesEngine`]. While it is kept, files that were replaced since are put aside. It ends when the
/// engine is closed, or has to open its store again.
pub struct FilesSnapshot(GroupSnapshot<FilesView>);

impl Snapshot for FilesSnapshot {
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
