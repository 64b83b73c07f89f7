//! Between the types that guests see and those of the contract. It must refuse what has no meaning, and decide nothing.

use stash_core::limits::MAX_ATTRIBUTES;
use stash_core::{
    Attributes, Change, Condition, Expiry, KeyRange, Metadata, MetadataChange, Record, ScanRequest, SetOptions,
    StorageError, Timestamp, Version,
};

use crate::bindings::stash::storage::types;

pub(crate) fn condition(condition: types::Condition) -> Condition {
    match condition {
        types::Condition::Absent => Condition::Absent,
        types::Condition::Present => Condition::Present,
        types::Condition::Version(version) => Condition::Version(Version(version)),
    }
}

pub(crate) fn expiry(expiry: types::Expiry) -> Expiry {
    match expiry {
        types::Expiry::Never => Expiry::Never,
        types::Expiry::After(millis) => Expiry::After(std::time::Duration::from_millis(millis)),
        types::Expiry::At(millis) => Expiry::At(Timestamp(millis)),
        types::Expiry::Keep => Expiry::Keep,
    }
}

/// Of two attributes with one name neither can be what was meant.
pub(crate) fn attributes(list: Vec<(String, String)>) -> Result<Attributes, StorageError> {
    few(list.len())?;
    let mut attributes = Attributes::new();
    for (name, value) in list {
        if attributes.contains_key(&name) {
            return Err(twice(&name));
        }
        attributes.insert(name, value);
    }
    Ok(attributes)
}

/// Refuses what can only be refused later, before anything is made of it.
fn few(attributes: usize) -> Result<(), StorageError> {
    if attributes > 2 * MAX_ATTRIBUTES {
        let number = |n: usize| u64::try_from(n).unwrap_or(u64::MAX);
        let (actual, limit) = (number(attributes), number(MAX_ATTRIBUTES));
        return Err(StorageError::LimitExceeded { what: "the number of attributes", actual, limit, instead: "" });
    }
    Ok(())
}

fn twice(name: &str) -> StorageError {
    let shown: String = name.chars().take(40).collect();
    StorageError::InvalidArgument { reason: format!("the attribute '{}' is there twice", shown.escape_debug()) }
}

pub(crate) fn set_options(options: types::SetOptions) -> Result<SetOptions, StorageError> {
    Ok(SetOptions {
        expiry: expiry(options.expires),
        content_type: options.content_type,
        attributes: attributes(options.attributes)?,
    })
}

pub(crate) fn metadata_change(change: types::MetadataChange) -> Result<MetadataChange, StorageError> {
    Ok(match change {
        types::MetadataChange::Replace(new) => {
            MetadataChange::Replace { content_type: new.content_type, attributes: attributes(new.attributes)? }
        }
        types::MetadataChange::Merge(merged) => {
            few(merged.attributes.len())?;
            let mut attributes = std::collections::BTreeMap::new();
            for (name, value) in merged.attributes {
                if attributes.contains_key(&name) {
                    return Err(twice(&name));
                }
                attributes.insert(name, value);
            }
            MetadataChange::Merge { content_type: merged.content_type, attributes }
        }
    })
}

/// A record to be set, as a change of its key.
pub(crate) fn item(item: types::Item) -> Result<(String, Change), StorageError> {
    let options = item.options.map(set_options).transpose()?.map(Box::new);
    Ok((item.key, Change::Set { value: item.value.into(), options }))
}

pub(crate) fn change(change: types::Change) -> Result<(String, Change), StorageError> {
    Ok(match change {
        types::Change::Set(set) => item(set)?,
        types::Change::Delete(key) => (key, Change::Delete),
        types::Change::Increment((key, delta)) => (key, Change::Add(delta)),
        types::Change::Min((key, bound)) => (key, Change::Min(bound)),
        types::Change::Max((key, bound)) => (key, Change::Max(bound)),
        types::Change::Append((key, more)) => (key, Change::Append(more.into())),
        types::Change::Expire((key, expires)) => (key, Change::Expire(expiry(expires))),
        types::Change::SetMetadata((key, change)) => (key, Change::Metadata(Box::new(metadata_change(change)?))),
    })
}

pub(crate) fn range(range: types::KeyRange) -> Result<KeyRange, StorageError> {
    Ok(KeyRange {
        prefix: range.prefix.unwrap_or_default(),
        start: range.start,
        end: range.end,
        pattern: range.pattern.map(|pattern| pattern.parse()).transpose()?,
    })
}

/// What to list, and the cursor to go on from.
pub(crate) fn list(options: types::ListOptions, values: bool) -> Result<(ScanRequest, Option<String>), StorageError> {
    let mut request = ScanRequest {
        range: range(options.range)?,
        after: options.start_after,
        reverse: options.reverse,
        values,
        ..ScanRequest::default()
    };
    if let Some(limit) = options.limit {
        request.limit = at_least_one(limit)?;
    }
    Ok((request, options.cursor))
}

/// A page of nothing could not say where the list goes on.
pub(crate) fn at_least_one(limit: u32) -> Result<usize, StorageError> {
    if limit == 0 {
        return Err(StorageError::InvalidArgument { reason: "a limit is at least 1".to_owned() });
    }
    Ok(usize::try_from(limit).unwrap_or(usize::MAX))
}

pub(crate) fn guest_metadata(version: Version, metadata: &Metadata) -> types::Metadata {
    let millis = |time: Option<Timestamp>| time.map(|time| time.0);
    types::Metadata {
        version: version.0,
        created: millis(metadata.created),
        updated: millis(metadata.updated),
        expires: millis(metadata.expires),
        content_type: metadata.content_type().map(str::to_owned),
        attributes: guest_attributes(metadata.attributes()),
    }
}

pub(crate) fn guest_attributes(attributes: &Attributes) -> Vec<(String, String)> {
    attributes.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

pub(crate) fn guest_entry(key: String, record: &Record) -> types::Entry {
    types::Entry { key, value: record.value.to_vec(), metadata: guest_metadata(record.version, &record.metadata) }
}

pub(crate) fn guest_value(record: Record) -> Vec<u8> {
    record.value.to_vec()
}
