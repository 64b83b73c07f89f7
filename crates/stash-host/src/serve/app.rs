//! One component that is served: what is loaded of it now, and under what name it is counted. Replacing it must never
//! touch a request that is under way.

use std::sync::{Arc, OnceLock};

use parking_lot::RwLock;
use stash_core::ComponentId;
use tokio::sync::Semaphore;

use crate::runtime::HttpGuest;

/// A component that answers requests; it can be replaced while it does. Clones are the same one.
#[derive(Debug, Clone)]
pub struct App {
    inner: Arc<Inner>,
}

#[derive(Debug)]
struct Inner {
    id: ComponentId,
    name: String,
    guest: RwLock<HttpGuest>,
    /// Made by the server, which knows how many there are.
    turns: OnceLock<Arc<Semaphore>>,
}

impl App {
    /// The component `id`, which `guest` is loaded from.
    pub fn new(id: ComponentId, guest: HttpGuest) -> Self {
        let name = id.to_string();
        Self { inner: Arc::new(Inner { id, name, guest: RwLock::new(guest), turns: OnceLock::new() }) }
    }

    /// Whose storage it has.
    pub fn id(&self) -> &ComponentId {
        &self.inner.id
    }

    /// The id as text.
    pub fn name(&self) -> &str {
        &self.inner.name
    }

    /// What answers requests from now on. Those under way end with what they began with.
    pub fn replace(&self, guest: HttpGuest) {
        *self.inner.guest.write() = guest;
    }

    /// The turns of its requests, of which there are `most` where the server has not shared any out.
    pub(super) fn turns(&self, most: usize) -> &Arc<Semaphore> {
        self.inner.turns.get_or_init(|| Arc::new(Semaphore::new(most)))
    }

    /// Its requests take these turns.
    pub(super) fn share(&self, turns: &Arc<Semaphore>) {
        self.inner.turns.get_or_init(|| Arc::clone(turns));
    }

    /// What answers a request that begins now.
    pub(super) fn guest(&self) -> HttpGuest {
        self.inner.guest.read().clone()
    }
}
