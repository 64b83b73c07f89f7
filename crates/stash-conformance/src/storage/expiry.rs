//! Expiry under a clock that the suite moves: from its moment on a record is not there, whichever call asks, whether or
//! not anybody has removed it.

use std::sync::Arc;
use std::time::Duration;

use stash_core::{
    Batch, ComponentStorage, Condition, Expiry, Isolation, KeyRange, ScanRequest, SetOptions, StorageError, StorageExt,
    Timestamp,
};

use super::{Chain, can, counted_everywhere, driven, keys_of, one, open, text};
use crate::report::Skip;
use crate::world::{World, WorldFixture};

const SECOND: Duration = Duration::from_secs(1);
const MILLI: Duration = Duration::from_millis(1);

pub(super) fn for_seconds(seconds: u64) -> SetOptions {
    SetOptions { expiry: Expiry::After(Duration::from_secs(seconds)), ..SetOptions::default() }
}

async fn timed<F: WorldFixture>(worlds: &Arc<F>) -> Result<(F::World, Chain), Skip> {
    let world = worlds.fresh().await;
    driven(&world)?;
    let chain = open(&world, &one());
    can(&chain, "expiry", |capabilities| capabilities.expiry)?;
    Ok((world, chain))
}

/// Every way of asking says that `k` is there, or that it is not.
async fn assert_there(chain: &Chain, there: bool, when: &str) {
    chain.look("k", &mut |record| assert_eq!(record.is_some(), there, "look, {when}"));
    assert_eq!(chain.exists("k").await.unwrap(), there, "exists, {when}");
    assert_eq!(chain.get("k").await.unwrap().is_some(), there, "get, {when}");
    chain.look("k", &mut |record| assert_eq!(record.is_some(), there, "look after a read, {when}"));
    let read = chain.read(&["stays", "k", "absent"]).await.unwrap();
    assert_eq!(read.iter().map(Option::is_some).collect::<Vec<_>>(), [true, there, false], "read, {when}");
    let keys: &[&str] = if there { &["k", "stays"] } else { &["stays"] };
    assert_eq!(chain.list_keys("").await.unwrap(), keys, "list_keys, {when}");
    for reverse in [false, true] {
        for (limit, values) in [(1, true), (1, false), (10, true)] {
            let request = ScanRequest { reverse, limit, values, ..ScanRequest::default() };
            let page = chain.scan(&request).await.unwrap();
            let mut expected: Vec<&str> = keys.to_vec();
            if reverse {
                expected.reverse();
            }
            expected.truncate(limit);
            assert_eq!(page.keys(), expected, "{request:?}, {when}");
        }
    }
    let snapshot = chain.snapshot().await.unwrap();
    assert_eq!(snapshot.read(&["k"]).await.unwrap()[0].is_some(), there, "a snapshot, {when}");
    assert_eq!(chain.count(&KeyRange::default()).await.unwrap(), keys.len() as u64, "count, {when}");
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(chain).await, "usage, {when}");
    let mut transaction = chain.begin(Isolation::Serializable).await.unwrap();
    assert_eq!(transaction.get("k").await.unwrap().is_some(), there, "in a transaction, {when}");
    assert_eq!(transaction.count(&KeyRange::default()).await.unwrap(), keys.len() as u64);
    // Conditions that do not hold: nothing is changed by asking.
    let condition = if there { Condition::Absent } else { Condition::Present };
    chain.delete_if("k", condition).await.unwrap_err();
    let version = chain.commit(Batch::new()).await.unwrap().version;
    let error = chain.delete_if("k", Condition::Version(stash_core::Version(version.0 + 1))).await.unwrap_err();
    let StorageError::Conflict { current, .. } = error else { panic!("{error:?}") };
    assert_eq!(current.is_some(), there, "what a conflict tells, {when}");
    // Warm, whatever comes next.
    drop(chain.get("k").await.unwrap());
}

pub(super) async fn a_record_is_there_until_its_moment<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    for sweeping in [false, true] {
        let (world, chain) = timed(&worlds).await?;
        let sweep = async || {
            if sweeping {
                world.sweep(100).await;
            }
        };
        chain.set("stays", "v").await.unwrap();
        chain.set_with("k", "value", for_seconds(10), None).await.unwrap();
        assert_there(&chain, true, "at first").await;
        world.advance(Duration::from_millis(9_999));
        sweep().await;
        assert_there(&chain, true, "a millisecond before").await;
        world.advance(MILLI);
        assert_there(&chain, false, "at its moment").await;
        sweep().await;
        assert_there(&chain, false, "when it may have been removed").await;
        world.advance(100 * SECOND);
        assert_there(&chain, false, "long after").await;
        chain.set("k", "again").await.unwrap();
        assert_there(&chain, true, "made again").await;
        world.advance(1000 * SECOND);
        sweep().await;
        assert_there(&chain, true, "the new one does not expire").await;
    }
    Ok(())
}

pub(super) async fn a_moment_that_has_passed_removes<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = timed(&worlds).await?;
    let past = [
        Expiry::At(chain.now()),
        Expiry::At(Timestamp(0)),
        Expiry::At(chain.now().before(SECOND)),
        Expiry::After(Duration::ZERO),
    ];
    for expiry in past {
        chain.set("k", "v").await.unwrap();
        chain.set_with("k", "new", SetOptions { expiry, ..SetOptions::default() }, None).await.unwrap();
        assert_eq!(text(&chain, "k").await, None, "{expiry:?}");
        chain.set("k", "v").await.unwrap();
        chain.touch("k", expiry).await.unwrap();
        assert_eq!(text(&chain, "k").await, None, "touched: {expiry:?}");
        assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    }
    for expiry in [Expiry::At(Timestamp(u64::MAX)), Expiry::After(Duration::MAX)] {
        chain.set_with("k", "v", SetOptions { expiry, ..SetOptions::default() }, None).await.unwrap();
        let record = chain.read_one("k").await.unwrap().unwrap();
        assert_eq!(record.metadata.expires, Some(Timestamp::MAX), "{expiry:?}");
    }
    Ok(())
}

pub(super) async fn touching_moves_the_moment<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (world, chain) = timed(&worlds).await?;
    let first = chain.set_with("k", "v", for_seconds(10), None).await.unwrap();
    world.advance(9 * SECOND);
    let second = chain.touch("k", Expiry::After(10 * SECOND)).await.unwrap();
    assert!(second > first, "it is a change");
    world.advance(9 * SECOND);
    assert_eq!(text(&chain, "k").await.as_deref(), Some("v"));
    // What leaves the expiry as it is.
    chain.set_with("k", "w", SetOptions { expiry: Expiry::Keep, ..SetOptions::default() }, None).await.unwrap();
    chain.commit(Batch::new().append("k", "x")).await.unwrap();
    world.advance(SECOND);
    assert_eq!(text(&chain, "k").await, None);
    let missing = StorageError::NotFound { key: "k".to_owned() };
    assert_eq!(chain.touch("k", Expiry::After(SECOND)).await.unwrap_err(), missing, "it does not come back");
    assert_eq!(chain.persist("k").await.unwrap_err(), missing);

    chain.set_with("k", "v", for_seconds(10), None).await.unwrap();
    chain.persist("k").await.unwrap();
    world.advance(100 * SECOND);
    world.sweep(10).await;
    assert_eq!(text(&chain, "k").await.as_deref(), Some("v"));
    chain.touch("k", Expiry::After(SECOND)).await.unwrap();
    chain.touch("k", Expiry::After(20 * SECOND)).await.unwrap();
    world.advance(SECOND);
    world.sweep(10).await;
    assert_eq!(text(&chain, "k").await.as_deref(), Some("v"), "the earlier moment is forgotten");
    world.advance(19 * SECOND);
    assert_eq!(text(&chain, "k").await, None);
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    Ok(())
}

pub(super) async fn what_has_expired_is_begun_anew<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (world, chain) = timed(&worlds).await?;
    let expired = async |value: &str| {
        chain.set_with("k", value, for_seconds(1), None).await.unwrap();
        world.advance(SECOND);
    };
    expired("41").await;
    assert_eq!(chain.increment("k", 1).await.unwrap(), 1, "a counter begins at 0 again");
    assert_eq!(chain.read_one("k").await.unwrap().unwrap().metadata.expires, None, "and stays");
    expired("old").await;
    let committed = chain.commit(Batch::new().append("k", "new")).await.unwrap();
    assert_eq!((committed.existed(), text(&chain, "k").await.as_deref()), (vec![false], Some("new")));
    expired("old").await;
    assert!(!chain.delete("k").await.unwrap(), "there is nothing to delete");
    for batch in [Batch::new().delete("k"), Batch::new().set("k", "v").delete("k"), Batch::new().clear("")] {
        expired("old").await;
        let before = chain.commit(Batch::new()).await.unwrap().version;
        assert_eq!(chain.commit(batch).await.unwrap().version, before, "nothing that anybody saw has changed");
    }
    expired("old").await;
    assert_eq!(chain.clear("").await.unwrap().removed, 0);
    chain.set_with("k", "v", for_seconds(1), Some(Condition::Absent)).await.unwrap();
    assert_eq!(keys_of(&chain, "").await.unwrap(), ["k"]);
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    Ok(())
}

pub(super) async fn pages_are_full_whatever_has_expired<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (world, chain) = timed(&worlds).await?;
    let mut batch = Batch::new();
    for n in 0..60 {
        let key = format!("{n:02}");
        batch = if n % 3 == 0 { batch.set(key, "v") } else { batch.set_with(key, "v", for_seconds(1 + n % 2)) };
    }
    chain.commit(batch).await.unwrap();
    for seconds in 0..3 {
        let left: Vec<String> =
            (0..60_u64).filter(|n| n % 3 == 0 || 1 + n % 2 > seconds).map(|n| format!("{n:02}")).collect();
        for reverse in [false, true] {
            let mut expected = left.clone();
            if reverse {
                expected.reverse();
            }
            for limit in [1, 7, 60] {
                let mut request = ScanRequest { reverse, limit, ..ScanRequest::default() };
                let mut found: Vec<String> = Vec::new();
                loop {
                    let page = chain.scan(&request).await.unwrap();
                    assert!(
                        page.resume.is_none() || page.entries.len() == limit,
                        "a page that is not full ends the list"
                    );
                    request.after = page.resume.as_ref().map(ToString::to_string);
                    found.extend(page.keys());
                    assert!(found.len() <= expected.len(), "the list never ends: {found:?}");
                    if request.after.is_none() {
                        break;
                    }
                }
                assert_eq!(found, expected, "after {seconds} s, by {limit}");
            }
        }
        assert_eq!(chain.count(&KeyRange::default()).await.unwrap(), left.len() as u64);
        assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
        world.advance(SECOND);
    }
    Ok(())
}

pub(super) async fn a_transaction_sees_what_expires_under_it<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (world, chain) = timed(&worlds).await?;
    can(&chain, "transactions", |capabilities| capabilities.transactions)?;
    let conflicts = |outcome: Result<_, StorageError>| matches!(outcome, Err(StorageError::TransactionConflict { .. }));
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        for range in [false, true] {
            chain.set_with("k", "v", for_seconds(5), None).await.unwrap();
            let mut transaction = chain.begin(isolation).await.unwrap();
            if range {
                assert_eq!(transaction.count(&KeyRange::default()).await.unwrap(), 1);
            } else {
                assert!(transaction.get("k").await.unwrap().is_some());
            }
            transaction.set_with("own", "v", for_seconds(2)).await.unwrap();
            world.advance(2 * SECOND);
            assert_eq!(transaction.get("own").await.unwrap(), None, "its own writes expire too");
            world.advance(3 * SECOND);
            assert_eq!(transaction.get("k").await.unwrap(), None);
            transaction.set("decided", "because k was there").await.unwrap();
            let outcome = transaction.commit().await;
            assert_eq!(conflicts(outcome), isolation == Isolation::Serializable, "{isolation:?}, range: {range}");
            chain.clear("").await.unwrap();
        }
    }
    // One that read it as expired is not in anybody's way.
    chain.set_with("k", "v", for_seconds(1), None).await.unwrap();
    world.advance(SECOND);
    let mut transaction = chain.begin(Isolation::Serializable).await.unwrap();
    assert_eq!(transaction.get("k").await.unwrap(), None);
    world.sweep(10).await;
    transaction.set("k", "new").await.unwrap();
    transaction.commit().await.unwrap();
    assert_eq!(text(&chain, "k").await.as_deref(), Some("new"));
    Ok(())
}
