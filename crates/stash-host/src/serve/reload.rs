//! Noticing that a component's file has changed. Half a file must never be taken for one.

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a file looks like from outside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Look {
    modified: Option<SystemTime>,
    bytes: u64,
}

fn look(file: &Path) -> Option<Look> {
    let meta = std::fs::metadata(file).ok()?;
    Some(Look { modified: meta.modified().ok(), bytes: meta.len() })
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
