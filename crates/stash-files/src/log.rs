//! Files that are appended to: journals and indexes are rows of frames with checksums. Must never take a part of a frame
//! for a whole one, nor what follows damage for the end.
//!
//! Numbers are big-endian:
//!
//! ```text
//! "stash" 00 kind:1 01 mark:8 number:8 checksum:8                     a file begins; XXH3 of what is before it
//! mark:8 length:8 number:8 previous:8 (an item)… checksum:8           a frame; XXH3 of all from the length on
//! 00 length:4 key                                                     an item: the key is not there any more
//! 01 length:4 key length:8 value                                      this is its value
//! 02 length:4 key length:4 head apart:4 bytes:8 checksum:8            so does its value begin; its file has it from a byte on
//! ```
//!
//! The mark is the store's own and random: no value can be made to look like a frame. `previous` is the checksum of the
//! frame before, so that frames of another time are not taken for the next.

use std::io;
use std::path::{Path, PathBuf};

use xxhash_rust::xxh3::xxh3_64;

use crate::disk::{Disk, DiskFile};
use crate::entry::Rest;
use crate::error::{At, Unfit};

/// What tells a store's frames from all else.
pub(crate) type Mark = [u8; 8];

/// What a file of frames is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Journal = b'J' as isize,
    Index = b'I' as isize,
}

const HEADER_BYTES: usize = 32;
const FRAME_HEAD_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 8;

/// A file of frames that is appended to.
#[derive(Debug)]
pub(crate) struct Log {
    pub(crate) file: Box<dyn DiskFile>,
    pub(crate) path: PathBuf,
    mark: Mark,
    /// Its length.
    pub(crate) bytes: u64,
}

impl Log {
    /// Makes one and syncs it; its name is the caller's to sync.
    pub(crate) fn create(disk: &dyn Disk, path: &Path, kind: Kind, mark: Mark, number: u64) -> io::Result<Self> {
        let file = disk.create(path)?;
        file.append(&header(kind, mark, number))?;
        file.sync()?;
        Ok(Self { file, path: path.to_owned(), mark, bytes: HEADER_BYTES as u64 })
    }

    /// Appends a frame; gives where its items begin, and its checksum. It is the caller's to sync.
    pub(crate) fn append(&mut self, number: u64, previous: u64, items: Items) -> io::Result<(u64, u64)> {
        let (frame, checksum) = items.frame(self.mark, number, previous);
        self.file.append(&frame)?;
        let at = self.bytes + FRAME_HEAD_BYTES as u64;
        self.bytes += frame.len() as u64;
        Ok((at, checksum))
    }
}

impl Log {
    /// Appends all frames of another.
    pub(crate) fn copy_frames(&mut self, from: &Self) -> io::Result<()> {
        const PIECE: u64 = 1 << 20;
        while self.bytes < from.bytes {
            let mut piece = vec![0; usize::try_from((from.bytes - self.bytes).min(PIECE)).unwrap_or_default()];
            from.file.read_at(self.bytes, &mut piece)?;
            self.file.append(&piece)?;
            self.bytes += piece.len() as u64;
        }
        Ok(())
    }
}

fn header(kind: Kind, mark: Mark, number: u64) -> Vec<u8> {
    let begin = [&b"stash\0"[..], &[kind as u8, 1], &mark, &number.to_be_bytes()].concat();
    let checksum = xxh3_64(&begin);
    [&begin[..], &checksum.to_be_bytes()].concat()
}

/// What a frame holds, while it is put together.
#[derive(Debug)]
pub(crate) struct Items(Vec<u8>);

impl Items {
    /// None yet, with room for so many bytes.
    pub(crate) fn with_room(bytes: usize) -> Self {
        let mut frame = Vec::with_capacity(FRAME_HEAD_BYTES + bytes + CHECKSUM_BYTES);
        frame.resize(FRAME_HEAD_BYTES, 0);
        Self(frame)
    }

    pub(crate) fn bytes(&self) -> usize {
        self.0.len() - FRAME_HEAD_BYTES
    }

    pub(crate) fn number(&mut self, number: u64) {
        self.0.extend_from_slice(&number.to_be_bytes());
    }

    pub(crate) fn removed(&mut self, key: &[u8]) {
        self.key(0, key);
    }

    /// Gives where the value begins among the items.
    pub(crate) fn value(&mut self, key: &[u8], value: &[u8]) -> u64 {
        self.key(1, key);
        self.number(value.len() as u64);
        let at = self.bytes() as u64;
        self.0.extend_from_slice(value);
        at
    }

    pub(crate) fn file(&mut self, key: &[u8], head: &[u8], apart: usize, rest: Rest) {
        self.key(2, key);
        self.length(head.len());
        self.0.extend_from_slice(head);
        self.length(apart);
        self.number(rest.bytes);
        self.number(rest.checksum);
    }

    fn key(&mut self, tag: u8, key: &[u8]) {
        self.0.push(tag);
        self.length(key.len());
        self.0.extend_from_slice(key);
    }

    fn length(&mut self, length: usize) {
        // Keys and heads are bounded far below it.
        self.0.extend_from_slice(&u32::try_from(length).unwrap_or(u32::MAX).to_be_bytes());
    }

    fn frame(self, mark: Mark, number: u64, previous: u64) -> (Vec<u8>, u64) {
        let length = self.bytes() as u64;
        let mut frame = self.0;
        let head = [mark, length.to_be_bytes(), number.to_be_bytes(), previous.to_be_bytes()].concat();
        frame.splice(..FRAME_HEAD_BYTES, head);
        let checksum = xxh3_64(frame.get(mark.len()..).unwrap_or_default());
        frame.extend_from_slice(&checksum.to_be_bytes());
        (frame, checksum)
    }
}

/// A frame that was read.
#[derive(Debug)]
pub(crate) struct Frame {
    pub(crate) number: u64,
    pub(crate) previous: u64,
    pub(crate) checksum: u64,
    /// Where in the file its items begin.
    pub(crate) at: u64,
    items: Vec<u8>,
}

impl Frame {
    /// The bytes of its items.
    pub(crate) fn bytes(&self) -> usize {
        self.items.len()
    }

    pub(crate) fn items(&self) -> ItemsIn<'_> {
        ItemsIn { all: &self.items, at: 0 }
    }
}

/// An item of a frame.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Item<'a> {
    Removed,
    /// With where in the frame's items it begins.
    Value(&'a [u8], u64),
    File {
        head: &'a [u8],
        apart: usize,
        rest: Rest,
    },
}

/// Items that are taken from the front.
pub(crate) struct ItemsIn<'a> {
    all: &'a [u8],
    at: usize,
}

impl<'a> ItemsIn<'a> {
    fn take(&mut self, bytes: usize) -> Option<&'a [u8]> {
        let taken = self.all.get(self.at..self.at.checked_add(bytes)?)?;
        self.at += bytes;
        Some(taken)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.take(8)?.try_into().ok().map(u64::from_be_bytes)
    }

    fn length(&mut self) -> Option<usize> {
        usize::try_from(u32::from_be_bytes(self.take(4)?.try_into().ok()?)).ok()
    }

    /// The next item; `None` where there is none that can be read.
    pub(crate) fn next(&mut self) -> Option<(&'a [u8], Item<'a>)> {
        let tag = self.take(1)?;
        let key_bytes = self.length()?;
        let key = self.take(key_bytes)?;
        let item = match tag {
            [0] => Item::Removed,
            [1] => {
                let bytes = usize::try_from(self.number()?).ok()?;
                let at = self.at as u64;
                Item::Value(self.take(bytes)?, at)
            }
            [2] => {
                let bytes = self.length()?;
                let head = self.take(bytes)?;
                let apart = self.length().filter(|apart| *apart <= head.len())?;
                Item::File { head, apart, rest: Rest { bytes: self.number()?, checksum: self.number()? } }
            }
            _ => return None,
        };
        Some((key, item))
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.at == self.all.len()
    }
}

/// Reads a file of frames from its beginning.
#[derive(Debug)]
pub(crate) struct LogReader {
    file: Box<dyn DiskFile>,
    path: PathBuf,
    mark: Mark,
    bytes: u64,
    /// Where the next frame begins.
    at: u64,
    /// A piece of the file, and where it begins.
    piece: Vec<u8>,
    piece_at: u64,
}

impl LogReader {
    /// Opens a file that is there.
    pub(crate) fn open(disk: &dyn Disk, path: &Path, kind: Kind, mark: Mark, number: u64) -> Result<Self, Unfit> {
        let read = || -> io::Result<(Box<dyn DiskFile>, u64, Vec<u8>)> {
            let file = disk.open(path)?;
            let bytes = file.bytes()?;
            let mut begin = vec![0; HEADER_BYTES.min(usize::try_from(bytes).unwrap_or(HEADER_BYTES))];
            file.read_at(0, &mut begin)?;
            Ok((file, bytes, begin))
        };
        let (file, bytes, begin) = read().at("reading", path.display())?;
        if begin != header(kind, mark, number) {
            return Err(Unfit::Damaged(format!("{} is not a file of this store", path.display())));
        }
        let at = HEADER_BYTES as u64;
        Ok(Self { file, path: path.to_owned(), mark, bytes, at, piece: Vec::new(), piece_at: 0 })
    }

    /// Takes what is after that for nothing.
    pub(crate) fn limit(&mut self, bytes: Option<u64>) {
        self.bytes = self.bytes.min(bytes.unwrap_or(u64::MAX));
    }

    /// The next frame; `None` at the end, and where none can be read.
    pub(crate) fn next(&mut self) -> Result<Option<Frame>, Unfit> {
        let frame = self.frame_at(self.at)?;
        if let Some(frame) = &frame {
            self.at = frame.at + (frame.items.len() + CHECKSUM_BYTES) as u64;
        }
        Ok(frame)
    }

    /// After the last frame that could be read: where that ends, if something follows. An error where that holds a later
    /// frame: then what cannot be read is damaged, and was not torn off the end by a crash.
    pub(crate) fn torn(&mut self, last: Option<u64>) -> Result<Option<u64>, Unfit> {
        let mut at = self.at;
        if at == self.bytes {
            return Ok(None);
        }
        while let Some(found) = self.find_mark(at + 1)? {
            if self.frame_at(found)?.is_some_and(|frame| last.is_none_or(|last| frame.number > last)) {
                return Err(Unfit::Damaged(format!(
                    "{} is damaged at byte {}, and what was committed after that would be lost",
                    self.path.display(),
                    self.at
                )));
            }
            at = found;
        }
        Ok(Some(self.at))
    }

    /// The file, to go on after the last frame.
    pub(crate) fn into_log(self) -> Log {
        Log { file: self.file, path: self.path, mark: self.mark, bytes: self.at }
    }

    fn frame_at(&mut self, at: u64) -> Result<Option<Frame>, Unfit> {
        let (mark, end) = (self.mark, self.bytes);
        let Some(head) = self.read(at, FRAME_HEAD_BYTES)? else { return Ok(None) };
        let mut fields = ItemsIn { all: head, at: 0 };
        let (found, length) = (fields.take(8), fields.number());
        let (Some(number), Some(previous)) = (fields.number(), fields.number()) else { return Ok(None) };
        let left = end.saturating_sub(at + (FRAME_HEAD_BYTES + CHECKSUM_BYTES) as u64);
        let length = length.filter(|length| found == Some(&mark[..]) && *length <= left);
        let Some(length) = length.and_then(|length| usize::try_from(length).ok()) else { return Ok(None) };
        let Some(frame) = self.read(at, FRAME_HEAD_BYTES + length + CHECKSUM_BYTES)? else { return Ok(None) };
        let Some((summed, checksum)) = frame.split_last_chunk::<CHECKSUM_BYTES>() else { return Ok(None) };
        let checksum = u64::from_be_bytes(*checksum);
        if xxh3_64(summed.get(8..).unwrap_or_default()) != checksum {
            return Ok(None);
        }
        let items = summed.get(FRAME_HEAD_BYTES..).unwrap_or_default().to_vec();
        Ok(Some(Frame { number, previous, checksum, at: at + FRAME_HEAD_BYTES as u64, items }))
    }

    /// Where the mark is next.
    fn find_mark(&mut self, mut from: u64) -> Result<Option<u64>, Unfit> {
        const STEP: u64 = 1 << 16;
        let mark = self.mark;
        while from < self.bytes {
            let bytes = usize::try_from((self.bytes - from).min(STEP)).unwrap_or_default();
            let Some(piece) = self.read(from, bytes)? else { break };
            if let Some(found) = piece.windows(mark.len()).position(|window| window == mark) {
                return Ok(Some(from + found as u64));
            }
            if bytes < mark.len() {
                break;
            }
            // It may lie across the pieces.
            from += (bytes - mark.len() + 1) as u64;
        }
        Ok(None)
    }

    /// So many bytes from there on, if there are so many.
    fn read(&mut self, at: u64, bytes: usize) -> Result<Option<&[u8]>, Unfit> {
        const PIECE: u64 = 1 << 20;
        let end = at.saturating_add(bytes as u64);
        if end > self.bytes {
            return Ok(None);
        }
        if at < self.piece_at || end > self.piece_at + self.piece.len() as u64 {
            let piece = (self.bytes - at).min(PIECE.max(bytes as u64));
            self.piece.resize(usize::try_from(piece).unwrap_or_default(), 0);
            self.piece_at = at;
            self.file.read_at(at, &mut self.piece).at("reading", self.path.display())?;
        }
        let from = usize::try_from(at - self.piece_at).unwrap_or_default();
        Ok(self.piece.get(from..from + bytes))
    }
}
