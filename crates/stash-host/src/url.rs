//! How a person names a store: `redb:PATH` or `memory:`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Which store to open.
///
/// ```
/// use stash_host::StoreUrl;
/// assert_eq!("redb:data/store.redb".parse(), Ok(StoreUrl::Redb("data/store.redb".into())));
/// assert_eq!("memory:".parse(), Ok(StoreUrl::Memory));
/// assert!("sqlite:x".parse::<StoreUrl>().is_err());
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoreUrl {
    /// `memory:`, gone when the process ends.
    Memory,
    /// `redb:PATH`, a file, made where it is not there.
    Redb(PathBuf),
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| Err(InvalidStoreUrl { text: text.escape_debug().to_string(), reason });
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => refuse("nothing follows 'memory:'"),
            Some(("redb", "")) => refuse("a path follows 'redb:'"),
            Some(("redb", path)) if path.starts_with("//") => refuse("write 'redb:PATH', without '//'"),
            Some(("redb", path)) if path.contains('\0') => refuse("a path has no NUL character"),
            Some(("redb", path)) => Ok(Self::Redb(path.into())),
            _ => refuse("it begins with 'redb:' or is 'memory:'"),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Redb(path) => write!(f, "redb:{}", path.display()),
        }
    }
}

/// Why a text does not name a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' does not name a store: {reason}; for example redb:.stash/store.redb")]
pub struct InvalidStoreUrl {
    text: String,
    reason: &'static str,
}
