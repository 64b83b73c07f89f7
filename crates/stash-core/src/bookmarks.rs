//! Bookmarks: how far a follower of changes has come, kept with the component so that it goes on there after a restart. A
//! bookmark must never be among what a component stores: it is neither counted, nor listed, nor a change.

use bytes::Buf;

use crate::batch::Batch;
use crate::collection::{BOOKMARK, Place};
use crate::error::StorageError;
use crate::limits::MAX_BOOKMARK_NAME_BYTES;
use crate::record::{Version, corrupt};
use crate::storage::{ComponentStorage, PlaceName};

/// The record's name in the registry.
fn registered(name: &str) -> Result<String, StorageError> {
    if name.is_empty() || name.len() > MAX_BOOKMARK_NAME_BYTES || name.chars().any(char::is_control) {
        let reason = format!("a bookmark's name has 1 to {MAX_BOOKMARK_NAME_BYTES} bytes and no control characters");
        return Err(StorageError::InvalidArgument { reason });
    }
    Ok(format!("{BOOKMARK}{name}"))
}

pub(crate) async fn read<S: ComponentStorage>(storage: &S, name: &str) -> Result<Option<Version>, StorageError> {
    let registry = storage.in_place(&PlaceName(Place::Registry))?;
    let Some(record) = registry.read_one(&registered(name)?).await? else { return Ok(None) };
    let mut stored: &[u8] = &record.value;
    let version = stored.try_get_u64().ok().filter(|_| stored.is_empty());
    version.map(|version| Some(Version(version))).ok_or_else(|| corrupt("a bookmark is no version".to_owned()))
}

pub(crate) async fn write<S: ComponentStorage>(storage: &S, name: &str, version: Version) -> Result<(), StorageError> {
    let batch = Batch::new().in_place(Place::Registry).set(registered(name)?, version.0.to_be_bytes().to_vec());
    storage.commit(batch).await.map(drop)
}

pub(crate) async fn remove<S: ComponentStorage>(storage: &S, name: &str) -> Result<(), StorageError> {
    storage.commit(Batch::new().in_place(Place::Registry).delete(registered(name)?)).await.map(drop)
}
