//! How far a watcher was told, kept with its component. After whatever interruption it must go on there: neither leave
//! anything out, nor begin again at the first key.

use bytes::{Buf, BufMut, BytesMut, TryGetError};
use stash_core::{Bookmark, CollectionName, ComponentStorage, StorageError, StorageExt, Version};

use crate::component_store::ComponentStore;

/// The name of a component's bookmark.
const BOOKMARK: &str = "keyvalue-watcher";

/// The format of its note.
const FORMAT: u8 = 1;

/// How far a watcher was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Progress {
    /// Of all changes up to this one it was told, or will be by `anew`.
    pub(super) through: Version,
    /// Changes after `through` and up to this one may be older than what it was told of their keys.
    pub(super) seen: Version,
    /// Where it is in being told how everything is.
    pub(super) anew: Option<Anew>,
}

/// The telling of how everything is, where changes were forgotten.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Anew {
    /// What has not changed after this version it was told before.
    pub(super) since: Version,
    /// The collection that comes; `None` for the default one, which is the first.
    pub(super) collection: Option<CollectionName>,
    /// Its last key that was told.
    pub(super) after: Option<String>,
}

/// What is kept of a component's watcher; `None` where it was never told of anything.
pub(super) async fn load(store: &ComponentStore) -> Result<Option<Progress>, StorageError> {
    let Some(Bookmark { version, note }) = store.bookmark(BOOKMARK).await? else { return Ok(None) };
    Progress::decode(version, &note).map(Some)
}

pub(super) async fn save(store: &ComponentStore, progress: &Progress) -> Result<(), StorageError> {
    let bookmark = Bookmark { version: progress.through, note: progress.note().into() };
    store.set_bookmark(BOOKMARK, bookmark).await
}

/// The component's last commit.
pub(super) async fn present(store: &ComponentStore) -> Result<Version, StorageError> {
    store.snapshot().await?.version().await
}

impl Progress {
    /// Changes go on after this one.
    pub(super) fn following(through: Version) -> Self {
        Self { through, seen: through, anew: None }
    }

    /// Whether a change may be older than what the watcher was told of its key.
    pub(super) fn may_be_outdated(&self, change: Version) -> bool {
        change <= self.seen
    }

    /// What is kept beside `through`: nothing, but while it is told how everything is, and shortly after.
    fn note(&self) -> Vec<u8> {
        let mut note = BytesMut::new();
        if self.anew.is_none() && self.seen <= self.through {
            return Vec::new();
        }
        note.put_u8(FORMAT);
        note.put_u64(self.seen.0);
        if let Some(anew) = &self.anew {
            let collection = anew.collection.as_ref().map_or("", CollectionName::as_str);
            note.put_u64(anew.since.0);
            // No name has this byte in it.
            note.put_slice(collection.as_bytes());
            note.put_u8(0);
            note.put_slice(anew.after.as_deref().unwrap_or_default().as_bytes());
        }
        note.to_vec()
    }

    fn decode(through: Version, mut note: &[u8]) -> Result<Self, StorageError> {
        if note.is_empty() {
            return Ok(Self::following(through));
        }
        let unknown = || StorageError::Corrupt { reason: "a watcher's place has an unknown format".to_owned() };
        let mut numbers = || -> Result<(u8, Version, Option<Version>), TryGetError> {
            let (format, seen) = (note.try_get_u8()?, Version(note.try_get_u64()?));
            let since = if note.is_empty() { None } else { Some(Version(note.try_get_u64()?)) };
            Ok((format, seen, since))
        };
        let (format, seen, since) = numbers().map_err(|_| unknown())?;
        if format != FORMAT {
            return Err(unknown());
        }
        let Some(since) = since else { return Ok(Self { through, seen, anew: None }) };
        let text = std::str::from_utf8(note).map_err(|_| unknown())?;
        let (collection, after) = text.split_once('\0').ok_or_else(unknown)?;
        let after = Some(after.to_owned()).filter(|after| !after.is_empty());
        Ok(Self { through, seen, anew: Some(Anew { since, collection: CollectionName::parse(collection)?, after }) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_note_is_pinned_to_the_byte() {
        let following = Progress::following(Version(5));
        assert!(following.note().is_empty());
        let behind = Progress { seen: Version(9), ..following.clone() };
        assert_eq!(behind.note(), [1, 0, 0, 0, 0, 0, 0, 0, 9]);
        let first = Progress { anew: Some(Anew { since: Version(3), ..Anew::default() }), ..following.clone() };
        assert_eq!(first.note(), [1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 0, 0, 0, 0, 3, 0]);
        let place = Anew { since: Version(3), collection: Some("c".parse().unwrap()), after: Some("k\0l".into()) };
        let inside = Progress { anew: Some(place), ..following.clone() };
        assert_eq!(inside.note()[17..], *b"c\0k\0l");
        for progress in [following, behind, first, inside] {
            assert_eq!(Progress::decode(progress.through, &progress.note()).unwrap(), progress);
        }
        for note in [&[1][..], &[2; 30], &[1; 10], &[1; 17], &[0xff; 30]] {
            Progress::decode(Version(5), note).unwrap_err();
        }
    }
}
