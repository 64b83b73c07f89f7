//! Components never meet, whatever their ids and keys are.

use std::collections::BTreeMap;
use std::sync::Arc;

use stash_core::{Batch, ComponentId, ComponentStorage, StorageError, Usage};

use super::{Chain, contents, counted, id, open};
use crate::world::{World, WorldFixture};

/// Ids that a careless prefix would mix up.
fn neighbours() -> Vec<ComponentId> {
    let parts = [
        ("a", "b", "c"),
        ("a", "b", "cc"),
        ("a", "b", "c "),
        ("a", "bb", "c"),
        ("aa", "b", "c"),
        ("a", "b", "C"),
        ("a", "b", "."),
        ("a", "b", ".."),
        ("..", "..", ".."),
        ("a", "b", "c\u{ff}"),
        ("a", "b", "\u{10ffff}"),
        ("é", "b", "c"),
        ("e\u{301}", "b", "c"),
        ("r", "n", "h"),
    ];
    let ids: Vec<_> = parts.into_iter().filter_map(|(a, b, c)| ComponentId::new(a, b, c).ok()).collect();
    assert!(ids.len() >= parts.len() - 1, "all but the one that ends with white space are ids");
    ids
}

fn chains<W: World>(world: &W) -> Vec<(ComponentId, Chain)> {
    neighbours().into_iter().map(|id| (id.clone(), open(world, &id))).collect()
}

/// Keys that are, or lead to, other components' full names.
fn reaching_keys(ids: &[(ComponentId, Chain)]) -> Vec<String> {
    let mut keys = vec!["k".to_owned(), "/k".to_owned(), "c/k".to_owned(), "c/..".to_owned(), "c".to_owned()];
    for (id, _) in ids {
        let full = id.key_prefix();
        keys.extend([
            full.to_owned(),
            format!("{full}k"),
            format!("/{full}k"),
            format!("../../../{full}k"),
            format!("r{full}k"),
            format!("n{full}"),
            format!("\0{full}k"),
        ]);
    }
    keys.sort();
    keys.dedup();
    keys
}

pub(super) async fn the_same_key_is_another_record<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chains = chains(&world);
    for (id, chain) in &chains {
        chain.set("k", id.as_str()).await.unwrap();
    }
    for _ in 0..2 {
        for (id, chain) in &chains {
            assert_eq!(chain.get("k").await.unwrap(), Some(id.as_str().into()));
        }
    }
    for (n, (id, chain)) in chains.iter().enumerate() {
        assert!(chain.delete("k").await.unwrap());
        for (later, (other, chain)) in chains.iter().enumerate() {
            assert_eq!(chain.exists("k").await.unwrap(), later > n, "{other} after {id} deleted its own");
        }
    }
}

pub(super) async fn colliding_ids_and_keys_stay_apart<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chains = chains(&world);
    let keys = reaching_keys(&chains);
    let mut expected: BTreeMap<(usize, &str), String> = BTreeMap::new();
    // Each component writes some of the keys, so that others' must be seen to be absent.
    for (n, (id, chain)) in chains.iter().enumerate() {
        let mut batch = Batch::new();
        for key in keys.iter().skip(n % 3).step_by(3) {
            let value = format!("{id} {key:?}");
            batch = batch.set(key, value.clone());
            expected.insert((n, key), value);
        }
        chain.commit(batch).await.unwrap();
    }
    for (n, (id, chain)) in chains.iter().enumerate() {
        for key in &keys {
            let found = chain.get(key).await.unwrap();
            let found = found.as_ref().and_then(|value| value.as_text());
            assert_eq!(found, expected.get(&(n, key.as_str())).map(String::as_str), "{id} reads {key:?}");
        }
        let own: Vec<_> = expected.keys().filter(|(owner, _)| *owner == n).map(|(_, key)| *key).collect();
        assert_eq!(chain.list_keys("").await.unwrap(), own, "{id} lists its own keys, without its name");
    }
    // Deleting all that one has takes nothing from another.
    chains[0].1.commit(keys.iter().fold(Batch::new(), Batch::delete)).await.unwrap();
    assert!(contents(&chains[0].1).await.is_empty());
    for (n, (id, chain)) in chains.iter().enumerate().skip(1) {
        let own = expected.keys().filter(|(owner, _)| *owner == n).count();
        assert_eq!(contents(chain).await.len(), own, "{id}");
    }
}

pub(super) async fn no_prefix_lists_another_component<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chains = chains(&world);
    for (_, chain) in &chains[1..] {
        chain.set("secret", "v").await.unwrap();
    }
    let (own, empty) = (id("a/b/c"), &chains[0].1);
    let mut prefixes: Vec<String> =
        ["", "/", "..", "../", "../../", "c", "c/", "secret", "\0", "\u{10ffff}", "r", "n"].map(str::to_owned).to_vec();
    prefixes.extend(neighbours().iter().map(|id| id.key_prefix().to_owned()));
    prefixes.extend(neighbours().iter().map(|id| format!("../{}", id.instance())));
    for prefix in &prefixes {
        assert!(empty.list_keys(prefix).await.unwrap().is_empty(), "{own} lists {prefix:?}");
        let after = super::page(empty, "", Some(prefix), 100, usize::MAX).await.unwrap();
        assert!(after.keys.is_empty() && !after.more, "{own} lists after {prefix:?}: {after:?}");
    }
    empty.set("mine", "v").await.unwrap();
    let one = super::page(empty, "", None, 1, usize::MAX).await.unwrap();
    assert_eq!((one.keys, one.more), (vec!["mine".to_owned()], false), "others' keys are not 'more'");
}

pub(super) async fn usage_is_each_components_own<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chains = chains(&world);
    for (n, (_, chain)) in chains.iter().enumerate() {
        assert_eq!(chain.usage("").await.unwrap(), Usage::default(), "nothing was ever stored");
        for key in 0..n {
            chain.set(&format!("{key}"), "x".repeat(n)).await.unwrap();
        }
    }
    for (n, (id, chain)) in chains.iter().enumerate() {
        let usage = chain.usage("").await.unwrap();
        assert_eq!(usage.key_count, n as u64, "{id}");
        assert_eq!(usage, counted(chain).await, "{id}");
        // Versions are counted by component too.
        let next = chain.commit(Batch::new().set("v", "")).await.unwrap();
        assert_eq!(next.version.0, n as u64 + 1, "{id}");
    }
    // An error names the key as its component wrote it, and nobody's namespace.
    let refused = chains[0].1.commit(Batch::new().require_present("a/b/c/k")).await.unwrap_err();
    assert_eq!(refused, StorageError::NotFound { key: "a/b/c/k".to_owned() });
    assert_eq!(refused.to_string(), "no record with the key 'a/b/c/k'");
}
