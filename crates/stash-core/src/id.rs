//! Who a component is: a validated [`ComponentId`]. It must never be possible to make one whose printed form is the
//! beginning of another's: that is what keeps namespaces apart.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::limits::MAX_ID_PART_BYTES;

/// The identity of a component: `namespace/name/instance`, for example `app/service-a/001`.
///
/// Each part is 1 to [`MAX_ID_PART_BYTES`] bytes of UTF-8 without `/`, control characters, or white space at its ends.
/// So the printed form followed by `/` has exactly three slashes, and no id's prefix is a prefix of another's.
/// Cheap to clone.
///
/// ```
/// use stash_core::ComponentId;
/// let id: ComponentId = "app/service-a/001".parse()?;
/// assert_eq!((id.namespace(), id.name(), id.instance()), ("app", "service-a", "001"));
/// assert_eq!(id.to_string(), "app/service-a/001");
/// assert!("app/service-a".parse::<ComponentId>().is_err());
/// # Ok::<(), stash_core::InvalidComponentId>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ComponentId {
    // The three parts and three slashes; the only way in is `new`.
    prefix: Arc<str>,
    name_at: usize,
    instance_at: usize,
}

impl ComponentId {
    /// Makes an id of three parts.
    ///
    /// # Errors
    /// [`InvalidComponentId`] names the part and what is wrong with it.
    pub fn new(namespace: &str, name: &str, instance: &str) -> Result<Self, InvalidComponentId> {
        check_part("namespace", namespace)?;
        check_part("name", name)?;
        check_part("instance", instance)?;
        Ok(Self {
            prefix: format!("{namespace}/{name}/{instance}/").into(),
            name_at: namespace.len() + 1,
            instance_at: namespace.len() + name.len() + 2,
        })
    }

    /// The first part: whose components these are, for example an application.
    pub fn namespace(&self) -> &str {
        self.slice(0, self.name_at)
    }

    /// The second part: which component it is.
    pub fn name(&self) -> &str {
        self.slice(self.name_at, self.instance_at)
    }

    /// The third part: which instance of the component, each with data of its own.
    pub fn instance(&self) -> &str {
        self.slice(self.instance_at, self.prefix.len())
    }

    /// What every key of this component begins with below the namespace layer: `app/service-a/001/`.
    #[inline]
    pub fn key_prefix(&self) -> &str {
        &self.prefix
    }

    /// The full name of one of the component's keys: `app/service-a/001/user:123`.
    pub fn full_key(&self, key: &str) -> String {
        [self.key_prefix(), key].concat()
    }

    /// The printed form, `app/service-a/001`.
    pub fn as_str(&self) -> &str {
        self.slice(0, self.prefix.len())
    }

    fn slice(&self, start: usize, next: usize) -> &str {
        // Each part is followed by one "/".
        self.prefix.get(start..next.saturating_sub(1)).unwrap_or_default()
    }
}

fn check_part(part: &'static str, text: &str) -> Result<(), InvalidComponentId> {
    let wrong = |reason: String| InvalidComponentId::Part { part, text: shorten(text), reason };
    if text.is_empty() {
        return Err(wrong("it is empty".into()));
    }
    if text.len() > MAX_ID_PART_BYTES {
        return Err(wrong(format!("it has {} bytes; the limit is {MAX_ID_PART_BYTES}", text.len())));
    }
    if let Some(bad) = text.chars().find(|c| *c == '/' || c.is_control()) {
        return Err(wrong(format!("it contains {bad:?}")));
    }
    if text.trim() != text {
        return Err(wrong("it begins or ends with white space".into()));
    }
    Ok(())
}

/// At most the first 40 characters, escaped: error texts stay one line whatever was typed.
fn shorten(text: &str) -> String {
    let escaped: String = text.chars().take(40).collect::<String>().escape_debug().collect();
    if text.chars().nth(40).is_some() { format!("{escaped}...") } else { escaped }
}

impl FromStr for ComponentId {
    type Err = InvalidComponentId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let mut parts = text.split('/');
        match (parts.next(), parts.next(), parts.next(), parts.next()) {
            (Some(namespace), Some(name), Some(instance), None) => Self::new(namespace, name, instance),
            _ => Err(InvalidComponentId::Shape { text: shorten(text) }),
        }
    }
}

impl TryFrom<String> for ComponentId {
    type Error = InvalidComponentId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ComponentId> for String {
    fn from(id: ComponentId) -> Self {
        id.as_str().to_owned()
    }
}

impl fmt::Display for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for ComponentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentId({})", self.as_str())
    }
}

/// Why a text is not a [`ComponentId`].
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InvalidComponentId {
    /// It does not have three parts.
    #[error("'{text}' is not a component id; it has three parts, as in app/service-a/001")]
    Shape {
        /// What was given, shortened.
        text: String,
    },
    /// One of the parts is not allowed.
    #[error("the {part} '{text}' of a component id is not allowed: {reason}")]
    Part {
        /// `namespace`, `name` or `instance`.
        part: &'static str,
        /// What was given, shortened.
        text: String,
        /// What is wrong with it.
        reason: String,
    },
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prints_what_it_parsed() {
        for text in ["app/service-a/001", "a/b/c", "приложение/服务/١", "a b/c:d/e@f"] {
            let id: ComponentId = text.parse().unwrap();
            assert_eq!(id.to_string(), text);
            assert_eq!(id.key_prefix(), format!("{text}/"));
            assert_eq!([id.namespace(), id.name(), id.instance()].join("/"), text);
        }
    }

    #[test]
    fn refuses_what_could_collide_or_confuse() {
        for text in
            ["", "/", "a", "a/b", "a/b/", "/b/c", "a//c", "a/b/c/", "a/b/c/d", "a/b/\0", "a/\n/c", " a/b/c", "a/b/c "]
        {
            assert!(text.parse::<ComponentId>().is_err(), "{text:?}");
        }
        assert!(ComponentId::new("a/b", "c", "d").is_err());
        assert!(ComponentId::new(&"x".repeat(MAX_ID_PART_BYTES), "c", "d").is_ok());
        let error = ComponentId::new(&"x".repeat(MAX_ID_PART_BYTES + 1), "c", "d").unwrap_err();
        assert!(error.to_string().contains("129 bytes; the limit is 128"), "{error}");
    }

    #[test]
    fn serde_goes_through_the_validation() {
        let id: ComponentId = serde_json::from_str("\"a/b/c\"").unwrap();
        assert_eq!(serde_json::to_string(&id).unwrap(), "\"a/b/c\"");
        assert!(serde_json::from_str::<ComponentId>("\"a/b\"").is_err());
    }
}
