//! Prints what the engine, and a component's store over it, cost beside SQLite used by hand: `rusqlite` with one table, the
//! same settings, and statements that are prepared once. Run it with `--release`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use rusqlite::Connection;
use stash_core::engine::{Decision, Engine, Scan, View, Writes};
use stash_core::{Batch, ComponentId, ComponentStorage, KeyRange, NamespacedStorage, ScanRequest, StorageError};
use stash_sqlite::{SqliteBackend, SqliteEngine, SqliteOptions};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const RECORDS: usize = 100_000;
const VALUE_BYTES: usize = 100;
const GUESTS: u32 = 64;

fn key(n: usize) -> String {
    format!("user:{n:08}")
}

/// Another one each time: SQLite writes nothing where it finds the same bytes.
fn value(n: usize) -> Vec<u8> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    let n = n ^ CALLS.fetch_add(1 << 24, Ordering::Relaxed);
    n.to_le_bytes().repeat(VALUE_BYTES / 8 + 1)[..VALUE_BYTES].to_vec()
}

/// A small generator, the same in every run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 16) as usize % end
    }
}

/// What an embedded engine answers at once.
fn ready<T>(future: impl Future<Output = T>) -> T {
    match pin!(future).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => answer,
        Poll::Pending => panic!("it waits"),
    }
}

struct Put(Vec<(Bytes, Bytes)>, String);

impl Decision for Put {
    type Output = ();

    fn queue(&self) -> &str {
        &self.1
    }

    fn cost(&self) -> usize {
        self.0.len() * 200
    }

    fn decide(&mut self, _: &dyn View, writes: &mut Writes) -> Result<(), StorageError> {
        for (key, value) in &self.0 {
            writes.put(key.clone(), value.clone());
        }
        Ok(())
    }
}

/// SQLite by hand, with one table as somebody would make it who wants it quick.
fn by_hand(path: &Path) -> Connection {
    let connection = Connection::open(path).unwrap();
    connection.pragma_update_and_check(None, "journal_mode", "WAL", |_| Ok(())).unwrap();
    connection.pragma_update(None, "synchronous", "FULL").unwrap();
    connection.pragma_update(None, "cache_size", -131_072).unwrap();
    connection.busy_timeout(Duration::from_mins(1)).unwrap();
    let table = "CREATE TABLE IF NOT EXISTS kv (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID";
    connection.execute_batch(table).unwrap();
    connection
}

const HAND_PUT: &str = "REPLACE INTO kv VALUES (?1, ?2)";
const HAND_GET: &str = "SELECT value FROM kv WHERE key = ?1";
const HAND_PAGE: &str = "SELECT key, value FROM kv WHERE key >= ?1 ORDER BY key LIMIT 100";

type Side<'a> = (&'a str, Box<dyn FnMut() -> u32 + 'a>);

/// Runs the sides in turn; for each the median time of one operation, beside the first one's.
fn compare(what: &str, rounds: usize, mut sides: Vec<Side<'_>>) {
    let mut times = vec![Vec::new(); sides.len()];
    for round in 0..rounds {
        for n in 0..sides.len() {
            let n = (n + round) % sides.len();
            let start = Instant::now();
            let operations = (sides[n].1)();
            times[n].push(start.elapsed().as_secs_f64() * 1e6 / f64::from(operations));
        }
    }
    println!("{what}");
    let median = |times: &[f64]| {
        let mut times = times.to_vec();
        times.sort_by(f64::total_cmp);
        times[times.len() / 2]
    };
    let hand = median(&times[0]);
    for ((name, _), times) in sides.iter().zip(&times) {
        println!("  {name:<28} {:>10.2} µs   {:>5.2}", median(times), median(times) / hand);
    }
}

/// The same data three times over.
struct Lab {
    folder: TempDir,
    runtime: Runtime,
    hand: Connection,
    engine: Arc<SqliteEngine>,
    backend: SqliteBackend,
    store: NamespacedStorage<SqliteBackend>,
}

fn full(n: usize) -> Bytes {
    Bytes::from(format!("rapp/service-a/001/{}", key(n)))
}

impl Lab {
    fn new(folder: TempDir) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
        let mut hand = by_hand(&folder.path().join("hand.sqlite"));
        let options = SqliteOptions::default();
        let engine = Arc::new(SqliteEngine::open(&folder.path().join("engine.sqlite"), &options).unwrap());
        let path = folder.path().join("store.sqlite");
        let backend: SqliteBackend = runtime.block_on(stash_sqlite::open(&path, &options)).unwrap();
        let id: ComponentId = "app/service-a/001".parse().unwrap();
        let store = NamespacedStorage::new(&id, backend.clone());
        for chunk in (0..RECORDS).collect::<Vec<_>>().chunks(1000) {
            put_by_hand(&mut hand, chunk);
            let puts = chunk.iter().map(|n| (full(*n), Bytes::from(value(*n)))).collect();
            runtime.block_on(engine.update(Put(puts, String::new()))).unwrap();
            let batch = chunk.iter().fold(Batch::new(), |batch, n| batch.set(key(*n), value(*n)));
            runtime.block_on(store.commit(batch)).unwrap();
        }
        Self { folder, runtime, hand, engine, backend, store }
    }
}

fn put_by_hand(hand: &mut Connection, numbers: &[usize]) {
    let transaction = hand.transaction().unwrap();
    let mut put = transaction.prepare_cached(HAND_PUT).unwrap();
    for n in numbers {
        put.execute((&full(*n)[..], value(*n))).unwrap();
    }
    drop(put);
    transaction.commit().unwrap();
}

fn main() {
    let folder = match std::env::args_os().nth(1) {
        Some(place) => tempfile::tempdir_in(place).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let mut lab = Lab::new(folder);
    gets(&lab);
    pages(&lab);
    sets(&lab);
    batches(&mut lab, "batch of 1000, keys here and there", false);
    batches(&mut lab, "batch of 1000, new keys in order", true);
    guests_set(&lab);
    guests_get(&lab);
}

fn gets(lab: &Lab) {
    let mut random = [Random(7), Random(7), Random(7)];
    let [r0, r1, r2] = &mut random;
    let mut get = lab.hand.prepare(HAND_GET).unwrap();
    let hand = || {
        for _ in 0..1000 {
            let found: Vec<u8> = get.query_row([&full(r0.below(RECORDS))[..]], |row| row.get(0)).unwrap();
            assert_eq!(found.len(), VALUE_BYTES);
        }
        1000
    };
    let engine = || {
        for _ in 0..1000 {
            let found = ready(lab.engine.read(&[&full(r1.below(RECORDS))])).unwrap();
            assert_eq!(found[0].as_ref().unwrap().len(), VALUE_BYTES);
        }
        1000
    };
    let store = || {
        for _ in 0..1000 {
            let found = ready(lab.store.get(&key(r2.below(RECORDS)))).unwrap().unwrap();
            assert_eq!(found.len(), VALUE_BYTES);
        }
        1000
    };
    compare(
        "get",
        200,
        vec![("by hand", Box::new(hand)), ("engine", Box::new(engine)), ("component's store", Box::new(store))],
    );
}

fn pages(lab: &Lab) {
    let mut random = [Random(8), Random(8), Random(8)];
    let [r0, r1, r2] = &mut random;
    let mut page = lab.hand.prepare(HAND_PAGE).unwrap();
    let hand = || {
        for _ in 0..50 {
            let start = full(r0.below(RECORDS - 100));
            let rows = page.query_map([&start[..]], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
            let page: Vec<(Vec<u8>, Vec<u8>)> = rows.map(Result::unwrap).collect();
            assert_eq!(page.len(), 100);
        }
        50
    };
    let engine = || {
        for _ in 0..50 {
            let start = std::ops::Bound::Included(full(r1.below(RECORDS - 100)));
            let page = ready(lab.engine.scan(&Scan { start, limit: 100, ..Scan::prefix(b"r") })).unwrap();
            assert_eq!(page.entries.len(), 100);
        }
        50
    };
    let store = || {
        for _ in 0..50 {
            let range = KeyRange { start: Some(key(r2.below(RECORDS - 100))), ..KeyRange::default() };
            let request = ScanRequest { range, limit: 100, values: true, ..ScanRequest::default() };
            assert_eq!(ready(lab.store.scan(&request)).unwrap().entries.len(), 100);
        }
        50
    };
    compare(
        "page of 100 records",
        200,
        vec![("by hand", Box::new(hand)), ("engine", Box::new(engine)), ("component's store", Box::new(store))],
    );
}

fn sets(lab: &Lab) {
    let mut random = [Random(9), Random(9), Random(9), Random(9)];
    let [r0, r1, r2, r3] = &mut random;
    let hand = || {
        for _ in 0..10 {
            let n = r0.below(RECORDS);
            lab.hand.prepare_cached(HAND_PUT).unwrap().execute((&full(n)[..], value(n))).unwrap();
        }
        10
    };
    // As an asynchronous program has to do it, whose threads must not wait for a disk.
    let other = Arc::new(Mutex::new(by_hand(&lab.folder.path().join("other.sqlite"))));
    let aside = || {
        for _ in 0..10 {
            let n = r1.below(RECORDS);
            let other = Arc::clone(&other);
            let set = move || {
                other.lock().prepare_cached(HAND_PUT).unwrap().execute((&full(n)[..], value(n))).unwrap();
            };
            lab.runtime.block_on(async { tokio::task::spawn_blocking(set).await.unwrap() });
        }
        10
    };
    let engine = || {
        for _ in 0..10 {
            let n = r2.below(RECORDS);
            let put = Put(vec![(full(n), value(n).into())], String::new());
            lab.runtime.block_on(lab.engine.update(put)).unwrap();
        }
        10
    };
    let store = || {
        for _ in 0..10 {
            let n = r3.below(RECORDS);
            lab.runtime.block_on(lab.store.set(&key(n), value(n))).unwrap();
        }
        10
    };
    compare(
        "set",
        200,
        vec![
            ("by hand", Box::new(hand)),
            ("by hand, spawn_blocking", Box::new(aside)),
            ("engine", Box::new(engine)),
            ("component's store", Box::new(store)),
        ],
    );
}

fn batches(lab: &mut Lab, what: &str, new: bool) {
    let mut random = [Random(10), Random(10), Random(10)];
    let [r0, r1, r2] = &mut random;
    let mut next = [RECORDS; 3];
    let [n0, n1, n2] = &mut next;
    let batch_of = |next: &mut usize, random: &mut Random| -> Vec<usize> {
        if new {
            *next += 1000;
            (*next - 1000..*next).collect()
        } else {
            (0..1000).map(|_| random.below(RECORDS)).collect()
        }
    };
    let (runtime, hand) = (&lab.runtime, &mut lab.hand);
    let hand = || {
        put_by_hand(hand, &batch_of(n0, r0));
        1
    };
    let engine = || {
        let puts = batch_of(n1, r1).into_iter().map(|n| (full(n), value(n).into())).collect();
        runtime.block_on(lab.engine.update(Put(puts, String::new()))).unwrap();
        1
    };
    let store = || {
        let batch = batch_of(n2, r2).iter().fold(Batch::new(), |batch, n| batch.set(key(*n), value(*n)));
        runtime.block_on(lab.store.commit(batch)).unwrap();
        1
    };
    compare(
        what,
        60,
        vec![("by hand", Box::new(hand)), ("engine", Box::new(engine)), ("component's store", Box::new(store))],
    );
}

fn guests_set(lab: &Lab) {
    let ids = (0..GUESTS).map(|n| format!("app/guest/{n:03}").parse::<ComponentId>().unwrap());
    let stores: Vec<_> = ids.map(|id| NamespacedStorage::new(&id, lab.backend.clone())).collect();
    let hand = || {
        for guest in 0..GUESTS {
            let key = format!("rapp/guest/{guest:03}/{}", key(0));
            lab.hand.prepare_cached(HAND_PUT).unwrap().execute((key.as_bytes(), value(guest as usize))).unwrap();
        }
        GUESTS
    };
    let store = || {
        lab.runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for store in &stores {
                let store = store.clone();
                tasks.spawn(async move {
                    for round in 0..5 {
                        store.set(&key(round), value(round)).await.unwrap();
                    }
                });
            }
            tasks.join_all().await;
        });
        5 * GUESTS
    };
    compare(
        "set by 64 at once (time of all / 64)",
        30,
        vec![("by hand, one after another", Box::new(hand)), ("components' stores", Box::new(store))],
    );
}

fn guests_get(lab: &Lab) {
    const GETS: u32 = 500;
    let path = lab.folder.path().join("hand.sqlite");
    let hand = || {
        let threads = u32::try_from(std::thread::available_parallelism().unwrap().get()).unwrap();
        std::thread::scope(|scope| {
            for thread in 0..threads {
                let path = &path;
                scope.spawn(move || {
                    let mut random = Random(11 + u64::from(thread));
                    let connection = by_hand(path);
                    let mut get = connection.prepare(HAND_GET).unwrap();
                    for _ in 0..GUESTS * GETS / threads {
                        let found: Vec<u8> =
                            get.query_row([&full(random.below(RECORDS))[..]], |row| row.get(0)).unwrap();
                        assert_eq!(found.len(), VALUE_BYTES);
                    }
                });
            }
        });
        GUESTS * GETS
    };
    let store = || {
        lab.runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for guest in 0..GUESTS {
                let store = lab.store.clone();
                tasks.spawn(async move {
                    let mut random = Random(11 + u64::from(guest));
                    for _ in 0..GETS {
                        let found = store.get(&key(random.below(RECORDS))).await.unwrap().unwrap();
                        assert_eq!(found.len(), VALUE_BYTES);
                    }
                });
            }
            tasks.join_all().await;
        });
        GUESTS * GETS
    };
    compare(
        "get by 64 at once on all processors (time of all / 64)",
        30,
        vec![("by hand, a connection each", Box::new(hand)), ("component's store", Box::new(store))],
    );
}
