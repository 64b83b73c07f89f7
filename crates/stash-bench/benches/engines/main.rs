//! Prints what a component's store costs on every engine, beside the engine's own client doing the same by hand: get, set,
//! batch, page, and 64 guests at once. `-- --quick` for a short run; `-- redb etcd` for some engines only. Servers are
//! Debian's packages, started here; one that is not installed is left out, and said.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod by_hand;
mod embedded;
mod servers;

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use anyhow::{Context, Result};
use futures_util::future::try_join_all;
use stash_bench::contest::Contest;
use stash_bench::guest::per_operation;
use stash_bench::records::{self, CROWD, Numbers, RECORDS_ALONE};
use stash_bench::stores;
use stash_bench::table::{Figure, Target, heading, row};
use stash_core::{Batch, CacheConfig, ComponentStorage, ScanRequest};
use stash_host::{ComponentStore, Stash, StashConfig, StoreUrl};
use tokio::runtime::Runtime;

use by_hand::ByHand;

// What the `stash` command uses, for all sides alike.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Records in a batch.
const BATCH: usize = 1_000;
/// Records on a page.
const PAGE: usize = 100;
/// Operations of one round, of each kind.
const GETS: u32 = 100;
const SETS: u32 = 10;
const PAGES: u32 = 10;
/// Sets of each guest of a crowd in one round.
const SETS_OF_A_GUEST: usize = 4;
/// No more than so many times what it costs by hand.
const TARGET: Option<Target> = Some(Target::AtMost(1.3));

fn main() -> Result<()> {
    let given = |option| std::env::args().any(|argument| argument == option);
    let rounds = match (given("--bench"), given("--quick")) {
        (false, _) => 1,
        (true, true) => 8,
        (true, false) => 40,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let folder = stores::folder()?;
    let only: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let wanted = |engine: &str| only.is_empty() || only.iter().any(|only| only == engine);
    println!("Each ratio is the median of the ratios of single rounds, ± their median distance from it.");
    for name in embedded::NAMES {
        if wanted(name) {
            let url = |what: &str| format!("{name}:{}", folder.path().join(format!("{name}-{what}")).display());
            let urls = Urls { alone: url("alone").parse()?, cached: url("cached").parse()? };
            let by_hand = folder.path().join(format!("{name}-by-hand"));
            match name {
                "redb" => measure(&runtime, &urls, embedded::Redb::create(&by_hand)?, rounds)?,
                "fjall" => measure(&runtime, &urls, embedded::Fjall::create(&by_hand)?, rounds)?,
                "sqlite" => measure(&runtime, &urls, embedded::Sqlite::create(&by_hand)?, rounds)?,
                _ => measure(&runtime, &urls, embedded::Files::create(&by_hand)?, rounds)?,
            }
        }
    }
    if wanted("postgres")
        && let Some(server) = servers::postgres(folder.path())
    {
        let by_hand = runtime.block_on(servers::Postgres::connect(&server))?;
        let urls = Urls { alone: server.fresh_url().parse()?, cached: server.fresh_url().parse()? };
        measure(&runtime, &urls, by_hand, rounds)?;
    }
    if wanted("redis")
        && let Some(server) = servers::redis(folder.path())
    {
        let by_hand = runtime.block_on(servers::Redis::connect(&server))?;
        let urls = Urls { alone: server.url("alone").parse()?, cached: server.url("cached").parse()? };
        measure(&runtime, &urls, by_hand, rounds)?;
    }
    if wanted("etcd")
        && let Some(cluster) = servers::etcd()
    {
        let by_hand = runtime.block_on(async { servers::Etcd::connect(&cluster) });
        let urls = Urls { alone: cluster.url("alone").parse()?, cached: cluster.url("cached").parse()? };
        measure(&runtime, &urls, by_hand, rounds)?;
    }
    Ok(())
}

/// Two stores of one engine.
struct Urls {
    alone: StoreUrl,
    cached: StoreUrl,
}

/// The stores of one engine.
struct Lab<'a, H> {
    runtime: &'a Runtime,
    engine: &'static str,
    by_hand: H,
    /// Without a cache: what the engine costs.
    alone: ComponentStore,
    /// As components have it.
    cached: ComponentStore,
    crowd: Vec<ComponentStore>,
}

impl<'a, H: ByHand> Lab<'a, H> {
    /// Both sides with the same records.
    fn fill(runtime: &'a Runtime, urls: &Urls, by_hand: H) -> Result<Self> {
        runtime.block_on(async {
            let config = StashConfig { cache: CacheConfig::disabled(), ..StashConfig::default() };
            let stash = Stash::open(&urls.alone, config).await?;
            let alone = stash.component(&records::alone());
            stores::fill(&alone, RECORDS_ALONE).await?;
            let crowd: Vec<_> = (0..CROWD).map(|n| stash.component(&records::in_crowd(n))).collect();
            for chunk in (0..RECORDS_ALONE).collect::<Vec<_>>().chunks(BATCH) {
                by_hand.batch(chunk.iter().map(|n| (own(*n), records::value(*n))).collect()).await?;
            }
            let cached = Stash::open(&urls.cached, StashConfig::default()).await?.component(&records::alone());
            stores::fill(&cached, BATCH).await?;
            for n in 0..BATCH {
                cached.get(&records::key(n)).await?;
            }
            Ok(Self { runtime, engine: stash.engine().name, by_hand, alone, cached, crowd })
        })
    }
}

/// Another value each time: some engines write nothing where they find the same bytes.
fn value(n: usize) -> Vec<u8> {
    static CALLS: AtomicUsize = AtomicUsize::new(0);
    records::value(n ^ CALLS.fetch_add(1 << 24, Ordering::Relaxed))
}

/// The key by hand of the record that a component calls by its number.
fn own(n: usize) -> String {
    format!("{}{}", records::alone().key_prefix(), records::key(n))
}

/// What a component's store and the client by hand take for the same, in turn.
fn measure<H: ByHand>(runtime: &Runtime, urls: &Urls, by_hand: H, rounds: usize) -> Result<()> {
    let mut lab = Lab::fill(runtime, urls, by_hand).with_context(|| format!("filling {}", urls.alone))?;
    heading(&format!("{}, against {}", lab.engine, H::CLIENT));
    gets(&mut lab, rounds)?;
    sets(&mut lab, rounds)?;
    batches(&mut lab, rounds)?;
    pages(&mut lab, rounds)?;
    crowds(&mut lab, rounds)
}

/// The same in every contest.
fn numbers() -> Numbers {
    Numbers::new(11)
}

/// One record, from a component's cache and without one.
fn gets<H: ByHand>(lab: &mut Lab<'_, H>, rounds: usize) -> Result<()> {
    let (mut hand, mut store, mut cached) = (numbers(), numbers(), numbers());
    let standings = Contest::against("by hand", move |lab: &mut Lab<'_, H>| {
        timed(lab, GETS, async |lab| {
            let value = lab.by_hand.get(own(hand.below(RECORDS_ALONE))).await?;
            value.map(std::hint::black_box).context("a record is missing by hand").map(drop)
        })
    })
    .with("stash", move |lab| {
        timed(lab, GETS, async |lab| {
            let value = lab.alone.get(&records::key(store.below(RECORDS_ALONE))).await?;
            value.map(std::hint::black_box).context("a record is missing").map(drop)
        })
    })
    .with("cached", move |lab| {
        timed(lab, GETS, async |lab| {
            let value = lab.cached.get(&records::key(cached.below(BATCH))).await?;
            value.map(std::hint::black_box).context("a record is missing").map(drop)
        })
    })
    .run(lab, rounds)?;
    row("get, from the cache", Figure::Mean, &standings[2], &standings[0], TARGET);
    row("get, without a cache", Figure::Mean, &standings[1], &standings[0], TARGET);
    Ok(())
}

/// One record in one commit.
fn sets<H: ByHand>(lab: &mut Lab<'_, H>, rounds: usize) -> Result<()> {
    let (mut hand, mut checked, mut store) = (numbers(), numbers(), numbers());
    let standings = Contest::against("by hand", move |lab: &mut Lab<'_, H>| {
        timed(lab, SETS, async |lab| {
            let n = hand.below(RECORDS_ALONE);
            lab.by_hand.set(own(n), value(n)).await
        })
    })
    .with("by hand, checked", move |lab| {
        timed(lab, SETS, async |lab| {
            let n = checked.below(RECORDS_ALONE);
            lab.by_hand.replace(own(n), value(n)).await
        })
    })
    .with("stash", move |lab| {
        timed(lab, SETS, async |lab| {
            let n = store.below(RECORDS_ALONE);
            Ok(lab.alone.set(&records::key(n), value(n)).await?)
        })
    })
    .run(lab, rounds)?;
    row("set", Figure::Mean, &standings[2], &standings[0], TARGET);
    let ratio = standings[2].mean / standings[1].mean;
    println!("  {:<66} {:>31.2}", "set, by hand only over what was read before", ratio);
    Ok(())
}

/// Many records in one commit.
fn batches<H: ByHand>(lab: &mut Lab<'_, H>, rounds: usize) -> Result<()> {
    let (mut hand, mut store) = (numbers(), numbers());
    let standings = Contest::against("by hand", move |lab: &mut Lab<'_, H>| {
        let entries = (0..BATCH).map(|_| hand.below(RECORDS_ALONE)).map(|n| (own(n), value(n))).collect();
        once(lab, async |lab| lab.by_hand.batch(entries).await)
    })
    .with("stash", move |lab| {
        let numbers = (0..BATCH).map(|_| store.below(RECORDS_ALONE));
        let batch = numbers.fold(Batch::new(), |batch, n| batch.set(records::key(n), value(n)));
        once(lab, async |lab| Ok(lab.alone.commit(batch).await.map(drop)?))
    })
    .run(lab, rounds)?;
    row(&format!("batch of {BATCH}, keys here and there"), Figure::Mean, &standings[1], &standings[0], TARGET);
    Ok(())
}

/// Records in order, with their values.
fn pages<H: ByHand>(lab: &mut Lab<'_, H>, rounds: usize) -> Result<()> {
    let (mut hand, mut store) = (numbers(), numbers());
    let standings = Contest::against("by hand", move |lab: &mut Lab<'_, H>| {
        timed(lab, PAGES, async |lab| {
            let page = lab.by_hand.page(own(hand.below(RECORDS_ALONE - PAGE)), PAGE).await?;
            whole(std::hint::black_box(page).len())
        })
    })
    .with("stash", move |lab| {
        timed(lab, PAGES, async |lab| {
            let mut request = ScanRequest { limit: PAGE, values: true, ..ScanRequest::prefix("user:") };
            request.range.start = Some(records::key(store.below(RECORDS_ALONE - PAGE)));
            whole(std::hint::black_box(lab.alone.scan(&request).await?).entries.len())
        })
    })
    .run(lab, rounds)?;
    row(&format!("page of {PAGE} records"), Figure::Mean, &standings[1], &standings[0], TARGET);
    Ok(())
}

/// A commit of each guest, all at once.
fn crowds<H: ByHand>(lab: &mut Lab<'_, H>, rounds: usize) -> Result<()> {
    let standings = Contest::against("by hand", move |lab: &mut Lab<'_, H>| {
        crowd(lab, |lab, guest| {
            let hand = lab.by_hand.clone();
            async move {
                for n in 0..SETS_OF_A_GUEST {
                    let key = format!("{}{}", records::in_crowd(guest).key_prefix(), records::key(n));
                    hand.set(key, value(n)).await?;
                }
                Ok(())
            }
        })
    })
    .with("stash", move |lab| {
        crowd(lab, |lab, guest| {
            let store = lab.crowd[guest].clone();
            async move {
                for n in 0..SETS_OF_A_GUEST {
                    store.set(&records::key(n), value(n)).await?;
                }
                Ok(())
            }
        })
    })
    .run(lab, rounds)?;
    row(&format!("set, {CROWD} guests at once"), Figure::Mean, &standings[1], &standings[0], TARGET);
    Ok(())
}

/// A page with fewer records would be compared with another one.
fn whole(records: usize) -> Result<()> {
    anyhow::ensure!(records == PAGE, "a page has {records} records");
    Ok(())
}

fn timed<H>(
    lab: &mut Lab<'_, H>,
    times: u32,
    mut work: impl AsyncFnMut(&Lab<'_, H>) -> Result<()>,
) -> Result<Vec<f64>> {
    lab.runtime.block_on(async {
        let start = Instant::now();
        for _ in 0..times {
            work(lab).await?;
        }
        Ok(vec![per_operation(start.elapsed(), times)])
    })
}

fn once<H>(lab: &mut Lab<'_, H>, work: impl AsyncFnOnce(&Lab<'_, H>) -> Result<()>) -> Result<Vec<f64>> {
    lab.runtime.block_on(async {
        let start = Instant::now();
        work(lab).await?;
        Ok(vec![per_operation(start.elapsed(), 1)])
    })
}

/// All guests at once; the time of all together for each set.
fn crowd<H, F>(lab: &mut Lab<'_, H>, work: impl Fn(&Lab<'_, H>, usize) -> F) -> Result<Vec<f64>>
where
    F: Future<Output = Result<()>> + Send + 'static,
{
    lab.runtime.block_on(async {
        let start = Instant::now();
        let guests = (0..CROWD).map(|guest| tokio::spawn(work(lab, guest)));
        for done in try_join_all(guests).await? {
            done?;
        }
        Ok(vec![per_operation(start.elapsed(), u32::try_from(CROWD * SETS_OF_A_GUEST)?)])
    })
}
