//! How a person names a store: `redb:PATH`, `fjall:PATH` or `memory:`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// Which store to open.
///
/// ```
/// use stash_host::StoreUrl;
/// assert_eq!("redb:data/store.redb".parse(), Ok(StoreUrl::Redb("data/store.redb".into())));
/// assert_eq!("fjall:data/store".parse(), Ok(StoreUrl::Fjall("data/store".into())));
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
    /// `fjall:PATH`, a folder, made where it is not there: for stores that are mostly written.
    Fjall(PathBuf),
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason| Err(InvalidStoreUrl { text: text.escape_debug().to_string(), reason });
        let path = |rest: &str, make: fn(PathBuf) -> Self, without: &'static str, slashes: &'static str| match rest {
            "" => refuse(without),
            path if path.starts_with("//") => refuse(slashes),
            path if path.contains('\0') => refuse("a path has no NUL character"),
            path => Ok(make(path.into())),
        };
        match text.split_once(':') {
            Some(("memory", "")) => Ok(Self::Memory),
            Some(("memory", _)) => refuse("nothing follows 'memory:'"),
            Some(("redb", rest)) => path(rest, Self::Redb, "a path follows 'redb:'", "write 'redb:PATH', without '//'"),
            Some(("fjall", rest)) => {
                path(rest, Self::Fjall, "a path follows 'fjall:'", "write 'fjall:PATH', without '//'")
            }
            _ => refuse("it begins with 'redb:' or 'fjall:', or is 'memory:'"),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Memory => f.write_str("memory:"),
            Self::Redb(path) => write!(f, "redb:{}", path.display()),
            Self::Fjall(path) => write!(f, "fjall:{}", path.display()),
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
