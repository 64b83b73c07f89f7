//! What a commit can do to one record, and what comes of it: a pure function of the record before, the time and the
//! version. Commits and transactions use the same one, so that what a transaction has shown is what it commits.

use bytes::BytesMut;

use crate::batch::limit;
use crate::clock::Timestamp;
use crate::error::StorageError;
use crate::limits::{MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_CONTENT_TYPE_BYTES, MAX_VALUE_BYTES};
use crate::metadata::{Expiry, Metadata, MetadataChange, SetOptions, attribute_bytes, check_texts};
use crate::record::{Record, Version};
use crate::value::StorageValue;

/// A change to one record, or with [`Clear`](Self::Clear) to all with one prefix.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Change {
    /// Store the value, whether or not there was one.
    Set {
        /// What to store.
        value: StorageValue,
        /// Expiry, content type and attributes; `None` for a plain value that stays.
        options: Option<Box<SetOptions>>,
    },
    /// Remove the record, if there is one.
    Delete,
    /// Add to the number in the value; an absent key counts as 0. Expiry, content type and attributes stay.
    Add(i64),
    /// Make the number in the value this one if it is larger, or absent.
    Min(i64),
    /// Make the number in the value this one if it is smaller, or absent.
    Max(i64),
    /// Put bytes after those of the value; an absent key counts as empty. Expiry, content type and attributes stay.
    Append(StorageValue),
    /// Let the record expire at another time, or never. Fails where there is no record.
    Expire(Expiry),
    /// Change content type and attributes. Fails where there is no record.
    Metadata(Box<MetadataChange>),
    /// Remove every record whose key begins with the mutation's, up to [`limit`](Self::Clear::limit) of them.
    Clear {
        /// How many records, and entries of their history, this commit removes at most.
        limit: usize,
        /// Remove all or nothing: fail with [`LimitExceeded`](StorageError::LimitExceeded) where there are more.
        whole: bool,
        /// Remove the records; off to remove nothing but what `history` says.
        records: bool,
        /// Remove what is kept of earlier versions, of the whole collection.
        history: bool,
    },
}

/// What became of a record.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Applied {
    pub(crate) record: Option<Record>,
    /// The number afterwards, of the changes that are about numbers.
    pub(crate) number: Option<i64>,
}

impl Change {
    /// Bytes that it carries.
    pub(crate) fn bytes(&self) -> usize {
        match self {
            Self::Set { value, options } => {
                let texts = options.as_ref().map_or(0, |options| {
                    let attributes = options.attributes.iter().map(|(name, value)| name.len() + value.len());
                    options.content_type.as_ref().map_or(0, String::len) + attributes.sum::<usize>()
                });
                value.len().saturating_add(texts)
            }
            Self::Append(value) => value.len(),
            Self::Metadata(change) => change.bytes(),
            _ => 0,
        }
    }

    /// Whether what comes of it depends on the value before, and not only on there being one.
    pub(crate) fn needs_value(&self) -> bool {
        !matches!(self, Self::Set { .. } | Self::Delete | Self::Clear { .. })
    }

    /// Holds its own parts against the limits, whatever the record is.
    pub(crate) fn check(&self, max_value_bytes: usize) -> Result<(), StorageError> {
        match self {
            Self::Set { value, options } => {
                check_value(value.len(), max_value_bytes)?;
                options
                    .as_ref()
                    .map_or(Ok(()), |options| check_texts(options.content_type.as_deref(), &options.attributes))
            }
            Self::Append(value) => check_value(value.len(), max_value_bytes),
            Self::Metadata(change) => match &**change {
                MetadataChange::Replace { content_type, attributes } => {
                    check_texts(content_type.as_deref(), attributes)
                }
                // What it is merged with counts too: seen when it is applied.
                MetadataChange::Merge { attributes, .. } => {
                    // As many to remove as to set.
                    if attributes.len() > 2 * MAX_ATTRIBUTES {
                        return Err(limit("the number of attributes", attributes.len(), 2 * MAX_ATTRIBUTES));
                    }
                    if change.bytes() > 2 * MAX_ATTRIBUTE_BYTES + MAX_CONTENT_TYPE_BYTES {
                        return Err(limit(
                            "the size of the attributes in bytes",
                            change.bytes(),
                            2 * MAX_ATTRIBUTE_BYTES,
                        ));
                    }
                    Ok(())
                }
            },
            _ => Ok(()),
        }
    }

    /// What the record `key` becomes at `now`, in the commit `version`.
    pub(crate) fn apply(
        &self,
        key: &str,
        before: Option<&Record>,
        now: Timestamp,
        version: Version,
        max_value_bytes: usize,
    ) -> Result<Applied, StorageError> {
        let old = || before.map(|record| record.metadata.clone()).unwrap_or_default();
        let dated = |metadata: Metadata| Metadata {
            // Of a record from before there were times it is not known.
            created: before.map_or(Some(now), |record| record.metadata.created),
            updated: Some(now),
            ..metadata
        };
        let record = |value: StorageValue, metadata: Metadata| Record { version, value, metadata: dated(metadata) };
        let must = || before.ok_or_else(|| StorageError::NotFound { key: key.to_owned() });
        let number =
            |number: i64| Applied { record: Some(record(number.to_string().into(), old())), number: Some(number) };
        let becomes = |record| Applied { record: Some(record), number: None };
        let applied = match self {
            Self::Set { value, options: None } => becomes(record(value.clone(), Metadata::default())),
            Self::Set { value, options: Some(options) } => {
                let expires = options.expiry.resolve(now, before.and_then(|record| record.metadata.expires));
                let metadata = Metadata { expires, ..Metadata::default() };
                let metadata = metadata.with_texts(options.content_type.clone(), options.attributes.clone());
                becomes(record(value.clone(), metadata))
            }
            Self::Add(delta) => {
                let before = number_in(key, before)?.unwrap_or(0);
                number(before.checked_add(*delta).ok_or_else(|| StorageError::NumberOutOfRange {
                    key: key.to_owned(),
                    number: before,
                    delta: *delta,
                })?)
            }
            Self::Min(bound) => number(number_in(key, before)?.map_or(*bound, |number| number.min(*bound))),
            Self::Max(bound) => number(number_in(key, before)?.map_or(*bound, |number| number.max(*bound))),
            Self::Append(more) => {
                let value: &[u8] = before.map_or(&[], |record| &record.value);
                let length = value.len().saturating_add(more.len());
                check_value(length, max_value_bytes)?;
                let mut joined = BytesMut::with_capacity(length);
                joined.extend_from_slice(value);
                joined.extend_from_slice(more);
                becomes(record(joined.freeze().into(), old()))
            }
            Self::Expire(expiry) => {
                let before = must()?;
                let metadata =
                    Metadata { expires: expiry.resolve(now, before.metadata.expires), ..before.metadata.clone() };
                becomes(record(before.value.clone(), metadata))
            }
            Self::Metadata(change) => {
                let before = must()?;
                let (content_type, attributes) = change.apply(&before.metadata);
                check_texts(content_type.as_deref(), &attributes)?;
                becomes(record(before.value.clone(), before.metadata.clone().with_texts(content_type, attributes)))
            }
            // Clearing is not about one record: the commit sees to it.
            Self::Delete | Self::Clear { .. } => Applied::default(),
        };
        let stays = |record: &Record| !record.metadata.is_expired(now);
        Ok(Applied { record: applied.record.filter(stays), ..applied })
    }
}

impl MetadataChange {
    /// Bytes of the texts that it carries.
    fn bytes(&self) -> usize {
        let (content_type, attributes) = match self {
            Self::Replace { content_type, attributes } => (content_type, attribute_bytes(attributes)),
            Self::Merge { content_type, attributes } => {
                let bytes =
                    |(name, value): (&String, &Option<String>)| name.len() + value.as_ref().map_or(0, String::len);
                (content_type, attributes.iter().map(bytes).sum())
            }
        };
        content_type.as_ref().map_or(0, String::len).saturating_add(attributes)
    }

    fn apply(&self, before: &Metadata) -> (Option<String>, crate::metadata::Attributes) {
        match self {
            Self::Replace { content_type, attributes } => (content_type.clone(), attributes.clone()),
            Self::Merge { content_type, attributes } => {
                let mut merged = before.attributes().clone();
                for (name, value) in attributes {
                    match value {
                        Some(value) => drop(merged.insert(name.clone(), value.clone())),
                        None => drop(merged.remove(name)),
                    }
                }
                (content_type.clone().or_else(|| before.content_type().map(str::to_owned)), merged)
            }
        }
    }
}

/// The number in a record; `None` where there is no record.
fn number_in(key: &str, record: Option<&Record>) -> Result<Option<i64>, StorageError> {
    let Some(record) = record else { return Ok(None) };
    let number = record.value.as_text().and_then(|text| text.parse().ok());
    number.map(Some).ok_or_else(|| StorageError::NotANumber { key: key.to_owned() })
}

pub(crate) fn check_value(length: usize, max: usize) -> Result<(), StorageError> {
    let max = max.min(MAX_VALUE_BYTES);
    if length > max {
        return Err(limit("the size of a value in bytes", length, max));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::metadata::Attributes;
    use std::collections::BTreeMap;
    use std::time::Duration;

    const NOW: Timestamp = Timestamp(1_000);

    fn apply(change: &Change, before: Option<&Record>) -> Result<Applied, StorageError> {
        change.apply("k", before, NOW, Version(7), usize::MAX)
    }

    fn old(value: &str) -> Record {
        let metadata = Metadata {
            created: Some(Timestamp(1)),
            updated: Some(Timestamp(2)),
            expires: Some(Timestamp(9_000)),
            ..Metadata::default()
        };
        let attributes = Attributes::from([("a".to_owned(), "1".to_owned()), ("b".to_owned(), "2".to_owned())]);
        let metadata = metadata.with_texts(Some("text/plain".to_owned()), attributes);
        Record { version: Version(3), value: value.into(), metadata }
    }

    #[test]
    fn numbers_count_up_and_down_and_stop_at_their_ends() {
        for (change, before, after) in [
            (Change::Add(5), None, 5),
            (Change::Add(-7), Some("5"), -2),
            (Change::Add(-1), Some("-9223372036854775807"), i64::MIN),
            (Change::Min(3), Some("5"), 3),
            (Change::Min(9), Some("5"), 5),
            (Change::Min(9), None, 9),
            (Change::Max(9), Some("5"), 9),
            (Change::Max(-9), Some("5"), 5),
        ] {
            let applied = apply(&change, before.map(old).as_ref()).unwrap();
            assert_eq!(applied.number, Some(after), "{change:?} of {before:?}");
            let record = applied.record.unwrap();
            assert_eq!(record.value.as_text(), Some(&*after.to_string()));
            assert_eq!(record.metadata.expires, before.map(|_| Timestamp(9_000)), "a counter stays what it was");
        }
    }

    #[test]
    fn what_is_no_number_or_too_large_says_so() {
        for text in ["", "x", "1.5", " 1", "1 ", "9223372036854775808", "0x10"] {
            let error = apply(&Change::Add(1), Some(&old(text))).unwrap_err();
            assert_eq!(error, StorageError::NotANumber { key: "k".into() }, "{text:?}");
        }
        let error = apply(&Change::Add(1), Some(&old("9223372036854775807"))).unwrap_err().to_string();
        assert_eq!(error, "the number in 'k' would be out of range: 9223372036854775807 and a change of 1");
        let error = apply(&Change::Add(1), Some(&old("x"))).unwrap_err().to_string();
        assert!(error.starts_with("the value of 'k' is not a whole number in decimal digits between -92"), "{error}");
    }

    #[test]
    fn a_plain_set_keeps_only_the_time_of_creation() {
        let set = Change::Set { value: "v".into(), options: None };
        let record = apply(&set, Some(&old("x"))).unwrap().record.unwrap();
        let expected = Metadata { created: Some(Timestamp(1)), updated: Some(NOW), ..Metadata::default() };
        assert_eq!((record.version, record.metadata), (Version(7), expected));
    }

    #[test]
    fn expiry_is_never_after_at_or_kept() {
        let expires = |expiry| {
            let set =
                Change::Set { value: "v".into(), options: Some(SetOptions { expiry, ..SetOptions::default() }.into()) };
            apply(&set, Some(&old("x"))).unwrap().record.map(|record| record.metadata.expires)
        };
        assert_eq!(expires(Expiry::Never), Some(None));
        assert_eq!(expires(Expiry::After(Duration::from_secs(2))), Some(Some(Timestamp(3_000))));
        assert_eq!(expires(Expiry::At(Timestamp(1_001))), Some(Some(Timestamp(1_001))));
        assert_eq!(expires(Expiry::Keep), Some(Some(Timestamp(9_000))));
        assert_eq!(expires(Expiry::At(NOW)), None, "it has expired already");
        assert_eq!(expires(Expiry::After(Duration::MAX)), Some(Some(Timestamp::MAX)));
        let persisted = apply(&Change::Expire(Expiry::Never), Some(&old("x"))).unwrap().record.unwrap();
        assert_eq!((persisted.metadata.expires, persisted.metadata.content_type()), (None, Some("text/plain")));
        let error = apply(&Change::Expire(Expiry::Never), None).unwrap_err();
        assert_eq!(error, StorageError::NotFound { key: "k".into() });
    }

    #[test]
    fn metadata_is_replaced_or_merged() {
        let replace = MetadataChange::Replace { content_type: None, attributes: Attributes::new() };
        let record = apply(&Change::Metadata(replace.into()), Some(&old("x"))).unwrap().record.unwrap();
        assert_eq!((record.metadata.content_type(), record.metadata.attributes().len()), (None, 0));
        let attributes = BTreeMap::from([("a".to_owned(), None), ("c".to_owned(), Some("3".to_owned()))]);
        let merge = MetadataChange::Merge { content_type: None, attributes };
        let record = apply(&Change::Metadata(merge.into()), Some(&old("x"))).unwrap().record.unwrap();
        assert_eq!(record.metadata.content_type(), Some("text/plain"));
        let expected = [("b", "2"), ("c", "3")].map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(record.metadata.attributes(), &Attributes::from(expected));
        assert_eq!(record.metadata.expires, Some(Timestamp(9_000)));
    }

    #[test]
    fn what_is_appended_counts_with_what_was_there() {
        let append = Change::Append("de".into());
        assert_eq!(apply(&append, Some(&old("abc"))).unwrap().record.unwrap().value.as_text(), Some("abcde"));
        assert_eq!(apply(&append, None).unwrap().record.unwrap().value.as_text(), Some("de"));
        let error = append.apply("k", Some(&old("abc")), NOW, Version(7), 4).unwrap_err().to_string();
        assert_eq!(error, "limit exceeded: the size of a value in bytes is 5; the limit is 4");
    }
}
