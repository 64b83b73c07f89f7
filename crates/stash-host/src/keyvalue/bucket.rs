//! Buckets: collections of the component, opened by the names that other hosts' guests use. A bucket's name must never lead
//! out of its component, and two names never to one collection.

use std::fmt::Write;

use stash_core::limits::MAX_COLLECTION_NAME_BYTES;
use stash_core::{CollectionName, CollectionSettings, ComponentStorage, StorageExt};

use super::failure::Failure;
use crate::component_store::ComponentStore;
use crate::view::StorageCtx;

/// A bucket that a guest has open.
// `pub`, because the bindings' own modules name it; nothing exports those.
#[allow(unreachable_pub)]
pub struct Bucket {
    pub(crate) store: ComponentStore,
}

/// In front of the names of collections whose buckets' names no collection can have.
const ESCAPED: &str = "bucket:";

/// Opens the bucket that a guest calls `identifier`, in the store that the label says, and makes it where it is not there.
pub(crate) async fn open(ctx: &StorageCtx, label: Option<&str>, identifier: &str) -> Result<Bucket, Failure> {
    let config = ctx.keyvalue();
    if !config.allows(label, identifier) {
        return Err(Failure::AccessDenied);
    }
    let name = match (label, is_default(identifier)) {
        (None, true) => None,
        (None, false) => Some(collection(identifier)?),
        (Some(label), true) => Some(collection(label)?),
        (Some(label), false) => Some(collection(&format!("{label}/{identifier}"))?),
    };
    let store = match name {
        None => ctx.store().in_collection(None)?,
        Some(name) => ctx.store().open_or_create_collection(&name, &CollectionSettings::default()).await?,
    };
    Ok(Bucket { store })
}

/// Whether a bucket's name is one of those of the default collection.
pub(crate) fn is_default(identifier: &str) -> bool {
    identifier.is_empty() || identifier == "default"
}

/// The collection of the bucket with this name: of the same name where it can have it, else of an escaped one.
///
/// # Errors
/// [`Failure::NoSuchStore`] for names too long to be one.
pub(crate) fn collection(identifier: &str) -> Result<CollectionName, Failure> {
    if !identifier.starts_with(ESCAPED)
        && let Ok(name) = identifier.parse()
    {
        return Ok(name);
    }
    let mut escaped = ESCAPED.to_owned();
    for byte in identifier.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_.:".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            // Writing to a string does not fail.
            let _ = write!(escaped, "%{byte:02X}");
        }
        if escaped.len() > MAX_COLLECTION_NAME_BYTES {
            return Err(Failure::NoSuchStore);
        }
    }
    Ok(escaped.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_name_that_a_collection_can_have_stays() {
        for name in ["sessions", "orders/2026", "tenant-1", "ünïcode", "a b"] {
            assert_eq!(collection(name).unwrap().as_str(), name);
        }
    }

    #[test]
    fn any_other_name_opens_too() {
        for (name, escaped) in [
            ("redis://127.0.0.1:6379/", "bucket:redis:%2F%2F127.0.0.1:6379%2F"),
            ("/", "bucket:%2F"),
            ("../other", "../other"),
            (" a", "bucket:%20a"),
            ("\u{1f}x", "bucket:%1Fx"),
            ("bucket:x", "bucket:bucket:x"),
        ] {
            assert_eq!(collection(name).unwrap().as_str(), escaped);
        }
        assert!(collection(&"é/".repeat(200)).is_err());
    }

    proptest! {
        #[test]
        fn two_names_are_two_collections(one in "(bucket:)?[ab/% ]{0,5}", other in "(bucket:)?[ab/%2F ]{0,5}") {
            if one != other && !one.is_empty() && !other.is_empty() {
                prop_assert_ne!(collection(&one).unwrap(), collection(&other).unwrap());
            }
        }
    }
}
