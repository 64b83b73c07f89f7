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
mod bookmarks;
mod budget;
mod cache;
mod cached;
mod capabilities;
mod changes;
mod clock;
mod collection;
mod collections;
mod copy;
mod cursor;
pub mod engine;
mod erased;
mod error;
mod ext;
mod feed;
mod format;
mod guarded;
mod history;
mod hooks;
mod id;
pub mod keyspace;
mod lease;
pub mod limits;
mod memory;
mod metadata;
mod mutation;
mod namespace_state;
mod namespaced;
mod pattern;
mod record;
mod scan;
mod snapshot;
mod storage;
mod stream;
mod transaction;
mod typed;
mod value;
mod waiting;
mod yielding;

pub use backend::{EngineBackend, NamespaceUsage, Swept};
pub use batch::{Batch, Check, Cleared, Committed, Condition, Mutation, Outcome, Touched};
pub use bookmarks::Bookmark;
pub use budget::CacheBudget;
pub use cache::{CacheConfig, CacheStats};
pub use cached::{CacheHandle, CachedStorage};
pub use capabilities::{Capabilities, Limits};
pub use changes::{ChangeKind, ChangeRecord, ChangesOf, ChangesPage, ChangesRequest};
pub use clock::{Clock, ManualClock, SystemClock, Timestamp};
pub use collection::{CollectionInfo, CollectionName, CollectionSettings, Retention};
pub use copy::{Copied, CopyEngine, CopyError, CopyOptions, CopyPhase, CopyProgress, CopySnapshot, copy};
pub use cursor::CursorKey;
pub use engine::Engine;
pub use erased::{BoxFuture, DynStorage};
pub use error::StorageError;
pub use ext::{CursorPage, KeyCursorPage, StorageExt};
pub use feed::Feed;
pub use guarded::{Guarded, StoreLimits};
pub use history::{KeyVersion, KeyVersions, VersionsRequest};
pub use hooks::{Changes, CommitHooks};
pub use id::{ComponentId, InvalidComponentId};
pub use lease::Leases;
pub use memory::{MemoryBackend, MemoryEngine};
pub use metadata::{Attributes, Expiry, Metadata, MetadataChange, SetOptions};
pub use mutation::Change;
pub use namespaced::NamespacedStorage;
pub use pattern::Pattern;
pub use record::{Record, Version, envelope_bytes};
pub use scan::{Key, KeyPage, KeyRange, ScanEntry, ScanPage, ScanRequest};
pub use snapshot::{BackendSnapshot, StorageSnapshot};
pub use storage::{ComponentStorage, PlaceName, Usage};
pub use stream::entries;
pub use transaction::{Isolation, Transaction, TransactionIn};
pub use typed::{JSON, StorageKey, Typed};
pub use value::StorageValue;
