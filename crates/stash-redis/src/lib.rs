//! The Redis engine of Stash: components' data in a Redis or Valkey server, or in a cluster of them, that several hosts
//! share.
//!
//! - A commit is one script, which the server runs all or not at all; the keys of a namespace are in one hash slot.
//! - Lists are ranges of a sorted set for each namespace; expiry is Stash's own, and exact.
//! - A snapshot costs nothing until something changes: then the server sets aside what was there, in memory only.
//! - Whether `Ok` survives a power cut is the server's to say, and is asked when a store is opened:
//!   [`EngineInfo::durable`](stash_core::engine::EngineInfo::durable).
//!
//! It knows nothing of components and records, and must never take a commit for applied, or for not applied, that it does
//! not know of.
//!
//! ```no_run
//! use stash_redis::{RedisBackend, RedisOptions};
//! # tokio::runtime::Builder::new_current_thread().build()?.block_on(async {
//! let url = "redis://stash:secret@redis.example:6379/0?prefix=stash";
//! let backend: RedisBackend = stash_redis::open(url, &RedisOptions::default()).await?;
//! println!("durable: {}", backend.info().durable);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod ask;
mod check;
mod commit;
mod error;
mod layout;
mod link;
mod news;
mod script;
mod server;
mod servers;
mod snapshot;
mod target;
#[cfg(feature = "testing")]
pub mod testing;
mod wide;

use std::sync::Arc;
use std::time::Duration;

use stash_core::EngineBackend;
use stash_shared::{SharedEngine, SharedOptions};

pub use error::OpenError;
pub use server::RedisServer;
use servers::Servers;
pub use snapshot::RedisSnapshot;
use target::Target;

/// The engine: what all engines that several hosts share have in common, over Redis.
pub type RedisEngine = SharedEngine<RedisServer>;

/// The storage of components in Redis.
pub type RedisBackend = EngineBackend<RedisEngine>;

/// How the engine deals with its server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RedisOptions {
    /// What all shared engines have.
    pub shared: SharedOptions,
    /// How long a snapshot lives at most: longer than any transaction. While there is one, the server keeps in memory what
    /// each key was that has changed since.
    pub snapshot_life: Duration,
    /// Snapshots that this host may have open at once. Each transaction has one, and each page of a list for a moment.
    pub snapshots: usize,
    /// Bytes that the server, on a cluster each namespace, sets aside for snapshots of all hosts; a commit that sets aside
    /// more ends the oldest ones.
    pub set_aside_bytes: u64,
}

impl Default for RedisOptions {
    /// 2 minutes, 2,000 snapshots, 256 MiB.
    fn default() -> Self {
        Self {
            shared: SharedOptions::default(),
            snapshot_life: Duration::from_mins(2),
            snapshots: 2000,
            set_aside_bytes: 256 * 1024 * 1024,
        }
    }
}

/// Opens the store that a URL names, such as `redis://USER:PASSWORD@HOST:6379/0?prefix=stash`, or makes it.
///
/// # Errors
/// [`OpenError`] says why there is no store, without the password.
pub async fn open(url: &str, options: &RedisOptions) -> Result<RedisBackend, OpenError> {
    let shown = Target::parse(url)?.shown();
    let engine = open_engine(url, options).await?;
    EngineBackend::open(engine).await.map_err(|error| OpenError::of_storage(&shown, error))
}

/// The engine alone.
///
/// # Errors
/// As [`open`].
pub async fn open_engine(url: &str, options: &RedisOptions) -> Result<RedisEngine, OpenError> {
    let servers = Arc::new(Servers::new(Target::parse(url)?, options.shared.call_timeout));
    let shown = servers.target().shown();
    let (limit, own) = (options.shared.patience, options.clone());
    let connect = || async move {
        let durable = match tokio::time::timeout(limit, check::servers(&servers, own.shared.create)).await {
            Ok(durable) => durable?,
            Err(_) => {
                let reason = "it did not answer in time".to_owned();
                return Err(OpenError::Unreachable { server: shown, reason });
            }
        };
        Ok(RedisServer::new(servers, own, durable)?)
    };
    SharedEngine::open(options.shared.clone(), connect).await
}
