//! The index: what the records' files hold, and the values of all that has none. It is appended to when files were
//! written, and written anew when most of it has been replaced. Must never tell of a file that is not on the disk yet.
//!
//! `.stash/index/NUMBER`: its first frames are everything up to the end of the journal of that number, each later one what
//! another journal has changed. The items of a frame come after three numbers: the journal, the last commit in it, and the
//! checksum of that commit's frame; all bits set where the next frame belongs to the same journal.

use std::io;
use std::sync::Arc;

use crate::batch::{Batch, Upto};
use crate::entry::{Entries, Entry, IndexFile, Place};
use crate::error::{At, Unfit};
use crate::log::{Item, Items, Kind, Log, LogReader, Mark};
use crate::root::{INDEX, Root, TEMPORARY};

/// What tells that a frame is not the last of its journal.
const MORE: Upto = Upto { journal: u64::MAX, commit: u64::MAX, checksum: u64::MAX };

/// The index, open to be appended to.
#[derive(Debug)]
pub(crate) struct Index {
    root: Root,
    mark: Mark,
    number: u64,
    log: Log,
    reading: Arc<IndexFile>,
    frames: u64,
    checksum: u64,
    /// What the files hold.
    pub(crate) upto: Upto,
    /// How long it would be, written anew.
    live_bytes: u64,
    /// After an error nobody knows what its end is.
    is_broken: bool,
    /// Where it ends, if a crash has torn something off after that.
    torn: Option<u64>,
}

impl Index {
    /// Makes the index of an empty store; its name is the caller's to sync.
    pub(crate) fn make(root: &Root, mark: Mark) -> io::Result<()> {
        let mut log = Log::create(root.disk(), &root.numbered(INDEX, 0), Kind::Index, mark, 0)?;
        log.append(0, 0, frame(Upto { journal: 0, commit: 0, checksum: 0 }, 0))?;
        log.file.sync()
    }

    /// Reads the index, and gives all that is in it. Changes nothing.
    pub(crate) fn load(root: &Root, mark: Mark) -> Result<(Self, Entries), Unfit> {
        let numbers = root.numbers(INDEX).at("reading", root.part(INDEX).display())?;
        let Some(&number) = numbers.last() else { return Err(Unfit::Damaged("its index is missing".to_owned())) };
        let path = root.numbered(INDEX, number);
        let file = root.disk().open(&path).at("opening", path.display())?;
        let reading = Arc::new(IndexFile { path: path.clone(), file });
        let mut reader = LogReader::open(root.disk(), &path, Kind::Index, mark, number)?;
        let (mut entries, mut frames, mut checksum, mut upto) = (Entries::default(), 0_u64, 0_u64, None);
        let damaged = || Unfit::Damaged(format!("{} holds what it cannot", path.display()));
        while let Some(frame) = reader.next()? {
            let mut items = frame.items();
            let found =
                (|| Some(Upto { journal: items.number()?, commit: items.number()?, checksum: items.number()? }))();
            if (frame.number, frame.previous) != (frames, checksum) {
                return Err(damaged());
            }
            while let Some((key, item)) = items.next() {
                match item {
                    Item::Removed => drop(entries.remove(key)),
                    Item::Value(value, at) => drop(entries.insert(entry_of(key, value, &reading, frame.at + at))),
                    Item::File { head, apart, rest } => {
                        drop(entries.insert(Entry::with_file(key, head, apart, rest, Place::File)));
                    }
                }
            }
            if !items.is_empty() {
                return Err(damaged());
            }
            (frames, checksum) = (frames + 1, frame.checksum);
            upto = Some(found.ok_or_else(damaged)?).filter(|found| *found != MORE);
        }
        let torn = reader.torn(frames.checked_sub(1))?;
        let upto = upto.filter(|upto| upto.journal >= number).ok_or_else(|| {
            Unfit::Damaged(format!("{} is cut off, and with it what is in the files", path.display()))
        })?;
        let live_bytes = entries.iter().map(Entry::index_bytes).sum();
        let (root, log) = (root.clone(), reader.into_log());
        let index =
            Self { root, mark, number, log, reading, frames, checksum, upto, live_bytes, is_broken: false, torn };
        Ok((index, entries))
    }

    /// Whether it ends with what was added last.
    pub(crate) fn is_whole(&self) -> bool {
        self.torn.is_none()
    }

    /// Cuts off what a crash has torn, and makes the disk remember the rest. It is written anew at the next opportunity: what
    /// the process before could not sync is not on the disk, whatever a sync says now.
    pub(crate) fn settle(&mut self) -> Result<(), Unfit> {
        self.is_broken = true;
        let mut settle = || {
            if let Some(end) = self.torn.take() {
                tracing::warn!(index = %self.log.path.display(), at = end, "an update that was not finished is cut off");
                self.log.file.cut(end)?;
            }
            self.log.file.sync()
        };
        settle().at("syncing", self.reading.path.display())
    }

    /// Removes the index that this one has taken the place of.
    pub(crate) fn remove_others(&self) -> Result<(), Unfit> {
        for number in self.root.numbers(INDEX).at("reading", self.root.part(INDEX).display())? {
            if number != self.number {
                let path = self.root.numbered(INDEX, number);
                self.root.disk().remove(&path).at("removing", path.display())?;
            }
        }
        Ok(())
    }

    /// Its length.
    pub(crate) fn bytes(&self) -> u64 {
        self.log.bytes
    }

    /// Adds what a batch has changed, after its files are on the disk.
    pub(crate) fn add(&mut self, batch: &Batch) -> Result<(), Unfit> {
        if self.is_broken || self.log.bytes > 2 * self.live_bytes + MIN_WASTE {
            return self.write_anew(&batch.entries, batch.upto);
        }
        let mut items = frame(batch.upto, batch.bytes);
        let mut places = Vec::new();
        for (key, change) in batch.changes.iter() {
            match &change.new {
                None => items.removed(key),
                Some(entry) => push(&mut items, entry, &self.root, &mut places)?,
            }
        }
        self.is_broken = true;
        let append = || -> io::Result<(u64, u64)> {
            let added = self.log.append(self.frames, self.checksum, items)?;
            self.log.file.sync()?;
            Ok(added)
        };
        let (at, checksum) = append().at("writing", self.reading.path.display())?;
        self.is_broken = false;
        (self.frames, self.checksum, self.upto) = (self.frames + 1, checksum, batch.upto);
        for (entry, offset) in places {
            entry.set_place(Place::Index(Arc::clone(&self.reading), at + offset));
        }
        for (_, change) in batch.changes.iter() {
            self.live_bytes += change.new.as_ref().map_or(0, Entry::index_bytes);
            self.live_bytes = self.live_bytes.saturating_sub(change.old.as_ref().map_or(0, |old| old.index_bytes));
        }
        Ok(())
    }

    /// Writes all that is in the store into a new index.
    fn write_anew(&mut self, entries: &Entries, upto: Upto) -> Result<(), Unfit> {
        let temporary = self.root.part(TEMPORARY).join(INDEX);
        let path = self.root.numbered(INDEX, upto.journal);
        let doing = "writing the index anew, as";
        let create = Log::create(self.root.disk(), &temporary, Kind::Index, self.mark, upto.journal);
        let mut log = create.at(doing, path.display())?;
        let (mut frames, mut checksum, mut places) = (0, 0, Vec::new());
        let mut items = frame(MORE, FRAME_BYTES);
        let mut in_frame = Vec::new();
        for entry in entries {
            if items.bytes() >= FRAME_BYTES {
                let full = std::mem::replace(&mut items, frame(MORE, FRAME_BYTES));
                let (at, sum) = log.append(frames, checksum, full).at(doing, path.display())?;
                (frames, checksum) = (frames + 1, sum);
                places.extend(in_frame.drain(..).map(|(entry, offset)| (entry, at + offset)));
            }
            push(&mut items, entry, &self.root, &mut in_frame)?;
        }
        let (at, sum) = log.append(frames, checksum, items).at(doing, path.display())?;
        (frames, checksum) = (frames + 1, sum);
        places.extend(in_frame.drain(..).map(|(entry, offset)| (entry, at + offset)));
        let (at, sum) = log.append(frames, checksum, frame(upto, 0)).at(doing, path.display())?;
        tracing::debug!(bytes = at, "wrote the index anew");
        let name = || -> io::Result<Arc<IndexFile>> {
            log.file.sync()?;
            self.root.disk().rename(&temporary, &path)?;
            self.root.disk().sync_folder(&self.root.part(INDEX))?;
            Ok(Arc::new(IndexFile { path: path.clone(), file: self.root.disk().open(&path)? }))
        };
        let reading = name().at(doing, path.display())?;
        for (entry, at) in places {
            entry.set_place(Place::Index(Arc::clone(&reading), at));
        }
        let before = self.root.numbered(INDEX, self.number);
        log.path.clone_from(&path);
        (self.number, self.live_bytes, self.log, self.reading) = (upto.journal, log.bytes, log, reading);
        (self.frames, self.checksum, self.upto, self.is_broken) = (frames + 1, sum, upto, false);
        if before != path
            && let Err(error) = self.root.disk().remove(&before)
        {
            tracing::warn!(index = %before.display(), %error, "an index that was replaced is not removed");
        }
        Ok(())
    }
}

/// Bytes of items in one frame of an index that is written anew.
const FRAME_BYTES: usize = 1 << 20;
/// An index is written anew when it has so many bytes more than twice those that it needs.
const MIN_WASTE: u64 = 1 << 20;

fn frame(upto: Upto, room: usize) -> Items {
    let mut items = Items::with_room(24 + room);
    for number in [upto.journal, upto.commit, upto.checksum] {
        items.number(number);
    }
    items
}

/// Adds an entry, and where its value is if that is read from the index.
fn push(items: &mut Items, entry: &Entry, root: &Root, places: &mut Vec<(Entry, u64)>) -> Result<(), Unfit> {
    if entry.has_file() {
        items.file(entry.key(), entry.head(), entry.apart(), entry.rest());
        return Ok(());
    }
    let read = entry.see(root, usize::MAX, |value| items.value(entry.key(), value));
    let at = read.map_err(|error| Unfit::Damaged(error.to_string()))?;
    if entry.rest().bytes > 0 {
        places.push((entry.clone(), at + entry.head().len() as u64));
    }
    Ok(())
}

/// An entry whose value an index has there.
fn entry_of(key: &[u8], value: &[u8], reading: &Arc<IndexFile>, at: u64) -> Entry {
    let head_bytes = Entry::head_bytes(value.len());
    let place = if head_bytes == value.len() {
        Place::Nowhere
    } else {
        Place::Index(Arc::clone(reading), at + head_bytes as u64)
    };
    Entry::without_file(key, value, place)
}
