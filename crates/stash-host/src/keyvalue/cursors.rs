//! Cursors that are numbers, for the shape of `wasi:keyvalue` that has no others. A number stands for a key in a table
//! that the component's instances share; a number that is not in it must never be taken for a place in a list.

use std::hash::{BuildHasher, RandomState};
use std::num::NonZeroUsize;

use lru::LruCache;
use parking_lot::Mutex;
use stash_core::PlaceName;

/// Lists that one component may have begun and not ended; the ones used longest ago are forgotten first.
const MAX_CURSORS: NonZeroUsize = NonZeroUsize::new(4096).unwrap();

/// The cursors that a component's guests were given.
pub(crate) struct NumberedCursors {
    places: Mutex<LruCache<u64, (PlaceName, String)>>,
    /// Makes numbers that nobody guesses by counting.
    seed: RandomState,
}

impl Default for NumberedCursors {
    fn default() -> Self {
        Self { places: Mutex::new(LruCache::new(MAX_CURSORS)), seed: RandomState::new() }
    }
}

impl NumberedCursors {
    /// The number for "after `last`" in a list of `place`; the same one each time.
    pub(crate) fn seal(&self, place: PlaceName, last: &str) -> u64 {
        // JavaScript's numbers end at 2^53, and some guests put a cursor into one.
        let number = self.seed.hash_one((&place, last)) >> 11;
        self.places.lock().put(number, (place, last.to_owned()));
        number
    }

    /// The key after which the list goes on; `None` for a number that was not given for this place, or is forgotten.
    pub(crate) fn open(&self, place: &PlaceName, number: u64) -> Option<String> {
        let mut places = self.places.lock();
        places.get(&number).filter(|(of, _)| of == place).map(|(_, last)| last.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_opens_where_it_was_given() {
        let cursors = NumberedCursors::default();
        let here = PlaceName::default();
        let number = cursors.seal(here.clone(), "k9");
        assert_eq!(cursors.open(&here, number), Some("k9".to_owned()));
        assert_eq!(cursors.open(&here, number), Some("k9".to_owned()), "a page can be read again");
        assert_eq!(cursors.open(&here, number ^ 1), None);
        assert_eq!(NumberedCursors::default().open(&here, number), None);
    }

    #[test]
    fn there_is_an_end_to_what_is_kept() {
        let cursors = NumberedCursors::default();
        let here = PlaceName::default();
        let first = cursors.seal(here.clone(), "first");
        for n in 0..MAX_CURSORS.get() {
            cursors.seal(here.clone(), &n.to_string());
        }
        assert_eq!(cursors.open(&here, first), None);
    }
}
