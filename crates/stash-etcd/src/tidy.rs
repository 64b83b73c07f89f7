//! What hosts that ended half-way have left: pieces that never counted, journals that nobody put where they belong; and old
//! states, where the store's URL says that they are ours to compact. It must touch nothing that a live host still needs.

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;

use crate::client::Repeat;
use crate::commit::{Committer, decode_begun};
use crate::failure::{CallError, Refusal};
use crate::keys::{prefixed, range};
use crate::proto::{CompactionRequest, Done, RangeRequest, path};
use crate::reader::ReadError;

/// How often it is looked for.
const EVERY: Duration = Duration::from_mins(10);
/// How long a host may take from the beginning of a commit to its end, clocks that differ included.
const LEFT_AFTER: Duration = Duration::from_hours(1);
/// How long a journal may be there before others see to it.
const JOURNAL_AFTER: Duration = Duration::from_secs(5);
/// What is looked at in one request.
const AT_ONCE: i64 = 100;

/// Tidies up for as long as it is run.
pub(crate) async fn keep_tidy(committer: Arc<Committer>) {
    loop {
        if let Err(error) = tidy(&committer, LEFT_AFTER, JOURNAL_AFTER).await {
            tracing::debug!("tidying up in etcd: {error:?}; it is tried again later");
        }
        tokio::time::sleep(EVERY).await;
    }
}

/// Removes pieces that were begun so long ago, and finishes journals that are still there after a while.
pub(crate) async fn tidy(
    committer: &Committer,
    left_after: Duration,
    journal_after: Duration,
) -> Result<(), ReadError> {
    let before = journals(committer).await?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let (mut start, end) = committer.reader.keys.all(b'g');
    loop {
        let part = RangeRequest { limit: AT_ONCE, ..range((start, end.clone()), 0) };
        let answer = committer.reader.range(part).await?;
        for stored in &answer.kvs {
            match decode_begun(&committer.reader.keys, &stored.key, &stored.value) {
                Some((at, _)) if at <= now.saturating_sub(left_after).as_secs() => {
                    committer.remove_begun(&stored.key, &stored.value).await?;
                }
                Some(_) => {}
                None if committer.has_told_of_others.swap(true, Ordering::Relaxed) => {}
                None => tracing::warn!(
                    "etcd has keys under the store's prefix that are not the store's, such as {:?}; they are left alone",
                    String::from_utf8_lossy(&stored.key)
                ),
            }
        }
        let Some(last) = answer.kvs.last().filter(|_| answer.more) else { break };
        start = [&last.key[..], &[0]].concat().into();
    }
    if before.is_empty() {
        return Ok(());
    }
    tokio::time::sleep(journal_after).await;
    for key in journals(committer).await?.intersection(&before) {
        let (key, _) = key;
        committer.finish(committer.reader.keys.owner(key)).await?;
    }
    Ok(())
}

/// The journals that are there now: their marks, and since when.
async fn journals(committer: &Committer) -> Result<HashSet<(Bytes, i64)>, ReadError> {
    let (start, end) = prefixed(&committer.reader.keys.pending(b""));
    let part = RangeRequest { limit: AT_ONCE, keys_only: true, ..range((start, end), 0) };
    let answer = committer.reader.range(part).await?;
    Ok(answer.kvs.into_iter().map(|stored| (stored.key, stored.mod_revision)).collect())
}

/// Compacts what is older than this, that often.
pub(crate) async fn keep_compact(committer: Arc<Committer>, every: Duration) {
    let mut before = None;
    loop {
        match committer.reader.revision().await {
            Ok(now) => {
                if let Some(revision) = before.replace(now) {
                    let request = CompactionRequest { revision };
                    let answer = committer.reader.client.call(path::COMPACT, &request, Repeat::May);
                    match answer.await {
                        // Another host was quicker.
                        Ok(Done {}) | Err(CallError::Refused(Refusal::Compacted)) => {}
                        Err(error) => tracing::warn!("compacting etcd: {error:?}"),
                    }
                }
            }
            Err(error) => tracing::debug!("compacting etcd: {error:?}"),
        }
        tokio::time::sleep(every).await;
    }
}
