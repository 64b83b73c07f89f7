//! The bytes of a value. Never copied when a layer passes them on.

use std::fmt;
use std::ops::Deref;

use bytes::Bytes;

/// The bytes that a component stored. A clone shares them.
#[derive(Clone, Default, PartialEq, Eq, Hash)]
pub struct StorageValue(Bytes);

impl StorageValue {
    /// The bytes, shared and not copied.
    pub fn into_bytes(self) -> Bytes {
        self.0
    }

    /// The value as text, where it is UTF-8.
    pub fn as_text(&self) -> Option<&str> {
        std::str::from_utf8(&self.0).ok()
    }
}

impl Deref for StorageValue {
    type Target = [u8];

    #[inline]
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for StorageValue {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<Bytes> for StorageValue {
    fn from(bytes: Bytes) -> Self {
        Self(bytes)
    }
}

impl From<Vec<u8>> for StorageValue {
    fn from(bytes: Vec<u8>) -> Self {
        Self(bytes.into())
    }
}

impl From<String> for StorageValue {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl From<&[u8]> for StorageValue {
    fn from(bytes: &[u8]) -> Self {
        Self(Bytes::copy_from_slice(bytes))
    }
}

impl From<&str> for StorageValue {
    fn from(text: &str) -> Self {
        text.as_bytes().into()
    }
}

impl fmt::Debug for StorageValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Values may be large and may be secret: the length is enough to debug with.
        write!(f, "StorageValue({} bytes)", self.0.len())
    }
}
