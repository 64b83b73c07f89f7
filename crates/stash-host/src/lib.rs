//! A durable store of its own for every WebAssembly component, in your Wasmtime program.
//!
//! Open a [`Stash`], lend each guest its storage through [`StorageView`], and [`add_to_linker`]: that is all. A guest
//! imports `stash:storage/store` and calls `get("user:123")`; it never names, sees or can reach a namespace.
//!
//! ```
//! use stash_core::ComponentStorage;
//! use stash_host::{Stash, StashConfig, StorageCtx, StorageCtxView, StorageView, StoreUrl};
//! use wasmtime::component::{Component, Linker, ResourceTable};
//! use wasmtime::{Engine, Store};
//!
//! /// Your own state.
//! struct MyState {
//!     storage: StorageCtx,
//!     table: ResourceTable,
//! }
//!
//! impl StorageView for MyState {
//!     fn storage(&mut self) -> StorageCtxView<'_> {
//!         StorageCtxView { ctx: &mut self.storage, table: &mut self.table }
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async {
//! let stash = Stash::open(&StoreUrl::Memory, StashConfig::default()).await?;
//! let store = stash.component(&"app/greeter/001".parse()?);
//! store.set("greeting", "hello").await?;
//!
//! let engine = Engine::default();
//! let mut linker = Linker::<MyState>::new(&engine);
//! stash_host::add_to_linker(&mut linker)?;
//!
//! // A guest that asks whether it has a greeting.
//! let guest = Component::new(&engine, r#"(component
//!     (import "stash:storage/types@0.1.0" (instance $types
//!         (type $conflict' (record
//!             (field "message" string) (field "key" (option string)) (field "current" (option u64))))
//!         (export "conflict" (type $conflict (eq $conflict')))
//!         (type $error (variant
//!             (case "not-found" string) (case "already-exists" string) (case "quota-exceeded" string)
//!             (case "invalid-key" string) (case "io-error" string) (case "limit-exceeded" string)
//!             (case "unavailable" string) (case "conflict" $conflict) (case "invalid-number" string)
//!             (case "invalid-argument" string) (case "transaction-over" string) (case "not-empty" string)
//!             (case "version-forgotten" string) (case "unsupported" string)))
//!         (export "error" (type (eq $error)))))
//!     (alias export $types "error" (type $error))
//!     (import "stash:storage/store@0.1.0" (instance $store
//!         (alias outer 1 $error (type $outer))
//!         (export "error" (type $e (eq $outer)))
//!         (export "exists" (func (param "key" string) (result (result bool (error $e)))))))
//!     (core module $memory
//!         (memory (export "memory") 1)
//!         (data (i32.const 0) "greeting")
//!         (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 1024))
//!     (core instance $m (instantiate $memory))
//!     (core func $exists (canon lower (func $store "exists")
//!         (memory (core memory $m "memory")) (realloc (core func $m "realloc"))))
//!     (core module $code
//!         (import "host" "exists" (func $exists (param i32 i32 i32)))
//!         (import "host" "memory" (memory 1))
//!         (func (export "has-greeting") (result i32)
//!             (call $exists (i32.const 0) (i32.const 8) (i32.const 512))
//!             (i32.load8_u (i32.const 520))))
//!     (core instance $c (instantiate $code (with "host" (instance
//!         (export "exists" (func $exists)) (export "memory" (memory $m "memory"))))))
//!     (func (export "has-greeting") (result bool) (canon lift (core func $c "has-greeting"))))"#)?;
//!
//! let state = MyState { storage: StorageCtx::new(store), table: ResourceTable::new() };
//! let mut wasm = Store::new(&engine, state);
//! let instance = linker.instantiate_async(&mut wasm, &guest).await?;
//! let has_greeting = instance.get_typed_func::<(), (bool,)>(&mut wasm, "has-greeting")?;
//! assert_eq!(has_greeting.call_async(&mut wasm, ()).await?, (true,));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # }).unwrap();
//! ```
//!
//! Those who have no Wasmtime program of their own use [`Runtime`]: it compiles, links, limits and runs guests.
//!
//! This crate knows WebAssembly and chooses the engine below; what is stored and how is `stash-core`'s.

mod background;
mod bindings;
mod cached_reads;
mod capability_functions;
mod change_functions;
mod code_cache;
mod collection_functions;
mod component_store;
mod convert;
mod copy;
mod failure;
pub mod keyvalue;
mod labels;
pub mod logging;
mod runtime;
pub mod serve;
mod server_url;
pub mod settings;
mod stash;
mod store_functions;
mod transaction_functions;
mod url;
mod view;
mod watch;

pub use component_store::ComponentStore;
pub use copy::{CopyStoresError, copy_store};
pub use keyvalue::KeyValueConfig;
pub use runtime::{
    Allocation, AllowedHost, CodeCache, ExitCode, GuestContext, GuestLimits, HttpFailure, HttpGuest, HttpLimits,
    InvalidHost, Invoked, LoadOptions, MakeContext, Outbound, Program, Runtime, RuntimeConfig, RuntimeError, Watcher,
};
pub use server_url::ServerUrl;
pub use settings::Settings;
pub use stash::{OpenError, Stash, StashConfig};
pub use stash_core;
pub use stash_etcd::EtcdOptions;
pub use stash_files::FilesOptions;
pub use stash_fjall::FjallOptions;
pub use stash_postgres::PostgresOptions;
pub use stash_redb::RedbOptions;
pub use stash_redis::RedisOptions;
pub use stash_sqlite::SqliteOptions;
pub use url::{InvalidStoreUrl, StoreUrl};
pub use view::{StorageCtx, StorageCtxView, StorageView, add_to_linker};
pub use watch::{follow, start_watching};
