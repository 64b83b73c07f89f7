//! Engines on a server, by hand: their clients on open connections, with statements that are prepared, and the servers for
//! both sides. Each server is set so that what it has answered survives its crash.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context, Result, ensure};
use redis::aio::MultiplexedConnection;
use stash_etcd::testing::{EtcdCluster, Plain, Setup};
use stash_postgres::PostgresOptions;
use tokio_postgres::{Client, NoTls, Statement};

use crate::by_hand::{ByHand, Entry};

pub(crate) fn postgres(folder: &Path) -> Option<stash_postgres::testing::TestServer> {
    stash_postgres::testing::TestServer::start_in("", Some(folder))
}

pub(crate) fn redis(folder: &Path) -> Option<stash_redis::testing::TestServer> {
    stash_redis::testing::TestServer::start_in(folder, &["--appendonly", "yes", "--appendfsync", "always"])
}

pub(crate) fn etcd() -> Option<EtcdCluster> {
    EtcdCluster::start("etcd", Setup { members: 3, ..Setup::default() })
}

/// As many connections as the engine has, used in turn.
#[derive(Clone)]
pub(crate) struct Postgres {
    connections: Arc<Vec<Prepared>>,
    next: Arc<AtomicUsize>,
}

struct Prepared {
    client: Client,
    get: Statement,
    put: Statement,
    replace: Statement,
    puts: Statement,
    page: Statement,
}

impl Postgres {
    pub(crate) async fn connect(server: &stash_postgres::testing::TestServer) -> Result<Self> {
        let mut connections = Vec::new();
        for n in 0..PostgresOptions::default().connections {
            let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await?;
            tokio::spawn(connection);
            if n == 0 {
                let table = "CREATE TABLE by_hand (key bytea PRIMARY KEY, value bytea NOT NULL)";
                client.batch_execute(table).await?;
            }
            let update = "ON CONFLICT (key) DO UPDATE SET value = excluded.value";
            connections.push(Prepared {
                get: client.prepare("SELECT value FROM by_hand WHERE key = $1").await?,
                put: client.prepare(&format!("INSERT INTO by_hand VALUES ($1, $2) {update}")).await?,
                replace: client.prepare("UPDATE by_hand SET value = $2 WHERE key = $1 AND value = $3").await?,
                puts: client
                    .prepare(&format!("INSERT INTO by_hand SELECT * FROM unnest($1::bytea[], $2::bytea[]) {update}"))
                    .await?,
                page: client.prepare("SELECT key, value FROM by_hand WHERE key >= $1 ORDER BY key LIMIT $2").await?,
                client,
            });
        }
        Ok(Self { connections: Arc::new(connections), next: Arc::default() })
    }

    fn one(&self) -> &Prepared {
        &self.connections[self.next.fetch_add(1, Ordering::Relaxed) % self.connections.len()]
    }
}

impl ByHand for Postgres {
    const CLIENT: &'static str = "tokio-postgres by hand: prepared statements, as many connections";

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>> {
        let own = self.one();
        Ok(own.client.query_opt(&own.get, &[&key.as_bytes()]).await?.map(|row| row.get(0)))
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<()> {
        let own = self.one();
        own.client.execute(&own.put, &[&key.as_bytes(), &value]).await?;
        Ok(())
    }

    async fn replace(&self, key: String, value: Vec<u8>) -> Result<()> {
        let own = self.one();
        let row = own.client.query_one(&own.get, &[&key.as_bytes()]).await?;
        let found: Vec<u8> = row.get(0);
        let replaced = own.client.execute(&own.replace, &[&key.as_bytes(), &value, &found]).await?;
        ensure!(replaced == 1, "somebody else has changed {key}");
        Ok(())
    }

    async fn batch(&self, entries: Vec<Entry>) -> Result<()> {
        // A statement changes a row once, and rows in one order lock each other in none.
        let entries: std::collections::BTreeMap<_, _> = entries.into_iter().collect();
        let (keys, values): (Vec<_>, Vec<_>) =
            entries.into_iter().map(|(key, value)| (key.into_bytes(), value)).unzip();
        let own = self.one();
        own.client.execute(&own.puts, &[&keys, &values]).await?;
        Ok(())
    }

    async fn page(&self, start: String, count: usize) -> Result<Vec<Entry>> {
        let own = self.one();
        let rows = own.client.query(&own.page, &[&start.as_bytes(), &i64::try_from(count)?]).await?;
        rows.iter().map(|row| Ok((String::from_utf8(row.get(0))?, row.get(1)))).collect()
    }
}

/// One connection, which sends what many ask at once.
#[derive(Clone)]
pub(crate) struct Redis(MultiplexedConnection);

/// Stores a value if what is there is what was read.
const REPLACE: &str = "if redis.call('GET', KEYS[1]) == ARGV[2] then \
                       redis.call('SET', KEYS[1], ARGV[1]) redis.call('ZADD', KEYS[2], 0, KEYS[1]) return 1 end return 0";
/// The sorted set that has the keys in order.
const KEYS: &str = "keys";

impl Redis {
    pub(crate) async fn connect(server: &stash_redis::testing::TestServer) -> Result<Self> {
        let client = redis::Client::open(("127.0.0.1", server.port()))?;
        Ok(Self(client.get_multiplexed_async_connection().await?))
    }
}

impl ByHand for Redis {
    const CLIENT: &'static str = "redis by hand: SET and ZADD in a transaction, appendfsync always";

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>> {
        Ok(redis::cmd("GET").arg(key).query_async(&mut self.0.clone()).await?)
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<()> {
        self.batch(vec![(key, value)]).await
    }

    async fn replace(&self, key: String, value: Vec<u8>) -> Result<()> {
        let found: Option<Vec<u8>> = self.get(key.clone()).await?;
        let script = redis::Script::new(REPLACE);
        let mut replace = script.key(&key);
        replace.key(KEYS).arg(value).arg(found.context("a record is missing by hand")?);
        let replaced: i64 = replace.invoke_async(&mut self.0.clone()).await?;
        ensure!(replaced == 1, "somebody else has changed {key}");
        Ok(())
    }

    async fn batch(&self, entries: Vec<Entry>) -> Result<()> {
        let mut transaction = redis::pipe();
        transaction.atomic();
        for (key, value) in entries {
            transaction.cmd("SET").arg(&key).arg(value).ignore().cmd("ZADD").arg(KEYS).arg(0).arg(key).ignore();
        }
        Ok(transaction.exec_async(&mut self.0.clone()).await?)
    }

    async fn page(&self, start: String, count: usize) -> Result<Vec<Entry>> {
        let mut range = redis::cmd("ZRANGEBYLEX");
        range.arg(KEYS).arg(format!("[{start}")).arg("+").arg("LIMIT").arg(0).arg(count);
        let keys: Vec<String> = range.query_async(&mut self.0.clone()).await?;
        let values: Vec<Vec<u8>> = redis::cmd("MGET").arg(&keys).query_async(&mut self.0.clone()).await?;
        Ok(keys.into_iter().zip(values).collect())
    }
}

/// One connection to one member, which sends what many ask at once.
#[derive(Clone)]
pub(crate) struct Etcd(Arc<Plain>);

impl Etcd {
    /// To be called within a runtime.
    pub(crate) fn connect(cluster: &EtcdCluster) -> Self {
        Self(Arc::new(Plain::connect(&cluster.url("by-hand"))))
    }
}

impl ByHand for Etcd {
    const CLIENT: &'static str = "etcd by hand: three members, transactions of gRPC";

    async fn get(&self, key: String) -> Result<Option<Vec<u8>>> {
        Ok(self.0.get(&key).await.map(Into::into))
    }

    async fn set(&self, key: String, value: Vec<u8>) -> Result<()> {
        self.batch(vec![(key, value)]).await
    }

    async fn replace(&self, key: String, value: Vec<u8>) -> Result<()> {
        self.0.compare_and_put(&key, &value.into(), &format!("{key}#beside")).await;
        Ok(())
    }

    async fn batch(&self, entries: Vec<Entry>) -> Result<()> {
        // A transaction changes a key once.
        let entries: std::collections::BTreeMap<_, _> = entries.into_iter().collect();
        let entries: Vec<_> = entries.into_iter().map(|(key, value)| (key, value.into())).collect();
        self.0.put(&entries).await;
        Ok(())
    }

    async fn page(&self, start: String, count: usize) -> Result<Vec<Entry>> {
        let end_of_id = start.rfind('/').map_or(0, |at| at + 1);
        let found = self.0.page_from(&start, &start[..end_of_id], i64::try_from(count)?).await;
        found.into_iter().map(|(key, value)| Ok((String::from_utf8(key.into())?, value.into()))).collect()
    }
}
