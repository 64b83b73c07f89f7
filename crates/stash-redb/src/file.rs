//! Opening the file: folders, options, and errors that say what to do. Never writes to a file that is not a store.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use redb::{Database, DatabaseError, TableDefinition};
use stash_core::StorageError;
use stash_group_commit::folder::{self, Identity};
use stash_group_commit::{describe_holder, unless_it_panics};

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

    /// What the engine found when it first read the file.
    pub(crate) fn of_storage(path: &Path, error: StorageError) -> Self {
        match error {
            StorageError::Corrupt { reason } => Self::NotAStore { path: path.to_owned(), reason },
            error => Self::io(path, error),
        }
    }
}

/// Opens the same database again, after an I/O error.
pub(crate) type Opener = Box<dyn Fn() -> Result<Database, OpenError> + Send>;

/// Opens the store in `path`, or makes it; and says how to open that very file again.
pub(crate) fn open_store(path: &Path, options: &RedbOptions) -> Result<(Database, Opener), OpenError> {
    let path = &folder::without_links(path);
    let folder = folder::of(path);
    folder::make(folder)
        .map_err(|error| OpenError::io(path, format!("cannot make the folder {}: {error}", folder.display())))?;
    if is_missing(path) {
        // Two that make a store at once, one after the other; where a folder cannot be locked, the name decides.
        let turn = File::open(folder).ok();
        let locked = turn.as_ref().is_some_and(|turn| turn.lock().is_ok());
        tracing::debug!(locked, "making the store {}", path.display());
        if is_missing(path) {
            make_store(path)?;
        }
    }
    let (database, identity) = open_file(path, options, None)?;
    // That the file has a name is the folder's to remember; whoever made it may not have come to this.
    folder::sync(folder).map_err(|error| OpenError::io(path, error))?;
    let (path, options) = (path.to_owned(), options.clone());
    let opener = Box::new(move || {
        // Never a new file, nor one that has taken the place of ours: what was acknowledged is in ours.
        open_file(&path, &options, Some(identity)).map(|(database, _)| database)
    });
    Ok((database, opener))
}

/// Whether there is no store yet: no file, or an empty one.
fn is_missing(path: &Path) -> bool {
    match path.metadata() {
        Ok(found) => found.is_file() && found.len() == 0,
        Err(error) => error.kind() == io::ErrorKind::NotFound,
    }
}

/// Makes an empty store beside `path` and gives it that name when it is whole: a process that is killed meanwhile leaves
/// nothing under the store's name.
fn make_store(path: &Path) -> Result<(), OpenError> {
    let (file, unfinished) = new_file(path).map_err(|error| OpenError::io(path, explain(&error)))?;
    let made = fill_new_store(path, file).and_then(|()| give_name(path, &unfinished));
    if made.is_err() {
        // What matters is why it failed.
        drop(fs::remove_file(&unfinished));
    }
    made
}

/// A file beside `path` that was not there before. Never one that somebody else made: it may be another process's, or the
/// second name of a store.
fn new_file(path: &Path) -> io::Result<(File, PathBuf)> {
    let mut create = OpenOptions::new();
    create.read(true).write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Components' data is nobody else's on this machine.
        create.mode(0o600);
    }
    for n in 0..10_000 {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(format!(".new-{}-{n}", std::process::id()));
        let unfinished = path.with_file_name(name);
        match create.open(&unfinished) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            opened => return opened.map(|file| (file, unfinished)),
        }
    }
    Err(io::Error::other("all names for a new file are taken"))
}

fn fill_new_store(path: &Path, file: File) -> Result<(), OpenError> {
    let made = || -> Result<(), redb::Error> {
        let database = redb::Builder::new().set_cache_size(1 << 20).create_file(file)?;
        let writing = database.begin_write()?;
        writing.open_table(TABLE)?;
        writing.commit()?;
        Ok(())
    };
    unless_it_panics(made)
        .unwrap_or_else(|reason| Err(redb::Error::Corrupted(reason)))
        .map_err(|error| OpenError::io(path, error))
}

/// Gives a finished store its name, unless another process was first.
fn give_name(path: &Path, unfinished: &Path) -> Result<(), OpenError> {
    // Not a rename, which would take the name from a store that another process has just made. An empty file, and a file
    // system without links, have nothing to lose.
    match fs::hard_link(unfinished, path) {
        Ok(()) => fs::remove_file(unfinished).map_err(|error| OpenError::io(path, error)),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.metadata().is_ok_and(|found| found.len() == 0) {
                return fs::rename(unfinished, path).map_err(|error| OpenError::io(path, error));
            }
            fs::remove_file(unfinished).map_err(|error| OpenError::io(path, error))
        }
        Err(_) => fs::rename(unfinished, path).map_err(|error| OpenError::io(path, explain(&error))),
    }
}

/// Opens a store's file; with `same`, only that very file, and before anything of it is touched.
fn open_file(path: &Path, options: &RedbOptions, same: Option<Identity>) -> Result<(Database, Identity), OpenError> {
    // Before it is opened: with a device, or a pipe, that alone can do something.
    if path.metadata().is_ok_and(|found| !found.is_file() && !found.is_dir()) {
        return Err(OpenError::io(path, "it is a device or another special file; a store is an ordinary file"));
    }
    let file = OpenOptions::new().read(true).write(true).open(path);
    let file = file.map_err(|error| OpenError::io(path, explain(&error)))?;
    let found = file.metadata().map_err(|error| OpenError::io(path, error))?;
    let identity = folder::identity(&found);
    if same.is_some_and(|same| same != identity) {
        return Err(OpenError::io(path, "another file has taken its place; start again with the right one"));
    }
    // redb would make a new database of an empty file; `make_store` has made this one, and somebody emptied it.
    if found.len() == 0 {
        return Err(OpenError::io(path, "the file has been emptied"));
    }
    let mut builder = redb::Builder::new();
    builder.set_cache_size(options.page_cache_bytes);
    let database = unless_it_panics(|| builder.create_file(file))
        .map_err(|reason| OpenError::NotAStore { path: path.to_owned(), reason })?
        .map_err(|error| refuse(path, error))?;
    Ok((database, identity))
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
        DatabaseError::DatabaseAlreadyOpen => OpenError::InUse { path: path.to_owned(), holder: describe_holder(path) },
        DatabaseError::Storage(redb::StorageError::Io(error)) if error.kind() != io::ErrorKind::InvalidData => {
            OpenError::io(path, error)
        }
        DatabaseError::Storage(redb::StorageError::Io(error)) => {
            OpenError::NotAStore { path: path.to_owned(), reason: error.to_string() }
        }
        other => OpenError::NotAStore { path: path.to_owned(), reason: other.to_string() },
    }
}
