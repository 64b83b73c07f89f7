//! Copies of stores: whole, or not to be taken for stores; and gone on with, whatever interrupted them.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use stash_core::engine::{Decision, EngineInfo, Page, Scan, View, Writes};
use stash_core::{
    Batch, CollectionSettings, ComponentId, ComponentStorage, Copied, CopyError, CopyOptions, CopyPhase, CopyProgress,
    Engine, EngineBackend, Expiry, ManualClock, MemoryEngine, NamespacedStorage, Retention, ScanRequest, SetOptions,
    StorageError, StorageExt,
};

/// An engine in memory that takes so many commits, of so many entries, and then fails.
#[derive(Clone)]
struct Limited {
    inner: MemoryEngine,
    commits: Arc<AtomicUsize>,
    entries: usize,
}

impl Default for Limited {
    fn default() -> Self {
        Self { inner: MemoryEngine::default(), commits: Arc::new(AtomicUsize::new(usize::MAX)), entries: usize::MAX }
    }
}

/// A decision whose writes are counted before they are anybody's.
struct Counted<D>(D, usize);

impl<D: Decision> Decision for Counted<D> {
    type Output = D::Output;

    fn queue(&self) -> &str {
        self.0.queue()
    }

    fn cost(&self) -> usize {
        self.0.cost()
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<D::Output, StorageError> {
        let mut wanted = Writes::default();
        let output = self.0.decide(view, &mut wanted)?;
        let all: Vec<_> = wanted.drain().collect();
        if all.len() > self.1 {
            let (actual, limit) = (u64::try_from(all.len()).unwrap(), u64::try_from(self.1).unwrap());
            return Err(StorageError::LimitExceeded { what: "the entries", actual, limit, instead: "" });
        }
        for (key, value) in all {
            match value {
                Some(value) => writes.put(key, value),
                None => writes.remove(key),
            }
        }
        Ok(output)
    }

    fn committed(&mut self, output: &D::Output) {
        self.0.committed(output);
    }
}

impl Engine for Limited {
    type Snapshot = <MemoryEngine as Engine>::Snapshot;

    fn info(&self) -> EngineInfo {
        self.inner.info()
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.inner.read(keys).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        self.inner.scan(scan).await
    }

    async fn update<D: Decision>(&self, decision: D) -> Result<D::Output, StorageError> {
        if self.commits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_err() {
            return Err(StorageError::Io { reason: "the power is gone".to_owned() });
        }
        self.inner.update(Counted(decision, self.entries)).await
    }

    async fn snapshot(&self) -> Result<Self::Snapshot, StorageError> {
        self.inner.snapshot().await
    }
}

fn clock() -> ManualClock {
    let clock = ManualClock::default();
    clock.advance(Duration::from_hours(24));
    clock
}

async fn store(engine: Limited, clock: &ManualClock) -> EngineBackend<Limited> {
    EngineBackend::open_with(engine, Arc::new(clock.clone())).await.unwrap()
}

fn component(backend: &EngineBackend<Limited>, id: &str) -> NamespacedStorage<EngineBackend<Limited>> {
    NamespacedStorage::new(&id.parse::<ComponentId>().unwrap(), backend.clone())
}

/// A store with everything that there can be in one.
async fn full(clock: &ManualClock) -> EngineBackend<Limited> {
    let backend = store(Limited::default(), clock).await;
    for id in ["app/a/1", "app/a/10", "app/b/1", "zeta/z/z"] {
        let component = component(&backend, id);
        component.keep_changes("", true).await.unwrap();
        let kept = CollectionSettings { retention: Retention { versions: Some(3), age: None }, ..Default::default() };
        let orders = "orders/2026".parse().unwrap();
        component.create_collection(&orders, &kept).await.unwrap();
        let orders = component.in_collection(Some(&orders)).unwrap();
        for n in 0..40 {
            clock.advance(Duration::from_millis(7));
            component.set(&format!("key/{n}"), format!("value {n} of {id}")).await.unwrap();
            orders.set("same", n.to_string()).await.unwrap();
        }
        let soon = SetOptions {
            expiry: Expiry::After(Duration::from_mins(1)),
            content_type: Some("text/plain".to_owned()),
            ..SetOptions::default()
        };
        component.commit(Batch::new().set_with("session", "s", soon)).await.unwrap();
        component.delete("key/7").await.unwrap();
        component.set("large", vec![7; 3 * 1024 * 1024]).await.unwrap();
    }
    backend
}

/// All entries, but for the facts of the store.
async fn entries(backend: &EngineBackend<Limited>) -> Vec<(Bytes, Bytes)> {
    let all = backend.engine().scan(&Scan::prefix(b"")).await.unwrap().entries;
    all.into_iter().filter(|(key, _)| key[0] != b'h').collect()
}

async fn copy(
    from: &EngineBackend<Limited>,
    to: &EngineBackend<Limited>,
    options: CopyOptions,
) -> (Result<Copied, CopyError>, Vec<CopyProgress>) {
    let mut told = Vec::new();
    let copied = stash_core::copy(from.engine(), to.engine(), options, &mut |progress| told.push(progress)).await;
    (copied, told)
}

const KEEP: CopyOptions = CopyOptions { replace: false };
const REPLACE: CopyOptions = CopyOptions { replace: true };

#[tokio::test]
async fn a_copy_is_the_same_store() {
    let clock = clock();
    let (from, to) = (full(&clock).await, store(Limited::default(), &clock).await);
    let (copied, told) = copy(&from, &to, KEEP).await;
    let copied = copied.unwrap();
    let all = entries(&from).await;
    assert_eq!(entries(&to).await, all);
    // And what cursors are sealed with.
    assert_eq!((copied.components, copied.entries, copied.resumed), (4, all.len() as u64 + 1, false));
    let last = told.last().unwrap();
    assert_eq!((last.phase, last.bytes), (CopyPhase::Comparing, last.expected_bytes));
    assert!(told.iter().any(|progress| progress.phase == CopyPhase::Copying && progress.bytes > 0));

    // As its users see it: cursors and all.
    let again = store(to.engine().clone(), &clock).await;
    assert!(!again.is_unfinished_copy());
    let (was, is) = (component(&from, "app/a/1"), component(&again, "app/a/1"));
    assert_eq!(is.read_one("key/3").await.unwrap(), was.read_one("key/3").await.unwrap());
    assert_eq!(is.usage("").await.unwrap(), was.usage("").await.unwrap());
    let request = ScanRequest { limit: 5, ..ScanRequest::prefix("key/") };
    let page = was.list_keys_page(&request, None).await.unwrap();
    let next = is.list_keys_page(&request, page.cursor.as_deref()).await.unwrap();
    assert_eq!(next, was.list_keys_page(&request, page.cursor.as_deref()).await.unwrap());
    clock.advance(Duration::from_mins(2));
    assert_eq!(is.get("session").await.unwrap(), None);
}

#[tokio::test]
async fn a_copy_that_was_interrupted_goes_on_where_it_was() {
    let clock = clock();
    let from = full(&clock).await;
    for entries_at_once in [3, 50, usize::MAX] {
        let engine = Limited { entries: entries_at_once, ..Limited::default() };
        let to = store(engine.clone(), &clock).await;
        let mut tries = 0;
        let copied = loop {
            // Whatever a copy has done when the power goes.
            engine.commits.store(tries % 7 * 5 + 4, Ordering::SeqCst);
            tries += 1;
            match copy(&from, &to, KEEP).await.0 {
                Ok(copied) => break copied,
                Err(CopyError::Target(StorageError::Io { .. })) => {}
                Err(error) => panic!("{error}"),
            }
            engine.commits.store(usize::MAX, Ordering::SeqCst);
            assert!(store(engine.clone(), &clock).await.is_unfinished_copy(), "it is no store yet");
            if tries == 3 {
                // The source goes on.
                component(&from, "app/a/1").set("later", tries.to_string()).await.unwrap();
                component(&from, &format!("new/one/{}", entries_at_once % 1000)).set("k", "v").await.unwrap();
            }
            assert!(tries < 10_000, "it gets nowhere");
        };
        assert!(copied.resumed && tries > 2);
        assert_eq!(entries(&to).await, entries(&from).await);
        engine.commits.store(usize::MAX, Ordering::SeqCst);
        let again = store(engine, &clock).await;
        assert!(!again.is_unfinished_copy());
        let facts = again.engine().scan(&Scan::prefix(b"h")).await.unwrap().entries;
        assert_eq!(facts.len(), 2, "nothing of the copy is left: {facts:?}");
    }
}

#[tokio::test]
async fn a_copy_that_was_interrupted_while_it_removed_goes_on_with_that() {
    let clock = clock();
    let from = full(&clock).await;
    for commits in 1..40 {
        let engine = Limited { entries: 5, ..Limited::default() };
        let to = store(engine.clone(), &clock).await;
        // Components that the source does not have, before and after its own.
        for id in ["aaa/old/1", "zzz/old/1"] {
            for n in 0..20 {
                component(&to, id).set(&format!("{n}"), "old").await.unwrap();
            }
        }
        engine.commits.store(commits, Ordering::SeqCst);
        assert!(copy(&from, &to, REPLACE).await.0.is_err(), "{commits} commits are not enough");
        engine.commits.store(usize::MAX, Ordering::SeqCst);
        copy(&from, &to, KEEP).await.0.unwrap();
        assert_eq!(entries(&to).await, entries(&from).await);
    }
}

#[tokio::test]
async fn what_a_target_has_is_not_lost_unasked() {
    let clock = clock();
    let (from, other) = (full(&clock).await, full(&clock).await);
    let to = store(Limited::default(), &clock).await;
    component(&to, "app/mine/1").set("k", "v").await.unwrap();
    let before = entries(&to).await;
    assert!(matches!(copy(&from, &to, KEEP).await.0, Err(CopyError::NotEmpty)));
    assert_eq!(entries(&to).await, before);

    // Replaced by one, half-way; and then by another.
    to.engine().commits.store(4, Ordering::SeqCst);
    assert!(copy(&from, &to, REPLACE).await.0.is_err());
    to.engine().commits.store(usize::MAX, Ordering::SeqCst);
    assert!(matches!(copy(&other, &to, KEEP).await.0, Err(CopyError::OtherCopy)));
    assert!(matches!(copy(&to, &other, REPLACE).await.0, Err(CopyError::UnfinishedSource)));
    let (copied, told) = copy(&other, &to, REPLACE).await;
    assert!(!copied.unwrap().resumed);
    assert_eq!(told[0].phase, CopyPhase::Clearing);
    assert_eq!(entries(&to).await, entries(&other).await);
    // Itself, by another way: nothing is lost.
    let before = entries(&other).await;
    assert!(matches!(copy(&other, &other, REPLACE).await.0, Err(CopyError::SameStore)));
    assert_eq!(entries(&other).await, before);
    assert!(!store(other.engine().clone(), &clock).await.is_unfinished_copy());
    // Once more: it is a store now.
    assert!(matches!(copy(&other, &to, KEEP).await.0, Err(CopyError::NotEmpty)));
}

#[tokio::test]
async fn a_copy_that_differs_is_found() {
    /// Changes a byte of what it is given.
    struct Damaging(Limited);

    impl stash_core::CopyEngine for Damaging {
        fn snapshot_dyn(&self) -> stash_core::BoxFuture<'_, Result<Box<dyn stash_core::CopySnapshot>, StorageError>> {
            self.0.snapshot_dyn()
        }

        fn read_dyn<'a>(
            &'a self,
            keys: &'a [Bytes],
        ) -> stash_core::BoxFuture<'a, Result<Vec<Option<Bytes>>, StorageError>> {
            self.0.read_dyn(keys)
        }

        fn scan_dyn<'a>(&'a self, scan: &'a Scan) -> stash_core::BoxFuture<'a, Result<Page, StorageError>> {
            self.0.scan_dyn(scan)
        }

        fn write_dyn(
            &self,
            mut writes: Vec<(Bytes, Option<Bytes>)>,
        ) -> stash_core::BoxFuture<'_, Result<(), StorageError>> {
            for (key, value) in &mut writes {
                if key.ends_with(b"key/9")
                    && let Some(value) = value
                {
                    let mut damaged = value.to_vec();
                    *damaged.last_mut().unwrap() ^= 1;
                    *value = damaged.into();
                }
            }
            self.0.write_dyn(writes)
        }
    }

    let clock = clock();
    let (from, to) = (full(&clock).await, store(Limited::default(), &clock).await);
    let damaging = Damaging(to.engine().clone());
    let copied = stash_core::copy(from.engine(), &damaging, KEEP, &mut |_| {}).await;
    assert!(matches!(copied, Err(CopyError::Differs { .. })), "{copied:?}");
    assert!(store(to.engine().clone(), &clock).await.is_unfinished_copy());
}
