//! What goes wrong, for programs and for people. The text must stay the store's own: it says what to do.

use std::error::Error as StdError;
use std::fmt;

use crate::Version;
use crate::raw::types;

/// What calls here answer.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a call did not do what was asked.
///
/// ```no_run
/// use stash_guest::{Collection, ErrorKind};
///
/// match Collection::<String>::create("orders") {
///     Ok(_) => println!("made"),
///     Err(e) if e.kind() == ErrorKind::AlreadyExists => println!("it was there"),
///     Err(e) => println!("no: {e}"),
/// }
/// ```
#[derive(Debug)]
pub struct Error {
    kind: ErrorKind,
    text: String,
    conflict: Option<Conflict>,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

/// What is wrong, by the cases of the interface and two of this crate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no record with the key, or no collection with the name, and the call needs one.
    NotFound,
    /// There is already a record with the key, or a collection with the name, and the call needs there to be none.
    AlreadyExists,
    /// The component would use more than it may.
    QuotaExceeded,
    /// The key cannot name a record.
    InvalidKey,
    /// The store could not read or write its data. After a failed change, a read tells whether it happened.
    Io,
    /// The call, or its answer, is larger than the host allows.
    LimitExceeded,
    /// The store cannot take the call now; the same call may succeed later.
    Unavailable,
    /// Somebody else was faster: read again and decide anew. See [`Error::conflict`].
    Conflict,
    /// A number was to be changed, and the value is none, or would leave the range of an `i64`.
    InvalidNumber,
    /// An argument makes no sense.
    InvalidArgument,
    /// The transaction was committed, rolled back, or open for too long.
    TransactionOver,
    /// The collection is not empty, and was to be deleted only if it is.
    NotEmpty,
    /// The collection no longer keeps the version.
    VersionForgotten,
    /// The store cannot do what was asked.
    Unsupported,
    /// A value could not be turned into bytes, or bytes are no such value. [`source`](StdError::source) says why.
    Format,
    /// Not of the store: made by [`Error::other`].
    Other,
}

/// Where somebody else was faster.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Conflict {
    /// The record's key; `None` where a range of records has changed.
    pub key: Option<String>,
    /// The version that the record has now; `None` where there is no record, and for a range.
    pub current: Option<Version>,
}

impl Error {
    /// An error of your own, to end a [`transaction`](crate::transaction) or an
    /// [`update`](crate::Collection::update) without a change. [`into_other`](Error::into_other) gives it back.
    pub fn other(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        let source = error.into();
        Self { kind: ErrorKind::Other, text: source.to_string(), conflict: None, source: Some(source) }
    }

    /// What is wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }

    /// What happened and what to do, in words for a person; the same as it is displayed.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What has changed, of an error of the kind [`ErrorKind::Conflict`].
    pub fn conflict(&self) -> Option<&Conflict> {
        self.conflict.as_ref()
    }

    /// The error that [`Error::other`] was given.
    ///
    /// # Errors
    /// This one, where it was made otherwise.
    pub fn into_other(self) -> Result<Box<dyn StdError + Send + Sync>, Self> {
        match self {
            Self { kind: ErrorKind::Other, source: Some(source), .. } => Ok(source),
            other => Err(other),
        }
    }

    /// A value that cannot be written or read; `key` says which.
    pub(crate) fn format(key: &str, doing: &str, source: Box<dyn StdError + Send + Sync>) -> Self {
        let text = format!("the value under '{key}' cannot be {doing}: {source}");
        Self { kind: ErrorKind::Format, text, conflict: None, source: Some(source) }
    }

    /// The same as a conflict: somebody made the record since it was found absent.
    pub(crate) fn overtaken(error: Self, key: &str) -> Self {
        let conflict = Some(Conflict { key: Some(key.to_owned()), current: None });
        Self { kind: ErrorKind::Conflict, conflict, ..error }
    }

    /// An answer of the host's that does not fit the question.
    pub(crate) fn unexpected(what: &str) -> Self {
        Self { kind: ErrorKind::Io, text: format!("the store did not tell {what}"), conflict: None, source: None }
    }
}

impl From<types::Error> for Error {
    fn from(error: types::Error) -> Self {
        use types::Error as E;
        let (kind, text, conflict) = match error {
            E::NotFound(text) => (ErrorKind::NotFound, text, None),
            E::AlreadyExists(text) => (ErrorKind::AlreadyExists, text, None),
            E::QuotaExceeded(text) => (ErrorKind::QuotaExceeded, text, None),
            E::InvalidKey(text) => (ErrorKind::InvalidKey, text, None),
            E::IoError(text) => (ErrorKind::Io, text, None),
            E::LimitExceeded(text) => (ErrorKind::LimitExceeded, text, None),
            E::Unavailable(text) => (ErrorKind::Unavailable, text, None),
            E::Conflict(types::Conflict { message, key, current }) => {
                (ErrorKind::Conflict, message, Some(Conflict { key, current }))
            }
            E::InvalidNumber(text) => (ErrorKind::InvalidNumber, text, None),
            E::InvalidArgument(text) => (ErrorKind::InvalidArgument, text, None),
            E::TransactionOver(text) => (ErrorKind::TransactionOver, text, None),
            E::NotEmpty(text) => (ErrorKind::NotEmpty, text, None),
            E::VersionForgotten(text) => (ErrorKind::VersionForgotten, text, None),
            E::Unsupported(text) => (ErrorKind::Unsupported, text, None),
        };
        Self { kind, text, conflict, source: None }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        // What `other` was given is this error, so its own source is the next.
        match (&self.source, self.kind) {
            (Some(source), ErrorKind::Other) => source.source(),
            (Some(source), _) => Some(source.as_ref()),
            (None, _) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn the_stores_words_and_case_stay() {
        let error = Error::from(types::Error::QuotaExceeded("10 of 10 bytes".into()));
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::QuotaExceeded, "10 of 10 bytes".to_owned()));
        let conflict = types::Conflict { message: "changed".into(), key: Some("k".into()), current: Some(7) };
        let error = Error::from(types::Error::Conflict(conflict));
        assert_eq!(error.text(), "changed");
        assert_eq!(error.conflict(), Some(&Conflict { key: Some("k".into()), current: Some(7) }));
    }

    #[test]
    fn an_error_of_ones_own_comes_back() {
        let error = Error::other("nothing left");
        assert_eq!((error.kind(), error.to_string()), (ErrorKind::Other, "nothing left".to_owned()));
        assert_eq!(error.into_other().unwrap().to_string(), "nothing left");
        assert!(Error::unexpected("x").into_other().is_err());
    }
}
