//! Why a store cannot be opened or read, in words that say what to do. Must never show a value.

use std::fmt::Display;
use std::io;
use std::path::{Path, PathBuf};

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
        /// What the operating system said.
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

    /// The same where it was opened from its files.
    pub(crate) fn of_unfit(path: &Path, unfit: Unfit) -> Self {
        match unfit {
            Unfit::Damaged(reason) => Self::not_a_store(path, format!("it is damaged: {reason}")),
            Unfit::Io { what, error } if error.kind() == io::ErrorKind::PermissionDenied => {
                Self::io(path, format!("{what}: permission denied; the store must be writable, also to read it"))
            }
            Unfit::Io { what, error } => Self::io(path, format!("{what}: {error}")),
        }
    }
}

/// Why a store's own files cannot be used.
#[derive(Debug)]
pub(crate) enum Unfit {
    Damaged(String),
    Io { what: String, error: io::Error },
}

/// Says to what an I/O error happened.
pub(crate) trait At<T> {
    fn at(self, doing: &str, what: impl Display) -> Result<T, Unfit>;
}

impl<T> At<T> for io::Result<T> {
    fn at(self, doing: &str, what: impl Display) -> Result<T, Unfit> {
        self.map_err(|error| Unfit::Io { what: format!("{doing} {what}"), error })
    }
}

impl From<Unfit> for StorageError {
    fn from(unfit: Unfit) -> Self {
        match unfit {
            Unfit::Damaged(reason) => Self::Corrupt { reason },
            Unfit::Io { what, error } => Self::io(&what, error),
        }
    }
}
