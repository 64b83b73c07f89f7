//! An engine with what guests may import from it. There are two: one without component-model concurrency, where a call
//! between guest and host costs half, and one with it, for components of WASI 0.3. Both must offer the same otherwise.

use wasmtime::component::Linker;
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::{Allocation, CodeCache, GuestState, RuntimeConfig, RuntimeError, start_ticking};
use crate::{keyvalue, logging, settings, view};

/// An engine and its linker; what a component's own imports decide is not in it yet.
pub(super) struct Flavor {
    pub(super) engine: Engine,
    pub(super) linker: Linker<GuestState>,
}

impl Flavor {
    pub(super) fn new(config: &RuntimeConfig, concurrency: bool) -> Result<Self, RuntimeError> {
        let failed = |error: wasmtime::Error| RuntimeError::Engine { reason: format!("{error:#}") };
        let engine = Engine::new(&engine_config(config, concurrency).map_err(failed)?).map_err(failed)?;
        let mut linker = Linker::new(&engine);
        offer(&mut linker, concurrency).map_err(failed)?;
        start_ticking(&engine)?;
        Ok(Self { engine, linker })
    }
}

fn offer(linker: &mut Linker<GuestState>, concurrency: bool) -> wasmtime::Result<()> {
    wasmtime_wasi::p2::add_to_linker_async(linker)?;
    wasmtime_wasi_http::p2::add_only_http_to_linker_async(linker)?;
    view::add_to_linker(linker)?;
    settings::add_to_linker(linker)?;
    logging::add_to_linker(linker)?;
    if concurrency {
        wasmtime_wasi::p3::add_to_linker(linker)?;
        wasmtime_wasi_http::p3::add_to_linker(linker)?;
        keyvalue::add_async_to_linker(linker)?;
    }
    Ok(())
}

fn engine_config(config: &RuntimeConfig, concurrency: bool) -> wasmtime::Result<wasmtime::Config> {
    let mut engine = wasmtime::Config::new();
    engine.epoch_interruption(true);
    engine.concurrency_support(concurrency);
    engine.wasm_component_model_async(concurrency);
    engine.wasm_component_model_implements(true);
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
            // A component made by several tools has some ten core modules; most have one memory. What is set aside here
            // is address space.
            .total_core_instances(instances.saturating_mul(32))
            .total_memories(instances.saturating_mul(4))
            .total_tables(instances.saturating_mul(16))
            .max_memory_size(config.limits.memory_bytes);
        engine.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    Ok(engine)
}
