//! The stored state of a namespace: its version and usage. As with records, bytes once written stay readable;
//! `docs/FORMAT.md` draws them.

use bytes::{BufMut, Bytes, BytesMut};

use crate::error::StorageError;
use crate::record::Version;
use crate::storage::Usage;

/// What the store keeps of each namespace, beside its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NamespaceState {
    pub(crate) version: Version,
    pub(crate) used_bytes: u64,
    pub(crate) key_count: u64,
}

impl NamespaceState {
    const FORMAT: u8 = 1;

    pub(crate) fn encode(self) -> Bytes {
        let mut out = BytesMut::with_capacity(25);
        out.put_u8(Self::FORMAT);
        out.put_u64(self.version.0);
        out.put_u64(self.used_bytes);
        out.put_u64(self.key_count);
        out.freeze()
    }

    pub(crate) fn decode(stored: &[u8]) -> Result<Self, StorageError> {
        let corrupt = || StorageError::Corrupt { reason: "a namespace's state has an unknown format".to_owned() };
        let (&format, rest) = stored.split_first().ok_or_else(corrupt)?;
        let (version, rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
        let (used, rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
        let (count, rest) = rest.split_first_chunk().ok_or_else(corrupt)?;
        if format != Self::FORMAT || !rest.is_empty() {
            return Err(corrupt());
        }
        Ok(Self {
            version: Version(u64::from_be_bytes(*version)),
            used_bytes: u64::from_be_bytes(*used),
            key_count: u64::from_be_bytes(*count),
        })
    }

    pub(crate) fn usage(self) -> Usage {
        Usage { used_bytes: self.used_bytes, key_count: self.key_count, quota_bytes: None }
    }
}
