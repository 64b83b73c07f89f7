//! Following a component's changes and telling a watcher of each: after the commit, at least once, in the order of commits,
//! going on after a restart where it was. A watcher that is slow or traps must delay nobody but itself, and must not stop
//! at one change for ever; what is the host's failure must not cost it a change.

mod anew;
mod progress;

use std::time::Duration;

use stash_core::{ChangeRecord, ChangesRequest, ComponentStorage, StorageError, StorageExt};
use tracing::{info, warn};

use crate::component_store::ComponentStore;
use crate::runtime::{RuntimeError, Told, Watcher};
use progress::{Progress, load, present, save};

/// Changes read at once; so many may be told again after a restart.
const PAGE: usize = 100;

/// How often a watcher is told of one change that it fails at, and how long it rests before it is told again.
const ATTEMPTS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];

/// How long to rest where the host cannot call a watcher, at first and at last.
const WAIT: Duration = Duration::from_millis(100);
const MAX_WAIT: Duration = Duration::from_secs(30);

/// How long to rest after an error of the store's.
const REST: Duration = Duration::from_secs(1);

/// How long to wait for a commit before looking again.
const LOOK: Duration = Duration::from_secs(30);

/// Keeps the changes of a component for its watcher, from now on where there was none before; [`follow`] does so too, when
/// it is first polled.
///
/// # Errors
/// Those of a commit.
pub async fn start_watching(store: &ComponentStore) -> Result<(), StorageError> {
    begin(store).await.map(drop)
}

/// Tells `watcher` of every change of `store`'s component, from where it was when it was told of one last; where it was
/// never told of any, from now on. It never ends: drop the future to stop.
///
/// Changes are kept for the watcher meanwhile, as far as [`stash_core::limits`] allow. Where some were forgotten, it is
/// told how each key that has changed since is now, and then of changes again: of each key in the order of its changes,
/// though not of all of them. Deletions that were forgotten are not told, since nothing is left that tells of them.
///
/// A change at which the watcher fails is told again, and left after some attempts. Where the host cannot call it, because
/// others have taken all instances or it does not start, it is not left: what comes after waits.
///
/// Two of these at once for one component tell of each change twice.
pub async fn follow(watcher: Watcher, store: ComponentStore) {
    let mut at = None;
    loop {
        match step(&store, at, &watcher).await {
            Ok(reached) => at = Some(reached),
            Err(error) => {
                warn!(component = %store.id(), %error, "a watcher cannot read what has changed; trying again");
                at = None;
                tokio::time::sleep(REST).await;
            }
        }
    }
}

/// Who is told of changes.
trait Tell: Sync {
    /// Tells of one change.
    fn tell(&self, told: Told<'_>) -> impl Future<Output = Result<(), RuntimeError>> + Send;
}

impl Tell for Watcher {
    async fn tell(&self, told: Told<'_>) -> Result<(), RuntimeError> {
        Self::tell(self, told).await
    }
}

/// Tells of one page, or waits for one.
async fn step<T: Tell>(store: &ComponentStore, at: Option<Progress>, watcher: &T) -> Result<Progress, StorageError> {
    let at = match at {
        Some(at) => at,
        None => begin(store).await?,
    };
    if let Some(anew) = &at.anew {
        return anew::go_on(store, &at, anew, watcher).await;
    }
    let request = ChangesRequest { limit: PAGE, ..ChangesRequest::since(at.through) };
    let page = match store.next_changes(&request, tokio::time::sleep(LOOK)).await {
        Err(StorageError::ChangesForgotten { .. }) => return anew::begin(store, &at).await,
        page => page?,
    };
    let reached = Progress { through: page.through, seen: at.seen.max(page.through), anew: None };
    if page.changes.is_empty() {
        return Ok(reached);
    }
    for change in &page.changes {
        if !(at.may_be_outdated(change.version) && is_outdated(store, change).await?) {
            tell_of(store, change, watcher).await;
        }
    }
    save(store, &reached).await?;
    Ok(reached)
}

/// Where the watcher was, or the present: where changes were kept before there was a watcher, those are not its.
async fn begin(store: &ComponentStore) -> Result<Progress, StorageError> {
    store.start_changes().await?;
    let now = present(store).await?;
    match load(store).await? {
        // Another store, in whose lists its place means nothing.
        Some(at) if at.through > now => Ok(Progress { anew: None, ..at }),
        Some(at) => Ok(at),
        None => {
            let at = Progress::following(now);
            save(store, &at).await?;
            Ok(at)
        }
    }
}

/// Whether a later change of the same key is in the log: of that the watcher was told already, or will be.
async fn is_outdated(store: &ComponentStore, change: &ChangeRecord) -> Result<bool, StorageError> {
    let now = store.in_collection(change.collection.as_ref())?.read_one(&change.key).await?;
    Ok(match now {
        Some(record) => record.version > change.version,
        None => change.record.is_some(),
    })
}

async fn tell_of<T: Tell>(store: &ComponentStore, change: &ChangeRecord, watcher: &T) {
    let value = change.record.as_ref().map(|record| &*record.value);
    until_told(store, Told { bucket: change.collection.as_ref(), key: &change.key, value }, watcher).await;
}

/// Tells of one change, again where the watcher fails, and gives up in the end: the next change must be told too.
async fn until_told<T: Tell>(store: &ComponentStore, told: Told<'_>, watcher: &T) {
    for rest in ATTEMPTS {
        tokio::time::sleep(rest).await;
        match when_possible(store, told, watcher).await {
            Ok(()) => return,
            Err(error) => info!(component = %store.id(), key = told.key, "a watcher failed: {error}"),
        }
    }
    warn!(component = %store.id(), key = told.key, "a watcher failed {} times at a change and goes on to the next", ATTEMPTS.len());
}

/// Tells of one change, again for as long as it is the host that fails: with every instance in use, say. That ends, or the
/// watcher can be told of nothing.
async fn when_possible<T: Tell>(store: &ComponentStore, told: Told<'_>, watcher: &T) -> Result<(), RuntimeError> {
    let mut wait = WAIT;
    loop {
        match watcher.tell(told).await {
            Err(error) if !error.is_of_the_guest() => {
                warn!(component = %store.id(), key = told.key, %error, "a watcher cannot be called; trying again");
            }
            outcome => return outcome,
        }
        tokio::time::sleep(wait).await;
        wait = MAX_WAIT.min(wait * 2);
    }
}

#[cfg(test)]
mod tests;
