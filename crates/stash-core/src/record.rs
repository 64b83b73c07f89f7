//! The envelope around every stored value. It must stay readable forever: a new meaning is a new flag or format byte,
//! never a new meaning of an old one. `docs/FORMAT.md` draws it.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::StorageError;
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
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// The commit that wrote it.
    pub version: Version,
    /// What was stored.
    pub value: StorageValue,
}

/// The envelope's format byte.
const FORMAT: u8 = 1;
/// No flag is defined yet; a set bit means something this version does not know.
const KNOWN_FLAGS: u8 = 0;
/// Format byte, flags, version.
pub(crate) const HEADER_BYTES: usize = 1 + 1 + 8;

/// The bytes to store for a value.
pub(crate) fn encode(version: Version, value: &[u8]) -> Bytes {
    let mut out = BytesMut::with_capacity(HEADER_BYTES + value.len());
    out.put_u8(FORMAT);
    out.put_u8(KNOWN_FLAGS);
    out.put_u64(version.0);
    out.put_slice(value);
    out.freeze()
}

/// The record in stored bytes; the value shares them.
pub(crate) fn decode(mut stored: Bytes) -> Result<Record, StorageError> {
    let header = decode_header(&stored)?;
    stored.advance(HEADER_BYTES);
    Ok(Record { version: header.version, value: stored.into() })
}

/// What the first bytes of a stored record tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) version: Version,
    /// Length of the value, without the envelope.
    pub(crate) value_bytes: usize,
}

/// Reads the envelope of a whole stored record without its value.
pub(crate) fn decode_header(stored: &[u8]) -> Result<Header, StorageError> {
    let Some((&[format, flags, ref version @ ..], value)) = stored.split_first_chunk::<HEADER_BYTES>() else {
        return Err(corrupt(format!("a record has only {} bytes", stored.len())));
    };
    if format != FORMAT {
        return Err(corrupt(format!("a record has format {format}, this version of Stash reads {FORMAT}")));
    }
    if flags & !KNOWN_FLAGS != 0 {
        return Err(corrupt(format!("a record has flags {flags:#04x} that this version of Stash does not know")));
    }
    Ok(Header { version: Version(u64::from_be_bytes(*version)), value_bytes: value.len() })
}

fn corrupt(reason: String) -> StorageError {
    StorageError::Corrupt { reason }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_goes_in_comes_out(version: u64, value: Vec<u8>) {
            let record = decode(encode(Version(version), &value)).unwrap();
            prop_assert_eq!(record.version, Version(version));
            prop_assert_eq!(&record.value[..], &value[..]);
        }

        #[test]
        fn no_bytes_make_it_panic(bytes: Vec<u8>) {
            drop(decode(bytes.into()));
        }
    }

    #[test]
    fn the_format_is_pinned_to_the_byte() {
        assert_eq!(&encode(Version(0x0102), b"hi")[..], b"\x01\x00\x00\x00\x00\x00\x00\x00\x01\x02hi");
    }

    #[test]
    fn a_newer_format_and_an_unknown_flag_are_refused() {
        let error = decode(Bytes::from_static(b"\x02\x00\x00\x00\x00\x00\x00\x00\x00\x01")).unwrap_err();
        assert!(error.to_string().contains("format 2"), "{error}");
        let error = decode(Bytes::from_static(b"\x01\x80\x00\x00\x00\x00\x00\x00\x00\x01")).unwrap_err();
        assert!(error.to_string().contains("flags 0x80"), "{error}");
    }
}
