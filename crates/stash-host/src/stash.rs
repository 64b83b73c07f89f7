//! [`Stash`]: an opened store and the chain of every component in it. It must never make two chains for one component
//! that are alive at once: that is what makes instances agree.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use stash_core::engine::{EngineInfo, EngineStatus};
use stash_core::limits::DEFAULT_TRANSACTION_AGE;
use stash_core::{
    BoxFuture, CacheBudget, CacheConfig, CachedStorage, ComponentId, CopyEngine, DynStorage, Engine, EngineBackend,
    Guarded, Leases, MemoryBackend, NamespaceUsage, NamespacedStorage, StorageError, StoreLimits,
};
use stash_etcd::EtcdOptions;
use stash_files::FilesOptions;
use stash_fjall::FjallOptions;
use stash_postgres::PostgresOptions;
use stash_redb::RedbOptions;
use stash_redis::RedisOptions;
use stash_sqlite::SqliteOptions;

use crate::background::Background;
use crate::component_store::ComponentStore;
use crate::url::StoreUrl;

/// How a store is used.
#[derive(Debug, Clone)]
pub struct StashConfig {
    /// The cache of each component.
    pub cache: CacheConfig,
    /// Bytes that the caches of all components may hold together.
    pub cache_budget_bytes: usize,
    /// How much each component may store.
    pub limits: StoreLimits,
    /// How much these components may store instead.
    pub limits_of: HashMap<ComponentId, StoreLimits>,
    /// How long a guest's transaction may be open.
    pub transaction_age: Duration,
    /// How long the store rests before it looks again for what has expired and can be removed. It is invisible from the
    /// moment at which it expires, whatever this is. At least 10 ms.
    pub sweep_interval: Duration,
    /// How a redb file is opened.
    pub redb: RedbOptions,
    /// How a fjall folder is opened.
    pub fjall: FjallOptions,
    /// How a SQLite file is opened.
    pub sqlite: SqliteOptions,
    /// How a folder of files is opened.
    pub files: FilesOptions,
    /// How a store in PostgreSQL is opened.
    pub postgres: PostgresOptions,
    /// How a store in Redis is opened.
    pub redis: RedisOptions,
    /// How a store in etcd is opened.
    pub etcd: EtcdOptions,
}

impl Default for StashConfig {
    /// Caches of 16 MiB, 256 MiB in all; no quota; transactions of 30 seconds.
    fn default() -> Self {
        Self {
            cache: CacheConfig::default(),
            cache_budget_bytes: 256 * 1024 * 1024,
            limits: StoreLimits::default(),
            limits_of: HashMap::new(),
            transaction_age: DEFAULT_TRANSACTION_AGE,
            sweep_interval: Duration::from_secs(1),
            redb: RedbOptions::default(),
            fjall: FjallOptions::default(),
            sqlite: SqliteOptions::default(),
            files: FilesOptions::default(),
            postgres: PostgresOptions::default(),
            redis: RedisOptions::default(),
            etcd: EtcdOptions::default(),
        }
    }
}

impl StashConfig {
    /// The same, but a server without a store is an error, and does not get one. Whether a file or folder is there can be
    /// looked at.
    #[must_use]
    pub fn without_making_one(mut self) -> Self {
        for shared in [&mut self.postgres.shared, &mut self.redis.shared, &mut self.etcd.shared] {
            shared.create = false;
        }
        self
    }
}

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The redb file cannot be used.
    #[error(transparent)]
    Redb(#[from] stash_redb::OpenError),
    /// The fjall folder cannot be used.
    #[error(transparent)]
    Fjall(#[from] stash_fjall::OpenError),
    /// The SQLite file cannot be used.
    #[error(transparent)]
    Sqlite(#[from] stash_sqlite::OpenError),
    /// The folder of files cannot be used.
    #[error(transparent)]
    Files(#[from] stash_files::OpenError),
    /// The store in PostgreSQL cannot be used.
    #[error(transparent)]
    Postgres(#[from] stash_postgres::OpenError),
    /// The store in Redis cannot be used.
    #[error(transparent)]
    Redis(#[from] stash_redis::OpenError),
    /// The store in etcd cannot be used.
    #[error(transparent)]
    Etcd(#[from] stash_etcd::OpenError),
    /// Somebody has begun to copy another store into it.
    #[error("{url} is an unfinished copy of another store; finish it with 'stash copy', which goes on where it was")]
    UnfinishedCopy {
        /// The store.
        url: StoreUrl,
    },
}

/// Chains kept, with their caches, for components that have no instance now.
const IDLE_CHAINS: usize = 4096;

/// An opened store. Clones are the same store. It is closed when the last clone, the last [`ComponentStore`] made from it
/// and the last commit under way are gone.
#[derive(Clone)]
pub struct Stash {
    inner: Arc<Inner>,
}

pub(crate) struct Inner {
    backend: Box<dyn HostBackend>,
    config: StashConfig,
    budget: Arc<CacheBudget>,
    chains: Mutex<Chains>,
    background: Arc<Background>,
}

struct Chains {
    by_id: HashMap<ComponentId, ComponentStore>,
    /// How many there may be before idle ones are looked for.
    sweep_at: usize,
}

impl Stash {
    /// Opens the store that `url` names. Opening a file blocks on the disk for some milliseconds; so does dropping the
    /// last clone, which finishes the commits that wait and closes the file.
    ///
    /// # Errors
    /// [`OpenError`], where the file or folder cannot be used.
    pub async fn open(url: &StoreUrl, config: StashConfig) -> Result<Self, OpenError> {
        let backend = open(url, &config).await?;
        if backend.is_unfinished_copy() {
            return Err(OpenError::UnfinishedCopy { url: url.clone() });
        }
        Ok(Self::over_any(backend, config))
    }

    /// A store over any engine. Nothing else may write to the engine while it is in use.
    pub fn over<E: Engine>(backend: EngineBackend<E>, config: StashConfig) -> Self {
        Self::over_any(Box::new(backend), config)
    }

    fn over_any(backend: Box<dyn HostBackend>, config: StashConfig) -> Self {
        let budget = Arc::new(CacheBudget::new(config.cache_budget_bytes));
        let chains = Mutex::new(Chains { by_id: HashMap::new(), sweep_at: IDLE_CHAINS });
        let background = backend.background(&config);
        Self { inner: Arc::new(Inner { backend, config, budget, chains, background }) }
    }

    /// The storage of the component `id`. All callers with the same id share one chain.
    pub fn component(&self, id: &ComponentId) -> ComponentStore {
        let mut chains = self.inner.chains.lock();
        if let Some(store) = chains.by_id.get(id) {
            return store.clone();
        }
        if chains.by_id.len() >= chains.sweep_at {
            chains.by_id.retain(|_, store| !store.is_idle());
            chains.sweep_at = chains.by_id.len().saturating_mul(2).max(IDLE_CHAINS);
        }
        let store = self.inner.backend.chain(id, &self.inner);
        chains.by_id.insert(id.clone(), store.clone());
        store
    }

    /// The components that have data or had some, in the order of their ids, at most `limit` of them after `after`.
    ///
    /// # Errors
    /// [`StorageError`], where the store cannot be read.
    pub async fn components(
        &self,
        after: Option<&ComponentId>,
        limit: usize,
    ) -> Result<Vec<NamespaceUsage>, StorageError> {
        self.inner.backend.namespaces(after, limit).await
    }

    /// How the engine is now.
    pub fn status(&self) -> EngineStatus {
        self.inner.backend.status()
    }

    /// What the engine is and does.
    pub fn engine(&self) -> EngineInfo {
        self.inner.backend.info()
    }
}

impl fmt::Debug for Stash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stash").field("engine", &self.engine()).finish_non_exhaustive()
    }
}

/// Opens a store, whatever its engine, and lets nothing run in it yet.
pub(crate) async fn open(url: &StoreUrl, config: &StashConfig) -> Result<Box<dyn HostBackend>, OpenError> {
    Ok(match url {
        StoreUrl::Memory => Box::new(MemoryBackend::in_memory()),
        StoreUrl::Redb(path) => Box::new(stash_redb::open(path, &config.redb).await?),
        StoreUrl::Fjall(path) => Box::new(stash_fjall::open(path, &config.fjall).await?),
        StoreUrl::Sqlite(path) => Box::new(stash_sqlite::open(path, &config.sqlite).await?),
        StoreUrl::Files(path) => Box::new(stash_files::open(path, &config.files).await?),
        StoreUrl::Postgres(url) => Box::new(stash_postgres::open(url.with_password(), &config.postgres).await?),
        StoreUrl::Redis(url) => Box::new(stash_redis::open(url.with_password(), &config.redis).await?),
        StoreUrl::Etcd(url) => Box::new(stash_etcd::open(url.with_password(), &config.etcd).await?),
    })
}

/// A backend whose engine was chosen when the program ran.
pub(crate) trait HostBackend: Send + Sync {
    fn info(&self) -> EngineInfo;
    fn is_unfinished_copy(&self) -> bool;
    /// The engine, as a copy uses it.
    fn copy_engine(&self) -> &dyn CopyEngine;
    /// Starts what the store does by itself.
    fn background(&self, config: &StashConfig) -> Arc<Background>;
    fn status(&self) -> EngineStatus;
    fn chain(&self, id: &ComponentId, stash: &Inner) -> ComponentStore;
    fn namespaces<'a>(
        &'a self,
        after: Option<&'a ComponentId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<NamespaceUsage>, StorageError>>;
}

impl<E: Engine> HostBackend for EngineBackend<E> {
    fn info(&self) -> EngineInfo {
        Self::info(self)
    }

    fn is_unfinished_copy(&self) -> bool {
        Self::is_unfinished_copy(self)
    }

    fn copy_engine(&self) -> &dyn CopyEngine {
        self.engine()
    }

    fn background(&self, config: &StashConfig) -> Arc<Background> {
        Background::start(self.clone(), config.sweep_interval, config.transaction_age)
    }

    fn status(&self) -> EngineStatus {
        self.engine().status()
    }

    fn chain(&self, id: &ComponentId, stash: &Inner) -> ComponentStore {
        let Inner { config, budget, background, .. } = stash;
        // By one clock: a record that the backend has dated must not look expired to the cache.
        let clock = self.clock();
        let cached =
            CachedStorage::with(self.clone(), config.cache.clone(), Arc::clone(&clock), Some(Arc::clone(budget)));
        let cache = cached.cache_handle();
        let namespaced: NamespacedStorage<CachedStorage<Self>> = NamespacedStorage::new(id, cached);
        let limits = config.limits_of.get(id).copied().unwrap_or(config.limits);
        let chain: Arc<dyn DynStorage> = Arc::new(Guarded::new(namespaced, limits));
        let leases = Leases::new(clock, config.transaction_age);
        ComponentStore::new(id.clone(), chain, cache, leases, Arc::clone(background))
    }

    fn namespaces<'a>(
        &'a self,
        after: Option<&'a ComponentId>,
        limit: usize,
    ) -> BoxFuture<'a, Result<Vec<NamespaceUsage>, StorageError>> {
        Box::pin(Self::namespaces(self, after, limit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stash_core::ComponentStorage;
    use stash_core::engine::{Decision, View, Writes};
    use std::sync::mpsc;

    #[tokio::test]
    async fn one_chain_a_component_and_idle_ones_go() {
        let stash = Stash::over(MemoryBackend::in_memory(), StashConfig::default());
        let held = stash.component(&"app/held/0".parse().unwrap());
        held.set("k", "v").await.unwrap();
        for n in 0..IDLE_CHAINS * 2 {
            stash.component(&ComponentId::new("app", "idle", &n.to_string()).unwrap());
        }
        assert!(stash.inner.chains.lock().by_id.len() <= IDLE_CHAINS + 1);
        let again = stash.component(held.id());
        assert!(Arc::ptr_eq(&held.inner_chain(), &again.inner_chain()));
    }

    /// Holds the writer until it is released.
    struct Block(mpsc::Receiver<()>);

    impl Decision for Block {
        type Output = ();

        fn queue(&self) -> &'static str {
            "block"
        }

        fn cost(&self) -> usize {
            0
        }

        fn decide(&mut self, _: &dyn View, _: &mut Writes) -> Result<(), StorageError> {
            self.0.recv().map_err(|error| StorageError::io("waiting", error))
        }
    }

    async fn starts<T>(call: &mut std::pin::Pin<Box<impl Future<Output = T>>>) {
        assert!(std::future::poll_fn(|cx| std::task::Poll::Ready(call.as_mut().poll(cx))).await.is_pending());
    }

    #[tokio::test]
    async fn a_chain_whose_commit_is_under_way_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let backend = stash_redb::open(&folder.path().join("store"), &RedbOptions::default()).await.unwrap();
        let stash = Stash::over(backend.clone(), StashConfig::default());
        let make_others = |names: std::ops::Range<usize>| {
            for n in names {
                stash.component(&ComponentId::new("app", "idle", &n.to_string()).unwrap());
            }
        };
        let (release, held) = mpsc::channel();
        let mut block = Box::pin(backend.engine().update(Block(held)));
        starts(&mut block).await;

        // A commit that waits for the writer, and whose caller and component's handles are gone.
        let store = stash.component(&"app/gone/0".parse().unwrap());
        let chain = Arc::downgrade(&store.inner_chain());
        let mut commit = Box::pin({
            let store = store.clone();
            async move { store.set("k", "v").await }
        });
        starts(&mut commit).await;
        drop((commit, store));
        make_others(0..IDLE_CHAINS * 2);
        assert!(chain.upgrade().is_some(), "its cache is the one that the commit will tell");

        release.send(()).unwrap();
        block.await.unwrap();
        // The writer serves in order: behind this the commit is over.
        let (at_once, held) = mpsc::channel();
        at_once.send(()).unwrap();
        backend.engine().update(Block(held)).await.unwrap();
        make_others(IDLE_CHAINS * 2..IDLE_CHAINS * 5);
        assert!(chain.upgrade().is_none(), "and then it may go");
    }
}
