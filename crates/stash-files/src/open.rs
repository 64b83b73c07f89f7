//! Opening the folder: its lock, whether it is a store, and the same store again after an I/O error. Must never make
//! anything in a folder that is not ours.

use std::fs::{File, OpenOptions, TryLockError};
use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use stash_core::StorageError;
use stash_group_commit::{Opener, folder};

use crate::apply::Applier;
use crate::create::{check_free, make_folder, make_store};
use crate::disk::RealDisk;
use crate::error::{At, OpenError, Unfit};
use crate::load::load;
use crate::root::{LOCK, OWN, Root};
use crate::shared::Acknowledged;
use crate::store::Files;

/// How to open a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FilesOptions {
    /// How long after a commit its records are in their files, at the latest. Until then they are in the journal, where they
    /// are as safe, and in memory. Less shows them sooner; more writes a record that is set again and again less often.
    pub apply_after: Duration,
    /// Bytes of commits that may wait to be written to files: they are in memory. Beyond, commits wait.
    pub pending_bytes: usize,
    /// Bytes of journals that are kept although files have what is in them, so that a copy can be made while the store is in
    /// use: it must not take longer than it takes to write so much.
    pub kept_journal_bytes: u64,
}

impl Default for FilesOptions {
    /// A second, 64 MiB, 64 MiB.
    fn default() -> Self {
        Self {
            apply_after: Duration::from_secs(1),
            pending_bytes: 64 * 1024 * 1024,
            kept_journal_bytes: 64 * 1024 * 1024,
        }
    }
}

/// Opens the store in `path`, or makes it; and says how to open that very store again.
pub(crate) fn open_store(path: &Path, options: &FilesOptions) -> Result<(Files, Opener<Files>), OpenError> {
    let path = &folder::without_links(path);
    // The lock is an owner's as long as the opener is.
    let lock = lock(path)?;
    let root = Root::new(Arc::new(RealDisk), path);
    let acknowledged = Arc::new(Acknowledged::default());
    let files = open_on(&root, options, &acknowledged, start).map_err(|unfit| OpenError::of_unfit(path, unfit))?;
    let identity = identity(&root).map_err(|unfit| OpenError::of_unfit(path, unfit))?;
    let options = options.clone();
    let again = move || -> Result<Files, Unfit> {
        let _owned = &lock;
        // Never a new store, nor one that has taken the place of ours: what was acknowledged is in ours.
        if self::identity(&root)? != identity {
            let error = io::Error::other("another store has taken its place; start again with the right one");
            return Err(Unfit::Io { what: format!("opening {}", root.own().display()), error });
        }
        let applier = load(&root, &options, &acknowledged)?;
        start(applier)
    };
    let again = move || again().map_err(|unfit| StorageError::Io { reason: StorageError::from(unfit).to_string() });
    Ok((files, Box::new(again)))
}

fn start(applier: Applier) -> Result<Files, Unfit> {
    Files::start(applier)
        .map_err(|error| Unfit::Io { what: "starting".to_owned(), error: io::Error::other(error.to_string()) })
}

/// The same on any disk, whose lock the caller has.
pub(crate) fn open_on(
    root: &Root,
    options: &FilesOptions,
    acknowledged: &Arc<Acknowledged>,
    start: impl FnOnce(Applier) -> Result<Files, Unfit>,
) -> Result<Files, Unfit> {
    let reading = |root: &Root| root.disk().list(root.path()).at("reading", root.path().display());
    if !reading(root)?.iter().any(|name| name == OWN) {
        make_store(root)?;
    }
    let applier = load(root, options, acknowledged)?;
    // That the store has a name is the folder's to remember; whoever made it may not have come to this.
    root.disk().sync_folder(root.path()).at("syncing", root.path().display())?;
    start(applier)
}

/// The lock of a store's folder.
#[derive(Debug)]
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that is just being started has a copy of the file, and would keep the lock until it has closed that.
        if let Err(error) = self.0.unlock() {
            tracing::warn!(%error, "the store's lock is not released");
        }
    }
}

/// Makes the folder where there is none and locks it. Nothing is made in a folder that is not ours.
fn lock(path: &Path) -> Result<Lock, OpenError> {
    let failed = |error: io::Error| OpenError::os(path, &error);
    match path.metadata() {
        Ok(found) if found.is_dir() => {}
        Ok(_) => return Err(failed(io::ErrorKind::NotADirectory.into())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => make_folder(path)
            .map_err(|error| OpenError::io(path, format!("cannot make the folder {}: {error}", path.display())))?,
        Err(error) => return Err(failed(error)),
    }
    let root = Root::new(Arc::new(RealDisk), path);
    if root.own().try_exists().map_err(failed)? {
        crate::format::read(&root).map_err(|unfit| OpenError::of_unfit(path, unfit))?;
    } else {
        check_free(path)?;
    }
    let file = path.join(LOCK);
    let mut open = OpenOptions::new();
    open.read(true).write(true).create(true).truncate(false);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        open.mode(0o600);
    }
    let lock = open.open(&file).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(Lock(lock)),
        Err(TryLockError::WouldBlock) => Err(OpenError::in_use(path, &file)),
        Err(TryLockError::Error(error)) => Err(OpenError::io(path, format!("cannot lock {LOCK}: {error}"))),
    }
}

fn identity(root: &Root) -> Result<folder::Identity, Unfit> {
    let found = root.own().metadata().at("opening", root.own().display())?;
    Ok(folder::identity(&found))
}
