use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;
use stash_core::{Batch, CollectionSettings, Version};

use super::progress::Anew;
use super::*;
use crate::{Stash, StashConfig, StoreUrl};

/// Writes down what it is told, and fails as often as it is to.
#[derive(Default)]
struct Listener {
    told: Mutex<Vec<String>>,
    fails: AtomicU32,
    /// How often the host cannot call it.
    busy: AtomicU32,
}

/// Whether there was one left.
fn take(left: &AtomicU32) -> bool {
    left.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |left| left.checked_sub(1)).is_ok()
}

impl Tell for Listener {
    async fn tell(&self, told: Told<'_>) -> Result<(), RuntimeError> {
        let bucket = told.bucket.map(ToString::to_string).unwrap_or_default();
        let value = told.value.map(|value| String::from_utf8_lossy(value).into_owned());
        self.told.lock().push(format!("{bucket}/{}={}", told.key, value.as_deref().unwrap_or("-")));
        if take(&self.busy) {
            return Err(RuntimeError::Start { guest: "listener".into(), reason: "every instance is in use".into() });
        }
        if take(&self.fails) {
            return Err(RuntimeError::Deadline { guest: "listener".into(), seconds: 0.0 });
        }
        Ok(())
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
    assert_eq!(load(&store).await.unwrap(), Some(at));
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

#[tokio::test(start_paused = true)]
async fn a_change_waits_for_as_long_as_the_host_cannot_call_the_watcher() {
    let (store, listener) = (store().await, Listener::default());
    let at = begin(&store).await.unwrap();
    store.set("k", "1").await.unwrap();
    store.set("next", "1").await.unwrap();
    listener.busy.store(100, Ordering::SeqCst);
    // Its own failures count as ever.
    listener.fails.store(1, Ordering::SeqCst);
    let started = tokio::time::Instant::now();
    step(&store, Some(at), &listener).await.unwrap();
    let mut heard = listener.heard();
    assert_eq!(heard.pop().as_deref(), Some("/next=1"));
    assert_eq!(heard, ["/k=1"; 102]);
    assert!(started.elapsed() < MAX_WAIT * 100, "it does not wait longer and longer");
}

/// Goes on until there is nothing more to tell; where `restarts`, from what is stored each time.
async fn settle(store: &ComponentStore, restarts: bool, listener: &Listener) -> Vec<String> {
    let mut at = None;
    loop {
        let reached = step(store, at.clone().filter(|_| !restarts), listener).await.unwrap();
        if reached.anew.is_none() && Some(&reached) == at.as_ref() {
            return listener.heard();
        }
        at = Some(reached);
    }
}

/// The log forgets all that it has.
async fn forget(store: &ComponentStore) {
    store.stop_changes().await.unwrap();
    store.start_changes().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_was_forgotten_is_told_as_it_is_now_and_nothing_older_after_it() {
    let (store, listener) = (store().await, Listener::default());
    store.set("before", "1").await.unwrap();
    begin(&store).await.unwrap();
    store.set("k", "1").await.unwrap();
    store.set("gone", "1").await.unwrap();
    store.delete("gone").await.unwrap();
    forget(&store).await;
    for value in ["3", "4", "5"] {
        store.set("k", value).await.unwrap();
    }
    assert_eq!(settle(&store, false, &listener).await, ["/k=5"]);
    for value in ["6", "7"] {
        store.set("k", value).await.unwrap();
    }
    assert_eq!(settle(&store, false, &listener).await, ["/k=6", "/k=7"]);
    assert_eq!(load(&store).await.unwrap().unwrap().anew, None);
}

/// Sets these keys, more than one page of them, which the log then forgets.
async fn fill(store: &ComponentStore, keys: std::ops::Range<usize>) {
    let batch = keys.fold(Batch::new(), |batch, n| batch.set(format!("k{n:03}"), "1"));
    store.commit(batch).await.unwrap();
    forget(store).await;
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_everything_is_told_is_told_from_the_log() {
    for restarts in [false, true] {
        let (store, listener) = (store().await, Listener::default());
        begin(&store).await.unwrap();
        fill(&store, 0..PAGE + 50).await;
        let mut at = step(&store, None, &listener).await.unwrap();
        at = step(&store, Some(at), &listener).await.unwrap();
        assert_eq!(listener.heard().len(), PAGE);

        let (early, late) = ("k000", format!("k{:03}", PAGE + 7));
        for (key, value) in [(late.as_str(), "2"), (&late, "3"), (early, "2")] {
            store.set(key, value).await.unwrap();
        }
        store.delete(early).await.unwrap();
        store.set(early, "4").await.unwrap();
        store.delete("k001").await.unwrap();
        // The second page, after which the log brings what is newest of each key.
        step(&store, Some(at), &listener).await.unwrap();
        let page = listener.heard();
        assert_eq!(page.len(), 50);
        assert!(page.contains(&format!("/{late}=3")), "{page:?}");
        let expected = [format!("/{late}=3"), format!("/{early}=4"), "/k001=-".to_owned()];
        assert_eq!(settle(&store, restarts, &listener).await, expected, "{restarts}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_telling_goes_on_after_a_restart_and_where_the_log_forgets_meanwhile() {
    let (store, listener) = (store().await, Listener::default());
    begin(&store).await.unwrap();
    let inside = store.open_or_create_collection(&"c".parse().unwrap(), &CollectionSettings::default()).await.unwrap();
    inside.set("x", "1").await.unwrap();
    fill(&store, 0..PAGE * 2 + 50).await;
    let last = format!("k{:03}", PAGE * 2 + 49);

    // From what is stored each time: it begins, then tells of two pages.
    for pages in [0, 1, 1] {
        step(&store, None, &listener).await.unwrap();
        assert_eq!(listener.heard().len(), pages * PAGE);
    }
    store.set("k000", "2").await.unwrap();
    store.set(&last, "2").await.unwrap();
    forget(&store).await;
    step(&store, None, &listener).await.unwrap();
    let third = listener.heard();
    assert_eq!((third.len(), third.last()), (50, Some(&format!("/{last}=2"))));
    // The collection, and then what has changed since it began: nothing else again.
    assert_eq!(settle(&store, true, &listener).await, ["c/x=1".to_owned(), "/k000=2".into(), format!("/{last}=2")]);
}

#[tokio::test(start_paused = true)]
async fn a_place_in_another_store_means_nothing() {
    let (store, listener) = (store().await, Listener::default());
    begin(&store).await.unwrap();
    store.set("k", "1").await.unwrap();
    let place = Anew { since: Version(500), collection: None, after: Some("m".into()) };
    for anew in [None, Some(place)] {
        save(&store, &Progress { anew, ..Progress::following(Version(1000)) }).await.unwrap();
        assert_eq!(settle(&store, true, &listener).await, ["/k=1"]);
    }
}
