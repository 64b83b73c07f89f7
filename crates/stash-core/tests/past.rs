//! History, expiry and quota where they meet, seen from below too: what is stored must not grow behind what is counted,
//! and nothing may depend on when the sweeper runs.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::time::Duration;

use stash_core::engine::{Decision, Engine, Scan, View, Writes};
use stash_core::keyspace::KeySpace;
use stash_core::{
    Batch, CollectionName, CollectionSettings, ComponentStorage, Expiry, Guarded, ManualClock, MemoryBackend,
    MetadataChange, NamespacedStorage, Retention, SetOptions, StorageError, StorageExt, StoreLimits, Usage, Version,
    VersionsRequest,
};

type Store = NamespacedStorage<MemoryBackend>;

fn setup() -> (ManualClock, MemoryBackend, Store) {
    let clock = ManualClock::default();
    let backend = MemoryBackend::in_memory_with(Arc::new(clock.clone()));
    let store = NamespacedStorage::new(&"a/b/c".parse().unwrap(), backend.clone());
    (clock, backend, store)
}

fn keeping(versions: Option<u32>, age: Option<Duration>) -> CollectionSettings {
    CollectionSettings { retention: Retention { versions, age }, ..CollectionSettings::default() }
}

fn expiring(after: Duration) -> SetOptions {
    SetOptions { expiry: Expiry::After(after), ..SetOptions::default() }
}

fn limited(store: &Store, quota: u64) -> Guarded<Store> {
    Guarded::new(store.clone(), StoreLimits { quota_bytes: Some(quota), ..StoreLimits::default() })
}

async fn stored(backend: &MemoryBackend, space: KeySpace) -> usize {
    backend.engine().scan(&Scan::prefix(&space.key(""))).await.unwrap().entries.len()
}

async fn at(store: &Store, key: &str, version: u64) -> Result<Option<String>, StorageError> {
    let record = store.read_at(key, Version(version)).await?;
    Ok(record.map(|record| record.value.as_text().unwrap().to_owned()))
}

fn forgotten(key: &str, version: u64) -> Result<Option<String>, StorageError> {
    Err(StorageError::VersionForgotten { key: key.to_owned(), version: Version(version) })
}

const YEAR: Duration = Duration::from_hours(24 * 365);

#[tokio::test]
async fn what_is_no_longer_kept_is_no_longer_stored() {
    let (_clock, backend, store) = setup();
    store.configure_collection(None, &keeping(Some(2), Some(YEAR))).await.unwrap();
    for _ in 0..100 {
        store.set("k", "v").await.unwrap();
    }
    assert_eq!((stored(&backend, KeySpace::History).await, stored(&backend, KeySpace::Expiry).await), (1, 1));

    let name: CollectionName = "made and deleted".parse().unwrap();
    for _ in 0..3 {
        store.create_collection(&name, &keeping(None, Some(YEAR))).await.unwrap();
        let collection = store.in_collection(Some(&name)).unwrap();
        for n in 0..10 {
            collection.set("k", format!("{n}")).await.unwrap();
        }
        store.delete_collection(&name, true).await.unwrap();
    }
    assert_eq!((stored(&backend, KeySpace::History).await, stored(&backend, KeySpace::Expiry).await), (1, 1));
}

#[tokio::test]
async fn keys_that_take_turns_keep_as_many_as_each_alone() {
    let (_clock, backend, store) = setup();
    store.configure_collection(None, &keeping(Some(100), None)).await.unwrap();
    for n in 0..400 {
        store.set(if n % 2 == 0 { "a" } else { "b" }, "v").await.unwrap();
    }
    assert_eq!(stored(&backend, KeySpace::History).await, 2 * 99);
    store.configure_collection(None, &keeping(Some(90), None)).await.unwrap();
    for _ in 0..10 {
        store.set("a", "v").await.unwrap();
    }
    assert_eq!(stored(&backend, KeySpace::History).await, 89 + 99, "fewer where fewer are kept from now on");
}

#[tokio::test]
async fn a_version_that_was_not_kept_is_not_the_one_before_it() {
    let (clock, backend, store) = setup();
    let history = keeping(Some(10), None);
    store.configure_collection(None, &history).await.unwrap();
    store.set("k", "two").await.unwrap();
    store.set("k", "three").await.unwrap();
    store.configure_collection(None, &keeping(None, None)).await.unwrap();
    store.set("k", "five").await.unwrap();
    store.configure_collection(None, &history).await.unwrap();
    store.set("k", "seven").await.unwrap();
    assert_eq!(at(&store, "k", 3).await, forgotten("k", 3));
    assert_eq!(at(&store, "k", 4).await, forgotten("k", 4));
    assert_eq!(at(&store, "k", 6).await.unwrap().as_deref(), Some("five"));

    let hours = |hours| keeping(None, Some(Duration::from_hours(hours)));
    store.configure_collection(None, &hours(24)).await.unwrap();
    store.set("aged", "nine").await.unwrap();
    store.set("aged", "ten").await.unwrap();
    clock.advance(Duration::from_hours(1));
    store.configure_collection(None, &hours(1)).await.unwrap();
    store.set("aged", "twelve").await.unwrap();
    clock.advance(Duration::from_hours(2));
    backend.sweep(10).await.unwrap();
    store.configure_collection(None, &hours(24)).await.unwrap();
    assert_eq!(at(&store, "aged", 10).await, forgotten("aged", 10));
}

#[tokio::test]
async fn configuring_the_same_again_forgets_nothing() {
    let (_clock, _backend, store) = setup();
    store.configure_collection(None, &keeping(Some(10), None)).await.unwrap();
    store.set("other", "two").await.unwrap();
    store.set("k", "three").await.unwrap();
    assert_eq!(at(&store, "k", 2).await, Ok(None));
    store.configure_collection(None, &keeping(Some(10), None)).await.unwrap();
    assert_eq!(at(&store, "k", 2).await, Ok(None));
}

#[tokio::test]
async fn history_that_is_turned_off_goes() {
    let (_clock, backend, store) = setup();
    store.configure_collection(None, &keeping(Some(10), None)).await.unwrap();
    for n in 0..10 {
        store.set("k", format!("{n}")).await.unwrap();
    }
    store.configure_collection(None, &keeping(None, None)).await.unwrap();
    assert_eq!(stored(&backend, KeySpace::History).await, 0);
    assert_eq!(store.usage("").await.unwrap(), Usage { used_bytes: 2, key_count: 1, quota_bytes: None });
}

#[tokio::test]
async fn deleting_needs_no_room() {
    let (_clock, _backend, store) = setup();
    store.configure_collection(None, &keeping(Some(10), None)).await.unwrap();
    let store = limited(&store, 101);
    store.set("k", "x".repeat(100)).await.unwrap();
    assert!(store.delete("k").await.unwrap());
    let error = store.set("k", "y").await.unwrap_err().to_string();
    assert_eq!(error, "quota exceeded: 101 of 101 bytes are used and this needs 2 more; delete something first");
}

#[tokio::test]
async fn usage_does_not_depend_on_the_sweeper() {
    let (clock, backend, store) = setup();
    store.configure_collection(None, &keeping(Some(10), Some(Duration::from_mins(1)))).await.unwrap();
    store.set("k", "x".repeat(1000)).await.unwrap();
    store.set("k", "y").await.unwrap();
    for n in 0..100 {
        let key = format!("session:{n:04}");
        store.set_with(&key, "v", expiring(Duration::from_secs(5)), None).await.unwrap();
    }
    for seconds in [0, 10, 100] {
        clock.advance(Duration::from_secs(seconds));
        let before = store.usage("").await.unwrap();
        while backend.sweep(10).await.unwrap().more {}
        assert_eq!(store.usage("").await.unwrap(), before, "after {seconds} s more");
    }
    assert_eq!(store.usage("").await.unwrap(), Usage { used_bytes: 2, key_count: 1, quota_bytes: None });
    assert_eq!((stored(&backend, KeySpace::History).await, stored(&backend, KeySpace::Expiry).await), (0, 0));
}

#[tokio::test]
async fn the_quota_counts_nothing_that_has_expired_however_much() {
    let (clock, _backend, store) = setup();
    let store = limited(&store, 2_100_000);
    for half in 0..2 {
        let keys = (0..10_000).map(|n| format!("{:05}", half * 10_000 + n));
        let second = || expiring(Duration::from_secs(1));
        let batch = keys.fold(Batch::new(), |batch, key| batch.set_with(key, "x".repeat(95), second()));
        store.commit(batch).await.unwrap();
    }
    clock.advance(Duration::from_secs(2));
    assert_eq!(store.usage("").await.unwrap().used_bytes, 0);
    store.set("big", vec![0; 1_500_000]).await.unwrap();
    let error = store.set("more", vec![0; 700_000]).await.unwrap_err().to_string();
    assert!(error.contains("1500003 of 2100000 bytes are used and this needs 700004 more"), "{error}");
}

/// Writes what no commit would.
struct Damage(Vec<(Vec<u8>, Vec<u8>)>);

impl Decision for Damage {
    type Output = ();

    fn queue(&self) -> &'static str {
        "damage"
    }

    fn cost(&self) -> usize {
        0
    }

    fn decide(&mut self, _: &dyn View, writes: &mut Writes) -> Result<(), StorageError> {
        for (key, value) in self.0.drain(..) {
            writes.put(key.into(), value.into());
        }
        Ok(())
    }
}

#[tokio::test]
async fn damage_in_one_component_leaves_the_sweeper_to_others() {
    let (clock, backend, store) = setup();
    store.set_with("k", "v", expiring(Duration::from_secs(1)), None).await.unwrap();
    let index = [&b"ea/a/a/"[..], &1_u64.to_be_bytes(), b"/x"].concat();
    let huge = |key: &[u8]| ([&b"ea/b/c/"[..], &1_u64.to_be_bytes(), key].concat(), u64::MAX.to_be_bytes().to_vec());
    let damage = vec![(index, vec![0; 8]), (b"ra/a/a/x".to_vec(), vec![9]), huge(b"/x"), huge(b"/y")];
    backend.engine().update(Damage(damage)).await.unwrap();
    clock.advance(Duration::from_secs(5));
    assert_eq!(store.usage("").await.unwrap().used_bytes, 0, "sums of damaged figures do not wrap");
    let swept = backend.sweep(100).await.unwrap();
    assert!(swept.damaged.unwrap().contains("a record has only 1 bytes"));
    assert_eq!(backend.engine().read(&[b"ra/b/c/k"]).await.unwrap(), [None]);
}

#[tokio::test]
async fn many_attributes_are_refused_before_anything_is_made_of_them() {
    let (_clock, _backend, store) = setup();
    store.set("k", "v").await.unwrap();
    let attributes = (0..1_000_000).map(|n| (format!("{n}"), None)).collect();
    let merge = MetadataChange::Merge { content_type: None, attributes };
    let mut transaction = store.begin(stash_core::Isolation::Serializable).await.unwrap();
    let change = stash_core::Change::Metadata(Box::new(merge.clone()));
    let error = transaction.change("k", change).await.unwrap_err().to_string();
    assert_eq!(error, "limit exceeded: the number of attributes is 1000000; the limit is 128");
    assert!(Batch::new().set_metadata("k", merge.clone()).bytes() > 5_000_000);
    assert_eq!(store.set_metadata("k", merge).await.unwrap_err().to_string(), error);
}

#[tokio::test]
async fn clearing_takes_no_more_at_once_than_a_batch() {
    let (_clock, _backend, store) = setup();
    store.configure_collection(None, &keeping(Some(2), None)).await.unwrap();
    for n in 0..9 {
        store.set(&format!("{n}"), vec![0; 15 << 20]).await.unwrap();
    }
    let cleared = store.clear("").await.unwrap();
    assert_eq!((cleared.removed, cleared.more), (5, true));
    let cleared = store.clear("").await.unwrap();
    assert_eq!((cleared.removed, cleared.more), (4, false));
}

#[tokio::test]
async fn versions_tell_what_ended_them() {
    let (_clock, _backend, store) = setup();
    store.configure_collection(None, &keeping(Some(10), None)).await.unwrap();
    store.set("k", "two").await.unwrap();
    store.delete("k").await.unwrap();
    store.set("k", "four").await.unwrap();
    let request = VersionsRequest { key: "k".to_owned(), at_most: None, limit: 10 };
    let found = store.versions(&request).await.unwrap();
    let told: Vec<_> =
        found.versions.iter().map(|v| (v.version.0, v.record.is_some(), v.ended.map(|ended| ended.0))).collect();
    assert_eq!(told, [(4, true, None), (3, false, None), (2, true, Some(3))]);
    assert!(!found.more && !found.forgotten);
}
