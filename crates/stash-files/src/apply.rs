//! Writes to files what journals have. It must never drop a journal whose changes are not on the disk in files and index,
//! nor replace a file that somebody still reads.

use std::collections::{BTreeSet, HashSet, VecDeque};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use stash_core::StorageError;

use crate::batch::{Batch, Change};
use crate::entry::{Aside, Entries, Place};
use crate::error::{At, Unfit};
use crate::index::Index;
use crate::log::{Kind, Log};
use crate::names::{self, RecordPath};
use crate::root::{JOURNAL, OLD, TEMPORARY};
use crate::shared::Shared;

/// Journals that are kept after that, however small they are: an hour of them, at one a second.
const MOST_JOURNALS: usize = 3600;
/// What nearly all file systems give a file at the least.
const BLOCK: u64 = 4096;

/// Writes files. There is one.
#[derive(Debug)]
pub(crate) struct Applier {
    pub(crate) shared: Arc<Shared>,
    index: Index,
    /// Folders that are there, and remembered.
    folders: HashSet<String>,
    /// The next journal, not in use yet.
    spare: Option<Log>,
    /// How many files were put aside.
    put_aside: u64,
    /// Journals whose changes are in files, and their lengths: who copies the store needs them.
    kept: VecDeque<(u64, u64)>,
    /// Bytes of the records' files, in whole blocks.
    file_bytes: u64,
}

/// A record's file, to be written or removed.
struct FileChange<'a> {
    key: &'a [u8],
    change: &'a Change,
    path: RecordPath,
    temporary: PathBuf,
}

impl Applier {
    pub(crate) fn new(shared: Arc<Shared>, index: Index, entries: &Entries, kept: VecDeque<(u64, u64)>) -> Self {
        let files = entries.iter().filter(|entry| entry.has_file());
        let file_bytes = files.map(|entry| in_blocks(entry.rest().bytes)).sum();
        let folders = HashSet::new();
        let mut applier = Self { shared, index, folders, spare: None, put_aside: 0, kept, file_bytes };
        applier.tell_bytes();
        applier
    }

    /// Writes all to files that was committed so far.
    pub(crate) fn run(&mut self) -> Result<(), StorageError> {
        let done = self.seal().and_then(|()| {
            loop {
                let Some(batch) = self.shared.state().sealed.first().map(Arc::clone) else { return Ok(()) };
                self.apply(&batch)?;
                let mut state = self.shared.state();
                state.sealed.remove(0);
                state.sealed_bytes -= batch.bytes;
                drop(state);
                self.shared.notify();
            }
        });
        if done.is_err() {
            // Whether they are remembered is not known.
            self.folders.clear();
        }
        let done = done.map_err(StorageError::from);
        self.shared.tried(done.as_ref().err().cloned());
        done
    }

    /// Ends the last journal, if there is anything in it.
    fn seal(&mut self) -> Result<(), Unfit> {
        let root = &self.shared.root;
        let state = self.shared.state();
        if state.batch.changes.is_empty() || state.is_broken {
            return Ok(());
        }
        let number = state.upto().journal + 1;
        drop(state);
        let temporary = root.part(TEMPORARY).join(JOURNAL);
        let mut spare = match self.spare.take() {
            Some(spare) => spare,
            None => Log::create(root.disk(), &temporary, Kind::Journal, self.shared.mark, number)
                .at("making", temporary.display())?,
        };
        let path = root.numbered(JOURNAL, number);
        spare.path.clone_from(&path);
        // No commit in between: it would be in the journal before.
        let mut state = self.shared.state();
        if state.is_broken {
            return Ok(());
        }
        let name = || {
            root.disk().rename(&temporary, &path)?;
            root.disk().sync_folder(&root.part(JOURNAL))
        };
        name().at("making", path.display())?;
        self.shared.acknowledged.set(number, spare.bytes);
        state.seal(spare);
        Ok(())
    }

    fn apply(&mut self, batch: &Batch) -> Result<(), Unfit> {
        let shared = Arc::clone(&self.shared);
        let root = &shared.root;
        let files: Vec<FileChange<'_>> = batch
            .changes
            .iter()
            .filter_map(|(key, change)| Some((key, change, names::record_path(key)?)))
            .zip(1..)
            .map(|((key, change, path), n)| {
                let temporary = root.numbered(TEMPORARY, n);
                FileChange { key, change, path, temporary }
            })
            .collect();
        each(root.disk().threads(), &files, |file| file.write(&shared))?;
        let mut touched = BTreeSet::new();
        for file in &files {
            self.put_in_place(file, &mut touched)?;
        }
        self.remove_empty_folders(&files, &mut touched);
        let with_files: BTreeSet<&str> =
            files.iter().filter(|file| file.change.new.is_some()).map(|file| file.path.folder()).collect();
        let touched: Vec<&String> = touched.iter().collect();
        each(root.disk().threads(), &touched, |folder| {
            let path = root.below(folder);
            let synced = root.disk().sync_folder(&path);
            // Of records that came and went before they had a file, there may never have been a folder.
            let synced = if with_files.contains(folder.as_str()) { synced } else { unless_missing(synced) };
            synced.at("syncing", path.display())
        })?;
        self.index.add(batch)?;
        for FileChange { change, .. } in &files {
            if let Some(entry) = &change.new {
                entry.set_place(Place::File);
                self.file_bytes += in_blocks(entry.rest().bytes);
            }
            let old = change.old.as_ref().and_then(|old| old.file_bytes).map_or(0, in_blocks);
            self.file_bytes = self.file_bytes.saturating_sub(old);
        }
        self.kept.push_back((batch.upto.journal, batch.journal_bytes));
        self.forget_journals(shared.options.kept_journal_bytes, MOST_JOURNALS);
        self.tell_bytes();
        Ok(())
    }

    /// Gives a file that was written its name, or takes it from one that is to be removed.
    fn put_in_place(&mut self, file: &FileChange<'_>, touched: &mut BTreeSet<String>) -> Result<(), Unfit> {
        let shared = Arc::clone(&self.shared);
        let disk = shared.root.disk();
        let path = shared.root.below(file.path.as_str());
        let folder = file.path.folder();
        if let Some(old) = file.change.old.as_ref().and_then(|old| old.entry.upgrade()) {
            self.put_aside += 1;
            let aside = Aside { path: shared.root.numbered(OLD, self.put_aside), disk: shared.root.shared_disk() };
            // With a link nobody who looks at the folder finds it missing for a moment.
            let put = |aside: &Aside| {
                unless_missing(disk.link(&path, &aside.path).or_else(|_| disk.rename(&path, &aside.path)))
            };
            old.put_aside(aside, put).at("putting aside", path.display())?;
        }
        if file.change.new.is_none() {
            touched.insert(folder.to_owned());
            return unless_missing(disk.remove(&path)).at("removing", path.display());
        }
        self.make_folder(folder, touched)?;
        let mut named = disk.rename(&file.temporary, &path);
        if matches!(&named, Err(error) if error.kind() == io::ErrorKind::NotFound) {
            // Somebody has removed the folder.
            self.folders.clear();
            self.make_folder(folder, touched)?;
            named = disk.rename(&file.temporary, &path);
        }
        named.at("writing", path.display())
    }

    /// Makes a folder of records, and those above it.
    fn make_folder(&mut self, folder: &str, touched: &mut BTreeSet<String>) -> Result<(), Unfit> {
        touched.insert(folder.to_owned());
        if self.folders.contains(folder) {
            return Ok(());
        }
        let ends = folder.match_indices('/').map(|(at, _)| at).chain([folder.len()]);
        let mut above = "";
        for end in ends {
            let part = folder.get(..end).unwrap_or_default();
            let path = self.shared.root.below(part);
            self.shared.root.disk().create_folder(&path).at("making", path.display())?;
            touched.insert(above.to_owned());
            self.folders.insert(part.to_owned());
            above = part;
        }
        Ok(())
    }

    /// Removes the folders that have lost their last file. One that holds anything of somebody else's stays.
    fn remove_empty_folders(&mut self, files: &[FileChange<'_>], touched: &mut BTreeSet<String>) {
        let removed: BTreeSet<&str> =
            files.iter().filter(|file| file.change.new.is_none()).map(|file| file.path.folder()).collect();
        for folder in removed.into_iter().rev() {
            let mut folder = folder;
            while !folder.is_empty() && self.shared.root.disk().remove_folder(&self.shared.root.below(folder)).is_ok() {
                self.folders.remove(folder);
                touched.remove(folder);
                folder = folder.rsplit_once('/').map_or("", |(above, _)| above);
                touched.insert(folder.to_owned());
            }
        }
    }

    /// Removes the oldest journals whose changes are in files, until those that are left are within these bounds.
    fn forget_journals(&mut self, most_bytes: u64, most: usize) {
        let mut bytes: u64 = self.kept.iter().map(|(_, bytes)| bytes).sum();
        while bytes > most_bytes || self.kept.len() > most {
            let Some((number, journal_bytes)) = self.kept.pop_front() else { break };
            bytes -= journal_bytes;
            let path = self.shared.root.numbered(JOURNAL, number);
            if let Err(error) = unless_missing(self.shared.root.disk().remove(&path)) {
                // It is in nobody's way.
                tracing::warn!(journal = %path.display(), %error, "a journal that is of no more use is not removed");
            }
        }
    }

    /// Writes everything to files for the last time, and leaves nothing behind that is of no more use.
    pub(crate) fn finish(&mut self) -> Result<(), StorageError> {
        self.run()?;
        self.forget_journals(0, 0);
        Ok(())
    }

    fn tell_bytes(&mut self) {
        let kept: u64 = self.kept.iter().map(|(_, bytes)| bytes).sum();
        self.shared.disk_bytes.store(self.file_bytes + self.index.bytes() + kept, Ordering::Relaxed);
    }
}

impl FileChange<'_> {
    /// Writes the file under another name.
    fn write(&self, shared: &Shared) -> Result<(), Unfit> {
        let Some(entry) = &self.change.new else { return Ok(()) };
        let write = |value: &[u8]| {
            let file = shared.root.disk().create(&self.temporary)?;
            file.append(value.get(entry.apart()..).unwrap_or_default())?;
            file.sync()
        };
        let written = entry.see(&shared.root, usize::MAX, write);
        let path = shared.root.record(self.key);
        written.map_err(|error| Unfit::Damaged(error.to_string()))?.at("writing", path.display())
    }
}

/// What is not there need not be removed.
fn unless_missing(done: io::Result<()>) -> io::Result<()> {
    done.or_else(|error| if error.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(error) })
}

fn in_blocks(bytes: u64) -> u64 {
    bytes.div_ceil(BLOCK) * BLOCK
}

/// Does something with each item, several at once: file systems make one write of what is synced at the same time.
fn each<T: Sync>(threads: usize, items: &[T], work: impl Fn(&T) -> Result<(), Unfit> + Sync) -> Result<(), Unfit> {
    const FEW: usize = 4;
    if threads <= 1 || items.len() <= FEW {
        return items.iter().try_for_each(work);
    }
    let (next, failed) = (AtomicUsize::new(0), Mutex::new(None));
    std::thread::scope(|scope| {
        for _ in 0..threads.min(items.len()) {
            scope.spawn(|| {
                while let Some(item) = items.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if let Err(error) = work(item) {
                        next.store(items.len(), Ordering::Relaxed);
                        *failed.lock() = Some(error);
                    }
                }
            });
        }
    });
    failed.into_inner().map_or(Ok(()), Err)
}

/// Removes what is in a folder of `.stash` that only the last owner could use.
pub(crate) fn empty(shared: &crate::root::Root, folder: &str) -> Result<(), Unfit> {
    let path = shared.part(folder);
    shared.disk().create_folder(&path).at("making", path.display())?;
    for name in shared.disk().list(&path).at("reading", path.display())? {
        let path: &Path = &path.join(name);
        shared.disk().remove(path).at("removing", path.display())?;
    }
    Ok(())
}
