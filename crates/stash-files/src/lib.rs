//! The files engine of Stash: a folder with one plain file a record, for people who want to look at their data, and to
//! back it up with rsync or git.
//!
//! - `ls data/app/service-a/001/` shows a file for each record, named after its key ([`file_name`]); `cat` shows its value
//!   and nothing else. What else the store knows (versions, times, the checksums of the files) is in `.stash`.
//! - A commit, however many records it changes, is one frame of a journal and one fsync, shared by many callers
//!   (`stash-group-commit`). Files are written behind it, a second later at the latest. After an unclean end the journal is
//!   read again when the store is opened.
//! - Reads and snapshots see one committed state, whatever is done to the files meanwhile. A file that was changed by
//!   something else, or is missing, is an error of that record alone.
//! - All keys are in memory: see `docs/guides/engines/files.md` for what that costs.
//!
//! It knows of components only how their records are named, and must never answer an update before the disk has it.
//!
//! ```
//! use stash_core::{ComponentStorage, NamespacedStorage};
//! use stash_files::{FilesBackend, FilesOptions};
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! # let folder = tempfile::tempdir()?;
//! # let path = folder.path().join("data");
//! let backend: FilesBackend = stash_files::open(&path, &FilesOptions::default()).await?;
//! let store = NamespacedStorage::new(&"app/service-a/001".parse()?, backend.clone());
//! store.set("user:123", "Ada").await?;
//! drop((store, backend));
//! assert_eq!(std::fs::read(path.join("app/service-a/001/user%3A123"))?, b"Ada");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod apply;
mod batch;
mod create;
mod disk;
mod engine;
mod entry;
mod error;
mod format;
mod index;
mod load;
mod log;
mod names;
mod open;
mod root;
mod shared;
mod store;
#[cfg(test)]
mod tests;
mod view;

use std::path::Path;

use stash_core::EngineBackend;

pub use engine::{FilesEngine, FilesSnapshot};
pub use error::OpenError;
pub use names::{file_name, key_of_file_name};
pub use open::FilesOptions;

/// The storage of components in a folder of files.
pub type FilesBackend = EngineBackend<FilesEngine>;

/// Opens the store in the folder `path`, or makes it, with the folders above it.
///
/// # Errors
/// [`OpenError`] says why the folder cannot be used; where another process has it open, which one, if that can be known.
pub async fn open(path: &Path, options: &FilesOptions) -> Result<FilesBackend, OpenError> {
    let engine = FilesEngine::open(path, options)?;
    EngineBackend::open(engine).await.map_err(|error| OpenError::of_storage(path, error))
}
