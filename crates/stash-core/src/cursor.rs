//! Cursors: where a list goes on, as an opaque text. A cursor must be one that this store has made, for this list; any
//! other text is an error, never another page.

use std::hash::{BuildHasher, Hash, Hasher, RandomState};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use siphasher::sip128::{Hasher128, SipHasher24};

use crate::error::StorageError;
use crate::limits::{MAX_COLLECTION_NAME_BYTES, MAX_ID_PART_BYTES, MAX_KEY_BYTES};
use crate::scan::ScanRequest;

/// What the cursors of a store are sealed with. It keeps an honest mistake, or a guess, from being taken for a cursor;
/// what a cursor can say is bounded by the component's own namespace in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct CursorKey([u8; 16]);

impl std::fmt::Debug for CursorKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("CursorKey")
    }
}

/// The first byte of a cursor, for a later shape.
const SHAPE: u8 = 1;
const SEAL_BYTES: usize = 16;

/// Bytes in front of a component's key in its full name: the parts of the id, the collection's name, what is between them.
const MAX_PREFIX_BYTES: usize = 3 * (MAX_ID_PART_BYTES + 1) + 1 + MAX_COLLECTION_NAME_BYTES;

/// The length of the longest text that [`CursorKey::seal`] makes; layers below the namespaces seal full names.
const MAX_CURSOR_BYTES: usize = ((1 + SEAL_BYTES + MAX_PREFIX_BYTES + MAX_KEY_BYTES) * 4).div_ceil(3);

impl CursorKey {
    pub(crate) fn from_bytes(bytes: [u8; 16]) -> Self {
        Self(bytes)
    }

    pub(crate) fn to_bytes(self) -> [u8; 16] {
        self.0
    }

    /// From the randomness that the standard library seeds its maps with.
    pub(crate) fn random() -> Self {
        let half = || RandomState::new().build_hasher().finish();
        Self((u128::from(half()) << 64 | u128::from(half())).to_be_bytes())
    }

    /// The key for lists in one place only.
    pub(crate) fn within(self, prefix: &str) -> Self {
        let mut hasher = SipHasher24::new_with_key(&self.0);
        hasher.write(prefix.as_bytes());
        Self(hasher.finish128().as_bytes())
    }

    /// The cursor with which the list that `request` asks for goes on after `last`.
    pub fn seal(self, request: &ScanRequest, last: &str) -> String {
        let sealed = [&[SHAPE], &self.mark(request, last.as_bytes())[..], last.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode(sealed)
    }

    /// The key after which the list goes on.
    ///
    /// # Errors
    /// [`StorageError::InvalidArgument`] where the cursor was not made by this store for this list.
    pub fn open(self, request: &ScanRequest, cursor: &str) -> Result<String, StorageError> {
        let wrong = || StorageError::InvalidArgument {
            reason: "the cursor is not one that this list has given; begin the list again without one".to_owned(),
        };
        // Before it is decoded: what was never a cursor may be as long as a guest's memory.
        if cursor.len() > MAX_CURSOR_BYTES {
            return Err(wrong());
        }
        let sealed = URL_SAFE_NO_PAD.decode(cursor).map_err(|_| wrong())?;
        let (&shape, rest) = sealed.split_first().ok_or_else(wrong)?;
        let (mark, last) = rest.split_first_chunk::<SEAL_BYTES>().ok_or_else(wrong)?;
        if shape != SHAPE || *mark != self.mark(request, last) {
            return Err(wrong());
        }
        String::from_utf8(last.to_vec()).map_err(|_| wrong())
    }

    /// Which list it is, and where it goes on. The sizes of pages may differ from page to page.
    fn mark(self, request: &ScanRequest, last: &[u8]) -> [u8; SEAL_BYTES] {
        let range = &request.range;
        let pattern = range.pattern.as_ref().map(crate::pattern::Pattern::as_str);
        let mut hasher = SipHasher24::new_with_key(&self.0);
        (&range.prefix, &range.start, &range.end, pattern, request.reverse, last).hash(&mut hasher);
        hasher.finish128().as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_cursor_opens_only_for_its_list(last in "\\PC{1,9}", prefix in "[ab]{0,2}", other in "[ab]{0,2}") {
            let key = CursorKey::random();
            let request = ScanRequest::prefix(prefix.clone());
            let cursor = key.seal(&request, &last);
            prop_assert_eq!(key.open(&request, &cursor).unwrap(), last);
            let larger = ScanRequest { limit: 1, values: true, ..request.clone() };
            prop_assert!(key.open(&larger, &cursor).is_ok(), "the size of a page is free");
            let backwards = ScanRequest { reverse: true, ..request.clone() };
            prop_assert!(key.open(&backwards, &cursor).is_err());
            prop_assert_eq!(key.open(&ScanRequest::prefix(other.clone()), &cursor).is_ok(), other == prefix);
            prop_assert!(key.within("a/b/c/").open(&request, &cursor).is_err());
        }

        #[test]
        fn what_is_no_cursor_is_an_error(text: String, flip in 0_usize..60, bit in 0_u8..8) {
            let key = CursorKey::random();
            let request = ScanRequest::default();
            prop_assert!(key.open(&request, &text).is_err());
            let mut bytes = URL_SAFE_NO_PAD.decode(key.seal(&request, "some key that is long enough to flip")).unwrap();
            let at = flip % bytes.len();
            bytes[at] ^= 1 << bit;
            let error = key.open(&request, &URL_SAFE_NO_PAD.encode(bytes)).unwrap_err().to_string();
            prop_assert!(error.contains("the cursor is not one that this list has given"), "{}", error);
        }
    }

    #[test]
    fn the_longest_key_has_a_cursor() {
        let key = CursorKey::random();
        let last = "k".repeat(MAX_KEY_BYTES);
        assert_eq!(key.open(&ScanRequest::default(), &key.seal(&ScanRequest::default(), &last)).unwrap(), last);
        let full = "n".repeat(MAX_PREFIX_BYTES + MAX_KEY_BYTES);
        let cursor = key.seal(&ScanRequest::default(), &full);
        assert_eq!(cursor.len(), MAX_CURSOR_BYTES);
        assert_eq!(key.open(&ScanRequest::default(), &cursor).unwrap(), full);
        let longer = key.seal(&ScanRequest::default(), &[&full, "n"].concat());
        assert!(key.open(&ScanRequest::default(), &longer).is_err(), "no list ends at such a key");
    }
}
