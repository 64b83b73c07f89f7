//! What a crash leaves: all that was acknowledged, with usage, the expiry index and history in agreement with it.

use std::sync::Arc;
use std::time::Duration;

use stash_core::{
    Batch, CollectionSettings, ComponentStorage, Isolation, ManualClock, Retention, ScanRequest, StorageExt, Version,
};
use tokio::task::JoinSet;

use super::expiry::for_seconds;
use super::{Chain, counted_everywhere, name, one, open, records, sets};
use crate::fixture::EngineFixture;
use crate::report::Skip;
use crate::world::{ChainConfig, Chains, World};

const SECOND: Duration = Duration::from_secs(1);

/// Commits of every kind, from several callers.
async fn busy<W: World>(world: &W, round: u64) {
    let mut callers = JoinSet::new();
    for caller in 0..4_u64 {
        let chain = open(world, &one());
        callers.spawn(async move {
            for turn in 0..8_u64 {
                let key = format!("{caller}/{turn}");
                chain.set_with(&key, "value", for_seconds(1 + turn % 3), None).await.unwrap();
                let batch = Batch::new().increment("n", 1).set(format!("{key}/stays"), "v").append("log", "x");
                chain.commit(batch.in_collection(Some(&name("kept"))).set(key, format!("{round}"))).await.unwrap();
            }
            chain.clear(&format!("{caller}/7")).await.unwrap();
        });
    }
    callers.join_all().await;
}

pub(super) async fn what_a_crash_leaves_agrees_with_itself<F: EngineFixture>(engines: Arc<F>) -> Result<(), Skip> {
    let engine = engines.fresh().await;
    if !engine_is_durable(&engine) {
        return Err(Skip("the engine is not durable".to_owned()));
    }
    let clock = ManualClock::default();
    let world = Chains::over_with(engine, ChainConfig::whole(), clock.clone()).await;
    let chain = open(&world, &one());
    let retention = Retention { versions: Some(2), age: None };
    let settings = CollectionSettings { retention, ..CollectionSettings::default() };
    chain.create_collection(&name("kept"), &settings).await.unwrap();
    for round in 0..3 {
        busy(&world, round).await;
        let mut open_transaction = chain.begin(Isolation::Serializable).await.unwrap();
        open_transaction.set("never", "committed").await.unwrap();
        let (before, usage) = (records(&chain).await, chain.usage("").await.unwrap());
        let version = chain.commit(Batch::new()).await.unwrap().version;
        let Some(left) = engines.crash(world.backend().engine()).await else {
            return Err(Skip("the fixture cannot show what a crash leaves".to_owned()));
        };
        drop(open_transaction);
        // A clock of its own that goes on from the same moment.
        let later = ManualClock::default();
        later.advance(stash_core::Clock::now(&clock));
        let after = Chains::over_with(left, ChainConfig::whole(), later).await;
        let chain = open(&after, &one());
        assert_eq!(records(&chain).await, before, "round {round}");
        assert_eq!(chain.usage("").await.unwrap(), usage);
        assert_eq!(chain.commit(Batch::new()).await.unwrap().version, version);
        assert_history(&chain, round).await;
        for _ in 0..4 {
            after.advance(SECOND);
            let visible = without_history(&chain).await;
            assert_eq!(visible, counted_everywhere(&chain).await, "before the sweep");
            after.sweep(1000).await;
            assert_eq!(without_history(&chain).await, visible, "after the sweep");
        }
        assert!(records(&chain).await.keys().all(|key| key.ends_with("stays") || ["n", "log"].contains(&key.as_str())));
        chain.commit(sets(["alive"], "yes")).await.unwrap();
        assert!(chain.exists("alive").await.unwrap());
        world.advance(SECOND);
    }
    Ok(())
}

fn engine_is_durable<E: stash_core::Engine>(engine: &E) -> bool {
    engine.info().durable
}

async fn assert_history(chain: &Chain, round: u64) {
    let kept = chain.open_collection(Some(&name("kept"))).await.unwrap();
    for entry in kept.scan(&ScanRequest::default()).await.unwrap().entries {
        let request = stash_core::VersionsRequest { key: entry.key.to_string(), at_most: None, limit: 10 };
        let versions = kept.versions(&request).await.unwrap();
        let values: Vec<_> = versions
            .versions
            .iter()
            .map(|version| version.record.as_ref().map(|record| record.value.as_text().unwrap().to_owned()))
            .collect();
        let expected = (0..=round).rev().take(2).map(|round| Some(round.to_string()));
        assert_eq!(values, expected.collect::<Vec<_>>(), "{}", entry.key);
        let at = kept.read_at(&entry.key, Version(versions.versions.last().unwrap().version.0)).await.unwrap();
        assert!(at.is_some());
    }
}

/// Usage less what the collection keeps of the past: one earlier version of each key after the first round.
async fn without_history(chain: &Chain) -> stash_core::Usage {
    let mut usage = chain.usage("").await.unwrap();
    let kept = chain.open_collection(Some(&name("kept"))).await.unwrap();
    for entry in kept.scan(&ScanRequest::default()).await.unwrap().entries {
        let request = stash_core::VersionsRequest { key: entry.key.to_string(), at_most: None, limit: 10 };
        let versions = kept.versions(&request).await.unwrap().versions;
        for past in versions.into_iter().skip(1) {
            usage.used_bytes -= (entry.key.len() + past.record.map_or(0, |record| record.value.len())) as u64;
        }
    }
    usage
}
