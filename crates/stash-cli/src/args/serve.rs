//! What `stash serve` may be told. What is not said here, a configuration file may say.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytesize::ByteSize;
use clap::{Args, ValueEnum};
use serde::Deserialize;

use super::guest::GuestOptions;
use super::values::{address, bytes, some_time};

/// Requests at once that a server can be told to answer: the instances for all of them are set aside at its start.
pub(crate) const MAX_REQUESTS: u32 = 100_000;
/// Connections at once.
pub(crate) const MAX_CONNECTIONS: u32 = 1_000_000;

/// Serve components that answer HTTP requests.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  stash serve counter.wasm
  stash serve --addr 0.0.0.0:80 --admin 127.0.0.1:9090 --access-log text counter.wasm
  stash serve --id shop/api/001 --config currency=EUR --timeout 5s --quota 1GiB api.wasm
  stash serve --config-file stash.toml

A configuration file has several components, each with its path or host:

  addr = \"127.0.0.1:8080\"
  [[component]]
  file = \"counter.wasm\"          # from the file's own folder
  id = \"shop/counter/001\"        # also: env, dirs, settings, allow-http, allow-buckets,
                                   # preset, quota, stub-unknown-imports
  path = \"/counter\"              # also: host, keep-path

A component that exports wasi:keyvalue/watcher is told of every change of its own data, after the commit. It may stand in a
file beside the one that answers requests, with the same id.

What components print goes to standard error, each line with the component's id in front.
A folder that a component is given must not have components, the configuration or the store in it.

It ends at Ctrl-C or SIGTERM, when the requests under way are answered; at once when asked again.

Exit codes: 0 after a request to end, 1 where it could not be started, 130 where requests had to be cut off")]
pub(crate) struct ServeArguments {
    #[command(flatten)]
    pub(crate) options: GuestOptions,

    /// Serve what this file says [default: stash.toml, where no component is named]
    #[arg(long, value_name = "FILE", conflicts_with_all = ["guest", "Grants", "id"])]
    pub(crate) config_file: Option<PathBuf>,

    /// Where to listen; port 0 takes a free one [default: 127.0.0.1:8080]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) addr: Option<SocketAddr>,

    /// Where to answer operators: /healthz and /metrics [default: nowhere]
    #[arg(long, value_name = "ADDRESS", value_parser = address)]
    pub(crate) admin: Option<SocketAddr>,

    /// Write a line for each request on standard output [default: off]
    #[arg(long, value_name = "FORMAT")]
    pub(crate) access_log: Option<AccessLogFormat>,

    /// How long a request may take, to the last byte of its answer: seconds, or such as 500ms [default: 60s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) timeout: Option<Duration>,

    /// Requests answered at once; further ones wait [default: 1000]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_REQUESTS)))]
    pub(crate) max_requests: Option<u32>,

    /// Connections open at once; further ones wait [default: 1000]
    #[arg(long, value_name = "NUMBER", value_parser = clap::value_parser!(u32).range(1..=i64::from(MAX_CONNECTIONS)))]
    pub(crate) max_connections: Option<u32>,

    /// How large a request's body may be [default: 32MiB]
    #[arg(long, value_name = "BYTES", value_parser = bytes)]
    pub(crate) max_body: Option<ByteSize>,

    /// How long requests under way may take when it is asked to end [default: 30s]
    #[arg(long, value_name = "TIME", value_parser = some_time)]
    pub(crate) grace: Option<Duration>,

    /// Do not load a component again when its file changes
    #[arg(long)]
    pub(crate) no_reload: bool,

    /// The component, a .wasm file or its text form
    #[arg(value_name = "GUEST")]
    pub(crate) guest: Option<PathBuf>,
}

/// How requests are logged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum AccessLogFormat {
    /// Not at all
    #[default]
    Off,
    /// A line for people
    Text,
    /// A JSON object on a line
    Json,
}
