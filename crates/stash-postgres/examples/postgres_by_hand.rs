//! What the engine costs beside its server's client used by hand: prepared statements on an open connection, over the same
//! table. It starts a server of its own; its data is in the folder that is named, or else where temporary files are.
//!
//! `cargo run --release -p stash-postgres --features testing --example postgres_by_hand [FOLDER]`

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, clippy::print_stdout)]

use std::future::Future;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use stash_conformance::decision::act;
use stash_core::engine::Scan;
use stash_core::{Batch, ComponentId, ComponentStorage, Engine, EngineBackend, NamespacedStorage};
use stash_postgres::testing::TestServer;
use stash_postgres::{PostgresEngine, PostgresOptions};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

/// How long each is repeated, in each round: what else the machine does meets both sides alike.
const EACH: Duration = Duration::from_millis(300);
const ROUNDS: usize = 9;
const CALLERS: usize = 64;
const VALUE: [u8; 100] = [7; 100];

/// How often it is done in a second, by one caller after another's call.
async fn rate<F: Future>(mut once: impl FnMut(usize) -> F) -> f64 {
    let (begun, mut count) = (Instant::now(), 0_u32);
    while begun.elapsed() < EACH {
        once(usize::try_from(count).unwrap()).await;
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

/// The same by many callers at once, each with what `caller` gives it.
async fn rate_together<F, G>(caller: impl Fn(usize) -> G) -> f64
where
    F: Future + Send,
    G: FnMut(usize) -> F + Send + 'static,
    F::Output: Send,
{
    let begun = Instant::now();
    let mut callers = JoinSet::new();
    for n in 0..CALLERS {
        let mut once = caller(n);
        callers.spawn(async move {
            let mut count = 0;
            while begun.elapsed() < EACH {
                once(count).await;
                count += 1;
            }
            count
        });
    }
    let count: usize = callers.join_all().await.into_iter().sum();
    f64::from(u32::try_from(count).unwrap()) / begun.elapsed().as_secs_f64()
}

/// What was found in each round, by what was done: how often by the engine, and by hand.
#[derive(Default)]
struct Found(Vec<(&'static str, Vec<(f64, f64)>)>);

impl Found {
    fn add(&mut self, what: &'static str, ours: f64, by_hand: f64) {
        match self.0.iter_mut().find(|(known, _)| *known == what) {
            Some((_, rounds)) => rounds.push((ours, by_hand)),
            None => self.0.push((what, vec![(ours, by_hand)])),
        }
    }

    /// The medians of all rounds.
    fn print(&self) {
        println!("{:<44} {:>12} {:>12} {:>8}", "", "engine", "by hand", "ratio");
        for (what, rounds) in &self.0 {
            let median = |number: fn(&(f64, f64)) -> f64| {
                let mut numbers: Vec<_> = rounds.iter().map(number).collect();
                numbers.sort_by(f64::total_cmp);
                numbers[numbers.len() / 2]
            };
            let (ours, by_hand) = (median(|(ours, _)| *ours), median(|(_, by_hand)| *by_hand));
            let ratio = median(|(ours, by_hand)| by_hand / ours);
            println!("{what:<44} {ours:>10.0}/s {by_hand:>10.0}/s {ratio:>8.2}");
        }
    }
}

async fn client(server: &TestServer) -> Client {
    let (client, connection) = tokio_postgres::connect(&server.url(), NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::main]
async fn main() {
    let folder = std::env::args().nth(1).map_or_else(std::env::temp_dir, PathBuf::from);
    let server = TestServer::start_in("", Some(&folder)).expect("PostgreSQL's programs");
    let begun = Instant::now();
    let options = PostgresOptions::default();
    let engine = Arc::new(stash_postgres::open_engine(&server.fresh_url(), &options).await.unwrap());
    println!("opening an empty database: {:?}", begun.elapsed());
    let mut found = Found::default();
    for _ in 0..ROUNDS {
        alone(&server, &engine, &mut found).await;
        together(&server, &engine, &mut found).await;
    }
    found.print();
    chain(&server).await;
}

fn put(key: String) -> impl stash_core::engine::Decision<Output = ()> {
    act(move |_, writes| {
        writes.put(key.clone().into(), Bytes::from_static(&VALUE));
        Ok(())
    })
}

async fn alone(server: &TestServer, engine: &PostgresEngine, found: &mut Found) {
    let schema = engine.server().schema();
    let client = client(server).await;
    let key = |n: usize| format!("rapp/a/1/{:05}", n * 7919 % 10_000);
    let fill = act(move |_, writes| {
        (0..10_000).for_each(|n| writes.put(format!("rapp/a/1/{n:05}").into(), Bytes::from_static(&VALUE)));
        Ok(())
    });
    engine.update(fill).await.unwrap();
    client.batch_execute(&format!("ANALYZE {schema}.entries")).await.unwrap();

    let get = client.prepare(&format!("SELECT value FROM {schema}.entries WHERE key = $1")).await.unwrap();
    let ours = rate(|n| async move { engine.read(&[key(n).as_bytes()]).await.unwrap() }).await;
    let by_hand = rate(|n| {
        let (client, get, key) = (&client, &get, key(n).into_bytes());
        async move { client.query_one(get, &[&key]).await.unwrap().get::<_, Vec<u8>>(0) }
    })
    .await;
    found.add("get", ours, by_hand);

    let many = client.prepare(&format!("SELECT key, value FROM {schema}.entries WHERE key = ANY($1)")).await.unwrap();
    let keys: Vec<_> = (0..100).map(|n| key(n).into_bytes()).collect();
    let slices: Vec<&[u8]> = keys.iter().map(Vec::as_slice).collect();
    let ours = rate(|_| async { engine.read(&slices).await.unwrap() }).await;
    let by_hand = rate(|_| async {
        let rows = client.query(&many, &[&slices]).await.unwrap();
        rows.iter().map(|row| row.get::<_, Vec<u8>>(1)).collect::<Vec<_>>()
    })
    .await;
    found.add("get of 100 keys", ours, by_hand);

    let page = format!("SELECT key, value FROM {schema}.entries WHERE key >= $1 AND key < $2 ORDER BY key LIMIT 100");
    let page = client.prepare(&page).await.unwrap();
    let scan = |n: usize| Scan {
        limit: 100,
        max_bytes: 16 << 20,
        ..Scan::prefix(format!("rapp/a/1/{:02}", n % 90).as_bytes())
    };
    let ours = rate(|n| async move { engine.scan(&scan(n)).await.unwrap() }).await;
    let by_hand = rate(|n| {
        let (client, page) = (&client, &page);
        let (start, end) = (format!("rapp/a/1/{:02}", n % 90), format!("rapp/a/1/{:02}", n % 90 + 1));
        async move {
            let rows = client.query(page, &[&start.as_bytes(), &end.as_bytes()]).await.unwrap();
            let get = |row: &tokio_postgres::Row| (row.get::<_, Vec<u8>>(0), row.get::<_, Vec<u8>>(1));
            rows.iter().map(get).collect::<Vec<_>>()
        }
    })
    .await;
    found.add("page of 100", ours, by_hand);

    let set = "INSERT INTO SCHEMA.entries (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    let set = client.prepare(&set.replace("SCHEMA", schema)).await.unwrap();
    let ours = rate(|n| async move { engine.update(put(key(n))).await.unwrap() }).await;
    let by_hand = rate(|n| {
        let (client, set, key) = (&client, &set, key(n).into_bytes());
        async move { client.execute(set, &[&key, &&VALUE[..]]).await.unwrap() }
    })
    .await;
    found.add("set", ours, by_hand);
    // Nobody else may have committed since: what the engine promises, with as many round trips.
    let read = client.prepare(&format!("SELECT revision FROM {schema}.heads WHERE owner = $1")).await.unwrap();
    let checked = "WITH head AS (UPDATE SCHEMA.heads SET revision = revision + 1 \
                   WHERE owner = $1 AND revision = $2 RETURNING 1) \
                   INSERT INTO SCHEMA.entries (key, value) SELECT $3, $4 FROM head \
                   ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    let checked = client.prepare(&checked.replace("SCHEMA", schema)).await.unwrap();
    let by_hand = rate(|n| {
        let (client, read, checked, key) = (&client, &read, &checked, key(n).into_bytes());
        async move {
            let owner = &&b"app/a/1"[..];
            let revision: i64 = client.query_one(read, &[owner]).await.unwrap().get(0);
            assert_eq!(client.execute(checked, &[owner, &revision, &key, &&VALUE[..]]).await.unwrap(), 1);
        }
    })
    .await;
    found.add("set, by hand if nobody else has since", ours, by_hand);

    let many = "INSERT INTO SCHEMA.entries (key, value) SELECT * FROM unnest($1::bytea[], $2::bytea[]) \
                ON CONFLICT (key) DO UPDATE SET value = excluded.value";
    let many = client.prepare(&many.replace("SCHEMA", schema)).await.unwrap();
    let ours = rate(|n| {
        let batch = act(move |_, writes| {
            (0..1000).for_each(|m| writes.put(key(n + m).into(), Bytes::from_static(&VALUE)));
            Ok(())
        });
        async move { engine.update(batch).await.unwrap() }
    })
    .await;
    let by_hand = rate(|n| {
        let (client, many) = (&client, &many);
        let mut keys: Vec<_> = (0..1000).map(|m| key(n + m).into_bytes()).collect();
        keys.sort();
        let values = vec![&VALUE[..]; 1000];
        async move { client.execute(many, &[&keys, &values]).await.unwrap() }
    })
    .await;
    found.add("batch of 1000", ours, by_hand);
}

async fn together(server: &TestServer, engine: &Arc<PostgresEngine>, found: &mut Found) {
    let schema = engine.server().schema().to_owned();
    let set = "INSERT INTO SCHEMA.entries (key, value) VALUES ($1, $2) ON CONFLICT (key) DO UPDATE SET value = excluded.value"
        .replace("SCHEMA", &schema);
    // As many connections as the engine has, and each caller on one of them.
    let mut clients = Vec::new();
    for _ in 0..PostgresOptions::default().connections {
        let client = client(server).await;
        let set = client.prepare(&set).await.unwrap();
        clients.push(Arc::new((client, set)));
    }
    for (what, namespaces) in [("64 callers set in 64 namespaces", 64), ("64 callers set in one namespace", 1)] {
        let key = move |caller: usize, n: usize| format!("rapp/t/{:02}/{caller}-{}", caller % namespaces, n % 100);
        let ours = rate_together(|caller| {
            let engine = Arc::clone(engine);
            move |n| {
                let engine = Arc::clone(&engine);
                async move { engine.update(put(key(caller, n))).await.unwrap() }
            }
        })
        .await;
        let by_hand = rate_together(|caller| {
            let client = Arc::clone(&clients[caller % clients.len()]);
            move |n| {
                let (client, key) = (Arc::clone(&client), key(caller, n).into_bytes());
                async move { client.0.execute(&client.1, &[&key, &&VALUE[..]]).await.unwrap() }
            }
        })
        .await;
        found.add(what, ours, by_hand);
    }
}

/// What components pay: records, versions, usage over the engine.
async fn chain(server: &TestServer) {
    let engine = stash_postgres::open_engine(&server.fresh_url(), &PostgresOptions::default()).await.unwrap();
    let backend = EngineBackend::open(engine).await.unwrap();
    let id: ComponentId = "app/a/1".parse().unwrap();
    let storage = NamespacedStorage::new(&id, backend);
    let sets = rate(|n| storage.commit(Batch::new().set(format!("{n}"), "v"))).await;
    let gets = rate(|n| {
        let key = format!("{}", n % 100);
        let storage = &storage;
        async move { storage.get(&key).await.unwrap() }
    })
    .await;
    println!("{:<44} {sets:>10.0}/s", "a component's set, without a cache");
    println!("{:<44} {gets:>10.0}/s", "a component's get, without a cache");
}
