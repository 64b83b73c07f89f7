//! Why a store cannot be opened or read, in words that say what to do. Must never show a key or a value.

use std::io;
use std::path::{Path, PathBuf};

use fjall::{Error, LsmError};
use stash_core::StorageError;
use stash_group_commit::describe_holder;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or this one, has the store open. A store has one owner.
    #[error("the store {} is in use by {holder}; stop it, or use another store", path.display())]
    InUse {
        /// The folder.
        path: PathBuf,
        /// Who has it open, as well as that can be known.
        holder: String,
    },
    /// The folder holds something else, or is damaged, or of a version that this one does not read.
    #[error("{} is not a store that this version of Stash can read: {reason}", path.display())]
    NotAStore {
        /// The folder.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file system did not let us.
    #[error("cannot open the store {}: {reason}", path.display())]
    Io {
        /// The folder.
        path: PathBuf,
        /// What the operating system or the engine said.
        reason: String,
    },
}

impl OpenError {
    pub(crate) fn io(path: &Path, reason: impl ToString) -> Self {
        Self::Io { path: path.to_owned(), reason: reason.to_string() }
    }

    pub(crate) fn os(path: &Path, error: &io::Error) -> Self {
        let reason = match error.kind() {
            io::ErrorKind::NotADirectory => "it is a file; name a folder".to_owned(),
            io::ErrorKind::PermissionDenied => {
                "permission denied; the store must be writable, also to read it".to_owned()
            }
            _ => error.to_string(),
        };
        Self::io(path, reason)
    }

    pub(crate) fn not_a_store(path: &Path, reason: impl ToString) -> Self {
        Self::NotAStore { path: path.to_owned(), reason: reason.to_string() }
    }

    /// Somebody has this file of the store locked.
    pub(crate) fn in_use(path: &Path, lock: &Path) -> Self {
        Self::InUse { path: path.to_owned(), holder: describe_holder(lock) }
    }

    /// What the engine found when it first read the store.
    pub(crate) fn of_storage(path: &Path, error: StorageError) -> Self {
        match error {
            StorageError::Corrupt { reason } => Self::not_a_store(path, reason),
            error => Self::io(path, error),
        }
    }

    pub(crate) fn of_fjall(path: &Path, error: Error) -> Self {
        match storage_error("opening it", error) {
            StorageError::Corrupt { reason } => Self::not_a_store(path, reason),
            StorageError::Io { reason } => Self::io(path, reason),
            error => Self::io(path, error),
        }
    }
}

/// Damage stays where it is, whatever is done; after any other error the store may be well when opened again.
pub(crate) fn storage_error(doing: &str, error: Error) -> StorageError {
    let reason = match error {
        Error::Io(error) | Error::Storage(LsmError::Io(error)) => match error.kind() {
            io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData => format!("a file of it is damaged: {error}"),
            _ => return StorageError::io(doing, error),
        },
        Error::Poisoned => {
            return StorageError::io(doing, "writing tables in the background failed; see that the disk has room");
        }
        Error::Locked => return StorageError::io(doing, "another program has its database open"),
        Error::InvalidVersion(Some(version)) => format!("its database is of fjall's format {version}"),
        Error::InvalidVersion(None) => "its database is of no format of fjall".to_owned(),
        Error::JournalRecovery(error) => format!("its journal is damaged: {error:?}"),
        Error::Storage(error) => format!("a table of it is damaged: {error:?}"),
        error => format!("it is damaged: {error:?}"),
    };
    StorageError::Corrupt { reason: format!("{doing}: {reason}") }
}
