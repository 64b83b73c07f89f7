//! How values become bytes. A format must read whatever it has written.

use std::error::Error;

use serde::Serialize;
use serde::de::DeserializeOwned;

/// Why a value is not written or read.
pub(crate) type BoxError = Box<dyn Error + Send + Sync>;

/// How values of the type `V` become bytes, and values again. Implement it for a type of your own, such as `Postcard`, and
/// say `Collection<Order, Postcard>`.
///
/// ```
/// use stash_guest::Format;
///
/// /// Numbers as eight bytes, so that those of equal length are in their order.
/// struct BigEndian;
///
/// impl Format<u64> for BigEndian {
///     fn encode(value: &u64) -> Result<Vec<u8>, Box<dyn std::error::Error + Send + Sync>> {
///         Ok(value.to_be_bytes().to_vec())
///     }
///
///     fn decode(bytes: Vec<u8>) -> Result<u64, Box<dyn std::error::Error + Send + Sync>> {
///         Ok(u64::from_be_bytes(bytes.as_slice().try_into()?))
///     }
/// }
/// # assert_eq!(BigEndian::decode(BigEndian::encode(&7).unwrap()).unwrap(), 7);
/// ```
pub trait Format<V> {
    /// The bytes that are stored.
    ///
    /// # Errors
    /// Why the value cannot be written.
    fn encode(value: &V) -> Result<Vec<u8>, BoxError>;

    /// The value that was stored.
    ///
    /// # Errors
    /// Why the bytes are no such value.
    fn decode(bytes: Vec<u8>) -> Result<V, BoxError>;
}

/// JSON, as `stash kv` shows it. Whole numbers are the decimal text that [increments](crate::Collection::increment) want.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Json {}

impl<V: Serialize + DeserializeOwned> Format<V> for Json {
    fn encode(value: &V) -> Result<Vec<u8>, BoxError> {
        Ok(serde_json::to_vec(value)?)
    }

    fn decode(bytes: Vec<u8>) -> Result<V, BoxError> {
        Ok(serde_json::from_slice(&bytes)?)
    }
}

/// Bytes as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bytes {}

impl Format<Vec<u8>> for Bytes {
    fn encode(value: &Vec<u8>) -> Result<Vec<u8>, BoxError> {
        Ok(value.clone())
    }

    fn decode(bytes: Vec<u8>) -> Result<Vec<u8>, BoxError> {
        Ok(bytes)
    }
}

/// Text as it is, without the quotation marks of JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Text {}

impl Format<String> for Text {
    fn encode(value: &String) -> Result<Vec<u8>, BoxError> {
        Ok(value.clone().into_bytes())
    }

    fn decode(bytes: Vec<u8>) -> Result<String, BoxError> {
        Ok(String::from_utf8(bytes)?)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let pairs = vec![("a".to_owned(), Some(1.5)), ("ä".to_owned(), None)];
        assert_eq!(<Json as Format<Vec<(String, Option<f64>)>>>::decode(Json::encode(&pairs).unwrap()).unwrap(), pairs);
        assert_eq!(Text::decode(Text::encode(&"a\"b".to_owned()).unwrap()).unwrap(), "a\"b");
        assert_eq!(Bytes::decode(Bytes::encode(&vec![0, 255]).unwrap()).unwrap(), [0, 255]);
    }

    #[test]
    fn numbers_are_what_increments_want() {
        assert_eq!(Json::encode(&-41_i64).unwrap(), b"-41");
    }

    #[test]
    fn other_bytes_are_an_error() {
        assert!(<Json as Format<u8>>::decode(b"256".to_vec()).is_err());
        assert!(Text::decode(vec![0xff]).is_err());
    }
}
