//! What the command line may say, and its help. No behaviour.

use std::path::{Path, PathBuf};
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, Parser, Subcommand};
use clap_complete::Shell;
use stash_core::ComponentId;
use stash_host::StoreUrl;

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
  stash ids                                       see which components have stored something

Exit codes:
  run: the guest's own; 1 where it could not be started, 134 where it trapped or ran out of time
  kv, ids: 0 done, 1 no such key, 2 an error"
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
    /// The store: `redb:PATH`, or `memory:` for one that is gone afterwards
    #[arg(long, global = true, env = "STASH_STORE", value_name = "URL", default_value = "redb:.stash/store.redb")]
    pub(crate) store: StoreUrl,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a component: a command to its end, or one exported function
    Run(RunArguments),
    /// See and fix a component's data
    #[command(arg_required_else_help = true)]
    Kv(KvArguments),
    /// List the components that have stored something
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

    /// How much it may store in all, such as 10MiB [default: no limit]
    #[arg(long, value_name = "BYTES")]
    pub(crate) quota: Option<ByteSize>,

    /// How much memory it may use
    #[arg(long, value_name = "BYTES", default_value = "1GiB")]
    pub(crate) max_memory: ByteSize,

    /// Stop it after so long, such as 500ms or 2m [default: never]
    #[arg(long, value_name = "TIME", value_parser = humantime::parse_duration)]
    pub(crate) timeout: Option<Duration>,

    /// Compile it anew, and do not keep the compiled code
    #[arg(long)]
    pub(crate) no_code_cache: bool,

    /// The component, a .wasm file or its text form, and its arguments: all that follows is the guest's
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_names = ["GUEST", "ARGS"])]
    guest_and_args: Vec<String>,
}

impl RunArguments {
    /// The component's file.
    pub(crate) fn guest(&self) -> &Path {
        // clap asks for at least one; an empty path is refused when it is read.
        Path::new(self.guest_and_args.first().map_or("", String::as_str))
    }

    /// What the guest is told.
    pub(crate) fn guest_args(&self) -> &[String] {
        self.guest_and_args.get(1..).unwrap_or_default()
    }
}

/// See and fix a component's data.
#[derive(Debug, Args)]
pub(crate) struct KvArguments {
    #[command(subcommand)]
    pub(crate) command: KvCommand,
}

/// Whose data, and how to print.
#[derive(Debug, Args)]
pub(crate) struct KvTarget {
    /// Whose data: namespace/name/instance
    #[arg(long, value_name = "ID")]
    pub(crate) id: ComponentId,

    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
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
        #[command(flatten)]
        target: KvTarget,
        /// Write the bytes as they are, and nothing else
        #[arg(long, conflicts_with = "json")]
        raw: bool,
        /// The key
        key: String,
    },
    /// Store a value: from the command line, a file or standard input
    #[command(after_help = "\
Examples:
  stash kv set --id app/counter/001 count 41
  stash kv set --id app/photos/001 --file cat.png cat.png
  date | stash kv set --id app/clock/001 now")]
    Set {
        #[command(flatten)]
        target: KvTarget,
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
        #[command(flatten)]
        target: KvTarget,
        /// The key
        key: String,
    },
    /// Say whether there is a record
    #[command(after_help = "Exit codes: 0 there is, 1 there is not, 2 an error")]
    Exists {
        #[command(flatten)]
        target: KvTarget,
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
        #[command(flatten)]
        target: KvTarget,
        /// Also the version and the size of each value
        #[arg(short, long)]
        long: bool,
        /// Only keys that begin with this
        #[arg(default_value = "", hide_default_value = true)]
        prefix: String,
    },
    /// Say how much is stored
    Usage {
        #[command(flatten)]
        target: KvTarget,
    },
}

/// List components.
#[derive(Debug, Args)]
pub(crate) struct IdsArguments {
    /// Print JSON, for scripts
    #[arg(long)]
    pub(crate) json: bool,
}
