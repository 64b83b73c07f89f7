//! Prints what the storage contract costs over an engine used by hand: batches, the envelope with versions and usage,
//! pages, counts. `-- --quick` for a short run; `-- batches` for one group, of `batches`, `envelope`, `pages`, `around`.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Instant;

use anyhow::Result;
use bytes::Bytes;
use stash_bench::contest::Contest;
use stash_bench::guest::per_operation;
use stash_bench::plain::Plain;
use stash_bench::ready::ready;
use stash_bench::records::{self, Numbers, RECORDS_ALONE};
use stash_bench::stores;
use stash_bench::table::{Figure, Target, heading, row};
use stash_core::engine::{Decision, Engine, View, Writes};
use stash_core::keyspace::KeySpace;
use stash_core::{
    Batch, CacheConfig, ComponentId, ComponentStorage, EngineBackend, KeyRange, NamespacedStorage, ScanRequest,
    StorageError,
};
use stash_fjall::FjallOptions;
use stash_host::{ComponentStore, Stash, StashConfig, StoreUrl};
use stash_redb::RedbOptions;
use tokio::runtime::Runtime;

// What the `stash` command uses, for all sides alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records in a batch.
const BATCH: usize = 1_000;
/// Keys on a page.
const PAGE: usize = 100;
/// Pages in one round.
const PAGES: usize = 50;
/// Records of the collection that is paged through.
const MANY: usize = 1_000_000;

fn main() -> Result<()> {
    let given = |option| std::env::args().any(|argument| argument == option);
    let (full, quick) = (given("--bench"), given("--quick"));
    let rounds = |most: usize| match () {
        () if !full => 1,
        () if quick => most / 10,
        () => most,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().build()?;
    let folder = stores::folder()?;
    println!("Each ratio is the median of the ratios of single rounds, ± their median distance from it.");

    let stash = runtime.block_on(stores::stash(folder.path(), "stash.redb", CacheConfig::default()))?;
    let plain = Arc::new(stores::plain(folder.path())?);
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |group: &str| only.is_empty() || only.iter().any(|only| only == group);
    if wanted("batches") {
        batches(&runtime, &stash, &plain, rounds(60))?;
    }
    if wanted("envelope") {
        envelope(&runtime, folder.path(), rounds(300))?;
    }
    if wanted("pages") {
        pages(&stash, &plain, rounds(300))?;
    }
    if wanted("around") {
        around(&runtime, &stash, folder.path(), if full && !quick { MANY } else { MANY / 20 }, rounds(200))?;
    }
    Ok(())
}

/// Waits for the disk with whoever does it.
struct Lab<'a> {
    runtime: &'a Runtime,
}

fn batch_of(numbers: &mut Numbers, next: &mut usize, new: bool) -> Vec<usize> {
    if new {
        *next += BATCH;
        return (*next - BATCH..*next).collect();
    }
    (0..BATCH).map(|_| numbers.below(RECORDS_ALONE)).collect()
}

fn batches(runtime: &Runtime, stash: &Stash, plain: &Arc<Plain>, rounds: usize) -> Result<()> {
    let id = records::alone();
    heading(&format!("Batches of {BATCH} records in one durable commit, against redb with the same settings"));
    for new in [false, true] {
        let store = stash.component(&id);
        let (plain, id) = (Arc::clone(plain), id.clone());
        let (mut plain_numbers, mut store_numbers) = (Numbers::new(5), Numbers::new(5));
        let (mut plain_next, mut store_next) = (RECORDS_ALONE, RECORDS_ALONE);
        let standings = Contest::against("redb", move |_: &mut Lab<'_>| {
            let numbers = batch_of(&mut plain_numbers, &mut plain_next, new);
            let start = Instant::now();
            let puts = numbers.iter().map(|n| (full(&id, &records::key(*n)), records::value(*n)));
            plain.put_many(puts)?;
            Ok(vec![per_operation(start.elapsed(), 1)])
        })
        .with("stash", move |lab| {
            let numbers = batch_of(&mut store_numbers, &mut store_next, new);
            let start = Instant::now();
            let batch = numbers.iter().fold(Batch::new(), |batch, n| batch.set(records::key(*n), records::value(*n)));
            lab.runtime.block_on(store.commit(batch))?;
            Ok(vec![per_operation(start.elapsed(), 1)])
        })
        .run(&mut Lab { runtime }, rounds)?;
        let what = if new { "new keys in order" } else { "keys here and there" };
        row(
            &format!("commits a second, {what} / redb"),
            Figure::Throughput,
            &standings[1],
            &standings[0],
            Some(Target::AtLeast(0.8)),
        );
    }
    Ok(())
}

/// What an engine does by itself: one put.
struct Put(Bytes, Bytes);

impl Decision for Put {
    type Output = ();

    fn queue(&self) -> &'static str {
        "put"
    }

    fn cost(&self) -> usize {
        self.0.len() + self.1.len()
    }

    fn decide(&mut self, _: &dyn View, writes: &mut Writes) -> Result<(), StorageError> {
        writes.put(self.0.clone(), self.1.clone());
        Ok(())
    }
}

fn envelope(runtime: &Runtime, folder: &std::path::Path, rounds: usize) -> Result<()> {
    heading("One record in one commit: envelope, version and exact usage, against the same engine's bare put");
    let redb = runtime.block_on(stash_redb::open(&folder.join("envelope.redb"), &RedbOptions::default()))?;
    envelope_on("redb", runtime, redb, rounds)?;
    let fjall = runtime.block_on(stash_fjall::open(&folder.join("envelope.fjall"), &FjallOptions::default()))?;
    envelope_on("fjall", runtime, fjall, rounds)
}

fn envelope_on<E: Engine>(name: &str, runtime: &Runtime, backend: EngineBackend<E>, rounds: usize) -> Result<()> {
    let id = records::alone();
    let component = NamespacedStorage::new(&id, backend.clone());
    runtime.block_on(stores::fill(&component, RECORDS_ALONE))?;
    let (mut bare, mut whole) = (Numbers::new(6), Numbers::new(6));
    let standings = Contest::against("put", move |lab: &mut Lab<'_>| {
        let n = bare.below(RECORDS_ALONE);
        // A space that the contract does not use, so that nothing of it is touched.
        let put = Put(format!("\u{1}{}{}", id.key_prefix(), records::key(n)).into(), records::value(n).into());
        let start = Instant::now();
        lab.runtime.block_on(backend.engine().update(put))?;
        Ok(vec![per_operation(start.elapsed(), 1)])
    })
    .with("set", move |lab| {
        let n = whole.below(RECORDS_ALONE);
        let (key, value) = (records::key(n), records::value(n));
        let start = Instant::now();
        lab.runtime.block_on(component.set(&key, value))?;
        Ok(vec![per_operation(start.elapsed(), 1)])
    })
    .run(&mut Lab { runtime }, rounds)?;
    row(
        &format!("set / the engine's put, {name}"),
        Figure::Median,
        &standings[1],
        &standings[0],
        Some(Target::AtMost(1.25)),
    );
    Ok(())
}

fn pages(stash: &Stash, plain: &Arc<Plain>, rounds: usize) -> Result<()> {
    let id = records::alone();
    let table = plain.table()?;
    let prefix_bytes = full(&id, "").len();
    let starts = || {
        let mut numbers = Numbers::new(7);
        move || (0..PAGES).map(|_| records::key(numbers.below(RECORDS_ALONE - PAGE))).collect::<Vec<_>>()
    };
    let (mut raw_starts, mut stash_starts, mut value_starts, mut raw_value_starts) =
        (starts(), starts(), starts(), starts());
    let (store, values_of) = (stash.component(&id), stash.component(&id));
    let raw_table = plain.table()?;
    let raw_id = id.clone();
    let standings = Contest::against("redb", move |(): &mut ()| {
        let starts: Vec<_> = raw_starts().iter().map(|key| full(&id, key)).collect();
        timed(|| {
            starts.iter().try_for_each(|start| {
                let mut keys = Vec::with_capacity(PAGE);
                for entry in table.range::<&[u8]>(&start[..]..)?.take(PAGE) {
                    keys.push(String::from_utf8(entry?.0.value()[prefix_bytes..].to_vec())?);
                }
                std::hint::black_box(keys);
                Ok(())
            })
        })
    })
    .with("stash", move |()| {
        let starts = stash_starts();
        timed(|| {
            starts.iter().try_for_each(|start| {
                std::hint::black_box(ready(store.scan_keys(&page_from(start, false)))?);
                Ok(())
            })
        })
    })
    .with("redb with values", move |()| {
        let starts: Vec<_> = raw_value_starts().iter().map(|key| full(&raw_id, key)).collect();
        timed(|| {
            starts.iter().try_for_each(|start| {
                let mut page = Vec::with_capacity(PAGE);
                for entry in raw_table.range::<&[u8]>(&start[..]..)?.take(PAGE) {
                    let (key, value) = entry?;
                    page.push((String::from_utf8(key.value()[prefix_bytes..].to_vec())?, value.value().to_vec()));
                }
                std::hint::black_box(page);
                Ok(())
            })
        })
    })
    .with("stash with values", move |()| {
        let starts = value_starts();
        timed(|| {
            starts.iter().try_for_each(|start| {
                std::hint::black_box(ready(values_of.scan(&page_from(start, true)))?);
                Ok(())
            })
        })
    })
    .run(&mut (), rounds)?;
    heading(&format!("Pages of {PAGE} records, against a scan of redb from a table kept open"));
    row("page of keys / redb scan of keys", Figure::Median, &standings[1], &standings[0], Some(Target::AtMost(2.0)));
    row("page of records / redb scan of keys and values", Figure::Median, &standings[3], &standings[2], None);
    Ok(())
}

fn page_from(start: &str, values: bool) -> ScanRequest {
    let mut request = ScanRequest { limit: PAGE, values, ..ScanRequest::prefix("user:") };
    request.range.start = Some(start.to_owned());
    request
}

/// A small collection in a small store and in a large one, and a large one from end to end.
fn around(runtime: &Runtime, small: &Stash, folder: &std::path::Path, many: usize, rounds: usize) -> Result<()> {
    let url = StoreUrl::Redb(folder.join("large.redb"));
    let large = runtime.block_on(Stash::open(&url, StashConfig::default()))?;
    let crowd = large.component(&records::alone());
    runtime.block_on(stores::fill(&crowd, many))?;
    let id: ComponentId = "bench/small/0".parse()?;
    let (here, there) = (small.component(&id), large.component(&id));
    for store in [&here, &there] {
        runtime.block_on(stores::fill(store, BATCH))?;
    }
    let [count_here, count_there] = [here.clone(), there.clone()];
    let standings = Contest::against("page", move |(): &mut ()| timed(|| first_page(&here)))
        .with("page in large", move |()| timed(|| first_page(&there)))
        .with("count", move |()| timed(|| count(&count_here)))
        .with("count in large", move |()| timed(|| count(&count_there)))
        .run(&mut (), rounds)?;
    heading(&format!("A component of {BATCH} records among {many} of others, against one among {RECORDS_ALONE}"));
    row("page of 100 keys / the same in the small store", Figure::Median, &standings[1], &standings[0], None);
    row("count / the same in the small store", Figure::Median, &standings[3], &standings[2], None);

    let mut request = ScanRequest { limit: 1_000, ..ScanRequest::default() };
    let (mut seen, mut previous, mut tenths, mut start) = (0, String::new(), Vec::new(), Instant::now());
    loop {
        let page = ready(crowd.scan(&request))?;
        for entry in &page.entries {
            assert!(previous.as_str() < &*entry.key, "in order");
            entry.key.as_str().clone_into(&mut previous);
            seen += 1;
            if seen % (many / 10) == 0 {
                tenths.push(start.elapsed());
                start = Instant::now();
            }
        }
        match page.resume {
            Some(resume) => request.after = Some(resume.into()),
            None => break,
        }
    }
    assert_eq!(seen, many);
    let rates: Vec<String> = tenths.iter().map(|time| format!("{:.1}", time.as_secs_f64() * 1e3)).collect();
    println!("\nPaging through {many} keys, 1,000 a page: milliseconds of each tenth: {}", rates.join(" "));
    let start = Instant::now();
    let counted = runtime.block_on(crowd.count(&KeyRange::default()))?;
    println!("Counting {counted} records: {:.0} ms", start.elapsed().as_secs_f64() * 1e3);
    Ok(())
}

fn first_page(store: &ComponentStore) -> Result<()> {
    for _ in 0..PAGES {
        let request = ScanRequest { limit: PAGE, ..ScanRequest::default() };
        std::hint::black_box(ready(store.scan_keys(&request))?);
    }
    Ok(())
}

fn count(store: &ComponentStore) -> Result<()> {
    for _ in 0..PAGES / 10 {
        std::hint::black_box(ready(store.count(&KeyRange::default()))?);
    }
    Ok(())
}

/// Times the pages or counts of one round, as one.
fn timed(work: impl FnOnce() -> Result<()>) -> Result<Vec<f64>> {
    let start = Instant::now();
    work()?;
    Ok(vec![per_operation(start.elapsed(), u32::try_from(PAGES).expect("a small number"))])
}

/// The key of a record in redb.
fn full(id: &ComponentId, key: &str) -> Vec<u8> {
    KeySpace::Record.key(&format!("{}{key}", id.key_prefix())).into()
}
