//! What `stash copy` may be told.

use clap::Args;
use stash_host::StoreUrl;

use super::store_url;

/// Copy a store into another one, whatever their engines.
#[derive(Debug, Args)]
#[command(after_help = "\
Everything is copied as it is: values, versions, times, attributes, expiry, collections, history, changes and cursors; quotas
are not part of a store. Of the source one state is copied. At the end both are read, and must have the same digest. Until
then the target cannot be opened as a store.

A copy that was interrupted goes on where it was when the same command is given again; what has changed in the source
meanwhile is copied too.

Examples:
  stash copy redb:.stash/store.redb sqlite:store.sqlite
  stash copy fjall:data files:backup
  stash copy --replace --json sqlite:new.sqlite redb:.stash/store.redb

Exit codes: 0 copied and compared, 2 not, 130 interrupted")]
pub(crate) struct CopyArguments {
    /// The store to copy
    #[arg(value_name = "FROM", value_parser = store_url::Parser)]
    pub(crate) from: StoreUrl,

    /// The store to copy it into, which is made where it is not there
    #[arg(value_name = "TO", value_parser = store_url::Parser)]
    pub(crate) to: StoreUrl,

    /// Remove what the target has
    #[arg(long)]
    pub(crate) replace: bool,

    /// Print a JSON object
    #[arg(long)]
    pub(crate) json: bool,
}
