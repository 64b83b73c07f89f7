//! Folders that a store's name lives in: made so that a power cut does not forget them. Never touches a file in one.

use std::fs::{self, File, Metadata};
use std::io;
use std::path::{Path, PathBuf};

/// What a path's last link leads to, whether or not it is there: a store is made beside its own name.
pub fn without_links(path: &Path) -> PathBuf {
    const LINKS: usize = 40;
    let mut path = path.to_owned();
    for _ in 0..LINKS {
        match fs::read_link(&path) {
            Ok(target) => path = of(&path).join(target),
            Err(_) => break,
        }
    }
    path
}

/// The folder that `path` is in.
pub fn of(path: &Path) -> &Path {
    path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes a folder and those above it, each remembered by its parent.
///
/// # Errors
/// Those of the file system.
pub fn make(folder: &Path) -> io::Result<()> {
    if folder.is_dir() {
        return Ok(());
    }
    let parent = of(folder);
    make(parent)?;
    match fs::create_dir(folder) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !folder.is_dir() => return Err(error),
        _ => {}
    }
    sync(parent)
}

/// Makes the disk remember the names in a folder.
///
/// # Errors
/// Those of the file system.
#[cfg(unix)]
pub fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

/// Makes the disk remember the names in a folder, where the system lets a program ask for that.
///
/// # Errors
/// None here.
#[cfg(not(unix))]
pub fn sync(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Which file it is, whatever its name; nothing where the system does not tell.
pub type Identity = Option<(u64, u64)>;

/// Which file this is about.
#[cfg(unix)]
pub fn identity(found: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt;
    Some((found.dev(), found.ino()))
}

/// Which file this is about.
#[cfg(not(unix))]
pub fn identity(_: &Metadata) -> Identity {
    None
}
