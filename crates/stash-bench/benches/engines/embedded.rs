//! Engines that are a library and a file or folder, by hand, each with the settings that make `Ok` durable.

use std::fs::{self, File};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use fjall::{KeyspaceCreateOptions, PersistMode};
use parking_lot::Mutex;
use redb::{Durability, ReadableDatabase, ReadableTable, TableDefinition};
use rusqlite::{Connection, OptionalExtension};
use stash_redb::RedbOptions;

use crate::by_hand::{ByHand, Entry};

/// The schemes of these engines.
pub(crate) const NAMES: [&str; 4] = ["redb", "fjall", "sqlite", "files"];

const TABLE: TableDefinition<'static, &str, &[u8]> = TableDefinition::new("by-hand");

#[derive(Clone)]
pub(crate) struct Redb(Arc<redb::Database>);

impl Redb {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let cache = RedbOptions::default().page_cache_bytes;
        Ok(Self(Arc::new(redb::Builder::new().set_cache_size(cache).create(path)?)))
    }

    fn write(&self, entries: &[Entry], reads: bool) -> Result<()> {
        let mut writing = self.0.begin_write()?;
        writing.set_durability(Durability::Immediate)?;
        writing.set_quick_repair(true);
        {
            let mut table = writing.open_table(TABLE)?;
            for (key, value) in entries {
                if reads {
                    std::hint::black_box(table.get(key.as_str())?.map(|found| found.value().to_vec()));
                }
                table.insert(key.as_str(), value.as_slice())?;
            }
        }
        Ok(writing.commit()?)
    }
}

impl ByHand for Redb {
    const CLIENT: &'static str = "redb by hand: one table, quick repair";

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        Ok(table.get(key.as_str())?.map(|value| value.value().to_vec()))
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<()> {
        self.write(&[(key, value)], false)
    }

    async fn replace(&self, key: String, value: Vec<u8>) -> Result<()> {
        // One who writes is alone.
        self.write(&[(key, value)], true)
    }

    async fn batch(&self, entries: Vec<Entry>) -> Result<()> {
        self.write(&entries, false)
    }

    async fn page(&self, start: String, count: usize) -> Result<Vec<Entry>> {
        let table = self.0.begin_read()?.open_table(TABLE)?;
        let mut page = Vec::with_capacity(count);
        for entry in table.range(start.as_str()..)?.take(count) {
            let (key, value) = entry?;
            page.push((key.value().to_owned(), value.value().to_vec()));
        }
        Ok(page)
    }
}

#[derive(Clone)]
pub(crate) struct Fjall {
    database: fjall::Database,
    map: fjall::Keyspace,
    /// One writer at a time, where what was read must still be so.
    writing: Arc<Mutex<()>>,
}

impl Fjall {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let database = fjall::Database::builder(path).open()?;
        let map = database.keyspace("by-hand", KeyspaceCreateOptions::default)?;
        Ok(Self { database, map, writing: Arc::default() })
    }
}

impl ByHand for Fjall {
    const CLIENT: &'static str = "fjall by hand: one keyspace, batches with SyncAll";

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>> {
        Ok(self.map.get(key)?.map(|value| value.to_vec()))
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<()> {
        self.batch(vec![(key, value)]).await
    }

    async fn replace(&self, key: String, value: Vec<u8>) -> Result<()> {
        let _alone = self.writing.lock();
        std::hint::black_box(self.map.get(&key)?);
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        batch.insert(&self.map, key, value);
        Ok(batch.commit()?)
    }

    async fn batch(&self, entries: Vec<Entry>) -> Result<()> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        for (key, value) in entries {
            batch.insert(&self.map, key, value);
        }
        Ok(batch.commit()?)
    }

    async fn page(&self, start: String, count: usize) -> Result<Vec<Entry>> {
        let mut page = Vec::with_capacity(count);
        for entry in self.map.range(start..).take(count) {
            let (key, value) = entry.into_inner()?;
            page.push((String::from_utf8(key.to_vec())?, value.to_vec()));
        }
        Ok(page)
    }
}

#[derive(Clone)]
pub(crate) struct Sqlite(Arc<Mutex<Connection>>);

impl Sqlite {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        let connection = Connection::open(path)?;
        connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(()))?;
        connection.pragma_update(None, "synchronous", "FULL")?;
        connection.pragma_update(None, "cache_size", -131_072)?;
        connection.execute_batch("CREATE TABLE map (key TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID")?;
        Ok(Self(Arc::new(Mutex::new(connection))))
    }
}

const GET: &str = "SELECT value FROM map WHERE key = ?1";
const PUT: &str = "INSERT INTO map VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
const PAGE: &str = "SELECT key, value FROM map WHERE key >= ?1 ORDER BY key LIMIT ?2";

impl ByHand for Sqlite {
    const CLIENT: &'static str = "rusqlite by hand: WAL, FULL, prepared statements";

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>> {
        Ok(self.0.lock().prepare_cached(GET)?.query_row([key], |row| row.get(0)).optional()?)
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<()> {
        self.0.lock().prepare_cached(PUT)?.execute((key, value))?;
        Ok(())
    }

    async fn replace(&self, key: String, value: Vec<u8>) -> Result<()> {
        let mut connection = self.0.lock();
        let transaction = connection.transaction()?;
        let found: Option<Vec<u8>> = transaction.prepare_cached(GET)?.query_row([&key], |row| row.get(0)).optional()?;
        std::hint::black_box(found);
        transaction.prepare_cached(PUT)?.execute((key, value))?;
        Ok(transaction.commit()?)
    }

    async fn batch(&self, entries: Vec<Entry>) -> Result<()> {
        let mut connection = self.0.lock();
        let transaction = connection.transaction()?;
        {
            let mut put = transaction.prepare_cached(PUT)?;
            for entry in entries {
                put.execute(entry)?;
            }
        }
        Ok(transaction.commit()?)
    }

    async fn page(&self, start: String, count: usize) -> Result<Vec<Entry>> {
        let connection = self.0.lock();
        let mut statement = connection.prepare_cached(PAGE)?;
        let rows = statement.query_map((start, i64::try_from(count)?), |row| Ok((row.get(0)?, row.get(1)?)))?;
        Ok(rows.collect::<Result<_, _>>()?)
    }
}

/// A file a record, replaced by a new one that was synced; the names in memory are in order.
#[derive(Clone)]
pub(crate) struct Files {
    folder: Arc<PathBuf>,
    names: Arc<Mutex<std::collections::BTreeSet<String>>>,
}

impl Files {
    pub(crate) fn create(path: &Path) -> Result<Self> {
        fs::create_dir(path)?;
        Ok(Self { folder: Arc::new(path.to_owned()), names: Arc::default() })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    fn write(&self, key: &str, value: &[u8]) -> Result<String> {
        let name = key.replace('/', "%2F");
        let new = self.path(&format!("{name}.new"));
        let mut file = File::create(&new)?;
        file.write_all(value)?;
        file.sync_data()?;
        fs::rename(new, self.path(&name))?;
        Ok(name)
    }
}

impl ByHand for Files {
    const CLIENT: &'static str = "files by hand: written anew, synced, renamed, the folder synced";

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>> {
        match fs::read(self.path(&key.replace('/', "%2F"))) {
            Ok(value) => Ok(Some(value)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<()> {
        let mut names = self.names.lock();
        names.insert(self.write(&key, &value)?);
        Ok(File::open(&*self.folder)?.sync_all()?)
    }

    async fn replace(&self, key: String, value: Vec<u8>) -> Result<()> {
        std::hint::black_box(self.get(key.clone()).await?);
        self.set(key, value).await
    }

    async fn batch(&self, entries: Vec<Entry>) -> Result<()> {
        // All or none is more than anybody writes by hand.
        let mut names = self.names.lock();
        for (key, value) in entries {
            names.insert(self.write(&key, &value)?);
        }
        Ok(File::open(&*self.folder)?.sync_all()?)
    }

    async fn page(&self, start: String, count: usize) -> Result<Vec<Entry>> {
        let names: Vec<String> = self.names.lock().range(start.replace('/', "%2F")..).take(count).cloned().collect();
        names
            .into_iter()
            .map(|name| Ok((name.replace("%2F", "/"), fs::read(self.path(&name)).context(name)?)))
            .collect()
    }
}
