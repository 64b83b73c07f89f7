//! The fjall engine of Stash: a folder with a log-structured store of [fjall](https://docs.rs/fjall), for stores that are
//! mostly written.
//!
//! - A commit appends to a journal and is fsynced once; tables are written in the background. So a commit costs the same
//!   however large the store is, and a read may look into several tables.
//! - Commits of many callers share one fsync, and components take turns (`stash-group-commit`).
//! - `Ok` from an update means that it was fsynced. After an unclean end the journal is read again when the store is
//!   opened; what a power cut tore off its end was never answered.
//! - After an I/O error the store is opened again, so that reads tell what the disk holds.
//!
//! It knows nothing of components and records, and must never answer an update before the disk has it.
//!
//! ```
//! use stash_core::ComponentStorage;
//! use stash_fjall::{FjallBackend, FjallOptions};
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("store");
//! let backend: FjallBackend = stash_fjall::open(&path, &FjallOptions::default()).await?;
//! backend.commit(Default::default()).await.unwrap_err(); // a batch needs a namespace: see `NamespacedStorage`
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod commit;
mod create;
mod database;
mod engine;
mod error;
mod journal;
mod mark;
mod merge;
mod open;
mod tables;
#[cfg(test)]
mod tests;
mod view;

use std::path::Path;

use stash_core::EngineBackend;

pub use engine::{FjallEngine, FjallSnapshot};
pub use error::OpenError;
pub use open::FjallOptions;

/// The storage of components in a fjall folder.
pub type FjallBackend = EngineBackend<FjallEngine>;

/// Opens the store in the folder `path`, or makes it, with the folders above it.
///
/// # Errors
/// [`OpenError`] says why the folder cannot be used; where another process has it open, which one, if that can be known.
pub async fn open(path: &Path, options: &FjallOptions) -> Result<FjallBackend, OpenError> {
    let engine = FjallEngine::open(path, options)?;
    EngineBackend::open(engine).await.map_err(|error| OpenError::of_storage(path, error))
}
