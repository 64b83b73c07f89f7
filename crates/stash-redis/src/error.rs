//! What errors of servers mean, and why a store cannot be opened, in words that say what to do. Must never show a key, a
//! value or a password.

use stash_core::StorageError;
use stash_shared::{CommitError, ServerError};

use crate::link::Failure;

/// Why a store could not be opened.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL cannot be understood.
    #[error("this is not the URL of a store in Redis: {reason}; write redis://USER:PASSWORD@HOST:PORT/DB")]
    InvalidUrl {
        /// What is wrong with it.
        reason: String,
    },
    /// The server cannot be reached, or does not let us in.
    #[error("cannot open the store in {server}: {reason}")]
    Unreachable {
        /// The server, without password.
        server: String,
        /// What it said, or what happened.
        reason: String,
    },
    /// The server is one that cannot keep a store as it is.
    #[error("{server} cannot keep a store: {reason}")]
    Unsuitable {
        /// The server, without password.
        server: String,
        /// What is wrong, and what to do.
        reason: String,
    },
    /// There is something else under the prefix, or a store of a version that this one does not read.
    #[error("{server} has no store that this version of Stash can read: {reason}")]
    NotAStore {
        /// The server, without password.
        server: String,
        /// What was found.
        reason: String,
    },
    /// There is none, and none was to be made.
    #[error("there is no store in {server} under the prefix '{prefix}'; check the URL, or run a component first")]
    NoStore {
        /// The server, without password.
        server: String,
        /// What the names of its keys would begin with.
        prefix: String,
    },
    /// Something went wrong on this host.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl OpenError {
    /// What was found when the store was first read.
    pub(crate) fn of_storage(server: &str, error: StorageError) -> Self {
        let server = server.to_owned();
        match error {
            StorageError::Corrupt { reason } => Self::NotAStore { server, reason },
            error => Self::Unreachable { server, reason: error.to_string() },
        }
    }
}

/// The server did not run it, and may when asked again.
const LATER: &[&str] =
    &["LOADING", "BUSY", "CLUSTERDOWN", "MASTERDOWN", "TRYAGAIN", "READONLY", "MOVED", "ASK", "NOSCRIPT", "UNBLOCKED"];

/// What a refusal means for whoever asked. `None` where the server may have done something before it failed.
fn refusal(code: &str, text: &str) -> Option<StorageError> {
    let reason = match code {
        "OOM" => {
            "Redis has no memory left (maxmemory): raise it, or delete something; commits that only remove still work"
        }
        "MISCONF" => "Redis cannot write to its disk and takes nothing until it can: see its log",
        "NOREPLICAS" => "Redis takes nothing because too few replicas follow it (min-replicas-to-write)",
        "NOPERM" => "the user of the URL may not do this in Redis: see the permissions in the guide",
        // Looked for by the script before it writes.
        "FOREIGN" => return Some(StorageError::Corrupt { reason: foreign(text) }),
        // And this it says where it failed after that.
        "TORN" => return Some(StorageError::Corrupt { reason: torn(text) }),
        "NOAUTH" | "WRONGPASS" => "Redis does not accept the user and password of the URL",
        _ => return None,
    };
    Some(StorageError::Unavailable { reason: reason.to_owned() })
}

fn foreign(text: &str) -> String {
    format!(
        "something else writes to keys under the prefix of the store in Redis ({text}), and nothing was stored: remove \
         what is not the store's, and give it a user of its own"
    )
}

fn torn(text: &str) -> String {
    format!(
        "the store is damaged: Redis failed in the middle of a commit ({text}), and a part of it is stored: restore a \
         backup"
    )
}

fn later(code: &str, text: &str) -> String {
    match code {
        "READONLY" => "it is a replica, which takes no commits: name the primary in the URL".to_owned(),
        "LOADING" => "it is still reading its data from disk".to_owned(),
        "BUSY" => "it is busy with a script of somebody".to_owned(),
        "CLUSTERDOWN" | "MASTERDOWN" => "a part of the cluster has no primary".to_owned(),
        _ => format!("{code} {text}"),
    }
}

/// Why a question has no answer.
pub(crate) fn server_error(failure: Failure) -> ServerError {
    match failure {
        Failure::NotSent(reason) | Failure::Lost(reason) => ServerError::Unreachable(reason),
        Failure::Answered { code, text } if LATER.contains(&&code[..]) => ServerError::Unreachable(later(&code, &text)),
        Failure::Answered { code, text } => {
            let error =
                refusal(&code, &text).unwrap_or_else(|| StorageError::io("asking Redis", format!("{code} {text}")));
            ServerError::Refused(error)
        }
    }
}

/// Why a commit has no outcome.
pub(crate) fn commit_error(failure: Failure) -> CommitError {
    match failure {
        Failure::NotSent(reason) => CommitError::NotSent(reason),
        Failure::Lost(reason) => CommitError::Lost(reason),
        Failure::Answered { code, text } if LATER.contains(&&code[..]) => CommitError::NotSent(later(&code, &text)),
        Failure::Answered { code, text } => refusal(&code, &text)
            .map_or_else(|| CommitError::Lost(format!("it answered {code} {text}")), CommitError::Refused),
    }
}

/// An answer that no script of ours gives.
pub(crate) fn strange(what: &str) -> ServerError {
    ServerError::Refused(StorageError::io("reading an answer of Redis", format!("{what} is not what was asked for")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answered(code: &str) -> Failure {
        Failure::Answered { code: code.to_owned(), text: "said the server".to_owned() }
    }

    #[test]
    fn a_commit_is_refused_only_where_it_cannot_have_been_applied() {
        for code in ["OOM", "MISCONF", "NOREPLICAS", "NOPERM"] {
            assert!(matches!(commit_error(answered(code)), CommitError::Refused(_)), "{code}");
        }
        for (code, said) in [("FOREIGN", "nothing was stored"), ("TORN", "the store is damaged")] {
            let CommitError::Refused(StorageError::Corrupt { reason }) = commit_error(answered(code)) else {
                panic!("{code}")
            };
            assert!(reason.contains(said) && reason.contains("said the server"), "{reason}");
        }
        for code in LATER {
            assert!(matches!(commit_error(answered(code)), CommitError::NotSent(_)), "{code}");
            assert!(matches!(server_error(answered(code)), ServerError::Unreachable(_)), "{code}");
        }
        for code in ["ERR", "WRONGTYPE", "EXECABORT", "NEW"] {
            assert!(matches!(commit_error(answered(code)), CommitError::Lost(_)), "{code}");
            assert!(matches!(server_error(answered(code)), ServerError::Refused(StorageError::Io { .. })), "{code}");
        }
        assert!(matches!(commit_error(Failure::Lost(String::new())), CommitError::Lost(_)));
    }
}
