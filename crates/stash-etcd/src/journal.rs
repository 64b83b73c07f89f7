//! What is in journals is put where it belongs, by whoever made them or by anybody who meets them. Each step counts only as
//! long as the journal does, so that one that comes late does nothing.

use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt};
use prost::Message;
use stash_core::keyspace::owner;

use crate::client::Repeat;
use crate::commit::Limits;
use crate::entry::{Pending, Writes};
use crate::failure::CallError;
use crate::keys::{delete, delete_key, if_all, prefixed};
use crate::nest::nested;
use crate::proto::{Compare, RequestOp, TxnResponse, path};
use crate::reader::Reader;

/// Operations of one step: etcd does nothing else while it applies them.
const STEP_OPS: usize = 1_000;
/// Steps on their way at once.
const STEPS: usize = 4;

/// Puts what is in a journal where it belongs, and removes the journal, which was written by `revision`.
pub(crate) async fn finish_known(
    reader: &Reader,
    limits: &Limits,
    pending: &Pending,
    writes: &Writes,
    revision: i64,
) -> Result<(), CallError> {
    let Some((first, _)) = pending.owners.first() else { return Ok(()) };
    let counts = || vec![Compare::mod_revision(reader.keys.pending(first), revision)];
    let send = |ops: Vec<RequestOp>| {
        let request = if_all(counts(), nested(ops, limits.ops, 0));
        async move {
            let answer: TxnResponse = reader.client.call(path::TXN, &request, Repeat::May).await?;
            Ok::<_, CallError>(answer.succeeded)
        }
    };
    let steps = futures_util::stream::iter(steps(reader, limits, pending, writes));
    let done: Vec<bool> = steps.map(&send).buffer_unordered(STEPS).try_collect().await?;
    // Where it does not count any more, somebody else was quicker.
    if done.into_iter().all(|counted| counted) {
        let mut last: Vec<_> = pending.owners.iter().map(|(owner, _)| delete_key(reader.keys.pending(owner))).collect();
        let (start, end) = prefixed(&reader.keys.journal_pieces(&pending.journal.id));
        last.push(delete(start, end));
        send(last).await?;
    }
    reader.journals.forget(pending.journal.id);
    Ok(())
}

/// The writes of a journal, in parts that fit into requests.
fn steps(reader: &Reader, limits: &Limits, pending: &Pending, writes: &Writes) -> Vec<Vec<RequestOp>> {
    // What nesting and the comparison add.
    let most_bytes = limits.ours() - limits.ours() / 8;
    let most_ops = STEP_OPS.min(crate::nest::capacity(limits.ops / 2) / 4).max(1);
    let (mut steps, mut step, mut bytes) = (Vec::new(), Vec::new(), 0);
    for (key, value) in writes {
        let clears = if pending.clears { revision_of(pending, key) } else { None };
        let ops = reader.write_ops(key, value.clone(), clears);
        let size: usize = ops.iter().map(|op| op.encoded_len() + 8).sum();
        if !step.is_empty() && (bytes + size > most_bytes || step.len() + ops.len() > most_ops) {
            steps.push(std::mem::take(&mut step));
            bytes = 0;
        }
        bytes += size;
        step.extend(ops);
    }
    steps.push(step);
    steps
}

fn revision_of(pending: &Pending, key: &Bytes) -> Option<u64> {
    pending.owners.iter().find(|(of, _)| of == owner(key)).map(|(_, revision)| *revision)
}
