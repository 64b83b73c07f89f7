//! Telling other hosts of commits, and hearing of theirs. What is told may be lost: nothing depends on it.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use redis::{PushInfo, PushKind, Value};
use stash_shared::Heard;
use tokio::sync::Notify;

use crate::link::{Failure, Lane};
use crate::servers::Servers;

/// How long to wait before another connection is tried.
const PAUSE: Duration = Duration::from_secs(1);

/// Tells the other hosts.
pub(crate) async fn announce(servers: &Servers, message: &Bytes) {
    let mut command = redis::cmd("PUBLISH");
    command.arg(servers.target().channel()).arg(&message[..]);
    if let Err(failure) = servers.any_on(Lane::Commit, &command).await {
        tracing::debug!("other hosts were not told of a commit: {failure}");
    }
}

/// Hears what other hosts tell, for ever.
pub(crate) async fn listen(servers: Arc<Servers>, heard: Heard) {
    loop {
        if let Err(failure) = follow(&servers, &heard).await {
            tracing::debug!("commits of other hosts are not heard of, but asked for: {failure}");
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Listens until the connection ends.
async fn follow(servers: &Servers, heard: &Heard) -> Result<(), Failure> {
    let ended = Arc::new(Notify::new());
    let (ending, heard) = (Arc::clone(&ended), Arc::clone(heard));
    let pushed = move |push: PushInfo| match push.kind {
        PushKind::Message => {
            // The channel, and what was told.
            if let Some(Value::BulkString(message)) = push.data.last() {
                heard(message);
            }
        }
        PushKind::Disconnection => ending.notify_one(),
        _ => {}
    };
    let (node, _) = servers.any(&redis::cmd("PING")).await?;
    let mut connection = node.connect(pushed).await.map_err(Failure::NotSent)?;
    let channel = servers.target().channel();
    connection.subscribe(channel).await.map_err(|error| Failure::NotSent(error.to_string()))?;
    ended.notified().await;
    Err(Failure::Lost("the connection broke".to_owned()))
}
