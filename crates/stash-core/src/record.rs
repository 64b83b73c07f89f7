//! The envelope around every stored value. It must stay readable forever: a new meaning is a new flag or format byte,
//! never a new meaning of an old one. `docs/FORMAT.md` draws it.

use bytes::{Buf, BufMut, Bytes};

use crate::clock::Timestamp;
use crate::error::StorageError;
use crate::metadata::{Attributes, Metadata};
use crate::value::StorageValue;

/// The number of a commit within its namespace. It grows by one with every commit that changes the namespace and is
/// never used twice, also not after a record is deleted and made again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(pub u64);

impl std::fmt::Display for Version {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A value together with what the store knows about it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Record {
    /// The commit that wrote it.
    pub version: Version,
    /// What was stored.
    pub value: StorageValue,
    /// Times, content type, attributes.
    pub metadata: Metadata,
}

impl Record {
    /// Bytes of the value, the content type and the attributes: what it counts beside its key.
    pub(crate) fn used_bytes(&self) -> usize {
        self.value.len().saturating_add(self.metadata.text_bytes())
    }
}

/// The envelope's format byte.
const FORMAT: u8 = 1;

/// Which parts follow the version, in this order. A set bit that is not here means something this version does not know.
mod flag {
    /// When it was last changed.
    pub(super) const UPDATED: u8 = 0x01;
    /// When it was made; records from before this was always written have it only where that is another moment.
    pub(super) const CREATED: u8 = 0x02;
    /// When it expires.
    pub(super) const EXPIRES: u8 = 0x04;
    /// Content type and attributes.
    pub(super) const TEXTS: u8 = 0x08;
    /// Its key had an earlier version; no part follows.
    pub(super) const REPLACED: u8 = 0x10;

    pub(super) const KNOWN: u8 = UPDATED | CREATED | EXPIRES | TEXTS | REPLACED;
}

/// Format byte, flags, version.
const FIXED_BYTES: usize = 1 + 1 + 8;
/// A moment: milliseconds in 48 bits.
const TIME_BYTES: usize = 6;
/// Stands for a time of creation that is not known.
const UNKNOWN: Timestamp = Timestamp(0);
/// With so many first bytes of a stored record its version and times are known.
pub(crate) const HEAD_BYTES: usize = FIXED_BYTES + 3 * TIME_BYTES;
/// The envelope of a record that does not expire.
pub(crate) const PLAIN_HEAD_BYTES: usize = FIXED_BYTES + 2 * TIME_BYTES;
/// The length of content type and attributes.
const TEXTS_LENGTH_BYTES: usize = 4;
/// What one attribute takes beside its texts: their lengths.
const ATTRIBUTE_OVERHEAD: usize = 4;
/// What content type and attributes take beside the texts: the type's length, and the number of attributes.
const TEXTS_OVERHEAD: usize = 1 + 2;

/// The bytes to store for a record.
pub(crate) fn encode(record: &Record) -> Bytes {
    let metadata = &record.metadata;
    // Also where both are one moment: a record that grew when it was first replaced would split the engine's full pages.
    let created = match (metadata.created, metadata.updated) {
        // Not known: of a record from before there were times that was changed since.
        (None, Some(_)) => Some(UNKNOWN),
        (created, _) => created,
    };
    let text_bytes = metadata.text_bytes();
    let mut flags = 0;
    for (part, bit) in [
        (metadata.updated.is_some(), flag::UPDATED),
        (created.is_some(), flag::CREATED),
        (metadata.expires.is_some(), flag::EXPIRES),
        (text_bytes > 0, flag::TEXTS),
        (metadata.replaced, flag::REPLACED),
    ] {
        flags |= if part { bit } else { 0 };
    }
    let attributes = metadata.attributes();
    let texts = TEXTS_OVERHEAD + text_bytes + attributes.len() * ATTRIBUTE_OVERHEAD;
    let times = [metadata.updated, created, metadata.expires];
    let texts_part = if text_bytes > 0 { TEXTS_LENGTH_BYTES + texts } else { 0 };
    // To the byte: memory with room to spare costs another piece of memory when it is shared.
    let length = FIXED_BYTES + times.iter().flatten().count() * TIME_BYTES + texts_part + record.value.len();
    let mut out = Vec::with_capacity(length);
    out.put_u8(FORMAT);
    out.put_u8(flags);
    out.put_u64(record.version.0);
    for time in times.into_iter().flatten() {
        out.put_uint(time.min(Timestamp::MAX).0, TIME_BYTES);
    }
    if text_bytes > 0 {
        // The lengths fit: `check_texts` has seen the texts.
        out.put_u32(u32::try_from(texts).unwrap_or(u32::MAX));
        let content_type = metadata.content_type().unwrap_or_default();
        out.put_u8(u8::try_from(content_type.len()).unwrap_or(u8::MAX));
        out.put_slice(content_type.as_bytes());
        out.put_u16(u16::try_from(attributes.len()).unwrap_or(u16::MAX));
        for (name, value) in attributes {
            out.put_u16(u16::try_from(name.len()).unwrap_or(u16::MAX));
            out.put_u16(u16::try_from(value.len()).unwrap_or(u16::MAX));
            out.put_slice(name.as_bytes());
            out.put_slice(value.as_bytes());
        }
    }
    out.put_slice(&record.value);
    out.into()
}

/// The record in stored bytes; the value shares them.
pub(crate) fn decode(mut stored: Bytes) -> Result<Record, StorageError> {
    let head = Head::decode(&stored)?;
    stored.advance(head.bytes);
    let mut metadata = head.metadata;
    if head.has_texts {
        let length = texts_length(&stored)?;
        stored.advance(TEXTS_LENGTH_BYTES);
        let (content_type, attributes) = decode_texts(&stored.split_to(length)).ok_or_else(damaged_texts)?;
        metadata = metadata.with_texts(content_type, attributes);
    }
    Ok(Record { version: head.version, value: stored.into(), metadata })
}

/// What the first [`HEAD_BYTES`] of a stored record tell.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Head {
    pub(crate) version: Version,
    /// Without content type and attributes.
    pub(crate) metadata: Metadata,
    has_texts: bool,
    bytes: usize,
}

impl Head {
    pub(crate) fn decode(stored: &[u8]) -> Result<Self, StorageError> {
        let Some((&[format, flags, ref version @ ..], mut rest)) = stored.split_first_chunk::<FIXED_BYTES>() else {
            return Err(corrupt(format!("a record has only {} bytes", stored.len())));
        };
        if format != FORMAT {
            return Err(corrupt(format!("a record has format {format}, this version of Stash reads {FORMAT}")));
        }
        if flags & !flag::KNOWN != 0 {
            return Err(corrupt(format!("a record has flags {flags:#04x} that this version of Stash does not know")));
        }
        let before = rest.len();
        let mut time = |bit: u8| -> Result<Option<Timestamp>, StorageError> {
            if flags & bit == 0 {
                return Ok(None);
            }
            let millis = rest.try_get_uint(TIME_BYTES).map_err(|_| corrupt("a record ends in its envelope".into()))?;
            Ok(Some(Timestamp(millis)))
        };
        let updated = time(flag::UPDATED)?;
        let created = time(flag::CREATED)?.or(updated).filter(|created| *created != UNKNOWN);
        let expires = time(flag::EXPIRES)?;
        let replaced = flags & flag::REPLACED != 0;
        Ok(Self {
            version: Version(u64::from_be_bytes(*version)),
            metadata: Metadata { created, updated, expires, replaced, ..Metadata::default() },
            has_texts: flags & flag::TEXTS != 0,
            bytes: FIXED_BYTES + (before - rest.len()),
        })
    }

    /// Whether the record whose head this is never expires, where that can be told at a glance.
    pub(crate) fn stays(stored: &[u8]) -> bool {
        matches!(stored, [FORMAT, flags, ..] if flags & !(flag::KNOWN & !flag::EXPIRES) == 0)
            && stored.len() >= FIXED_BYTES
    }

    /// As [`Record::used_bytes`], of the whole stored record that this is the head of.
    pub(crate) fn used_bytes(&self, stored: &[u8]) -> Result<usize, StorageError> {
        let rest = stored.get(self.bytes..).unwrap_or_default();
        if !self.has_texts {
            return Ok(rest.len());
        }
        let length = texts_length(rest)?;
        let texts = rest.get(TEXTS_LENGTH_BYTES..TEXTS_LENGTH_BYTES + length).ok_or_else(damaged_texts)?;
        let type_bytes = texts.first().copied().map(usize::from).ok_or_else(damaged_texts)?;
        let count = texts.get(1 + type_bytes..3 + type_bytes).and_then(|mut count| count.try_get_u16().ok());
        let overhead = TEXTS_OVERHEAD + usize::from(count.ok_or_else(damaged_texts)?) * ATTRIBUTE_OVERHEAD;
        let texts = length.checked_sub(overhead).ok_or_else(damaged_texts)?;
        Ok(texts + (rest.len() - TEXTS_LENGTH_BYTES - length))
    }
}

/// The length of the texts whose length comes first in `rest`, if they are all there.
fn texts_length(mut rest: &[u8]) -> Result<usize, StorageError> {
    let length = rest.try_get_u32().ok().and_then(|length| usize::try_from(length).ok());
    length.filter(|length| *length <= rest.len()).ok_or_else(damaged_texts)
}

fn decode_texts(mut texts: &[u8]) -> Option<(Option<String>, Attributes)> {
    fn take<'a>(texts: &mut &'a [u8], length: usize) -> Option<&'a [u8]> {
        let (taken, rest) = texts.split_at_checked(length)?;
        *texts = rest;
        Some(taken)
    }
    fn text(texts: &mut &[u8], length: usize) -> Option<String> {
        String::from_utf8(take(texts, length)?.to_vec()).ok()
    }
    let type_bytes = texts.try_get_u8().ok()?;
    let content_type = text(&mut texts, usize::from(type_bytes))?;
    let mut attributes = Attributes::new();
    for _ in 0..texts.try_get_u16().ok()? {
        let (name, value) = (texts.try_get_u16().ok()?, texts.try_get_u16().ok()?);
        let name = text(&mut texts, usize::from(name))?;
        attributes.insert(name, text(&mut texts, usize::from(value))?);
    }
    texts.is_empty().then_some(((!content_type.is_empty()).then_some(content_type), attributes))
}

/// How many of a stored record's bytes come before its value; `None` where it is no record that this version of Stash knows.
/// For engines that keep values apart.
pub fn envelope_bytes(stored: &[u8]) -> Option<usize> {
    let head = Head::decode(stored).ok()?;
    if !head.has_texts {
        return Some(head.bytes);
    }
    let length = texts_length(stored.get(head.bytes..)?).ok()?;
    Some(head.bytes + TEXTS_LENGTH_BYTES + length)
}

fn damaged_texts() -> StorageError {
    corrupt("a record's content type or attributes are damaged".to_owned())
}

pub(crate) fn corrupt(reason: String) -> StorageError {
    StorageError::Corrupt { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn plain(version: u64, value: &[u8]) -> Record {
        Record { version: Version(version), value: value.into(), ..Record::default() }
    }

    fn any_record() -> impl Strategy<Value = Record> {
        let time = || proptest::option::of((1..=Timestamp::MAX.0).prop_map(Timestamp));
        let texts =
            (proptest::option::of("[a-z/]{1,30}"), proptest::collection::btree_map("\\PC{1,5}", "\\PC{0,9}", 0..4));
        (any::<u64>(), any::<Vec<u8>>(), time(), time(), time(), texts, any::<bool>()).prop_map(
            |(version, value, created, updated, expires, (content_type, attributes), replaced)| {
                // What has no time of change has none of creation.
                let created = updated.and(created);
                let metadata = Metadata { created, updated, expires, replaced, ..Metadata::default() };
                Record {
                    version: Version(version),
                    value: value.into(),
                    metadata: metadata.with_texts(content_type, attributes),
                }
            },
        )
    }

    proptest! {
        #[test]
        fn what_goes_in_comes_out(record in any_record()) {
            let stored = encode(&record);
            let head = Head::decode(&stored[..stored.len().min(HEAD_BYTES)]).unwrap();
            prop_assert_eq!(head.version, record.version);
            prop_assert_eq!(head.metadata.expires, record.metadata.expires);
            prop_assert_eq!(head.used_bytes(&stored).unwrap(), record.used_bytes());
            prop_assert_eq!(decode(stored).unwrap(), record);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>, flags: u8) {
            let with_head = [&[FORMAT, flags & flag::KNOWN][..], &bytes].concat();
            for bytes in [bytes, with_head] {
                if let Ok(head) = Head::decode(&bytes) {
                    drop(head.used_bytes(&bytes));
                }
                drop(decode(bytes.into()));
            }
        }
    }

    #[test]
    fn the_format_is_pinned_to_the_byte() {
        assert_eq!(&encode(&plain(0x0102, b"hi"))[..], b"\x01\x00\x00\x00\x00\x00\x00\x00\x01\x02hi");
        let metadata = Metadata {
            created: Some(Timestamp(1)),
            updated: Some(Timestamp(2)),
            expires: Some(Timestamp(3)),
            replaced: true,
            ..Metadata::default()
        };
        let attributes = Attributes::from([("k".to_owned(), "vw".to_owned())]);
        let record = Record { metadata: metadata.with_texts(Some("a/b".to_owned()), attributes), ..plain(1, b"hi") };
        let expected = [
            &b"\x01\x1f\x00\x00\x00\x00\x00\x00\x00\x01"[..],
            b"\x00\x00\x00\x00\x00\x02\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x03",
            b"\x00\x00\x00\x0d\x03a/b\x00\x01\x00\x01\x00\x02kvw",
            b"hi",
        ];
        assert_eq!(&encode(&record)[..], expected.concat());
    }

    #[test]
    fn the_envelope_ends_where_the_value_begins() {
        let attributes = Attributes::from([("k".to_owned(), "v".to_owned())]);
        let texts = Metadata::default().with_texts(Some("a/b".to_owned()), attributes);
        for metadata in [Metadata::default(), texts] {
            let stored = encode(&Record { metadata, ..plain(1, b"value") });
            assert_eq!(&stored[envelope_bytes(&stored).unwrap()..], b"value");
            for end in 0..stored.len() - b"value".len() {
                assert_eq!(envelope_bytes(&stored[..end]), None, "{end} bytes");
            }
        }
        assert_eq!(envelope_bytes(b"not a record"), None);
    }

    #[test]
    fn a_record_that_is_replaced_does_not_grow() {
        let at = |created, updated| {
            let metadata = Metadata {
                created: Some(Timestamp(created)),
                updated: Some(Timestamp(updated)),
                ..Metadata::default()
            };
            encode(&Record { metadata, ..plain(1, b"hi") })
        };
        let made = at(5, 5);
        assert_eq!(made.len(), at(5, 9).len());
        assert_eq!(
            &made[..],
            b"\x01\x03\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x05\x00\x00\x00\x00\x00\x05hi"
        );
        // As it was written before.
        let older = Bytes::from_static(b"\x01\x01\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00\x00\x00\x00\x05hi");
        assert_eq!(decode(older).unwrap(), decode(made).unwrap());
    }

    #[test]
    fn a_newer_format_and_an_unknown_flag_are_refused() {
        let error = decode(Bytes::from_static(b"\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01")).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
        let error = decode(Bytes::from_static(b"\x01\x80\x00\x00\x00\x00\x00\x00\x00\x01")).unwrap_err();
        assert!(error.to_string().contains("flags 0x80"), "{error}");
    }
}
