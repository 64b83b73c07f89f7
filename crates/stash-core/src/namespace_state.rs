//! The stored state of a namespace: its version and usage. As with records, bytes once written stay readable;
//! `docs/FORMAT.md` draws them.

use bytes::{Buf, BufMut, Bytes, BytesMut};

use crate::error::StorageError;
use crate::record::{Version, corrupt};

/// What the store keeps of each namespace, beside its records.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct NamespaceState {
    pub(crate) version: Version,
    pub(crate) used_bytes: u64,
    pub(crate) key_count: u64,
    /// How many collections were made and not deleted.
    pub(crate) collections: u32,
    /// Whether the default collection has settings in the registry.
    pub(crate) default_settings: bool,
}

impl NamespaceState {
    /// Without collections; what the first format of the store knew.
    const PLAIN: u8 = 1;
    const WITH_COLLECTIONS: u8 = 2;

    pub(crate) fn encode(self) -> Bytes {
        let with_collections = self.collections > 0 || self.default_settings;
        let mut out = BytesMut::with_capacity(30);
        out.put_u8(if with_collections { Self::WITH_COLLECTIONS } else { Self::PLAIN });
        out.put_u64(self.version.0);
        out.put_u64(self.used_bytes);
        out.put_u64(self.key_count);
        if with_collections {
            out.put_u32(self.collections);
            out.put_u8(u8::from(self.default_settings));
        }
        out.freeze()
    }

    pub(crate) fn decode(mut stored: &[u8]) -> Result<Self, StorageError> {
        let mut read = || -> Result<Self, bytes::TryGetError> {
            let format = stored.try_get_u8()?;
            let version = Version(stored.try_get_u64()?);
            let plain = Self {
                version,
                used_bytes: stored.try_get_u64()?,
                key_count: stored.try_get_u64()?,
                ..Self::default()
            };
            match format {
                Self::PLAIN => Ok(plain),
                Self::WITH_COLLECTIONS => Ok(Self {
                    collections: stored.try_get_u32()?,
                    default_settings: stored.try_get_u8()? != 0,
                    ..plain
                }),
                _ => Err(bytes::TryGetError { requested: 0, available: 0 }),
            }
        };
        let state = read().ok().filter(|_| stored.is_empty());
        state.ok_or_else(|| corrupt("a namespace's state has an unknown format".to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_formats_are_pinned_to_the_byte() {
        let plain = NamespaceState { version: Version(1), used_bytes: 2, key_count: 3, ..NamespaceState::default() };
        assert_eq!(
            &plain.encode()[..],
            [&[1][..], &1_u64.to_be_bytes(), &2_u64.to_be_bytes(), &3_u64.to_be_bytes()].concat()
        );
        let more = NamespaceState { collections: 4, default_settings: true, ..plain };
        assert_eq!(&more.encode()[25..], &[0, 0, 0, 4, 1]);
        for state in [plain, more] {
            assert_eq!(NamespaceState::decode(&state.encode()).unwrap(), state);
            for end in 0..state.encode().len() {
                NamespaceState::decode(&state.encode()[..end]).unwrap_err();
            }
        }
        NamespaceState::decode(&[3; 30]).unwrap_err();
    }
}
