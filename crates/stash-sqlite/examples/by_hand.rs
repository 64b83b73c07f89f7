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
use rusqlite::Connection;
use stash_core::engine::{Decision, Engine, Scan, View, Writes};
use stash_core::{Batch, ComponentId, ComponentStorage, KeyRange, NamespacedStorage, ScanRequest, StorageError};
use stash_sqlite::{SqliteBackend, SqliteEngine, SqliteOptions};

const RECORDS: usize = 100_000;
const VALUE_BYTES: usize = 100;
const GUESTS: usize = 64;

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
    connection.busy_timeout(Duration::from_secs(60)).unwrap();
    let table = "CREATE TABLE IF NOT EXISTS kv (key BLOB PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID";
    connection.execute_batch(table).unwrap();
    connection
}

const HAND_PUT: &str = "REPLACE INTO kv VALUES (?1, ?2)";
const HAND_GET: &str = "SELECT value FROM kv WHERE key = ?1";
const HAND_PAGE: &str = "SELECT key, value FROM kv WHERE key >= ?1 ORDER BY key LIMIT 100";

type Side<'a> = (&'a str, Box<dyn FnMut() -> usize + 'a>);

/// Runs the sides in turn; for each the median time of one operation, beside the first one's.
fn compare(what: &str, rounds: usize, mut sides: Vec<Side<'_>>) {
    let mut times = vec![Vec::new(); sides.len()];
    for round in 0..rounds {
        for n in 0..sides.len() {
            let n = (n + round) % sides.len();
            let start = Instant::now();
            let operations = (sides[n].1)();
            times[n].push(start.elapsed().as_secs_f64() * 1e6 / operations as f64);
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

fn main() {
    let folder = match std::env::args_os().nth(1) {
        Some(place) => tempfile::tempdir_in(place).unwrap(),
        None => tempfile::tempdir().unwrap(),
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().build().unwrap();
    let hand_path = folder.path().join("hand.sqlite");
    let mut hand = by_hand(&hand_path);
    let path = folder.path().join("engine.sqlite");
    let engine = Arc::new(SqliteEngine::open(&path, &SqliteOptions::default()).unwrap());
    let path = folder.path().join("store.sqlite");
    let backend: SqliteBackend = runtime.block_on(stash_sqlite::open(&path, &SqliteOptions::default())).unwrap();
    let id: ComponentId = "app/service-a/001".parse().unwrap();
    let store = NamespacedStorage::new(&id, backend.clone());
    let full = |n: usize| Bytes::from(format!("rapp/service-a/001/{}", key(n)));

    for chunk in (0..RECORDS).collect::<Vec<_>>().chunks(1000) {
        let transaction = hand.transaction().unwrap();
        for n in chunk {
            transaction.prepare_cached(HAND_PUT).unwrap().execute((&full(*n)[..], value(*n))).unwrap();
        }
        transaction.commit().unwrap();
        let puts = chunk.iter().map(|n| (full(*n), Bytes::from(value(*n)))).collect();
        runtime.block_on(engine.update(Put(puts, String::new()))).unwrap();
        let batch = chunk.iter().fold(Batch::new(), |batch, n| batch.set(key(*n), value(*n)));
        runtime.block_on(store.commit(batch)).unwrap();
    }

    let mut random = [Random(7), Random(7), Random(7)];
    let [r0, r1, r2] = &mut random;
    let mut hand_get = hand.prepare(HAND_GET).unwrap();
    compare(
        "get",
        200,
        vec![
            ("by hand", Box::new(|| {
                for _ in 0..1000 {
                    let found: Vec<u8> = hand_get.query_row([&full(r0.below(RECORDS))[..]], |row| row.get(0)).unwrap();
                    assert_eq!(found.len(), VALUE_BYTES);
                }
                1000
            })),
            ("engine", Box::new(|| {
                for _ in 0..1000 {
                    let found = ready(engine.read(&[&full(r1.below(RECORDS))])).unwrap();
                    assert_eq!(found[0].as_ref().unwrap().len(), VALUE_BYTES);
                }
                1000
            })),
            ("component's store", Box::new(|| {
                for _ in 0..1000 {
                    let found = ready(store.get(&key(r2.below(RECORDS)))).unwrap().unwrap();
                    assert_eq!(found.len(), VALUE_BYTES);
                }
                1000
            })),
        ],
    );
    drop(hand_get);

    let mut hand_page = hand.prepare(HAND_PAGE).unwrap();
    compare(
        "page of 100 records",
        200,
        vec![
            ("by hand", Box::new(|| {
                for _ in 0..50 {
                    let start = full(r0.below(RECORDS - 100));
                    let rows = hand_page.query_map([&start[..]], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
                    let page: Vec<(Vec<u8>, Vec<u8>)> = rows.map(Result::unwrap).collect();
                    assert_eq!(page.len(), 100);
                }
                50
            })),
            ("engine", Box::new(|| {
                for _ in 0..50 {
                    let start = std::ops::Bound::Included(full(r1.below(RECORDS - 100)));
                    let page = ready(engine.scan(&Scan { start, limit: 100, ..Scan::prefix(b"r") })).unwrap();
                    assert_eq!(page.entries.len(), 100);
                }
                50
            })),
            ("component's store", Box::new(|| {
                for _ in 0..50 {
                    let range = KeyRange { start: Some(key(r2.below(RECORDS - 100))), ..KeyRange::default() };
                    let request = ScanRequest { range, limit: 100, values: true, ..ScanRequest::default() };
                    assert_eq!(ready(store.scan(&request)).unwrap().entries.len(), 100);
                }
                50
            })),
        ],
    );
    drop(hand_page);

    compare(
        "set",
        200,
        vec![
            ("by hand", Box::new(|| {
                for _ in 0..10 {
                    let n = r0.below(RECORDS);
                    hand.prepare_cached(HAND_PUT).unwrap().execute((&full(n)[..], value(n))).unwrap();
                }
                10
            })),
            ("engine", Box::new(|| {
                for _ in 0..10 {
                    let n = r1.below(RECORDS);
                    let put = Put(vec![(full(n), value(n).into())], String::new());
                    runtime.block_on(engine.update(put)).unwrap();
                }
                10
            })),
            ("component's store", Box::new(|| {
                for _ in 0..10 {
                    let n = r2.below(RECORDS);
                    runtime.block_on(store.set(&key(n), value(n))).unwrap();
                }
                10
            })),
        ],
    );

    for (what, new) in [("batch of 1000, keys here and there", false), ("batch of 1000, new keys in order", true)] {
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
        compare(
            what,
            60,
            vec![
                ("by hand", Box::new(|| {
                    let numbers = batch_of(n0, r0);
                    hand.execute_batch("BEGIN").unwrap();
                    for n in numbers {
                        hand.prepare_cached(HAND_PUT).unwrap().execute((&full(n)[..], value(n))).unwrap();
                    }
                    hand.execute_batch("COMMIT").unwrap();
                    1
                })),
                ("engine", Box::new(|| {
                    let puts = batch_of(n1, r1).into_iter().map(|n| (full(n), value(n).into())).collect();
                    runtime.block_on(engine.update(Put(puts, String::new()))).unwrap();
                    1
                })),
                ("component's store", Box::new(|| {
                    let numbers = batch_of(n2, r2);
                    let batch = numbers.iter().fold(Batch::new(), |batch, n| batch.set(key(*n), value(*n)));
                    runtime.block_on(store.commit(batch)).unwrap();
                    1
                })),
            ],
        );
    }

    let ids: Vec<ComponentId> = (0..GUESTS).map(|n| format!("app/guest/{n:03}").parse().unwrap()).collect();
    let stores: Vec<_> = ids.iter().map(|id| NamespacedStorage::new(id, backend.clone())).collect();
    compare(
        "set by 64 at once (time of all / 64)",
        30,
        vec![
            ("by hand, one transaction", Box::new(|| {
                for round in 0..5 {
                    hand.execute_batch("BEGIN").unwrap();
                    for guest in 0..GUESTS {
                        let key = format!("rapp/guest/{guest:03}/{}", key(round));
                        hand.prepare_cached(HAND_PUT).unwrap().execute((key.as_bytes(), value(guest))).unwrap();
                    }
                    hand.execute_batch("COMMIT").unwrap();
                }
                5 * GUESTS
            })),
            ("by hand, one after another", Box::new(|| {
                for guest in 0..GUESTS {
                    let key = format!("rapp/guest/{guest:03}/{}", key(0));
                    hand.prepare_cached(HAND_PUT).unwrap().execute((key.as_bytes(), value(guest))).unwrap();
                }
                GUESTS
            })),
            ("engine", Box::new(|| {
                runtime.block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for guest in 0..GUESTS {
                        let engine = Arc::clone(&engine);
                        tasks.spawn(async move {
                            for round in 0..5 {
                                let key = Bytes::from(format!("rapp/guest/{guest:03}/{}", key(round)));
                                engine.update(Put(vec![(key, value(guest).into())], guest.to_string())).await.unwrap();
                            }
                        });
                    }
                    tasks.join_all().await;
                });
                5 * GUESTS
            })),
            ("components' stores", Box::new(|| {
                runtime.block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for store in stores.iter().cloned() {
                        tasks.spawn(async move {
                            for round in 0..5 {
                                store.set(&key(round), value(round)).await.unwrap();
                            }
                        });
                    }
                    tasks.join_all().await;
                });
                5 * GUESTS
            })),
        ],
    );

    compare(
        "get by 64 at once on all processors (time of all / 64)",
        30,
        vec![
            ("by hand, a connection each", Box::new(|| {
                let threads = std::thread::available_parallelism().unwrap().get();
                std::thread::scope(|scope| {
                    for thread in 0..threads {
                        let (full, hand_path) = (&full, &hand_path);
                        scope.spawn(move || {
                            let mut random = Random(11 + thread as u64);
                            let connection = by_hand(hand_path);
                            let mut get = connection.prepare(HAND_GET).unwrap();
                            for _ in 0..GUESTS * 500 / threads {
                                let found: Vec<u8> =
                                    get.query_row([&full(random.below(RECORDS))[..]], |row| row.get(0)).unwrap();
                                assert_eq!(found.len(), VALUE_BYTES);
                            }
                        });
                    }
                });
                GUESTS * 500
            })),
            ("component's store", Box::new(|| {
                runtime.block_on(async {
                    let mut tasks = tokio::task::JoinSet::new();
                    for guest in 0..GUESTS {
                        let store = store.clone();
                        tasks.spawn(async move {
                            let mut random = Random(11 + guest as u64);
                            for _ in 0..500 {
                                let found = store.get(&key(random.below(RECORDS))).await.unwrap().unwrap();
                                assert_eq!(found.len(), VALUE_BYTES);
                            }
                        });
                    }
                    tasks.join_all().await;
                });
                GUESTS * 500
            })),
        ],
    );
}
