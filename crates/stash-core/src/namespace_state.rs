//! The stored state of a namespace: its version and usage, and how its change log is. As with records, bytes once written stay readable;
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
    /// Of a namespace that keeps changes, or kept some that are not removed yet.
    pub(crate) log: Option<LogState>,
}

/// How a namespace's change log is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LogState {
    /// Whether commits are added to it; else it was stopped, and what is left of it goes.
    pub(crate) is_on: bool,
    /// Whether there are entries that no longer count: of commits up to `since`.
    pub(crate) has_leftovers: bool,
    /// What the commits after this one did is all there.
    pub(crate) since: Version,
    /// How many entries are stored, with those that no longer count.
    pub(crate) entries: u64,
    /// The bytes of their values.
    pub(crate) bytes: u64,
}

impl LogState {
    const ON: u8 = 1;
    const LEFTOVERS: u8 = 2;

    fn flags(self) -> u8 {
        (u8::from(self.is_on) * Self::ON) | (u8::from(self.has_leftovers) * Self::LEFTOVERS)
    }
}

impl NamespaceState {
    /// Without collections; what the first format of the store knew.
    const PLAIN: u8 = 1;
    const WITH_COLLECTIONS: u8 = 2;
    /// With collections and a change log. A Stash that does not know the log refuses the state, and with it to write: its
    /// commits would be missing in the log.
    const WITH_LOG: u8 = 3;

    pub(crate) fn encode(self) -> Bytes {
        let with_collections = self.collections > 0 || self.default_settings;
        let mut out = BytesMut::with_capacity(if self.log.is_some() { 55 } else { 30 });
        out.put_u8(match self.log {
            Some(_) => Self::WITH_LOG,
            None if with_collections => Self::WITH_COLLECTIONS,
            None => Self::PLAIN,
        });
        out.put_u64(self.version.0);
        out.put_u64(self.used_bytes);
        out.put_u64(self.key_count);
        if with_collections || self.log.is_some() {
            out.put_u32(self.collections);
            out.put_u8(u8::from(self.default_settings));
        }
        if let Some(log) = self.log {
            out.put_u8(log.flags());
            out.put_u64(log.since.0);
            out.put_u64(log.entries);
            out.put_u64(log.bytes);
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
            let unknown = || bytes::TryGetError { requested: 0, available: 0 };
            if format == Self::PLAIN {
                return Ok(plain);
            }
            let state =
                Self { collections: stored.try_get_u32()?, default_settings: stored.try_get_u8()? != 0, ..plain };
            match format {
                Self::WITH_COLLECTIONS => Ok(state),
                Self::WITH_LOG => {
                    let flags = stored.try_get_u8()?;
                    let log = LogState {
                        is_on: flags & LogState::ON != 0,
                        has_leftovers: flags & LogState::LEFTOVERS != 0,
                        since: Version(stored.try_get_u64()?),
                        entries: stored.try_get_u64()?,
                        bytes: stored.try_get_u64()?,
                    };
                    if log.flags() == flags { Ok(Self { log: Some(log), ..state }) } else { Err(unknown()) }
                }
                _ => Err(unknown()),
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
        let log = LogState { is_on: true, has_leftovers: true, since: Version(5), entries: 6, bytes: 7 };
        let logged = NamespaceState { log: Some(log), ..more };
        let expected = [&[0, 0, 0, 4, 1, 3][..], &5_u64.to_be_bytes(), &6_u64.to_be_bytes(), &7_u64.to_be_bytes()];
        assert_eq!((logged.encode()[0], &logged.encode()[25..]), (3, &expected.concat()[..]));
        let stopped = NamespaceState { log: Some(LogState { is_on: false, ..log }), ..plain };
        for state in [plain, more, logged, stopped] {
            assert_eq!(NamespaceState::decode(&state.encode()).unwrap(), state);
            for end in 0..state.encode().len() {
                NamespaceState::decode(&state.encode()[..end]).unwrap_err();
            }
        }
        NamespaceState::decode(&[3; 30]).unwrap_err();
        NamespaceState::decode(&[4; 55]).unwrap_err();
        NamespaceState::decode(&[3; 55]).unwrap();
        let mut unknown_flag = logged.encode().to_vec();
        unknown_flag[30] |= 4;
        NamespaceState::decode(&unknown_flag).unwrap_err();
    }
}
