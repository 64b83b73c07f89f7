//! A fjall database while it is open, and the end of that: everything that reads it goes through here, so that a view
//! that somebody still holds never keeps the database from being closed and opened again.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use fjall::{AbstractTree, CompressionType, Keyspace, KeyspaceCreateOptions, PersistMode};
use parking_lot::RwLock;
use stash_core::StorageError;
use stash_group_commit::unless_it_panics;

use crate::error::{OpenError, storage_error};
use crate::mark::Mark;
use crate::open::FjallOptions;

/// Everything is in one keyspace; the first byte of a key says what it is.
pub(crate) const KEYSPACE: &str = "stash";

/// The writer's handle. Dropping it closes the database, whatever views of it there are.
pub(crate) struct Database(pub(crate) Arc<Handle>);

/// What views have of the database.
pub(crate) struct Handle {
    opened: RwLock<Option<Opened>>,
    /// What every commit writes beside what it is asked to.
    pub(crate) mark: Mark,
    /// Whether the writer has the journal, and whoever asked about it would wait for the disk.
    committing: AtomicBool,
}

pub(crate) struct Opened {
    pub(crate) database: fjall::Database,
    pub(crate) keyspace: Keyspace,
}

impl Drop for Database {
    fn drop(&mut self) {
        let opened = self.0.opened.write().take();
        // Outside the lock: it waits for what is done in the background.
        drop(opened);
    }
}

impl Database {
    /// Makes a database where there is nothing yet, with the keyspace in it.
    pub(crate) fn make(folder: &Path, options: &FjallOptions) -> Result<(), fjall::Error> {
        let database = builder(folder, options).open()?;
        let keyspace = || KeyspaceCreateOptions::default().max_memtable_size(options.write_buffer_bytes);
        database.keyspace(KEYSPACE, keyspace).map(drop)
    }

    /// Opens a database that is there, for the store in `path`.
    pub(crate) fn open(path: &Path, folder: &Path, mark: Mark, options: &FjallOptions) -> Result<Self, OpenError> {
        let open = || {
            let database = builder(folder, options).open()?;
            // Never made here: a database without it is not ours, or has lost it.
            if !database.keyspace_exists(KEYSPACE) {
                return Ok(None);
            }
            let keyspace = database.keyspace(KEYSPACE, KeyspaceCreateOptions::default)?;
            Ok(Some(Opened { database, keyspace }))
        };
        let opened = unless_it_panics(open).map_err(|reason| OpenError::not_a_store(path, reason))?;
        let opened = opened.map_err(|error| match error {
            fjall::Error::Locked => OpenError::in_use(path, &folder.join("lock")),
            error => OpenError::of_fjall(path, error),
        })?;
        let opened = opened.ok_or_else(|| OpenError::not_a_store(path, "its database is of another program"))?;
        let (opened, committing) = (RwLock::new(Some(opened)), AtomicBool::new(false));
        Ok(Self(Arc::new(Handle { opened, mark, committing })))
    }
}

fn builder(folder: &Path, options: &FjallOptions) -> fjall::DatabaseBuilder<fjall::Database> {
    fjall::Database::builder(folder)
        .cache_size(options.block_cache_bytes)
        // The journal is fsynced once for each group, by the batch itself.
        .manual_journal_persist(true)
        // fjall checks a journal against what compressing it again gives: another version of the compressor, and what
        // was acknowledged could not be read.
        .journal_compression(CompressionType::None)
}

impl Handle {
    /// Does something with the database while it is open. It stays open until that is done.
    pub(crate) fn with<T>(&self, work: impl FnOnce(&Opened) -> Result<T, StorageError>) -> Result<T, StorageError> {
        match &*self.opened.read() {
            Some(opened) => work(opened),
            None => Err(StorageError::io("reading a state of the store", "the store was closed or opened again since")),
        }
    }

    /// Whether the background has failed, after which fjall takes no more writes.
    pub(crate) fn check(&self) -> Result<(), StorageError> {
        if self.committing.load(Ordering::Acquire) {
            return Ok(());
        }
        // Nothing waits to be persisted outside a commit: it only asks.
        self.with(|opened| {
            opened.database.persist(PersistMode::Buffer).map_err(|error| storage_error("writing", error))
        })
    }

    /// Does something that has the journal.
    pub(crate) fn committing<T>(&self, work: impl FnOnce() -> T) -> T {
        struct Done<'a>(&'a AtomicBool);
        impl Drop for Done<'_> {
            fn drop(&mut self) {
                self.0.store(false, Ordering::Release);
            }
        }
        self.committing.store(true, Ordering::Release);
        let _done = Done(&self.committing);
        work()
    }
}

impl Opened {
    /// Whether a commit can be applied without fjall making it wait for its background: that wait has no end where the
    /// background has failed.
    pub(crate) fn has_room(&self) -> bool {
        /// fjall waits with four; one commit may seal two.
        const SEALED: usize = 1;
        /// fjall waits with thirty, and delays with twenty.
        const RUNS: usize = 20;
        self.keyspace.sealed_memtable_count() <= SEALED && self.keyspace.tree.l0_run_count() < RUNS
    }
}
