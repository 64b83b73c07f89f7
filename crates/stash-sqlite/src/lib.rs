//! The SQLite engine of Stash: one durable [SQLite](https://sqlite.org) file that other programs can read, also while Stash
//! has it open.
//!
//! - Commits of many callers share one transaction and one fsync, and components take turns (`stash-group-commit`).
//! - Reads come from read transactions that were begun right after the last commit; they never wait for a writer.
//! - `Ok` from an update means that it was fsynced: the journal is a write-ahead log (WAL), with `synchronous = FULL`.
//! - The log is emptied into the file while Stash works; states that somebody holds for too long are ended for that.
//! - After an I/O error the file is opened again, so that reads tell what the disk holds.
//!
//! It knows nothing of components and records, but for the views in `schema.sql`, which are for people with `sqlite3`. It
//! must never answer an update before the disk has it.
//!
//! ```
//! use stash_core::ComponentStorage;
//! use stash_sqlite::{SqliteBackend, SqliteOptions};
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("store.sqlite");
//! let backend: SqliteBackend = stash_sqlite::open(&path, &SqliteOptions::default()).await?;
//! backend.commit(Default::default()).await.unwrap_err(); // a batch needs a namespace: see `NamespacedStorage`
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod checkpoint;
mod commit;
mod connection;
mod create;
mod engine;
mod entries;
mod error;
mod open;
mod states;
#[cfg(test)]
mod tests;
mod view;

use std::path::Path;

use stash_core::EngineBackend;

pub use engine::{SqliteEngine, SqliteSnapshot};
pub use error::OpenError;
pub use open::SqliteOptions;

/// The storage of components in a SQLite file.
pub type SqliteBackend = EngineBackend<SqliteEngine>;

/// Opens the store in `path`, or makes it, with the folders above it.
///
/// # Errors
/// [`OpenError`] says why the file cannot be used; where another process has it open, which one, if that can be known.
pub async fn open(path: &Path, options: &SqliteOptions) -> Result<SqliteBackend, OpenError> {
    let engine = SqliteEngine::open(path, options)?;
    EngineBackend::open(engine).await.map_err(|error| OpenError::of_storage(path, error))
}
