//! Copies of stores, for tests.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

/// Copies a folder with everything in it; zeros at the end of a file take no time.
pub(crate) fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        let copy = to.join(entry.file_name());
        if entry.file_type().unwrap().is_dir() {
            self::copy(&entry.path(), &copy);
        } else {
            copy_file(&entry.path(), &copy);
        }
    }
}

fn copy_file(from: &Path, to: &Path) {
    const PIECE: usize = 1 << 16;
    let (mut from, mut to) = (File::open(from).unwrap(), File::create(to).unwrap());
    let mut piece = Vec::with_capacity(PIECE);
    while Read::by_ref(&mut from).take(PIECE as u64).read_to_end(&mut piece).unwrap() > 0 {
        if piece.iter().all(|byte| *byte == 0) {
            to.seek(SeekFrom::Current(piece.len().try_into().unwrap())).unwrap();
        } else {
            to.write_all(&piece).unwrap();
        }
        piece.clear();
    }
    let length = from.stream_position().unwrap();
    to.set_len(length).unwrap();
}
