//! Collections: named stores inside one component. Their names, their settings, and where in the engine they are. A
//! name must never lead out of its component, whatever it contains.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use bytes::{Buf, BufMut, BytesMut};

use crate::clock::Timestamp;
use crate::error::StorageError;
use crate::id::ComponentId;
use crate::limits::{MAX_COLLECTION_DEPTH, MAX_COLLECTION_NAME_BYTES, MAX_HISTORY_VERSIONS};
use crate::metadata::Attributes;
use crate::record::{Record, corrupt};
use crate::value::StorageValue;

/// Stands between a component's id and a collection's name, and for the `/` in that name. No part of an id and no
/// collection's name has a control character, so `app/service-a/001` + this + `orders/` begins no key of another.
const SEPARATOR: char = '\u{1f}';

/// The name of a collection: 1 to [`MAX_COLLECTION_NAME_BYTES`] bytes, in up to [`MAX_COLLECTION_DEPTH`] parts between
/// `/`. A part is not empty, has no control characters and neither begins nor ends with white space.
///
/// The default collection has no name; where one is wanted, it is the empty one: see [`parse`](Self::parse).
///
/// ```
/// use stash_core::CollectionName;
/// let name: CollectionName = "orders/2026".parse()?;
/// assert!(name.is_inside(&"orders".parse()?));
/// assert!("orders//2026".parse::<CollectionName>().is_err());
/// # Ok::<(), stash_core::StorageError>(())
/// ```
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct CollectionName(String);

impl CollectionName {
    /// The name in a text: `None` for the empty one, which is the default collection's.
    ///
    /// # Errors
    /// [`StorageError::InvalidArgument`] where the text is no name.
    pub fn parse(text: &str) -> Result<Option<Self>, StorageError> {
        if text.is_empty() { Ok(None) } else { text.parse().map(Some) }
    }

    /// The name as it is written.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether this collection is inside `other`: `orders/2026` is inside `orders`.
    pub fn is_inside(&self, other: &Self) -> bool {
        self.0.strip_prefix(other.as_str()).is_some_and(|rest| rest.starts_with('/'))
    }
}

impl FromStr for CollectionName {
    type Err = StorageError;

    fn from_str(text: &str) -> Result<Self, StorageError> {
        let shown: String = text.chars().take(40).collect();
        let refuse = |why: &str| {
            let reason = format!("'{}' is no name of a collection: {why}", shown.escape_debug());
            Err(StorageError::InvalidArgument { reason })
        };
        if text.len() > MAX_COLLECTION_NAME_BYTES {
            return refuse(&format!("it has {} bytes; the limit is {MAX_COLLECTION_NAME_BYTES}", text.len()));
        }
        if text.split('/').any(str::is_empty) {
            return refuse("it, or a part of it between '/', is empty");
        }
        if text.split('/').any(|part| part.trim() != part) {
            return refuse("a part of it begins or ends with white space");
        }
        if text.chars().any(char::is_control) {
            return refuse("it has a control character");
        }
        if text.split('/').count() > MAX_COLLECTION_DEPTH {
            return refuse(&format!("it has more than {MAX_COLLECTION_DEPTH} parts"));
        }
        Ok(Self(text.to_owned()))
    }
}

impl fmt::Display for CollectionName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}

/// One of a component's places for records.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Place {
    /// The collection without a name.
    #[default]
    Default,
    /// A collection that was made.
    Named(CollectionName),
    /// The list of the collections: a record each, under its name.
    Registry,
}

/// The name in the registry under which the default collection's settings are: no collection can have it.
pub(crate) const DEFAULT_SETTINGS: &str = "\u{1f}";

/// In front of the names in the registry under which bookmarks are: no collection can have one of these either.
pub(crate) const BOOKMARK: &str = "\u{1f}at:";

/// Whether a name in the registry is a collection's.
pub(crate) fn is_collection(registered: &str) -> bool {
    !registered.starts_with(SEPARATOR)
}

impl Place {
    /// What the keys of this place begin with below the namespace layer. No such text begins another one.
    pub(crate) fn prefix(&self, id: &ComponentId) -> String {
        match self {
            Self::Default => id.key_prefix().to_owned(),
            Self::Named(name) => {
                let name = name.as_str().replace('/', SEPARATOR.encode_utf8(&mut [0; 4]));
                format!("{}{SEPARATOR}{name}/", id.as_str())
            }
            Self::Registry => format!("{}{SEPARATOR}/", id.as_str()),
        }
    }

    /// The place whose keys begin with `prefix` in the component whose keys begin with `scope`.
    pub(crate) fn of_prefix(prefix: &str, scope: &str) -> Option<Self> {
        let rest = prefix.strip_prefix(scope.strip_suffix('/')?)?.strip_suffix('/')?;
        if rest.is_empty() {
            return Some(Self::Default);
        }
        let name = rest.strip_prefix(SEPARATOR)?;
        if name.is_empty() {
            return Some(Self::Registry);
        }
        name.replace(SEPARATOR, "/").parse().ok().map(Self::Named)
    }

    /// Under which key of the registry its settings are.
    pub(crate) fn registry_name(&self) -> Option<&str> {
        match self {
            Self::Default => Some(DEFAULT_SETTINGS),
            Self::Named(name) => Some(name.as_str()),
            Self::Registry => None,
        }
    }
}

/// The key of the registry's record for a place, below the namespace layer.
pub(crate) fn registry_key(scope: &str, name: &str) -> String {
    format!("{}{SEPARATOR}/{name}", scope.strip_suffix('/').unwrap_or(scope))
}

/// What a collection keeps of its records' earlier versions. With both limits the stricter counts; with neither, none is
/// kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Retention {
    /// The last so many versions of each key, the present one included: 1 to [`MAX_HISTORY_VERSIONS`].
    pub versions: Option<u32>,
    /// Those that were replaced less than so long ago.
    pub age: Option<Duration>,
}

impl Retention {
    /// Whether any earlier version is kept.
    pub fn keeps_history(&self) -> bool {
        self.versions.map_or(self.age.is_some(), |versions| versions > 1)
    }
}

/// How a collection is.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CollectionSettings {
    /// Names and values that the component gave it, within the limits of a record's attributes.
    pub attributes: Attributes,
    /// How much of the past it keeps.
    pub retention: Retention,
}

/// A collection as it is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CollectionInfo {
    /// Its name; `None` for the default collection.
    pub name: Option<CollectionName>,
    /// When it was made; `None` for the default collection.
    pub created: Option<Timestamp>,
    /// How it is.
    pub settings: CollectionSettings,
}

impl CollectionSettings {
    const FORMAT: u8 = 1;

    pub(crate) fn check(&self) -> Result<(), StorageError> {
        if let Some(versions) = self.retention.versions
            && !(1..=MAX_HISTORY_VERSIONS).contains(&versions)
        {
            let reason = format!("a collection keeps 1 to {MAX_HISTORY_VERSIONS} versions, not {versions}");
            return Err(StorageError::InvalidArgument { reason });
        }
        Ok(())
    }

    /// What its record in the registry holds; the attributes are the record's.
    pub(crate) fn encode(&self) -> StorageValue {
        let mut out = BytesMut::with_capacity(13);
        out.put_u8(Self::FORMAT);
        out.put_u32(self.retention.versions.unwrap_or(0));
        let age = self.retention.age.map_or(u64::MAX, |age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX - 1));
        out.put_u64(age);
        out.freeze().into()
    }

    pub(crate) fn decode(record: &Record) -> Result<Self, StorageError> {
        let damaged = || corrupt("a collection's settings have an unknown format".to_owned());
        let mut stored: &[u8] = &record.value;
        if stored.try_get_u8().map_err(|_| damaged())? != Self::FORMAT {
            return Err(damaged());
        }
        let versions = stored.try_get_u32().map_err(|_| damaged())?;
        let age = stored.try_get_u64().map_err(|_| damaged())?;
        let retention = Retention {
            versions: (versions > 0).then_some(versions),
            age: (age != u64::MAX).then(|| Duration::from_millis(age)),
        };
        Ok(Self { attributes: record.metadata.attributes().clone(), retention })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn id() -> ComponentId {
        "app/service-a/001".parse().unwrap()
    }

    #[test]
    fn names_that_are_none_are_refused_and_say_why() {
        for (text, why) in [
            ("", "is empty"),
            ("/a", "is empty"),
            ("a//b", "is empty"),
            ("a/", "is empty"),
            (" a", "white space"),
            ("a/b ", "white space"),
            ("a\u{1f}b", "control character"),
            ("a\nb", "control character"),
            ("1/2/3/4/5/6/7/8/9", "more than 8 parts"),
        ] {
            let error = text.parse::<CollectionName>().unwrap_err().to_string();
            assert!(error.contains(why), "{text:?}: {error}");
        }
        let error = "x".repeat(257).parse::<CollectionName>().unwrap_err().to_string();
        assert!(error.contains("it has 257 bytes; the limit is 256"), "{error}");
        assert_eq!(CollectionName::parse("").unwrap(), None);
    }

    proptest! {
        #[test]
        fn no_key_of_one_place_is_in_another(
            one in "[ab.]{1,3}(/[ab.]{1,3}){0,2}",
            other in "[ab.]{1,3}(/[ab.]{1,3}){0,2}",
            key in "[ab./\u{1f}]{0,6}",
        ) {
            let name = |text: &str| Place::Named(text.parse().unwrap());
            let places = [Place::Default, Place::Registry, name(&one), name(&other)];
            for (a, b) in places.iter().flat_map(|a| places.iter().map(move |b| (a, b))).filter(|(a, b)| a != b) {
                let full = [&a.prefix(&id()), &*key].concat();
                prop_assert!(!full.starts_with(&b.prefix(&id())), "{:?}", full);
            }
            for place in places {
                prop_assert_eq!(Place::of_prefix(&place.prefix(&id()), id().key_prefix()), Some(place));
            }
        }
    }

    #[test]
    fn settings_come_back() {
        for retention in [
            Retention::default(),
            Retention { versions: Some(5), age: None },
            Retention { versions: Some(1), age: Some(Duration::from_mins(1)) },
        ] {
            let settings = CollectionSettings { retention, ..CollectionSettings::default() };
            let record = Record { value: settings.encode(), ..Record::default() };
            assert_eq!(CollectionSettings::decode(&record).unwrap(), settings);
        }
    }
}
