//! The file that says what a store is: its format's number, and its mark. Must never be taken for well where it is not.

use std::fmt::Write;
use std::hash::{BuildHasher, RandomState};
use std::io;

use xxhash_rust::xxh3::xxh3_64;

use crate::error::{At, Unfit};
use crate::log::Mark;
use crate::root::{FORMAT, Root};

const BEGIN: &str =
    "A store of Stash. The files beside this folder are its records; what is in here is not for editing.\n";
const NUMBER: u32 = 1;
/// Much more than it has.
const MOST_BYTES: u64 = 4096;

/// A mark for a new store.
pub(crate) fn new_mark() -> Mark {
    // The keys of the standard library's hashers are the operating system's random numbers.
    RandomState::new().hash_one(0_u8).to_be_bytes()
}

/// Makes the file; its name is the caller's to sync.
pub(crate) fn write(root: &Root, mark: Mark) -> io::Result<()> {
    let file = root.disk().create(&root.part(FORMAT))?;
    file.append(text(mark).as_bytes())?;
    file.sync()
}

/// The mark of a store.
pub(crate) fn read(root: &Root) -> Result<Mark, Unfit> {
    let path = root.part(FORMAT);
    let mut bytes = Vec::new();
    match root.disk().read(&path, MOST_BYTES, &mut bytes) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        read => read.at("reading", path.display())?,
    }
    // An editor, or git, may have given its lines other ends.
    let found = String::from_utf8_lossy(&bytes).replace("\r\n", "\n");
    let value = |name: &str| found.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let number = value("format ").and_then(|number| number.parse::<u32>().ok());
    if let Some(newer) = number.filter(|number| *number > NUMBER) {
        return Err(Unfit::Damaged(format!("it is of the files' format {newer}; use a newer Stash")));
    }
    let mark = value("mark ").and_then(|mark| u64::from_str_radix(mark, 16).ok()).map(u64::to_be_bytes);
    mark.filter(|mark| text(*mark) == found)
        .ok_or_else(|| Unfit::Damaged(format!("{} is missing, or not what it was", path.display())))
}

fn text(mark: Mark) -> String {
    let mut text = format!("{BEGIN}format {NUMBER}\nmark {:016x}\n", u64::from_be_bytes(mark));
    let checksum = xxh3_64(text.as_bytes());
    // Writing to a string does not fail.
    let _ = writeln!(text, "checksum {checksum:016x}");
    text
}
