//! The storage contract of Stash: what a component's store promises, and the layers that keep the promise.
//!
//! This crate knows no WebAssembly runtime and no file. It never does I/O itself: everything durable happens in an
//! [`Engine`], of which [`MemoryEngine`] is the one kept here. It builds for `wasm32-unknown-unknown`.
//!
//! A component's chain of layers, from the caller down to the engine:
//!
//! ```text
//! Guarded            limits and quota          how much may it store?
//! NamespacedStorage  "app/service-a/001/" +    whose is it?
//! CachedStorage      LRU + TTL, write-through  what is hot?
//! EngineBackend<E>   records, versions, usage  what is true?
//! ```
//!
//! Every layer implements [`ComponentStorage`].
//!
//! # Example
//!
//! ```
//! use stash_core::{
//!     CacheConfig, CachedStorage, ComponentId, ComponentStorage, MemoryBackend, NamespacedStorage,
//! };
//!
//! # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
//! let backend = MemoryBackend::in_memory();
//! let id: ComponentId = "app/service-a/001".parse()?;
//! let cached = CachedStorage::new(backend.clone(), CacheConfig::default());
//! let store = NamespacedStorage::new(&id, cached);
//!
//! store.set("user:123", "Ada").await?;
//! assert_eq!(store.get("user:123").await?.as_deref(), Some(&b"Ada"[..]));
//! // Below the namespace layer the same record has its full name.
//! assert!(backend.exists("app/service-a/001/user:123").await?);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```

mod backend;
mod batch;
mod budget;
mod cache;
mod cached;
mod clock;
pub mod engine;
mod erased;
mod error;
mod format;
mod guarded;
mod id;
pub mod keyspace;
pub mod limits;
mod memory;
mod namespace_state;
mod namespaced;
mod record;
mod storage;
mod value;

pub use backend::{EngineBackend, NamespaceUsage};
pub use batch::{Batch, Changes, Check, CommitHooks, Committed, Mutation};
pub use budget::CacheBudget;
pub use cache::{CacheConfig, CacheStats};
pub use cached::{CacheHandle, CachedStorage};
pub use clock::{Clock, ManualClock, SystemClock};
pub use engine::Engine;
pub use erased::{BoxFuture, DynStorage};
pub use error::StorageError;
pub use guarded::{Guarded, StoreLimits};
pub use id::{ComponentId, InvalidComponentId};
pub use memory::{MemoryBackend, MemoryEngine};
pub use namespaced::NamespacedStorage;
pub use record::{Record, Version};
pub use storage::{ComponentStorage, KeyPage, ListRequest, Usage};
pub use value::StorageValue;
