//! Opening the file: its lock, whether it is a store, and the same store again after an I/O error. Must never let SQLite
//! write to a file that is not a store.

use std::fs::{File, Metadata, OpenOptions, TryLockError};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use stash_core::StorageError;
use stash_group_commit::{Opener, folder};

use crate::commit::Database;
use crate::connection::{self, APPLICATION_ID, Opening, SCHEMA};
use crate::create::{TABLES, beside, make_store, remove_unfinished};
use crate::error::OpenError;
use crate::states::Bounds;

/// What is behind the store's name in that of the file that its owner has locked.
const LOCK: &str = "-lock";
/// Bytes of the smallest page: SQLite takes less for an empty database.
const SMALLEST: u64 = 512;
const NO_DATABASE: &str = "it is not a SQLite database";

/// How to open a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SqliteOptions {
    /// Bytes of memory for pages of the file. SQLite forgets most of them with every commit, so more than the default
    /// is for stores that are mostly read.
    pub page_cache_bytes: usize,
    /// How long a commit waits for another program that is writing to the file, before it is refused.
    pub busy_timeout: Duration,
    /// Bytes that the write-ahead log may grow to while somebody holds an earlier state of the store, as a transaction
    /// does. Beyond, such states are ended, so that the log can be emptied. Another program that reads cannot be ended.
    pub max_log_bytes: u64,
}

impl Default for SqliteOptions {
    /// 128 MiB of page cache, 5 s of waiting, 256 MiB of log.
    fn default() -> Self {
        Self {
            page_cache_bytes: 128 * 1024 * 1024,
            busy_timeout: Duration::from_secs(5),
            max_log_bytes: 256 * 1024 * 1024,
        }
    }
}

/// What is the same however often the store is opened.
pub(crate) struct Place {
    pub(crate) path: PathBuf,
    /// How often another program was found to have written to it.
    pub(crate) strangers: Arc<AtomicU64>,
}

/// Opens the store in `path`, or makes it; and says how to open that very store again.
pub(crate) fn open_store(
    path: &Path,
    options: &SqliteOptions,
    bounds: Bounds,
) -> Result<(Database, Opener<Database>, Place), OpenError> {
    let absolute = std::path::absolute(path).map_err(|error| OpenError::os(path, &error))?;
    let path = &folder::without_links(&absolute);
    let parent = folder::of(path);
    folder::make(parent)
        .map_err(|error| OpenError::io(path, format!("cannot make the folder {}: {error}", parent.display())))?;
    // Before anything is made beside it. Where there is a lock file, somebody may have the store open.
    if !beside(path, LOCK).exists() {
        check(path)?;
    }
    // The lock is an owner's as long as the opener is.
    let lock = lock(path)?;
    remove_unfinished(path).map_err(|error| OpenError::os(path, &error))?;
    if check(path)?.is_none() {
        check_no_log(path)?;
        make_store(path)?;
    }
    let Some(identity) = check(path)? else {
        return Err(OpenError::io(path, "the file has been removed"));
    };
    check_only_name(path)?;
    let strangers = Arc::<AtomicU64>::default();
    let opening = Opening { path: path.clone(), patience: options.busy_timeout, max_pages: bounds.max_pages };
    let open = {
        let (options, strangers) = (options.clone(), Arc::clone(&strangers));
        move || open_database(&opening, &options, &bounds, &strangers)
    };
    let database = open()?;
    // That the file has a name is the folder's to remember; whoever made it may not have come to this.
    folder::sync(parent).map_err(|error| OpenError::os(path, &error))?;
    let place = Place { path: path.clone(), strangers };
    let path = path.clone();
    let again = move || -> Result<Database, OpenError> {
        let _owned = &lock;
        // Never a new file, nor one that has taken the place of ours: what was acknowledged is in ours.
        match check(&path)? {
            None => Err(OpenError::io(&path, "the file has been removed or emptied")),
            Some(found) if found != identity => {
                Err(OpenError::io(&path, "another file has taken its place; start again with the right one"))
            }
            Some(_) => open(),
        }
    };
    let again = move || again().map_err(|error| StorageError::Io { reason: error.to_string() });
    Ok((database, Box::new(again), place))
}

fn open_database(
    opening: &Opening,
    options: &SqliteOptions,
    bounds: &Bounds,
    strangers: &Arc<AtomicU64>,
) -> Result<Database, OpenError> {
    let path = &opening.path;
    let open = || Database::open(opening.clone(), options, bounds.clone(), Arc::clone(strangers));
    let database = open().map_err(|error| OpenError::of_storage(path, error))?;
    // The log may know better than the file.
    let (application, schema) =
        connection::identity(&database.writer).map_err(|error| OpenError::of_sqlite(path, error))?;
    check_identity(path, application, schema)?;
    for table in ["entries", "rests"] {
        let written = "SELECT sql FROM sqlite_schema WHERE type = 'table' AND name = ?1";
        let found = database.writer.query_row(written, [table], |row| row.get::<_, String>(0));
        match found {
            Ok(sql) if TABLES.contains(&sql) => {}
            Ok(_) | Err(rusqlite::Error::QueryReturnedNoRows) => {
                return Err(OpenError::not_a_store(
                    path,
                    format!("its table `{table}` is missing, or not what it was"),
                ));
            }
            Err(error) => return Err(OpenError::of_sqlite(path, error)),
        }
    }
    Ok(database)
}

/// The lock of a store.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that is just being started has a copy of the file, and would keep the lock until it has closed that.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the store's lock is not released");
        }
    }
}

/// Locks the store. The lock is on a file of its own: whoever opens and closes the store's own file lets go of the locks
/// that SQLite has on it in the same process.
fn lock(path: &Path) -> Result<Lock, OpenError> {
    let file = beside(path, LOCK);
    let mut open = OpenOptions::new();
    open.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        open.mode(0o600);
    }
    let lock = open.open(&file).map_err(|error| {
        let why = if error.kind() == io::ErrorKind::PermissionDenied {
            "permission denied".into()
        } else {
            error.to_string()
        };
        OpenError::io(path, format!("cannot open its lock file {}: {why}", file.display()))
    })?;
    match lock.try_lock() {
        Ok(()) => Ok(Lock(lock)),
        Err(TryLockError::WouldBlock) => Err(OpenError::in_use(path, &file)),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path, format!("cannot lock {}: {error}", file.display()))),
    }
}

/// Looks whether there is a store, without changing anything: which file it is, or nothing where a store may be made.
fn check(path: &Path) -> Result<Option<folder::Identity>, OpenError> {
    let found = match path.metadata() {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        found => found.map_err(|error| OpenError::os(path, &error))?,
    };
    if found.is_dir() {
        return Err(OpenError::os(path, &io::ErrorKind::IsADirectory.into()));
    }
    if !found.is_file() {
        return Err(OpenError::io(path, "it is a device or another special file; a store is an ordinary file"));
    }
    if found.len() == 0 {
        return Ok(None);
    }
    if found.len() < SMALLEST {
        return Err(OpenError::not_a_store(path, NO_DATABASE));
    }
    let (application, schema) = connection::peek(path).map_err(|error| match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::not_a_store(path, NO_DATABASE),
        Some(rusqlite::ErrorCode::CannotOpen) => OpenError::io(path, "it cannot be read; see its permissions"),
        _ => OpenError::of_sqlite(path, error),
    })?;
    check_identity(path, application, schema)?;
    Ok(Some(folder::identity(&found)))
}

/// Refuses to make a store beside what another one has left: SQLite would take its log for the new one's.
fn check_no_log(path: &Path) -> Result<(), OpenError> {
    for ending in ["-wal", "-journal"] {
        let log = beside(path, ending);
        if log.metadata().is_ok_and(|found| found.len() > 0) {
            let reason = format!(
                "there is no such file, but {} is there and may hold what was last written to it; put the file back, or \
                 move that one away",
                log.display()
            );
            return Err(OpenError::io(path, reason));
        }
    }
    Ok(())
}

/// Refuses a file with several names: SQLite keeps a log beside the name by which it is opened.
fn check_only_name(path: &Path) -> Result<(), OpenError> {
    let found = path.metadata().map_err(|error| OpenError::os(path, &error))?;
    if names(&found) > 1 {
        let reason =
            "the file has another name (a hard link), and SQLite keeps a log for each name; remove the other one";
        return Err(OpenError::io(path, reason));
    }
    Ok(())
}

fn check_identity(path: &Path, application: i32, schema: i32) -> Result<(), OpenError> {
    if application != APPLICATION_ID {
        let reason = format!("it is a SQLite database of another program (application_id {application})");
        return Err(OpenError::not_a_store(path, reason));
    }
    if schema > SCHEMA {
        let reason = format!("its schema is version {schema}, and this Stash knows up to {SCHEMA}; use a newer Stash");
        return Err(OpenError::not_a_store(path, reason));
    }
    if schema < SCHEMA {
        return Err(OpenError::not_a_store(path, format!("its schema's version is {schema}, which never was")));
    }
    Ok(())
}

#[cfg(unix)]
fn names(found: &Metadata) -> u64 {
    use std::os::unix::fs::MetadataExt;
    found.nlink()
}

#[cfg(not(unix))]
fn names(_: &Metadata) -> u64 {
    1
}
