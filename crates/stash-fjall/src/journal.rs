//! Looks through fjall's journals before fjall does. fjall ends a journal at the first byte that it cannot read, which
//! silently drops all that follows damage, and refuses a store whose last commit a power cut has torn. Here damage is
//! refused, and what is torn is cut off. Must never cut off a commit that was answered.
//!
//! Commits are fsynced one by one, so a power cut tears only the last; where a whole commit follows the place that cannot
//! be read, something that had been on the disk has changed. A value can be made to look like a commit, but for the
//! store's mark, which every commit has.
//!
//! A journal is a row of batches, then zeros or nothing; numbers are little-endian:
//!
//! ```text
//! 01 items:4 sequence-number:8                                                     a batch begins
//! 02 kind:1 compression:1 keyspace:8 key-length:2 length:4 stored-length:4 key value    an item
//! 04 keyspace:8                                                                    a keyspace is emptied
//! 03 checksum:8 "FJL" 03                                                           it ends: XXH3 of its items
//! ```

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::Xxh3;

use crate::mark::Mark;

const BEGIN: u8 = 1;
const ITEM: u8 = 2;
const END: u8 = 3;
const CLEAR: u8 = 4;
const TRAILER: &[u8] = b"FJL\x03";
static ZEROS: [u8; 1 << 16] = [0; 1 << 16];

/// Why the journals cannot be used.
pub(crate) enum Unfit {
    Damaged(String),
    Io(io::Error),
}

impl From<io::Error> for Unfit {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Checks all journals in `folder`, cuts off what a power cut has torn, and gives the path of the last.
pub(crate) fn repair(folder: &Path, mark: &Mark) -> Result<PathBuf, Unfit> {
    let mut journals = list(folder)?;
    let Some((_, last)) = journals.pop() else {
        return Err(Unfit::Damaged("its journal is missing".to_owned()));
    };
    for (_, path) in &journals {
        // They were whole before the next was begun.
        if let Ending::Torn { at } = ending(path, mark)? {
            return Err(damaged(path, at));
        }
    }
    if let Ending::Torn { at } = ending(&last, mark)? {
        tracing::warn!(journal = %last.display(), at, "a commit that was not finished is cut off");
        let file = OpenOptions::new().write(true).open(&last)?;
        file.set_len(at)?;
        file.sync_all()?;
    }
    Ok(last)
}

/// Makes a journal that nothing was written to as long as that. fjall makes it long, and short when it opens it again.
pub(crate) fn shorten(folder: &Path) -> io::Result<()> {
    OpenOptions::new().write(true).open(folder.join("0.jnl"))?.set_len(0)
}

/// Writes a journal anew. Where an fsync has failed, what can be read of it may be in memory alone, and no later fsync
/// would write it.
pub(crate) fn rewrite(journal: &Path) -> io::Result<()> {
    let mut name = journal.as_os_str().to_owned();
    name.push(".again");
    let again = PathBuf::from(name);
    let mut to = File::create(&again)?;
    io::copy(&mut File::open(journal)?, &mut to)?;
    to.set_permissions(fs::metadata(journal)?.permissions())?;
    to.sync_all()?;
    fs::rename(&again, journal)?;
    stash_group_commit::folder::sync(stash_group_commit::folder::of(journal))
}

/// The journals, the oldest first.
fn list(folder: &Path) -> Result<Vec<(u64, PathBuf)>, Unfit> {
    let mut journals = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if !Path::new(&*name).extension().is_some_and(|end| end.eq_ignore_ascii_case("jnl")) {
            continue;
        }
        match name.strip_suffix(".jnl").and_then(|number| number.parse().ok()) {
            Some(number) if entry.file_type()?.is_file() => journals.push((number, entry.path())),
            _ => return Err(Unfit::Damaged(format!("'{name}' is no journal of its"))),
        }
    }
    journals.sort_unstable();
    Ok(journals)
}

fn damaged(path: &Path, at: u64) -> Unfit {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    Unfit::Damaged(format!(
        "its journal {name} is damaged at byte {at}, and what was committed after that would be lost"
    ))
}

/// How a journal ends.
enum Ending {
    /// With a whole batch.
    Whole,
    /// With a part of one, which begins here.
    Torn { at: u64 },
}

fn ending(path: &Path, mark: &Mark) -> Result<Ending, Unfit> {
    let file = File::open(path)?;
    let bytes = file.metadata()?.len();
    let mut reader = BufReader::with_capacity(1 << 16, file);
    let (mut at, mut last) = (0_u64, None);
    while let Some(batch) = read_batch(&mut reader, bytes - at, mark)? {
        at += batch.bytes;
        last = Some(batch.number);
    }
    reader.seek(SeekFrom::Start(at))?;
    let mut rest = Vec::new();
    loop {
        let from = rest.len();
        if reader.by_ref().take(ZEROS.len() as u64).read_to_end(&mut rest)? == 0 {
            break;
        }
        // Journals are made long, with zeros. Compared as a whole, which is quick.
        if from == 0 && ZEROS.starts_with(&rest) {
            rest.clear();
        }
    }
    let used = rest.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    rest.truncate(used);
    if rest.is_empty() {
        return Ok(Ending::Whole);
    }
    if holds_later_batch(&rest, last, mark)? { Err(damaged(path, at)) } else { Ok(Ending::Torn { at }) }
}

/// Whether a whole batch of this store with a number above `last` begins after the first byte of `rest`.
fn holds_later_batch(rest: &[u8], last: Option<u64>, mark: &Mark) -> io::Result<bool> {
    // Values can be made to look like a great many batches.
    let mut budget = rest.len().saturating_mul(64);
    for (at, first) in rest.iter().enumerate().skip(1) {
        let candidate = rest.get(at..).unwrap_or_default();
        // Most bytes are refused by their first, and most of the others here.
        if *first != BEGIN || !candidate.get(13).is_some_and(|tag| [ITEM, CLEAR].contains(tag)) {
            continue;
        }
        let mut reader = candidate;
        let batch = read_batch(&mut reader, candidate.len() as u64, mark)?;
        let Some(left) = budget.checked_sub(candidate.len() - reader.len()) else { break };
        budget = left;
        if batch.is_some_and(|batch| batch.marked && last.is_none_or(|last| batch.number > last)) {
            return Ok(true);
        }
    }
    Ok(false)
}

struct Batch {
    bytes: u64,
    number: u64,
    marked: bool,
}

/// The batch that begins here, if a whole one does.
fn read_batch(reader: &mut impl Read, left: u64, mark: &Mark) -> io::Result<Option<Batch>> {
    match Batch::read(reader, left, mark) {
        Ok(batch) => Ok(Some(batch)),
        Err(error) if matches!(error.kind(), io::ErrorKind::UnexpectedEof | io::ErrorKind::InvalidData) => Ok(None),
        Err(error) => Err(error),
    }
}

impl Batch {
    fn read(reader: &mut impl Read, left: u64, mark: &Mark) -> io::Result<Self> {
        let mut input = Hashed { reader, hash: Xxh3::new(), left, bytes: 0 };
        let begin: [u8; 1] = input.take()?;
        let (items, number): ([u8; 4], [u8; 8]) = (input.take()?, input.take()?);
        if begin != [BEGIN] {
            return Err(io::ErrorKind::InvalidData.into());
        }
        input.hash.reset();
        let (mut key, mut marked) = (Vec::new(), false);
        for _ in 0..u32::from_le_bytes(items) {
            match input.take()? {
                [ITEM] => {
                    let _kind_compression_keyspace: [u8; 10] = input.take()?;
                    let (key_bytes, _length, stored): ([u8; 2], [u8; 4], [u8; 4]) =
                        (input.take()?, input.take()?, input.take()?);
                    input.take_into(&mut key, usize::from(u16::from_le_bytes(key_bytes)))?;
                    marked |= key == mark.key();
                    input.skip(u64::from(u32::from_le_bytes(stored)))?;
                }
                [CLEAR] => input.skip(8)?,
                _ => return Err(io::ErrorKind::InvalidData.into()),
            }
        }
        let checksum = input.hash.digest();
        let end: [u8; 1] = input.take()?;
        let (expected, trailer): ([u8; 8], [u8; 4]) = (input.take()?, input.take()?);
        if end != [END] || u64::from_le_bytes(expected) != checksum || trailer != TRAILER {
            return Err(io::ErrorKind::InvalidData.into());
        }
        Ok(Self { bytes: input.bytes, number: u64::from_le_bytes(number), marked })
    }
}

/// Reads and hashes, and no further than there is.
struct Hashed<'a, R> {
    reader: &'a mut R,
    hash: Xxh3,
    left: u64,
    bytes: u64,
}

impl<R: Read> Hashed<'_, R> {
    fn count(&mut self, bytes: u64) -> io::Result<()> {
        self.left = self.left.checked_sub(bytes).ok_or(io::ErrorKind::UnexpectedEof)?;
        self.bytes += bytes;
        Ok(())
    }

    fn take<const N: usize>(&mut self) -> io::Result<[u8; N]> {
        self.count(N as u64)?;
        let mut bytes = [0; N];
        self.reader.read_exact(&mut bytes)?;
        self.hash.update(&bytes);
        Ok(bytes)
    }

    fn take_into(&mut self, buffer: &mut Vec<u8>, bytes: usize) -> io::Result<()> {
        self.count(bytes as u64)?;
        buffer.resize(bytes, 0);
        self.reader.read_exact(buffer)?;
        self.hash.update(buffer);
        Ok(())
    }

    fn skip(&mut self, bytes: u64) -> io::Result<()> {
        self.count(bytes)?;
        let mut hashing = Hashing(&mut self.hash);
        let copied = io::copy(&mut self.reader.take(bytes), &mut hashing)?;
        if copied == bytes { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }
}

struct Hashing<'a>(&'a mut Xxh3);

impl Write for Hashing<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
