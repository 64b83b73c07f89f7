//! Opening the store that the command line names, and what of the disk it is in. Looking must never make one.

use std::io::ErrorKind;
use std::path::Path;

use anyhow::{Result, bail};
use stash_core::NamespaceUsage;
use stash_host::{Stash, StashConfig, StoreUrl};
use tracing::info;

use crate::args::StoreArguments;

/// Components read at once.
const PAGE: usize = 1000;

/// Opens the store, and makes it where it is not there.
pub(crate) async fn open(arguments: &StoreArguments, config: StashConfig) -> Result<Stash> {
    open_at(&arguments.url()?, config).await
}

/// As [`open`], where it is known which.
pub(crate) async fn open_at(url: &StoreUrl, config: StashConfig) -> Result<Stash> {
    info!("the store is {url}");
    Ok(Stash::open(url, config).await?)
}

/// Opens a store to look at: one that is not there is an error and not a new store.
pub(crate) async fn open_existing(arguments: &StoreArguments, config: StashConfig) -> Result<Stash> {
    let url = arguments.url()?;
    check_exists(&url)?;
    open_at(&url, config.without_making_one()).await
}

/// That there is such a store, as far as can be told without opening it.
pub(crate) fn check_exists(url: &StoreUrl) -> Result<()> {
    match url.path() {
        Some(path) if is_unused(path) => {
            bail!(
                "there is no store {}; name one with --store or STASH_STORE, or run a component first",
                path.display()
            )
        }
        _ => Ok(()),
    }
}

/// Whether nobody has made a store there: nothing, or an empty file or folder.
fn is_unused(path: &Path) -> bool {
    match path.metadata() {
        Err(error) => error.kind() == ErrorKind::NotFound,
        Ok(found) if found.is_dir() => path.read_dir().is_ok_and(|mut inside| inside.next().is_none()),
        // A device has no length either: opening it says what it is.
        Ok(found) => found.is_file() && found.len() == 0,
    }
}

/// Whether the component has data: records, or earlier versions of some that it keeps.
pub(crate) fn has_data(component: &NamespaceUsage) -> bool {
    component.usage.key_count > 0 || component.usage.used_bytes > 0
}

/// Every component that has data or had some, in the order of their ids.
pub(crate) async fn components(stash: &Stash) -> Result<Vec<NamespaceUsage>> {
    let mut found: Vec<NamespaceUsage> = Vec::new();
    loop {
        let page = stash.components(found.last().map(|last| &last.id), PAGE).await?;
        let done = page.len() < PAGE;
        found.extend(page);
        if done {
            return Ok(found);
        }
    }
}
