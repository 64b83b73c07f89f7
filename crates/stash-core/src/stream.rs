//! Lists as streams: page after page, read when the next record is asked for. A stream must hold nothing of the engine
//! between two pages.

use std::collections::VecDeque;

use futures_core::Stream;

use crate::error::StorageError;
use crate::scan::{ScanEntry, ScanRequest};
use crate::storage::ComponentStorage;

/// The records of a list, one by one, in its order; [`ScanRequest::limit`] is the size of the pages that are read.
///
/// Each page is one consistent state; between two pages the stream sees what has changed, as a cursor does. It ends
/// after the first error. Dropping it ends the list.
///
/// ```
/// use futures_util::TryStreamExt;
/// # use stash_core::{Batch, ComponentStorage, MemoryBackend, NamespacedStorage, ScanRequest, entries};
/// # tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(async {
/// # let store = NamespacedStorage::new(&"app/shop/1".parse()?, MemoryBackend::in_memory());
/// store.commit(Batch::new().set("user:1", "Ada").set("user:2", "Grace")).await?;
/// let users = entries(&store, ScanRequest::prefix("user:").with_values());
/// let names: Vec<_> = users.map_ok(|entry| entry.record.value).try_collect().await?;
/// assert_eq!(names, ["Ada".into(), "Grace".into()]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// # }).unwrap();
/// ```
pub fn entries<S: ComponentStorage>(
    storage: &S,
    request: ScanRequest,
) -> impl Stream<Item = Result<ScanEntry, StorageError>> + Send + '_ {
    let state = (Some(request), VecDeque::new());
    futures_util::stream::try_unfold(state, move |(mut next, mut ready)| async move {
        loop {
            if let Some(entry) = ready.pop_front() {
                return Ok(Some((entry, (next, ready))));
            }
            let Some(mut request) = next.take() else { return Ok(None) };
            let page = storage.scan(&request).await?;
            ready.extend(page.entries);
            next = page.resume.map(|resume| {
                request.after = Some(resume.into());
                request
            });
        }
    })
}
