//! Making connections: TLS, and what each session is set to. A session must never have weaker settings than the store
//! promises, and its timeouts end what nobody waits for any more.

use std::fmt::Write as _;
use std::time::Duration;

use tokio_postgres::{Client, Connection, Socket};

use crate::address::Address;
use crate::error::{Failure, tell};
use crate::options::PostgresOptions;
use crate::server::MOST_BYTES;
use crate::sql::{Dialect, Sql};
use crate::tls::{Tls, TlsStream};

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Single statements, of many callers.
    Statements,
    /// One transaction that reads.
    Snapshot,
    /// Hearing of others.
    Listening,
}

/// Makes connections to one store.
pub(crate) struct Connector {
    pub(crate) address: Address,
    pub(crate) sql: Sql,
    tls: Tls,
    /// How long the server may take for one answer.
    pub(crate) patience: Duration,
    /// How long it may take for the largest commit.
    longest: Duration,
    snapshot_life: Duration,
}

/// A connection, and what must be polled for it to work.
pub(crate) type Pair = (Client, Connection<Socket, TlsStream>);

impl Connector {
    pub(crate) fn new(address: Address, tls: Tls, options: &PostgresOptions) -> Self {
        let sql = Sql::new(&address.schema, Dialect::Postgres);
        let (patience, longest) = (options.shared.call_timeout, options.shared.time_for(MOST_BYTES));
        Self { address, sql, tls, patience, longest, snapshot_life: options.snapshot_life }
    }

    /// Connects; nothing is set yet.
    pub(crate) async fn connect(&self) -> Result<Pair, Failure> {
        // Sooner than whoever waits for an answer gives up: what was never sent is not to pass for lost.
        match tokio::time::timeout(self.patience / 2, self.address.config.connect(self.tls.clone())).await {
            Ok(connected) => connected.map_err(Failure::NotPrepared),
            Err(_) => Err(Failure::NotSent("no connection was made in time".to_owned())),
        }
    }

    /// Sets what a session for this purpose needs.
    pub(crate) async fn set_up(&self, client: &Client, purpose: Purpose) -> Result<(), Failure> {
        let settings = self.settings(purpose);
        let setting = client.batch_execute(&settings);
        match tokio::time::timeout(self.patience, setting).await {
            Ok(set) => set.map_err(Failure::NotPrepared),
            Err(_) => Err(Failure::NotSent("it did not answer in time".to_owned())),
        }
    }

    fn settings(&self, purpose: Purpose) -> String {
        let (patience, longest) = (self.patience.as_millis(), self.longest.as_millis());
        let life = self.snapshot_life.as_millis();
        let idle = if purpose == Purpose::Snapshot { life } else { patience };
        let mut text = format!(
            "SET statement_timeout = {longest}; SET idle_in_transaction_session_timeout = {idle}; \
             SET client_min_messages = warning;"
        );
        if self.sql.dialect == Dialect::Portable {
            return text;
        }
        // Before the host gives up, so that a lock is told from a server that is stuck.
        let lock = patience * 4 / 5;
        let isolation = if self.address.sets_isolation { "" } else { "read committed" };
        // Every statement goes by the primary key, whatever the server guesses of tables that it has not analyzed yet.
        let settings = [
            ("lock_timeout", lock.to_string()),
            // Ends a commit whose last bytes never come; PostgreSQL 17 and newer.
            ("transaction_timeout", idle.max(longest).to_string()),
            ("default_transaction_isolation", isolation.to_owned()),
            ("plan_cache_mode", "force_generic_plan".to_owned()),
            ("enable_seqscan", "off".to_owned()),
            ("enable_hashjoin", "off".to_owned()),
            ("enable_mergejoin", "off".to_owned()),
            ("jit", "off".to_owned()),
            ("max_parallel_workers_per_gather", "0".to_owned()),
            ("tcp_keepalives_idle", "10".to_owned()),
            ("tcp_keepalives_interval", "5".to_owned()),
            ("tcp_keepalives_count", "3".to_owned()),
        ];
        let values: Vec<_> = settings
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| format!("('{name}', '{value}')"))
            .collect();
        let _ = write!(
            text,
            "SELECT set_config(s.name, s.value, false) FROM (VALUES {}) AS s(name, value) \
             WHERE current_setting(s.name, true) IS NOT NULL;",
            values.join(", ")
        );
        if !self.address.sets_synchronous_commit {
            text.push_str(
                "SELECT set_config('synchronous_commit', 'on', false) \
                 WHERE current_setting('synchronous_commit') IN ('off', 'local', 'remote_write');",
            );
        }
        text
    }

    /// What the server calls itself.
    pub(crate) async fn version(client: &Client) -> Result<String, Failure> {
        let row = client.query_one("SELECT version()", &[]).await.map_err(Failure::NotPrepared)?;
        row.try_get(0).map_err(Failure::NotPrepared)
    }

    /// Why what is committed may be lost in a power cut; `None` where it is not.
    pub(crate) async fn doubts(client: &Client) -> Result<Option<String>, Failure> {
        let names = ["fsync", "full_page_writes", "synchronous_commit"];
        let question = "SELECT current_setting($1, true), current_setting($2, true), current_setting($3, true)";
        let row = client.query_one(question, &[&names[0], &names[1], &names[2]]).await.map_err(Failure::NotPrepared)?;
        let mut off = Vec::new();
        for (n, name) in names.iter().enumerate() {
            let value: Option<String> = row.try_get(n).map_err(Failure::NotPrepared)?;
            if value.as_deref() == Some("off") {
                off.push(*name);
            }
        }
        Ok((!off.is_empty()).then(|| format!("{} is off", off.join(" and "))))
    }
}

/// Polls a connection until it ends; gives why.
pub(crate) async fn drive(connection: Connection<Socket, TlsStream>) -> String {
    match connection.await {
        Ok(()) => "the connection was closed".to_owned(),
        Err(error) => tell(&error),
    }
}
