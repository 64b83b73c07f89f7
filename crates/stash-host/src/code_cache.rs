//! Where compiled code is kept. Whoever can write there decides what the next process runs: hosts must know the folder to
//! keep guests out of it.

use std::path::PathBuf;

use crate::runtime::CodeCache;

impl CodeCache {
    /// The folder, which is made where it is not there; `None` where no code is kept.
    pub fn folder(&self) -> Option<PathBuf> {
        match self {
            Self::Off => None,
            Self::Folder(folder) => Some(folder.clone()),
            // Where it cannot be had, the runtime keeps no code and says so.
            Self::User => wasmtime::CacheConfig::from_file(None).ok()?.directory().cloned(),
        }
    }
}
