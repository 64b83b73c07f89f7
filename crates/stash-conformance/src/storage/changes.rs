//! The log of changes: everything that commits did, once, in their order, for whoever follows it; and nothing for those
//! who do not ask.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use stash_core::limits::{MAX_CHANGE_BYTES, MAX_CHANGES};
use stash_core::{
    Batch, ChangeKind, ChangesOf, ChangesPage, ChangesRequest, CollectionSettings, ComponentStorage, Expiry, Isolation,
    MetadataChange, Record, SetOptions, StorageError, StorageExt, StoreLimits, Timestamp, Version,
};
use tokio::task::JoinSet;

use super::expiry::for_seconds;
use super::sweeping::sweep;
use super::{Chain, counted_everywhere, driven, id, name, one, open, records, sets};
use crate::fixture::EngineFixture;
use crate::report::Skip;
use crate::world::{ChainConfig, Chains, World, WorldFixture};

const SECOND: Duration = Duration::from_secs(1);

async fn changes(chain: &Chain, request: &ChangesRequest) -> Result<ChangesPage, StorageError> {
    chain.changes("", request).await
}

/// All that has changed since, from as many pages as it takes, and where they end.
async fn all(chain: &Chain, request: ChangesRequest) -> (Vec<stash_core::ChangeRecord>, Version) {
    let (mut request, mut found) = (request, Vec::new());
    loop {
        let page = changes(chain, &request).await.unwrap();
        assert!(page.through >= request.since, "{page:?}");
        assert!(page.changes.iter().all(|change| change.version > request.since && change.version <= page.through));
        assert!(page.changes.is_sorted_by_key(|change| change.version));
        found.extend(page.changes);
        request.since = page.through;
        if !page.more {
            return (found, page.through);
        }
    }
}

/// Changes as `version collection/key=value`, with `-` for what was deleted and `!` for what has expired.
async fn told(chain: &Chain, since: Version) -> Vec<String> {
    let text = |change: &stash_core::ChangeRecord| {
        let place = change.collection.as_ref().map_or(String::new(), |name| format!("{name}/"));
        let became = match (change.kind, &change.record) {
            (ChangeKind::Set, Some(record)) => {
                assert_eq!(record.version, change.version);
                assert_eq!(record.metadata.updated, Some(change.time));
                format!("={}", record.value.as_text().unwrap())
            }
            (ChangeKind::Delete, None) => "-".to_owned(),
            (ChangeKind::Expire, None) => "!".to_owned(),
            _ => panic!("{change:?}"),
        };
        format!("{} {place}{}{became}", change.version, change.key)
    };
    all(chain, ChangesRequest::since(since)).await.0.iter().map(text).collect()
}

/// Whether a call has no answer yet.
async fn waits<T>(call: &mut Pin<Box<impl Future<Output = T>>>) -> bool {
    poll_fn(|context| Poll::Ready(call.as_mut().poll(context).is_pending())).await
}

fn forgotten<T>(since: Version, kept: Option<Version>) -> Result<T, StorageError> {
    Err(StorageError::ChangesForgotten { since, kept })
}

pub(super) async fn nothing_is_kept_before_it_is_asked_for<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let nothing = ChangesRequest::since(Version(0));
    assert_eq!(changes(&chain, &nothing).await, forgotten(Version(0), None), "of a component with nothing in it");
    chain.set("before", "1").await.unwrap();
    assert_eq!(changes(&chain, &nothing).await, forgotten(Version(0), None));
    chain.stop_changes().await.unwrap();

    let since = chain.start_changes().await.unwrap();
    assert_eq!(since, Version(1), "it is no commit");
    assert_eq!(chain.commit(Batch::new()).await.unwrap().version, since);
    let empty = ChangesPage { changes: Vec::new(), through: since, more: false };
    assert_eq!(changes(&chain, &ChangesRequest::since(since)).await, Ok(empty));
    assert_eq!(changes(&chain, &nothing).await, forgotten(Version(0), Some(since)));
    assert_eq!(changes(&chain, &ChangesRequest::since(Version(2))).await, forgotten(Version(2), Some(since)));
    chain.set("k", "2").await.unwrap();
    assert_eq!(chain.start_changes().await.unwrap(), since, "it was on already");
    assert_eq!(told(&chain, since).await, ["2 k=2"]);
    assert_eq!(told(&open(&world, &one()), since).await, ["2 k=2"], "another instance");

    let other = open(&world, &id("app/service-a/002"));
    other.set("k", "other").await.unwrap();
    assert_eq!(changes(&other, &nothing).await, forgotten(Version(0), None), "another component");

    chain.stop_changes().await.unwrap();
    assert_eq!(changes(&chain, &ChangesRequest::since(since)).await, forgotten(since, None));
    chain.set("k", "3").await.unwrap();
    let again = chain.start_changes().await.unwrap();
    assert_eq!(again, Version(3));
    chain.set("k", "4").await.unwrap();
    assert_eq!(told(&chain, again).await, ["4 k=4"], "nothing of what was kept before");
    assert_eq!(changes(&chain, &ChangesRequest::since(since)).await, forgotten(since, Some(again)));
}

pub(super) async fn every_kind_of_change_is_told<F: WorldFixture>(worlds: Arc<F>) {
    let chain = open(&worlds.fresh().await, &one());
    let since = chain.start_changes().await.unwrap();
    chain.set("k", "1").await.unwrap();
    chain.commit(Batch::new().increment("n", 7).append("t", "ab").max("m", 3).min("m", 2)).await.unwrap();
    chain.append_two("t").await;
    chain.touch("k", Expiry::After(3600 * SECOND)).await.unwrap();
    let attributes = [("a".to_owned(), "b".to_owned())].into();
    let change = MetadataChange::Replace { content_type: Some("x/y".to_owned()), attributes };
    chain.set_metadata("k", change).await.unwrap();
    assert!(chain.delete("n").await.unwrap());
    // Nothing happens, so there is nothing to tell.
    assert!(!chain.delete("n").await.unwrap());
    chain.commit(Batch::new().set("gone", "x").delete("gone")).await.unwrap();
    let past = SetOptions { expiry: Expiry::At(Timestamp(0)), ..SetOptions::default() };
    chain.set_with("m", "late", past.clone(), None).await.unwrap();
    chain.set_with("never", "late", past, None).await.unwrap();
    // The final outcome of each key, once.
    chain.commit(Batch::new().set("t", "1").delete("t").set("t", "2").increment("t", 3).delete("k")).await.unwrap();
    chain.commit(Batch::new().require_absent("t").set("t", "refused")).await.unwrap_err();
    chain.commit(sets(["c/1", "c/2"], "v")).await.unwrap();
    chain.commit(Batch::new().clear("c/").set("c/2", "w")).await.unwrap();
    let expected = [
        "1 k=1", "2 m=2", "2 n=7", "2 t=ab", "3 t=abcd", "4 k=1", "5 k=1", "6 n-", "7 m-", "8 k-", "8 t=5", "9 c/1=v",
        "9 c/2=v", "10 c/1-", "10 c/2=w",
    ];
    let mut found = told(&chain, since).await;
    // Within a commit the order says nothing.
    found.sort_by_key(|line| (line.split(' ').next().unwrap().parse::<u64>().unwrap(), line.clone()));
    assert_eq!(found, expected);
    let (found, _) = all(&chain, ChangesRequest::since(since)).await;
    let touched = found.iter().find(|change| change.version == Version(5)).unwrap().record.clone().unwrap();
    assert_eq!(touched.metadata.content_type(), Some("x/y"));
    assert!(touched.metadata.expires.is_some(), "all that is known of the record");
}

impl Chain {
    async fn append_two(&self, key: &str) {
        self.commit(Batch::new().append(key, "cd")).await.unwrap();
    }
}

pub(super) async fn changes_of_all_collections_are_in_one_order<F: WorldFixture>(worlds: Arc<F>) {
    let chain = open(&worlds.fresh().await, &one());
    let since = chain.start_changes().await.unwrap();
    for text in ["a", "a/b"] {
        chain.create_collection(&name(text), &CollectionSettings::default()).await.unwrap();
    }
    let (a, b) = (chain.in_collection(Some(&name("a"))).unwrap(), chain.in_collection(Some(&name("a/b"))).unwrap());
    a.set("k", "1").await.unwrap();
    b.set("k", "2").await.unwrap();
    chain.set("k", "3").await.unwrap();
    b.commit(Batch::new().set("x", "4").in_collection(None).set("y", "5")).await.unwrap();
    chain.configure_collection(None, &CollectionSettings::default()).await.unwrap();
    assert_eq!(told(&a, since).await, ["3 a/k=1", "4 a/b/k=2", "5 k=3", "6 a/b/x=4", "6 y=5"]);

    let of = |of: Option<&str>, prefix: &str| ChangesRequest {
        of: ChangesOf::Collection(of.map(name)),
        prefix: prefix.to_owned(),
        ..ChangesRequest::since(since)
    };
    for (request, expected) in [
        (of(None, ""), vec!["k", "y"]),
        (of(Some("a"), ""), vec!["k"]),
        (of(Some("a/b"), ""), vec!["k", "x"]),
        (of(Some("a/b"), "x"), vec!["x"]),
        (of(Some("absent"), ""), vec![]),
        (ChangesRequest { prefix: "k".to_owned(), ..ChangesRequest::since(since) }, vec!["k", "k", "k"]),
    ] {
        let (found, through) = all(&chain, request.clone()).await;
        assert_eq!(found.iter().map(|change| change.key.as_str()).collect::<Vec<_>>(), expected, "{request:?}");
        assert_eq!(through, Version(7), "what was passed over is done with");
        let (keys, _) = all(&chain, ChangesRequest { values: false, ..request }).await;
        let without: Vec<_> =
            found.into_iter().map(|change| stash_core::ChangeRecord { record: None, ..change }).collect();
        assert_eq!(keys, without);
    }
    chain.delete_collection(&name("a"), true).await.unwrap();
    assert_eq!(told(&chain, Version(7)).await, ["8 a/b/k-", "8 a/b/x-", "9 a/k-"]);
    let long = ChangesRequest { prefix: "x".repeat(3000), ..ChangesRequest::since(since) };
    assert!(matches!(changes(&chain, &long).await, Err(StorageError::InvalidKey { .. })));
}

pub(super) async fn a_page_is_made_of_whole_commits<F: WorldFixture>(worlds: Arc<F>) {
    let chain = open(&worlds.fresh().await, &one());
    let since = chain.start_changes().await.unwrap();
    for size in [1_usize, 5, 2, 2, 1, 7, 1] {
        chain.commit(sets((0..size).map(|n| format!("{size}/{n}")), "0123456789")).await.unwrap();
    }
    let page = |limit, max_bytes| {
        let (chain, request) = (chain.clone(), ChangesRequest { limit, max_bytes, ..ChangesRequest::since(since) });
        async move {
            let (mut request, mut counts) = (request, Vec::new());
            loop {
                let page = changes(&chain, &request).await.unwrap();
                request.since = page.through;
                counts.push(page.changes.len());
                if !page.more {
                    return counts;
                }
            }
        }
    };
    assert_eq!(page(usize::MAX, usize::MAX).await, [19]);
    assert_eq!(page(1, usize::MAX).await, [1, 5, 2, 2, 1, 7, 1]);
    assert_eq!(page(5, usize::MAX).await, [1, 5, 5, 7, 1]);
    assert_eq!(page(6, usize::MAX).await, [6, 5, 7, 1]);
    assert_eq!(page(usize::MAX, 1).await, [1, 5, 2, 2, 1, 7, 1]);
    assert_eq!(page(usize::MAX, 400).await.iter().sum::<usize>(), 19);
    let filtered = ChangesRequest { limit: 2, prefix: "7/6".to_owned(), ..ChangesRequest::since(since) };
    assert_eq!(changes(&chain, &filtered).await.unwrap().changes.len(), 1);
}

pub(super) async fn a_transaction_is_one_commit_of_the_log<F: WorldFixture>(worlds: Arc<F>) {
    let chain = open(&worlds.fresh().await, &one());
    chain.set("k", "0").await.unwrap();
    let since = chain.start_changes().await.unwrap();
    let mut transaction = chain.begin(Isolation::Serializable).await.unwrap();
    transaction.set("k", "1").await.unwrap();
    transaction.set("l", "1").await.unwrap();
    transaction.delete("l").await.unwrap();
    transaction.set("m", "1").await.unwrap();
    let mut lost = chain.begin(Isolation::Serializable).await.unwrap();
    lost.get("k").await.unwrap();
    lost.set("lost", "1").await.unwrap();
    transaction.commit().await.unwrap();
    lost.commit().await.unwrap_err();
    assert_eq!(told(&chain, since).await, ["2 k=1", "2 m=1"]);
}

pub(super) async fn what_expires_is_told_when_it_is_removed<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    driven(&world)?;
    let chain = open(&world, &one());
    let quiet = open(&world, &id("app/quiet/1"));
    let since = chain.start_changes().await.unwrap();
    chain.create_collection(&name("c"), &CollectionSettings::default()).await.unwrap();
    let inside = chain.in_collection(Some(&name("c"))).unwrap();
    for (key, chain) in [("swept", &inside), ("replaced", &chain), ("deleted", &chain), ("swept", &quiet)] {
        chain.set_with(key, "v", for_seconds(1), None).await.unwrap();
    }
    world.advance(SECOND);
    let before = chain.commit(Batch::new()).await.unwrap().version;
    assert_eq!(before, Version(4));
    // A commit finds what has expired before the sweeper does.
    chain.set("replaced", "w").await.unwrap();
    assert!(!chain.delete("deleted").await.unwrap());
    let expected = ["2 c/swept=v", "3 replaced=v", "4 deleted=v", "5 replaced=w", "6 deleted!"];
    assert_eq!(told(&chain, since).await, expected);
    let quiet_version = quiet.commit(Batch::new()).await.unwrap().version;
    sweep(&world, 1000).await?;
    assert_eq!(told(&chain, Version(6)).await, ["7 c/swept!"], "with a version, by which it is read on");
    assert_eq!(chain.commit(Batch::new()).await.unwrap().version, Version(7));
    assert_eq!(quiet.commit(Batch::new()).await.unwrap().version, quiet_version, "no log, no version");
    sweep(&world, 1000).await?;
    assert_eq!(told(&chain, Version(7)).await, Vec::<String>::new());
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    if world.has_limits() {
        let small = Chain(world.chain(&one(), StoreLimits { quota_bytes: Some(100), ..StoreLimits::default() }));
        small.set_with("goes", "v".repeat(50), for_seconds(1), None).await.unwrap();
        world.advance(SECOND);
        small.set("k", "v".repeat(60)).await.unwrap();
        let mut found: Vec<String> =
            told(&small, Version(8)).await.iter().map(|line| line.chars().take(6).collect()).collect();
        found.sort();
        assert_eq!(found, ["9 goes", "9 k=vv"], "what made room");
        assert_eq!(small.usage("").await.unwrap().used_bytes, counted_everywhere(&small).await.used_bytes);
    }
    Ok(())
}

/// What a reader who has followed the log since it was empty knows.
#[derive(Default)]
struct Mirror {
    records: BTreeMap<(String, String), Record>,
    through: Version,
}

impl Mirror {
    fn apply(&mut self, page: ChangesPage) {
        for change in page.changes {
            assert!(change.version > self.through && change.version <= page.through, "{change:?}");
            let place = change.collection.map(|name| name.to_string()).unwrap_or_default();
            match change.record {
                Some(record) => drop(self.records.insert((place, change.key), record)),
                None => assert!(self.records.remove(&(place, change.key)).is_some(), "it was told of before"),
            }
        }
        self.through = page.through;
    }

    /// That it knows what there is, and no more.
    async fn assert_is(&self, chain: &Chain) {
        let mut there: BTreeMap<(String, String), Record> = BTreeMap::new();
        let mut places = vec![None];
        places.extend(chain.collections(None).await.unwrap().into_iter().map(|info| info.name));
        for place in places {
            let text = place.as_ref().map(ToString::to_string).unwrap_or_default();
            let inside = records(&chain.in_collection(place.as_ref()).unwrap()).await;
            there.extend(inside.into_iter().map(|(key, record)| ((text.clone(), key), record)));
        }
        let now = chain.now();
        let stays = |record: &&Record| record.metadata.expires.is_none_or(|expires| expires > now);
        let known: Vec<_> = self.records.iter().filter(|(_, record)| stays(record)).collect();
        assert_eq!(known, there.iter().collect::<Vec<_>>());
    }
}

pub(super) async fn a_reader_sees_each_commit_once_and_in_order<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    const WRITERS: u64 = 4;
    const TURNS: u64 = 40;
    let world = Arc::new(worlds.fresh().await);
    let chain = open(&*world, &one());
    chain.create_collection(&name("c"), &CollectionSettings::default()).await.unwrap();
    let since = chain.start_changes().await.unwrap();
    let end = Arc::new(AtomicU64::new(u64::MAX));
    let (reader, last) = (chain.clone(), Arc::clone(&end));
    let reader = tokio::spawn(async move {
        let mut mirror = Mirror { through: since, ..Mirror::default() };
        while mirror.through.0 < last.load(Ordering::SeqCst) {
            let request = ChangesRequest { limit: 3, ..ChangesRequest::since(mirror.through) };
            let page = reader.next_changes(&request, tokio::time::sleep(SECOND / 10)).await.unwrap();
            mirror.apply(page);
        }
        mirror
    });
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let chain = open(&*world, &one());
        writers.spawn(async move {
            for turn in 0..TURNS {
                let (own, shared) = (format!("{writer}/{}", turn % 5), format!("s/{}", turn % 3));
                let batch = match turn % 5 {
                    0 => Batch::new().set(own, format!("{turn}")).increment("n", 1),
                    1 => Batch::new().set_with(shared, "v", for_seconds(1 + turn % 2)),
                    2 => Batch::new().delete(shared).in_collection(Some(&name("c"))).append(own, "x"),
                    3 => Batch::new().clear("s/").in_collection(Some(&name("c"))).set(shared, "v"),
                    _ => Batch::new().delete(own).set("log", format!("{writer}")),
                };
                chain.commit(batch).await.unwrap();
                tokio::task::yield_now().await;
            }
        });
    }
    while let Some(written) = writers.join_next().await {
        written.unwrap();
        world.advance(SECOND);
        world.sweep(1000).await;
    }
    end.store(chain.commit(Batch::new()).await.unwrap().version.0, Ordering::SeqCst);
    let mirror = reader.await.unwrap();
    mirror.assert_is(&chain).await;
    assert_eq!(mirror.through, chain.commit(Batch::new()).await.unwrap().version);
    // A reader who comes later and takes other pages sees the same.
    let mut late = Mirror { through: since, ..Mirror::default() };
    loop {
        let page = changes(&chain, &ChangesRequest { limit: 50, ..ChangesRequest::since(late.through) }).await.unwrap();
        let more = page.more;
        late.apply(page);
        if !more {
            break;
        }
    }
    assert_eq!(late.records, mirror.records);
    Ok(())
}

pub(super) async fn whoever_waits_is_woken<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    assert_eq!(
        chain.changed("", Version(0)).await,
        Ok(Version(0)),
        "where nothing is kept there is nothing to wait for"
    );
    let since = chain.start_changes().await.unwrap();
    let mut waiting = Box::pin(chain.changed("", since));
    assert!(waits(&mut waiting).await);
    let given_up = Box::pin(chain.changed("", since));
    let (mut in_time, mut too_late) = (Box::pin(chain.changed("", since)), Box::pin(chain.changed("", since)));
    assert!(waits(&mut in_time).await && waits(&mut too_late).await);
    drop(given_up);
    open(&world, &id("app/service-a/002")).set("k", "v").await.unwrap();
    chain.commit(Batch::new().delete("absent")).await.unwrap();
    chain.commit(Batch::new().require_present("absent")).await.unwrap_err();
    assert!(waits(&mut waiting).await, "nothing has changed");
    chain.set("k", "v").await.unwrap();
    let version = waiting.await.unwrap();
    assert_eq!((version, in_time.await), (Version(1), Ok(Version(1))));
    assert_eq!(chain.changed("", since).await, Ok(version), "it is there already");
    let mut waiting = Box::pin(chain.changed("", version));
    assert!(waits(&mut waiting).await);
    chain.stop_changes().await.unwrap();
    assert_eq!(waiting.await, Ok(version), "that they are not kept is to be told");
    drop(too_late);

    // Nothing fits until the end of the waiting, which tells how far it has looked.
    chain.start_changes().await.unwrap();
    let request = ChangesRequest { prefix: "absent".to_owned(), ..ChangesRequest::since(version) };
    chain.set("k", "w").await.unwrap();
    let page = chain.next_changes(&request, async { tokio::task::yield_now().await }).await.unwrap();
    assert_eq!(page, ChangesPage { changes: Vec::new(), through: Version(2), more: false });
}

pub(super) async fn the_log_does_not_count_as_usage<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let quota = StoreLimits { quota_bytes: Some(100), ..StoreLimits::default() };
    let chain = Chain(world.chain(&one(), quota));
    chain.start_changes().await.unwrap();
    for n in 0..50 {
        chain.set("k", format!("{n}").repeat(20)).await.unwrap();
    }
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    chain.stop_changes().await.unwrap();
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    chain.start_changes().await.unwrap();
    chain.clear("").await.unwrap();
    assert_eq!(chain.usage("").await.unwrap().used_bytes, 0);
}

/// The version since which changes are kept, as an error tells it.
async fn kept_since(chain: &Chain) -> Version {
    chain.start_changes().await.unwrap()
}

pub(super) async fn the_oldest_commits_are_forgotten_whole<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    const EACH: u64 = 7_000;
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let since = chain.start_changes().await.unwrap();
    let commits = MAX_CHANGES / EACH;
    for _ in 0..commits {
        chain.commit(sets((0..EACH).map(|n| format!("{n}")), "v")).await.unwrap();
    }
    assert_eq!(kept_since(&chain).await, since, "there is room for these");
    for _ in 0..3 {
        chain.commit(sets((0..EACH).map(|n| format!("{n}")), "v")).await.unwrap();
        let kept = kept_since(&chain).await;
        assert!(kept > since);
        assert_eq!(changes(&chain, &ChangesRequest::since(since)).await, forgotten(since, Some(kept)));
        let (found, through) = all(&chain, ChangesRequest { values: false, ..ChangesRequest::since(kept) }).await;
        assert_eq!(found.len() as u64, (through.0 - kept.0) * EACH, "whole commits");
        assert!(found.len() as u64 <= MAX_CHANGES && found.len() as u64 > MAX_CHANGES - 2 * EACH, "{}", found.len());
    }
    // Many small commits after large ones: what no longer counts goes too.
    for n in 0..20 {
        chain.set("small", format!("{n}")).await.unwrap();
    }
    let kept = kept_since(&chain).await;
    let (found, through) = all(&chain, ChangesRequest { values: false, ..ChangesRequest::since(kept) }).await;
    assert_eq!((found.len() as u64 - 20) % EACH, 0, "whole commits");
    assert_eq!(through, chain.commit(Batch::new()).await.unwrap().version);

    // By their bytes too, and the newest commit stays whatever its size.
    let value = "v".repeat(8 * 1024 * 1024);
    let most = MAX_CHANGE_BYTES / value.len() as u64;
    for _ in 0..most + 2 {
        chain.set("large", value.clone()).await.unwrap();
    }
    // Each commit removes what its own size allows, and there were many small ones before the large ones.
    for _ in 0..40 {
        chain.commit(sets((0..1000).map(|n| format!("{n}")), "v")).await.unwrap();
    }
    let kept = kept_since(&chain).await;
    let (found, _) = all(&chain, ChangesRequest { values: false, ..ChangesRequest::since(kept) }).await;
    let large = found.iter().filter(|change| change.key == "large").count() as u64;
    assert!((1..=most).contains(&large), "{large} of {most}");

    // A log that is long is dropped in steps, and one that was half dropped by whoever comes next.
    let mut half = Box::pin(chain.stop_changes());
    waits(&mut half).await;
    drop(half);
    chain.stop_changes().await.unwrap();
    let again = chain.start_changes().await.unwrap();
    chain.set("k", "v").await.unwrap();
    assert_eq!(told(&chain, again).await.len(), 1);
    Ok(())
}

pub(super) async fn what_is_left_of_a_log_is_swept<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    sweep(&world, 1000).await?;
    chain.start_changes().await.unwrap();
    chain.commit(sets((0..5000).map(|n| format!("{n}")), "v")).await.unwrap();
    chain.stop_changes().await.unwrap();
    assert_eq!(sweep(&world, 1000).await?.removed, 0, "it is all gone");
    Ok(())
}

/// What a crash leaves of the log is all that was acknowledged, and it goes on from there.
pub(super) async fn the_log_outlives_a_crash<F: EngineFixture>(engines: Arc<F>) -> Result<(), Skip> {
    let world = Chains::over(engines.fresh().await, ChainConfig::whole()).await;
    let chain = open(&world, &one());
    chain.create_collection(&name("c"), &CollectionSettings::default()).await.unwrap();
    let since = chain.start_changes().await.unwrap();
    chain.set("k", "1").await.unwrap();
    chain.commit(Batch::new().delete("k").in_collection(Some(&name("c"))).set("l", "2")).await.unwrap();
    let before = all(&chain, ChangesRequest::since(since)).await;
    assert_eq!(before.0.len(), 3);
    let Some(left) = engines.crash(world.backend().engine()).await else {
        return Err(Skip("the fixture cannot show what a crash leaves".to_owned()));
    };
    let after = Chains::over(left, ChainConfig::whole()).await;
    let chain = open(&after, &one());
    assert_eq!(all(&chain, ChangesRequest::since(since)).await, before);
    assert_eq!(chain.start_changes().await.unwrap(), since, "it is still on");
    chain.set("k", "3").await.unwrap();
    assert_eq!(told(&chain, before.1).await, [format!("{} k=3", before.1.0 + 1)]);
    chain.stop_changes().await.unwrap();
    Ok(())
}
