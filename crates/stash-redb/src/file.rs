//! Opening the file: folders, options, and errors that say what to do. Never writes to a file that is not a store.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, TableDefinition};

use crate::holder;

/// Everything is in one table; the first byte of a key says what it is.
pub(crate) const TABLE: TableDefinition<'static, &'static [u8], &'static [u8]> = TableDefinition::new("stash");

/// How to open a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedbOptions {
    /// Bytes of memory for pages of the file. 64 to 256 MiB suit most stores; near 0, writing gets three times slower.
    pub page_cache_bytes: usize,
}

impl Default for RedbOptions {
    /// 128 MiB of page cache.
    fn default() -> Self {
        Self { page_cache_bytes: 128 * 1024 * 1024 }
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// Another process, or this one, has the file open. redb files have one owner.
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
    fn io(path: &Path, reason: impl ToString) -> Self {
        Self::Io { path: path.to_owned(), reason: reason.to_string() }
    }
}

/// Opens a database over whatever holds it; called again after an I/O error.
pub(crate) type Opener = Box<dyn Fn() -> Result<Database, OpenError> + Send>;

pub(crate) fn opener(path: &Path, options: &RedbOptions) -> Opener {
    let (path, options) = (path.to_owned(), options.clone());
    Box::new(move || open_database(&path, &options))
}

fn open_database(path: &Path, options: &RedbOptions) -> Result<Database, OpenError> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    fs::create_dir_all(folder)
        .map_err(|error| OpenError::io(path, format!("cannot make the folder {}: {error}", folder.display())))?;
    let is_new = !path.exists();
    let file = OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
    let file = file.map_err(|error| OpenError::io(path, explain(&error)))?;
    let database = redb::Builder::new().set_cache_size(options.page_cache_bytes).create_file(file);
    let database = database.map_err(|error| refuse(path, error))?;
    if is_new {
        // The file's bytes are fsynced by redb; that it has a name is the folder's to remember.
        sync_folder(folder).map_err(|error| OpenError::io(path, error))?;
    }
    Ok(database)
}

#[cfg(unix)]
fn sync_folder(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

#[cfg(not(unix))]
fn sync_folder(_: &Path) -> io::Result<()> {
    Ok(())
}

fn explain(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::IsADirectory => "it is a folder; name a file".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied; the store must be writable, also to read it".to_owned(),
        _ => error.to_string(),
    }
}

fn refuse(path: &Path, error: DatabaseError) -> OpenError {
    match error {
        DatabaseError::DatabaseAlreadyOpen => {
            OpenError::InUse { path: path.to_owned(), holder: holder::describe(path) }
        }
        DatabaseError::Storage(redb::StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            OpenError::io(path, error)
        }
        other => OpenError::NotAStore { path: path.to_owned(), reason: other.to_string() },
    }
}
