//! Hearing of other hosts' commits: a watch on the heads. What it misses is asked for anyway; it must never wait for a
//! listener.

use std::sync::Arc;
use std::time::Duration;

use stash_shared::HeadHeard;

use crate::client::Shared;
use crate::heads::head_of;
use crate::keys::{Keys, prefixed};
use crate::proto::{WatchCreateRequest, WatchRequest};

/// How long to wait before a watch that has ended is begun again.
const PAUSE: Duration = Duration::from_millis(500);

/// Tells of new heads for as long as it is run.
pub(crate) async fn follow(client: Shared, keys: Keys, heard: HeadHeard) {
    let (key, range_end) = prefixed(&keys.head(b""));
    loop {
        let create = Some(WatchCreateRequest { key: key.clone(), range_end: range_end.clone() });
        if let Err(error) = once(&client, &keys, WatchRequest { create }, &heard).await {
            tracing::debug!("the watch on other hosts' commits ended: {error}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn once(client: &Shared, keys: &Keys, watch: WatchRequest, heard: &HeadHeard) -> Result<(), String> {
    let mut answers = client.watch(watch).await.map_err(|error| format!("{error:?}"))?;
    while let Some(answer) = answers.message().await.map_err(|status| status.to_string())? {
        for stored in answer.events.iter().filter(|event| event.kind == 0).filter_map(|event| event.kv.as_ref()) {
            heard(keys.owner(&stored.key), &head_of(Some(stored)));
        }
        if answer.canceled {
            return Err(answer.cancel_reason);
        }
    }
    Ok(())
}

/// Follows on the runtime of the client, until that ends.
pub(crate) fn spawn(client: &Shared, keys: Keys, heard: HeadHeard) {
    client.handle().spawn(follow(Arc::clone(client), keys, heard));
}
