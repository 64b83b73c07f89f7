//! Prints the ratios that the project promises, and rows that say what they are made of. `-- --quick` for a short run.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Instant;

use anyhow::{Context, Result};
use stash_bench::contest::Contest;
use stash_bench::guest::{Guest, Loop, Program, per_operation};
use stash_bench::plain::Plain;
use stash_bench::ready::ready;
use stash_bench::records::{self, CROWD, Numbers, RECORDS_ALONE, RECORDS_IN_CROWD};
use stash_bench::stores;
use stash_bench::table::{Figure, Target, heading, row};
use stash_core::keyspace::KeySpace;
use stash_core::{CacheConfig, ComponentId, ComponentStorage};
use stash_host::{ComponentStore, Stash};
use tokio::runtime::Runtime;
use tokio::task::JoinSet;

// What the `stash` command uses, for all sides alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Calls in one round of a loop that reads: about a millisecond.
const READS: u32 = 4_000;
/// Sets in one round of a loop that waits for the disk.
const SETS: usize = 16;
/// Sets of each guest in one round of the crowd.
const CROWD_SETS: usize = 16;

fn main() -> Result<()> {
    let given = |option| std::env::args().any(|argument| argument == option);
    let rounds = |full: usize| match () {
        // `cargo bench` adds this; whoever runs it as a test wants to know that it runs.
        () if !given("--bench") => 1,
        () if given("--quick") => full / 10,
        () => full,
    };
    let path = stash_bench::guest::build()?;
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let folder = stores::folder()?;
    println!(
        "The same work done in turn, round by round: each ratio is the median of the ratios of single rounds, ± their"
    );
    println!(
        "median distance from it. 'this' and 'against' are over all rounds. Values of {} bytes.",
        records::VALUE_BYTES
    );

    let stash = runtime.block_on(stores::stash(folder.path(), "stash.redb", CacheConfig::default()))?;
    let plain = Arc::new(stores::plain(folder.path())?);
    for concurrent in [false, true] {
        let program = Program::new(&path, concurrent)?;
        reads(&runtime, &program, &stash, concurrent, rounds(300))?;
    }
    let program = Program::new(&path, false)?;
    let uncached = runtime.block_on(stores::stash(folder.path(), "uncached.redb", CacheConfig::disabled()))?;
    embedded_reads(&runtime, &program, &stash, &uncached, &plain, rounds(300))?;
    sets(&runtime, &program, &stash, &plain, rounds(120))?;
    crowd(&runtime, &program, &stash, &plain, rounds(40))
}

/// What a side of a contest works with.
struct Lab<'a> {
    runtime: &'a Runtime,
    guest: Guest,
    store: ComponentStore,
}

impl Lab<'_> {
    fn repeat(&mut self, what: Loop, keys: &[String]) -> Result<Vec<f64>> {
        Ok(vec![self.runtime.block_on(self.guest.repeat(what, keys, READS))?])
    }

    fn call_nothing(&mut self, is_async: bool) -> Result<Vec<f64>> {
        Ok(vec![self.runtime.block_on(self.guest.call_nothing(is_async, READS))?])
    }
}

fn reads(runtime: &Runtime, program: &Program, stash: &Stash, concurrent: bool, rounds: usize) -> Result<()> {
    let store = stash.component(&records::alone());
    let keys: Arc<[String]> = Numbers::new(1).keys(64, RECORDS_ALONE).into();
    let guest = runtime.block_on(program.start(store.clone(), &keys))?;
    let side = |what: Loop| {
        let keys = Arc::clone(&keys);
        move |lab: &mut Lab<'_>| lab.repeat(what, &keys)
    };
    let standings = Contest::against("bucket.get", side(Loop::KeyvalueGet))
        .with("get", side(Loop::StashGet))
        .with("exists", side(Loop::StashExists))
        .with("a map's get", side(Loop::ProbeGet))
        .with("a map's get, async", side(Loop::ProbeGetAsync))
        .with("nothing", |lab: &mut Lab<'_>| lab.call_nothing(false))
        .with("nothing, async", |lab: &mut Lab<'_>| lab.call_nothing(true))
        .run(&mut Lab { runtime, guest, store }, rounds)?;
    let [keyvalue, get, exists, map, map_async, nothing, nothing_async] = &standings[..] else { unreachable!() };
    let engine = if concurrent { "with component-model concurrency" } else { "without component-model concurrency" };
    heading(&format!("Cached reads from a guest against wasmtime-wasi-keyvalue in memory; engine {engine}"));
    let target = Some(Target::AtMost(1.0));
    row("stash get, cached / bucket.get", Figure::Median, get, keyvalue, target);
    row("stash exists, cached / bucket.get", Figure::Median, exists, keyvalue, None);
    row("host function get from a HashMap / bucket.get", Figure::Median, map, keyvalue, None);
    row("the same as an async function / bucket.get", Figure::Median, map_async, keyvalue, None);
    row("host function that does nothing / bucket.get", Figure::Median, nothing, keyvalue, None);
    row("the same as an async function / bucket.get", Figure::Median, nothing_async, keyvalue, None);
    Ok(())
}

fn embedded_reads(
    runtime: &Runtime,
    program: &Program,
    stash: &Stash,
    uncached: &Stash,
    plain: &Plain,
    rounds: usize,
) -> Result<()> {
    let keys: Arc<[String]> = Numbers::new(2).keys(64, RECORDS_ALONE).into();
    let store = uncached.component(&records::alone());
    let guest = runtime.block_on(program.start(store.clone(), &keys))?;
    let full_keys: Vec<_> = keys.iter().map(|key| full(&records::alone(), key)).collect();
    let table = plain.table()?;
    let map: Mutex<HashMap<String, Vec<u8>>> = Mutex::default();
    map.lock().unwrap().extend(keys.iter().map(|key| (key.clone(), records::value(0))));
    let cached = stash.component(&records::alone());

    let guest_keys = Arc::clone(&keys);
    let (map_keys, cached_keys, uncached_keys) = (Arc::clone(&keys), Arc::clone(&keys), Arc::clone(&keys));
    let standings = Contest::against("redb", move |_: &mut Lab<'_>| {
        timed(READS, |n| Ok(table.get(&full_keys[n % full_keys.len()][..])?.map(|value| value.value().to_vec())))
    })
    .with("uncached", move |lab| {
        timed(READS, |n| Ok(ready(lab.store.get(&uncached_keys[n % uncached_keys.len()]))?.map(|value| value.to_vec())))
    })
    .with("uncached from a guest", move |lab| lab.repeat(Loop::StashGet, &guest_keys))
    .with("cached", move |_| {
        timed(READS, |n| Ok(ready(cached.get(&cached_keys[n % cached_keys.len()]))?.map(|value| value.to_vec())))
    })
    .with("map", move |_| timed(READS, |n| Ok(map.lock().unwrap().get(&map_keys[n % map_keys.len()]).cloned())))
    .run(&mut Lab { runtime, guest, store }, rounds)?;
    let [redb, uncached, from_guest, cached, map] = &standings[..] else { unreachable!() };
    heading("Reads in Rust: a component's store, redb from a table kept open, and a map");
    row("uncached ComponentStore::get / redb", Figure::Median, uncached, redb, None);
    row("uncached stash get from a guest / redb", Figure::Median, from_guest, redb, None);
    row("cached ComponentStore::get / redb", Figure::Median, cached, redb, None);
    row("Mutex<HashMap> / redb", Figure::Median, map, redb, None);
    Ok(())
}

fn sets(runtime: &Runtime, program: &Program, stash: &Stash, plain: &Arc<Plain>, rounds: usize) -> Result<()> {
    let id = records::alone();
    let store = stash.component(&id);
    let guest = runtime.block_on(program.start(store.clone(), &[]))?;
    let value = records::value(7);
    let (mut plain_numbers, mut guest_numbers, mut store_numbers) = (Numbers::new(3), Numbers::new(3), Numbers::new(3));
    let (plain, plain_value, store_value) = (Arc::clone(plain), value.clone(), value.clone());
    let standings = Contest::against("redb", move |_: &mut Lab<'_>| {
        let keys = plain_numbers.keys(SETS, RECORDS_ALONE);
        let keys: Vec<_> = keys.iter().map(|key| full(&id, key)).collect();
        each(&keys, |key| plain.put(key, &plain_value))
    })
    .with("guest", move |lab| {
        let keys = guest_numbers.keys(SETS, RECORDS_ALONE);
        lab.runtime.block_on(lab.guest.set(&keys, &value))
    })
    .with("store", move |lab| {
        let keys = store_numbers.keys(SETS, RECORDS_ALONE);
        let store = lab.store.clone();
        lab.runtime.block_on(async {
            let mut times = Vec::new();
            for key in &keys {
                let start = Instant::now();
                store.set(key, &store_value[..]).await?;
                times.push(per_operation(start.elapsed(), 1));
            }
            Ok(times)
        })
    })
    .run(&mut Lab { runtime, guest, store }, rounds)?;
    let [redb, guest, store] = &standings[..] else { unreachable!() };
    heading("A durable set against redb's own one-put commit with the same settings");
    let target = Some(Target::AtMost(1.2));
    row("stash set from a guest / redb put and commit (p50)", Figure::Median, guest, redb, target);
    row("stash set from a guest / redb put and commit (mean)", Figure::Mean, guest, redb, target);
    row("ComponentStore::set / redb put and commit (p50)", Figure::Median, store, redb, None);
    row("ComponentStore::set / redb put and commit (mean)", Figure::Mean, store, redb, None);
    Ok(())
}

/// What the crowd works with.
struct Square<'a> {
    runtime: &'a Runtime,
    /// One guest each of many components.
    many: Vec<Guest>,
    /// Many guests of one component.
    one: Vec<Guest>,
    plain: Arc<Plain>,
}

fn crowd(runtime: &Runtime, program: &Program, stash: &Stash, plain: &Arc<Plain>, rounds: usize) -> Result<()> {
    let start = |id: ComponentId| runtime.block_on(program.start(stash.component(&id), &[]));
    let many = (0..CROWD).map(|n| start(records::in_crowd(n))).collect::<Result<_>>()?;
    let one = (0..CROWD).map(|_| start(records::alone())).collect::<Result<_>>()?;
    let standings = Contest::against("redb", |square: &mut Square<'_>| {
        let keys = crowd_keys();
        let start = Instant::now();
        // Fewer than the guests set: it takes its time, and one put is like the other.
        keys.iter().step_by(CROWD_SETS / 2).try_for_each(|key| square.plain.put(key, &records::value(9)))?;
        Ok(vec![per_operation(start.elapsed(), count(2 * CROWD))])
    })
    .with("redb in threads", |square| {
        let keys = crowd_keys();
        let start = Instant::now();
        std::thread::scope(|scope| {
            let threads: Vec<_> = keys
                .chunks(CROWD_SETS)
                .map(|keys| {
                    let plain = &square.plain;
                    scope.spawn(move || keys.iter().take(2).try_for_each(|key| plain.put(key, &records::value(9))))
                })
                .collect();
            threads.into_iter().try_for_each(|thread| thread.join().unwrap())
        })?;
        Ok(vec![per_operation(start.elapsed(), count(2 * CROWD))])
    })
    .with("many", |square| together(square.runtime, &mut square.many, RECORDS_IN_CROWD))
    .with("one", |square| together(square.runtime, &mut square.one, RECORDS_ALONE))
    .run(&mut Square { runtime, many, one, plain: Arc::clone(plain) }, rounds)?;
    let [redb, threads, many, one] = &standings[..] else { unreachable!() };
    heading(&format!("{CROWD} guests setting at once against one redb commit a put"));
    let target = Some(Target::AtLeast(4.0));
    row("guests of as many components / redb, one after the other", Figure::Throughput, many, redb, target);
    row("guests of one component / redb, one after the other", Figure::Throughput, one, redb, target);
    row("redb in as many threads / redb, one after the other", Figure::Throughput, threads, redb, None);
    Ok(())
}

/// One round of guests that set at once: nanoseconds of one set, over all of them.
fn together(runtime: &Runtime, guests: &mut Vec<Guest>, records: usize) -> Result<Vec<f64>> {
    let count = count(guests.len() * CROWD_SETS);
    runtime.block_on(async {
        let value = records::value(9);
        let mut tasks = JoinSet::new();
        let start = Instant::now();
        for (n, mut guest) in guests.drain(..).enumerate() {
            let (value, keys) = (value.clone(), keys_of(n, records));
            tasks.spawn(async move { guest.set(&keys, &value).await.map(|_| guest) });
        }
        while let Some(guest) = tasks.join_next().await {
            guests.push(guest??);
        }
        Ok(vec![per_operation(start.elapsed(), count)])
    })
}

fn keys_of(n: usize, records: usize) -> Vec<String> {
    Numbers::new(u64::try_from(n).unwrap_or_default()).keys(CROWD_SETS, records)
}

fn crowd_keys() -> Vec<Vec<u8>> {
    (0..CROWD)
        .flat_map(|n| keys_of(n, RECORDS_IN_CROWD).into_iter().map(move |key| full(&records::in_crowd(n), &key)))
        .collect()
}

fn count(n: usize) -> u32 {
    u32::try_from(n).expect("a small number")
}

/// The key of a record in redb.
fn full(id: &ComponentId, key: &str) -> Vec<u8> {
    KeySpace::Record.key(&format!("{}{key}", id.key_prefix())).into()
}

/// Times `n` reads together; each must find a value.
fn timed(n: u32, mut read: impl FnMut(usize) -> Result<Option<Vec<u8>>>) -> Result<Vec<f64>> {
    let start = Instant::now();
    for i in 0..n {
        std::hint::black_box(read(i as usize)?.context("a record is missing")?);
    }
    Ok(vec![per_operation(start.elapsed(), n)])
}

/// Times each of some operations.
fn each(keys: &[Vec<u8>], mut operation: impl FnMut(&[u8]) -> Result<()>) -> Result<Vec<f64>> {
    keys.iter()
        .map(|key| {
            let start = Instant::now();
            operation(key)?;
            Ok(per_operation(start.elapsed(), 1))
        })
        .collect()
}
