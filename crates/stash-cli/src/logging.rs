//! What is said on standard error beside errors: tracing events, chosen by `-v` or `RUST_LOG`.

use std::io::{IsTerminal, stderr};

use tracing_subscriber::EnvFilter;

pub(crate) fn start(verbose: u8) {
    let chosen = std::env::var("RUST_LOG").ok().filter(|filter| !filter.is_empty());
    let default = match verbose {
        0 => "warn,stash::guest=info",
        1 => {
            "warn,stash=info,stash_host=info,stash_redb=info,stash_fjall=info,stash_group_commit=info,\
              stash_core=info"
        }
        _ => {
            "info,stash=debug,stash_host=debug,stash_redb=debug,stash_fjall=debug,stash_group_commit=debug,\
              stash_core=debug"
        }
    };
    let filter = chosen.as_deref().map_or_else(
        || EnvFilter::new(default),
        |chosen| {
            EnvFilter::try_new(chosen).unwrap_or_else(|error| {
                crate::output::say(&format!("warning: RUST_LOG is not understood ({error}); going on without it"));
                EnvFilter::new(default)
            })
        },
    );
    let colours = stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty());
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(crate::stderr::Log)
        .with_ansi(colours)
        .without_time()
        // A log that cannot be written (a full disk) must not stop what it tells about.
        .log_internal_errors(false)
        .init();
}
