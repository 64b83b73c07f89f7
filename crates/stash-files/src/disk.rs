//! What the store asks of a file system, as a trait, so that tests can have one on which the power fails. Must never do
//! more than it is asked to: what is synced, and when, is the caller's business.

use std::fmt::Debug;
use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, Read, Write};
use std::path::Path;

use stash_group_commit::folder;

/// A file system.
pub(crate) trait Disk: Debug + Send + Sync + 'static {
    /// Makes a folder, for its owner alone. Where there is one, that is well.
    fn create_folder(&self, path: &Path) -> io::Result<()>;

    /// The names of all that is in a folder; those that are no text are left out.
    fn list(&self, path: &Path) -> io::Result<Vec<String>>;

    /// Makes an empty file, for its owner alone, in the place of one that is there.
    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Opens a file that is there, to read it and append to it.
    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>>;

    /// Adds what is in a file to `into`, but at most so many bytes.
    fn read(&self, path: &Path, most: u64, into: &mut Vec<u8>) -> io::Result<()>;

    /// Gives a file or folder another name, in the place of a file that has that.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Gives a file another name beside the one that it has. Not every file system can.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()>;

    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;

    /// Removes a folder, if it is empty.
    fn remove_folder(&self, path: &Path) -> io::Result<()>;

    /// Makes the disk remember the names in a folder.
    fn sync_folder(&self, path: &Path) -> io::Result<()>;

    /// How many files are worth being synced at the same time.
    fn threads(&self) -> usize;
}

/// An open file.
pub(crate) trait DiskFile: Debug + Send + Sync {
    fn append(&self, bytes: &[u8]) -> io::Result<()>;

    /// Reads exactly so many bytes from there on.
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()>;

    fn bytes(&self) -> io::Result<u64>;

    fn cut(&self, bytes: u64) -> io::Result<()>;

    /// Makes the disk remember what is in it.
    fn sync(&self) -> io::Result<()>;
}

/// The operating system's.
#[derive(Debug)]
pub(crate) struct RealDisk;

impl Disk for RealDisk {
    fn create_folder(&self, path: &Path) -> io::Result<()> {
        match private_folder().create(path) {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists || !path.is_dir() => Err(error),
            _ => Ok(()),
        }
    }

    fn list(&self, path: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(path)?.map(|entry| Ok(entry?.file_name().into_string().ok()));
        names.filter_map(Result::transpose).collect()
    }

    fn create(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        // Never into one that is there: it may have another name too.
        let create = || private_file().create_new(true).open(path);
        let file = match create() {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                fs::remove_file(path)?;
                create()
            }
            made => made,
        };
        Ok(Box::new(file?))
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn DiskFile>> {
        Ok(Box::new(private_file().open(path)?))
    }

    fn read(&self, path: &Path, most: u64, into: &mut Vec<u8>) -> io::Result<()> {
        /// More is not worth being filled with zeros first.
        const SMALL: u64 = 64 * 1024;
        let mut file = File::open(path)?;
        let start = into.len();
        let Some(room) = usize::try_from(most).ok().filter(|_| (1..=SMALL).contains(&most)) else {
            return file.take(most).read_to_end(into).map(drop);
        };
        into.resize(start + room, 0);
        let read = read_small(&mut file, into.get_mut(start..).unwrap_or_default());
        into.truncate(start + *read.as_ref().unwrap_or(&0));
        read.map(drop)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::hard_link(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_folder(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn sync_folder(&self, path: &Path) -> io::Result<()> {
        folder::sync(path)
    }

    fn threads(&self) -> usize {
        // More make it no quicker.
        8
    }
}

/// Reads a file that is expected to end before the room does. Where it does so by one byte, that is seen without asking
/// again.
fn read_small(file: &mut File, room: &mut [u8]) -> io::Result<usize> {
    let mut read = 0;
    while let Some(left) = room.get_mut(read..).filter(|left| !left.is_empty()) {
        match file.read(left) {
            Ok(0) => break,
            Ok(bytes) => {
                read += bytes;
                if read + 1 == room.len() {
                    break;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(read)
}

impl DiskFile for File {
    fn append(&self, bytes: &[u8]) -> io::Result<()> {
        // At the end: files are opened to be appended to.
        let mut file = self;
        file.write_all(bytes)
    }

    #[cfg(unix)]
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        std::os::unix::fs::FileExt::read_exact_at(self, into, at)
    }

    #[cfg(windows)]
    fn read_at(&self, at: u64, into: &mut [u8]) -> io::Result<()> {
        let (mut at, mut left) = (at, into);
        while !left.is_empty() {
            match std::os::windows::fs::FileExt::seek_read(self, left, at)? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                read => (at, left) = (at + read as u64, left.get_mut(read..).unwrap_or_default()),
            }
        }
        Ok(())
    }

    fn bytes(&self) -> io::Result<u64> {
        Ok(self.metadata()?.len())
    }

    fn cut(&self, bytes: u64) -> io::Result<()> {
        self.set_len(bytes)
    }

    fn sync(&self) -> io::Result<()> {
        self.sync_all()
    }
}

fn private_file() -> OpenOptions {
    let mut open = OpenOptions::new();
    open.read(true).append(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        // Components' data is nobody else's on this machine.
        open.mode(0o600);
    }
    open
}

/// Makes folders that are their owner's alone.
pub(crate) fn private_folder() -> DirBuilder {
    #[cfg_attr(not(unix), expect(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        use std::os::unix::fs::DirBuilderExt;
        builder.mode(0o700);
    }
    builder
}
