//! What the command line may say, and its help. No behaviour.

use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::Context;
use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use stash_core::ComponentId;
use stash_host::{GuestLimits, StoreUrl};

/// Run WebAssembly components that keep their data, each its own.
#[derive(Debug, Parser)]
#[command(
    name = "stash",
    version,
    arg_required_else_help = true,
    after_help = "\
Examples:
  stash run word-count.wasm < README.md           run a command; its data stays in .stash/store.redb
  stash run --invoke 'increment()' counter.wasm   call one exported function
  stash kv list --id app/word-count/001           see what a component has stored
  stash ids                                       see which components have data

Exit codes:
  run: the guest's own; 1 where it could not be started, 134 where it trapped or ran out of time,
       130 and 143 where we were asked to end; --invoke exits with 0 also where the result is an err
  kv, ids: 0 done, 1 no such key, 2 an error
  all: 2 where the command line is not understood"
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) store: StoreArguments,

    /// Say more on standard error: -v what happens, -vv in detail. `RUST_LOG` says it exactly.
    #[arg(short, long, global = true, action = clap::ArgAction::Count)]
    pub(crate) verbose: u8,

    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which store.
#[derive(Debug, Args)]
pub(crate) struct StoreArguments {
    /// The store: `redb:PATH`, or `memory:` for one that is gone afterwards [default: $STASH_STORE, else
    /// redb:.stash/store.redb]
    #[arg(long, global = true, value_name = "URL")]
    store: Option<StoreUrl>,
}

impl StoreArguments {
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
    /// Run a component: a command to its end, or one exported function
    Run(RunArguments),
    /// See and fix a component's data
    #[command(arg_required_else_help = true)]
    Kv(KvArguments),
    /// List the components that have data
    Ids(IdsArguments),
    /// Print completions for a shell
    #[command(after_help = "Example:\n  stash completions bash > ~/.local/share/bash-completion/completions/stash")]
    Completions {
        /// Which shell
        shell: Shell,
    },
}

/// Run a component.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash run word-count.wasm < README.md
  stash run --id shop/notes/anna notes.wasm add 'buy pears' 'two of them'
  stash run --dir ./data::/data --env LEVEL=3 import.wasm /data/input.csv
  stash run --invoke 'increment()' counter.wasm
  stash run --invoke 'example:shop/orders#place(\"pears\", 2)' shop.wasm")]
pub(crate) struct RunArguments {
    /// Whose data it uses, as namespace/name/instance [default: app/FILE/001, after the file's name]
    #[arg(long, value_name = "ID")]
    pub(crate) id: Option<ComponentId>,

    /// Call this exported function instead of running a command: a call in WAVE text
    #[arg(long, value_name = "CALL")]
    pub(crate) invoke: Option<String>,

    /// Give it an environment variable; without a value, ours
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) env: Vec<String>,

    /// Give it a folder, under its own name or another
    #[arg(long, value_name = "HOST[::GUEST]")]
    pub(crate) dir: Vec<String>,

    /// How much it may store in all, such as 10MiB; for this run, not kept [default: no limit]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) quota: Option<ByteSize>,

    /// How much memory it may use
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value_t = ByteSize(default_memory()))]
    pub(crate) max_memory: ByteSize,

    /// Stop it after so long: seconds, or such as 500ms or 2m [default: never]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// Compile it anew, and do not keep the compiled code
    #[arg(long)]
    pub(crate) no_code_cache: bool,

    /// The component, a .wasm file or its text form, and its arguments: all that follows is the guest's
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_names = ["GUEST", "ARGS"])]
    guest_and_args: Vec<OsString>,
}

fn default_memory() -> u64 {
    u64::try_from(GuestLimits::default().memory_bytes).unwrap_or(u64::MAX)
}

fn bytes(text: &str) -> Result<ByteSize, &'static str> {
    text.parse().map_err(|_| "write a number of bytes, or one with a unit such as 10MiB")
}

fn duration(text: &str) -> Result<Duration, &'static str> {
    if let Ok(seconds) = text.parse() {
        return Ok(Duration::from_secs(seconds));
    }
    humantime::parse_duration(text).map_err(|_| "write a number of seconds, or a time with a unit such as 500ms or 2m")
}

impl RunArguments {
    /// The component's file.
    pub(crate) fn guest(&self) -> &Path {
        // clap asks for at least one; an empty path is refused when it is read.
        Path::new(self.guest_and_args.first().map_or(OsStr::new(""), OsString::as_os_str))
    }

    /// What the guest is told.
    pub(crate) fn guest_args(&self) -> &[OsString] {
        self.guest_and_args.get(1..).unwrap_or_default()
    }
}

/// See and fix a component's data.
#[derive(Debug, Args)]
#[command(after_help = "One process at a time has a redb store open: look at it when its guests have ended.")]
pub(crate) struct KvArguments {
    /// Whose data: namespace/name/instance
    #[arg(long, global = true, value_name = "ID")]
    id: Option<ComponentId>,

    /// Print JSON, for scripts
    #[arg(long, global = true)]
    pub(crate) json: bool,

    #[command(subcommand)]
    pub(crate) command: KvCommand,
}

impl KvArguments {
    /// Whose data is meant.
    pub(crate) fn id(&self) -> anyhow::Result<&ComponentId> {
        self.id.as_ref().context("whose data? Say it with --id namespace/name/instance; 'stash ids' lists them")
    }
}

#[derive(Debug, Subcommand)]
pub(crate) enum KvCommand {
    /// Print a value: text as text, anything else as hex
    #[command(after_help = "\
Examples:
  stash kv get --id app/counter/001 count
  stash kv get --id app/photos/001 --raw cat.png > cat.png

Exit codes: 0 printed, 1 no such key, 2 an error")]
    Get {
        /// Write the bytes as they are, and nothing else
        #[arg(long)]
        raw: bool,
        /// The key
        key: String,
    },
    /// Store a value: from the command line, a file or standard input
    #[command(after_help = "\
Examples:
  stash kv set --id app/counter/001 count 41
  stash kv set --id app/photos/001 --file cat.png cat.png
  date | stash kv set --id app/clock/001 now

Every byte counts, also the newline at the end of a line: printf 41 | stash kv set --id app/counter/001 count")]
    Set {
        /// Take the value from this file; `-` is standard input
        #[arg(long, value_name = "FILE", conflicts_with = "value")]
        file: Option<PathBuf>,
        /// The key
        key: String,
        /// The value [default: what standard input says]
        value: Option<String>,
    },
    /// Remove a record
    #[command(after_help = "Exit codes: 0 removed, 1 no such key, 2 an error")]
    Delete {
        /// The key
        key: String,
    },
    /// Say whether there is a record
    #[command(after_help = "Exit codes: 0 there is, 1 there is not, 2 an error")]
    Exists {
        /// The key
        key: String,
    },
    /// List keys in byte order
    #[command(after_help = "\
Examples:
  stash kv list --id app/word-count/001 word/s
  stash kv list --id app/word-count/001 --long

A key with characters that do not print is shown quoted and escaped; --json shows every key exactly.")]
    List {
        /// Also the version and the size of each value; reads every value
        #[arg(short, long)]
        long: bool,
        /// Only keys that begin with this
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Say how much is stored
    Usage,
}

/// List components.
#[derive(Debug, Args)]
pub(crate) struct IdsArguments {
    /// Also those that have deleted all their data
    #[arg(long)]
    pub(crate) all: bool,

    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}
