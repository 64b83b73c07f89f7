//! The number of the whole store's format: written into a new store, checked in every other. It must refuse what it does
//! not know before anything else reads or writes.

use bytes::Bytes;

use crate::cursor::CursorKey;
use crate::engine::{Decision, Scan, View, Writes};
use crate::error::StorageError;
use crate::keyspace::KeySpace;
use crate::record::corrupt;

/// The fact about the store that cursors are sealed with.
pub(crate) const CURSORS: &str = "cursors";
/// The mark of an unfinished copy: what the cursors of its source are sealed with.
pub(crate) const COPYING: &str = "copying";

/// What a store says of itself.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Facts {
    pub(crate) cursors: CursorKey,
    /// Whether somebody has begun to copy another store into it.
    pub(crate) is_unfinished_copy: bool,
}

/// Marks a new store with the format's number, and refuses one that is newer.
pub(crate) struct CheckFormat;

impl CheckFormat {
    const NUMBER: u8 = 2;
}

impl Decision for CheckFormat {
    type Output = Facts;

    fn queue(&self) -> &'static str {
        ""
    }

    fn cost(&self) -> usize {
        0
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<Facts, StorageError> {
        let key = KeySpace::Host.key("format");
        let number = || Bytes::from_static(&[Self::NUMBER]);
        match look(view, &key)?.as_deref() {
            Some([Self::NUMBER]) => {}
            // Format 1 is this one without expiry, collections and history: all that it wrote is read as it is.
            Some([1]) => writes.put(key, number()),
            Some([newer]) if *newer > Self::NUMBER => {
                return Err(corrupt(format!(
                    "the store has format {newer} and this version of Stash reads format {}; use a newer Stash",
                    Self::NUMBER
                )));
            }
            Some(_) => return Err(corrupt("the store's format number is damaged".to_owned())),
            None => {
                let mut anything = Scan::prefix(b"");
                (anything.limit, anything.value_bytes) = (1, 0);
                if !view.scan(&anything)?.entries.is_empty() {
                    return Err(corrupt("the store holds data but no format number".to_owned()));
                }
                writes.put(key, number());
            }
        }
        let key = KeySpace::Host.key(CURSORS);
        let stored = look(view, &key)?.and_then(|stored| <[u8; 16]>::try_from(stored).ok());
        let cursors = stored.map_or_else(CursorKey::random, CursorKey::from_bytes);
        if stored.is_none() {
            writes.put(key, Bytes::copy_from_slice(&cursors.to_bytes()));
        }
        let is_unfinished_copy = look(view, &KeySpace::Host.key(COPYING))?.is_some();
        Ok(Facts { cursors, is_unfinished_copy })
    }
}

fn look(view: &dyn View, key: &[u8]) -> Result<Option<Vec<u8>>, StorageError> {
    let mut stored = None;
    view.look(key, &mut |value| stored = value.map(<[u8]>::to_vec))?;
    Ok(stored)
}
