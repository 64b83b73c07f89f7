//! After an I/O error nobody knows whether the commit happened: every layer must then say what the engine says, and never
//! what it had expected.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use stash_core::engine::{Decision, Engine, EngineInfo, Page, Scan, View, Writes};
use stash_core::{
    Batch, CacheConfig, CachedStorage, Committed, ComponentStorage, EngineBackend, Guarded, MemoryEngine,
    NamespacedStorage, StorageError, StoreLimits,
};

/// What the disk does to the next calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Disk {
    Works,
    /// Updates are lost and say so.
    Loses,
    /// Updates are written and it cannot be known.
    LosesTheAnswer,
    /// Nothing can be read either.
    Gone,
}

#[derive(Debug, Clone)]
struct FailingEngine {
    inner: MemoryEngine,
    disk: Arc<Mutex<Disk>>,
}

impl FailingEngine {
    fn disk(&self) -> Disk {
        *self.disk.lock().unwrap()
    }

    fn readable(&self) -> Result<(), StorageError> {
        if self.disk() == Disk::Gone { Err(broken()) } else { Ok(()) }
    }
}

fn broken() -> StorageError {
    StorageError::io("using the disk", "it is broken")
}

impl Engine for FailingEngine {
    type Snapshot = <MemoryEngine as Engine>::Snapshot;

    fn info(&self) -> EngineInfo {
        self.inner.info()
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.readable()?;
        self.inner.read(keys).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        self.readable()?;
        self.inner.scan(scan).await
    }

    async fn update<D: Decision>(&self, decision: D) -> Result<D::Output, StorageError> {
        match self.disk() {
            Disk::Works => self.inner.update(decision).await,
            Disk::Loses | Disk::Gone => Err(broken()),
            Disk::LosesTheAnswer => {
                self.inner.update(Untold(decision)).await?;
                Err(broken())
            }
        }
    }

    async fn snapshot(&self) -> Result<Self::Snapshot, StorageError> {
        self.readable()?;
        self.inner.snapshot().await
    }
}

/// A decision whose hook is not called: the engine does not know that it has taken effect.
struct Untold<D>(D);

impl<D: Decision> Decision for Untold<D> {
    type Output = D::Output;

    fn queue(&self) -> &str {
        self.0.queue()
    }

    fn cost(&self) -> usize {
        self.0.cost()
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<D::Output, StorageError> {
        self.0.decide(view, writes)
    }
}

#[tokio::test]
async fn what_is_read_after_an_error_is_what_the_engine_holds() {
    for config in
        [CacheConfig::disabled(), CacheConfig::default(), CacheConfig { max_entries: 1, ..CacheConfig::default() }]
    {
        let engine = FailingEngine { inner: MemoryEngine::default(), disk: Arc::new(Mutex::new(Disk::Works)) };
        let disk = Arc::clone(&engine.disk);
        let switch = |to| *disk.lock().unwrap() = to;
        let cached = CachedStorage::new(EngineBackend::open(engine).await.unwrap(), config);
        let id = "app/service-a/001".parse().unwrap();
        let store = Guarded::new(NamespacedStorage::new(&id, cached), StoreLimits::default());
        store.set("k", "old").await.unwrap();
        assert_eq!(store.get("gone").await.unwrap(), None);

        switch(Disk::Loses);
        let told: Arc<Mutex<Vec<Option<Committed>>>> = Arc::default();
        let telling = Arc::clone(&told);
        let hook = move |outcome: Option<&Committed>, _: stash_core::Changes<'_>| {
            telling.lock().unwrap().push(outcome.cloned());
        };
        let lost = store.commit(Batch::new().set("k", "lost").set("gone", "lost").with_hook(hook)).await;
        assert_eq!(lost, Err(broken()), "an I/O error is never ok");
        assert_eq!(*told.lock().unwrap(), [None], "and its hooks say that nothing is known");
        assert_eq!(store.get("k").await.unwrap(), Some("old".into()));
        assert_eq!(store.get("gone").await.unwrap(), None);

        switch(Disk::LosesTheAnswer);
        assert_eq!(store.commit(Batch::new().set("k", "new").set("gone", "new")).await, Err(broken()));
        assert_eq!(store.get("k").await.unwrap(), Some("new".into()));
        assert_eq!(store.get("gone").await.unwrap(), Some("new".into()));
        assert_eq!(store.delete("gone").await, Err(broken()));
        assert_eq!(store.get("gone").await.unwrap(), None);

        switch(Disk::Gone);
        assert_eq!(store.set("k", "never").await, Err(broken()));
        assert_eq!(store.get("k").await, Err(broken()), "what the commit may have changed is not told from memory");
        assert_eq!(store.list_keys("").await, Err(broken()));
        assert_eq!(store.usage("").await, Err(broken()));

        switch(Disk::Works);
        assert_eq!(store.get("k").await.unwrap(), Some("new".into()), "a failed read was not taken for an absence");
        let next = store.commit(Batch::new().set("k", "next")).await.unwrap();
        assert_eq!(next.version.0, 4, "versions go on from what the engine holds");
    }
}
