//! Chains of layers over one store, as the suite tests them. A world must give all calls with one id the same cache, as
//! a host does for the instances of one component.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stash_core::{
    BoxFuture, CacheBudget, CacheConfig, CachedStorage, ComponentId, DynStorage, Engine, EngineBackend, Guarded,
    ManualClock, NamespacedStorage, StoreLimits, Swept,
};

use crate::fixture::EngineFixture;

/// One store and the chains of the components that live in it.
pub trait World: Send + Sync + 'static {
    /// The top of the chain of `id`, for one more instance of it.
    fn chain(&self, id: &ComponentId, limits: StoreLimits) -> Arc<dyn DynStorage>;

    /// Whether [`chain`](Self::chain) heeds the limits.
    fn has_limits(&self) -> bool {
        true
    }

    /// The layers of the chain of `id` that speak full names, where they can be shown: the model asks them too.
    fn beneath(&self, id: &ComponentId) -> Vec<Arc<dyn DynStorage>> {
        let _ = id;
        Vec::new()
    }

    /// Lets time pass, for TTLs and for records that expire.
    fn advance(&self, by: Duration) {
        let _ = by;
    }

    /// Whether [`advance`](Self::advance) moves the only clock there is, so that cases about time can be exact.
    fn drives_time(&self) -> bool {
        false
    }

    /// Removes what has expired, in at most so many commits; `None` where that cannot be asked for.
    fn sweep(&self, max_commits: usize) -> BoxFuture<'_, Option<Swept>> {
        let _ = max_commits;
        Box::pin(async { None })
    }
}

/// Makes worlds for the suite.
pub trait WorldFixture: Send + Sync + 'static {
    /// The store under test.
    type World: World;

    /// A new world with nothing in it.
    fn fresh(&self) -> impl Future<Output = Self::World> + Send;
}

impl<C, Fut, W> WorldFixture for crate::Fresh<C>
where
    C: Fn() -> Fut + Send + Sync + 'static,
    Fut: Future<Output = W> + Send,
    W: World,
{
    type World = W;

    fn fresh(&self) -> impl Future<Output = W> + Send {
        (self.0)()
    }
}

/// Which layers a chain of `stash-core` has.
#[derive(Debug, Clone)]
pub struct ChainConfig {
    /// What reports call it.
    pub name: &'static str,
    /// `None`: there is no cache layer at all.
    pub cache: Option<CacheConfig>,
    /// Bytes that all caches share.
    pub budget: Option<usize>,
    /// Whether `Guarded` is on top.
    pub guarded: bool,
}

impl ChainConfig {
    /// The chain that a host builds.
    pub fn whole() -> Self {
        Self { name: "whole chain", cache: Some(CacheConfig::default()), budget: None, guarded: true }
    }

    /// Every kind of chain that the suite tests: without a cache layer, with it turned off, large, and so small that
    /// it evicts all the time; with a TTL; with a budget that is always used up.
    pub fn all() -> Vec<Self> {
        let cached = |name, max_entries, max_size_bytes, ttl: Option<u64>| Self {
            name,
            cache: Some(CacheConfig { max_entries, max_size_bytes, ttl: ttl.map(Duration::from_secs) }),
            ..Self::whole()
        };
        vec![
            Self { name: "namespaces only", cache: None, budget: None, guarded: false },
            Self { name: "namespaces and cache", guarded: false, ..Self::whole() },
            Self { name: "cache off", cache: Some(CacheConfig::disabled()), ..Self::whole() },
            Self::whole(),
            cached("cache of 1 entry", 1, usize::MAX, None),
            cached("cache of 3 entries", 3, usize::MAX, None),
            cached("cache of 400 bytes", 100, 400, None),
            cached("cache with a TTL", 100, usize::MAX, Some(2)),
            cached("cache of 2 entries with a TTL", 2, usize::MAX, Some(2)),
            Self { name: "caches with a budget of 700 bytes", budget: Some(700), ..Self::whole() },
        ]
    }
}

/// The chains of `stash-core` over one engine.
pub struct Chains<E> {
    backend: EngineBackend<E>,
    config: ChainConfig,
    clock: ManualClock,
    budget: Option<Arc<CacheBudget>>,
    caches: Mutex<HashMap<ComponentId, CachedStorage<EngineBackend<E>>>>,
}

impl<E: Engine> Chains<E> {
    /// Chains over `engine`, with a clock that [`World::advance`] moves.
    pub async fn over(engine: E, config: ChainConfig) -> Self {
        Self::over_with(engine, config, ManualClock::default()).await
    }

    /// The same with a clock that others move too.
    pub async fn over_with(engine: E, config: ChainConfig, clock: ManualClock) -> Self {
        let backend = EngineBackend::open_with(engine, Arc::new(clock.clone())).await.expect("the engine opens");
        let budget = config.budget.map(|bytes| Arc::new(CacheBudget::new(bytes)));
        Self { backend, config, clock, budget, caches: Mutex::default() }
    }

    /// The bottom of every chain.
    pub fn backend(&self) -> &EngineBackend<E> {
        &self.backend
    }

    fn cached(&self, id: &ComponentId, config: CacheConfig) -> CachedStorage<EngineBackend<E>> {
        let mut caches = self.caches.lock().unwrap();
        let make = || {
            let clock = Arc::new(self.clock.clone());
            CachedStorage::with(self.backend.clone(), config, clock, self.budget.clone())
        };
        caches.entry(id.clone()).or_insert_with(make).clone()
    }
}

impl<E: Engine> World for Chains<E> {
    fn chain(&self, id: &ComponentId, limits: StoreLimits) -> Arc<dyn DynStorage> {
        match (self.config.cache.clone(), self.config.guarded) {
            (None, false) => Arc::new(NamespacedStorage::new(id, self.backend.clone())),
            (None, true) => Arc::new(Guarded::new(NamespacedStorage::new(id, self.backend.clone()), limits)),
            (Some(cache), false) => Arc::new(NamespacedStorage::new(id, self.cached(id, cache))),
            (Some(cache), true) => Arc::new(Guarded::new(NamespacedStorage::new(id, self.cached(id, cache)), limits)),
        }
    }

    fn has_limits(&self) -> bool {
        self.config.guarded
    }

    fn beneath(&self, id: &ComponentId) -> Vec<Arc<dyn DynStorage>> {
        let mut layers: Vec<Arc<dyn DynStorage>> = vec![Arc::new(self.backend.clone())];
        if let Some(cache) = self.config.cache.clone() {
            layers.push(Arc::new(self.cached(id, cache)));
        }
        layers
    }

    fn advance(&self, by: Duration) {
        self.clock.advance(by);
    }

    fn drives_time(&self) -> bool {
        true
    }

    fn sweep(&self, max_commits: usize) -> BoxFuture<'_, Option<Swept>> {
        Box::pin(async move { Some(self.backend.sweep(max_commits).await.expect("the sweeper works")) })
    }
}

/// Worlds of one kind of chain over an engine fixture's engines.
pub struct ChainsOver<F> {
    /// Where the engines come from.
    pub engines: Arc<F>,
    /// Which layers are put over them.
    pub config: ChainConfig,
}

impl<F: EngineFixture> WorldFixture for ChainsOver<F> {
    type World = Chains<F::Engine>;

    async fn fresh(&self) -> Chains<F::Engine> {
        Chains::over(self.engines.fresh().await, self.config.clone()).await
    }
}
