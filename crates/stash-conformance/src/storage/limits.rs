//! Limits and the quota: exact, refused with a text that says what to do, and never half done.

use std::sync::Arc;

use bytes::Bytes;
use stash_core::limits::{MAX_BATCH_BYTES, MAX_BATCH_ITEMS, MAX_KEY_BYTES, MAX_LIST_KEYS, MAX_READ_KEYS};
use stash_core::{Batch, ComponentStorage, StorageError, StoreLimits};
use tokio::task::JoinSet;

use super::{Chain, contents, counted, one, open, sets};
use crate::report::Skip;
use crate::world::{World, WorldFixture};

fn limited<W: World>(world: &W, limits: StoreLimits) -> Result<Chain, Skip> {
    if world.has_limits() {
        Ok(Chain(world.chain(&one(), limits)))
    } else {
        Err(Skip("these chains have no layer with limits".to_owned()))
    }
}

fn quota(bytes: u64) -> StoreLimits {
    StoreLimits { quota_bytes: Some(bytes), ..StoreLimits::default() }
}

pub(super) async fn values_have_a_limit<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    let chain = limited(&world, StoreLimits { max_value_bytes: 100, ..StoreLimits::default() })?;
    chain.set("k", vec![1; 100]).await.unwrap();
    let error = chain.commit(Batch::new().set("a", "fits").set("k", vec![2; 101])).await.unwrap_err();
    assert!(matches!(error, StorageError::LimitExceeded { actual: 101, limit: 100, .. }), "{error:?}");
    assert_eq!(error.to_string(), "limit exceeded: the size of a value in bytes is 101; the limit is 100");
    assert_eq!(chain.get("k").await.unwrap(), Some(vec![1; 100].into()));
    assert_eq!(chain.list_keys("").await.unwrap(), ["k"]);
    Ok(())
}

pub(super) async fn batches_have_a_limit<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let full = sets((0..MAX_BATCH_ITEMS - 1).map(|n| format!("{n}")), "").require_absent("0");
    assert_eq!(chain.commit(full).await.unwrap().outcomes.len(), MAX_BATCH_ITEMS - 1);
    let over = sets((0..MAX_BATCH_ITEMS).map(|n| format!("{n}")), "x").require_present("0");
    assert_eq!(
        chain.commit(over).await.unwrap_err().to_string(),
        "limit exceeded: the number of checks and changes in a batch is 10001; the limit is 10000; divide it into several batches"
    );
    // Clones share the bytes: nothing of this size is ever allocated, because it is refused.
    let value = Bytes::from(vec![0; 8 * 1024 * 1024]);
    let large =
        (0..=MAX_BATCH_BYTES / value.len()).fold(Batch::new(), |batch, n| batch.set(format!("{n}"), value.clone()));
    let error = chain.commit(large).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "limit exceeded: the size of a batch in bytes is 75497481; the limit is 67108864; divide it into several batches"
    );
    let usage = chain.usage("").await.unwrap();
    assert_eq!(usage.key_count, MAX_BATCH_ITEMS as u64 - 1);
    assert_eq!(chain.get("0").await.unwrap(), Some("".into()), "a refused batch changed a record");
}

pub(super) async fn reads_have_a_limit_however_warm_the_cache<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.set("k", "v").await.unwrap();
    let full = vec!["k"; MAX_READ_KEYS];
    for _ in 0..2 {
        let records = chain.read(&full).await.unwrap();
        assert_eq!(records.iter().flatten().count(), MAX_READ_KEYS);
        let error = chain.read(&[&full[..], &["k"]].concat()).await.unwrap_err();
        assert_eq!(
            error.to_string(),
            "limit exceeded: the number of keys to read is 10001; the limit is 10000; read fewer at once"
        );
    }
}

pub(super) async fn the_quota_is_exact<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    let chain = limited(&world, quota(20))?;
    assert_eq!(chain.usage("").await.unwrap().quota_bytes, Some(20));
    chain.set("12345", "1234567890").await.unwrap();
    chain.set("67890", "").await.unwrap();
    assert_eq!(chain.usage("").await.unwrap().used_bytes, 20, "filled to the last byte");
    let before = contents(&chain).await;
    let refused = [
        Batch::new().set("x", ""),
        Batch::new().set("67890", "1"),
        Batch::new().delete("67890").set("x", "12345"),
        Batch::new().set("x", "").set("67890", "1").delete("67890").set("y", "12345"),
    ];
    for batch in refused {
        let shown = format!("{batch:?}");
        let error = chain.commit(batch).await.unwrap_err();
        assert!(matches!(error, StorageError::QuotaExceeded { used: 20, quota: 20, .. }), "{shown}: {error:?}");
        assert_eq!(contents(&chain).await, before, "{shown}");
        assert_eq!(chain.get("x").await.unwrap(), None);
    }
    assert_eq!(
        chain.set("xy", "123").await.unwrap_err().to_string(),
        "quota exceeded: 20 of 20 bytes are used and this needs 5 more; delete something first"
    );
    // What adds up counts, not what comes first.
    chain.commit(Batch::new().set("x", "1234").delete("67890")).await.unwrap();
    chain.set("12345", "0987654321").await.unwrap();
    let usage = chain.usage("").await.unwrap();
    assert_eq!((usage.used_bytes, usage.key_count), (20, 2));
    Ok(())
}

pub(super) async fn of_two_quotas_the_lower_counts<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = Chain(world.chain(&one(), quota(100)));
    for (first, second) in [(10, 1000), (1000, 10)] {
        let batch = Batch::new().require_usage_at_most(first).require_usage_at_most(second);
        let error = chain.commit(batch.set("k", "1234567890")).await.unwrap_err();
        assert_eq!(error, StorageError::QuotaExceeded { used: 0, quota: 10, needed: 11 });
    }
    chain.commit(Batch::new().require_usage_at_most(10).set("k", "123456789")).await.unwrap();
}

pub(super) async fn a_lowered_quota_only_stops_growth<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    limited(&world, quota(100))?.commit(sets(["a", "b", "c"], "123456789")).await.unwrap();
    let chain = limited(&world, quota(10))?;
    chain.set("d", "").await.unwrap_err();
    chain.set("a", "1234567890").await.unwrap_err();
    chain.set("a", "987654321").await.unwrap();
    chain.set("a", "1").await.unwrap();
    chain.set("a", "12").await.unwrap_err();
    chain.commit(Batch::new().delete("b").set("d", "1234")).await.unwrap();
    assert!(chain.delete("c").await.unwrap());
    assert_eq!(chain.usage("").await.unwrap().used_bytes, 7);
    chain.set("a", "1234").await.unwrap();
    Ok(())
}

pub(super) async fn the_quota_holds_between_concurrent_callers<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    let mut callers = JoinSet::new();
    for caller in 0..40 {
        let chain = limited(&world, quota(100))?;
        callers.spawn(async move { chain.set(&format!("{caller:02}"), "12345678").await });
    }
    let outcomes = callers.join_all().await;
    assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 10, "ten of ten bytes fit into a hundred");
    let chain = open(&world, &one());
    assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
    assert_eq!(chain.usage("").await.unwrap().used_bytes, 100);
    Ok(())
}

pub(super) async fn listings_have_a_limit_of_keys<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    for part in 0..MAX_LIST_KEYS / MAX_BATCH_ITEMS {
        chain.commit(sets((0..MAX_BATCH_ITEMS).map(|n| format!("{part}/{n:04}")), "")).await.unwrap();
    }
    assert_eq!(chain.list_keys("").await.unwrap().len(), MAX_LIST_KEYS);
    chain.set("x", "").await.unwrap();
    assert_eq!(
        chain.list_keys("").await.unwrap_err().to_string(),
        "limit exceeded: the number of keys with this prefix (at least) is 100001; the limit is 100000; list them in pages"
    );
    assert_eq!(chain.list_keys("3/").await.unwrap().len(), MAX_BATCH_ITEMS, "a longer prefix still works");
}

pub(super) async fn listings_have_a_limit_of_bytes<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    for part in 0..9 {
        let keys = (0..1000).map(|n| format!("{part}{n:0width$}", width = MAX_KEY_BYTES - 1));
        chain.commit(sets(keys, "")).await.unwrap();
    }
    let error = chain.list_keys("").await.unwrap_err();
    assert!(matches!(error, StorageError::LimitExceeded { limit: 16_777_216, .. }), "{error:?}");
    assert!(error.to_string().starts_with("limit exceeded: the bytes of the keys with this prefix"), "{error}");
    assert_eq!(chain.list_keys("1").await.unwrap().len(), 1000, "a longer prefix still works");
}
