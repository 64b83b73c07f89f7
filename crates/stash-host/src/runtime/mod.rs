//! A ready runtime for those who have no Wasmtime program of their own: one engine, one linker, compiled-code cache,
//! limits. A guest is compiled and linked once ([`Program`]) and instantiated for each call. It must never let a guest
//! hold a thread without yielding, or take more than its limits.

mod answer;
mod context;
mod error;
mod flavor;
mod http;
mod invoke;
mod limits;
mod link;
mod program;
mod run;
mod watcher;

use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use wasmtime::component::ResourceTable;
use wasmtime::{Engine, Store, UpdateDeadline};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_http::{WasiHttpCtx, WasiHttpCtxView, WasiHttpView};

pub use context::{AllowedHost, GuestContext, InvalidHost, Outbound};
pub use error::RuntimeError;
pub use http::{HttpFailure, HttpGuest, HttpLimits, MakeContext};
pub use invoke::Invoked;
pub use limits::GuestLimits;
pub use program::{LoadOptions, Program};
pub use run::ExitCode;
pub(crate) use watcher::Told;
pub use watcher::Watcher;

use crate::settings::{Settings, SettingsView};
use crate::view::{StorageCtx, StorageCtxView, StorageView};
use flavor::Flavor;
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
/// use stash_host::{GuestContext, Runtime, RuntimeConfig, Stash, StashConfig};
/// use wasmtime_wasi::WasiCtx;
/// # async fn example() -> Result<(), Box<dyn std::error::Error>> {
/// let runtime = Runtime::new(RuntimeConfig::default())?;
/// let counter = runtime.load("counter.wasm".as_ref())?;
/// let stash = Stash::open(&"redb:store.redb".parse()?, StashConfig::default()).await?;
/// let store = stash.component(&"app/counter/001".parse()?);
/// let context = GuestContext::new(store, WasiCtx::builder().build());
/// let result = runtime.invoke(&counter, context, "increment()").await?;
/// println!("{result:?}");
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct Runtime {
    inner: Arc<Inner>,
}

struct Inner {
    config: RuntimeConfig,
    plain: Flavor,
    /// For components of WASI 0.3; made when the first of them comes.
    concurrent: OnceLock<Result<Flavor, String>>,
}

impl Runtime {
    /// Sets up the engine.
    ///
    /// # Errors
    /// [`RuntimeError::Engine`], where this machine cannot give what the configuration asks for.
    pub fn new(config: RuntimeConfig) -> Result<Self, RuntimeError> {
        let plain = Flavor::new(&config, false)?;
        Ok(Self { inner: Arc::new(Inner { config, plain, concurrent: OnceLock::new() }) })
    }

    fn limits(&self) -> &GuestLimits {
        &self.inner.config.limits
    }

    /// The engine for components that need component-model concurrency.
    fn concurrent(&self) -> Result<&Flavor, RuntimeError> {
        let made = self.inner.concurrent.get_or_init(|| {
            Flavor::new(&self.inner.config, true).map_err(|error| match error {
                RuntimeError::Engine { reason } => reason,
                error => error.to_string(),
            })
        });
        made.as_ref().map_err(|reason| RuntimeError::Engine { reason: reason.clone() })
    }

    /// A store with the state of one run of a guest.
    fn new_store(&self, program: &Program, context: GuestContext) -> Store<GuestState> {
        let mut table = ResourceTable::new();
        table.set_max_capacity(self.limits().resources);
        let GuestContext { storage, wasi, settings, outbound } = context;
        let limiter = Limiter::new(self.limits());
        let state = GuestState { wasi, http: WasiHttpCtx::new(), outbound, settings, table, storage, limiter };
        let mut store = Store::new(program.pre.engine(), state);
        store.limiter(|state| &mut state.limiter);
        // Beside those on the host's resources, as many of the guest's own. Room for a stream is three entries.
        let resources = self.limits().resources;
        store.set_max_component_handles(resources.saturating_mul(2));
        if let Some(concurrent) = store.concurrent_resource_table() {
            concurrent.set_max_capacity(resources.saturating_mul(3));
        }
        store.set_epoch_deadline(1);
        // The deadline itself is a timeout around the call: it needs only that the guest yields.
        store.epoch_deadline_callback(|_| Ok(UpdateDeadline::YieldCustom(1, Box::pin(tokio::task::yield_now()))));
        store
    }
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
    http: WasiHttpCtx,
    outbound: Outbound,
    settings: Settings,
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

impl WasiHttpView for GuestState {
    fn http(&mut self) -> WasiHttpCtxView<'_> {
        WasiHttpCtxView { hooks: &mut self.outbound, table: &mut self.table, ctx: &mut self.http }
    }
}

impl SettingsView for GuestState {
    fn settings(&mut self) -> &mut Settings {
        &mut self.settings
    }
}
