//! Pages and counts: walks a range of records and leaves out what has expired or does not match. A page must be one
//! state, and its work bounded whatever is in the store.

use std::ops::Bound;

use bytes::{Buf, Bytes};

use super::{Source, not_namespaced};
use crate::clock::Timestamp;
use crate::engine::{Collect, Engine, Scan};
use crate::error::StorageError;
use crate::keyspace::{KeySpace, after_prefix, split_namespaced};
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGE_ITEMS, MAX_PASSED_OVER};
use crate::pattern::Pattern;
use crate::record::{self, HEAD_BYTES, Head, PLAIN_HEAD_BYTES, Record, corrupt};
use crate::scan::{Key, KeyPage, KeyRange, ScanEntry, ScanPage, ScanRequest};
use crate::yielding::yield_now;

/// Records that one engine scan of a count, or of a page with a pattern, looks at: about a millisecond.
pub(super) const CHUNK: usize = 4096;

/// Steps of matching a pattern between two breaks for others: some milliseconds.
const MATCHING_STEPS: usize = 8 * 1024 * 1024;

/// Bytes of keys to look at without a break.
fn bytes_between_breaks(pattern: Option<&Pattern>) -> usize {
    pattern.map_or(usize::MAX, |pattern| MATCHING_STEPS / pattern.steps())
}

/// The engine's scan for a request in full names; `None` where no key can fit.
pub(super) fn scan_of(request: &ScanRequest) -> Result<Option<Scan>, StorageError> {
    let range = &request.range;
    let (place, own) = split_namespaced(&range.prefix).ok_or_else(|| not_namespaced(&range.prefix))?;
    let literal = range.pattern.as_ref().map(Pattern::literal_prefix).unwrap_or_default();
    let prefix = if own.len() >= literal.len() { own } else { literal.as_str() };
    if !prefix.starts_with(own) || !prefix.starts_with(&literal) {
        return Ok(None);
    }
    let prefix = KeySpace::Record.key(&[place, prefix].concat());
    let key = |name: &String| KeySpace::Record.key(name);
    let mut start =
        Bound::Included(range.start.as_ref().map(key).filter(|start| *start > prefix).unwrap_or(prefix.clone()));
    let last = after_prefix(&prefix);
    let before_end = range.end.as_ref().map(key).filter(|end| last.as_ref().is_none_or(|last| end < last));
    let mut end = before_end.or(last).map_or(Bound::Unbounded, Bound::Excluded);
    if let Some(after) = request.after.as_ref().map(key) {
        if request.reverse {
            if !matches!(&end, Bound::Excluded(end) if *end <= after) {
                end = Bound::Excluded(after);
            }
        } else if !matches!(&start, Bound::Included(start) if *start > after) {
            start = Bound::Excluded(after);
        }
    }
    Ok(Some(Scan {
        start,
        end,
        reverse: request.reverse,
        limit: request.limit.min(MAX_PAGE_ITEMS),
        max_bytes: request.max_bytes.min(MAX_PAGE_BYTES),
        // The space's byte and the place: the component asked for neither.
        uncounted_key_bytes: 1 + place.len(),
        value_bytes: if request.values { usize::MAX } else { HEAD_BYTES },
        uncounted_value_bytes: if request.values { PLAIN_HEAD_BYTES } else { HEAD_BYTES },
    }))
}

/// Puts the end of a range that goes on behind what has been looked at.
pub(super) fn go_on(scan: &mut Scan, after: Bytes) {
    if scan.reverse {
        scan.end = Bound::Excluded(after);
    } else {
        scan.start = Bound::Excluded(after);
    }
}

/// Puts a page together from what engine scans give.
struct Filling<'a> {
    request: &'a ScanRequest,
    place_bytes: usize,
    now: Timestamp,
    limit: usize,
    page: ScanPage,
    passed_over: usize,
}

impl<'a> Filling<'a> {
    fn new(request: &'a ScanRequest, scan: &Scan, now: Timestamp) -> Self {
        let place_bytes = scan.uncounted_key_bytes - 1;
        Self { request, place_bytes, now, limit: scan.limit, page: ScanPage::default(), passed_over: 0 }
    }

    /// Scans, and takes what fits of what is found.
    async fn scan<E: Engine>(&mut self, source: &Source<'_, E>, scan: &Scan) -> Result<Taken, StorageError> {
        if self.request.values {
            let found = source.scan(scan).await?;
            let (count, more) = (found.entries.len(), found.more);
            let records =
                found.entries.into_iter().map(|(key, stored)| Ok((record_key(key)?, record::decode(stored)?)));
            return Ok(Taken { count, more, full: self.take(records, count, more)? });
        }
        let (heads, more) = source.scan_into(scan, &Heads::expecting(scan.limit)).await?;
        let count = heads.entries.len();
        let full = self.take(heads.finish()?, count, more)?;
        Ok(Taken { count, more, full })
    }

    /// `true` where the page is full.
    fn take(
        &mut self,
        found: impl Iterator<Item = Result<(Key, Record), StorageError>>,
        count: usize,
        more: bool,
    ) -> Result<bool, StorageError> {
        let last = count.saturating_sub(1);
        self.page.resume = None;
        self.page.entries.reserve(count.min(self.limit));
        for (n, found) in found.enumerate() {
            let (key, record) = found?;
            let fits = self.matches(&key) && !record.metadata.is_expired(self.now);
            let entries = self.page.entries.len() + usize::from(fits);
            let passed_over = self.passed_over + usize::from(!fits);
            let full = entries >= self.limit || passed_over >= MAX_PASSED_OVER;
            if (full || n == last) && (n < last || more) {
                self.page.resume = Some(key.clone());
            }
            if fits {
                self.page.entries.push(ScanEntry { key, record });
            }
            self.passed_over = passed_over;
            if full {
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn matches(&self, key: &Key) -> bool {
        let own = || key.get(self.place_bytes..).unwrap_or_default();
        self.request.range.pattern.as_ref().is_none_or(|pattern| pattern.matches(own()))
    }
}

/// What one scan brought.
struct Taken {
    count: usize,
    more: bool,
    /// Whether the page is full.
    full: bool,
}

/// The keys and heads of records, where no value is asked for: one piece of memory for all keys.
struct Heads {
    keys: Vec<u8>,
    /// Where each key ends, and the head of its record.
    entries: Vec<(usize, Head)>,
    failed: Option<StorageError>,
}

impl Heads {
    fn expecting(limit: usize) -> Self {
        let entries = limit.min(256);
        Self { keys: Vec::with_capacity(entries * 48), entries: Vec::with_capacity(entries), failed: None }
    }

    fn finish(self) -> Result<impl Iterator<Item = Result<(Key, Record), StorageError>>, StorageError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let keys = Key::from_bytes(self.keys.into()).ok_or_else(not_text)?;
        let mut start = 0;
        Ok(self.entries.into_iter().map(move |(end, head)| {
            let key = keys.slice(start..end).ok_or_else(not_text)?;
            start = end;
            Ok((key, Record { version: head.version, metadata: head.metadata, ..Record::default() }))
        }))
    }
}

impl Clone for Heads {
    /// Of what is empty, with the same room.
    fn clone(&self) -> Self {
        let mut keys = Vec::with_capacity(self.keys.capacity());
        keys.extend_from_slice(&self.keys);
        let mut entries = Vec::with_capacity(self.entries.capacity());
        entries.extend_from_slice(&self.entries);
        Self { keys, entries, failed: self.failed.clone() }
    }
}

impl Collect for Heads {
    fn entry(&mut self, key: &[u8], value: &[u8]) {
        // The space's byte is known: the scan is of records only.
        self.keys.extend_from_slice(key.get(1..).unwrap_or_default());
        match Head::decode(value) {
            Ok(head) => self.entries.push((self.keys.len(), head)),
            Err(error) => self.failed = Some(error),
        }
    }
}

fn record_key(mut key: Bytes) -> Result<Key, StorageError> {
    if key.first() != Some(&(KeySpace::Record as u8)) {
        return Err(corrupt("a listing left the records".to_owned()));
    }
    key.advance(1);
    Key::from_bytes(key).ok_or_else(not_text)
}

fn not_text() -> StorageError {
    corrupt("a record's key is not UTF-8".to_owned())
}

/// The page, where one scan of the present state makes it.
pub(super) async fn at_once<E: Engine>(
    source: &Source<'_, E>,
    request: &ScanRequest,
    now: Timestamp,
) -> Result<Option<ScanPage>, StorageError> {
    let Some(scan) = scan_of(request)? else { return Ok(Some(ScanPage::default())) };
    if request.range.pattern.is_some() {
        return Ok(None);
    }
    let mut filling = Filling::new(request, &scan, now);
    filling.scan(source, &scan).await?;
    // Full by its bytes, or by its limit, or at the end; else some have expired and others take their places.
    Ok((filling.passed_over == 0 || filling.page.resume.is_none()).then_some(filling.page))
}

/// Keys alone, of records that have not expired.
#[derive(Clone)]
struct Names {
    now: Timestamp,
    found: Vec<String>,
    /// Whether something was left out, or could not be read: then the long way is taken, which tells what.
    left_out: bool,
}

impl Collect for Names {
    fn entry(&mut self, key: &[u8], value: &[u8]) {
        let stays = Head::stays(value) || Head::decode(value).is_ok_and(|head| !head.metadata.is_expired(self.now));
        match std::str::from_utf8(key.get(1..).unwrap_or_default()) {
            Ok(key) if stays => self.found.push(key.to_owned()),
            _ => self.left_out = true,
        }
    }
}

/// The page of keys, where one scan of the present state makes it.
pub(super) async fn keys_at_once<E: Engine>(
    source: &Source<'_, E>,
    request: &ScanRequest,
    now: Timestamp,
) -> Result<Option<KeyPage>, StorageError> {
    let Some(scan) = scan_of(request)? else { return Ok(Some(KeyPage::default())) };
    if request.range.pattern.is_some() {
        return Ok(None);
    }
    let (names, more) = source.scan_into(&scan, &Names { now, found: Vec::new(), left_out: false }).await?;
    if names.left_out {
        return Ok(None);
    }
    let resume = if more { names.found.last().cloned() } else { None };
    Ok(Some(KeyPage { keys: names.found, resume }))
}

/// The page, by as many scans as it takes.
pub(super) async fn page<E: Engine>(
    source: &Source<'_, E>,
    request: &ScanRequest,
    now: Timestamp,
) -> Result<ScanPage, StorageError> {
    let Some(mut scan) = scan_of(request)? else { return Ok(ScanPage::default()) };
    let mut filling = Filling::new(request, &scan, now);
    let max_bytes = scan.max_bytes;
    scan.max_bytes = max_bytes.min(bytes_between_breaks(request.range.pattern.as_ref()));
    loop {
        let missing = filling.limit.saturating_sub(filling.page.entries.len());
        // More than are missing, where some are passed over: one scan for each would take longer.
        scan.limit = if request.range.pattern.is_some() || filling.passed_over > 0 {
            missing.max(CHUNK.min(missing.saturating_mul(64)))
        } else {
            missing
        };
        let passed_over = filling.passed_over;
        let taken = filling.scan(source, &scan).await?;
        // The engine stopped at the limit of bytes, and nothing was left out: the page is as large as it may be.
        let full_of_bytes =
            taken.more && taken.count < scan.limit && filling.passed_over == passed_over && scan.max_bytes == max_bytes;
        if taken.full || !taken.more || full_of_bytes {
            return Ok(filling.page);
        }
        let bytes: usize = filling.page.entries.iter().map(|entry| entry.key.len() + entry.record.value.len()).sum();
        if bytes >= max_bytes.max(1) {
            return Ok(filling.page);
        }
        let Some(resume) = &filling.page.resume else { return Ok(filling.page) };
        go_on(&mut scan, KeySpace::Record.key(resume));
        yield_now().await;
    }
}

/// Counts records where they lie.
#[derive(Clone)]
struct Count<'a> {
    pattern: Option<&'a Pattern>,
    place_bytes: usize,
    now: Timestamp,
    fitting: u64,
    last: Vec<u8>,
    failed: Option<StorageError>,
}

impl Collect for Count<'_> {
    fn entry(&mut self, key: &[u8], value: &[u8]) {
        let own = || key.get(self.place_bytes..).and_then(|own| std::str::from_utf8(own).ok());
        let matches = self.pattern.is_none_or(|pattern| own().is_some_and(|own| pattern.matches(own)));
        match Head::decode(value) {
            Ok(head) => self.fitting += u64::from(matches && !head.metadata.is_expired(self.now)),
            Err(error) => self.failed = Some(error),
        }
        // Where the next scan goes on.
        self.last.clear();
        self.last.extend_from_slice(key);
    }
}

/// How many records are in a range, without their values.
pub(super) async fn count<E: Engine>(
    source: &Source<'_, E>,
    range: &KeyRange,
    now: Timestamp,
) -> Result<u64, StorageError> {
    let request = ScanRequest { range: range.clone(), ..ScanRequest::default() };
    let Some(mut scan) = scan_of(&request)? else { return Ok(0) };
    (scan.limit, scan.max_bytes) = (CHUNK, bytes_between_breaks(range.pattern.as_ref()));
    let begin = Count {
        pattern: range.pattern.as_ref(),
        place_bytes: scan.uncounted_key_bytes,
        now,
        fitting: 0,
        last: Vec::new(),
        failed: None,
    };
    let mut count = 0;
    loop {
        let (found, more) = source.scan_into(&scan, &begin).await?;
        if let Some(error) = found.failed {
            return Err(error);
        }
        count += found.fitting;
        if !more || found.last.is_empty() {
            return Ok(count);
        }
        go_on(&mut scan, found.last.into());
        yield_now().await;
    }
}
