//! Heads as etcd has them. A namespace's revision is the *version* of its head's key, which etcd counts itself: every commit
//! puts that key once, and nothing ever removes it. So it needs no place of its own, and cannot differ from what is compared.

use std::collections::HashMap;

use bytes::{BufMut, Bytes, BytesMut};
use parking_lot::Mutex;
use stash_shared::Head;

use crate::proto::KeyValue;

/// Namespaces whose traits are remembered; which ones are forgotten does not matter, since they can be looked up.
const REMEMBERED: usize = 10_000;

/// The first byte of a head: whether the namespace has ever had a large value.
const LARGE: u8 = 1;

/// The head that a key has.
pub(crate) fn head_of(stored: Option<&KeyValue>) -> Head {
    let Some(stored) = stored else { return Head::default() };
    let writers = stored.value.get(1..).unwrap_or_default();
    Head { revision: u64::try_from(stored.version).unwrap_or_default(), writers: Bytes::copy_from_slice(writers) }
}

/// Whether a namespace may have large values.
pub(crate) fn has_large(stored: Option<&KeyValue>) -> bool {
    stored.is_some_and(|stored| stored.value.first().is_some_and(|traits| traits & LARGE != 0))
}

/// The value of a head's key.
pub(crate) fn encode(head: &Head, has_large: bool) -> Bytes {
    let mut stored = BytesMut::with_capacity(1 + head.writers.len());
    stored.put_u8(if has_large { LARGE } else { 0 });
    stored.put_slice(&head.writers);
    stored.freeze()
}

/// Which namespaces may have large values, at which revision: one that never had any needs nothing removed.
#[derive(Default)]
pub(crate) struct Traits(Mutex<HashMap<Bytes, (u64, bool)>>);

impl Traits {
    /// `None` where it is not known for this revision.
    pub(crate) fn of(&self, owner: &[u8], revision: u64) -> Option<bool> {
        if revision == 0 {
            return Some(false);
        }
        self.0.lock().get(owner).filter(|(known, _)| *known == revision).map(|(_, has_large)| *has_large)
    }

    pub(crate) fn remember(&self, owner: &Bytes, revision: u64, has_large: bool) {
        let mut traits = self.0.lock();
        if traits.len() >= REMEMBERED && !traits.contains_key(owner) {
            traits.clear();
        }
        traits.insert(owner.clone(), (revision, has_large));
    }
}
