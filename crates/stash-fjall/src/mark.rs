//! The mark of a store: a random key that every commit writes, by which its commits are told from values that look like
//! some. Must never be shown to anybody: whoever knew it could make a store be refused after a crash.

use std::fs::{self, File, OpenOptions};
use std::hash::{BuildHasher, RandomState};
use std::io::{self, Write};
use std::path::Path;

use xxhash_rust::xxh3::xxh3_128;

/// The file in the database's folder: the mark, and its checksum, little-endian.
pub(crate) const FILE: &str = "mark";

const BYTES: usize = 16;

/// The random key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark([u8; BYTES]);

impl Mark {
    /// Makes one for a new store, and the file.
    pub(crate) fn make(folder: &Path) -> io::Result<()> {
        // The keys of the standard library's hashers are the operating system's random numbers.
        let random = || u128::from(RandomState::new().hash_one(0_u8));
        let mark = ((random() << 64) | random()).to_le_bytes();
        let mut open = OpenOptions::new();
        open.write(true).create_new(true);
        #[cfg(unix)]
        {
            use std::os::unix::fs::OpenOptionsExt;
            open.mode(0o600);
        }
        let mut file: File = open.open(folder.join(FILE))?;
        file.write_all(&[mark, xxh3_128(&mark).to_le_bytes()].concat())
    }

    /// The mark of a store; `None` where it is not what was written.
    pub(crate) fn read(folder: &Path) -> io::Result<Option<Self>> {
        let bytes = match fs::read(folder.join(FILE)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            read => read?,
        };
        let whole = bytes.split_first_chunk::<BYTES>();
        Ok(whole.filter(|(mark, sum)| *sum == xxh3_128(*mark).to_le_bytes()).map(|(mark, _)| Self(*mark)))
    }

    pub(crate) fn key(&self) -> &[u8] {
        &self.0
    }
}
