//! The PostgreSQL engine of Stash: a store in a schema of a database that several hosts share.
//!
//! - A commit is one statement: it locks the heads of the namespaces that it depends on, compares them, and writes only if all
//!   are as expected. Reads are one statement each. So a host that stops leaves nothing open on the server.
//! - `Ok` from an update means that the server has flushed it, as far as its settings say so: see
//!   [`EngineInfo::durable`](stash_core::engine::EngineInfo).
//! - A few connections serve all callers; snapshots, and hearing of other hosts, have connections of their own.
//! - What is common to engines that hosts share (optimistic commits, lost answers, news) is in `stash-shared`.
//!
//! It knows nothing of components and records, and must never repeat a commit whose answer was lost.
//!
//! ```no_run
//! use stash_postgres::{PostgresBackend, PostgresOptions};
//! # async fn example() -> Result<(), stash_postgres::OpenError> {
//! let url = "postgres://stash@db.example/data?sslmode=verify-full";
//! let backend: PostgresBackend = stash_postgres::open(url, &PostgresOptions::default()).await?;
//! # Ok(())
//! # }
//! ```

mod address;
mod channel;
mod commit;
mod connector;
mod error;
mod fetch;
mod link;
mod options;
mod passwords;
mod pool;
mod reads;
mod schema;
mod server;
mod snapshots;
mod sql;
#[cfg(feature = "testing")]
pub mod testing;
mod tls;

use stash_core::EngineBackend;
use stash_shared::SharedEngine;

pub use error::OpenError;
pub use options::PostgresOptions;
pub use server::Postgres;
pub use snapshots::PostgresSnapshot;

/// The engine on a PostgreSQL server.
pub type PostgresEngine = SharedEngine<Postgres>;

/// The storage of components on a PostgreSQL server.
pub type PostgresBackend = EngineBackend<PostgresEngine>;

/// Opens the store at a URL, `postgres://USER:PASSWORD@HOST:PORT/DATABASE?PARAMETERS`, or makes it where the schema is empty
/// or not there. Beside libpq's parameters there are `schema`, `connections` and `snapshots`, as in [`PostgresOptions`].
///
/// # Errors
/// [`OpenError`] says which server could not be used, why, and what to do; never the password.
pub async fn open(url: &str, options: &PostgresOptions) -> Result<PostgresBackend, OpenError> {
    let (engine, name) = server::open(url, options).await?;
    EngineBackend::open(engine).await.map_err(|error| OpenError::of_storage(&name, error))
}

/// The engine alone, without the storage of components over it: for tests, and for those who bring their own.
///
/// # Errors
/// As [`open`].
pub async fn open_engine(url: &str, options: &PostgresOptions) -> Result<PostgresEngine, OpenError> {
    Ok(server::open(url, options).await?.0)
}
