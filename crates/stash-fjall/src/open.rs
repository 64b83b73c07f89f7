//! Opening the folder: its lock, whether it is a store, and the same store again after an I/O error. Must never let fjall
//! see a database that it would tidy away: it takes what is missing for what was never there.

use std::fmt::Display;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;

use stash_core::StorageError;
use stash_group_commit::{Opener, folder};

use crate::create::{check_free, make_folder, make_store};
use crate::database::Database;
use crate::error::OpenError;
use crate::journal::{self, Unfit};
use crate::mark::{self, Mark};
use crate::tables;

/// The file in a store's folder that its owner has locked.
pub(crate) const LOCK: &str = "lock";
/// The folder in a store's folder that fjall has.
pub(crate) const DATABASE: &str = "fjall";

/// How to open a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FjallOptions {
    /// Bytes of memory for blocks of the tables. 64 to 256 MiB suit most stores.
    pub block_cache_bytes: u64,
    /// Bytes that a new store collects in memory before it writes them to a table; up to three times as much may be in
    /// memory. A store keeps what it was made with.
    pub write_buffer_bytes: u64,
}

impl Default for FjallOptions {
    /// 128 MiB of block cache, 64 MiB of write buffer.
    fn default() -> Self {
        Self { block_cache_bytes: 128 * 1024 * 1024, write_buffer_bytes: 64 * 1024 * 1024 }
    }
}

/// Opens the store in `path`, or makes it; and says how to open that very store again.
pub(crate) fn open_store(path: &Path, options: &FjallOptions) -> Result<(Database, Opener<Database>), OpenError> {
    let path = &folder::without_links(path);
    // The lock is an owner's as long as the opener is.
    let lock = lock(path)?;
    let database = path.join(DATABASE);
    if !exists(path, &database)? {
        check_free(path)?;
        make_store(path, options)?;
    }
    let identity = identity(path, &database)?;
    let opened = open_database(path, options, false)?;
    // That the store has a name is the folder's to remember; whoever made it may not have come to this.
    folder::sync(path).map_err(|error| OpenError::os(path, &error))?;
    let (path, options) = (path.clone(), options.clone());
    let again = move || -> Result<Database, OpenError> {
        let _owned = &lock;
        // Never a new store, nor one that has taken the place of ours: what was acknowledged is in ours.
        if self::identity(&path, &path.join(DATABASE))? != identity {
            return Err(OpenError::io(&path, "another store has taken its place; start again with the right one"));
        }
        open_database(&path, &options, true)
    };
    let again = move || again().map_err(|error| StorageError::Io { reason: error.to_string() });
    Ok((opened, Box::new(again)))
}

/// The lock of a store's folder.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that is just being started has a copy of the file, and would keep the lock until it has closed that.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the store's lock is not released");
        }
    }
}

/// Makes the folder where there is none and locks it. Nothing is made in a folder that is not ours.
fn lock(path: &Path) -> Result<Lock, OpenError> {
    let failed = |error: io::Error| OpenError::os(path, &error);
    match path.metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(failed(io::ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_folder(path)
            .map_err(|error| OpenError::io(path, format!("cannot make the folder {}: {error}", path.display())))?,
        Err(error) => return Err(failed(error)),
    }
    let database = path.join(DATABASE);
    if exists(path, &database)? {
        check_version(path, &database)?;
    } else {
        check_free(path)?;
    }
    let file = path.join(LOCK);
    let mut open = OpenOptions::new();
    open.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        open.mode(0o600);
    }
    let lock = open.open(&file).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(Lock(lock)),
        Err(TryLockError::WouldBlock) => Err(OpenError::in_use(path, &file)),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path, format!("cannot lock {LOCK}: {error}"))),
    }
}

fn exists(path: &Path, part: &Path) -> Result<bool, OpenError> {
    part.try_exists().map_err(|error| OpenError::os(path, &error))
}

fn identity(path: &Path, database: &Path) -> Result<folder::Identity, OpenError> {
    let found = database.metadata().map_err(|error| OpenError::os(path, &error))?;
    Ok(folder::identity(&found))
}

/// Opens the database; `failed` where that is because it has failed before.
fn open_database(path: &Path, options: &FjallOptions, failed: bool) -> Result<Database, OpenError> {
    let folder = path.join(DATABASE);
    check_version(path, &folder)?;
    check_parts(path, &folder)?;
    let unfit = |error| match error {
        Unfit::Damaged(reason) => OpenError::not_a_store(path, reason),
        Unfit::Io(error) => OpenError::os(path, &error),
    };
    let mark = Mark::read(&folder).map_err(|error| OpenError::os(path, &error))?;
    let mark =
        mark.ok_or_else(|| damaged(path, format!("{DATABASE}/{} is missing, or not what it was", mark::FILE)))?;
    let last = journal::repair(&folder, &mark).map_err(unfit)?;
    if failed {
        journal::rewrite(&last).map_err(|error| OpenError::os(path, &error))?;
    }
    Database::open(path, &folder, mark, options)
}

/// Refuses what is no database of this version.
fn check_version(path: &Path, database: &Path) -> Result<(), OpenError> {
    let version = match fs::read(database.join("version")) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Vec::new(),
        read => read.map_err(|error| OpenError::os(path, &error))?,
    };
    match version.strip_prefix(b"FJL") {
        Some([3]) => Ok(()),
        Some([version]) => Err(OpenError::not_a_store(path, format!("its database is of fjall's format {version}"))),
        _ => Err(damaged(path, format!("{DATABASE}/version is missing, or not what it was"))),
    }
}

/// Refuses a database that has lost something that fjall would make anew, and by that remove what belongs to it; and one
/// with a folder too many, on which it panics.
fn check_parts(path: &Path, database: &Path) -> Result<(), OpenError> {
    let os = |error: io::Error| OpenError::os(path, &error);
    for part in ["lock", "keyspaces/0/current", "keyspaces/1/current"] {
        if !exists(path, &database.join(part))? {
            return Err(damaged(path, format!("{DATABASE}/{part} is missing")));
        }
    }
    for entry in fs::read_dir(database.join("keyspaces")).map_err(os)? {
        let entry = entry.map_err(os)?;
        let name = entry.file_name();
        if entry.file_type().map_err(os)?.is_dir() {
            if name != "0" && name != "1" {
                return Err(damaged(path, format!("{DATABASE}/keyspaces/{} is not of it", name.to_string_lossy())));
            }
            if let Some(part) = tables::check(&entry.path()).map_err(os)? {
                return Err(damaged(path, format!("{part} in {DATABASE}/keyspaces is not what it was")));
            }
        }
    }
    Ok(())
}

fn damaged(path: &Path, reason: impl Display) -> OpenError {
    OpenError::not_a_store(path, format!("it is damaged: {reason}"))
}

/// What the files in a folder take up on the disk.
pub(crate) fn bytes_in(folder: &Path) -> io::Result<u64> {
    let mut bytes = 0;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = match entry.metadata() {
            Ok(found) if found.is_dir() => bytes_in(&entry.path()),
            found => found.map(|found| size(&found)),
        };
        match found {
            // Tables come and go meanwhile.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            found => bytes += found?,
        }
    }
    Ok(bytes)
}

/// Journals are made longer than what is in them.
#[cfg(unix)]
fn size(file: &fs::Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    /// Of what `blocks` counts in, whatever the file system's own are.
    const BLOCK: u64 = 512;
    file.blocks() * BLOCK
}

#[cfg(not(unix))]
fn size(file: &fs::Metadata) -> u64 {
    file.len()
}
