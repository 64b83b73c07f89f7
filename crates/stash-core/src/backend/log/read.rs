//! Reading the log, from one state. A page must be made of whole commits, and must never go past one that is missing.

use std::ops::Bound;

use super::entry::{Entry, HEAD_BYTES, Head, NAMED_BYTES, entry_key, log_prefix, version_of};
use crate::backend::Source;
use crate::backend::page::go_on;
use crate::changes::{ChangeRecord, ChangesOf, ChangesPage, ChangesRequest};
use crate::collection::CollectionName;
use crate::engine::{Engine, Scan};
use crate::error::StorageError;
use crate::keyspace::check_prefix;
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGE_ITEMS, MAX_PASSED_OVER};
use crate::record::{self, Version, corrupt};
use crate::yielding::yield_now;

/// Entries and bytes that one engine scan looks at: about a millisecond.
const CHUNK: usize = 512;
const CHUNK_BYTES: usize = 1024 * 1024;

pub(in crate::backend) async fn changes<E: Engine>(
    source: &Source<'_, E>,
    scope: &str,
    request: &ChangesRequest,
) -> Result<ChangesPage, StorageError> {
    check_prefix(&request.prefix)?;
    let since = request.since;
    let state = source.state(scope).await?;
    let kept = state.log.filter(|log| log.is_on).map(|log| log.since);
    // A version that was never reached is one of another store, or of this one before it was put back.
    if kept.is_none_or(|kept| since < kept) || since > state.version {
        return Err(StorageError::ChangesForgotten { since, kept });
    }
    let mut scan = Scan {
        start: Bound::Excluded(entry_key(scope, since, u32::MAX)),
        limit: CHUNK,
        max_bytes: CHUNK_BYTES,
        value_bytes: if request.values { usize::MAX } else { NAMED_BYTES },
        ..Scan::prefix(&log_prefix(scope))
    };
    let mut filling = Filling::new(request);
    loop {
        let found = source.scan(&scan).await?;
        let last = found.entries.last().map(|(key, _)| key.clone());
        for (key, stored) in found.entries {
            if let Some(through) = filling.begin(version_of(&key)?) {
                return Ok(filling.page(through, true));
            }
            if let Some(through) = filling.take(&stored)? {
                return Ok(filling.page(through, true));
            }
        }
        match last {
            Some(key) if found.more => go_on(&mut scan, key),
            _ => return Ok(filling.page(state.version, false)),
        }
        yield_now().await;
    }
}

/// Puts a page together.
struct Filling<'a> {
    request: &'a ChangesRequest,
    collection: Option<&'a str>,
    limit: usize,
    max_bytes: usize,
    changes: Vec<ChangeRecord>,
    bytes: usize,
    passed_over: usize,
    /// The commit that is being taken.
    version: Version,
    /// The one before it, and how many changes there were by then.
    before: (Version, usize),
}

impl<'a> Filling<'a> {
    fn new(request: &'a ChangesRequest) -> Self {
        let collection = match &request.of {
            ChangesOf::Component => None,
            ChangesOf::Collection(name) => Some(name.as_ref().map_or("", CollectionName::as_str)),
        };
        Self {
            request,
            collection,
            limit: request.limit.min(MAX_PAGE_ITEMS),
            max_bytes: request.max_bytes.min(MAX_PAGE_BYTES),
            changes: Vec::new(),
            bytes: 0,
            passed_over: 0,
            version: request.since,
            before: (request.since, 0),
        }
    }

    /// A change of this commit comes next. Gives where the page ends, where it is full.
    fn begin(&mut self, version: Version) -> Option<Version> {
        if version == self.version {
            return None;
        }
        let is_full = self.changes.len() >= self.limit || self.bytes >= self.max_bytes;
        if (is_full && !self.changes.is_empty()) || self.passed_over >= MAX_PASSED_OVER {
            return Some(self.version);
        }
        self.before = (self.version, self.changes.len());
        self.version = version;
        None
    }

    /// Takes the next change. Gives where the page ends, where its commit has no room on it: what was taken of it goes.
    fn take(&mut self, stored: &bytes::Bytes) -> Result<Option<Version>, StorageError> {
        let entry = Entry::decode(stored)?;
        if self.collection.is_some_and(|name| name != entry.collection) || !entry.key.starts_with(&self.request.prefix)
        {
            self.passed_over += 1;
            return Ok(None);
        }
        let (before, count) = self.before;
        self.bytes = self.bytes.saturating_add(entry.key.len()).saturating_add(entry.record.len());
        if count > 0 && (self.changes.len() >= self.limit || self.bytes > self.max_bytes) {
            self.changes.truncate(count);
            return Ok(Some(before));
        }
        let record_bytes = Head::decode(stored)?.record_bytes();
        if self.request.values && record_bytes != entry.record.len() {
            return Err(corrupt("a change has lost its record".to_owned()));
        }
        let record = if self.request.values && record_bytes > 0 {
            let at = HEAD_BYTES + entry.collection.len() + entry.key.len();
            Some(record::decode(stored.slice(at.min(stored.len())..))?)
        } else {
            None
        };
        self.changes.push(ChangeRecord {
            version: self.version,
            collection: CollectionName::parse(entry.collection)?,
            key: entry.key.to_owned(),
            kind: entry.kind,
            time: entry.time,
            record,
        });
        Ok(None)
    }

    fn page(self, through: Version, more: bool) -> ChangesPage {
        ChangesPage { changes: self.changes, through, more }
    }
}
