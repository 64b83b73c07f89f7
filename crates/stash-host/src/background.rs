//! What a store does by itself: removes what has expired, and ends transactions that were forgotten. Nothing that anybody
//! can see may depend on when it runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use stash_core::{ComponentId, Engine, EngineBackend, Leases};
use tracing::{debug, warn};

/// Commits of one round, after which those who wait get the writer for a moment.
const COMMITS_A_ROUND: usize = 16;
/// How long the store rests between two rounds while there is more to do.
const BREATH: Duration = Duration::from_millis(20);

/// The thread behind an open store. Dropping the last handle ends it, and waits until it has let go of the store.
pub(crate) struct Background {
    shared: Arc<Shared>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Default)]
struct State {
    ended: bool,
    /// Components that have, or had, transactions open.
    transactions: HashMap<ComponentId, Leases>,
}

impl Background {
    /// Starts it for a store. Rounds begin `interval` after the one before has ended.
    pub(crate) fn start<E: Engine>(backend: EngineBackend<E>, interval: Duration) -> Arc<Self> {
        let shared = Arc::new(Shared::default());
        let work = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("stash-background".to_owned()).spawn(move || {
            run(&backend, &work, interval);
        });
        // Without it all answers stay right; only space is not given back.
        let thread = thread.inspect_err(|error| warn!("what expires will not be removed: {error}")).ok();
        Arc::new(Self { shared, thread: Mutex::new(thread) })
    }

    /// Sees to it that the component's transactions end when they are too old.
    pub(crate) fn watch(&self, id: &ComponentId, leases: &Leases) {
        let mut state = self.shared.state.lock();
        if !state.transactions.contains_key(id) {
            state.transactions.insert(id.clone(), leases.clone());
        }
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.shared.state.lock().ended = true;
        self.shared.changed.notify_all();
        if let Some(thread) = self.thread.get_mut().take()
            && thread.join().is_err()
        {
            warn!("the thread that removes what has expired ended by a panic");
        }
    }
}

fn run<E: Engine>(backend: &EngineBackend<E>, shared: &Shared, interval: Duration) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime.inspect_err(|error| warn!("what expires will not be removed: {error}")) else { return };
    let mut rest = interval;
    loop {
        {
            let mut state = shared.state.lock();
            if !state.ended {
                shared.changed.wait_for(&mut state, rest);
            }
            if state.ended {
                return;
            }
            state.transactions.retain(|_, leases| leases.end_old());
        }
        rest = interval;
        match runtime.block_on(backend.sweep(COMMITS_A_ROUND)) {
            Ok(swept) => {
                if swept.removed > 0 {
                    debug!(removed = swept.removed, "removed what has expired");
                }
                if swept.more {
                    rest = BREATH.min(interval);
                }
            }
            Err(error) => debug!(%error, "what has expired could not be removed now"),
        }
    }
}
