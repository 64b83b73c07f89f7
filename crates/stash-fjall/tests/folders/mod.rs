//! Copies of stores, for tests.

use std::fs::{self, File};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// Copies a folder with everything in it as it was at one moment: what is done in the background meanwhile would make the
/// copy one that no crash can leave.
pub(crate) fn copy(from: &Path, to: &Path) {
    loop {
        let before = listing(from);
        if copy_folder(from, to).is_ok() && before.is_ok() && before.unwrap() == listing(from).unwrap_or_default() {
            return;
        }
        fs::remove_dir_all(to).unwrap();
    }
}

/// Every file, how long it is, and when it was written to.
fn listing(folder: &Path) -> io::Result<Vec<(PathBuf, u64, SystemTime)>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let found = entry.metadata()?;
        if found.is_dir() {
            files.extend(listing(&entry.path())?);
        }
        files.push((entry.path(), found.len(), found.modified()?));
    }
    files.sort();
    Ok(files)
}

fn copy_folder(from: &Path, to: &Path) -> io::Result<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        if entry.file_type()?.is_dir() {
            copy_folder(&entry.path(), &copy)?;
        } else {
            copy_file(&entry.path(), &copy)?;
        }
    }
    Ok(())
}

/// Zeros take no room: journals are made long, with zeros.
fn copy_file(from: &Path, to: &Path) -> io::Result<()> {
    const PIECE: usize = 1 << 16;
    static ZEROS: [u8; PIECE] = [0; PIECE];
    let (mut from, mut to) = (File::open(from)?, File::create(to)?);
    let mut piece = Vec::with_capacity(PIECE);
    while Read::by_ref(&mut from).take(PIECE as u64).read_to_end(&mut piece)? > 0 {
        if ZEROS.starts_with(&piece) {
            to.seek(SeekFrom::Current(piece.len().try_into().unwrap()))?;
        } else {
            to.write_all(&piece)?;
        }
        piece.clear();
    }
    to.set_len(from.stream_position()?)
}
