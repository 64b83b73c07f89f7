//! What errors of the server mean: whether to ask again, whether something may have been stored, what to do. Texts must never
//! show a value or a password; so the server's "detail", which quotes rows, is left out.

use std::error::Error as _;

use stash_core::StorageError;
use stash_shared::{CommitError, Outcome, ServerError};
use tokio_postgres::Error;
use tokio_postgres::error::{DbError, Severity};

/// Why a store could not be opened.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum OpenError {
    /// The URL or a file that it names makes no sense.
    #[error("the address of the PostgreSQL store cannot be used: {reason}")]
    Address {
        /// What is wrong with it. Never the password.
        reason: String,
    },
    /// Nobody answers there, or not in time, or is not ready yet.
    #[error("cannot reach the PostgreSQL server {server}: {reason}")]
    Unreachable {
        /// Where it was looked for.
        server: String,
        /// What was met.
        reason: String,
    },
    /// The server does not let us.
    #[error("the PostgreSQL server {server} refuses: {reason}")]
    Denied {
        /// Which one.
        server: String,
        /// What it said, and what to do.
        reason: String,
    },
    /// The schema holds something else, or what a newer version wrote.
    #[error("the schema on {server} is not a store that this version of Stash can use: {reason}")]
    NotAStore {
        /// Which server, database and schema.
        server: String,
        /// What was found, and what to do.
        reason: String,
    },
    /// There is none, and none was to be made.
    #[error("there is no store on {server}; check the URL and its ?schema=, or run a component first")]
    NoStore {
        /// Which server, database and schema.
        server: String,
    },
    /// The store was found, and could not be read.
    #[error("cannot open the store on {server}: {error}")]
    Storage {
        /// Which server, database and schema.
        server: String,
        /// What the first questions met.
        error: StorageError,
    },
    /// This machine did not let us.
    #[error(transparent)]
    Here(#[from] StorageError),
}

impl OpenError {
    pub(crate) fn address(reason: impl ToString) -> Self {
        Self::Address { reason: reason.to_string() }
    }

    /// What the first questions to the store met.
    pub(crate) fn of_storage(server: &str, error: StorageError) -> Self {
        let server = server.to_owned();
        match error {
            StorageError::Corrupt { reason } => Self::NotAStore { server, reason },
            StorageError::Unavailable { reason } => Self::Unreachable { server, reason },
            error => Self::Storage { server, error },
        }
    }

    /// What connecting, or setting the schema up, met.
    pub(crate) fn of(server: &str, failure: &Failure) -> Self {
        let (server, reason) = (server.to_owned(), failure.to_string());
        let Some(code) = failure.code() else { return Self::Unreachable { server, reason } };
        let advice = match code {
            "28P01" | "28000" => "; check user and password, and the server's pg_hba.conf",
            "3D000" => "; create the database first (createdb)",
            "42501" => "; grant the role CREATE on the database, or let an owner create the schema and the tables",
            "53300" => "; raise its max_connections, or lower `connections` and `snapshots` of the hosts",
            _ => "",
        };
        let reason = format!("{reason}{advice}");
        match code {
            "28P01" | "28000" | "3D000" | "42501" | "25006" => Self::Denied { server, reason },
            _ => Self::Unreachable { server, reason },
        }
    }
}

/// Why a statement has no answer.
#[derive(Debug)]
pub(crate) enum Failure {
    /// It was not sent.
    NotSent(String),
    /// The server could not prepare it: it was not run.
    NotPrepared(Error),
    /// It was sent.
    Sent(Error),
    /// It was sent, and the connection broke.
    Broken(String),
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(reason) | Self::Broken(reason) => f.write_str(reason),
            Self::NotPrepared(error) | Self::Sent(error) => f.write_str(&tell(error)),
        }
    }
}

impl Failure {
    fn database(&self) -> Option<&DbError> {
        match self {
            Self::NotSent(_) | Self::Broken(_) => None,
            Self::NotPrepared(error) | Self::Sent(error) => error.as_db_error(),
        }
    }

    /// The server's code, where it has answered.
    pub(crate) fn code(&self) -> Option<&str> {
        self.database().map(|error| error.code().code())
    }

    /// Whether the connection, or what was prepared on it, is of no more use.
    pub(crate) fn ends_connection(&self) -> bool {
        let Some(error) = self.database() else { return true };
        // 26000: whoever is in between has given our session to somebody else. 0A000: the plan no longer fits.
        let lost = matches!(error.code().code(), "26000" | "0A000" | "25006" | "25P02" | "25P03");
        lost || is_fatal(error)
    }

    /// What it means for a question.
    pub(crate) fn of_question(self) -> ServerError {
        let Some(code) = self.code() else { return ServerError::Unreachable(self.to_string()) };
        // 08: connection. 40: serialization. 53300: too many connections. 55P03: lock timeout. 57: shut down, cancelled.
        let again = matches!(code, "26000" | "0A000" | "25006" | "25P02" | "25P03" | "53300" | "55P03")
            || matches!(code.get(..2), Some("08" | "40" | "57"));
        if again || self.database().is_some_and(is_fatal) {
            return ServerError::Unreachable(self.to_string());
        }
        ServerError::Refused(self.of_storage("reading"))
    }

    /// What it means for a commit, as which the statement was sent.
    pub(crate) fn of_commit(self) -> Result<Outcome, CommitError> {
        let not_run = match &self {
            Self::NotSent(_) => true,
            Self::NotPrepared(_) => self.code().is_none(),
            Self::Sent(_) | Self::Broken(_) => false,
        };
        if not_run {
            return Err(CommitError::NotSent(self.to_string()));
        }
        let Some(code) = self.code() else { return Err(CommitError::Lost(self.to_string())) };
        if self.database().is_some_and(is_fatal) {
            // It may have been told after the commit.
            let text = self.to_string();
            let sent = matches!(self, Self::Sent(_));
            return Err(if sent { CommitError::Lost(text) } else { CommitError::NotSent(text) });
        }
        match code {
            // 40003 is "it is not known whether it was applied", which CockroachDB says.
            "40001" | "40P01" => Ok(Outcome::Conflict),
            // Somebody works on the tables by hand, or another host's commit is stuck half-way on the wire.
            "55P03" => Err(CommitError::NotSent(format!("somebody else holds a lock that the commit needs: {self}"))),
            // The connection cannot be used for this.
            "26000" | "0A000" | "25P02" | "53300" => Err(CommitError::NotSent(self.to_string())),
            "25006" => {
                let text = "it takes no writes: it is a standby, or was made read-only";
                Err(CommitError::NotSent(format!("{text} ({self})")))
            }
            // The statement is one transaction, and an error before its end undoes it.
            "XX001" | "XX002" => Err(CommitError::Refused(self.of_storage("committing"))),
            _ if matches!(code.get(..2), Some("22" | "23" | "3F" | "42" | "53" | "54")) => {
                Err(CommitError::Refused(self.of_storage("committing")))
            }
            _ if matches!(self, Self::NotPrepared(_)) => Err(CommitError::NotSent(self.to_string())),
            _ => Err(CommitError::Lost(self.to_string())),
        }
    }

    /// An answer that asking again does not change.
    fn of_storage(&self, doing: &str) -> StorageError {
        let text = self.to_string();
        let advice = match self.code().unwrap_or_default() {
            "53100" => "; make room on the server's disk",
            "53200" => "; the server has too little memory for this: commit less at once, or give it more",
            "42P01" | "3F000" => "; the schema's tables are gone: restore them, or open the store again to create them",
            "42501" => "; grant the role SELECT, INSERT, UPDATE and DELETE on the schema's tables",
            "54000" | "54001" | "54011" => "; it is larger than PostgreSQL can store",
            "XX001" | "XX002" => return StorageError::Corrupt { reason: format!("PostgreSQL says so: {text}") },
            _ => "",
        };
        StorageError::io(doing, format!("PostgreSQL refuses: {text}{advice}"))
    }
}

/// Whether the session ends with it.
fn is_fatal(error: &DbError) -> bool {
    // Not every server tells the severity in English too.
    let is_error = error.parsed_severity().map_or(error.severity() == "ERROR", |severity| severity == Severity::Error);
    !is_error || error.code().code().starts_with("57P0")
}

/// What happened, without the server's detail.
pub(crate) fn tell(error: &Error) -> String {
    if let Some(error) = error.as_db_error() {
        return format!("{} (SQLSTATE {})", error.message(), error.code().code());
    }
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        text = format!("{text}: {cause}");
        source = cause.source();
    }
    text
}
