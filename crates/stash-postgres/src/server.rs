//! [`Postgres`]: what `stash-shared` asks of a server. Every question and every commit is one statement, so that a host which
//! stops half-way holds nothing.

use std::sync::Arc;

use bytes::Bytes;
use stash_core::engine::{EngineInfo, EngineStatus, Page, Scan};
use stash_shared::{
    Commit, CommitError, CommitLimits, Fetched, Head, Heard, Outcome, Server, ServerError, SharedEngine, Wanted,
};
use tokio::runtime::Handle;

use crate::address::Address;
use crate::channel::Channel;
use crate::commit::Prepared;
use crate::connector::{Connector, Purpose};
use crate::error::{Failure, OpenError};
use crate::fetch::fetch;
use crate::link::Link;
use crate::options::PostgresOptions;
use crate::pool::Pool;
use crate::snapshots::{PostgresSnapshot, Snapshots};
use crate::sql::{Dialect, Sql};
use crate::tls::Tls;
use crate::{reads, schema};

/// Keys in one commit: the largest batch, with what is stored beside each of its records.
const MOST_WRITES: usize = 200_000;
/// Bytes in one commit: PostgreSQL takes a parameter of less than 1 GiB, and holds it in memory several times.
pub(crate) const MOST_BYTES: usize = 384 * 1024 * 1024;

/// A store on a PostgreSQL server.
pub struct Postgres {
    name: String,
    schema: String,
    durable: bool,
    dialect: Dialect,
    pool: Arc<Pool>,
    snapshots: Arc<Snapshots>,
    channel: Channel,
}

impl Postgres {
    /// Connects, and sees that the schema is there; to be called where its connections are to run.
    pub(crate) async fn connect(address: Address, options: PostgresOptions) -> Result<Self, OpenError> {
        let name = address.name.clone();
        let failed = |failure: Failure| OpenError::of(&name, &failure);
        let handle = Handle::current();
        let tls = Tls::new(&address.tls)?;
        let mut connector = Connector::new(address, tls, &options);
        let first = Link::connect(&connector, &handle).await.map_err(failed)?;
        let client = first.client();
        let asking = async {
            let version = Connector::version(client).await.map_err(failed)?;
            let address = &connector.address;
            let dialect = if address.portable { Dialect::Portable } else { Dialect::of(&version) };
            connector.sql = Sql::new(&address.schema, dialect);
            connector.set_up(client, Purpose::Statements).await.map_err(failed)?;
            schema::prepare(client, &connector, options.shared.create).await?;
            Connector::doubts(client).await.map_err(failed)
        };
        let asked = tokio::time::timeout(options.shared.patience, asking).await;
        let doubts = match asked {
            Ok(asked) => asked?,
            Err(_) => return Err(failed(Failure::NotSent("it did not answer in time".to_owned()))),
        };
        if let Some(doubts) = &doubts {
            tracing::warn!("{name}: what is committed may be lost in a power cut: {doubts}");
        }
        let connector = Arc::new(connector);
        let first = first.speaking(&connector.sql);
        Ok(Self {
            name: connector.address.name.clone(),
            schema: connector.address.schema.clone(),
            durable: doubts.is_none(),
            dialect: connector.sql.dialect,
            pool: Pool::new(Arc::clone(&connector), first, handle.clone()),
            snapshots: Snapshots::new(Arc::clone(&connector), options.snapshot_life, handle.clone()),
            channel: Channel::new(connector, handle),
        })
    }

    /// The schema that holds the store.
    pub fn schema(&self) -> &str {
        &self.schema
    }

    async fn link(&self) -> Result<Arc<Link>, ServerError> {
        self.pool.pick().await.map_err(Failure::of_question)
    }

    /// On a server whose statements are less: a transaction.
    async fn fetch_in_steps(&self, wanted: &Wanted) -> Result<Fetched, ServerError> {
        let snapshot = self.snapshots.begin().await?;
        let link = snapshot.link();
        let keys: Vec<&[u8]> = wanted.keys.iter().map(|key| &key[..]).collect();
        let values = reads::read(link, &keys).await.map_err(Failure::of_question)?;
        let heads = reads::heads(link, &wanted.owners).await.map_err(Failure::of_question)?;
        let mut pages = Vec::with_capacity(wanted.scans.len());
        for scan in &wanted.scans {
            pages.push(reads::scan(link, scan).await.map_err(Failure::of_question)?);
        }
        Ok(Fetched { values, pages, heads })
    }
}

impl Server for Postgres {
    type Snapshot = PostgresSnapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "postgres", durable: self.durable }
    }

    fn limits(&self) -> CommitLimits {
        CommitLimits { writes: MOST_WRITES, bytes: MOST_BYTES }
    }

    fn status(&self) -> EngineStatus {
        let failure = self.pool.failure().map(|reason| format!("{} cannot be reached: {reason}", self.name));
        EngineStatus { failure, disk_bytes: None }
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, ServerError> {
        reads::read(&self.link().await?, keys).await.map_err(Failure::of_question)
    }

    async fn read_up_to(&self, keys: &[&[u8]], max_bytes: usize) -> Result<Option<Vec<Option<Bytes>>>, ServerError> {
        reads::read_up_to(&self.link().await?, keys, max_bytes).await.map_err(Failure::of_question)
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, ServerError> {
        reads::scan(&self.link().await?, scan).await.map_err(Failure::of_question)
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Fetched, ServerError> {
        if self.dialect == Dialect::Portable && !wanted.scans.is_empty() {
            return self.fetch_in_steps(wanted).await;
        }
        fetch(&self.link().await?, wanted).await.map_err(Failure::of_question)
    }

    async fn heads(&self, owners: &[Bytes]) -> Result<Vec<Head>, ServerError> {
        reads::heads(&self.link().await?, owners).await.map_err(Failure::of_question)
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, CommitError> {
        let prepared = Prepared::of(commit)?;
        if self.dialect == Dialect::Portable && !prepared.is_portable() {
            let held = self.snapshots.hold().await.map_err(|error| CommitError::NotSent(error.to_string()))?;
            return prepared.apply_in_steps(&held.link).await;
        }
        let link = self.pool.pick().await.map_err(|failure| CommitError::NotSent(failure.to_string()))?;
        prepared.apply(&link).await
    }

    async fn snapshot(&self) -> Result<PostgresSnapshot, ServerError> {
        self.snapshots.begin().await
    }

    async fn announce(&self, message: Bytes) {
        self.channel.announce(message, &self.pool).await;
    }

    fn listen(&self, heard: Heard) {
        self.channel.listen(heard);
    }
}

impl std::fmt::Debug for Postgres {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Postgres").field("name", &self.name).field("durable", &self.durable).finish_non_exhaustive()
    }
}

/// Opens the engine on a store.
pub(crate) async fn open(url: &str, options: &PostgresOptions) -> Result<(SharedEngine<Postgres>, String), OpenError> {
    let address = Address::parse(url, options)?;
    let name = address.name.clone();
    let (shared, options) = (options.shared.clone(), options.clone());
    let engine = SharedEngine::open(shared, || Postgres::connect(address, options)).await?;
    Ok((engine, name))
}
