//! What a record carries beside its value: times, content type, attributes. It must hold every text of a guest to the
//! limits before it is stored.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use crate::batch::limit;
use crate::clock::Timestamp;
use crate::error::StorageError;
use crate::limits::{MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_CONTENT_TYPE_BYTES};

/// Names and values that a component gave to a record, in the order of the names.
pub type Attributes = BTreeMap<String, String>;

/// What is known of a record beside its value and version. Clones share the texts.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Metadata {
    /// When the key was first set, since it was last absent. `None` for records of a version of Stash that did not keep it.
    pub created: Option<Timestamp>,
    /// When the record was last changed. `None` as with `created`.
    pub updated: Option<Timestamp>,
    /// From when on the record is no longer there; `None` where it stays.
    pub expires: Option<Timestamp>,
    /// Whether there were earlier versions of the key, so far as its collection keeps any.
    pub(crate) replaced: bool,
    pub(crate) texts: Option<Arc<Texts>>,
}

/// The parts that most records do not have.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Texts {
    content_type: Option<String>,
    attributes: Attributes,
}

impl Metadata {
    /// What the value is, as the component said: `application/json`.
    pub fn content_type(&self) -> Option<&str> {
        self.texts.as_ref().and_then(|texts| texts.content_type.as_deref())
    }

    /// The record's attributes.
    pub fn attributes(&self) -> &Attributes {
        static NONE: Attributes = Attributes::new();
        self.texts.as_ref().map_or(&NONE, |texts| &texts.attributes)
    }

    /// Whether the record is no longer there at `now`.
    #[inline]
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires.is_some_and(|expires| expires <= now)
    }

    /// The same with another content type and other attributes.
    pub(crate) fn with_texts(self, content_type: Option<String>, attributes: Attributes) -> Self {
        let texts =
            (content_type.is_some() || !attributes.is_empty()).then(|| Arc::new(Texts { content_type, attributes }));
        Self { texts, ..self }
    }

    /// Bytes of what the component wrote: content type and attributes.
    pub(crate) fn text_bytes(&self) -> usize {
        self.texts
            .as_ref()
            .map_or(0, |texts| texts.content_type.as_ref().map_or(0, String::len) + attribute_bytes(&texts.attributes))
    }
}

/// Until when a record that is being set stays.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Expiry {
    /// Until it is deleted.
    #[default]
    Never,
    /// For so long after the commit.
    After(Duration),
    /// Until that moment. A moment that has passed removes the record.
    At(Timestamp),
    /// As long as the record that it replaces would have stayed.
    Keep,
}

impl Expiry {
    pub(crate) fn resolve(self, now: Timestamp, before: Option<Timestamp>) -> Option<Timestamp> {
        match self {
            Self::Never => None,
            Self::After(time) => Some(now.after(time)),
            Self::At(moment) => Some(moment.min(Timestamp::MAX)),
            Self::Keep => before,
        }
    }
}

/// How a record is set, beside its value.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SetOptions {
    /// Until when it stays.
    pub expiry: Expiry,
    /// What the value is: 1 to [`MAX_CONTENT_TYPE_BYTES`] bytes.
    pub content_type: Option<String>,
    /// Names and values: at most [`MAX_ATTRIBUTES`], and [`MAX_ATTRIBUTE_BYTES`] bytes in all. A name is not empty.
    pub attributes: Attributes,
}

/// A change of a record's content type and attributes that leaves its value as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MetadataChange {
    /// These and no others.
    Replace {
        /// The content type, or none.
        content_type: Option<String>,
        /// All attributes.
        attributes: Attributes,
    },
    /// These too: what is not named stays as it is.
    Merge {
        /// The content type, where it changes.
        content_type: Option<String>,
        /// Attributes to set; those with `None` are removed.
        attributes: BTreeMap<String, Option<String>>,
    },
}

pub(crate) fn check_texts(content_type: Option<&str>, attributes: &Attributes) -> Result<(), StorageError> {
    let bytes = attribute_bytes(attributes);
    if let Some(content_type) = content_type {
        if content_type.is_empty() || content_type.chars().any(char::is_control) {
            let reason = "a content type is not empty and has no control characters".to_owned();
            return Err(StorageError::InvalidArgument { reason });
        }
        if content_type.len() > MAX_CONTENT_TYPE_BYTES {
            return Err(limit("the length of a content type in bytes", content_type.len(), MAX_CONTENT_TYPE_BYTES));
        }
    }
    if attributes.contains_key("") {
        return Err(StorageError::InvalidArgument { reason: "an attribute's name is not empty".to_owned() });
    }
    if attributes.len() > MAX_ATTRIBUTES {
        return Err(limit("the number of attributes", attributes.len(), MAX_ATTRIBUTES));
    }
    if bytes > MAX_ATTRIBUTE_BYTES {
        return Err(limit("the size of the attributes in bytes", bytes, MAX_ATTRIBUTE_BYTES));
    }
    Ok(())
}

pub(crate) fn attribute_bytes(attributes: &Attributes) -> usize {
    attributes.iter().map(|(name, value)| name.len() + value.len()).sum()
}
