//! The default engine of Stash: one durable [redb](https://docs.rs/redb) file.
//!
//! - Commits of many callers share one disk commit (group commit): while one fsync runs, the next group collects. There
//!   is one writer and no timer, and components take turns in its queue.
//! - Reads come from a snapshot of the last commit and never wait for a writer.
//! - `Ok` from an update means that it was fsynced. An unclean end of the process costs nothing at the next opening:
//!   every commit leaves the file so that it opens without being scanned.
//! - After an I/O error the file is opened again, so that reads tell what the disk holds.
//!
//! It knows nothing of components and records, and must never answer an update before the disk has it.
//!
//! ```
//! use stash_core::ComponentStorage;
//! use stash_redb::{RedbBackend, RedbOptions};
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("store.redb");
//! let backend: RedbBackend = stash_redb::open(&path, &RedbOptions::default()).await?;
//! backend.commit(Default::default()).await.unwrap_err(); // a batch needs a namespace: see `NamespacedStorage`
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod commit;
mod engine;
mod file;
mod runs;
#[cfg(test)]
mod tests;
mod view;

use std::path::Path;

use stash_core::EngineBackend;

pub use engine::{RedbEngine, RedbSnapshot};
pub use file::{OpenError, RedbOptions};

/// The storage of components in a redb file.
pub type RedbBackend = EngineBackend<RedbEngine>;

/// Opens the store in `path`, or makes it, with the folders above it.
///
/// # Errors
/// [`OpenError`] says why the file cannot be used; where another process has it open, which one, if that can be known.
pub async fn open(path: &Path, options: &RedbOptions) -> Result<RedbBackend, OpenError> {
    let engine = RedbEngine::open(path, options)?;
    EngineBackend::open(engine).await.map_err(|error| OpenError::of_storage(path, error))
}
