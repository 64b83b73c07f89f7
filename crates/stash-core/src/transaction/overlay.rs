//! The transaction's own records in its pages. A page must be as large as any other, and its work bounded whatever the
//! transaction has written.

use std::cmp::Ordering;
use std::ops::Bound;

use super::TransactionIn;
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGE_ITEMS};
use crate::metadata::Attributes;
use crate::pattern::Pattern;
use crate::record::Record;
use crate::scan::{Key, KeyRange, ScanEntry, ScanPage, ScanRequest};
use crate::storage::ComponentStorage;
use crate::value::StorageValue;
use crate::yielding::yield_now;

/// Steps of matching the transaction's own keys between two breaks for others, as for those in the store.
pub(super) const MATCHING_STEPS: usize = 8 * 1024 * 1024;

impl<S: ComponentStorage + Clone> TransactionIn<'_, S> {
    /// Puts the transaction's own records into a page.
    pub(super) async fn overlay(&self, request: &ScanRequest, page: ScanPage) -> ScanPage {
        let Some(own) = self.transaction.written.get(&self.place) else { return page };
        let ScanPage { entries, resume } = page;
        let looked_at = LookedAt::new(request, resume.as_ref());
        let own: Box<dyn Iterator<Item = (&String, &Option<Record>)> + Send> = if request.reverse {
            let down = own.range::<str, _>((Bound::Unbounded, looked_at.high)).rev();
            // Without a high bound it begins behind all that begin with the prefix.
            let behind = |key: &str| key > looked_at.prefix && !key.starts_with(looked_at.prefix);
            let inside = down.skip_while(move |(key, _)| behind(key));
            Box::new(inside.take_while(|(key, _)| looked_at.is_above_low(key)))
        } else {
            let up = own.range::<str, _>((looked_at.low, Bound::Unbounded));
            Box::new(up.take_while(|(key, _)| looked_at.is_before_end(key)))
        };
        let mut own = own.peekable();
        if own.peek().is_none() {
            return ScanPage { entries, resume: resume.clone() };
        }
        let now = self.transaction.storage.now();
        let pattern = request.range.pattern.as_ref();
        let mut steps = 0_usize;
        let mut filling = Filling::new(request);
        let mut stored = entries.into_iter().peekable();
        loop {
            let order = match (stored.peek(), own.peek()) {
                (None, None) => break,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(entry), Some((key, _))) if request.reverse => key.as_str().cmp(&entry.key),
                (Some(entry), Some((key, _))) => (*entry.key).cmp(key.as_str()),
            };
            let entry = if order == Ordering::Less {
                stored.next()
            } else {
                let replaced = if order == Ordering::Equal { stored.next() } else { None };
                let Some((key, record)) = own.next() else { break };
                steps = steps.saturating_add(key.len().saturating_mul(pattern.map_or(1, Pattern::steps)));
                if steps >= MATCHING_STEPS {
                    steps = 0;
                    yield_now().await;
                }
                let there = record.as_ref().filter(|record| !record.metadata.is_expired(now));
                // A key that is on the page matches: it was asked then.
                let shown = there.filter(|_| replaced.is_some() || pattern.is_none_or(|pattern| pattern.matches(key)));
                shown.map(|record| ScanEntry { key: key.as_str().into(), record: listed(record, request.values) })
            };
            // The list goes on after the last that has found room.
            if let Some(entry) = entry
                && !filling.take(entry)
            {
                let resume = filling.entries.last().map(|entry| entry.key.clone()).or_else(|| resume.clone());
                return ScanPage { entries: filling.entries, resume };
            }
        }
        ScanPage { entries: filling.entries, resume: resume.clone() }
    }
}

/// The part of the keys that a page has looked at, but for its pattern: comparing is quick, and matching is not.
struct LookedAt<'a> {
    prefix: &'a str,
    low: Bound<&'a str>,
    high: Bound<&'a str>,
}

impl<'a> LookedAt<'a> {
    fn new(request: &'a ScanRequest, resume: Option<&'a Key>) -> Self {
        let KeyRange { prefix, start, end, .. } = &request.range;
        let (after, until) = (request.after.as_deref(), resume.map(Key::as_str));
        let (above, from, below, to) =
            if request.reverse { (None, until, after, None) } else { (after, None, None, until) };
        // The tightest of all. Of equal ones that which leaves the key out: it is the larger below, the smaller above.
        let lows = [Some((prefix.as_str(), false)), start.as_deref().map(|start| (start, false))];
        let low = lows.into_iter().chain([above.map(|key| (key, true)), from.map(|key| (key, false))]);
        let highs = [end.as_deref().map(|end| (end, false)), below.map(|key| (key, false)), to.map(|key| (key, true))];
        Self {
            prefix,
            low: match low.flatten().max() {
                Some((key, true)) => Bound::Excluded(key),
                Some((key, false)) => Bound::Included(key),
                None => Bound::Unbounded,
            },
            high: match highs.into_iter().flatten().min() {
                Some((key, true)) => Bound::Included(key),
                Some((key, false)) => Bound::Excluded(key),
                None => Bound::Unbounded,
            },
        }
    }

    /// Of a key that is not below `low`.
    fn is_before_end(&self, key: &str) -> bool {
        let below = match self.high {
            Bound::Included(high) => key <= high,
            Bound::Excluded(high) => key < high,
            Bound::Unbounded => true,
        };
        below && key.starts_with(self.prefix)
    }

    fn is_above_low(&self, key: &str) -> bool {
        match self.low {
            Bound::Included(low) => key >= low,
            Bound::Excluded(low) => key > low,
            Bound::Unbounded => true,
        }
    }
}

/// A page that is as large as any other: what the transaction has written may be more than fits.
struct Filling<'a> {
    request: &'a ScanRequest,
    entries: Vec<ScanEntry>,
    bytes: usize,
}

impl<'a> Filling<'a> {
    fn new(request: &'a ScanRequest) -> Self {
        Self { request, entries: Vec::new(), bytes: 0 }
    }

    /// `false` where the page is full without it.
    fn take(&mut self, entry: ScanEntry) -> bool {
        let before = self.bytes;
        let full = before > 0 && before >= self.request.max_bytes.min(MAX_PAGE_BYTES);
        if full || self.entries.len() >= self.request.limit.min(MAX_PAGE_ITEMS) {
            return false;
        }
        let value = if self.request.values { entry.record.used_bytes() } else { 0 };
        self.bytes = before.saturating_add(entry.key.len()).saturating_add(value);
        self.entries.push(entry);
        true
    }
}

/// A record as lists show it.
fn listed(record: &Record, values: bool) -> Record {
    let mut record = record.clone();
    if !values {
        record.value = StorageValue::default();
        record.metadata = record.metadata.with_texts(None, Attributes::new());
    }
    record
}
