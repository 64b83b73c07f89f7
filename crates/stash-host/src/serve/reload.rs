//! Noticing that a component's file has changed, and reading it. Half a file must never be taken for one, nor what is no
//! file at all.

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a file looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    bytes: u64,
    /// A link may be set to another file of the same time and size.
    identity: (u64, u64),
}

fn look(file: &Path) -> Option<Look> {
    let meta = std::fs::metadata(file).ok().filter(Metadata::is_file)?;
    Some(Look { modified: meta.modified().ok(), bytes: meta.len(), identity: identity(&meta) })
}

/// Which file it is, where the system tells.
#[cfg(unix)]
fn identity(meta: &Metadata) -> (u64, u64) {
    use std::os::unix::fs::MetadataExt;
    (meta.dev(), meta.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> (u64, u64) {
    (0, 0)
}

/// How large a component's file may be.
const MAX_COMPONENT_BYTES: u64 = 256 * 1024 * 1024;

/// What is in a component's file. It blocks on the disk, and on nothing else: what is no regular file is not opened.
///
/// # Errors
/// The system's, and where it is no regular file or larger than 256 MiB.
pub fn read_component(file: &Path) -> io::Result<Vec<u8>> {
    read_within(file, MAX_COMPONENT_BYTES)
}

fn read_within(file: &Path, limit: u64) -> io::Result<Vec<u8>> {
    let meta = std::fs::metadata(file)?;
    if meta.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if !meta.is_file() {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"));
    }
    let mut bytes = Vec::new();
    File::open(file)?.take(limit.saturating_add(1)).read_to_end(&mut bytes)?;
    if u64::try_from(bytes.len()).is_ok_and(|read| read <= limit) {
        return Ok(bytes);
    }
    Err(io::Error::new(io::ErrorKind::FileTooLarge, format!("it is larger than {limit} bytes")))
}

/// Watches one file.
#[derive(Debug)]
pub struct FileWatch {
    file: PathBuf,
    interval: Duration,
    loaded: Option<Look>,
    before: Option<Look>,
}

impl FileWatch {
    /// Watches `file` from now on, and looks at it once an `interval`.
    pub fn new(file: &Path, interval: Duration) -> Self {
        let loaded = look(file);
        Self { file: file.to_owned(), interval, loaded, before: loaded }
    }

    /// Waits until the file has changed and has then stayed as it is for one interval. It can be dropped and called again.
    pub async fn changed(&mut self) {
        loop {
            tokio::time::sleep(self.interval).await;
            let now = look(&self.file);
            let before = std::mem::replace(&mut self.before, now);
            if now.is_some() && now == before && now != self.loaded {
                self.loaded = now;
                return;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_read_is_a_regular_file_of_some_size() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("a.wasm");
        std::fs::write(&file, "1234").unwrap();
        assert_eq!(read_within(&file, 4).unwrap(), b"1234");
        assert_eq!(read_within(&file, 3).unwrap_err().to_string(), "it is larger than 3 bytes");
        assert_eq!(read_component(folder.path()).unwrap_err().kind(), io::ErrorKind::IsADirectory);
        assert_eq!(read_component(&folder.path().join("b")).unwrap_err().kind(), io::ErrorKind::NotFound);
        assert!(look(folder.path()).is_none());
    }

    #[cfg(unix)]
    #[test]
    fn what_is_endless_is_not_read() {
        let error = read_component(Path::new("/dev/zero")).unwrap_err();
        assert_eq!(error.to_string(), "it is no regular file");
    }

    #[cfg(unix)]
    #[tokio::test(start_paused = true)]
    async fn a_link_to_another_file_of_the_same_time_and_size_is_noticed() {
        let folder = tempfile::tempdir().unwrap();
        let [one, two, link, next] = ["one", "two", "link", "next"].map(|name| folder.path().join(name));
        for file in [&one, &two] {
            std::fs::write(file, "same size").unwrap();
            File::options().append(true).open(file).unwrap().set_modified(SystemTime::UNIX_EPOCH).unwrap();
        }
        std::os::unix::fs::symlink(&one, &link).unwrap();
        let mut watch = FileWatch::new(&link, Duration::from_millis(500));
        let wait = Duration::from_mins(1);
        assert!(tokio::time::timeout(wait, watch.changed()).await.is_err(), "nothing has changed");
        std::os::unix::fs::symlink(&two, &next).unwrap();
        std::fs::rename(&next, &link).unwrap();
        assert!(tokio::time::timeout(wait, watch.changed()).await.is_ok());
    }
}
