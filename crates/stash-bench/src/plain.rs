//! redb without Stash, with the settings that Stash uses: what a user would write who needs a durable map.

use std::path::Path;

use anyhow::Result;
use redb::{Database, Durability, ReadOnlyTable, ReadableDatabase, TableDefinition, WriteTransaction};
use stash_core::keyspace::KeySpace;
use stash_redb::RedbOptions;

use crate::records;

type Bytes = &'static [u8];

const TABLE: TableDefinition<'static, Bytes, Bytes> = TableDefinition::new("plain");

/// A redb file with the same records as a Stash store, under the same keys.
#[derive(Debug)]
pub struct Plain {
    database: Database,
}

impl Plain {
    /// Makes and fills the file.
    ///
    /// # Errors
    /// redb's.
    pub fn create(path: &Path) -> Result<Self> {
        let cache = RedbOptions::default().page_cache_bytes;
        let plain = Self { database: redb::Builder::new().set_cache_size(cache).create(path)? };
        for (id, count) in records::components() {
            for chunk in (0..count).collect::<Vec<_>>().chunks(1000) {
                let writing = plain.begin()?;
                for n in chunk {
                    let key = format!("{}{}", id.key_prefix(), records::key(*n));
                    writing.open_table(TABLE)?.insert(&KeySpace::Record.key(&key)[..], &records::value(*n)[..])?;
                }
                writing.commit()?;
            }
        }
        Ok(plain)
    }

    fn begin(&self) -> Result<WriteTransaction> {
        let mut writing = self.database.begin_write()?;
        writing.set_durability(Durability::Immediate)?;
        writing.set_quick_repair(true);
        Ok(writing)
    }

    /// One put, one durable commit.
    ///
    /// # Errors
    /// redb's.
    pub fn put(&self, key: &[u8], value: &[u8]) -> Result<()> {
        let writing = self.begin()?;
        writing.open_table(TABLE)?.insert(key, value)?;
        Ok(writing.commit()?)
    }

    /// Many puts, one durable commit.
    ///
    /// # Errors
    /// redb's.
    pub fn put_many(&self, puts: impl Iterator<Item = (Vec<u8>, Vec<u8>)>) -> Result<()> {
        let writing = self.begin()?;
        {
            let mut table = writing.open_table(TABLE)?;
            for (key, value) in puts {
                table.insert(&key[..], &value[..])?;
            }
        }
        Ok(writing.commit()?)
    }

    /// A table to read from, kept open.
    ///
    /// # Errors
    /// redb's.
    pub fn table(&self) -> Result<ReadOnlyTable<Bytes, Bytes>> {
        Ok(self.database.begin_read()?.open_table(TABLE)?)
    }
}
