//! What only the inside can be tested for: the power going, the disk failing, files that are not what was stored. The
//! promises that every engine keeps are in `tests/conformance.rs`.

mod disk;
mod folder;
mod power;

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{Decision, View, Writes};

/// Sets keys, or removes them.
pub(crate) struct Put(Vec<(Bytes, Option<Bytes>)>);

impl Put {
    fn all(writes: Vec<(Bytes, Option<Bytes>)>) -> Self {
        Self(writes)
    }
}

impl Decision for Put {
    type Output = ();

    fn queue(&self) -> &'static str {
        ""
    }

    fn cost(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum()
    }

    fn decide(&mut self, _: &dyn View, writes: &mut Writes) -> Result<(), StorageError> {
        for (key, value) in &self.0 {
            match value {
                Some(value) => writes.put(key.clone(), value.clone()),
                None => writes.remove(key.clone()),
            }
        }
        Ok(())
    }
}

fn put(key: impl Into<Bytes>, value: impl Into<Bytes>) -> Put {
    Put(vec![(key.into(), Some(value.into()))])
}
