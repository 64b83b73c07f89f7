//! Earlier versions: what a collection says that it keeps can be read, what it does not say is gone, and all of it counts.

use std::sync::Arc;
use std::time::Duration;

use stash_core::{
    Batch, CollectionSettings, ComponentStorage, KeyVersions, Retention, StorageError, StorageExt, Usage, Version,
    VersionsRequest,
};

use super::expiry::for_seconds;
use super::{Chain, can, counted_everywhere, driven, name, one, open};
use crate::report::Skip;
use crate::world::{World, WorldFixture};

const SECOND: Duration = Duration::from_secs(1);

fn keeping(versions: Option<u32>, age: Option<Duration>) -> CollectionSettings {
    CollectionSettings { retention: Retention { versions, age }, ..CollectionSettings::default() }
}

async fn historic<F: WorldFixture>(worlds: &Arc<F>, settings: &CollectionSettings) -> Result<(F::World, Chain), Skip> {
    let world = worlds.fresh().await;
    driven(&world)?;
    let chain = open(&world, &one());
    can(&chain, "history", |capabilities| capabilities.history)?;
    chain.configure_collection(None, settings).await.unwrap();
    Ok((world, chain))
}

async fn versions(chain: &Chain, key: &str) -> KeyVersions {
    chain.versions(&VersionsRequest { key: key.to_owned(), at_most: None, limit: 1000 }).await.unwrap()
}

/// Versions and values, the newest first.
async fn told(chain: &Chain, key: &str) -> Vec<(u64, Option<String>)> {
    let value = |record: stash_core::Record| record.value.as_text().unwrap().to_owned();
    let found = versions(chain, key).await.versions;
    found.into_iter().map(|found| (found.version.0, found.record.map(value))).collect()
}

async fn at(chain: &Chain, key: &str, version: u64) -> Result<Option<String>, StorageError> {
    let record = chain.read_at(key, Version(version)).await?;
    Ok(record.map(|record| record.value.as_text().unwrap().to_owned()))
}

fn forgotten(key: &str, version: u64) -> StorageError {
    StorageError::VersionForgotten { key: key.to_owned(), version: Version(version) }
}

pub(super) async fn the_last_versions_are_kept<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = historic(&worlds, &keeping(Some(3), None)).await?;
    // Version 1 was the configuration.
    for n in 2..=6 {
        chain.set("k", format!("{n}")).await.unwrap();
        let kept: Vec<_> = (2..=n).rev().take(3).map(|n| (n, Some(format!("{n}")))).collect();
        assert_eq!(told(&chain, "k").await, kept);
        assert_eq!(versions(&chain, "k").await.forgotten, n > 4, "at {n}");
    }
    let usage = Usage { used_bytes: 3 * 2, key_count: 1, quota_bytes: chain.usage("").await.unwrap().quota_bytes };
    assert_eq!(chain.usage("").await.unwrap(), usage, "earlier versions count as bytes, not as records");
    for version in 4..=9 {
        assert_eq!(at(&chain, "k", version).await, Ok(Some(format!("{}", version.min(6)))), "at {version}");
    }
    for version in [1, 2, 3] {
        assert_eq!(at(&chain, "k", version).await, Err(forgotten("k", version)));
    }
    assert_eq!(at(&chain, "never", 3).await, Ok(None));
    let record = chain.read_at("k", Version(5)).await.unwrap().unwrap();
    assert_eq!(record.version, Version(5));
    // Fewer at a time.
    let request = |at_most, limit| VersionsRequest { key: "k".to_owned(), at_most, limit };
    let error = chain.versions(&request(None, 0)).await.unwrap_err();
    assert!(matches!(error, StorageError::InvalidArgument { .. }), "{error:?}");
    let page = chain.versions(&request(None, 2)).await.unwrap();
    assert_eq!((page.versions.len(), page.more, page.forgotten), (2, true, false));
    let page = chain.versions(&request(Some(Version(5)), 2)).await.unwrap();
    assert_eq!(
        (page.versions[0].version, page.versions.len(), page.more, page.forgotten),
        (Version(5), 2, false, true)
    );
    Ok(())
}

pub(super) async fn a_deletion_is_a_version<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = historic(&worlds, &keeping(Some(10), None)).await?;
    chain.set("k", "two").await.unwrap();
    chain.delete("k").await.unwrap();
    chain.set("other", "four").await.unwrap();
    chain.set("k", "five").await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    assert_eq!(told(&chain, "k").await, [(5, text("five")), (3, None), (2, text("two"))]);
    for (version, expected) in [(2, text("two")), (3, None), (4, None), (5, text("five")), (9, text("five"))] {
        assert_eq!(at(&chain, "k", version).await, Ok(expected), "at {version}");
    }
    chain.commit(Batch::new().delete("k").set("k", "six").delete("k")).await.unwrap();
    assert_eq!(told(&chain, "k").await, [(6, None), (5, text("five")), (3, None), (2, text("two"))], "once a commit");
    assert_eq!(at(&chain, "k", 6).await, Ok(None));
    chain.clear("").await.unwrap();
    assert_eq!(told(&chain, "other").await, [(7, None), (4, text("four"))], "clearing is deleting");
    let used = chain.usage("").await.unwrap();
    // k: two records with values of 3 and 4 bytes; other: one with 4 bytes. That they were deleted counts nothing.
    assert_eq!((used.used_bytes, used.key_count), (2 + 3 + 4 + 5 + 4, 0));
    Ok(())
}

pub(super) async fn before_its_first_version_there_was_nothing<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = historic(&worlds, &keeping(Some(10), None)).await?;
    chain.set("other", "v").await.unwrap();
    for n in 3..6 {
        chain.set("k", format!("{n}")).await.unwrap();
        assert_eq!(at(&chain, "k", 2).await, Ok(None), "all {} versions are kept", n - 2);
        assert_eq!(versions(&chain, "k").await.versions.len(), n - 2);
        assert!(!versions(&chain, "k").await.forgotten);
    }
    Ok(())
}

pub(super) async fn versions_are_kept_for_a_time<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (world, chain) = historic(&worlds, &keeping(None, Some(10 * SECOND))).await?;
    for n in 2..=5 {
        chain.set("k", format!("{n}")).await.unwrap();
        world.advance(4 * SECOND);
    }
    // 2 was replaced 12 s ago, 3 was 8 s ago, 4 was 4 s ago.
    let text = |text: &str| Some(text.to_owned());
    let kept = [(5, text("5")), (4, text("4")), (3, text("3"))];
    for swept in [false, true] {
        assert_eq!(told(&chain, "k").await, kept, "swept: {swept}");
        assert!(versions(&chain, "k").await.forgotten);
        assert_eq!(at(&chain, "k", 2).await, Err(forgotten("k", 2)));
        assert_eq!(at(&chain, "k", 3).await, Ok(text("3")));
        world.sweep(100).await;
    }
    assert_eq!(chain.usage("").await.unwrap().used_bytes, 3 * 2, "pruning gives back");
    world.advance(Duration::from_millis(1_999));
    assert_eq!(told(&chain, "k").await, kept);
    world.advance(Duration::from_millis(1));
    assert_eq!(told(&chain, "k").await, kept[..2], "from its moment on");
    world.advance(10 * SECOND);
    assert_eq!(told(&chain, "k").await, kept[..1], "what is there stays, however old it is");
    world.sweep(100).await;
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    chain.delete("k").await.unwrap();
    world.advance(20 * SECOND);
    let before = versions(&chain, "k").await;
    world.sweep(100).await;
    assert_eq!(versions(&chain, "k").await, before, "nothing depends on when the sweeper runs");
    assert_eq!(chain.usage("").await.unwrap().used_bytes, 0);
    Ok(())
}

pub(super) async fn an_expired_version_hides_those_before_it<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    for sweeping in [false, true] {
        let (world, chain) = historic(&worlds, &keeping(Some(10), None)).await?;
        chain.set("k", "two").await.unwrap();
        chain.set_with("k", "three", for_seconds(1), None).await.unwrap();
        world.advance(SECOND);
        if sweeping {
            world.sweep(10).await;
        }
        chain.set("other", "four").await.unwrap();
        for made_again in [false, true] {
            if made_again {
                chain.set("k", "five").await.unwrap();
            }
            assert_eq!(at(&chain, "k", 2).await, Ok(Some("two".to_owned())), "it is kept");
            for version in [3, 4] {
                let found = at(&chain, "k", version).await;
                assert_ne!(found, Ok(Some("two".to_owned())), "at {version} it had been replaced; swept: {sweeping}");
            }
        }
    }
    Ok(())
}

pub(super) async fn settings_may_change<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = historic(&worlds, &keeping(Some(5), None)).await?;
    for n in 2..=8 {
        chain.set("k", format!("{n}")).await.unwrap();
    }
    assert_eq!(told(&chain, "k").await.len(), 5);
    chain.configure_collection(None, &keeping(Some(2), None)).await.unwrap();
    assert_eq!(told(&chain, "k").await.len(), 2, "what the settings do not keep is not shown");
    assert!(versions(&chain, "k").await.forgotten);
    assert_eq!(at(&chain, "k", 6).await, Err(forgotten("k", 6)));
    chain.set("k", "10").await.unwrap();
    let used = chain.usage("").await.unwrap().used_bytes;
    assert_eq!(used, 3 + 2, "and goes with the next commit");
    chain.configure_collection(None, &CollectionSettings::default()).await.unwrap();
    assert_eq!(told(&chain, "k").await.len(), 1);
    for versions in [0, 10_001] {
        let error = chain.configure_collection(None, &keeping(Some(versions), None)).await.unwrap_err().to_string();
        assert_eq!(error, format!("invalid argument: a collection keeps 1 to 10000 versions, not {versions}"));
    }
    Ok(())
}

pub(super) async fn a_collection_takes_its_history_with_it<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    for (number, age) in [(Some(5), None), (None, Some(100 * SECOND))] {
        let (world, chain) = historic(&worlds, &CollectionSettings::default()).await?;
        let settings = keeping(number, age);
        for recursive in [true, false] {
            chain.create_collection(&name("c"), &settings).await.unwrap();
            let inside = chain.open_collection(Some(&name("c"))).await.unwrap();
            for n in 0..3 {
                inside
                    .commit(Batch::new().set("k", format!("{n}")).set("gone", "v").append("gone", "w"))
                    .await
                    .unwrap();
            }
            inside.delete("gone").await.unwrap();
            assert_eq!(told(&inside, "k").await.len(), 3);
            if !recursive {
                inside.delete("k").await.unwrap();
            }
            chain.delete_collection(&name("c"), recursive).await.unwrap();
            assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await, "recursive: {recursive}");
            chain.create_collection(&name("c"), &settings).await.unwrap();
            for key in ["k", "gone"] {
                assert_eq!(told(&inside, key).await, [], "{key} of the collection that was deleted");
                assert!(!versions(&inside, key).await.forgotten);
            }
            chain.delete_collection(&name("c"), false).await.unwrap();
            assert_eq!(chain.usage("").await.unwrap().used_bytes, 0);
        }
        world.advance(1000 * SECOND);
        world.sweep(100).await;
        assert_eq!(chain.usage("").await.unwrap().used_bytes, 0);
    }
    Ok(())
}

pub(super) async fn long_histories_stay_within_their_number<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = historic(&worlds, &keeping(Some(100), None)).await?;
    for n in 2..400_u64 {
        chain.set("k", format!("{n}")).await.unwrap();
    }
    let kept = told(&chain, "k").await;
    assert_eq!(kept.len(), 100);
    assert!(kept.into_iter().map(|(version, _)| version).eq((300..400).rev()));
    let used = chain.usage("").await.unwrap().used_bytes;
    assert!((400..700).contains(&used), "{used} bytes for a hundred versions of four bytes: it forgets as it goes");
    Ok(())
}
