//! What `stash run` may be told. All that follows the guest's file must stay the guest's.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use bytesize::ByteSize;
use clap::Args;
use stash_core::ComponentId;
use stash_core::limits::{DEFAULT_MAX_VALUE_BYTES, DEFAULT_TRANSACTION_AGE};
use stash_host::GuestLimits;

use super::values::{bytes, duration, some_time, value_bytes};

/// Run a component.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash run word-count.wasm < README.md
  stash run --id shop/notes/anna notes.wasm add 'buy pears' 'two of them'
  stash run --dir ./data::/data --env LEVEL=3 import.wasm /data/input.csv
  stash run --invoke 'increment()' counter.wasm
  stash run --invoke 'example:shop/orders#place(\"pears\", 2)' shop.wasm
  stash run --quota 10MiB --max-value 64KiB --transaction-timeout 5s shop.wasm")]
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

    /// How large one value may be, such as 64KiB; for this run, not kept [default: 16MiB]
    #[arg(long, value_name = "BYTES", value_parser = value_bytes, default_value_t = DEFAULT_MAX_VALUE_BYTES,
        hide_default_value = true)]
    pub(crate) max_value: usize,

    /// How long it may have a transaction open: seconds, or such as 500ms or 2m [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    transaction_timeout: Option<Duration>,

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

    /// How long it may have a transaction open.
    pub(crate) fn transaction_age(&self) -> Duration {
        self.transaction_timeout.unwrap_or(DEFAULT_TRANSACTION_AGE)
    }
}
