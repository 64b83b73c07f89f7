//! A ready runtime for those who have no Wasmtime program of their own: one engine, one linker, compiled-code cache,
//! limits. A guest is compiled and linked once ([`Program`]) and instantiated for each call. It must never let a guest
//! hold a thread without yielding, or take more than its limits.

mod error;
mod invoke;
mod limits;
mod program;
mod run;

use std::path::PathBuf;
use std::time::Duration;

use wasmtime::component::{Linker, ResourceTable};
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

pub use error::RuntimeError;
pub use invoke::Invoked;
pub use limits::GuestLimits;
pub use program::Program;
pub use run::ExitCode;

use crate::component_store::ComponentStore;
use crate::view::{StorageCtx, StorageCtxView, StorageView, add_to_linker};
use limits::Limiter;

/// How the runtime is set up.
#[derive(Debug, Clone, Default)]
pub struct RuntimeConfig {
    /// Where compiled code is kept between processes.
    pub code_cache: CodeCache,
    /// Where the memory of instances comes from.
    pub allocation: Allocation,
    /// What each run of a guest may use.
    pub limits: GuestLimits,
}

/// Where compiled code is kept between processes.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub enum CodeCache {
    /// Where Wasmtime keeps it: the user's cache folder, by its own configuration file if there is one.
    #[default]
    User,
    /// In this folder.
    Folder(PathBuf),
    /// Nowhere.
    Off,
}

/// Where the memory of instances comes from.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Allocation {
    /// From the system, when needed: for a few guests.
    #[default]
    OnDemand,
    /// From a pool for so many instances at once, set aside at the start: twice as fast, for hosts that make an instance
    /// for every request. Takes address space, not memory.
    Pooled(u32),
}

/// How often a running guest lets others run, and is looked at whether it is past its deadline.
const TICK: Duration = Duration::from_millis(10);

/// Compiles, links and runs components. Cheap to clone.
///
/// ```no_run
/// use stash_host::{Runtime, RuntimeConfig, Stash, StashConfig};
/// use wasmtime_wasi::WasiCtx;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::new(RuntimeConfig::default())?;
/// let counter = runtime.load("counter.wasm".as_ref())?;
/// let stash = Stash::open(&"redb:store.redb".parse()?, StashConfig::default()).await?;
/// let store = stash.component(&"app/counter/001".parse()?);
/// let result = runtime.invoke(&counter, store, WasiCtx::builder().build(), "increment()").await?;
/// println!("{result:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Runtime {
    engine: Engine,
    linker: Linker<GuestState>,
    limits: GuestLimits,
}

impl Runtime {
    /// Sets up the engine.
    ///
    /// # Errors
    /// [`RuntimeError::Engine`], where this machine cannot give what the configuration asks for.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let failed = |error: wasmtime::Error| RuntimeError::Engine { reason: format!("{error:#}") };
        let engine = Engine::new(&engine_config(&config).map_err(failed)?).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker).map_err(failed)?;
        add_to_linker(&mut linker).map_err(failed)?;
        start_ticking(&engine)?;
        Ok(Self { engine, linker, limits: config.limits })
    }

    /// A store with the state of one run of a guest.
    fn new_store(&self, storage: ComponentStore, wasi: WasiCtx) -> Store<GuestState> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.limits.resources);
        let storage = StorageCtx::new(storage);
        let state = GuestState { wasi, table, storage, limiter: Limiter::new(&self.limits) };
        let mut store = Store::new(&self.engine, state);
        store.limiter(|state| &mut state.limiter);
        store.set_epoch_deadline(1);
        // The deadline itself is a timeout around the call: it needs only that the guest yields.
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
        store
    }
}

fn engine_config(config: &RuntimeConfig) -> wasmtime::Result<wasmtime::Config> {
    let mut engine = wasmtime::Config::new();
    engine.epoch_interruption(true);
    // Makes every call between guest and host twice as fast, and rules out only what `wasi` 0.3 guests need.
    engine.concurrency_support(false);
    engine.cache(match &config.code_cache {
        CodeCache::Off => None,
        CodeCache::Folder(folder) => {
            let mut cache = wasmtime::CacheConfig::new();
            cache.with_directory(folder);
            Some(wasmtime::Cache::new(cache)?)
        }
        // A home that cannot be written to costs time, not the run.
        CodeCache::User => wasmtime::Cache::from_file(None)
            .inspect_err(|error| tracing::warn!("compiled code is not kept: {error:#}"))
            .ok(),
    });
    if let Allocation::Pooled(instances) = config.allocation {
        let mut pool = PoolingAllocationConfig::new();
        pool.total_component_instances(instances)
            .total_stacks(instances)
            .total_core_instances(instances.saturating_mul(4))
            .total_memories(instances.saturating_mul(2))
            .total_tables(instances.saturating_mul(4))
            .max_memory_size(config.limits.memory_bytes);
        engine.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    Ok(engine)
}

/// Moves the engine's epoch on until the engine is gone.
fn start_ticking(engine: &Engine) -> Result<(), RuntimeError> {
    let weak = engine.weak();
    let tick = move || {
        while let Some(engine) = weak.upgrade() {
            engine.increment_epoch();
            drop(engine);
            std::thread::sleep(TICK);
        }
    };
    std::thread::Builder::new()
        .name("stash-epoch".to_owned())
        .spawn(tick)
        .map(drop)
        .map_err(|error| RuntimeError::Engine { reason: format!("cannot start a thread: {error}") })
}

/// What a Wasmtime store of the runtime holds.
struct GuestState {
    wasi: WasiCtx,
    table: ResourceTable,
    storage: StorageCtx,
    limiter: Limiter,
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl StorageView for GuestState {
    fn storage(&mut self) -> StorageCtxView<'_> {
        StorageCtxView { ctx: &mut self.storage, table: &mut self.table }
    }
}
