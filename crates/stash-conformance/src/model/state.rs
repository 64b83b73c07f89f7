//! What a component has, as plain maps: the rules of the contract, said once more and as simply as they can be.

use std::collections::BTreeMap;

use stash_core::limits::MAX_KEY_BYTES;
use stash_core::{
    Attributes, Change, Condition, Expiry, MetadataChange, Record, SetOptions, StorageError, StoreLimits, Timestamp,
    Usage, Version,
};

/// The collections: the default one, which is always there, and two that come and go, one inside the other.
pub(super) const PLACES: [&str; 3] = ["", "c", "c/d"];

/// A record, as far as a caller sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Known {
    pub(super) version: Version,
    pub(super) value: Vec<u8>,
    pub(super) created: Option<Timestamp>,
    pub(super) updated: Option<Timestamp>,
    pub(super) expires: Option<Timestamp>,
    pub(super) content_type: Option<String>,
    pub(super) attributes: Attributes,
}

impl From<Record> for Known {
    fn from(record: Record) -> Self {
        let metadata = &record.metadata;
        Self {
            version: record.version,
            value: record.value.to_vec(),
            created: metadata.created,
            updated: metadata.updated,
            expires: metadata.expires,
            content_type: metadata.content_type().map(str::to_owned),
            attributes: metadata.attributes().clone(),
        }
    }
}

pub(super) type Records = BTreeMap<String, Known>;

/// The checks and changes of a commit, each in the place with that number.
pub(super) type Checks = Vec<(usize, String, Condition)>;
pub(super) type Changes = Vec<(usize, String, Change)>;

/// What a change tells: whether there was a record, the number, how many were cleared.
pub(super) type Told = (bool, Option<i64>, Option<u64>);

#[derive(Debug, Clone, Default)]
pub(super) struct Model {
    pub(super) version: Version,
    pub(super) places: [Records; PLACES.len()],
    /// Which collections there are; the default one's does not count.
    pub(super) made: [bool; PLACES.len()],
}

impl Model {
    /// Forgets what has expired.
    pub(super) fn expire(&mut self, now: Timestamp) {
        for records in &mut self.places {
            records.retain(|_, record| record.expires.is_none_or(|expires| expires > now));
        }
    }

    pub(super) fn usage(&self, quota_bytes: Option<u64>) -> Usage {
        let records = self.places.iter().flatten();
        let bytes = |(key, record): (&String, &Known)| {
            let attributes: usize = record.attributes.iter().map(|(name, value)| name.len() + value.len()).sum();
            key.len() + record.value.len() + record.content_type.as_ref().map_or(0, String::len) + attributes
        };
        let used_bytes = records.clone().map(bytes).sum::<usize>() as u64;
        Usage { used_bytes, key_count: records.count() as u64, quota_bytes }
    }

    /// What the key was, in a place that keeps only the present.
    pub(super) fn at(&self, place: usize, key: &str, version: Version) -> Result<Option<Known>, StorageError> {
        valid(key)?;
        match self.places[place].get(key) {
            Some(record) if record.version <= version => Ok(Some(record.clone())),
            present if version >= self.version => Ok(present.cloned()),
            _ => Err(StorageError::VersionForgotten { key: key.to_owned(), version }),
        }
    }

    /// Does a commit, or says why not.
    pub(super) fn commit(
        &mut self,
        checks: &Checks,
        changes: &Changes,
        limits: Option<StoreLimits>,
        now: Timestamp,
    ) -> Result<(Version, Vec<Told>), StorageError> {
        let max_value = limits.map_or(usize::MAX, |limits| limits.max_value_bytes);
        for (_, _, change) in changes {
            match change {
                Change::Set { value, .. } | Change::Append(value) => fits(value.len(), max_value)?,
                _ => {}
            }
        }
        checks.iter().try_for_each(|(_, key, _)| valid(key))?;
        for (_, key, change) in changes {
            if !matches!(change, Change::Clear { .. }) {
                valid(key)?;
            }
        }
        for (place, key, condition) in checks {
            self.check(*place, key, *condition)?;
        }
        let mut after = self.clone();
        after.version.0 += 1;
        let mut told = Vec::new();
        for (place, key, change) in changes {
            if *place > 0 && !self.made[*place] {
                return Err(StorageError::NoCollection { name: PLACES[*place].to_owned() });
            }
            let records = &mut after.places[*place];
            if let Change::Clear { .. } = change {
                let before = records.len();
                records.retain(|other, _| !other.starts_with(key.as_str()));
                let removed = (before - records.len()) as u64;
                told.push((removed > 0, None, Some(removed)));
                continue;
            }
            let before = records.get(key).cloned();
            let (record, number) = changed(change, key, before.as_ref(), now, after.version, max_value)?;
            told.push((before.is_some(), number, None));
            match record {
                Some(record) => records.insert(key.clone(), record),
                None => records.remove(key),
            };
        }
        // A record that comes and goes within a batch was never there.
        if after.places == self.places {
            return Ok((self.version, told));
        }
        let (before, used) = (self.usage(None).used_bytes, after.usage(None).used_bytes);
        if let Some(quota) = limits.and_then(|limits| limits.quota_bytes)
            && used > quota
            && used > before
        {
            return Err(StorageError::QuotaExceeded { used: before, quota, needed: used - before });
        }
        *self = after;
        Ok((self.version, told))
    }

    fn check(&self, place: usize, key: &str, condition: Condition) -> Result<(), StorageError> {
        let current = self.places[place].get(key).map(|record| record.version);
        let key = key.to_owned();
        match condition {
            Condition::Absent if current.is_some() => Err(StorageError::AlreadyExists { key }),
            Condition::Present if current.is_none() => Err(StorageError::NotFound { key }),
            Condition::Version(version) if current != Some(version) => {
                Err(StorageError::Conflict { key, expected: Some(version), current })
            }
            _ => Ok(()),
        }
    }

    /// Makes a collection; every one that is made or deleted is a commit.
    pub(super) fn make(&mut self, place: usize) -> Result<(), StorageError> {
        if std::mem::replace(&mut self.made[place], true) {
            return Err(StorageError::CollectionExists { name: PLACES[place].to_owned() });
        }
        self.version.0 += 1;
        Ok(())
    }

    pub(super) fn unmake(&mut self, place: usize, recursive: bool) -> Result<(), StorageError> {
        let name = PLACES[place].to_owned();
        if !self.made[place] {
            return Err(StorageError::NoCollection { name });
        }
        let inner = place + 1..if place == 1 { PLACES.len() } else { place + 1 };
        if !recursive && (!self.places[place].is_empty() || inner.clone().any(|inner| self.made[inner])) {
            return Err(StorageError::CollectionNotEmpty { name });
        }
        for place in inner.rev().chain([place]) {
            if std::mem::take(&mut self.made[place]) {
                self.places[place].clear();
                self.version.0 += 1;
            }
        }
        Ok(())
    }
}

/// What a change makes of a record, and the number that it tells.
pub(super) fn changed(
    change: &Change,
    key: &str,
    before: Option<&Known>,
    now: Timestamp,
    version: Version,
    max_value: usize,
) -> Result<(Option<Known>, Option<i64>), StorageError> {
    let missing = || StorageError::NotFound { key: key.to_owned() };
    let new = |value: Vec<u8>, expires, (content_type, attributes)| Known {
        version,
        value,
        created: before.map_or(Some(now), |before| before.created),
        updated: Some(now),
        expires,
        content_type,
        attributes,
    };
    let plain = || (None, Attributes::new());
    let texts = || before.map_or_else(plain, |before| (before.content_type.clone(), before.attributes.clone()));
    let kept = |value| new(value, before.and_then(|before| before.expires), texts());
    let until = |expiry: &Expiry| match expiry {
        Expiry::Never => None,
        Expiry::After(time) => Some(now.after(*time)),
        Expiry::At(moment) => Some(*moment),
        Expiry::Keep => before.and_then(|before| before.expires),
    };
    let number = || match before {
        None => Ok(None),
        Some(before) => {
            let text = std::str::from_utf8(&before.value).ok().and_then(|text| text.parse::<i64>().ok());
            text.map(Some).ok_or(StorageError::NotANumber { key: key.to_owned() })
        }
    };
    let (record, told) = match change {
        Change::Set { value, options: None } => (Some(new(value.to_vec(), None, plain())), None),
        Change::Set { value, options: Some(options) } => {
            let SetOptions { expiry, content_type, attributes } = &**options;
            (Some(new(value.to_vec(), until(expiry), (content_type.clone(), attributes.clone()))), None)
        }
        Change::Delete => (None, None),
        Change::Add(delta) => {
            let before = number()?.unwrap_or(0);
            let out_of_range = StorageError::NumberOutOfRange { key: key.to_owned(), number: before, delta: *delta };
            let after = before.checked_add(*delta).ok_or(out_of_range)?;
            (Some(kept(after.to_string().into_bytes())), Some(after))
        }
        Change::Max(bound) => {
            let after = number()?.map_or(*bound, |number| number.max(*bound));
            (Some(kept(after.to_string().into_bytes())), Some(after))
        }
        Change::Append(more) => {
            let joined = [before.map_or(&[][..], |before| &before.value), more].concat();
            fits(joined.len(), max_value)?;
            (Some(kept(joined)), None)
        }
        Change::Expire(expiry) => {
            let before = before.ok_or_else(missing)?;
            (Some(new(before.value.clone(), until(expiry), texts())), None)
        }
        Change::Metadata(change) => {
            let before = before.ok_or_else(missing)?;
            (Some(new(before.value.clone(), before.expires, described(change, texts()))), None)
        }
        other => panic!("no step makes {other:?}"),
    };
    Ok((record.filter(|record| record.expires.is_none_or(|expires| expires > now)), told))
}

/// The content type and attributes that a change makes of others.
fn described(
    change: &MetadataChange,
    (old_type, mut all): (Option<String>, Attributes),
) -> (Option<String>, Attributes) {
    match change {
        MetadataChange::Replace { content_type, attributes } => (content_type.clone(), attributes.clone()),
        MetadataChange::Merge { content_type, attributes } => {
            for (name, value) in attributes {
                all.remove(name);
                all.extend(value.clone().map(|value| (name.clone(), value)));
            }
            (content_type.clone().or(old_type), all)
        }
    }
}

/// The rule for values, said once more.
pub(super) fn fits(length: usize, max: usize) -> Result<(), StorageError> {
    if length <= max {
        return Ok(());
    }
    let (actual, limit) = (length as u64, max as u64);
    Err(StorageError::LimitExceeded { what: "the size of a value in bytes", actual, limit, instead: "" })
}

/// The rule for keys, said once more.
pub(super) fn valid(key: &str) -> Result<(), StorageError> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        0 => Err(StorageError::InvalidKey { reason: "a key has at least one byte".to_owned() }),
        bytes => Err(StorageError::InvalidKey { reason: format!("it has {bytes} bytes; the limit is 2048") }),
    }
}
