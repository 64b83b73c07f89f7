//! Ranges over several namespaces of a cluster: one namespace after another, in the order of the keys. They are not of one
//! state; nothing that a commit depends on may come from here.

use std::future::Future;
use std::ops::Bound;

use bytes::Bytes;
use stash_core::engine::{Page, Scan};
use stash_shared::ServerError;

use crate::ask::{Answer, Question, State, rest_of};
use crate::error::strange;
use crate::layout::{Ends, high, low, place_end, place_owner};
use crate::server::{Asking, Purpose};

/// Places of the index that are asked for at once.
const PLACES: usize = 500;

/// Who answers for one namespace.
pub(crate) trait Ranges: Sync {
    /// A page of a range of its keys.
    fn range(&self, owner: Bytes, scan: Scan) -> impl Future<Output = Result<Page, ServerError>> + Send;
}

/// A page that is being put together.
struct Gathering {
    scan: Scan,
    page: Page,
    bytes: usize,
}

impl Gathering {
    fn is_full(&self) -> bool {
        let entries = self.page.entries.len();
        entries >= self.scan.limit || (entries > 0 && self.bytes >= self.scan.max_bytes)
    }

    /// Adds what a namespace has between two bounds. `true` where the page is done.
    async fn take<R: Ranges>(
        &mut self,
        ranges: &R,
        owner: &[u8],
        bounds: (Bound<Bytes>, Bound<Bytes>),
    ) -> Result<bool, ServerError> {
        let (start, end) = bounds;
        let mut part = Scan { start, end, ..self.scan.clone() };
        let is_full = self.is_full();
        if is_full {
            // Only whether there is more.
            (part.limit, part.value_bytes) = (1, 0);
        } else {
            part.limit = self.scan.limit - self.page.entries.len();
            part.max_bytes = self.scan.max_bytes.saturating_sub(self.bytes);
        }
        if part.is_empty() {
            return Ok(false);
        }
        let found = ranges.range(Bytes::copy_from_slice(owner), part).await?;
        if is_full {
            self.page.more = !found.entries.is_empty();
            return Ok(self.page.more);
        }
        for (key, value) in found.entries {
            let key_bytes = key.len().saturating_sub(self.scan.uncounted_key_bytes);
            let value_bytes = value.len().saturating_sub(self.scan.uncounted_value_bytes);
            self.bytes = self.bytes.saturating_add(key_bytes).saturating_add(value_bytes);
            self.page.entries.push((key, value));
        }
        self.page.more = found.more;
        Ok(found.more)
    }
}

/// A page of a range.
pub(crate) async fn page<R: Ranges>(scan: &Scan, asking: &Asking, ranges: &R) -> Result<Page, ServerError> {
    let ends = Ends::of(scan);
    if let Some(owner) = ends.owner(scan) {
        return ranges.range(owner, scan.clone()).await;
    }
    let mut gathering = Gathering { scan: scan.clone(), page: Page::default(), bytes: 0 };
    // What is still to be looked at.
    let mut left = scan.clone();
    loop {
        let places = places(asking, scan, &ends, &left).await?;
        let is_last = places.len() < PLACES;
        for place in places {
            let (begin, end) = (place.clone(), place_end(&place));
            let owner = Bytes::copy_from_slice(place_owner(&place));
            // Before it come keys of no namespace.
            let (before, within, after) = if scan.reverse {
                let start = if ends.first.as_ref() == Some(&place) {
                    scan.start.clone()
                } else {
                    Bound::Included(begin.clone())
                };
                let until =
                    if ends.last.as_ref() == Some(&place) { left.end.clone() } else { Bound::Excluded(end.clone()) };
                ((Bound::Included(end), left.end.clone()), (start, until), Bound::Excluded(begin))
            } else {
                let start = if ends.first.as_ref() == Some(&place) {
                    left.start.clone()
                } else {
                    Bound::Included(begin.clone())
                };
                let until =
                    if ends.last.as_ref() == Some(&place) { scan.end.clone() } else { Bound::Excluded(end.clone()) };
                ((left.start.clone(), Bound::Excluded(begin)), (start, until), Bound::Included(end))
            };
            if gathering.take(ranges, b"", before).await? || gathering.take(ranges, &owner, within).await? {
                return Ok(gathering.page);
            }
            left = rest_of(&left, after);
        }
        if is_last {
            let rest = (left.start.clone(), left.end.clone());
            gathering.take(ranges, b"", rest).await?;
            return Ok(gathering.page);
        }
    }
}

/// The next places of the index in what is left of a range.
async fn places(asking: &Asking, scan: &Scan, ends: &Ends, left: &Scan) -> Result<Vec<Bytes>, ServerError> {
    // A place begins before what is in it.
    let at = |place: &Bytes| [b"[", &place[..]].concat();
    let from = ends.first.as_ref().filter(|_| left.start == scan.start).map_or_else(|| low(&left.start), at);
    let to = ends.last.as_ref().filter(|_| left.end == scan.end).map_or_else(|| high(&left.end), at);
    let question = Question::Places { low: from, high: to, reverse: left.reverse, most: PLACES };
    let answers = asking.once(Purpose::Read, &Bytes::new(), &State::Now, &[question]).await?;
    match answers.and_then(|(_, answers)| answers.into_iter().next()) {
        Some(Answer::Places(places)) => Ok(places),
        _ => Err(strange("the index")),
    }
}
