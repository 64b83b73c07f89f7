//! What each layer of a component's chain costs, from the engine up, where nothing waits for a disk. The difference
//! between two lines is the price of the layer between them.

#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::HashMap;
use std::hint::black_box;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main, measurement::WallTime};
use stash_bench::ready::ready;
use stash_bench::records::{self, Numbers};
use stash_bench::stores;
use stash_core::engine::Engine;
use stash_core::keyspace::KeySpace;
use stash_core::{
    CacheConfig, CachedStorage, ComponentStorage, DynStorage, Guarded, MemoryBackend, NamespacedStorage, StoreLimits,
};
use stash_host::{Stash, StashConfig};

/// Records of the component; few enough to be in the processor's caches, so that the layers show.
const RECORDS: usize = 1_000;

type Group<'a> = BenchmarkGroup<'a, WallTime>;

fn group<'a>(criterion: &'a mut Criterion, name: &str) -> Group<'a> {
    let mut group = criterion.benchmark_group(name);
    group.warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(1)).sample_size(50);
    group.throughput(Throughput::Elements(1));
    group
}

/// One line: an operation on one key after the other.
fn line<T>(group: &mut Group<'_>, name: &str, keys: &[String], mut operation: impl FnMut(&str) -> T) {
    group.bench_function(name, |bencher| {
        let mut keys = keys.iter().cycle();
        bencher.iter(|| black_box(operation(keys.next().unwrap())));
    });
}

fn keys() -> Vec<String> {
    Numbers::new(1).keys(64, RECORDS)
}

fn full_keys() -> Vec<String> {
    keys().iter().map(|key| format!("{}{key}", records::alone().key_prefix())).collect()
}

fn get<S: ComponentStorage>(group: &mut Group<'_>, name: &str, keys: &[String], storage: &S) {
    line(group, name, keys, |key| ready(storage.get(key)).unwrap().unwrap());
}

/// The chain over a backend, from the bottom.
fn chain<S: ComponentStorage + Clone>(group: &mut Group<'_>, backend: &S, cache: &CacheConfig) {
    let id = records::alone();
    let cached = CachedStorage::new(backend.clone(), cache.clone());
    get(group, "CachedStorage", &full_keys(), &cached);
    let namespaced = NamespacedStorage::new(&id, cached);
    get(group, "NamespacedStorage", &keys(), &namespaced);
    let guarded = Guarded::new(namespaced, StoreLimits::default());
    get(group, "Guarded", &keys(), &guarded);
    let chosen: Arc<dyn DynStorage> = Arc::new(guarded);
    get(group, "Arc<dyn DynStorage>", &keys(), &chosen);
}

fn cached_get(criterion: &mut Criterion) {
    let mut group = group(criterion, "cached get");
    let backend = MemoryBackend::in_memory();
    ready(stores::fill(&NamespacedStorage::new(&records::alone(), backend.clone()), RECORDS)).unwrap();

    let map: Mutex<HashMap<String, Vec<u8>>> = Mutex::default();
    map.lock().unwrap().extend(full_keys().into_iter().map(|key| (key, records::value(0))));
    line(&mut group, "Mutex<HashMap>", &full_keys(), |key| map.lock().unwrap().get(key).cloned());
    chain(&mut group, &backend, &CacheConfig::default());

    let component = Stash::over(backend, StashConfig::default()).component(&records::alone());
    get(&mut group, "ComponentStore", &keys(), &component);
    line(&mut group, "ComponentStore, to Vec", &keys(), |key| {
        ready(component.get(key)).unwrap().map(|value| value.to_vec())
    });
}

fn memory_get(criterion: &mut Criterion) {
    let mut group = group(criterion, "memory get");
    let backend = MemoryBackend::in_memory();
    ready(stores::fill(&NamespacedStorage::new(&records::alone(), backend.clone()), RECORDS)).unwrap();
    let engine_keys: Vec<_> = full_keys().iter().map(|key| KeySpace::Record.key(key)).collect();
    let mut next = engine_keys.iter().cycle();
    group.bench_function("Engine", |bencher| {
        bencher.iter(|| ready(backend.engine().read(&[&next.next().unwrap()[..]])).unwrap());
    });
    get(&mut group, "EngineBackend", &full_keys(), &backend);
    chain(&mut group, &backend, &CacheConfig::disabled());
}

fn redb_get(criterion: &mut Criterion) {
    let mut group = group(criterion, "redb get");
    let folder = stores::folder().unwrap();
    let plain = stores::plain(folder.path()).unwrap();
    let engine_keys: Vec<_> = full_keys().iter().map(|key| KeySpace::Record.key(key)).collect();
    let table = plain.table().unwrap();
    let mut next = engine_keys.iter().cycle();
    group.bench_function("redb", |bencher| {
        bencher.iter(|| table.get(&next.next().unwrap()[..]).unwrap().map(|value| value.value().to_vec()));
    });

    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let path = folder.path().join("layers.redb");
    let backend = runtime.block_on(stash_redb::open(&path, &stash_redb::RedbOptions::default())).unwrap();
    let component = NamespacedStorage::new(&records::alone(), backend.clone());
    runtime.block_on(stores::fill(&component, records::RECORDS_ALONE)).unwrap();
    let mut next = engine_keys.iter().cycle();
    group.bench_function("Engine", |bencher| {
        bencher.iter(|| ready(backend.engine().read(&[&next.next().unwrap()[..]])).unwrap());
    });
    get(&mut group, "EngineBackend", &full_keys(), &backend);
    chain(&mut group, &backend, &CacheConfig::disabled());
}

fn memory_set(criterion: &mut Criterion) {
    let mut group = group(criterion, "memory set");
    let value = records::value(7);
    let id = records::alone();
    let set = |group: &mut Group<'_>, name: &str, storage: &dyn Fn(&str)| line(group, name, &keys(), storage);

    let backend = MemoryBackend::in_memory();
    let namespaced = NamespacedStorage::new(&id, backend.clone());
    set(&mut group, "EngineBackend, NamespacedStorage", &|key| ready(namespaced.set(key, &value[..])).unwrap());
    let cached = NamespacedStorage::new(&id, CachedStorage::new(backend.clone(), CacheConfig::default()));
    set(&mut group, "CachedStorage", &|key| ready(cached.set(key, &value[..])).unwrap());
    let guarded = Guarded::new(cached, StoreLimits::default());
    set(&mut group, "Guarded", &|key| ready(guarded.set(key, &value[..])).unwrap());
    let component = Stash::over(backend, StashConfig::default()).component(&id);
    set(&mut group, "ComponentStore", &|key| ready(component.set(key, &value[..])).unwrap());
}

criterion_group!(layers, cached_get, memory_get, redb_get, memory_set);
criterion_main!(layers);
