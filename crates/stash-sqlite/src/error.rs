//! Why a store cannot be opened or read, in words that say what to do. Must never show a key or a value.

use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Error, ErrorCode};
use stash_core::StorageError;
use stash_group_commit::describe_holder;

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or this one, has the store open. A store has one owner.
    #[error("the store {} is in use by {holder}; stop it, or use another store", path.display())]
    InUse {
        /// The file.
        path: PathBuf,
        /// Who has it open, as well as that can be known.
        holder: String,
    },
    /// The file is something else, or damaged, or of a version that this one does not read.
    #[error("{} is not a store that this version of Stash can read: {reason}", path.display())]
    NotAStore {
        /// The file.
        path: PathBuf,
        /// What was found.
        reason: String,
    },
    /// The file system did not let us.
    #[error("cannot open the store {}: {reason}", path.display())]
    Io {
        /// The file.
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
            io::ErrorKind::IsADirectory => "it is a folder; name a file".to_owned(),
            io::ErrorKind::PermissionDenied => NOT_WRITABLE.to_owned(),
            _ => error.to_string(),
        };
        Self::io(path, reason)
    }

    pub(crate) fn not_a_store(path: &Path, reason: impl ToString) -> Self {
        Self::NotAStore { path: path.to_owned(), reason: reason.to_string() }
    }

    /// Somebody has the store's lock file locked.
    pub(crate) fn in_use(path: &Path, lock: &Path) -> Self {
        Self::InUse { path: path.to_owned(), holder: describe_holder(lock) }
    }

    /// What the engine found when it first read the store.
    pub(crate) fn of_storage(path: &Path, error: StorageError) -> Self {
        match error {
            StorageError::Corrupt { reason } => Self::not_a_store(path, reason),
            StorageError::Io { reason } | StorageError::Unavailable { reason } => Self::io(path, reason),
            error => Self::io(path, error),
        }
    }

    pub(crate) fn of_sqlite(path: &Path, error: Error) -> Self {
        Self::of_storage(path, storage_error("opening it", error))
    }
}

pub(crate) const NOT_WRITABLE: &str = "permission denied; the store must be writable, also to read it";

/// Damage stays where it is, whatever is done; after any other error the store may be well when opened again.
pub(crate) fn storage_error(doing: &str, error: Error) -> StorageError {
    let Some(code) = error.sqlite_error_code() else {
        return match error {
            // The tables are strict: only damage puts something else into a column.
            Error::InvalidColumnType(..) | Error::FromSqlConversionFailure(..) => damaged(doing, error),
            error => StorageError::io(doing, error),
        };
    };
    match code {
        ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase | ErrorCode::ConstraintViolation => damaged(doing, error),
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => StorageError::Unavailable {
            reason: format!("{doing}: another program has the file locked; let it finish, and try again"),
        },
        ErrorCode::DiskFull => StorageError::io(doing, "the disk is full, or the file has the largest size allowed"),
        _ => StorageError::io(doing, error),
    }
}

fn damaged(doing: &str, error: Error) -> StorageError {
    StorageError::Corrupt { reason: format!("{doing}: {error}") }
}

/// A column has something that Stash has not written.
pub(crate) fn unexpected(what: &str) -> StorageError {
    StorageError::Corrupt { reason: format!("{what}: it is not what Stash has written") }
}
