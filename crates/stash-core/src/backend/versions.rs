//! Reading what a collection keeps of a key's past. It must show exactly what the settings keep, whatever is still stored,
//! and never an older version where a newer one is missing.

use std::ops::Bound;

use super::past::{self, Entry};
use super::{Source, is_there};
use crate::clock::Timestamp;
use crate::collection::Retention;
use crate::engine::{Engine, Scan};
use crate::error::StorageError;
use crate::history::{KeyVersion, KeyVersions, VersionsRequest};
use crate::keyspace::{KeySpace, split_namespaced};
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGE_ITEMS};
use crate::record::{self, Head, Record, Version};

/// Which entries of a key are kept.
struct Kept {
    retention: Retention,
    /// How many of the newest.
    count: u64,
    /// The number of the newest.
    newest: u64,
    now: Timestamp,
}

impl Kept {
    fn keeps(&self, entry: &Entry) -> bool {
        self.newest.saturating_sub(entry.number) < self.count && !entry.is_over(self.retention, self.now)
    }
}

pub(super) async fn versions<E: Engine>(
    source: &Source<'_, E>,
    request: &VersionsRequest,
    now: Timestamp,
) -> Result<KeyVersions, StorageError> {
    let (place_prefix, own_key) = split_namespaced(&request.key).unwrap_or_default();
    let settings = match past::settings_key(place_prefix) {
        Some(key) => source.read_one(&key).await?,
        None => None,
    };
    let retention = past::retention_of(settings)?;
    let present = source.read_one(&KeySpace::Record.key(&request.key)).await?.map(record::decode).transpose()?;
    if !retention.keeps_history() {
        return present_only(source, request, place_prefix, present.filter(|record| is_there(record, now))).await;
    }

    let prefix = past::key_prefix(place_prefix, own_key);
    let newest = Scan { limit: 1, value_bytes: past::HEAD_BYTES, ..past::newest_first(&prefix) };
    let newest = source.scan(&newest).await?.entries.first().map(|(_, stored)| Entry::decode(stored)).transpose()?;
    let count = retention.versions.map_or(u64::MAX, |versions| {
        // The key's present version counts, also where it has expired; a deletion does not.
        let counts = present.is_some() || newest.is_some_and(|newest| !newest.deleted);
        u64::from(versions).saturating_sub(u64::from(counts))
    });
    let kept = Kept { retention, count, newest: newest.map_or(0, |newest| newest.number), now };

    let limit = request.limit.min(MAX_PAGE_ITEMS);
    let within = |version: Version| request.at_most.is_none_or(|at_most| version <= at_most);
    let mut found = KeyVersions::default();
    // Whether there were older ones than the oldest that was seen.
    let mut had_others = false;
    if let Some(record) = &present {
        had_others = record.metadata.replaced;
        if within(record.version) {
            let record = Some(record.clone()).filter(|record| is_there(record, now));
            found.versions.push(KeyVersion {
                version: present.as_ref().map_or(Version(0), |p| p.version),
                record,
                ended: None,
            });
        }
    }
    let mut scan = Scan { limit: limit.saturating_add(1), max_bytes: MAX_PAGE_BYTES, ..past::newest_first(&prefix) };
    if let Some(at_most) = request.at_most {
        scan.end = Bound::Included(past::entry_key(&prefix, at_most));
    }
    let page = source.scan(&scan).await?;
    found.more = page.more;
    for (key, mut stored) in page.entries {
        let (version, entry) = (past::version_of(&key)?, Entry::decode(&stored)?);
        if !kept.keeps(&entry) {
            // As if it were removed already.
            found.more = false;
            had_others |= !found.versions.is_empty();
            break;
        }
        let record = record::decode(stored.split_off(past::HEAD_BYTES))?;
        had_others = record.metadata.replaced;
        if entry.deleted && within(entry.ended) {
            found.versions.push(KeyVersion { version: entry.ended, record: None, ended: None });
        }
        let record = Some(record).filter(|record| is_there(record, now));
        found.versions.push(KeyVersion { version, record, ended: Some(entry.ended) });
    }
    if let (Some(at_most), true) = (request.at_most, found.versions.is_empty()) {
        had_others = first_after(source, &prefix, at_most, &kept).await?.unwrap_or(had_others);
    }
    found.more |= found.versions.len() > limit;
    found.versions.truncate(limit);
    found.forgotten = !found.more && had_others;
    Ok(found)
}

/// In a collection without history only the present is known.
async fn present_only<E: Engine>(
    source: &Source<'_, E>,
    request: &VersionsRequest,
    place_prefix: &str,
    present: Option<Record>,
) -> Result<KeyVersions, StorageError> {
    let scope = past::scope_of(place_prefix).unwrap_or_default();
    let asks_for_past = match request.at_most {
        Some(at_most) => at_most < source.state(&scope).await?.version,
        None => false,
    };
    let within = present.filter(|record| request.at_most.is_none_or(|at_most| record.version <= at_most));
    let version = within.map(|record| KeyVersion { version: record.version, record: Some(record), ended: None });
    Ok(KeyVersions {
        forgotten: version.is_none() && asks_for_past,
        more: version.is_some() && request.limit == 0,
        versions: version.into_iter().take(request.limit).collect(),
    })
}

/// Whether the first version after `version` that is kept had others before it; `None` where there is none.
async fn first_after<E: Engine>(
    source: &Source<'_, E>,
    prefix: &[u8],
    version: Version,
    kept: &Kept,
) -> Result<Option<bool>, StorageError> {
    let mut scan = Scan { limit: 64, value_bytes: past::HEAD_BYTES + record::HEAD_BYTES, ..Scan::prefix(prefix) };
    scan.start = Bound::Excluded(past::entry_key(prefix, version));
    loop {
        let page = source.scan(&scan).await?;
        for (_, stored) in &page.entries {
            if kept.keeps(&Entry::decode(stored)?) {
                let envelope = stored.get(past::HEAD_BYTES..).unwrap_or_default();
                return Ok(Some(Head::decode(envelope)?.metadata.replaced));
            }
        }
        match page.entries.into_iter().last() {
            Some((key, _)) if page.more => scan.start = Bound::Excluded(key),
            _ => return Ok(None),
        }
    }
}
