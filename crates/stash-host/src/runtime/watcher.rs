//! Calling a guest that exports `wasi:keyvalue/watcher`, in whichever version: one change, one call. What it does with a
//! change is its own; that it traps or hangs must reach nobody else.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use stash_core::ComponentStorage;
use wasmtime::Store;
use wasmtime::component::Resource;

use super::http::MakeContext;
use super::run::{not_started, trap};
use super::{GuestState, Program, Runtime, RuntimeError};
use crate::keyvalue::bindings::{watch_draft, watch_draft2, watch_wasmcloud};
use crate::keyvalue::bucket::Bucket;
use crate::view::StorageView;
use stash_core::CollectionName;

/// A guest that is told of changes. Clones are the same guest.
#[derive(Clone)]
pub struct Watcher {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    program: Program,
    make_context: MakeContext,
    timeout: Duration,
    kind: Kind,
}

enum Kind {
    Draft(watch_draft::WatchServicePre<GuestState>),
    Draft2(watch_draft2::WatchServicePre<GuestState>),
    Wasmcloud(watch_wasmcloud::WatchServicePre<GuestState>),
}

impl Kind {
    fn interface(&self) -> &'static str {
        match self {
            Self::Draft(_) => "wasi:keyvalue/watcher@0.2.0-draft",
            Self::Draft2(_) => "wasi:keyvalue/watcher@0.2.0-draft2",
            Self::Wasmcloud(_) => "wasmcloud:keyvalue/watcher@0.2.0",
        }
    }
}

/// What a watcher is told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Told<'a> {
    /// The bucket, which is a collection; `None` for the default one.
    pub(crate) bucket: Option<&'a CollectionName>,
    pub(crate) key: &'a str,
    /// What was set; `None` where the key was deleted.
    pub(crate) value: Option<&'a [u8]>,
}

impl Runtime {
    /// The guest as one that is told of changes; `None` where it does not export `wasi:keyvalue/watcher` or
    /// `wasmcloud:keyvalue/watcher`. A call may take `timeout`. Of a guest that exports several of these the first is told, in
    /// the order `wasi:keyvalue` 0.2.0-draft, 0.2.0-draft2, `wasmcloud:keyvalue`, and a warning says so: they are one
    /// guest's ways to be told of the same changes.
    pub fn watcher(&self, program: &Program, timeout: Duration, make_context: MakeContext) -> Option<Watcher> {
        let mut kinds = kinds(program).into_iter();
        let kind = kinds.next()?;
        for other in kinds {
            let (told, other) = (kind.interface(), other.interface());
            tracing::warn!("{} exports {other} too, which is not told of changes: {told} is", program.name);
        }
        let (runtime, program) = (self.clone(), program.clone());
        Some(Watcher { inner: Arc::new(Inner { runtime, program, make_context, timeout, kind }) })
    }
}

impl Program {
    /// Whether it is told of changes; see [`Runtime::watcher`].
    pub fn is_watcher(&self) -> bool {
        !kinds(self).is_empty()
    }
}

/// Every watcher that a guest exports.
fn kinds(program: &Program) -> Vec<Kind> {
    let pre = || program.pre.clone();
    let draft = watch_draft::WatchServicePre::new(pre()).ok().map(Kind::Draft);
    let draft2 = watch_draft2::WatchServicePre::new(pre()).ok().map(Kind::Draft2);
    let wasmcloud = watch_wasmcloud::WatchServicePre::new(pre()).ok().map(Kind::Wasmcloud);
    [draft, draft2, wasmcloud].into_iter().flatten().collect()
}

impl Watcher {
    /// What the guest is called in errors: its file.
    pub fn name(&self) -> &str {
        &self.inner.program.name
    }

    /// Tells the guest of one change, in an instance of its own; not of one in a bucket that it may not open.
    pub(crate) async fn tell(&self, told: Told<'_>) -> Result<(), RuntimeError> {
        let guest = self.name();
        let limit = self.inner.timeout;
        tokio::time::timeout(limit, self.call(told))
            .await
            .unwrap_or_else(|_| Err(RuntimeError::Deadline { guest: guest.to_owned(), seconds: limit.as_secs_f64() }))
    }

    async fn call(&self, told: Told<'_>) -> Result<(), RuntimeError> {
        let inner = &*self.inner;
        let guest = self.name();
        let start = |error: wasmtime::Error| not_started(guest, &error);
        let trapped = |error: wasmtime::Error| trap(guest, &error);
        let mut store = inner.runtime.new_store(&inner.program, (inner.make_context)());
        // A bucket that it may not open it is not handed either.
        if !store.data_mut().storage().ctx.keyvalue().allows_collection(told.bucket) {
            return Ok(());
        }
        let bucket = hand_out(&mut store, told.bucket).map_err(trapped)?;
        let Told { key, value, .. } = told;
        match &inner.kind {
            Kind::Draft(pre) => {
                let service = pre.instantiate_async(&mut store).await.map_err(start)?;
                let watcher = service.wasi_keyvalue_watcher();
                match value {
                    Some(value) => watcher.call_on_set(&mut store, bucket, key, value).await.map_err(trapped),
                    None => watcher.call_on_delete(&mut store, bucket, key).await.map_err(trapped),
                }
            }
            Kind::Draft2(pre) => {
                let service = pre.instantiate_async(&mut store).await.map_err(start)?;
                let watcher = service.wasi_keyvalue_watcher();
                match value {
                    Some(value) => watcher.call_on_set(&mut store, bucket, key, value).await.map_err(trapped),
                    None => watcher.call_on_delete(&mut store, bucket, key).await.map_err(trapped),
                }
            }
            Kind::Wasmcloud(pre) => {
                let service = pre.instantiate_async(&mut store).await.map_err(start)?;
                let watcher = service.wasmcloud_keyvalue_watcher();
                let (key, value) = (key.to_owned(), value.map(<[u8]>::to_vec));
                let call = store.run_concurrent(async |store| match value {
                    Some(value) => watcher.call_on_set(store, bucket, key, value).await,
                    None => watcher.call_on_delete(store, bucket, key).await,
                });
                call.await.flatten().map_err(trapped)
            }
        }
    }
}

/// A handle on the bucket that changed, which the guest then owns.
fn hand_out(store: &mut Store<GuestState>, name: Option<&CollectionName>) -> wasmtime::Result<Resource<Bucket>> {
    let view = store.data_mut().storage();
    let bucket = Bucket { store: view.ctx.store().in_collection(name)? };
    Ok(view.table.push(bucket)?)
}

impl fmt::Debug for Watcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Watcher").field("program", &self.inner.program.name).finish_non_exhaustive()
    }
}
