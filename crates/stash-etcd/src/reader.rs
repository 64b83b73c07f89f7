//! Reading: keys, ranges and heads of one state, with what is still in journals laid over them, and large values put
//! together. It must never mix two revisions in one answer.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Collect, Page, Scan};
use stash_core::keyspace::owner;
use stash_shared::{Fetched, Head, ServerError, Wanted};

use crate::client::{Repeat, Shared};
use crate::entry::{Blob, Entry, Pending, Writes, damaged, decode_journal};
use crate::failure::{CallError, Refusal};
use crate::heads::{Traits, has_large, head_of};
use crate::journals::Journals;
use crate::keys::{Keys, get, piece, range};
use crate::proto::{DESCEND, Op, RangeRequest, RangeResponse, TxnRequest, TxnResponse, path};

/// Entries of a range that are asked for at first, and later at once: with [`MAX_INLINE_BYTES`](crate::entry::MAX_INLINE_BYTES)
/// each they are 16 MiB and 64 MiB.
const FIRST_ENTRIES: usize = 128;
const MORE_ENTRIES: usize = 512;
/// The same where only keys are asked for.
const KEYS: usize = 10_000;
/// Pieces of a large value that are asked for at once.
const PIECES: usize = 8;

/// Journals that may be there at once: every read asks which there are. A host leaves one only when it ends half-way.
const JOURNALS: usize = 4096;

/// Why something could not be read.
#[derive(Debug)]
pub(crate) enum ReadError {
    /// etcd did not answer, or refused.
    Call(CallError),
    /// What it has is not ours, or damaged.
    Storage(StorageError),
}

impl From<CallError> for ReadError {
    fn from(error: CallError) -> Self {
        Self::Call(error)
    }
}

impl From<StorageError> for ReadError {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

impl From<ReadError> for ServerError {
    fn from(error: ReadError) -> Self {
        match error {
            ReadError::Call(error) => error.into(),
            ReadError::Storage(error) => Self::Refused(error),
        }
    }
}

/// What reads a store.
pub(crate) struct Reader {
    pub(crate) client: Shared,
    pub(crate) keys: Keys,
    /// Operations in one transaction.
    pub(crate) max_ops: usize,
    pub(crate) traits: Traits,
    pub(crate) journals: Journals,
}

/// The state that an answer is of.
struct State {
    revision: i64,
    /// What is still in journals, of the namespaces that were asked for.
    over: Arc<Writes>,
}

impl Reader {
    pub(crate) fn new(client: Shared, keys: Keys, max_ops: usize) -> Self {
        Self { client, keys, max_ops, traits: Traits::default(), journals: Journals::default() }
    }

    /// The revision that the store has now.
    pub(crate) async fn revision(&self) -> Result<i64, CallError> {
        Ok(header_revision(self.range(get(self.keys.mark(), 0)).await?.header.as_ref()))
    }

    pub(crate) async fn range(&self, range: RangeRequest) -> Result<RangeResponse, CallError> {
        self.client.call(path::RANGE, &range, Repeat::May).await
    }

    /// Several ranges of one state; the first transaction says which, where `revision` is 0.
    async fn ranges(
        &self,
        mut ranges: Vec<RangeRequest>,
        revision: i64,
    ) -> Result<(Vec<RangeResponse>, i64), CallError> {
        let mut revision = revision;
        let mut answers = Vec::with_capacity(ranges.len());
        while !ranges.is_empty() {
            let rest = ranges.split_off(ranges.len().min(self.max_ops));
            let ops = ranges.into_iter().map(|range| Op::Range(RangeRequest { revision, ..range }).into());
            let request = TxnRequest { success: ops.collect(), ..TxnRequest::default() };
            let expected = request.success.len();
            let answer: TxnResponse = self.client.call(path::TXN, &request, Repeat::May).await?;
            if revision == 0 {
                revision = header_revision(answer.header.as_ref());
            }
            if answer.responses.len() != expected {
                return Err(CallError::Lost("etcd answered less than it was asked for".to_owned()));
            }
            answers.extend(answer.responses.into_iter().map(|answer| answer.range.unwrap_or_default()));
            ranges = rest;
        }
        Ok((answers, revision))
    }

    /// Which journals there are.
    fn pending(&self) -> RangeRequest {
        // etcd says itself whether there are more.
        let limit = i64::try_from(JOURNALS).unwrap_or(i64::MAX);
        RangeRequest { limit, ..range(self.keys.all(b'j'), 0) }
    }

    /// The heads of namespaces, each as it is at some moment.
    pub(crate) async fn heads(&self, owners: &[Bytes]) -> Result<Vec<Head>, ReadError> {
        let mut heads = Vec::with_capacity(owners.len());
        for owners in owners.chunks(self.max_ops) {
            let ranges = owners.iter().map(|owner| get(self.keys.head(owner), 0)).collect();
            let (answers, _) = self.ranges(ranges, 0).await?;
            heads.extend(owners.iter().zip(&answers).map(|(owner, answer)| self.head(owner, answer)));
        }
        Ok(heads)
    }

    fn head(&self, owner: &Bytes, answer: &RangeResponse) -> Head {
        let stored = answer.kvs.first();
        let head = head_of(stored);
        self.traits.remember(owner, head.revision, has_large(stored));
        head
    }

    /// The values of some keys at a revision, or now where it is 0; `None` where they have more bytes than allowed.
    pub(crate) async fn values(
        &self,
        keys: &[&[u8]],
        revision: i64,
        max_bytes: usize,
    ) -> Result<Option<Vec<Option<Bytes>>>, ReadError> {
        let mut revision = revision;
        let mut over = Arc::<Writes>::default();
        let (mut entries, mut bytes) = (Vec::with_capacity(keys.len()), 0_usize);
        // One transaction at a time: what is too much is not fetched to its end.
        for (n, some) in keys.chunks(self.max_ops.saturating_sub(1).max(1)).enumerate() {
            let mut ranges: Vec<_> = some.iter().map(|key| get(self.keys.entry(key), 0)).collect();
            if n == 0 {
                ranges.push(self.pending());
            }
            let (mut answers, at) = self.ranges(ranges, revision).await?;
            revision = at;
            if n == 0 {
                let pending = answers.pop().unwrap_or_default();
                over = self.over(&pending, at, |of| keys.iter().any(|key| owner(key) == of)).await?;
            }
            for (key, answer) in some.iter().zip(answers) {
                let entry = Self::entry(key, answer, &over)?;
                bytes = bytes.saturating_add(entry.as_ref().map_or(0, Entry::length));
                if bytes > max_bytes {
                    return Ok(None);
                }
                entries.push(entry);
            }
        }
        let mut values = Vec::with_capacity(keys.len());
        for (key, entry) in keys.iter().zip(entries) {
            values.push(match entry {
                Some(entry) => Some(self.value(key, entry, usize::MAX, revision).await?),
                None => None,
            });
        }
        Ok(Some(values))
    }

    /// An entry, as the answer and journals have it.
    fn entry(key: &[u8], answer: RangeResponse, over: &Writes) -> Result<Option<Entry>, StorageError> {
        if let Some(written) = over.get(key) {
            return written.as_deref().map(|stored| Entry::decode(Bytes::copy_from_slice(stored))).transpose();
        }
        let stored = answer.kvs.into_iter().next().map(|kv| kv.value);
        // It is a part of the whole answer, as it is of a journal, which it would keep in memory.
        stored.map(|stored| Entry::decode(Bytes::copy_from_slice(&stored))).transpose()
    }

    /// A page of a range at a revision, or now where it is 0.
    pub(crate) async fn page(&self, scan: &Scan, revision: i64) -> Result<Page, ReadError> {
        if scan.is_empty() {
            return Ok(Page::default());
        }
        let ranges = vec![self.first(scan), self.pending()];
        let (mut answers, revision) = self.ranges(ranges, revision).await?;
        let pending = answers.pop().unwrap_or_default();
        let over = self.over(&pending, revision, |of| may_have(scan, of)).await?;
        self.page_from(scan, answers.pop().unwrap_or_default(), &State { revision, over }).await
    }

    /// Keys, ranges and heads of one state.
    pub(crate) async fn fetch(&self, wanted: &Wanted) -> Result<Fetched, ReadError> {
        let scans = wanted.scans.iter().filter(|scan| !scan.is_empty());
        let keys = wanted.keys.iter().map(|key| get(self.keys.entry(key), 0));
        let heads = wanted.owners.iter().map(|owner| get(self.keys.head(owner), 0));
        let ranges = std::iter::once(self.pending());
        let ranges = ranges.chain(heads).chain(keys).chain(scans.map(|scan| self.first(scan))).collect();
        let (answers, revision) = self.ranges(ranges, 0).await?;
        let mut answers = answers.into_iter();
        let pending = answers.next().unwrap_or_default();
        let ours: BTreeSet<&[u8]> = wanted.keys.iter().map(|key| owner(key)).collect();
        let asked = |of: &[u8]| ours.contains(of) || wanted.scans.iter().any(|scan| may_have(scan, of));
        let over = self.over(&pending, revision, asked).await?;
        let state = State { revision, over };
        let mut fetched = Fetched::default();
        for owner in &wanted.owners {
            fetched.heads.push(self.head(owner, &answers.next().unwrap_or_default()));
        }
        for key in &wanted.keys {
            let entry = Self::entry(key, answers.next().unwrap_or_default(), &state.over)?;
            fetched.values.push(match entry {
                Some(entry) => Some(self.value(key, entry, usize::MAX, revision).await?),
                None => None,
            });
        }
        for scan in &wanted.scans {
            fetched.pages.push(if scan.is_empty() {
                Page::default()
            } else {
                self.page_from(scan, answers.next().unwrap_or_default(), &state).await?
            });
        }
        Ok(fetched)
    }

    /// The first part of a range that is asked for.
    fn first(&self, scan: &Scan) -> RangeRequest {
        let most = if scan.value_bytes == 0 { KEYS } else { FIRST_ENTRIES };
        self.part(scan, &scan.start, &scan.end, scan.limit.saturating_add(1).min(most))
    }

    fn part(&self, scan: &Scan, start: &Bound<Bytes>, end: &Bound<Bytes>, limit: usize) -> RangeRequest {
        RangeRequest {
            limit: i64::try_from(limit).unwrap_or(i64::MAX),
            sort_order: if scan.reverse { DESCEND } else { 0 },
            keys_only: scan.value_bytes == 0,
            ..range(self.keys.entries(start, end), 0)
        }
    }

    /// The page that begins with an answer; more is asked for where that is not enough.
    async fn page_from(&self, scan: &Scan, mut answer: RangeResponse, state: &State) -> Result<Page, ReadError> {
        let (mut start, mut end) = (scan.start.clone(), scan.end.clone());
        let mut kept: Vec<(Bytes, Entry)> = Vec::new();
        let mut bytes = 0_usize;
        let is_full = |kept: usize, bytes: usize| kept >= scan.limit || (bytes >= scan.max_bytes && kept > 0);
        let more = 'all: loop {
            let last = answer.kvs.last().map(|kv| self.keys.entry_name(&kv.key));
            // What the answer is about: all up to its last key, or to the end of the range.
            let next = if answer.more { last.map(|last| Bytes::copy_from_slice(&last)) } else { None };
            let (covered_start, covered_end) = match &next {
                Some(last) if scan.reverse => (Bound::Included(last.clone()), end.clone()),
                Some(last) => (start.clone(), Bound::Included(last.clone())),
                None => (start.clone(), end.clone()),
            };
            let stored = answer.kvs.into_iter().map(|kv| (self.keys.entry_name(&kv.key), kv.value));
            let found = merged(stored, &state.over, (&covered_start, &covered_end), scan);
            for (key, stored) in found {
                if is_full(kept.len(), bytes) {
                    break 'all true;
                }
                let entry = if scan.value_bytes == 0 { Entry::Inline(Bytes::new()) } else { Entry::decode(stored)? };
                // Only what is asked for is kept, and not the answer that it is a part of.
                let entry = match (entry.leading(scan.value_bytes), entry) {
                    (Some(leading), _) => Entry::Inline(Bytes::copy_from_slice(&leading)),
                    (None, entry) => entry,
                };
                let key_bytes = key.len().saturating_sub(scan.uncounted_key_bytes);
                let value_bytes = entry.length().min(scan.value_bytes).saturating_sub(scan.uncounted_value_bytes);
                bytes = bytes.saturating_add(key_bytes).saturating_add(value_bytes);
                kept.push((Bytes::copy_from_slice(&key), entry));
            }
            let Some(last) = next else { break false };
            if scan.reverse {
                end = Bound::Excluded(last);
            } else {
                start = Bound::Excluded(last);
            }
            let limit = Self::next_limit(scan, kept.len(), bytes);
            let range = RangeRequest { revision: state.revision, ..self.part(scan, &start, &end, limit) };
            answer = self.range(range).await?;
        };
        let mut page = scan.page();
        for (key, entry) in kept {
            let value = self.value(&key, entry, scan.value_bytes, state.revision).await?;
            page.entry(&key, &value);
        }
        Ok(page.finish(more))
    }

    /// How many entries to ask for next: about as many as the page has room for, and one to see whether there are more.
    fn next_limit(scan: &Scan, kept: usize, bytes: usize) -> usize {
        let most = if scan.value_bytes == 0 { KEYS } else { MORE_ENTRIES };
        let each = (bytes / kept.max(1)).max(1);
        let room = scan.max_bytes.saturating_sub(bytes) / each;
        let left = scan.limit.saturating_sub(kept);
        left.min(room).saturating_add(1).min(most)
    }

    /// What is still in journals at a revision, of the namespaces that are asked for.
    async fn over(
        &self,
        pending: &RangeResponse,
        revision: i64,
        wanted: impl Fn(&[u8]) -> bool,
    ) -> Result<Arc<Writes>, ReadError> {
        if pending.kvs.is_empty() {
            // Nobody needs the last one any more, but old snapshots.
            self.journals.none_at(revision);
            return Ok(Arc::default());
        }
        if pending.more {
            let begins = self.keys.pending(b"");
            let reason = format!(
                "etcd has more than {JOURNALS} keys that begin with {:?}, where journals are marked: something else has put \
                 keys among the store's; remove them",
                String::from_utf8_lossy(&begins)
            );
            return Err(StorageError::Corrupt { reason }.into());
        }
        let mut over = Arc::<Writes>::default();
        let mut seen = BTreeSet::new();
        for kv in &pending.kvs {
            if !wanted(self.keys.owner(&kv.key)) {
                continue;
            }
            let pending = Pending::decode(kv.value.clone())?;
            if seen.insert(pending.journal.id) {
                let writes = self.journal(&pending, revision).await?;
                if over.is_empty() {
                    over = writes;
                } else {
                    // Different namespaces: no key is in two journals.
                    let more = writes.iter().map(|(key, value)| (key.clone(), value.clone()));
                    Arc::make_mut(&mut over).extend(more);
                }
            }
        }
        Ok(over)
    }

    /// What a journal says.
    pub(crate) async fn journal(&self, pending: &Pending, revision: i64) -> Result<Arc<Writes>, ReadError> {
        let id = pending.journal.id;
        let fetch = async {
            let pieces = self.keys.journal_pieces(&id);
            let bytes = self.blob(&pieces, &pending.journal, usize::MAX, revision).await?;
            Ok(Arc::new(decode_journal(bytes)?))
        };
        self.journals.get(id, revision, fetch).await
    }

    /// The leading bytes of an entry's value.
    async fn value(&self, key: &[u8], entry: Entry, bytes: usize, revision: i64) -> Result<Bytes, ReadError> {
        match (entry.leading(bytes), entry) {
            (None, Entry::Large { blob, .. }) => {
                self.blob(&self.keys.value_pieces(key, &blob.id), &blob, bytes, revision).await
            }
            (Some(value), _) | (None, Entry::Inline(value)) => Ok(value),
        }
    }

    /// The leading bytes of what is in pieces.
    async fn blob(&self, pieces: &Bytes, blob: &Blob, bytes: usize, revision: i64) -> Result<Bytes, ReadError> {
        let wanted = bytes.min(blob.length);
        let count = wanted.div_ceil(blob.piece_bytes);
        let mut whole = Vec::with_capacity(wanted);
        for first in (0..count).step_by(PIECES) {
            let ranges = (first..count.min(first + PIECES)).map(|number| get(piece(pieces, number), 0)).collect();
            let (answers, _) = self.ranges(ranges, revision).await?;
            for answer in answers {
                let missing = || damaged("a piece of a large value is missing");
                whole.extend_from_slice(&answer.kvs.first().ok_or_else(missing)?.value);
            }
        }
        if wanted == blob.length {
            blob.check(&whole)?;
        }
        whole.truncate(wanted);
        Ok(whole.into())
    }
}

/// Entries of a part of a range as they were answered, with what is written over them, in the direction of the scan.
fn merged(
    stored: impl Iterator<Item = (Bytes, Bytes)>,
    over: &Writes,
    (start, end): (&Bound<Bytes>, &Bound<Bytes>),
    scan: &Scan,
) -> Vec<(Bytes, Bytes)> {
    let covered = Scan { start: start.clone(), end: end.clone(), limit: 1, ..scan.clone() };
    if over.is_empty() || covered.is_empty() {
        return stored.collect();
    }
    let mut merged: BTreeMap<Bytes, Bytes> = stored.collect();
    for (key, written) in over.range::<Bytes, _>((start.as_ref(), end.as_ref())) {
        match written {
            Some(value) => drop(merged.insert(key.clone(), value.clone())),
            None => drop(merged.remove(key)),
        }
    }
    if scan.reverse { merged.into_iter().rev().collect() } else { merged.into_iter().collect() }
}

/// Whether a range may have keys of a namespace.
fn may_have(scan: &Scan, of: &[u8]) -> bool {
    let (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) =
        (&scan.start, &scan.end)
    else {
        return true;
    };
    let whose = owner(start);
    // Between two keys that begin alike all do; the byte behind the namespace is the same, or the end is what follows it.
    let ends_at = 1 + whose.len();
    let is_one = !whose.is_empty()
        && (end.get(..=ends_at) == start.get(..=ends_at)
            || (end.get(..ends_at) == start.get(..ends_at)
                && end.len() == ends_at + 1
                && end.get(ends_at).copied() == start.get(ends_at).and_then(|byte| byte.checked_add(1))));
    !is_one || whose == of
}

/// The revision that an answer is of.
pub(crate) fn header_revision(header: Option<&crate::proto::ResponseHeader>) -> i64 {
    header.map_or(0, |header| header.revision)
}

/// Whether a state is gone for good.
pub(crate) fn is_compacted(error: &ReadError) -> bool {
    matches!(error, ReadError::Call(CallError::Refused(Refusal::Compacted)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn journals_of_others_are_left_out_of_ranges() {
        let range = |start: &'static str, end: &'static str| Scan {
            start: Bound::Included(start.into()),
            end: Bound::Included(end.into()),
            ..Scan::prefix(b"")
        };
        for (scan, has, others) in [
            (Scan::prefix(b"ra/b/c/"), true, false),
            (Scan::prefix(b"ra/b/c/key"), true, false),
            (Scan::prefix(b"ra/b/c\x1fd/"), true, false),
            (range("ra/b/c/k", "ra/b/c/x"), true, false),
            (Scan::prefix(b"ra/b/c."), true, true),
            (range("ra/b/c/", "ra/b/d/"), true, true),
            (range("ra/b/c/", "sa/b/c/"), true, true),
            (Scan::prefix(b"r"), true, true),
            (Scan::prefix(b""), true, true),
        ] {
            assert_eq!((may_have(&scan, b"a/b/c"), may_have(&scan, b"x/y/z")), (has, others), "{scan:?}");
        }
    }

    #[test]
    fn journals_are_laid_over_what_is_stored() {
        let entry =
            |key: &str, value: &str| (Bytes::copy_from_slice(key.as_bytes()), Bytes::copy_from_slice(value.as_bytes()));
        let stored = [entry("a", "1"), entry("c", "1"), entry("e", "1")];
        let over: Writes = [("0", Some("2")), ("b", Some("2")), ("c", None), ("e", Some("2")), ("f", Some("2"))]
            .into_iter()
            .map(|(key, value)| (key.into(), value.map(Bytes::from)))
            .collect();
        // A part that was answered up to `e`: what comes after it is not its concern yet.
        let (start, end) = (Bound::Excluded("0".into()), Bound::Included("e".into()));
        for reverse in [false, true] {
            let scan = Scan { reverse, ..Scan::prefix(b"") };
            let mut answered = stored.to_vec();
            let mut expected = vec![entry("a", "1"), entry("b", "2"), entry("e", "2")];
            if reverse {
                answered.reverse();
                expected.reverse();
            }
            assert_eq!(merged(answered.into_iter(), &over, (&start, &end), &scan), expected);
        }
    }
}
