//! Where everything is in a store's folder. Must never lead out of it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::disk::Disk;
use crate::names;

/// The folder in a store's folder in which all is that is no record.
pub(crate) const OWN: &str = ".stash";
/// What that is called until a new store is whole.
pub(crate) const UNFINISHED: &str = ".stash-unfinished";
/// The file beside it that the store's owner has locked.
pub(crate) const LOCK: &str = ".stash-lock";
/// In `.stash`: what the store is.
pub(crate) const FORMAT: &str = "format";
/// In `.stash`: what the files hold, and all that has none.
pub(crate) const INDEX: &str = "index";
/// In `.stash`: commits.
pub(crate) const JOURNAL: &str = "journal";
/// In `.stash`: files that somebody still reads and that have no name any more.
pub(crate) const OLD: &str = "old";
/// In `.stash`: files that are being written.
pub(crate) const TEMPORARY: &str = "tmp";

/// The folder of a store.
#[derive(Debug, Clone)]
pub(crate) struct Root {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    own: PathBuf,
}

impl Root {
    pub(crate) fn new(disk: Arc<dyn Disk>, path: &Path) -> Self {
        Self { disk, path: path.to_owned(), own: path.join(OWN) }
    }

    /// The same store while it is made.
    pub(crate) fn unfinished(&self) -> Self {
        Self { own: self.path.join(UNFINISHED), ..self.clone() }
    }

    pub(crate) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }

    pub(crate) fn shared_disk(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.disk)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// The folder `.stash`, or what it is called until it is whole.
    pub(crate) fn own(&self) -> &Path {
        &self.own
    }

    /// A folder or file in `.stash`.
    pub(crate) fn part(&self, name: &str) -> PathBuf {
        self.own.join(name)
    }

    /// A file in a folder of `.stash` that has a number.
    pub(crate) fn numbered(&self, folder: &str, number: u64) -> PathBuf {
        let mut path = self.own.join(folder);
        // In the order of their names, for those who look.
        path.push(format!("{number:012}"));
        path
    }

    /// A folder or file of records.
    pub(crate) fn below(&self, relative: &str) -> PathBuf {
        let mut path = PathBuf::with_capacity(self.path.as_os_str().len() + relative.len() + 1);
        path.push(&self.path);
        // Not every system takes `/`.
        match std::path::MAIN_SEPARATOR {
            '/' => path.push(relative),
            _ => path.extend(relative.split('/')),
        }
        path
    }

    /// The file of a record.
    pub(crate) fn record(&self, key: &[u8]) -> PathBuf {
        // Only records have one; without a name it would be a folder.
        self.below(names::record_path(key).as_ref().map_or(OWN, |path| path.as_str()))
    }

    /// The numbered files in a folder of `.stash`, in order. What has another name is somebody else's.
    pub(crate) fn numbers(&self, folder: &str) -> std::io::Result<Vec<u64>> {
        let names = self.disk.list(&self.own.join(folder))?;
        let mut numbers: Vec<u64> = names.iter().filter_map(|name| number(name)).collect();
        numbers.sort_unstable();
        Ok(numbers)
    }
}

fn number(name: &str) -> Option<u64> {
    let digits = name.len() >= 12 && name.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| name.parse().ok()).flatten()
}
