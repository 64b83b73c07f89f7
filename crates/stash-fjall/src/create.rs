//! Making a store whole: under another name inside its folder, synced, then given its name. Must never touch a folder
//! that holds anything of somebody else's, and never leave a half-made store under the store's name.

use std::fs::{self, DirBuilder, File};
use std::io;
use std::path::Path;

use stash_group_commit::{folder, unless_it_panics};

use crate::database::Database;
use crate::error::OpenError;
use crate::journal;
use crate::mark::Mark;
use crate::open::{DATABASE, FjallOptions, LOCK};

/// What a store that is being made is called until it is whole.
const UNFINISHED: &str = ".stash-unfinished";

/// Makes the store's folder, and those above it.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let parent = folder::of(path);
    folder::make(parent)?;
    match private().create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    folder::sync(parent)
}

/// Whether a store may be made in this folder: nothing is in it but what another try has left, and what a file system
/// has put at its root.
pub(crate) fn check_free(path: &Path) -> Result<(), OpenError> {
    let entries = fs::read_dir(path).map_err(|error| OpenError::os(path, &error))?;
    for entry in entries {
        let entry = entry.map_err(|error| OpenError::os(path, &error))?;
        let name = entry.file_name();
        let found = entry.metadata().map_err(|error| OpenError::os(path, &error))?;
        let lock = name == LOCK && found.is_file() && found.len() == 0;
        if !lock && name != UNFINISHED && name != "lost+found" {
            let name = name.to_string_lossy();
            return Err(OpenError::not_a_store(path, format!("the folder holds something else ('{name}')")));
        }
    }
    Ok(())
}

/// Makes an empty store in its folder. The caller has its lock.
pub(crate) fn make_store(path: &Path, options: &FjallOptions) -> Result<(), OpenError> {
    let unfinished = path.join(UNFINISHED);
    let failed = |error: io::Error| OpenError::os(path, &error);
    match fs::remove_dir_all(&unfinished) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    private().create(&unfinished).map_err(failed)?;
    unless_it_panics(|| Database::make(&unfinished, options))
        .map_err(|reason| OpenError::io(path, reason))?
        .map_err(|error| OpenError::of_fjall(path, error))?;
    Mark::make(&unfinished).and_then(|()| journal::shorten(&unfinished)).map_err(failed)?;
    sync_all(&unfinished).map_err(failed)?;
    fs::rename(&unfinished, path.join(DATABASE)).map_err(failed)?;
    folder::sync(path).map_err(failed)
}

/// Components' data is nobody else's on this machine.
fn private() -> DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
}

/// Makes the disk remember a folder with everything in it.
fn sync_all(path: &Path) -> io::Result<()> {
    for entry in fs::read_dir(path)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            sync_all(&entry.path())?;
        } else {
            File::options().read(true).write(true).open(entry.path())?.sync_all()?;
        }
    }
    folder::sync(path)
}
