//! An engine with what guests may import from it. There are two: one without component-model concurrency, where a call
//! between guest and host costs half, and one with it, for components of WASI 0.3. Both must offer the same otherwise.

use wasmtime::component::Linker;
use wasmtime::{Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use super::limits::{MAX_CORE_INSTANCES, MAX_MEMORIES, MAX_TABLES};
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
        // As much for each instance as a component may have: one with many memories leaves the others theirs. What is set
        // aside here is address space.
        pool.total_component_instances(instances)
            .total_stacks(instances)
            .max_core_instances_per_component(MAX_CORE_INSTANCES)
            .max_memories_per_component(MAX_MEMORIES)
            .max_tables_per_component(MAX_TABLES)
            .total_core_instances(instances.saturating_mul(MAX_CORE_INSTANCES))
            .total_memories(instances.saturating_mul(MAX_MEMORIES))
            .total_tables(instances.saturating_mul(MAX_TABLES))
            // Without a pool, a module may have all of its component's.
            .max_memories_per_module(MAX_MEMORIES)
            .max_tables_per_module(MAX_TABLES)
            .max_memory_size(config.limits.memory_bytes)
            .table_elements(config.limits.table_elements);
        engine.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    }
    Ok(engine)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::runtime::{GuestContext, GuestLimits, Program, Runtime};
    use crate::{Stash, StashConfig, StoreUrl};

    fn runtime(allocation: Allocation) -> Runtime {
        Runtime::new(RuntimeConfig { allocation, code_cache: CodeCache::Off, limits: GuestLimits::default() }).unwrap()
    }

    async fn store(runtime: &Runtime, program: &Program) -> wasmtime::Store<GuestState> {
        let stash = Stash::open(&StoreUrl::Memory, StashConfig::default()).await.unwrap();
        let store = stash.component(&"app/guest/1".parse().unwrap());
        runtime.new_store(program, GuestContext::new(store, wasmtime_wasi::WasiCtx::builder().build()))
    }

    /// A component with so many core instances of a module.
    fn load(runtime: &Runtime, instances: u32, module: &str) -> Result<Program, RuntimeError> {
        let instances = "(core instance (instantiate $m))".repeat(instances as usize);
        runtime.load_bytes("guest", format!("(component (core module $m {module}) {instances})").as_bytes())
    }

    #[tokio::test]
    async fn no_component_takes_more_of_the_pool_than_its_share() {
        let pooled = runtime(Allocation::Pooled(2));
        let error = |instances, module| load(&pooled, instances, module).map(drop).unwrap_err().to_string();
        assert_eq!(
            error(MAX_MEMORIES + 1, "(memory 1)"),
            "guest cannot be started: it has 5 Wasm linear memories, which exceeds the configured maximum of 4"
        );
        assert_eq!(
            error(MAX_TABLES + 1, "(table 1 funcref)"),
            "guest cannot be started: it has 17 tables, which exceeds the configured maximum of 16"
        );
        assert_eq!(
            error(MAX_CORE_INSTANCES + 1, ""),
            "guest cannot be started: it has 33 core module instances, which exceeds the configured maximum of 32"
        );

        // As many as the pool has instances may be there at once, each with all that it may have.
        for (instances, module) in
            [(MAX_MEMORIES, "(memory 1)"), (MAX_TABLES, "(table 1 funcref)"), (MAX_CORE_INSTANCES, "")]
        {
            let program = load(&pooled, instances, module).unwrap();
            let mut stores = [store(&pooled, &program).await, store(&pooled, &program).await];
            for store in &mut stores {
                program.pre.instantiate_async(store).await.unwrap();
            }
        }
    }

    #[tokio::test]
    async fn what_a_guest_may_have_does_not_depend_on_where_its_memory_comes_from() {
        let table = GuestLimits::default().table_elements;
        for allocation in [Allocation::OnDemand, Allocation::Pooled(1)] {
            let runtime = runtime(allocation);
            let starts = async |instances: u32, module: &str| {
                let Ok(program) = load(&runtime, instances, module) else { return false };
                program.pre.instantiate_async(&mut store(&runtime, &program).await).await.is_ok()
            };
            assert!(starts(1, &format!("(table {table} funcref)")).await, "{allocation:?}");
            assert!(!starts(1, &format!("(table {} funcref)", table + 1)).await, "{allocation:?}");
            assert!(starts(1, "(memory 1) (memory 1) (memory 1) (memory 1)").await, "{allocation:?}");
            assert!(!starts(MAX_MEMORIES + 1, "(memory 1)").await, "{allocation:?}");
            assert!(!starts(MAX_TABLES + 1, "(table 1 funcref)").await, "{allocation:?}");
            assert!(!starts(MAX_CORE_INSTANCES + 1, "").await, "{allocation:?}");
        }
    }
}
