//! [`Entry`]: a key with its value as it is in memory, and where the rest of the value is. What it says of its value never
//! changes; where that is may. Must never give other bytes than those that were stored.

use std::borrow::Borrow;
use std::cmp::Ordering;
use std::io;
use std::path::PathBuf;
use std::sync::{Arc, Weak};

use bytes::Bytes;
use imbl::OrdSet;
use parking_lot::Mutex;
use stash_core::StorageError;
use xxhash_rust::xxh3::xxh3_64;

use crate::disk::{Disk, DiskFile};
use crate::names;
use crate::root::Root;

/// Everything in the store, in the order of keys. Clones share all but what was changed since.
pub(crate) type Entries = OrdSet<Entry>;

/// What of each value is kept in memory at the least: from a record's, its version and times are told.
const HEAD_BYTES: usize = 32;
/// What has no file and is no longer than that is kept in memory wholly.
const SHORT_BYTES: usize = 64;
/// What comes before a record's value is at most that long; something else is not taken for it.
const MAX_ENVELOPE_BYTES: usize = 16 * 1024;

/// A key and its value. Clones are the same one.
#[derive(Debug, Clone)]
pub(crate) struct Entry(Arc<Stored>);

#[derive(Debug)]
pub(crate) struct Stored {
    /// The key, then the head: the beginning of the value.
    bytes: Box<[u8]>,
    key_bytes: u32,
    /// How much of the head is not in the rest: of a record what comes before its value, of anything else all.
    apart: u32,
    has_file: bool,
    rest: Rest,
    place: Mutex<Place>,
}

/// What of a value is not in memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rest {
    pub(crate) bytes: u64,
    /// Its XXH3.
    pub(crate) checksum: u64,
}

impl Rest {
    pub(crate) fn of(rest: &[u8]) -> Self {
        Self { bytes: rest.len() as u64, checksum: xxh3_64(rest) }
    }
}

/// Where the rest of a value is.
#[derive(Debug, Clone)]
pub(crate) enum Place {
    /// There is none.
    Nowhere,
    /// The whole value is in memory, as long as it is only in the journal.
    Memory(Arc<Bytes>),
    /// In the file that the key names.
    File,
    /// In a file that was put aside for those who still read it.
    Aside(Arc<Aside>),
    /// In the index.
    Index(Arc<IndexFile>, u64),
}

/// A file that was put aside. It goes with the last who could read it.
#[derive(Debug)]
pub(crate) struct Aside {
    pub(crate) path: PathBuf,
    pub(crate) disk: Arc<dyn Disk>,
}

impl Drop for Aside {
    fn drop(&mut self) {
        if let Err(error) = self.disk.remove(&self.path)
            && error.kind() != io::ErrorKind::NotFound
        {
            tracing::warn!(file = %self.path.display(), %error, "a file that nobody reads any more is not removed");
        }
    }
}

/// An index from which values are read.
#[derive(Debug)]
pub(crate) struct IndexFile {
    pub(crate) path: PathBuf,
    pub(crate) file: Box<dyn DiskFile>,
}

impl Entry {
    /// A value that is not in any file yet.
    pub(crate) fn new(key: &[u8], value: Bytes) -> Self {
        if !names::is_record(key) {
            let place = if value.len() > SHORT_BYTES { Place::Memory(Arc::new(value.clone())) } else { Place::Nowhere };
            return Self::without_file(key, &value, place);
        }
        let apart = stash_core::envelope_bytes(&value).filter(|bytes| *bytes <= MAX_ENVELOPE_BYTES).unwrap_or(0);
        let head = value.get(..apart.max(HEAD_BYTES)).unwrap_or(&value);
        let rest = Rest::of(value.get(apart..).unwrap_or_default());
        Self::with_file(key, head, apart, rest, Place::Memory(Arc::new(value.clone())))
    }

    /// A record. So many bytes of the head are not in its file.
    pub(crate) fn with_file(key: &[u8], head: &[u8], apart: usize, rest: Rest, place: Place) -> Self {
        Self::stored(key, head, apart, true, rest, place)
    }

    /// A value that has no file, and where it is, should it be too long for memory.
    pub(crate) fn without_file(key: &[u8], value: &[u8], place: Place) -> Self {
        let (head, rest) = value.split_at_checked(Self::head_bytes(value.len())).unwrap_or((value, &[]));
        Self::stored(key, head, head.len(), false, Rest::of(rest), place)
    }

    /// How much of a value without a file is in memory.
    pub(crate) fn head_bytes(value_bytes: usize) -> usize {
        if value_bytes <= SHORT_BYTES { value_bytes } else { HEAD_BYTES }
    }

    fn stored(key: &[u8], head: &[u8], apart: usize, has_file: bool, rest: Rest, place: Place) -> Self {
        // Both are bounded far below it.
        let (key_bytes, apart) =
            (u32::try_from(key.len()).unwrap_or(u32::MAX), u32::try_from(apart).unwrap_or(u32::MAX));
        let bytes = [key, head].concat().into_boxed_slice();
        Self(Arc::new(Stored { bytes, key_bytes, apart, has_file, rest, place: Mutex::new(place) }))
    }

    pub(crate) fn key(&self) -> &[u8] {
        self.0.bytes.get(..self.0.key_bytes as usize).unwrap_or_default()
    }

    /// The beginning of the value, as far as that is in memory.
    pub(crate) fn head(&self) -> &[u8] {
        self.0.bytes.get(self.0.key_bytes as usize..).unwrap_or_default()
    }

    /// How many bytes at the beginning of the value are not in its rest.
    pub(crate) fn apart(&self) -> usize {
        self.0.apart as usize
    }

    /// The length of the value.
    pub(crate) fn bytes(&self) -> u64 {
        u64::from(self.0.apart).saturating_add(self.0.rest.bytes)
    }

    pub(crate) fn rest(&self) -> Rest {
        self.0.rest
    }

    /// Whether it is a record, which has a file of its own.
    pub(crate) fn has_file(&self) -> bool {
        self.0.has_file
    }

    /// Whether the head is all of the value.
    fn is_whole(&self) -> bool {
        !self.0.has_file && self.0.rest.bytes == 0
    }

    /// About what it takes in an index.
    pub(crate) fn index_bytes(&self) -> u64 {
        const OVERHEAD: u64 = 25;
        let rest = if self.has_file() { 0 } else { self.rest().bytes };
        self.0.bytes.len() as u64 + OVERHEAD + rest
    }

    pub(crate) fn place(&self) -> Place {
        self.0.place.lock().clone()
    }

    pub(crate) fn set_place(&self, place: Place) {
        let before = std::mem::replace(&mut *self.0.place.lock(), place);
        // Outside the lock: it may remove a file.
        drop(before);
    }

    /// Puts the file with the value aside, with `put` and as `aside`, if that is where the value is.
    pub(crate) fn put_aside(&self, aside: Aside, put: impl FnOnce(&Aside) -> io::Result<()>) -> io::Result<()> {
        // Held meanwhile, so that who finds no file, or another one, then finds where it is.
        let mut place = self.0.place.lock();
        if matches!(*place, Place::File) {
            put(&aside)?;
            *place = Place::Aside(Arc::new(aside));
        }
        Ok(())
    }

    pub(crate) fn downgrade(&self) -> WeakEntry {
        WeakEntry(Arc::downgrade(&self.0))
    }

    /// Whether so many first bytes of the value are in memory, or all where it has fewer. A record's value is read from its
    /// file, however short it is: somebody may have changed that.
    pub(crate) fn shows(&self, bytes: usize) -> bool {
        self.is_whole() || bytes <= HEAD_BYTES.max(self.head().len())
    }

    /// At least so many first bytes of the value, or all of it.
    pub(crate) fn see<T>(&self, root: &Root, at_least: usize, see: impl FnOnce(&[u8]) -> T) -> Result<T, StorageError> {
        if self.shows(at_least) { Ok(see(self.head())) } else { Ok(see(&self.value(root)?)) }
    }

    /// The value.
    pub(crate) fn value(&self, root: &Root) -> Result<Bytes, StorageError> {
        if self.is_whole() {
            return Ok(Bytes::copy_from_slice(self.head()));
        }
        let mut place = self.place();
        loop {
            let found = self.read(root, &place)?;
            if let Some(value) = found {
                return Ok(value);
            }
            let now = self.place();
            if !matches!((&place, &now), (Place::File, Place::Aside(_))) {
                return Err(self.damage(root, &now));
            }
            place = now;
        }
    }

    /// The value from there; `None` where something else is there.
    fn read(&self, root: &Root, place: &Place) -> Result<Option<Bytes>, StorageError> {
        let mut value = Vec::new();
        let Ok(rest) = usize::try_from(self.rest().bytes) else { return Ok(None) };
        let apart = self.head().get(..self.apart()).unwrap_or_default();
        let read = match place {
            Place::Memory(value) => return Ok(Some(Bytes::clone(value))),
            Place::Nowhere => Ok(()),
            Place::File | Place::Aside(_) => {
                let path = match place {
                    Place::Aside(aside) => &aside.path,
                    _ => &root.record(self.key()),
                };
                // One more than there is, to see that it is all.
                value.reserve_exact(apart.len() + rest + 1);
                value.extend_from_slice(apart);
                root.disk().read(path, self.rest().bytes.saturating_add(1), &mut value)
            }
            Place::Index(index, at) => {
                value.extend_from_slice(apart);
                value.resize(apart.len() + rest, 0);
                index.file.read_at(*at, value.get_mut(apart.len()..).unwrap_or_default())
            }
        };
        match read {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            Err(error) => return self.unread(root, place, error),
        }
        let found = value.get(apart.len()..).unwrap_or_default();
        Ok((Rest::of(found) == self.rest()).then(|| value.into()))
    }

    /// What to say where the operating system does not let us read. Only where that is the index would opening the store
    /// again help: a record's file is opened whenever it is read.
    fn unread(&self, root: &Root, place: &Place, error: io::Error) -> Result<Option<Bytes>, StorageError> {
        use io::ErrorKind::{IsADirectory, NotADirectory, NotFound, PermissionDenied};
        if let Place::Index(index, _) = place {
            return Err(StorageError::io(&format!("reading {}", index.path.display()), error));
        }
        let path = root.record(self.key());
        let reason = format!("the file {} cannot be read: {error}", path.display());
        match error.kind() {
            // Somebody has removed it, or put a folder there, or a file where its folder was.
            NotFound | IsADirectory | NotADirectory => Ok(None),
            PermissionDenied => Err(StorageError::Corrupt { reason }),
            _ if is_disk_error(&error) => Err(StorageError::Corrupt { reason }),
            // Too many open files, a file system that is away for a moment.
            _ => Err(StorageError::Unavailable { reason }),
        }
    }

    fn damage(&self, root: &Root, place: &Place) -> StorageError {
        let reason = match place {
            Place::Index(index, _) => format!("the file {} is damaged", index.path.display()),
            Place::Aside(aside) => format!("the file {} is damaged", aside.path.display()),
            _ => {
                let path = root.record(self.key());
                let what = if path.exists() { "is not what was stored" } else { "is missing" };
                format!(
                    "the file {} {what}: it was damaged, or changed by something else than Stash; put it back as it was",
                    path.display()
                )
            }
        };
        StorageError::Corrupt { reason }
    }
}

/// Whether a disk says that it cannot read.
fn is_disk_error(error: &io::Error) -> bool {
    /// `EIO` wherever there is one; `ERROR_CRC` on Windows.
    const CODE: i32 = if cfg!(windows) { 23 } else { 5 };
    error.raw_os_error() == Some(CODE)
}

/// An entry that may be gone.
#[derive(Debug, Clone)]
pub(crate) struct WeakEntry(Weak<Stored>);

impl WeakEntry {
    /// The entry, if anybody can still read it.
    pub(crate) fn upgrade(&self) -> Option<Entry> {
        self.0.upgrade().map(Entry)
    }
}

impl Borrow<[u8]> for Entry {
    fn borrow(&self) -> &[u8] {
        self.key()
    }
}

impl PartialEq for Entry {
    fn eq(&self, other: &Self) -> bool {
        self.key() == other.key()
    }
}

impl Eq for Entry {}

impl PartialOrd for Entry {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Entry {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key().cmp(other.key())
    }
}
