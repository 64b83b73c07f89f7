//! What an answer of etcd that is an error means: whether the call can have been done, and what to tell people. It must
//! never call something refused that may be applied.

use stash_core::StorageError;
use stash_shared::{CommitError, ServerError};
use tonic::{Code, ConnectError, Status};

/// Why a call has no answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum CallError {
    /// It was not done, and another try may be: it was never sent, or turned away.
    NotSent(String),
    /// It may have been done, or be done yet.
    Lost(String),
    /// etcd has answered, and trying again does not help.
    Refused(Refusal),
}

/// Answers that are errors.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// The quota of etcd's database is reached. The first call with this answer may have been done nevertheless.
    NoSpace,
    /// The state that was asked for is no longer kept.
    Compacted,
    /// The request is larger than etcd takes.
    TooLarge,
    /// The transaction has more operations than etcd takes.
    TooManyOps,
    /// What we showed to say who we are counts no longer.
    OldToken,
    /// It wants to know who we are.
    NoUser,
    /// User and password are not right.
    WrongPassword,
    /// Authentication is not switched on.
    NoAuth,
    /// The user may not.
    Denied,
    /// The members have different data.
    Damaged,
    /// Anything else.
    Other(String),
}

impl CallError {
    /// What an error of the gRPC layer means, for a call that was sent to `member`.
    pub(crate) fn of(status: &Status, member: &str) -> Self {
        let reason = || format!("{member}: {}", told(status));
        if was_not_connected(status) {
            return Self::NotSent(reason());
        }
        let message = status.message();
        let refusal = match message {
            // Turned away before anything was proposed to the members.
            "etcdserver: no leader" | "etcdserver: too many requests" | "etcdserver: rpc not supported for learner" => {
                return Self::NotSent(reason());
            }
            "etcdserver: mvcc: database space exceeded" => Refusal::NoSpace,
            "etcdserver: mvcc: required revision has been compacted" => Refusal::Compacted,
            "etcdserver: request is too large" => Refusal::TooLarge,
            "etcdserver: too many operations in txn request" => Refusal::TooManyOps,
            "etcdserver: invalid auth token" | "etcdserver: revision of auth store is old" => Refusal::OldToken,
            "etcdserver: user name is empty" => Refusal::NoUser,
            "etcdserver: authentication failed, invalid user ID or password" => Refusal::WrongPassword,
            "etcdserver: authentication is not enabled" => Refusal::NoAuth,
            "etcdserver: permission denied" => Refusal::Denied,
            "etcdserver: corrupt cluster" => Refusal::Damaged,
            _ if message.contains("received message larger than max") => Refusal::TooLarge,
            _ => match status.code() {
                Code::InvalidArgument | Code::FailedPrecondition | Code::Unimplemented | Code::OutOfRange => {
                    Refusal::Other(reason())
                }
                // Timeouts, changes of leader, connections that broke, and what nobody has foreseen.
                _ => return Self::Lost(reason()),
            },
        };
        Self::Refused(refusal)
    }
}

impl Refusal {
    /// What to tell people.
    pub(crate) fn storage_error(&self) -> StorageError {
        let reason = match self {
            Self::NoSpace => {
                "etcd refuses writes because its database has reached its quota: compact and defragment it (etcdctl \
                 compact, etcdctl defrag --cluster) or give it a larger --quota-backend-bytes, then etcdctl alarm disarm"
            }
            Self::Compacted => {
                let reason = "etcd has compacted the state that was being read; read it anew".to_owned();
                return StorageError::Unavailable { reason };
            }
            Self::TooLarge => {
                "etcd takes no request of this size: give its --max-request-bytes in the store's URL, as \
                 ?max-request-bytes=1572864"
            }
            Self::TooManyOps => {
                "etcd takes no transaction of so many operations: give its --max-txn-ops in the store's URL, as \
                 ?max-txn-ops=128"
            }
            Self::OldToken => "etcd does not accept its own token; log in again by opening the store again",
            Self::NoUser => "etcd wants to know who asks: put user:password@ into the store's URL",
            Self::WrongPassword => "etcd does not know this user with this password",
            Self::NoAuth => "etcd has no users: leave user:password@ out of the store's URL, or etcdctl auth enable",
            Self::Denied => {
                "the user may not: give one of its roles all rights under the store's prefix, as in etcdctl role \
                 grant-permission ROLE readwrite stash/ --prefix=true"
            }
            Self::Damaged => {
                let reason = "etcd says that its members have different data (alarm CORRUPT); restore it".to_owned();
                return StorageError::Corrupt { reason };
            }
            Self::Other(reason) => return StorageError::io("asking etcd", reason),
        };
        StorageError::io("asking etcd", reason)
    }
}

impl From<CallError> for ServerError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent(reason) | CallError::Lost(reason) => Self::Unreachable(reason),
            // Another one is told when it is asked again.
            CallError::Refused(Refusal::Compacted) => Self::Unreachable("what was read was compacted".to_owned()),
            CallError::Refused(refusal) => Self::Refused(refusal.storage_error()),
        }
    }
}

impl From<CallError> for CommitError {
    fn from(error: CallError) -> Self {
        match error {
            CallError::NotSent(reason) => Self::NotSent(reason),
            CallError::Lost(reason) => Self::Lost(reason),
            CallError::Refused(refusal) => Self::Refused(refusal.storage_error()),
        }
    }
}

/// Whether there was never a connection to send it on.
fn was_not_connected(status: &Status) -> bool {
    let mut error: Option<&(dyn std::error::Error + 'static)> = std::error::Error::source(status);
    while let Some(cause) = error {
        if cause.is::<ConnectError>() {
            return true;
        }
        error = cause.source();
    }
    false
}

/// What it says, with the innermost cause: the outer ones only say that something went wrong.
pub(crate) fn told(error: &(dyn std::error::Error + 'static)) -> String {
    let mut innermost = error;
    while let Some(cause) = innermost.source() {
        innermost = cause;
    }
    let text = match error.downcast_ref::<Status>() {
        Some(status) if status.source().is_none() => status.message().to_owned(),
        _ => innermost.to_string(),
    };
    if text.is_empty() { "an error without a text".to_owned() } else { text }
}

use std::error::Error as _;

#[cfg(test)]
mod tests {
    use super::*;

    fn of(code: Code, message: &str) -> CallError {
        CallError::of(&Status::new(code, message), "a:2379")
    }

    #[test]
    fn only_what_is_known_not_to_be_done_is_called_so() {
        for (code, message) in [
            (Code::Unavailable, "etcdserver: leader changed"),
            (Code::Unavailable, "etcdserver: request timed out"),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to previous leader failure"),
            (Code::Unavailable, "etcdserver: request timed out, possibly due to connection lost"),
            (Code::Unavailable, "etcdserver: server stopped"),
            (Code::Unknown, "raft proposal dropped"),
            (Code::Cancelled, "h2 protocol error"),
            (Code::Internal, "anything"),
            (Code::ResourceExhausted, "anything"),
        ] {
            assert!(matches!(of(code, message), CallError::Lost(_)), "{message}");
        }
        for message in ["etcdserver: no leader", "etcdserver: too many requests"] {
            let error = of(Code::Unavailable, message);
            assert!(matches!(&error, CallError::NotSent(reason) if reason.contains("a:2379")), "{error:?}");
        }
    }

    #[test]
    fn refusals_say_what_to_do() {
        for (code, message, said) in [
            (Code::ResourceExhausted, "etcdserver: mvcc: database space exceeded", "alarm disarm"),
            (Code::InvalidArgument, "etcdserver: request is too large", "max-request-bytes"),
            (Code::ResourceExhausted, "grpc: received message larger than max (3 vs. 2)", "max-request-bytes"),
            (Code::InvalidArgument, "etcdserver: too many operations in txn request", "max-txn-ops"),
            (Code::InvalidArgument, "etcdserver: user name is empty", "user:password@"),
            (Code::PermissionDenied, "etcdserver: permission denied", "grant-permission"),
            (Code::InvalidArgument, "etcdserver: something new", "something new"),
        ] {
            let CallError::Refused(refusal) = of(code, message) else { panic!("{message}") };
            assert!(refusal.storage_error().to_string().contains(said), "{refusal:?}");
        }
    }
}
