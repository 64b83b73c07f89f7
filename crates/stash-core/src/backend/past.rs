//! Earlier versions of records: how they are stored, added to, forgotten and read. It must never show a version that the
//! collection's settings say is no longer kept, whether or not it has been removed.

use std::ops::Bound;

use bytes::{Buf, BufMut, Bytes, BytesMut};

use super::{Source, due, is_there};
use crate::clock::Timestamp;
use crate::collection::{CollectionSettings, Place, Retention, registry_key};
use crate::engine::{Engine, Scan, View, Writes};
use crate::error::StorageError;
use crate::history::{KeyVersion, KeyVersions, VersionsRequest};
use crate::keyspace::{KeySpace, split_namespaced};
use crate::limits::{MAX_PAGE_BYTES, MAX_PAGE_ITEMS};
use crate::record::{self, Head, Version, corrupt};

/// What an entry holds after its first byte: a record's envelope, or nothing because the commit deleted the key.
const RECORD: u8 = 1;
const DELETED: u8 = 2;
/// The kind, and when the version was replaced (of a deletion: when it happened).
const HEAD_BYTES: usize = 1 + 6;
const VERSION_BYTES: usize = 8;

/// What the entries of one key begin with: the place, then the key with its length in front, so that no key's entries
/// begin with another's.
pub(super) fn key_prefix(place_prefix: &str, own_key: &str) -> Bytes {
    let mut key = BytesMut::from(&KeySpace::History.key(place_prefix)[..]);
    // Keys are at most 2 KiB.
    key.put_u16(u16::try_from(own_key.len()).unwrap_or(u16::MAX));
    key.put_slice(own_key.as_bytes());
    key.freeze()
}

pub(super) fn entry_key(prefix: &[u8], version: Version) -> Bytes {
    [prefix, &version.0.to_be_bytes()].concat().into()
}

/// The entry for a record that is replaced or deleted at `now`.
pub(super) fn replaced(stored: &[u8], now: Timestamp) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD_BYTES + stored.len());
    out.put_u8(RECORD);
    out.put_uint(now.min(Timestamp::MAX).0, 6);
    out.put_slice(stored);
    out.freeze()
}

/// The entry for the commit that deletes a key at `now`.
pub(super) fn deleted(now: Timestamp) -> Bytes {
    let mut out = BytesMut::with_capacity(HEAD_BYTES);
    out.put_u8(DELETED);
    out.put_uint(now.min(Timestamp::MAX).0, 6);
    out.freeze()
}

/// When the version in an entry was replaced, and its envelope, where there is one.
fn decode(mut entry: Bytes) -> Result<(Timestamp, Option<Bytes>), StorageError> {
    let damaged = || corrupt("an entry of a collection's history is damaged".to_owned());
    let kind = entry.try_get_u8().map_err(|_| damaged())?;
    let time = Timestamp(entry.try_get_uint(6).map_err(|_| damaged())?);
    match kind {
        RECORD => Ok((time, Some(entry))),
        DELETED if entry.is_empty() => Ok((time, None)),
        _ => Err(damaged()),
    }
}

fn version_of(key: &[u8]) -> Result<Version, StorageError> {
    let version = key.last_chunk::<VERSION_BYTES>();
    let damaged = || corrupt("a key of a collection's history is damaged".to_owned());
    version.map(|version| Version(u64::from_be_bytes(*version))).ok_or_else(damaged)
}

/// What an entry counts towards its component's usage: the key and what the record counts. `None` where there is none.
pub(super) fn used_bytes(view: &dyn View, key: &[u8]) -> Result<Option<u64>, StorageError> {
    let mut used = Ok(None);
    view.look(key, &mut |stored| {
        used = stored.map(|stored| entry_used(key, stored)).transpose();
    })?;
    used
}

fn entry_used(key: &[u8], stored: &[u8]) -> Result<u64, StorageError> {
    let damaged = || corrupt("a key of a collection's history is damaged".to_owned());
    let third = key.iter().enumerate().filter(|(_, byte)| **byte == b'/').nth(2).ok_or_else(damaged)?.0;
    let own_key = key.len().checked_sub(third + 1 + 2 + VERSION_BYTES).ok_or_else(damaged)?;
    let record = match stored.split_at_checked(HEAD_BYTES) {
        Some((head, envelope)) if head.first() == Some(&RECORD) => Head::decode(envelope)?.used_bytes(envelope)?,
        _ => 0,
    };
    Ok(u64::try_from(own_key + record).unwrap_or(u64::MAX))
}

/// All entries of one key up to a version, the newest first.
fn scan_of(prefix: &[u8], at_most: Option<Version>) -> Scan {
    let mut scan = Scan { reverse: true, ..Scan::prefix(prefix) };
    if let Some(version) = at_most {
        scan.end = Bound::Included(entry_key(prefix, version));
    }
    scan
}

/// Whether the key has had a version before, of which something is kept.
pub(super) fn has_any(view: &dyn View, prefix: &[u8]) -> Result<bool, StorageError> {
    let scan = Scan { limit: 1, value_bytes: 0, ..scan_of(prefix, None) };
    Ok(!view.scan(&scan)?.entries.is_empty())
}

/// Entries that one commit looks at to find those that are to be forgotten. A key that has more of them forgets the rest
/// with its next commits.
const FORGET_AT_ONCE: usize = 64;

/// The entries of a key that are beyond the last `keep`: to be removed.
pub(super) fn beyond(view: &dyn View, prefix: &[u8], keep: usize) -> Result<Vec<Bytes>, StorageError> {
    let scan = Scan { limit: keep.saturating_add(FORGET_AT_ONCE), value_bytes: 0, ..scan_of(prefix, None) };
    Ok(view.scan(&scan)?.entries.into_iter().skip(keep).map(|(key, _)| key).collect())
}

/// Whether a commit with this version looks for entries to forget: at each, where looking is cheap, else at every 32nd.
pub(super) fn forgets_now(keep: usize, version: Version) -> bool {
    keep <= FORGET_AT_ONCE || version.0.is_multiple_of(32)
}

/// The first entries of a place's history, for removing all of it.
pub(super) fn first_of(place_prefix: &str, limit: usize) -> Scan {
    Scan { limit, value_bytes: 0, ..Scan::prefix(&KeySpace::History.key(place_prefix)) }
}

/// Reads what is kept of a key.
pub(super) async fn versions<E: Engine>(
    source: &Source<'_, E>,
    request: &VersionsRequest,
    now: Timestamp,
) -> Result<KeyVersions, StorageError> {
    let (place_prefix, own_key) = split_namespaced(&request.key).unwrap_or_default();
    let (retention, configured) = retention(source, place_prefix).await?;
    // Also where it has expired: then it still hides those before it.
    let present = source.read_one(&KeySpace::Record.key(&request.key)).await?.map(record::decode).transpose()?;
    let present = present.filter(|record| retention.keeps_history() || is_there(record, now));
    let prefix = key_prefix(place_prefix, own_key);
    let within = |version: Version| request.at_most.is_none_or(|at_most| version <= at_most);

    // The oldest version that the settings keep, however many of those are newer than what is asked for.
    let keep = retention.versions.map(|versions| usize::try_from(versions).unwrap_or(usize::MAX));
    let keep_past = keep.map(|keep| keep.saturating_sub(usize::from(present.is_some())));
    let mut oldest_kept = Version(0);
    if let Some(keep_past) = keep_past {
        let scan = Scan { limit: keep_past.saturating_add(1), value_bytes: 0, ..scan_of(&prefix, None) };
        let page = source.scan(&scan).await?;
        if page.entries.len() > keep_past {
            let last = keep_past.checked_sub(1).and_then(|last| page.entries.get(last));
            oldest_kept = last.map_or(Ok(Version(u64::MAX)), |(key, _)| version_of(key))?;
        }
    }

    let is_over = |time: Timestamp| retention.age.is_some_and(|age| time.after(age) <= now);
    let limit = request.limit.min(MAX_PAGE_ITEMS);
    let mut found = KeyVersions::default();
    let mut replaced = false;
    if let Some(record) = present {
        replaced = record.metadata.replaced;
        if within(record.version) {
            let version = record.version;
            found.versions.push(KeyVersion { version, record: Some(record).filter(|record| is_there(record, now)) });
        }
    }
    if !retention.keeps_history() {
        // Nobody knows what was there before; only what is there now.
        let scope = scope_of(place_prefix).unwrap_or_default();
        let asks_for_past = match request.at_most {
            Some(at_most) => at_most < source.state(&scope).await?.version,
            None => false,
        };
        found.forgotten = found.versions.is_empty() && asks_for_past;
        found.more = found.versions.len() > limit;
        found.versions.truncate(limit);
        return Ok(found);
    }
    let scan = Scan { limit: limit.saturating_add(1), max_bytes: MAX_PAGE_BYTES, ..scan_of(&prefix, request.at_most) };
    let page = source.scan(&scan).await?;
    found.more = page.more;
    for (key, entry) in page.entries {
        let version = version_of(&key)?;
        let (time, envelope) = decode(entry)?;
        if version < oldest_kept || is_over(time) {
            found.more = false;
            break;
        }
        let record = envelope.map(record::decode).transpose()?;
        replaced = record.as_ref().is_none_or(|record| record.metadata.replaced);
        let record = record.filter(|record| is_there(record, now));
        found.versions.push(KeyVersion { version, record });
    }
    if let (Some(at_most), true) = (request.at_most, found.versions.is_empty()) {
        let oldest =
            oldest_after(source, &prefix, at_most.max(Version(oldest_kept.0.saturating_sub(1))), is_over).await?;
        replaced = oldest.unwrap_or(replaced);
    }
    found.more |= found.versions.len() > limit;
    found.versions.truncate(limit);
    // Before its settings were last changed, the collection may have kept less.
    let before = request.at_most.is_some_and(|at_most| at_most < configured) && found.versions.is_empty();
    found.forgotten = !found.more && (replaced || before);
    Ok(found)
}

/// Whether the oldest version after `version` that is still kept had others before it; `None` where there is none.
async fn oldest_after<E: Engine>(
    source: &Source<'_, E>,
    prefix: &[u8],
    version: Version,
    is_over: impl Fn(Timestamp) -> bool,
) -> Result<Option<bool>, StorageError> {
    let mut scan = Scan { limit: FORGET_AT_ONCE, value_bytes: HEAD_BYTES + record::HEAD_BYTES, ..Scan::prefix(prefix) };
    scan.start = Bound::Excluded(entry_key(prefix, version));
    loop {
        let page = source.scan(&scan).await?;
        for (_, entry) in &page.entries {
            let (time, envelope) = decode(entry.clone())?;
            if !is_over(time) {
                let replaced = envelope.map(|envelope| Head::decode(&envelope)).transpose()?;
                return Ok(Some(replaced.is_none_or(|head| head.metadata.replaced)));
            }
        }
        match page.entries.into_iter().last() {
            Some((key, _)) if page.more => scan.start = Bound::Excluded(key),
            _ => return Ok(None),
        }
    }
}

/// What the collection keeps, and the version with which that was changed last; 0 where it was so from its beginning.
async fn retention<E: Engine>(
    source: &Source<'_, E>,
    place_prefix: &str,
) -> Result<(Retention, Version), StorageError> {
    let Some(key) = settings_key(place_prefix) else { return Ok((Retention::default(), Version(0))) };
    settings_of(source.read_one(&key).await?, is_default(place_prefix))
}

/// The default collection is there before it has settings.
fn is_default(place_prefix: &str) -> bool {
    !place_prefix.contains('\u{1f}')
}

/// The engine key of the settings of the collection whose keys begin with `place_prefix`; `None` where it has none.
fn settings_key(place_prefix: &str) -> Option<Bytes> {
    let scope = scope_of(place_prefix)?;
    let place = Place::of_prefix(place_prefix, &scope)?;
    Some(KeySpace::Record.key(&registry_key(&scope, place.registry_name()?)))
}

fn settings_of(stored: Option<Bytes>, is_default: bool) -> Result<(Retention, Version), StorageError> {
    let Some(settings) = stored.map(record::decode).transpose()? else { return Ok((Retention::default(), Version(0))) };
    let configured = if settings.metadata.replaced || is_default { settings.version } else { Version(0) };
    Ok((CollectionSettings::decode(&settings)?.retention, configured))
}

/// Puts into the history that a record has expired, where its collection keeps one: it hides what was there before. Gives
/// the bytes that this counts.
pub(super) fn keep_expired(
    view: &dyn View,
    writes: &mut Writes,
    scope: &str,
    record_key: &[u8],
    version: Version,
    expired: Timestamp,
) -> Result<u64, StorageError> {
    let Some((place_prefix, own_key)) = KeySpace::Record.name(record_key).and_then(split_namespaced) else {
        return Ok(0);
    };
    let Some(settings) = settings_key(place_prefix) else { return Ok(0) };
    let mut stored = None;
    view.look(&settings, &mut |found| stored = found.map(Bytes::copy_from_slice))?;
    let (retention, _) = settings_of(stored, is_default(place_prefix))?;
    if !retention.keeps_history() {
        return Ok(0);
    }
    let key = entry_key(&key_prefix(place_prefix, own_key), version);
    if let Some(age) = retention.age {
        writes.put(due::history_entry(scope, expired.after(age), &key), due::entry_value(0));
    }
    writes.put(key, deleted(expired));
    Ok(u64::try_from(own_key.len()).unwrap_or(u64::MAX))
}

/// The namespace that a place is in.
fn scope_of(place_prefix: &str) -> Option<String> {
    let id = place_prefix.split('\u{1f}').next()?;
    Some(if id.ends_with('/') { id.to_owned() } else { format!("{id}/") })
}

const _: () = assert!(crate::limits::MAX_KEY_BYTES <= u16::MAX as usize, "a key's length has two bytes");
