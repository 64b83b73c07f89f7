//! Bookmarks: how far a follower of changes has come, kept with the component so that it goes on there after a restart. A
//! bookmark must never be among what a component stores: it is neither counted, nor listed, nor a change.

use bytes::Buf;

use crate::batch::{Batch, limit_else};
use crate::collection::{BOOKMARK, Place};
use crate::error::StorageError;
use crate::limits::{MAX_BOOKMARK_NAME_BYTES, MAX_BOOKMARK_NOTE_BYTES};
use crate::record::{Version, corrupt};
use crate::storage::{ComponentStorage, PlaceName};
use crate::value::StorageValue;

/// How far a follower of changes has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Bookmark {
    /// It has followed all changes up to this version.
    pub version: Version,
    /// What it keeps with that, for itself: up to [`MAX_BOOKMARK_NOTE_BYTES`].
    pub note: StorageValue,
}

impl From<Version> for Bookmark {
    fn from(version: Version) -> Self {
        Self { version, note: StorageValue::default() }
    }
}

/// The record's name in the registry.
fn registered(name: &str) -> Result<String, StorageError> {
    if name.is_empty() || name.len() > MAX_BOOKMARK_NAME_BYTES || name.chars().any(char::is_control) {
        let reason = format!("a bookmark's name has 1 to {MAX_BOOKMARK_NAME_BYTES} bytes and no control characters");
        return Err(StorageError::InvalidArgument { reason });
    }
    Ok(format!("{BOOKMARK}{name}"))
}

pub(crate) async fn read<S: ComponentStorage>(storage: &S, name: &str) -> Result<Option<Bookmark>, StorageError> {
    let registry = storage.in_place(&PlaceName(Place::Registry))?;
    let Some(record) = registry.read_one(&registered(name)?).await? else { return Ok(None) };
    let mut stored = record.value.into_bytes();
    let version = stored.try_get_u64().map_err(|_| corrupt("a bookmark is no version".to_owned()))?;
    Ok(Some(Bookmark { version: Version(version), note: stored.into() }))
}

pub(crate) async fn write<S: ComponentStorage>(
    storage: &S,
    name: &str,
    bookmark: &Bookmark,
) -> Result<(), StorageError> {
    let note = &bookmark.note;
    if note.len() > MAX_BOOKMARK_NOTE_BYTES {
        let what = "the size of a bookmark's note in bytes";
        return Err(limit_else(what, note.len(), MAX_BOOKMARK_NOTE_BYTES, "keep less with it"));
    }
    let stored = [&bookmark.version.0.to_be_bytes()[..], note].concat();
    let batch = Batch::new().in_place(Place::Registry).set(registered(name)?, stored);
    storage.commit(batch).await.map(drop)
}

pub(crate) async fn remove<S: ComponentStorage>(storage: &S, name: &str) -> Result<(), StorageError> {
    storage.commit(Batch::new().in_place(Place::Registry).delete(registered(name)?)).await.map(drop)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{MemoryBackend, NamespacedStorage, StorageExt};

    #[tokio::test]
    async fn a_note_stays_with_its_version() {
        let store = NamespacedStorage::new(&"app/notes/1".parse().unwrap(), MemoryBackend::in_memory());
        let noted = Bookmark { version: Version(7), note: vec![1; MAX_BOOKMARK_NOTE_BYTES].into() };
        store.set_bookmark("a", noted.clone()).await.unwrap();
        store.set_bookmark("b", Version(8)).await.unwrap();
        assert_eq!(store.bookmark("a").await.unwrap(), Some(noted));
        assert_eq!(store.bookmark("b").await.unwrap(), Some(Bookmark::from(Version(8))));
        let long = Bookmark { version: Version(9), note: vec![1; MAX_BOOKMARK_NOTE_BYTES + 1].into() };
        store.set_bookmark("b", long).await.unwrap_err();
        assert_eq!(store.bookmark("b").await.unwrap(), Some(Bookmark::from(Version(8))));
    }
}
