//! Removing what has expired: in bounded steps, without a trace that anybody could see; and the quota, which counts only
//! what is there.

use std::sync::Arc;
use std::time::Duration;

use stash_core::{
    Batch, CollectionSettings, ComponentStorage, SetOptions, StorageError, StorageExt, StoreLimits, Swept,
};

use super::expiry::for_seconds;
use super::{Chain, counted_everywhere, driven, id, name, one, open, records, sets, text};
use crate::report::Skip;
use crate::world::{World, WorldFixture};

const SECOND: Duration = Duration::from_secs(1);

pub(super) async fn sweep<W: World>(world: &W, max_commits: usize) -> Result<Swept, Skip> {
    world.sweep(max_commits).await.ok_or_else(|| Skip("this world does not sweep when it is asked".to_owned()))
}

fn expiring(keys: impl IntoIterator<Item = String>, options: &SetOptions) -> Batch {
    keys.into_iter().fold(Batch::new(), |batch, key| batch.set_with(key, "value", options.clone()))
}

pub(super) async fn sweeping_changes_nothing_that_is_seen<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    driven(&world)?;
    let chains: Vec<Chain> = ["a/b/c", "a/b/cc", "a/c/c"].iter().map(|text| open(&world, &id(text))).collect();
    for (n, chain) in (1..).zip(&chains) {
        chain.create_collection(&name("c"), &CollectionSettings::default()).await.unwrap();
        let inside = chain.in_collection(Some(&name("c"))).unwrap();
        for chain in [chain, &inside] {
            chain.commit(expiring((0..30).map(|k| format!("{k}")), &for_seconds(n))).await.unwrap();
            chain.commit(sets(["stays", "29"], "v")).await.unwrap();
        }
        // An index entry whose record no longer expires then.
        chain.persist("7").await.unwrap();
    }
    for _ in 0..4 {
        let mut before = Vec::new();
        for chain in &chains {
            let version = chain.commit(Batch::new()).await.unwrap().version;
            before.push((records(chain).await, chain.usage("").await.unwrap(), version));
            assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(chain).await);
        }
        let swept = sweep(&world, 1000).await?;
        assert!(!swept.more);
        for (chain, (contents, usage, version)) in chains.iter().zip(before) {
            assert_eq!(records(chain).await, contents);
            assert_eq!(chain.usage("").await.unwrap(), usage);
            assert_eq!(chain.commit(Batch::new()).await.unwrap().version, version, "a sweep is no version");
        }
        assert_eq!(sweep(&world, 1000).await?, Swept::default(), "it has done all of it");
        world.advance(SECOND);
    }
    for chain in &chains {
        assert_eq!(records(chain).await.keys().collect::<Vec<_>>(), ["29", "7", "stays"]);
    }
    Ok(())
}

pub(super) async fn sweeping_goes_in_bounded_steps<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    driven(&world)?;
    let chain = open(&world, &one());
    chain.commit(expiring((0..1000).map(|n| format!("{n}")), &for_seconds(1)).set("stays", "v")).await.unwrap();
    assert_eq!(sweep(&world, 10).await?, Swept::default(), "nothing is due");
    world.advance(SECOND);
    let usage = chain.usage("").await.unwrap();
    let (mut removed, mut steps) = (0, 0);
    loop {
        let swept = sweep(&world, 1).await?;
        removed += swept.removed;
        steps += 1;
        assert!(swept.removed < 500, "one commit of {} records", swept.removed);
        assert_eq!(chain.usage("").await.unwrap(), usage, "after {removed}");
        assert!(steps < 100, "a sweep does not get on");
        if !swept.more {
            break;
        }
    }
    assert!(removed == 1000 && steps > 1, "{removed} in {steps} steps");
    assert_eq!(records(&chain).await.len(), 1);
    Ok(())
}

pub(super) async fn the_quota_counts_only_what_is_there<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    driven(&world)?;
    if !world.has_limits() {
        return Err(Skip("these chains have no layer with limits".to_owned()));
    }
    let chain = Chain(world.chain(&one(), StoreLimits { quota_bytes: Some(200), ..StoreLimits::default() }));
    for round in 0..3_u8 {
        // Twenty of ten bytes each.
        chain.commit(expiring((0..20).map(|n| format!("{round}/{n:03}")), &for_seconds(1))).await.unwrap();
        let error = chain.set("x", "").await.unwrap_err();
        assert_eq!(error, StorageError::QuotaExceeded { used: 200, quota: 200, needed: 1 });
        world.advance(SECOND);
        assert_eq!(chain.usage("").await.unwrap().used_bytes, 0);
        // Nothing is in the way of what needs all of the room, nor of what is one byte too large for it.
        let error = chain.set("k", "v".repeat(200)).await.unwrap_err();
        assert_eq!(error, StorageError::QuotaExceeded { used: 0, quota: 200, needed: 201 });
        chain.set("k", "v".repeat(199)).await.unwrap();
        assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
        assert!(chain.delete("k").await.unwrap());
        assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    }
    // Over a quota that was lowered, only growth is refused, and what has expired is no room to grow into.
    chain.set("stays", "v".repeat(95)).await.unwrap();
    chain.set_with("goes", "v".repeat(96), for_seconds(1), None).await.unwrap();
    let lowered = Chain(world.chain(&one(), StoreLimits { quota_bytes: Some(50), ..StoreLimits::default() }));
    world.advance(SECOND);
    let error = lowered.set("x", "123456789").await.unwrap_err();
    assert_eq!(error, StorageError::QuotaExceeded { used: 100, quota: 50, needed: 10 });
    lowered.set("stays", "v").await.unwrap();
    lowered.set("x", "123456789").await.unwrap();
    assert_eq!(text(&lowered, "x").await.as_deref(), Some("123456789"));
    assert_eq!(lowered.usage("").await.unwrap(), counted_everywhere(&lowered).await);
    Ok(())
}

pub(super) async fn however_much_has_expired_makes_room<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    driven(&world)?;
    if !world.has_limits() {
        return Err(Skip("these chains have no layer with limits".to_owned()));
    }
    let chain = Chain(world.chain(&one(), StoreLimits { quota_bytes: Some(50_000), ..StoreLimits::default() }));
    chain.commit(expiring((0..5000).map(|n| format!("{n:05}")), &for_seconds(1))).await.unwrap();
    chain.set("x", "").await.unwrap_err();
    world.advance(SECOND);
    assert_eq!(chain.usage("").await.unwrap().used_bytes, 0);
    chain.set("k", "v".repeat(49_999)).await.unwrap();
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    Ok(())
}
