//! The number of the whole store's format: written into a new store, checked in every other. It must refuse what it does
//! not know before anything else reads or writes.

use bytes::Bytes;

use crate::engine::{Decision, Scan, View, Writes};
use crate::error::StorageError;
use crate::keyspace::KeySpace;

/// Marks a new store with the format's number, and refuses one that is newer.
pub(crate) struct CheckFormat;

impl CheckFormat {
    const NUMBER: u8 = 1;
}

impl Decision for CheckFormat {
    type Output = ();

    fn queue(&self) -> &'static str {
        ""
    }

    fn cost(&self) -> usize {
        0
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<(), StorageError> {
        let key = KeySpace::Host.key("format");
        let mut stored = None;
        view.look(&key, &mut |value| stored = value.map(<[u8]>::to_vec))?;
        match stored.as_deref() {
            Some([Self::NUMBER]) => Ok(()),
            Some([newer]) if *newer > Self::NUMBER => Err(StorageError::Corrupt {
                reason: format!(
                    "the store has format {newer} and this version of Stash reads format {}; use a newer Stash",
                    Self::NUMBER
                ),
            }),
            Some(_) => Err(StorageError::Corrupt { reason: "the store's format number is damaged".to_owned() }),
            None => {
                let mut anything = Scan::prefix(b"");
                (anything.limit, anything.value_bytes) = (1, 0);
                if !view.scan(&anything)?.entries.is_empty() {
                    return Err(StorageError::Corrupt {
                        reason: "the store holds data but no format number".to_owned(),
                    });
                }
                writes.put(key, Bytes::from_static(&[Self::NUMBER]));
                Ok(())
            }
        }
    }
}
