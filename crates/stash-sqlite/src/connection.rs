//! A connection to the file, set so that `Ok` means on disk and nothing in the file can make SQLite do more than Stash asks
//! for. Must never make a file.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, ErrorCode, OpenFlags};
use stash_core::StorageError;

use crate::error::{NOT_WRITABLE, storage_error};

/// What the file says it is, in the four bytes that SQLite has for that: `Stsh`.
pub(crate) const APPLICATION_ID: i32 = 0x5374_7368;
/// The number of the schema.
pub(crate) const SCHEMA: i32 = 1;

/// `PRAGMA synchronous` where each commit is fsynced.
const FULL: i64 = 2;
/// What stays of the log's file when it is begun again: rewriting is quicker than growing.
const KEPT_LOG_BYTES: u64 = 32 * 1024 * 1024;
/// More than there are statements.
const STATEMENTS: usize = 48;

/// How connections are opened.
#[derive(Debug, Clone)]
pub(crate) struct Opening {
    /// Absolute, so that no name is taken for a URI.
    pub(crate) path: PathBuf,
    /// How long to wait for another program that writes.
    pub(crate) patience: Duration,
    /// Pages that the file may have; 0 for as many as SQLite can.
    pub(crate) max_pages: u32,
}

impl Opening {
    /// Opens the file for the writer.
    pub(crate) fn writer(&self, cache_bytes: usize) -> Result<Connection, StorageError> {
        let doing = "opening it";
        let failed = |error| storage_error(doing, error);
        let connection = self.open(cache_bytes).map_err(failed)?;
        if connection.is_readonly("main").map_err(failed)? {
            return Err(StorageError::Io { reason: NOT_WRITABLE.to_owned() });
        }
        let mode: String =
            connection.pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0)).map_err(failed)?;
        let synchronous: i64 = connection.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(failed)?;
        if mode != "wal" || synchronous != FULL {
            let reason =
                format!("SQLite cannot keep a write-ahead log here (journal {mode}, synchronous {synchronous})");
            return Err(StorageError::io(doing, reason));
        }
        if self.max_pages > 0 {
            connection.pragma_update_and_check(None, "max_page_count", self.max_pages, |_| Ok(())).map_err(failed)?;
        }
        Ok(connection)
    }

    /// Opens the file for reading.
    pub(crate) fn reader(&self, cache_bytes: usize) -> Result<Connection, StorageError> {
        let open = || {
            let connection = self.open(cache_bytes)?;
            connection.pragma_update(None, "query_only", true)?;
            Ok(connection)
        };
        open().map_err(|error| storage_error("opening it", error))
    }

    fn open(&self, cache_bytes: usize) -> Result<Connection, rusqlite::Error> {
        // Each connection is used by one thread at a time.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&self.path, flags)?;
        connection.busy_timeout(self.patience)?;
        // Nothing that somebody has put into the schema is run.
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_TRIGGER, false)?;
        connection.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
        connection.pragma_update(None, "cell_size_check", true)?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        // Where the system has a stronger fsync.
        connection.pragma_update(None, "fullfsync", true)?;
        connection.pragma_update(None, "checkpoint_fullfsync", true)?;
        connection.pragma_update_and_check(None, "wal_autocheckpoint", 0, |_| Ok(()))?;
        let kept = i64::try_from(KEPT_LOG_BYTES).unwrap_or(i64::MAX);
        connection.pragma_update_and_check(None, "journal_size_limit", kept, |_| Ok(()))?;
        connection.pragma_update(None, "temp_store", "MEMORY")?;
        // A page that cannot be read must be an error, not a signal.
        connection.pragma_update_and_check(None, "mmap_size", 0, |_| Ok(()))?;
        connection.pragma_update(None, "cache_size", cache_size(cache_bytes))?;
        connection.set_prepared_statement_cache_capacity(STATEMENTS);
        Ok(connection)
    }
}

/// `PRAGMA cache_size` for so many bytes: negative numbers are KiB.
fn cache_size(bytes: usize) -> i64 {
    -i64::try_from(bytes / 1024).unwrap_or(i64::MAX).max(1)
}

/// Looks at a file without taking a lock, or changing anything: what it says it is, and the number of its schema.
pub(crate) fn peek(path: &Path) -> Result<(i32, i32), rusqlite::Error> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX | OpenFlags::SQLITE_OPEN_URI;
    // By SQLite: closing a file that another part of this process has open by SQLite would let go of its locks.
    let connection = Connection::open_with_flags(immutable(path), flags)?;
    identity(&connection).or_else(|error| match error.sqlite_error_code() {
        // Without its log a file is not whole where it was being emptied into it. The first page always is.
        Some(ErrorCode::DatabaseCorrupt) => header(path).ok_or(error),
        _ => Err(error),
    })
}

/// The same from the file's first bytes; nothing where they are not SQLite's.
fn header(path: &Path) -> Option<(i32, i32)> {
    let mut header = [0; 100];
    File::open(path).and_then(|mut file| file.read_exact(&mut header)).ok()?;
    let number = |at: usize| header.get(at..at + 4)?.try_into().ok().map(i32::from_be_bytes);
    // https://sqlite.org/fileformat.html#the_database_header
    header.starts_with(b"SQLite format 3\0").then_some((number(68)?, number(60)?))
}

/// What a file says it is, and the number of its schema.
pub(crate) fn identity(connection: &Connection) -> Result<(i32, i32), rusqlite::Error> {
    let application = connection.pragma_query_value(None, "application_id", |row| row.get(0))?;
    Ok((application, connection.pragma_query_value(None, "user_version", |row| row.get(0))?))
}

/// The URI of an absolute path for a file that is only looked at.
fn immutable(path: &Path) -> String {
    use std::fmt::Write;
    let mut uri = String::from("file:");
    for byte in bytes_of(path) {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => uri.push(char::from(byte)),
            _ => drop(write!(uri, "%{byte:02x}")),
        }
    }
    uri + "?immutable=1"
}

#[cfg(unix)]
fn bytes_of(path: &Path) -> Vec<u8> {
    use std::os::unix::ffi::OsStrExt;
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(not(unix))]
fn bytes_of(path: &Path) -> Vec<u8> {
    format!("/{}", path.to_string_lossy().replace('\\', "/")).into_bytes()
}
