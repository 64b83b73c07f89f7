//! How a person names a store: `redb:PATH`, `postgres://HOST/DATABASE` and the like.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use crate::server_url::{ServerUrl, without_passwords};

/// Which store to open.
///
/// ```
/// use stash_host::StoreUrl;
/// assert_eq!("redb:data/store.redb".parse(), Ok(StoreUrl::Redb("data/store.redb".into())));
/// assert_eq!("sqlite:data/store.sqlite".parse(), Ok(StoreUrl::Sqlite("data/store.sqlite".into())));
/// assert_eq!("memory:".parse(), Ok(StoreUrl::Memory));
/// assert!("oracle:x".parse::<StoreUrl>().is_err());
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
    /// `sqlite:PATH`, a file that other programs can read, made where it is not there.
    Sqlite(PathBuf),
    /// `files:PATH`, a folder with a file for each record, made where it is not there.
    Files(PathBuf),
    /// `postgres://…`, a schema in a PostgreSQL database, which other hosts may use too.
    Postgres(ServerUrl),
    /// `redis://…` or `rediss://…`, in Redis or Valkey, which other hosts may use too.
    Redis(ServerUrl),
    /// `etcd://…` or `etcd+tls://…`, in the members of an etcd cluster, which other hosts may use too.
    Etcd(ServerUrl),
}

/// What makes the URL of a store on a server.
type OfServer = fn(ServerUrl) -> StoreUrl;

/// The schemes of stores on a server.
const SERVERS: [(&str, OfServer); 6] = [
    ("postgres", StoreUrl::Postgres),
    ("postgresql", StoreUrl::Postgres),
    ("redis", StoreUrl::Redis),
    ("rediss", StoreUrl::Redis),
    ("etcd", StoreUrl::Etcd),
    ("etcd+tls", StoreUrl::Etcd),
];

/// What makes the URL of a store with a path.
type OfPath = fn(PathBuf) -> StoreUrl;

/// The schemes of stores in a file or folder.
const PATHS: [(&str, OfPath); 4] =
    [("redb", StoreUrl::Redb), ("fjall", StoreUrl::Fjall), ("sqlite", StoreUrl::Sqlite), ("files", StoreUrl::Files)];

impl StoreUrl {
    /// The file or folder that the store is in; `None` where it is in memory or on a server.
    pub fn path(&self) -> Option<&Path> {
        match self {
            Self::Redb(path) | Self::Fjall(path) | Self::Sqlite(path) | Self::Files(path) => Some(path),
            Self::Memory | Self::Postgres(_) | Self::Redis(_) | Self::Etcd(_) => None,
        }
    }

    /// The same store, whose path, where it has one, begins in this folder.
    #[must_use]
    pub fn within(mut self, folder: &Path) -> Self {
        if let Self::Redb(path) | Self::Fjall(path) | Self::Sqlite(path) | Self::Files(path) = &mut self {
            *path = folder.join(&path);
        }
        self
    }
}

impl FromStr for StoreUrl {
    type Err = InvalidStoreUrl;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let refuse = |reason: String| {
            let text = without_passwords(text).escape_debug().to_string();
            Err(InvalidStoreUrl { text, reason })
        };
        let (scheme, rest) = text.split_once(':').unwrap_or((text, ""));
        if scheme == "memory" {
            return if text == "memory:" { Ok(Self::Memory) } else { refuse("write 'memory:'".to_owned()) };
        }
        if let Some((_, make)) = SERVERS.iter().find(|(name, _)| *name == scheme) {
            let names_one = rest.strip_prefix("//").is_some_and(|rest| !rest.is_empty());
            // What follows is the engine's to read.
            return if names_one {
                Ok(make(ServerUrl::new(text)))
            } else {
                refuse(format!("write '{scheme}://HOST/...'"))
            };
        }
        let Some((_, make)) = PATHS.iter().find(|(name, _)| *name == scheme) else {
            let names = PATHS.map(|(name, _)| format!("'{name}:'")).join(", ");
            return refuse(format!("it begins with {names}, 'postgres://', 'redis://' or 'etcd://', or is 'memory:'"));
        };
        match rest {
            "" => refuse(format!("a path follows '{scheme}:'")),
            path if path.starts_with("//") => refuse(format!("write '{scheme}:PATH', without '//'")),
            path if path.contains('\0') => refuse("a path has no NUL character".to_owned()),
            path => Ok(make(path.into())),
        }
    }
}

impl fmt::Display for StoreUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match self {
            Self::Memory => return f.write_str("memory:"),
            Self::Redb(_) => "redb",
            Self::Fjall(_) => "fjall",
            Self::Sqlite(_) => "sqlite",
            Self::Files(_) => "files",
            Self::Postgres(url) | Self::Redis(url) | Self::Etcd(url) => return url.fmt(f),
        };
        write!(f, "{scheme}:{}", self.path().unwrap_or(Path::new("")).display())
    }
}

/// Why a text does not name a store.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{text}' does not name a store: {reason}; for example redb:.stash/store.redb")]
pub struct InvalidStoreUrl {
    text: String,
    reason: String,
}
