//! What the host keeps in memory for one guest's handles and streams. A guest may have thousands of them: all together must
//! never be more than one answer may be.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are kept for one guest. Clones count together.
#[derive(Debug, Clone, Default)]
pub(crate) struct KeptBytes(Arc<AtomicUsize>);

impl KeptBytes {
    /// Room for so many bytes, if all that are kept stay within `limit`.
    pub(super) fn take(&self, bytes: usize, limit: usize) -> Option<Room> {
        let more = |kept: usize| kept.checked_add(bytes).filter(|kept| *kept <= limit);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, more).ok()?;
        Some(Room { of: self.clone(), bytes })
    }
}

/// Room that counts until it is dropped.
#[derive(Debug)]
pub(super) struct Room {
    of: KeptBytes,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.of.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_kept_counts_until_it_goes() {
        let kept = KeptBytes::default();
        let first = kept.take(6, 10);
        assert!(first.is_some());
        assert!(kept.take(6, 10).is_none());
        drop(first);
        assert!(kept.clone().take(6, 10).is_some());
        assert_eq!(kept.0.load(Ordering::Relaxed), 0);
        assert!(kept.take(11, 10).is_none());
    }
}
