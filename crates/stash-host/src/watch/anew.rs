//! Telling a watcher how everything is, where the log has forgotten changes before it was told. It goes page by page, and
//! takes as long as the watcher does; meanwhile the log may forget again. No key may be told in an older state after a
//! newer one, and none that was told already is told again unless it has changed.

use stash_core::{ComponentStorage, ScanRequest, StorageError, StorageExt, Version};
use tracing::warn;

use super::progress::{Anew, Progress, present, save};
use super::{PAGE, Tell, until_told};
use crate::component_store::ComponentStore;
use crate::runtime::Told;

/// Where the telling begins, for a watcher whose next change was forgotten.
pub(super) async fn begin(store: &ComponentStore, at: &Progress) -> Result<Progress, StorageError> {
    warn!(
        component = %store.id(),
        "changes were forgotten before a watcher was told; it is told how all that has changed since is now"
    );
    store.start_changes().await?;
    // Before the first page: what changes from here on is in the log.
    let through = present(store).await?;
    // A version that the component has not reached is of another store, of whose changes nothing is known here.
    let since = if at.through > through { Version::default() } else { at.through };
    let at = Progress { anew: Some(Anew { since, ..Anew::default() }), ..Progress::following(through) };
    save(store, &at).await?;
    Ok(at)
}

/// Tells of one page, and keeps where it ends.
pub(super) async fn go_on<T: Tell>(
    store: &ComponentStore,
    at: &Progress,
    anew: &Anew,
    watcher: &T,
) -> Result<Progress, StorageError> {
    let Anew { since, collection, after } = anew;
    let place = store.in_collection(collection.as_ref())?;
    let page =
        place.scan(&ScanRequest { limit: PAGE, after: after.clone(), ..ScanRequest::default().with_values() }).await?;
    for entry in page.entries.iter().filter(|entry| entry.record.version > *since) {
        let told = Told { bucket: collection.as_ref(), key: &entry.key, value: Some(&entry.record.value) };
        until_told(store, told, watcher).await;
    }
    let next = match page.resume {
        Some(last) => Some(Anew { after: Some(last.into()), ..anew.clone() }),
        None => {
            let names = store.collections(None).await?.into_iter().filter_map(|info| info.name);
            let next = names.filter(|name| collection.as_ref().is_none_or(|told| name > told)).min();
            next.map(|name| Anew { since: *since, collection: Some(name), after: None })
        }
    };
    let at = match next {
        Some(anew) => Progress { anew: Some(anew), ..at.clone() },
        // Some keys were told as they are now, and their changes come from the log again.
        None => Progress { through: at.through, seen: present(store).await?, anew: None },
    };
    save(store, &at).await?;
    Ok(at)
}
