//! Stores in files, for as long as a benchmark runs.

use std::path::Path;

use anyhow::{Context, Result};
use stash_core::{Batch, CacheConfig, ComponentStorage};
use stash_host::{Stash, StashConfig, StoreUrl};
use tempfile::TempDir;

use crate::plain::Plain;
use crate::records;

/// A folder for stores, on the disk that the project is built on: a temporary folder may be in memory, where a durable
/// commit costs nothing. Gone when dropped.
///
/// # Errors
/// What the file system says.
pub fn folder() -> Result<TempDir> {
    let target = xtask::paths::target();
    std::fs::create_dir_all(&target)?;
    tempfile::Builder::new().prefix("stash-bench-").tempdir_in(&target).context("cannot make a folder for the stores")
}

/// A Stash store with the [`records`], in `folder`.
///
/// # Errors
/// The store's.
pub async fn stash(folder: &Path, name: &str, cache: CacheConfig) -> Result<Stash> {
    let url = StoreUrl::Redb(folder.join(name));
    let stash = Stash::open(&url, StashConfig { cache, ..StashConfig::default() }).await?;
    for (id, count) in records::components() {
        fill(&stash.component(&id), count).await?;
    }
    Ok(stash)
}

/// Gives a component its first `count` [`records`].
///
/// # Errors
/// The store's.
pub async fn fill(component: &impl ComponentStorage, count: usize) -> Result<()> {
    for chunk in (0..count).collect::<Vec<_>>().chunks(1000) {
        let batch = chunk.iter().fold(Batch::new(), |batch, n| batch.set(records::key(*n), records::value(*n)));
        component.commit(batch).await?;
    }
    Ok(())
}

/// redb alone with the same records, in `folder`.
///
/// # Errors
/// redb's.
pub fn plain(folder: &Path) -> Result<Plain> {
    Plain::create(&folder.join("plain.redb"))
}
