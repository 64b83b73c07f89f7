//! Making a store whole: under another name beside its own, synced, then given its name. Must never leave a half-made store
//! under the store's name, nor touch a file that holds anything.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

use crate::connection::{APPLICATION_ID, SCHEMA};
use crate::error::OpenError;

/// What a store has in it when it is new.
pub(crate) const TABLES: &str = include_str!("schema.sql");

/// The path with something after its name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

fn unfinished(path: &Path) -> PathBuf {
    beside(path, "-unfinished")
}

/// Removes what another try has left. The caller has the store's lock.
pub(crate) fn remove_unfinished(path: &Path) -> io::Result<()> {
    let unfinished = unfinished(path);
    // SQLite would take a journal that it finds for the new file's.
    for file in [beside(&unfinished, "-wal"), beside(&unfinished, "-shm"), beside(&unfinished, "-journal"), unfinished]
    {
        match fs::remove_file(&file) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// Makes an empty store. The caller has its lock.
pub(crate) fn make_store(path: &Path) -> Result<(), OpenError> {
    let unfinished = unfinished(path);
    let os = |error: io::Error| OpenError::os(path, &error);
    remove_unfinished(path).map_err(os)?;
    let made = || {
        new_file(&unfinished).map_err(os)?;
        fill(&unfinished).map_err(|error| OpenError::of_sqlite(path, error))?;
        File::options().read(true).write(true).open(&unfinished).and_then(|file| file.sync_all()).map_err(os)?;
        give_name(path, &unfinished).map_err(os)
    };
    made().inspect_err(|_| {
        // What matters is why it failed.
        drop(remove_unfinished(path));
    })
}

fn new_file(path: &Path) -> io::Result<()> {
    let mut create = OpenOptions::new();
    create.write(true).create_new(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Components' data is nobody else's on this machine. SQLite gives its other files the same permissions.
        create.mode(0o600);
    }
    create.open(path).map(drop)
}

fn fill(path: &Path) -> Result<(), rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.pragma_update(None, "application_id", APPLICATION_ID)?;
    connection.pragma_update(None, "user_version", SCHEMA)?;
    connection.execute_batch(&format!("BEGIN;\n{TABLES}\nCOMMIT;"))?;
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
    // Takes what is in the log into the file, and removes the log.
    connection.close().map_err(|(_, error)| error)
}

/// Gives a finished store its name, unless there is something under it by now.
fn give_name(path: &Path, unfinished: &Path) -> io::Result<()> {
    // Not a rename, which would take the name from another file. An empty file, and a file system without links, have
    // nothing to lose.
    match fs::hard_link(unfinished, path) {
        Ok(()) => fs::remove_file(unfinished),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            if path.metadata().is_ok_and(|found| found.len() == 0) {
                return fs::rename(unfinished, path);
            }
            Err(error)
        }
        Err(_) => fs::rename(unfinished, path),
    }
}
