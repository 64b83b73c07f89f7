//! The etcd engine of Stash: small, strongly consistent state that several hosts share, and that survives the loss of a
//! machine, in [etcd](https://etcd.io) 3.4 or newer.
//!
//! - A commit is one transaction of etcd: it compares the heads of the namespaces that it looked at, and writes. Ok means
//!   that a majority of the members has it on their disks.
//! - A read is one transaction of ranges, so it is one state, and linearizable. A snapshot is a revision; it holds nothing at
//!   the server.
//! - The limits of etcd, 128 operations a transaction and 1.5 MiB a request, are lifted: transactions are nested, large
//!   values are in pieces, and what does not fit into one transaction is in a journal, which one transaction makes count.
//! - Other hosts' commits are heard of by a watch.
//! - When a member does not answer, the next one is asked.
//!
//! It knows nothing of components and records, and must never call a commit refused that may be applied.
//!
//! ```no_run
//! # async fn example() -> Result<(), stash_etcd::OpenError> {
//! let url = "etcd://a.example:2379,b.example:2379,c.example:2379/stash";
//! let backend: stash_etcd::EtcdBackend = stash_etcd::open(url, &stash_etcd::EtcdOptions::default()).await?;
//! # Ok(())
//! # }
//! ```

mod client;
mod commit;
mod entry;
mod error;
mod failure;
mod feed;
mod heads;
mod journal;
mod journals;
mod keys;
mod nest;
mod proto;
mod reader;
mod server;
#[cfg(feature = "testing")]
pub mod testing;
mod tidy;
mod url;

use std::time::Duration;

use stash_core::EngineBackend;
use stash_shared::{SharedEngine, SharedOptions};

pub use error::OpenError;
pub use server::{Etcd, EtcdSnapshot};
use url::Target;

/// The engine: etcd, shared by several hosts.
pub type EtcdEngine = SharedEngine<Etcd>;

/// The storage of components in etcd.
pub type EtcdBackend = EngineBackend<EtcdEngine>;

/// The least that etcd must take in one request: two keys and a piece of a value.
const LEAST_REQUEST_BYTES: usize = 64 * 1024;
/// The least that etcd must take in one transaction.
const LEAST_TXN_OPS: usize = 32;

/// How a store in etcd is opened. What the URL says counts before this.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EtcdOptions {
    /// How the engine deals with etcd.
    pub shared: SharedOptions,
    /// Bytes of one request: etcd's `--max-request-bytes`. At least 64 KiB.
    pub max_request_bytes: usize,
    /// Operations of one transaction: etcd's `--max-txn-ops`. At least 32.
    pub max_txn_ops: usize,
    /// How long states are kept before they are compacted; `None` leaves that to etcd's `--auto-compaction-retention` or its
    /// operator. Only for an etcd that nobody else uses.
    pub compact: Option<Duration>,
    /// Puts every commit into a journal and leaves that to others, as a host that ends right after it: for tests.
    #[doc(hidden)]
    pub leaves_journals: bool,
}

impl Default for EtcdOptions {
    /// As etcd is without options: 1.5 MiB, 128 operations, nothing compacted.
    fn default() -> Self {
        Self {
            shared: SharedOptions::default(),
            max_request_bytes: 1_572_864,
            max_txn_ops: 128,
            compact: None,
            leaves_journals: false,
        }
    }
}

/// Opens the store that a URL names, such as `etcd://user:password@a:2379,b:2379/prefix`, or makes it.
///
/// # Errors
/// [`OpenError`] says why it cannot be used, and what to do. Where etcd cannot be reached, after the time of one call.
pub async fn open(url: &str, options: &EtcdOptions) -> Result<EtcdBackend, OpenError> {
    let target = Target::parse(url)?;
    let (server, prefix) = (target.shown(), target.prefix.clone());
    let engine = open_target(target, options).await?;
    EngineBackend::open(engine).await.map_err(|error| OpenError::of_storage(server, prefix, error))
}

/// The same without what is built above an engine.
///
/// # Errors
/// As [`open`].
pub async fn open_engine(url: &str, options: &EtcdOptions) -> Result<EtcdEngine, OpenError> {
    open_target(Target::parse(url)?, options).await
}

async fn open_target(target: Target, options: &EtcdOptions) -> Result<EtcdEngine, OpenError> {
    let own = options.clone();
    SharedEngine::open(options.shared.clone(), || Etcd::connect(target, own)).await
}
