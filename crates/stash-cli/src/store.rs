//! Opening the store that the command line names.

use std::io::ErrorKind;

use anyhow::{Result, bail};
use stash_host::{Stash, StashConfig, StoreUrl};
use tracing::info;

use crate::args::StoreArguments;

/// Opens the store, and makes it where it is not there.
pub(crate) async fn open(arguments: &StoreArguments, config: StashConfig) -> Result<Stash> {
    let url = arguments.url()?;
    info!("the store is {url}");
    Ok(Stash::open(&url, config).await?)
}

/// Opens a store to look at: one that is not there is an error and not a new store.
pub(crate) async fn open_existing(arguments: &StoreArguments) -> Result<Stash> {
    if let StoreUrl::Redb(path) = arguments.url()?
        // An empty file is one that nobody has made a store yet.
        && path.metadata().map_or_else(|error| error.kind() == ErrorKind::NotFound, |found| found.len() == 0)
    {
        bail!("there is no store {}; name one with --store or STASH_STORE, or run a component first", path.display());
    }
    open(arguments, StashConfig::default()).await
}
