//! The guest `tests/guests/kv-bench`, in a host made as an embedder would make one: an engine, a linker with WASI, Stash
//! and `wasmtime-wasi-keyvalue`, and a state type that belongs to neither.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use stash_host::{ComponentStore, StorageCtx, StorageCtxView, StorageView};
use wasmtime::component::{Component, Instance, InstancePre, Linker, ResourceTable};
use wasmtime::{Config, Engine, Store, StoreContextMut};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_keyvalue::{WasiKeyValue, WasiKeyValueCtx, WasiKeyValueCtxBuilder};

use crate::records;

/// Builds the guest, and returns where it is.
///
/// # Errors
/// Those of building guests.
pub fn build() -> Result<PathBuf> {
    let guest = xtask::guests::build()?.into_iter().find(|guest| guest.name == "kv-bench");
    Ok(guest.context("there is no guest 'kv-bench'")?.path)
}

/// What a Wasmtime store of the benchmark holds.
struct State {
    wasi: WasiCtx,
    table: ResourceTable,
    storage: StorageCtx,
    keyvalue: WasiKeyValueCtx,
    /// What the bare host functions look into.
    map: HashMap<String, Vec<u8>>,
}

impl WasiView for State {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

impl StorageView for State {
    fn storage(&mut self) -> StorageCtxView<'_> {
        StorageCtxView { ctx: &mut self.storage, table: &mut self.table }
    }
}

/// The compiled guest, linked.
pub struct Program {
    engine: Engine,
    linked: InstancePre<State>,
}

/// A loop that the guest exports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Loop {
    /// `get` of `stash:storage`.
    StashGet,
    /// `exists` of `stash:storage`.
    StashExists,
    /// `bucket.get` of `wasi:keyvalue`, served by `wasmtime-wasi-keyvalue` from memory.
    KeyvalueGet,
    /// A host function that looks into a map.
    ProbeGet,
    /// The same as an async function that is ready at once.
    ProbeGetAsync,
}

impl Loop {
    fn export(self) -> &'static str {
        match self {
            Self::StashGet => "stash-get",
            Self::StashExists => "stash-exists",
            Self::KeyvalueGet => "keyvalue-get",
            Self::ProbeGet => "probe-get",
            Self::ProbeGetAsync => "probe-get-async",
        }
    }
}

impl Program {
    /// Compiles the guest. `concurrent` is for an engine that can also run WASI 0.3 components.
    ///
    /// # Errors
    /// Wasmtime's.
    pub fn new(guest: &Path, concurrent: bool) -> Result<Self> {
        let mut config = Config::new();
        config.concurrency_support(concurrent).epoch_interruption(true);
        let engine = Engine::new(&config)?;
        let component = Component::from_file(&engine, guest)?;
        let mut linker = Linker::<State>::new(&engine);
        wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
        stash_host::add_to_linker(&mut linker)?;
        wasmtime_wasi_keyvalue::add_to_linker(&mut linker, |state: &mut State| {
            WasiKeyValue::new(&state.keyvalue, &mut state.table)
        })?;
        add_probe(&mut linker)?;
        Ok(Self { linked: linker.instantiate_pre(&component)?, engine })
    }

    /// An instance that runs as the component whose store is given, and has the same records in `wasi:keyvalue` and in
    /// the map of the bare host functions, for the `keys`.
    ///
    /// # Errors
    /// Wasmtime's.
    pub async fn start(&self, store: ComponentStore, keys: &[String]) -> Result<Guest> {
        let entries = || keys.iter().enumerate().map(|(n, key)| (key.clone(), records::value(n)));
        let state = State {
            wasi: WasiCtx::builder().build(),
            table: ResourceTable::new(),
            storage: StorageCtx::new(store),
            keyvalue: WasiKeyValueCtxBuilder::new().in_memory_data(entries()).build(),
            map: entries().collect(),
        };
        let mut store = Store::new(&self.engine, state);
        store.set_epoch_deadline(u64::MAX / 2);
        let instance = self.linked.instantiate_async(&mut store).await?;
        Ok(Guest { instance, store })
    }
}

/// The host functions that do as little as can be done.
fn add_probe(linker: &mut Linker<State>) -> Result<()> {
    type Found = Result<Option<Vec<u8>>, String>;

    let mut probe = linker.instance("stash:bench/probe")?;
    probe.func_wrap("nothing", |_: StoreContextMut<'_, State>, (): ()| Ok(()))?;
    probe.func_wrap_async("nothing-async", |_: StoreContextMut<'_, State>, (): ()| Box::new(async { Ok(()) }))?;
    probe.func_wrap("get", |store: StoreContextMut<'_, State>, (key,): (String,)| -> wasmtime::Result<(Found,)> {
        Ok((Ok(store.data().map.get(&key).cloned()),))
    })?;
    probe.func_wrap_async("get-async", |store: StoreContextMut<'_, State>, (key,): (String,)| {
        Box::new(async move {
            let found: Found = Ok(store.data().map.get(&key).cloned());
            Ok((found,))
        })
    })?;
    Ok(())
}

/// A running instance of the guest.
pub struct Guest {
    instance: Instance,
    store: Store<State>,
}

impl Guest {
    /// Runs a loop: `n` calls, over the `keys` in turn. Returns the nanoseconds of one call.
    ///
    /// # Errors
    /// Wasmtime's, and what the guest says; also where not all keys were found.
    pub async fn repeat(&mut self, what: Loop, keys: &[String], n: u32) -> Result<f64> {
        type Sum = (Result<u64, String>,);
        let function = self.instance.get_typed_func::<(&[String], u32), Sum>(&mut self.store, what.export())?;
        let start = Instant::now();
        let (sum,) = function.call_async(&mut self.store, (keys, n)).await?;
        let nanos = per_operation(start.elapsed(), n);
        let each = if what == Loop::StashExists { 1 } else { records::VALUE_BYTES };
        ensure!(sum == Ok(u64::from(n) * u64::try_from(each)?), "{what:?} returned {sum:?}");
        Ok(nanos)
    }

    /// Calls a host function that does nothing, `n` times. Returns the nanoseconds of one call.
    ///
    /// # Errors
    /// Wasmtime's.
    pub async fn call_nothing(&mut self, is_async: bool, n: u32) -> Result<f64> {
        let name = if is_async { "call-nothing-async" } else { "call-nothing" };
        let function = self.instance.get_typed_func::<(u32,), ()>(&mut self.store, name)?;
        let start = Instant::now();
        function.call_async(&mut self.store, (n,)).await?;
        Ok(per_operation(start.elapsed(), n))
    }

    /// Sets each of the keys. Returns the nanoseconds of each call, as the guest measured them.
    ///
    /// # Errors
    /// Wasmtime's, and what the guest says.
    pub async fn set(&mut self, keys: &[String], value: &[u8]) -> Result<Vec<f64>> {
        type Times = (Result<Vec<u64>, String>,);
        let function = self.instance.get_typed_func::<(&[String], &[u8]), Times>(&mut self.store, "stash-set")?;
        let (times,) = function.call_async(&mut self.store, (keys, value)).await?;
        let times = times.map_err(|error| anyhow!("the guest could not set: {error}"))?;
        Ok(times.into_iter().map(|nanos| Duration::from_nanos(nanos).as_secs_f64() * 1e9).collect())
    }
}

/// Nanoseconds of one of `n` operations.
pub fn per_operation(all: Duration, n: u32) -> f64 {
    all.as_secs_f64() * 1e9 / f64::from(n)
}
