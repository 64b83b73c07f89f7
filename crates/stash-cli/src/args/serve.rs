//! What `stash serve` may be told.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};

use super::guest::GuestOptions;
use super::values::{bytes, some_time};

/// Serve components that answer HTTP requests.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash serve counter.wasm
  stash serve --addr 0.0.0.0:80 --admin 127.0.0.1:9090 --access-log text counter.wasm
  stash serve --id shop/api/001 --config currency=EUR --timeout 5s --quota 1GiB api.wasm

It ends at Ctrl-C or SIGTERM, when the requests under way are answered.

Exit codes: 0 after a request to end, 1 where it could not be started, 130 where requests had to be cut off")]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) options: GuestOptions,

    /// Where to listen; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:8080")]
    pub(crate) addr: SocketAddr,

    /// Where to answer operators: /healthz and /metrics [default: nowhere]
    #[arg(long, value_name = "ADDRESS")]
    pub(crate) admin: Option<SocketAddr>,

    /// Write a line for each request on standard output
    #[arg(long, value_name = "FORMAT", default_value = "off")]
    pub(crate) access_log: AccessLogFormat,

    /// How long a request may take, to the last byte of its answer: seconds, or such as 500ms
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "60s")]
    pub(crate) timeout: Duration,

    /// Requests answered at once; further ones wait
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=100_000))]
    pub(crate) max_requests: u32,

    /// Connections open at once; further ones wait
    #[arg(long, value_name = "NUMBER", default_value_t = 1000, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) max_connections: u32,

    /// How large a request's body may be
    #[arg(long, value_name = "BYTES", value_parser = bytes, default_value_t = ByteSize::mib(32))]
    pub(crate) max_body: ByteSize,

    /// How long requests under way may take when it is asked to end
    #[arg(long, value_name = "TIME", value_parser = some_time, default_value = "30s")]
    pub(crate) grace: Duration,

    /// Do not load the component again when its file changes
    #[arg(long)]
    pub(crate) no_reload: bool,

    /// The component, a .wasm file or its text form
    #[arg(value_name = "GUEST")]
    pub(crate) guest: PathBuf,
}

/// How requests are logged.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum AccessLogFormat {
    /// Not at all
    Off,
    /// A line for people
    Text,
    /// A JSON object on a line
    Json,
}
