//! Commits: one transaction of etcd that compares the heads, and writes. What is too large for that is written before, where
//! nobody sees it, and the transaction makes it count. Nothing may count before all of it is there.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::{Buf, BufMut, Bytes, BytesMut};
use futures_util::{StreamExt, TryStreamExt};
use prost::Message;
use stash_core::StorageError;
use stash_core::keyspace::owner;
use stash_shared::{Commit, CommitError, Expected, Outcome};

use crate::client::Repeat;
use crate::entry::{Blob, Entry, Id, MAX_INLINE_BYTES, Pending, encode_journal, id};
use crate::failure::{CallError, Refusal};
use crate::heads;
use crate::journal::finish_known;
use crate::keys::{Keys, delete, delete_key, get, if_all, piece, prefixed, put};
use crate::nest::{capacity, nested};
use crate::proto::{Compare, Op, PutRequest, RangeRequest, RequestOp, TxnRequest, TxnResponse, path};
use crate::reader::{ReadError, Reader, header_revision};

/// Bytes of a request that are not ours: what etcd puts around it.
const ENVELOPE_BYTES: usize = 8 * 1024;
/// Bytes of a piece at most.
const MAX_PIECE_BYTES: usize = 1024 * 1024;
/// Pieces on their way at once.
const PIECES: usize = 4;
/// How long a commit waits for somebody else's journal before it sees to it itself.
const WAITS: [u64; 5] = [5, 20, 50, 75, 100];

/// How long to wait, in seconds, before another try to remove what a commit has begun: it may have been given up because etcd
/// does not answer.
const CLEAN_PAUSES: [u64; 6] = [1, 2, 4, 8, 16, 32];

/// How commits are made.
#[derive(Debug, Clone)]
pub(crate) struct Limits {
    /// Of one request, as etcd has it.
    pub(crate) request_bytes: usize,
    /// Of one transaction, as etcd has it.
    pub(crate) ops: usize,
    /// Puts every commit into a journal and leaves that to others: for tests, as a host that ends right after it does.
    pub(crate) leaves_journals: bool,
}

impl Limits {
    /// Bytes that a request of ours may have.
    pub(crate) fn ours(&self) -> usize {
        self.request_bytes.saturating_sub(ENVELOPE_BYTES)
    }

    fn inline_bytes(&self) -> usize {
        MAX_INLINE_BYTES.min(self.request_bytes / 4)
    }

    fn piece_bytes(&self) -> usize {
        // Beside its bytes a request has keys.
        MAX_PIECE_BYTES.min(self.request_bytes.saturating_sub(3 * ENVELOPE_BYTES)).max(1)
    }
}

/// What makes commits.
pub(crate) struct Committer {
    pub(crate) reader: Arc<Reader>,
    pub(crate) limits: Limits,
    /// Whether it was said that there are keys among ours that are not: once is enough.
    pub(crate) has_told_of_others: AtomicBool,
}

/// What is to be in pieces before the commit.
struct Pieces {
    /// What their keys begin with.
    prefix: Bytes,
    blob: Blob,
    bytes: Bytes,
    /// Which of what says that pieces were begun names these.
    begun: usize,
}

/// A commit as it is to be sent.
struct Plan {
    id: Id,
    /// What is written, with the values as etcd is to have them.
    writes: Vec<(Bytes, Option<Bytes>)>,
    pieces: Vec<Pieces>,
    /// What says that pieces were begun.
    begun: Vec<(Bytes, Bytes)>,
    /// Namespaces that have had large values, and whether they have after this.
    large: BTreeMap<Bytes, (bool, bool)>,
    journal: Option<Pending>,
}

/// Removes the pieces of a commit that is given up before it is sent, also where its caller has gone. They would stay for an
/// hour otherwise, and tries that time out would fill etcd.
struct Unsent<'a> {
    committer: &'a Arc<Committer>,
    begun: Vec<(Bytes, Bytes)>,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        self.committer.clean(std::mem::take(&mut self.begun));
    }
}

impl Committer {
    pub(crate) async fn commit(self: &Arc<Self>, commit: &Commit) -> Result<Outcome, CommitError> {
        let most = self.limits.ops / 8;
        if commit.owners.len() > most {
            return Err(too_many("the number of components that the commit depends on", commit.owners.len(), most));
        }
        let Some(mut plan) = self.plan(commit).await? else { return Ok(Outcome::Conflict) };
        let mut request = self.request(commit, &plan);
        let is_large =
            request.encoded_len() > self.limits.ours() || plan.writes.len() > capacity(self.limits.ops / 2) / 4;
        if is_large || (self.limits.leaves_journals && !plan.writes.is_empty()) {
            self.put_in_journal(commit, &mut plan);
            request = self.request(commit, &plan);
        }
        if request.encoded_len() > self.limits.ours() || request.compare.len() > self.limits.ops {
            return Err(too_many(
                "the size in bytes of what the commit depends on",
                request.encoded_len(),
                self.limits.ours(),
            ));
        }
        let mut unsent = Unsent { committer: self, begun: plan.begun.clone() };
        match self.upload(commit, &plan).await {
            Ok(true) => {}
            Ok(false) => return Ok(Outcome::Conflict),
            // Pieces count only with the commit, which was not sent.
            Err(CallError::Lost(reason)) => return Err(CommitError::NotSent(reason)),
            Err(error) => return Err(error.into()),
        }
        // From here on it may count, whatever becomes of the caller.
        unsent.begun.clear();
        let outcome = self.send(commit, &plan, &request).await;
        match &outcome {
            // It may be applied yet: others remove its pieces once it can be no more.
            Err(CommitError::Lost(_)) | Ok(Outcome::Applied) => {}
            _ => self.clean(plan.begun),
        }
        outcome
    }

    #[cfg(feature = "testing")]
    pub(crate) async fn begin_only(&self, commit: &Commit) -> Result<(), String> {
        let plan = self.plan(commit).await.map_err(|error| error.to_string())?.ok_or("conflict")?;
        let uploaded = self.upload(commit, &plan).await.map_err(|error| format!("{error:?}"))?;
        uploaded.then_some(()).ok_or_else(|| "conflict".to_owned())
    }

    /// Commits, and then says again what was begun, as a request does that a member passes on late.
    #[cfg(feature = "testing")]
    pub(crate) async fn commit_and_repeat(self: &Arc<Self>, commit: &Commit) -> Result<(), String> {
        let plan = self.plan(commit).await.map_err(|error| error.to_string())?.ok_or("conflict")?;
        self.upload(commit, &plan).await.map_err(|error| format!("{error:?}"))?;
        let outcome = self.send(commit, &plan, &self.request(commit, &plan)).await;
        if outcome != Ok(Outcome::Applied) {
            return Err(format!("{outcome:?}"));
        }
        self.upload(commit, &plan).await.map(drop).map_err(|error| format!("{error:?}"))
    }

    /// What is to be written where; `None` where a namespace has another head than expected.
    async fn plan(&self, commit: &Commit) -> Result<Option<Plan>, CommitError> {
        let mut large = BTreeMap::new();
        let mut unknown = Vec::new();
        for expected in &commit.owners {
            match self.reader.traits.of(&expected.owner, expected.revision) {
                Some(had) => drop(large.insert(expected.owner.clone(), (had, had))),
                None => unknown.push(expected),
            }
        }
        if !unknown.is_empty() {
            let owners: Vec<_> = unknown.iter().map(|expected| expected.owner.clone()).collect();
            self.reader.heads(&owners).await.map_err(not_sent)?;
            for expected in unknown {
                let Some(had) = self.reader.traits.of(&expected.owner, expected.revision) else { return Ok(None) };
                large.insert(expected.owner.clone(), (had, had));
            }
        }
        let random = random()?;
        let (mut writes, mut pieces) = (Vec::with_capacity(commit.writes.len()), Vec::new());
        for (key, value) in &commit.writes {
            let Some(value) = value else {
                writes.push((key.clone(), None));
                continue;
            };
            if value.len() <= self.limits.inline_bytes() {
                writes.push((key.clone(), Some(Entry::encode_inline(value))));
                continue;
            }
            let of = commit.owners.iter().find(|expected| expected.owner == owner(key));
            let revision = of.map_or(0, |expected| expected.head.revision);
            let blob = Blob::new(id(revision, random), value, self.limits.piece_bytes());
            writes.push((key.clone(), Some(Entry::encode_large(&blob, value))));
            pieces.push(Pieces {
                prefix: self.reader.keys.value_pieces(key, &blob.id),
                blob,
                bytes: value.clone(),
                begun: 0,
            });
            if let Some((_, has)) = large.get_mut(owner(key)) {
                *has = true;
            }
        }
        let id = id(self::random()?, random);
        let mut plan = Plan { id, writes, pieces, begun: Vec::new(), large, journal: None };
        self.begin(&mut plan);
        Ok(Some(plan))
    }

    /// Puts the writes into a journal, which the commit then makes count.
    fn put_in_journal(&self, commit: &Commit, plan: &mut Plan) {
        let bytes = encode_journal(&plan.writes);
        let journal = Blob::new(plan.id, &bytes, self.limits.piece_bytes());
        let prefix = self.reader.keys.journal_pieces(&plan.id);
        plan.pieces.push(Pieces { prefix, blob: journal.clone(), bytes, begun: 0 });
        plan.journal = Some(Pending {
            journal,
            owners: commit.owners.iter().map(|expected| (expected.owner.clone(), expected.head.revision)).collect(),
            clears: plan.large.values().any(|(had, _)| *had),
        });
        self.begin(plan);
    }

    /// Says which pieces are begun, in as many keys as needed.
    fn begin(&self, plan: &mut Plan) {
        plan.begun.clear();
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs();
        let mut text = BytesMut::new();
        let mut add = |text: BytesMut| {
            let key = self.reader.keys.begun(&plan.id, plan.begun.len());
            plan.begun.push((key, text.freeze()));
        };
        let mut number = 0;
        for pieces in &mut plan.pieces {
            pieces.begun = number;
            if text.is_empty() {
                text.put_u64(now);
            }
            text.put_u16(u16::try_from(pieces.prefix.len()).unwrap_or(u16::MAX));
            text.put_slice(&pieces.prefix);
            // Removing them is one transaction, which names each twice.
            if text.len() > self.limits.request_bytes / 8 {
                add(std::mem::take(&mut text));
                number += 1;
            }
        }
        if !text.is_empty() {
            add(text);
        }
    }

    /// The transaction that makes a commit count.
    fn request(&self, commit: &Commit, plan: &Plan) -> TxnRequest {
        let keys = &self.reader.keys;
        let (mut compare, mut success, mut failure) = (Vec::new(), Vec::new(), Vec::new());
        let keys_only = |key| Op::Range(RangeRequest { keys_only: true, ..get(key, 0) }).into();
        for expected in &commit.owners {
            compare.push(self.is_at(expected));
            failure.push(keys_only(keys.head(&expected.owner)));
            let (_, has_large) = plan.large.get(&expected.owner).copied().unwrap_or((true, true));
            success.push(put(keys.head(&expected.owner), heads::encode(&expected.head, has_large)));
            // A commit that only keeps others out need not wait for them.
            if !commit.writes.is_empty() {
                compare.push(Compare::version(keys.pending(&expected.owner), 0));
                failure.push(keys_only(keys.pending(&expected.owner)));
            }
            if let Some(journal) = &plan.journal {
                success.push(put(keys.pending(&expected.owner), journal.encode()));
            }
        }
        compare.extend(plan.begun.iter().map(|(key, _)| Compare::is_there(key.clone())));
        if !plan.begun.is_empty() {
            let (start, end) = prefixed(&keys.all_begun(&plan.id));
            success.push(delete(start, end));
        }
        if plan.journal.is_none() {
            let revision =
                |key: &[u8]| commit.owners.iter().find(|it| it.owner == owner(key)).map(|it| it.head.revision);
            let clears =
                |key: &[u8]| plan.large.get(owner(key)).is_none_or(|(had, _)| *had).then(|| revision(key)).flatten();
            let ops = plan.writes.iter().map(|(key, value)| (key, value.clone(), clears(key)));
            let ops = ops.flat_map(|(key, value, clears)| self.reader.write_ops(key, value, clears)).collect();
            success.extend(nested(ops, self.limits.ops, success.len()));
        }
        TxnRequest { compare, success, failure }
    }

    /// Writes all pieces; `false` where a namespace has another head than expected, so that they can never count.
    async fn upload(&self, commit: &Commit, plan: &Plan) -> Result<bool, CallError> {
        let client = &self.reader.client;
        if plan.pieces.is_empty() {
            return Ok(true);
        }
        // The commit moves this head when it removes what is said here. Without the comparison a copy of the request that a
        // member passes on after that would say again that the pieces were only begun, and they would be tidied up.
        let unmoved: Vec<_> = commit.owners.first().into_iter().map(|expected| self.is_at(expected)).collect();
        for (key, text) in &plan.begun {
            let request = if_all(unmoved.clone(), vec![put(key.clone(), text.clone())]);
            let answer: TxnResponse = client.call(path::TXN, &request, Repeat::May).await?;
            if !answer.succeeded {
                return Ok(false);
            }
        }
        let pieces =
            plan.pieces.iter().flat_map(|pieces| (0..pieces.blob.pieces()).map(move |number| (pieces, number)));
        let requests = pieces.map(|(pieces, number)| {
            let start = number * pieces.blob.piece_bytes;
            let end = pieces.bytes.len().min(start + pieces.blob.piece_bytes);
            let value = pieces.bytes.slice(start..end);
            let put = Op::Put(PutRequest { key: piece(&pieces.prefix, number), value }).into();
            // Whoever removes what was begun keeps out what is still on its way.
            let begun = plan.begun.get(pieces.begun).map(|(key, _)| Compare::is_there(key.clone()));
            if_all(begun.into_iter().collect(), vec![put])
        });
        let sent = futures_util::stream::iter(requests.collect::<Vec<_>>()).map(|request| async move {
            let answer: TxnResponse = client.call(path::TXN, &request, Repeat::May).await?;
            if answer.succeeded { Ok(()) } else { Err(CallError::NotSent("its pieces were removed again".to_owned())) }
        });
        sent.buffer_unordered(PIECES).try_collect::<()>().await?;
        Ok(true)
    }

    /// That a namespace has the head that the commit expects.
    fn is_at(&self, expected: &Expected) -> Compare {
        let version = i64::try_from(expected.revision).unwrap_or(i64::MAX);
        Compare::version(self.reader.keys.head(&expected.owner), version)
    }

    /// Makes it count.
    async fn send(
        self: &Arc<Self>,
        commit: &Commit,
        plan: &Plan,
        request: &TxnRequest,
    ) -> Result<Outcome, CommitError> {
        // Nobody else would see to it.
        let waits: &[u64] = if self.limits.leaves_journals { &[] } else { &WAITS };
        let mut waits = waits.iter();
        loop {
            let answer: TxnResponse = match self.reader.client.call(path::TXN, request, Repeat::MustNot).await {
                Ok(answer) => answer,
                Err(CallError::Refused(Refusal::NoSpace)) => return Err(self.without_space(commit).await),
                Err(error) => return Err(error.into()),
            };
            if answer.succeeded {
                for expected in &commit.owners {
                    let (_, has_large) = plan.large.get(&expected.owner).copied().unwrap_or((true, true));
                    self.reader.traits.remember(&expected.owner, expected.head.revision, has_large);
                }
                if let Some(pending) = &plan.journal {
                    self.finish_ours(plan, pending, header_revision(answer.header.as_ref())).await;
                }
                return Ok(Outcome::Applied);
            }
            let mut answers = answer.responses.into_iter().map(|answer| answer.range.unwrap_or_default());
            let mut pending = None;
            for expected in &commit.owners {
                let head = answers.next().unwrap_or_default();
                let version = head.kvs.first().map_or(0, |kv| kv.version);
                if u64::try_from(version) != Ok(expected.revision) {
                    return Ok(Outcome::Conflict);
                }
                if !commit.writes.is_empty() && !answers.next().unwrap_or_default().kvs.is_empty() {
                    pending = Some(&expected.owner);
                }
            }
            // Or our pieces were removed again.
            let Some(owner) = pending else { return Ok(Outcome::Conflict) };
            match waits.next() {
                Some(milliseconds) => tokio::time::sleep(Duration::from_millis(*milliseconds)).await,
                None => {
                    let finished = self.finish(owner).await;
                    finished.map_err(not_sent)?;
                }
            }
        }
    }

    /// The first time that etcd has no room it applies what it refuses.
    async fn without_space(&self, commit: &Commit) -> CommitError {
        let refused = Refusal::NoSpace.storage_error();
        let Some(expected) = commit.owners.first() else { return CommitError::Refused(refused) };
        match self.reader.heads(std::slice::from_ref(&expected.owner)).await.as_deref() {
            Ok([head]) if head.revision <= expected.revision => CommitError::Refused(refused),
            _ => CommitError::Lost(refused.to_string()),
        }
    }

    /// Puts what is in our journal where it belongs. It counts already, so whatever happens is not the caller's concern.
    async fn finish_ours(self: &Arc<Self>, plan: &Plan, pending: &Pending, revision: i64) {
        let writes = Arc::new(plan.writes.iter().cloned().collect());
        self.reader.journals.know(plan.id, revision, &writes);
        if self.limits.leaves_journals {
            return;
        }
        let (committer, pending) = (Arc::clone(self), pending.clone());
        // Not with the caller, who may be gone half-way.
        let finishing = self.reader.client.handle().spawn(async move {
            if let Err(error) = finish_known(&committer.reader, &committer.limits, &pending, &writes, revision).await {
                tracing::warn!(
                    "a large commit is stored, but not yet where it belongs; the next one does that: {error:?}"
                );
            }
        });
        // Where the runtime has ended, others do it.
        drop(finishing.await);
    }

    /// Sees to a namespace's journal, whoever's it is.
    pub(crate) async fn finish(&self, owner: &[u8]) -> Result<(), ReadError> {
        let answer = self.reader.range(get(self.reader.keys.pending(owner), 0)).await?;
        let Some(stored) = answer.kvs.first() else { return Ok(()) };
        let pending = Pending::decode(stored.value.clone())?;
        let writes = self.reader.journal(&pending, header_revision(answer.header.as_ref())).await?;
        finish_known(&self.reader, &self.limits, &pending, &writes, stored.mod_revision).await?;
        Ok(())
    }

    /// Removes the pieces of a commit that does not count and cannot any more; nobody waits for that.
    fn clean(self: &Arc<Self>, begun: Vec<(Bytes, Bytes)>) {
        if begun.is_empty() {
            return;
        }
        let committer = Arc::clone(self);
        self.reader.client.handle().spawn(async move {
            for (key, text) in &begun {
                let mut pauses = CLEAN_PAUSES.iter();
                while let Err(error) = committer.remove_begun(key, text).await {
                    let again = matches!(error, CallError::NotSent(_) | CallError::Lost(_));
                    let Some(seconds) = pauses.next().filter(|_| again) else {
                        tracing::debug!("what a commit had begun is left for later: {error:?}");
                        break;
                    };
                    tokio::time::sleep(Duration::from_secs(*seconds)).await;
                }
            }
        });
    }

    /// Removes pieces that were begun, unless they count by now. That what says so is still there is all that needs to be
    /// compared: the commit that makes them count removes it, and after that it cannot be put again, since putting it compares
    /// a head that the commit has moved.
    pub(crate) async fn remove_begun(&self, key: &Bytes, text: &Bytes) -> Result<(), CallError> {
        let Some((_, prefixes)) = decode_begun(&self.reader.keys, key, text) else { return Ok(()) };
        let ops: Vec<RequestOp> = prefixes.iter().map(prefixed).map(|(start, end)| delete(start, end)).collect();
        let mut success = vec![delete_key(key.clone())];
        success.extend(nested(ops, self.limits.ops, 1));
        let request = if_all(vec![Compare::is_there(key.clone())], success);
        let _: TxnResponse = self.reader.client.call(path::TXN, &request, Repeat::May).await?;
        Ok(())
    }
}

/// What says that pieces were begun: when, in seconds since 1970, and what their keys begin with. `None` where it is none of
/// ours, whatever it is.
pub(crate) fn decode_begun(keys: &Keys, key: &[u8], text: &Bytes) -> Option<(u64, Vec<Bytes>)> {
    let mut rest = text.clone();
    let at = rest.try_get_u64().ok()?;
    let mut prefixes = Vec::new();
    while !rest.is_empty() {
        let length = usize::from(rest.try_get_u16().ok()?);
        let prefix = (length <= rest.len()).then(|| rest.split_to(length))?;
        prefixes.push(prefix);
    }
    let is_ours = keys.is_begun(key) && prefixes.iter().all(|prefix| keys.is_of_pieces(prefix));
    (is_ours && !prefixes.is_empty()).then_some((at, prefixes))
}

impl Reader {
    /// Writes an entry, and where `clears` gives a revision, removes the pieces that it had before.
    pub(crate) fn write_ops(&self, key: &[u8], value: Option<Bytes>, clears: Option<u64>) -> Vec<RequestOp> {
        let stored = self.keys.entry(key);
        let write = match value {
            Some(value) => put(stored, value),
            None => delete_key(stored),
        };
        let clear = clears.map(|revision| self.keys.clear_pieces(key, revision));
        std::iter::once(write).chain(clear).collect()
    }
}

/// An error before anything was sent.
fn not_sent(error: ReadError) -> CommitError {
    match error {
        ReadError::Call(CallError::Lost(reason) | CallError::NotSent(reason)) => CommitError::NotSent(reason),
        ReadError::Call(CallError::Refused(Refusal::Compacted)) => {
            CommitError::NotSent("what was read was compacted".to_owned())
        }
        ReadError::Call(CallError::Refused(refusal)) => CommitError::Refused(refusal.storage_error()),
        ReadError::Storage(error) => CommitError::Refused(error),
    }
}

fn too_many(what: &'static str, actual: usize, limit: usize) -> CommitError {
    let number = |number: usize| u64::try_from(number).unwrap_or(u64::MAX);
    let (actual, limit) = (number(actual), number(limit));
    CommitError::Refused(StorageError::LimitExceeded { what, actual, limit, instead: "commit less at once" })
}

fn random() -> Result<u64, CommitError> {
    let bytes = crate::client::random().map_err(|error| CommitError::NotSent(error.to_string()))?;
    Ok(u64::from_be_bytes(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_ours_is_not_taken_for_something_begun() {
        let keys = Keys::new("p/");
        let (key, id) = (keys.begun(&id(1, 2), 0), id(1, 2));
        let text = |prefixes: &[Bytes]| {
            let mut text = BytesMut::new();
            text.put_u64(7);
            for prefix in prefixes {
                text.put_u16(u16::try_from(prefix.len()).unwrap());
                text.put_slice(prefix);
            }
            text.freeze()
        };
        let ours = [keys.value_pieces(b"key", &id), keys.journal_pieces(&id)];
        let whole = text(&ours);
        assert_eq!(decode_begun(&keys, &key, &whole), Some((7, ours.to_vec())));
        for other in ["p/", "p/e", "q/", ""] {
            assert_eq!(decode_begun(&keys, &key, &text(&[ours[0].clone(), other.into()])), None, "{other:?}");
        }
        assert_eq!(decode_begun(&keys, b"p/green/e", &whole), None);
        // What ends between two of them is whole too.
        let first = text(&ours[..1]).len();
        for cut in (0..whole.len()).filter(|cut| *cut != first) {
            assert_eq!(decode_begun(&keys, &key, &whole.slice(..cut)), None, "{cut}");
        }
    }
}
