//! Following a component's changes and telling a watcher of each: after the commit, at least once, in the order of commits,
//! going on after a restart where it was. A watcher that is slow or traps must delay nobody but itself, and must not stop
//! at one change for ever.

use std::time::Duration;

use stash_core::{
    ChangeRecord, ChangesRequest, CollectionName, ComponentStorage, ScanRequest, StorageError, StorageExt, Version,
};
use tracing::{info, warn};

use crate::component_store::ComponentStore;
use crate::runtime::{RuntimeError, Told, Watcher};

/// Changes read at once; so many may be told again after a restart.
const PAGE: usize = 100;

/// How often a watcher is told of one change that it fails at, and how long it rests before it is told again.
const ATTEMPTS: [Duration; 4] =
    [Duration::ZERO, Duration::from_millis(100), Duration::from_secs(1), Duration::from_secs(5)];

/// How long to rest after an error of the store's.
const REST: Duration = Duration::from_secs(1);

/// How long to wait for a commit before looking again.
const LOOK: Duration = Duration::from_secs(30);

/// The name of a component's bookmark.
const BOOKMARK: &str = "keyvalue-watcher";

/// Keeps the changes of a component for its watcher, from now on where there was none before; [`follow`] does so too, when
/// it is first polled.
///
/// # Errors
/// Those of a commit.
pub async fn start_watching(store: &ComponentStore) -> Result<(), StorageError> {
    begin(store).await.map(drop)
}

/// Tells `watcher` of every change of `store`'s component, from where it was when it was told of one last; where it was
/// never told of any, from now on. It never ends: drop the future to stop. Changes are kept for the watcher meanwhile, as
/// far as [`stash_core::limits`] allow; where some were forgotten, it is told of all that there is.
///
/// Two of these at once for one component tell of each change twice.
pub async fn follow(watcher: Watcher, store: ComponentStore) {
    let mut at = None;
    loop {
        match step(&store, at, &watcher).await {
            Ok(through) => at = Some(through),
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
async fn step<T: Tell>(store: &ComponentStore, at: Option<Version>, watcher: &T) -> Result<Version, StorageError> {
    let at = match at {
        Some(at) => at,
        None => begin(store).await?,
    };
    let request = ChangesRequest { limit: PAGE, ..ChangesRequest::since(at) };
    let page = match store.next_changes(&request, tokio::time::sleep(LOOK)).await {
        Err(StorageError::ChangesForgotten { .. }) => return anew(store, watcher).await,
        page => page?,
    };
    if page.changes.is_empty() {
        return Ok(page.through);
    }
    for change in &page.changes {
        tell_of(store, change, watcher).await;
    }
    store.set_bookmark(BOOKMARK, page.through).await?;
    Ok(page.through)
}

/// Where the watcher was, or the present.
async fn begin(store: &ComponentStore) -> Result<Version, StorageError> {
    let kept_since = store.start_changes().await?;
    if let Some(at) = store.bookmark(BOOKMARK).await? {
        return Ok(at);
    }
    // Where changes were kept before there was a watcher, those are not its.
    let request = ChangesRequest { limit: 1, values: false, ..ChangesRequest::since(kept_since) };
    let mut at = store.changes("", &request).await?;
    while at.more {
        at = store.changes("", &ChangesRequest { since: at.through, limit: 10_000, ..request.clone() }).await?;
    }
    store.set_bookmark(BOOKMARK, at.through).await?;
    Ok(at.through)
}

/// Tells of all that there is, because some changes were forgotten.
async fn anew<T: Tell>(store: &ComponentStore, watcher: &T) -> Result<Version, StorageError> {
    warn!(component = %store.id(), "changes were forgotten before a watcher was told; it is told of all that there is");
    let since = store.start_changes().await?;
    let mut places: Vec<Option<CollectionName>> = vec![None];
    places.extend(store.collections(None).await?.into_iter().map(|info| info.name));
    for name in places {
        let place = store.in_collection(name.as_ref())?;
        let mut request = ScanRequest { limit: PAGE, ..ScanRequest::default().with_values() };
        loop {
            let page = place.scan(&request).await?;
            for entry in &page.entries {
                let told = Told { bucket: name.as_ref(), key: &entry.key, value: Some(&entry.record.value) };
                until_told(store, told, watcher).await;
            }
            match page.resume {
                Some(resume) => request.after = Some(resume.into()),
                None => break,
            }
        }
    }
    store.set_bookmark(BOOKMARK, since).await?;
    Ok(since)
}

async fn tell_of<T: Tell>(store: &ComponentStore, change: &ChangeRecord, watcher: &T) {
    let value = change.record.as_ref().map(|record| &*record.value);
    until_told(store, Told { bucket: change.collection.as_ref(), key: &change.key, value }, watcher).await;
}

/// Tells of one change, again where the watcher fails, and gives up in the end: the next change must be told too.
async fn until_told<T: Tell>(store: &ComponentStore, told: Told<'_>, watcher: &T) {
    for rest in ATTEMPTS {
        tokio::time::sleep(rest).await;
        match watcher.tell(told).await {
            Ok(()) => return,
            Err(error) => info!(component = %store.id(), key = told.key, "a watcher failed: {error}"),
        }
    }
    warn!(component = %store.id(), key = told.key, "a watcher failed {} times at a change and goes on to the next", ATTEMPTS.len());
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Stash, StashConfig, StoreUrl};
    use parking_lot::Mutex;
    use stash_core::{Batch, CollectionSettings};
    use std::sync::atomic::{AtomicU32, Ordering};

    /// Writes down what it is told, and fails as often as it is to.
    #[derive(Default)]
    struct Listener {
        told: Mutex<Vec<String>>,
        fails: AtomicU32,
    }

    impl Tell for Listener {
        async fn tell(&self, told: Told<'_>) -> Result<(), RuntimeError> {
            let bucket = told.bucket.map(ToString::to_string).unwrap_or_default();
            let value = told.value.map(|value| String::from_utf8_lossy(value).into_owned());
            self.told.lock().push(format!("{bucket}/{}={}", told.key, value.as_deref().unwrap_or("-")));
            match self.fails.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |fails| fails.checked_sub(1)) {
                Ok(_) => Err(RuntimeError::Deadline { guest: "listener".into(), seconds: 0.0 }),
                Err(_) => Ok(()),
            }
        }
    }

    impl Listener {
        fn heard(&self) -> Vec<String> {
            std::mem::take(&mut *self.told.lock())
        }
    }

    async fn store() -> ComponentStore {
        let stash = Stash::open(&StoreUrl::Memory, StashConfig::default()).await.unwrap();
        stash.component(&"app/watched/1".parse().unwrap())
    }

    #[tokio::test]
    async fn changes_are_told_in_order_from_the_first_look_on_and_after_a_restart() {
        let (store, listener) = (store().await, Listener::default());
        store.set("before", "1").await.unwrap();
        let at = begin(&store).await.unwrap();

        store.set("k", "1").await.unwrap();
        store.set("k", "2").await.unwrap();
        store.create_collection(&"c".parse().unwrap(), &CollectionSettings::default()).await.unwrap();
        store.in_collection(Some(&"c".parse().unwrap())).unwrap().set("x", "3").await.unwrap();
        store.commit(Batch::new().delete("k")).await.unwrap();
        let at = step(&store, Some(at), &listener).await.unwrap();
        assert_eq!(listener.heard(), ["/k=1", "/k=2", "c/x=3", "/k=-"]);

        // Nobody listens meanwhile.
        store.set("meanwhile", "4").await.unwrap();
        assert_eq!(store.bookmark(BOOKMARK).await.unwrap(), Some(at));
        step(&store, None, &listener).await.unwrap();
        assert_eq!(listener.heard(), ["/meanwhile=4"]);
        assert_eq!(store.usage("").await.unwrap().key_count, 3, "a bookmark counts for nothing");
        assert_eq!(store.collections(None).await.unwrap().len(), 1);
    }

    #[tokio::test(start_paused = true)]
    async fn a_change_that_a_watcher_fails_at_is_told_again_and_then_left() {
        let (store, listener) = (store().await, Listener::default());
        let at = begin(&store).await.unwrap();
        store.set("k", "1").await.unwrap();
        listener.fails.store(2, Ordering::SeqCst);
        let at = step(&store, Some(at), &listener).await.unwrap();
        assert_eq!(listener.heard(), ["/k=1"; 3]);

        store.set("poison", "1").await.unwrap();
        store.set("next", "1").await.unwrap();
        listener.fails.store(u32::try_from(ATTEMPTS.len()).unwrap(), Ordering::SeqCst);
        step(&store, Some(at), &listener).await.unwrap();
        let mut heard = listener.heard();
        assert_eq!(heard.pop().as_deref(), Some("/next=1"));
        assert_eq!(heard, ["/poison=1"; ATTEMPTS.len()]);
    }

    #[tokio::test]
    async fn what_was_forgotten_is_told_as_it_is_now() {
        let (store, listener) = (store().await, Listener::default());
        let at = begin(&store).await.unwrap();
        store.set("k", "1").await.unwrap();
        store.stop_changes().await.unwrap();
        store.set("k", "2").await.unwrap();
        let at = step(&store, Some(at), &listener).await.unwrap();
        assert_eq!(listener.heard(), ["/k=2"]);
        store.set("k", "3").await.unwrap();
        step(&store, Some(at), &listener).await.unwrap();
        assert_eq!(listener.heard(), ["/k=3"]);
    }
}
