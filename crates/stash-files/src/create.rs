//! Making a store whole: under another name inside its folder, synced, then given its name. Must never touch a folder that
//! holds anything of somebody else's, and never leave a half-made store under the store's name.

use std::fs;
use std::io;
use std::path::Path;

use stash_group_commit::folder;

use crate::apply::empty;
use crate::disk::private_folder;
use crate::error::{At, OpenError, Unfit};
use crate::format;
use crate::index::Index;
use crate::log::{Kind, Log};
use crate::root::{INDEX, JOURNAL, LOCK, OLD, Root, TEMPORARY, UNFINISHED};

/// Makes the store's folder, and those above it.
pub(crate) fn make_folder(path: &Path) -> io::Result<()> {
    let parent = folder::of(path);
    folder::make(parent)?;
    match private_folder().create(path) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
        made => made?,
    }
    folder::sync(parent)
}

/// What may be in a folder that becomes a store: what another try has left, what keeps the folder's history or copies, and
/// what systems put into folders.
const BESIDE: [&str; 16] = [
    LOCK,
    UNFINISHED,
    ".git",
    ".gitignore",
    ".gitattributes",
    ".hg",
    ".hgignore",
    ".jj",
    ".stfolder",
    ".stignore",
    ".DS_Store",
    ".fseventsd",
    ".Spotlight-V100",
    ".Trashes",
    "System Volume Information",
    "lost+found",
];

/// Whether a store may be made in this folder: nothing is in it that is not of these.
pub(crate) fn check_free(path: &Path) -> Result<(), OpenError> {
    let entries = fs::read_dir(path).map_err(|error| OpenError::os(path, &error))?;
    for entry in entries {
        let name = entry.map_err(|error| OpenError::os(path, &error))?.file_name();
        let name = name.to_string_lossy();
        if !BESIDE.contains(&&*name) {
            return Err(OpenError::not_a_store(path, format!("the folder holds something else ('{name}')")));
        }
    }
    Ok(())
}

/// Makes an empty store in its folder. The caller has its lock.
pub(crate) fn make_store(root: &Root) -> Result<(), Unfit> {
    let (unfinished, disk) = (root.unfinished(), root.disk());
    let folders = [INDEX, JOURNAL, OLD, TEMPORARY];
    let make = |path: &Path| disk.create_folder(path).at("making", path.display());
    make(unfinished.own())?;
    for folder in folders {
        empty(&unfinished, folder)?;
    }
    let mark = format::new_mark();
    let write = || -> io::Result<()> {
        format::write(&unfinished, mark)?;
        Index::make(&unfinished, mark)?;
        Log::create(disk, &unfinished.numbered(JOURNAL, 1), Kind::Journal, mark, 1)?;
        for folder in [INDEX, JOURNAL] {
            disk.sync_folder(&unfinished.part(folder))?;
        }
        disk.sync_folder(unfinished.own())?;
        // That it has this name is remembered when it is opened.
        disk.rename(unfinished.own(), root.own())
    };
    write().at("making", root.own().display())
}
