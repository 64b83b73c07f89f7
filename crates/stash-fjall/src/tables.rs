//! Looks at the list of tables and at their ends before fjall does. fjall keeps the list's checksum and does not look at
//! it, so that with a wrong number in it, it would take what is in the journal for what is in a table; and it makes room
//! for what a table's contents say before it checks those, which can end the process. Must never look at a table that is
//! not in the list: a crash leaves such ones half written, and fjall removes them.
//!
//! The list and the tables are archives; numbers are little-endian:
//!
//! ```text
//! sections… "TOC!" sections:4 (position:8 length:8 name-length:2 name)… "SFA!" 01 00 checksum:16 position:8 length:8
//! ```
//!
//! where the checksum is the XXH3 of the contents, which begin at the position. In the list, the section `tables` is
//!
//! ```text
//! levels:1 (runs:1 (tables:4 (number:8 00 checksum:16 sequence-number:8)…)…)…
//! ```

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// Checks the list of tables in a keyspace's folder, and the tables in it. `None` where they are what was written,
/// otherwise what is not.
pub(crate) fn check(keyspace: &Path) -> io::Result<Option<String>> {
    let Some(list) = read_list(keyspace)? else {
        return Ok(Some("the list of tables".to_owned()));
    };
    let Some(tables) = tables_in(&list) else {
        return Ok(Some("the list of tables".to_owned()));
    };
    for table in tables {
        let whole = match File::open(keyspace.join("tables").join(table.to_string())) {
            Ok(mut file) => contents(&mut file)?.is_some(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            Err(error) => return Err(error),
        };
        if !whole {
            return Ok(Some(format!("table {table}")));
        }
    }
    Ok(None)
}

/// The list that `current` names, if it has the checksum that is there.
fn read_list(keyspace: &Path) -> io::Result<Option<Vec<u8>>> {
    let read = |name: &str| match fs::read(keyspace.join(name)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        read => read.map(Some),
    };
    let Some(current) = read("current")? else { return Ok(None) };
    let mut current = Fields(&current);
    let (Some(number), Some(checksum), Some([0])) = (current.number(), current.take::<16>(), current.take::<1>())
    else {
        return Ok(None);
    };
    let list = read(&format!("v{number}"))?;
    Ok(list.filter(|list| xxh3_128(list) == u128::from_le_bytes(checksum)))
}

/// The numbers of all tables in a list.
fn tables_in(list: &[u8]) -> Option<Vec<u64>> {
    let contents = contents(&mut io::Cursor::new(list)).ok()??;
    let mut fields = Fields(&contents);
    for _ in 0..fields.count()? {
        let (position, length, name) = (fields.number()?, fields.number()?, fields.take::<2>()?);
        if fields.bytes(u16::from_le_bytes(name).into())? != b"tables" {
            continue;
        }
        let mut section = Fields(list);
        section.bytes(usize::try_from(position).ok()?)?;
        let mut section = Fields(section.bytes(usize::try_from(length).ok()?)?);
        let mut tables = Vec::new();
        let [levels] = section.take()?;
        for _ in 0..levels {
            let [runs] = section.take()?;
            for _ in 0..runs {
                for _ in 0..section.count()? {
                    tables.push(section.number()?);
                    section.bytes(1 + 16 + 8)?;
                }
            }
        }
        return Some(tables);
    }
    None
}

/// What an archive says is in it, from the number of its sections on; `None` where that is not what was written.
fn contents(archive: &mut (impl Read + Seek)) -> io::Result<Option<Vec<u8>>> {
    const TRAILER: usize = 4 + 1 + 1 + 16 + 8 + 8;
    /// Much more than a table's few sections take.
    const MOST: u64 = 1 << 16;
    let Some(end) = archive.seek(SeekFrom::End(0))?.checked_sub(TRAILER as u64) else { return Ok(None) };
    archive.seek(SeekFrom::Start(end))?;
    let mut trailer = [0; TRAILER];
    archive.read_exact(&mut trailer)?;
    let mut fields = Fields(&trailer);
    let (Some(b"SFA!\x01\x00"), Some(checksum), Some(position)) =
        (fields.bytes(6), fields.take::<16>(), fields.number())
    else {
        return Ok(None);
    };
    let Some(length) = end.checked_sub(position).filter(|length| *length <= MOST) else { return Ok(None) };
    archive.seek(SeekFrom::Start(position))?;
    let mut contents = Vec::new();
    archive.take(length).read_to_end(&mut contents)?;
    let whole = xxh3_128(&contents) == u128::from_le_bytes(checksum);
    Ok(contents.strip_prefix(b"TOC!").filter(|_| whole).map(<[u8]>::to_vec))
}

/// Bytes that are taken from the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn bytes(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.0.split_at_checked(bytes)?;
        self.0 = rest;
        Some(taken)
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        self.bytes(N)?.try_into().ok()
    }

    fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_le_bytes)
    }

    fn count(&mut self) -> Option<u32> {
        self.take().map(u32::from_le_bytes)
    }
}
