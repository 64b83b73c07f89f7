//! What `stash run` may be told. All that follows the guest's file must stay the guest's.

use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::time::Duration;

use clap::Args;

use super::guest::GuestOptions;
use super::values::duration;

/// Run a component.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash run word-count.wasm < README.md
  stash run --id shop/notes/anna notes.wasm add 'buy pears' 'two of them'
  stash run --dir ./data::/data --env LEVEL=3 import.wasm /data/input.csv
  stash run --invoke 'increment()' counter.wasm
  stash run --invoke 'example:shop/orders#place(\"pears\", 2)' shop.wasm
  stash run --config greeting=hello --preset cache/k=v kv-guest.wasm
  stash run --quota 10MiB --max-value 64KiB --transaction-timeout 5s shop.wasm")]
pub(crate) struct RunArguments {
    #[command(flatten)]
    pub(crate) options: GuestOptions,

    /// Call this exported function instead of running a command: a call in WAVE text
    #[arg(long, value_name = "CALL")]
    pub(crate) invoke: Option<String>,

    /// Stop it after so long: seconds, or such as 500ms or 2m [default: never]
    #[arg(long, value_name = "TIME", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,

    /// The component, a .wasm file or its text form, and its arguments: all that follows is the guest's
    #[arg(required = true, trailing_var_arg = true, allow_hyphen_values = true, value_names = ["GUEST", "ARGS"])]
    guest_and_args: Vec<OsString>,
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
