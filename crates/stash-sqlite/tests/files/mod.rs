//! Copies of stores, for tests.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The path with something after its name.
pub(crate) fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Copies a store that nobody is writing to as a crash would leave it: its file and its log. By another program: this one
/// would let go of SQLite's locks when it closes the file.
pub(crate) fn copy(from: &Path, to: &Path) {
    for ending in ["", "-wal"] {
        let from = beside(from, ending);
        if from.exists() {
            let done = Command::new("cp").arg(&from).arg(beside(to, ending)).status().unwrap();
            assert!(done.success(), "cp {}", from.display());
        }
    }
}
