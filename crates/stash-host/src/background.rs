//! What a store does by itself: removes what has expired, and ends transactions that were forgotten. Nothing that anybody
//! can see may depend on when it runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use stash_core::{ComponentId, Engine, EngineBackend, Leases};
use tracing::{debug, warn};

/// Commits of one round, after which those who wait get the writer for a moment.
const COMMITS_A_ROUND: usize = 16;
/// How long the store rests between two rounds while there is more to do.
const BREATH: Duration = Duration::from_millis(20);
/// Whatever is asked for, it rests so long: it must not keep a processor busy.
const SHORTEST: Duration = Duration::from_millis(10);
/// Transactions may be older than they should be by so much.
const LONGEST_LOOK: Duration = Duration::from_secs(1);

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
    /// Of components that have, or had, transactions open.
    transactions: HashMap<ComponentId, Leases>,
}

impl Background {
    /// Starts it for a store. Rounds begin `interval` after the one before has ended; transactions that may be open for
    /// `transaction_age` are looked at more often, where that is needed.
    pub(crate) fn start<E: Engine>(
        backend: EngineBackend<E>,
        interval: Duration,
        transaction_age: Duration,
    ) -> Arc<Self> {
        let pace = Pace::new(interval, transaction_age);
        let shared = Arc::new(Shared::default());
        let work = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("stash-background".to_owned()).spawn(move || {
            run(&backend, &work, pace);
        });
        // Without it all answers stay right; only space is not given back.
        let thread = thread.inspect_err(|error| warn!("what expires will not be removed: {error}")).ok();
        Arc::new(Self { shared, thread: Mutex::new(thread) })
    }

    /// Sees to it that the component's transactions end when they are too old.
    pub(crate) fn watch(&self, id: &ComponentId, leases: &Leases) {
        self.shared.watch(id, leases);
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

impl Shared {
    fn watch(&self, id: &ComponentId, leases: &Leases) {
        let mut state = self.state.lock();
        // Those of a chain that was replaced have none open: it would not have been idle.
        if !state.transactions.get(id).is_some_and(|watched| watched.is(leases)) {
            state.transactions.insert(id.clone(), leases.clone());
        }
    }

    /// Ends the transactions that are too old.
    fn end_old(&self) {
        let watched: Vec<Leases> = self.state.lock().transactions.values().cloned().collect();
        // Outside the lock, which beginning a transaction takes: what is let go of here is freed here.
        for leases in watched {
            leases.end_old();
        }
        // Not those with none open now: whoever holds them may be about to begin one.
        self.state.lock().transactions.retain(|_, leases| leases.is_shared());
    }
}

/// When there is something to do.
#[derive(Debug, Clone, Copy)]
struct Pace {
    /// Between two rounds of removing what has expired.
    sweep: Duration,
    /// Between two looks for transactions that are too old.
    look: Duration,
}

impl Pace {
    fn new(interval: Duration, transaction_age: Duration) -> Self {
        let look = (transaction_age / 4).clamp(SHORTEST, LONGEST_LOOK);
        Self { sweep: interval.max(SHORTEST), look }
    }
}

fn run<E: Engine>(backend: &EngineBackend<E>, shared: &Shared, pace: Pace) {
    let runtime = tokio::runtime::Builder::new_current_thread().build();
    let Ok(runtime) = runtime.inspect_err(|error| warn!("what expires will not be removed: {error}")) else { return };
    let (mut rested, mut rest) = (Instant::now(), pace.sweep);
    let mut damaged = None;
    loop {
        {
            let mut state = shared.state.lock();
            if !state.ended {
                shared.changed.wait_for(&mut state, rest.saturating_sub(rested.elapsed()).min(pace.look));
            }
            if state.ended {
                return;
            }
        }
        shared.end_old();
        if rested.elapsed() < rest {
            continue;
        }
        rest = pace.sweep;
        match runtime.block_on(backend.sweep(COMMITS_A_ROUND)) {
            Ok(swept) => {
                if swept.removed > 0 {
                    debug!(removed = swept.removed, "removed what has expired");
                }
                // Once, and not every second.
                if swept.damaged.is_some() && swept.damaged != damaged {
                    let reason = swept.damaged.as_deref().unwrap_or_default();
                    warn!(reason, "a component's data is damaged; what has expired of it is not removed");
                    damaged.clone_from(&swept.damaged);
                }
                if swept.more {
                    rest = BREATH.min(pace.sweep);
                }
            }
            Err(error) => debug!(%error, "what has expired could not be removed now"),
        }
        rested = Instant::now();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use stash_core::{Isolation, ManualClock, MemoryBackend, NamespacedStorage, Transaction};

    #[tokio::test]
    async fn a_transaction_that_begins_after_a_look_is_ended_too() {
        let clock = ManualClock::default();
        let id: ComponentId = "app/a/1".parse().unwrap();
        let storage = NamespacedStorage::new(&id, MemoryBackend::in_memory());
        let leases = Leases::new(Arc::new(clock.clone()), Duration::from_secs(5));
        let shared = Shared::default();
        shared.watch(&id, &leases);
        // Between `leases()` and the beginning.
        shared.end_old();
        let forgotten = Transaction::begin(&storage, Isolation::Snapshot, &leases).await.unwrap();
        shared.end_old();
        assert_eq!(leases.open(), 1);
        clock.advance(Duration::from_secs(6));
        shared.end_old();
        assert_eq!(leases.open(), 0, "nobody has asked it anything");
        // A chain in the place of that one.
        let other = Leases::new(Arc::new(clock.clone()), Duration::from_secs(5));
        shared.watch(&id, &other);
        let another = Transaction::begin(&storage, Isolation::Snapshot, &other).await.unwrap();
        clock.advance(Duration::from_secs(6));
        shared.end_old();
        assert_eq!(other.open(), 0);
        drop((other, another, leases, forgotten));
        shared.end_old();
        assert!(shared.state.lock().transactions.is_empty(), "nobody can begin one");
    }

    #[test]
    fn transactions_are_looked_at_whenever_sweeping_is() {
        let hour = Duration::from_hours(1);
        for (interval, age, sweep, look) in [
            (hour, hour, hour, Duration::from_secs(1)),
            (hour, Duration::from_secs(2), hour, Duration::from_millis(500)),
            (Duration::ZERO, Duration::ZERO, Duration::from_millis(10), Duration::from_millis(10)),
        ] {
            let pace = Pace::new(interval, age);
            assert_eq!((pace.sweep, pace.look), (sweep, look));
        }
    }
}
