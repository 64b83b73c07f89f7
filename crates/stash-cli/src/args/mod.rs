//! What the command line may say, and its help. It must never do anything beyond reading arguments.

mod collections;
mod copy;
mod guest;
mod kv;
mod new;
mod run;
mod serve;
mod store_url;
mod values;

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use stash_core::ComponentId;
use stash_host::StoreUrl;

pub(crate) use collections::{CollectionsArguments, CollectionsCommand, SettingsArguments};
pub(crate) use copy::CopyArguments;
pub(crate) use guest::{Grants, GuestOptions, MAX_RESULT, Preset};
pub(crate) use kv::{KvArguments, KvCommand, ListArguments, SetArguments, ValueArguments};
pub(crate) use new::NewArguments;
pub(crate) use run::RunArguments;
pub(crate) use serve::{AccessLogFormat, MAX_CONNECTIONS, MAX_REQUESTS, ServeArguments};
pub(crate) use values::{address as parse_address, bytes as parse_bytes, some_time as parse_time};

/// Where options that many commands have stand in each one's help: behind its own.
const GLOBAL: usize = 900;

/// Run WebAssembly components that keep their data, each its own.
#[derive(Debug, Parser)]
#[command(
    name = "stash",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  stash new rust guest-book                       begin a component of your own
  stash run word-count.wasm < README.md           run a command; its data stays in .stash/store.redb
  stash run --invoke 'increment()' counter.wasm   call one exported function
  stash serve counter.wasm                        answer HTTP requests
  stash ids                                       see which components have data
  stash kv list --id app/word-count/001           see what a component has stored
  stash collections list --id app/shop/001        see which collections it has made
  stash status                                    see how the store is

Exit codes:
  run: the guest's own; 1 where it could not be started, 134 where it trapped or ran out of time,
       130 and 143 where we were asked to end; --invoke exits with 0 also where the result is an err
  serve: 0 after a request to end; 1 where it could not be started
  kv:  0 done, 1 no: there is no such key, a condition does not hold, or a question was answered
       with no; 2 an error, also where there is no such collection
  collections: the same; 1 where there is no such collection, or it is there already or not empty
  new, ids: 0 done, 2 an error
  status: 0 healthy, 1 not, 2 an error
  all: 2 where the command line is not understood"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,

    /// Say more on standard error: -v what happens, -vv in detail. `RUST_LOG` says it exactly.
    #[arg(short, long, global = true, display_order = GLOBAL, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    /// The store: `redb:PATH` or `sqlite:PATH` (a file), `fjall:PATH` or `files:PATH` (a folder), `postgres://...`,
    /// `redis://...` or `etcd://...` (a server, which other hosts may use too), or `memory:` for one that is gone afterwards
    /// [default: $STASH_STORE, else redb:.stash/store.redb]
    #[arg(long, global = true, display_order = GLOBAL, value_name = "URL", value_parser = store_url::Parser)]
    store: Option<StoreUrl>,
}

impl StoreArguments {
    /// Whether the command line or the environment says which.
    pub(crate) fn is_named(&self) -> bool {
        self.store.is_some() || std::env::var_os("STASH_STORE").is_some_and(|value| !value.is_empty())
    }

    /// The store that is meant: as the command line says, else the environment, else the one in this folder.
    pub(crate) fn url(&self) -> anyhow::Result<StoreUrl> {
        if let Some(url) = &self.store {
            return Ok(url.clone());
        }
        match std::env::var_os("STASH_STORE").filter(|value| !value.is_empty()) {
            Some(value) => value.to_string_lossy().parse().context("the environment's STASH_STORE"),
            None => Ok(StoreUrl::Redb(PathBuf::from(".stash/store.redb"))),
        }
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Begin a project: a component that answers HTTP requests and keeps its data
    New(NewArguments),
    /// Run a component: a command to its end, or one exported function
    Run(RunArguments),
    /// Serve components that answer HTTP requests
    Serve(ServeArguments),
    /// See and fix a component's data
    #[command(arg_required_else_help = true)]
    Kv(KvArguments),
    /// See, make and delete a component's collections
    #[command(arg_required_else_help = true)]
    Collections(CollectionsArguments),
    /// List the components that have data
    Ids(IdsArguments),
    /// Say how the store is, and with --id what a component can do in it
    Status(StatusArguments),
    /// Copy a store into another one, whatever their engines
    Copy(CopyArguments),
    /// Print completions for a shell
    #[command(after_help = "\
Example:
  mkdir -p ~/.local/share/bash-completion/completions
  stash completions bash > ~/.local/share/bash-completion/completions/stash")]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Whose data, and for whom to print.
#[derive(Debug, Args)]
pub(crate) struct TargetArguments {
    /// Whose data: namespace/name/instance
    #[arg(long, global = true, display_order = GLOBAL, value_name = "ID")]
    id: Option<ComponentId>,

    /// Print JSON, for scripts
    #[arg(long, global = true, display_order = GLOBAL)]
    pub(crate) json: bool,
}

impl TargetArguments {
    /// Whose data is meant.
    pub(crate) fn id(&self) -> anyhow::Result<&ComponentId> {
        self.id.as_ref().context("whose data? Say it with --id namespace/name/instance; 'stash ids' lists them")
    }
}

/// List components.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash ids
  stash ids --all --json

What has expired does not count.
Exit codes: 0 done, 2 an error")]
pub(crate) struct IdsArguments {
    /// Also those that have deleted all their data
    #[arg(long)]
    pub(crate) all: bool,

    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}

/// Say how the store is.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash status
  stash status --id app/counter/001
  stash status --json --store redb:/var/lib/stash/store.redb

Exit codes: 0 healthy, 1 not healthy, 2 the store cannot be opened")]
pub(crate) struct StatusArguments {
    /// Also how much this component stores, what it can do, and its limits
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<ComponentId>,

    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}
