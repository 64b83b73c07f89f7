//! How records and collections are to be. What is not said must stay the interface's default.

use std::time::{Duration, SystemTime};

use crate::Version;
use crate::entry::{Metadata, millis, timestamp};
use crate::raw::{collections, types};

/// What must be so for a change to happen.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Condition {
    /// There is no record; else the error is `AlreadyExists`.
    Absent,
    /// There is a record; else `NotFound`.
    Present,
    /// There is a record of this version; else `Conflict`.
    Version(Version),
}

impl From<Condition> for types::Condition {
    fn from(condition: Condition) -> Self {
        match condition {
            Condition::Absent => Self::Absent,
            Condition::Present => Self::Present,
            Condition::Version(version) => Self::Version(version),
        }
    }
}

/// How a record is set, beside its value. Without options it stays until it is deleted, and has neither content type nor
/// attributes.
///
/// ```
/// use stash_guest::SetOptions;
/// use std::time::Duration;
///
/// let options = SetOptions::new().expires_after(Duration::from_mins(20)).attribute("by", "anna");
/// ```
#[derive(Debug, Clone)]
pub struct SetOptions(types::SetOptions);

impl SetOptions {
    /// None.
    pub fn new() -> Self {
        Self(types::SetOptions { expires: types::Expiry::Never, content_type: None, attributes: Vec::new() })
    }

    /// What a record has already, so that only its value changes.
    pub(crate) fn keeping(metadata: Option<&Metadata>) -> Self {
        Self(types::SetOptions {
            expires: types::Expiry::Keep,
            content_type: metadata.and_then(|metadata| metadata.content_type.clone()),
            attributes: metadata.map(|metadata| metadata.attributes.clone()).unwrap_or_default(),
        })
    }

    /// Lets the record go by itself so long after the commit.
    #[must_use]
    pub fn expires_after(mut self, time: Duration) -> Self {
        self.0.expires = after(time);
        self
    }

    /// Lets the record go by itself at that moment.
    #[must_use]
    pub fn expires_at(mut self, at: SystemTime) -> Self {
        self.0.expires = types::Expiry::At(timestamp(at));
        self
    }

    /// Lets the record stay as long as the one that it replaces would have stayed.
    #[must_use]
    pub fn keep_expiry(mut self) -> Self {
        self.0.expires = types::Expiry::Keep;
        self
    }

    /// Says what the value is, such as `image/png`.
    #[must_use]
    pub fn content_type(mut self, content_type: impl Into<String>) -> Self {
        self.0.content_type = Some(content_type.into());
        self
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attribute(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.0.attributes.push((name.into(), value.into()));
        self
    }

    pub(crate) fn raw(&self) -> types::SetOptions {
        self.0.clone()
    }
}

impl Default for SetOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// An expiry some time after the commit.
pub(crate) fn after(time: Duration) -> types::Expiry {
    types::Expiry::After(millis(time))
}

/// How a collection is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Settings {
    /// Names and values.
    pub attributes: Vec<(String, String)>,
    /// How much of the past it keeps.
    pub retention: Retention,
}

/// How much of the past a collection keeps. With both the stricter counts; with neither, nothing is kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// The last so many versions of each key, the present one included.
    pub versions: Option<u32>,
    /// Those that were replaced less than so long ago.
    pub age: Option<Duration>,
}

impl Settings {
    pub(crate) fn raw(&self) -> collections::Settings {
        let Retention { versions, age } = self.retention;
        collections::Settings {
            attributes: self.attributes.clone(),
            retention: collections::Retention { versions, age: age.map(millis) },
        }
    }
}
