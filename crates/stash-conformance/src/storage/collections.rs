//! Collections: named stores of one component that are made, found and deleted, and never show one another's records.

use std::sync::Arc;

use stash_core::limits::{MAX_CLEAR_RECORDS, MAX_COLLECTIONS};
use stash_core::{
    Batch, CollectionInfo, CollectionName, CollectionSettings, ComponentStorage, StorageError, StorageExt, Usage,
};

use tokio::task::JoinSet;

use super::{Chain, contents, counted, counted_everywhere, id, name, one, open, sets, text};
use crate::world::WorldFixture;

fn plain() -> CollectionSettings {
    CollectionSettings::default()
}

fn missing(name: &str) -> StorageError {
    StorageError::NoCollection { name: name.to_owned() }
}

async fn make(chain: &Chain, text: &str) -> Chain {
    chain.create_collection(&name(text), &plain()).await.unwrap();
    chain.open_collection(Some(&name(text))).await.unwrap()
}

async fn names(chain: &Chain, parent: Option<&CollectionName>) -> Vec<String> {
    let found = chain.collections(parent).await.unwrap();
    found.into_iter().map(|info| info.name.expect("a collection that was made has a name").to_string()).collect()
}

pub(super) async fn collections_are_made_found_and_deleted<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    for _ in 0..2 {
        assert_eq!(names(&chain, None).await, [""; 0]);
        assert_eq!(chain.open_collection(Some(&name("orders"))).await.err(), Some(missing("orders")));
        assert_eq!(chain.delete_collection(&name("orders"), true).await, Err(missing("orders")));
        assert_eq!(chain.configure_collection(Some(&name("orders")), &plain()).await, Err(missing("orders")));
        let begun = chain.now();
        let settings = CollectionSettings { attributes: [("owner".to_owned(), "Ada".to_owned())].into(), ..plain() };
        chain.create_collection(&name("orders"), &settings).await.unwrap();
        let exists = StorageError::CollectionExists { name: "orders".to_owned() };
        assert_eq!(chain.create_collection(&name("orders"), &plain()).await, Err(exists));
        let info = chain.collection_info(Some(&name("orders"))).await.unwrap();
        let created = info.created.expect("it says when it was made");
        assert!(created >= begun && created <= chain.now());
        assert_eq!(info, CollectionInfo { name: Some(name("orders")), created: Some(created), settings });
        assert_eq!(chain.collections(None).await.unwrap(), [info]);
        chain.configure_collection(Some(&name("orders")), &plain()).await.unwrap();
        let info = chain.collection_info(Some(&name("orders"))).await.unwrap();
        assert_eq!((info.created, info.settings), (Some(created), plain()), "only the settings are others");
        let orders = chain.open_collection(Some(&name("orders"))).await.unwrap();
        orders.set("k", "v").await.unwrap();
        let not_empty = StorageError::CollectionNotEmpty { name: "orders".to_owned() };
        assert_eq!(chain.delete_collection(&name("orders"), false).await, Err(not_empty));
        assert_eq!(text(&orders, "k").await.as_deref(), Some("v"));
        orders.delete("k").await.unwrap();
        chain.delete_collection(&name("orders"), false).await.unwrap();
    }
    let default = chain.open_collection(None).await.unwrap();
    default.set("k", "v").await.unwrap();
    assert_eq!(text(&chain, "k").await.as_deref(), Some("v"), "the default collection is always there");
}

pub(super) async fn collections_do_not_meet<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let (chain, other) = (open(&world, &one()), open(&world, &id("app/service-a/002")));
    let places = ["a", "a/b", "a/b/c", "ab", "a b", "b", "\u{e9}", "app/service-a/002", "0"];
    let mut chains = vec![chain.clone(), other.clone()];
    for place in places {
        chains.push(make(&chain, place).await);
    }
    // The other component has one of the same name.
    chains.push(make(&other, "a").await);
    let keys = ["k", "/k", "b/k", "a/k", "\u{1f}a/k", "\u{1f}", "\u{1f}/a", "\u{0}", "a\u{1f}b/k", "\n", "../k"];
    for (n, chain) in chains.iter().enumerate() {
        let batch =
            keys.iter().skip(n % 2).step_by(2).fold(Batch::new(), |batch, key| batch.set(*key, format!("{n} {key}")));
        chain.commit(batch).await.unwrap();
    }
    for (n, chain) in chains.iter().enumerate() {
        for (at, key) in keys.iter().enumerate() {
            let expected = (at % 2 == n % 2).then(|| format!("{n} {key}"));
            for _ in 0..2 {
                assert_eq!(text(chain, key).await, expected, "{key:?} in the {n}th");
            }
        }
        assert_eq!(contents(chain).await.len(), keys.iter().skip(n % 2).step_by(2).count());
    }
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await, "usage counts all collections");
    assert_eq!(chains[3].usage("").await.unwrap(), chain.usage("").await.unwrap(), "from wherever it is asked");
    // Clearing and deleting one takes nothing from another.
    let before = counted(&chains[2]).await.key_count + counted(&chains[0]).await.key_count;
    chains[3].clear("").await.unwrap();
    chain.delete_collection(&name("ab"), true).await.unwrap();
    assert_eq!(counted(&chains[2]).await.key_count + counted(&chains[0]).await.key_count, before);
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    // An error names the key as it was written.
    let refused = chains[2].commit(Batch::new().require_present("absent")).await.unwrap_err();
    assert_eq!(refused, StorageError::NotFound { key: "absent".to_owned() });
    let mixed = Batch::new().set("x", "v").in_collection(Some(&name("a/b"))).require_absent("k").set("y", "v");
    let expected = StorageError::AlreadyExists { key: "k".to_owned() };
    let there = text(&chains[3], "k").await.is_some();
    if there {
        assert_eq!(chain.commit(mixed).await.unwrap_err(), expected);
    } else {
        chain.commit(mixed).await.unwrap();
        assert_eq!(text(&chains[3], "y").await.as_deref(), Some("v"));
    }
}

pub(super) async fn one_batch_may_change_several<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let (a, b) = (make(&chain, "a").await, make(&chain, "b").await);
    let batch = || {
        let batch = Batch::new().set("k", "default").in_collection(Some(&name("a"))).set("k", "a");
        batch.in_collection(Some(&name("b"))).set("k", "b").in_collection(None).increment("n", 1)
    };
    let committed = chain.commit(batch()).await.unwrap();
    assert_eq!(committed.existed(), [false; 4]);
    for (chain, expected) in [(&chain, "default"), (&a, "a"), (&b, "b")] {
        let record = chain.read_one("k").await.unwrap().unwrap();
        assert_eq!((record.value.as_text(), record.version), (Some(expected), committed.version), "one version");
    }
    // From one collection into the others, by name.
    a.commit(Batch::new().set("x", "here").in_collection(None).set("x", "default")).await.unwrap();
    assert_eq!(text(&a, "x").await.as_deref(), Some("here"));
    assert_eq!(text(&chain, "x").await.as_deref(), Some("default"));
    let refused = batch().in_collection(Some(&name("b"))).require_absent("k").set("new", "v");
    chain.commit(refused).await.unwrap_err();
    let no_such = batch().in_collection(Some(&name("nowhere"))).set("k", "v");
    assert_eq!(chain.commit(no_such).await.unwrap_err(), missing("nowhere"));
    assert_eq!(text(&chain, "n").await.as_deref(), Some("1"), "a refused batch changed something");
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
}

pub(super) async fn what_was_not_made_takes_nothing<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    for round in 0..2 {
        let nowhere = chain.in_collection(Some(&name("c"))).unwrap();
        assert_eq!(nowhere.set("k", "v").await, Err(missing("c")), "round {round}");
        assert_eq!(nowhere.increment("k", 1).await, Err(missing("c")));
        assert_eq!(nowhere.delete("k").await, Err(missing("c")));
        assert_eq!(nowhere.clear("").await, Err(missing("c")));
        assert_eq!(text(&nowhere, "k").await, None);
        assert_eq!(nowhere.list_keys("").await.unwrap(), [""; 0]);
        assert_eq!(chain.usage("").await.unwrap(), Usage::default());
        let made = make(&chain, "c").await;
        assert_eq!(contents(&made).await.len(), 0, "made again, it is empty");
        nowhere.set("k", "v").await.unwrap();
        assert_eq!(text(&made, "k").await.as_deref(), Some("v"));
        chain.delete_collection(&name("c"), true).await.unwrap();
        assert_eq!(text(&made, "k").await, None, "a handle on it, which a cache may have warmed");
    }
}

pub(super) async fn collections_are_nested_by_name<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let all = ["a", "a/1", "a/1/x", "a/2", "a.b", "b/only/inside"];
    for place in all {
        make(&chain, place).await.set("k", "v").await.unwrap();
    }
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    assert_eq!(names(&chain, None).await, sorted);
    assert_eq!(names(&chain, Some(&name("a"))).await, ["a/1", "a/1/x", "a/2"]);
    assert_eq!(names(&chain, Some(&name("a/1"))).await, ["a/1/x"]);
    assert_eq!(names(&chain, Some(&name("b"))).await, ["b/only/inside"]);
    // Empty itself, but others are inside.
    chain.in_collection(Some(&name("a"))).unwrap().clear("").await.unwrap();
    let not_empty = StorageError::CollectionNotEmpty { name: "a".to_owned() };
    assert_eq!(chain.delete_collection(&name("a"), false).await, Err(not_empty));
    assert_eq!(chain.delete_collection(&name("b"), true).await, Err(missing("b")), "only inside another's name");
    chain.delete_collection(&name("a/1"), true).await.unwrap();
    assert_eq!(names(&chain, None).await, ["a", "a.b", "a/2", "b/only/inside"]);
    chain.delete_collection(&name("a"), true).await.unwrap();
    assert_eq!(names(&chain, None).await, ["a.b", "b/only/inside"]);
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    assert_eq!(chain.usage("").await.unwrap().key_count, 2);
}

pub(super) async fn however_many_records_are_deleted_with_it<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.set("stays", "v").await.unwrap();
    let large = make(&chain, "large").await;
    for part in 0..2 {
        let count = if part == 0 { MAX_CLEAR_RECORDS } else { 2_000 };
        large.commit(sets((0..count).map(|n| format!("{part}/{n}")), "v")).await.unwrap();
    }
    make(&chain, "large/inside").await.commit(sets((0..100).map(|n| format!("{n}")), "v")).await.unwrap();
    chain.delete_collection(&name("large"), true).await.unwrap();
    assert_eq!(names(&chain, None).await, [""; 0]);
    assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
    assert_eq!(make(&chain, "large").await.list_keys("").await.unwrap(), [""; 0]);
    assert_eq!(text(&chain, "stays").await.as_deref(), Some("v"));
}

pub(super) async fn collections_have_a_limit<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.configure_collection(None, &plain()).await.unwrap();
    let mut makers = JoinSet::new();
    for n in 0..MAX_COLLECTIONS {
        let chain = chain.clone();
        makers.spawn(async move { chain.create_collection(&name(&format!("{n}")), &plain()).await });
    }
    assert!(makers.join_all().await.into_iter().all(|made| made.is_ok()));
    let error = chain.create_collection(&name("more"), &plain()).await.unwrap_err().to_string();
    assert_eq!(error, "limit exceeded: the number of collections is 1001; the limit is 1000");
    chain.configure_collection(Some(&name("7")), &plain()).await.unwrap();
    chain.delete_collection(&name("7"), false).await.unwrap();
    chain.create_collection(&name("more"), &plain()).await.unwrap();
    assert_eq!(names(&chain, None).await.len(), MAX_COLLECTIONS);
}
