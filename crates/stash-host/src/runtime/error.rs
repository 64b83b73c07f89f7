//! Why a guest could not be run, in words for the person who runs it.

/// Why a guest could not be loaded, started or called. What a guest itself reports (an exit code, an `err` result) is
/// not an error here.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum RuntimeError {
    /// The file cannot be read.
    #[error("cannot read {guest}: {reason}")]
    Read {
        /// The guest's file.
        guest: String,
        /// What the system said.
        reason: String,
    },
    /// It is not a component.
    #[error("{guest} is not a WebAssembly component: {reason}")]
    NotAComponent {
        /// The guest's file.
        guest: String,
        /// What it is, and what to do.
        reason: String,
    },
    /// It needs something that this host does not have.
    #[error("{guest} cannot be linked: {reason}")]
    Link {
        /// The guest's file.
        guest: String,
        /// What is missing.
        reason: String,
    },
    /// It does not have what is called, or the arguments do not fit.
    #[error("cannot call {guest}: {reason}")]
    Call {
        /// The guest's file.
        guest: String,
        /// What is wrong, and what there is.
        reason: String,
    },
    /// It could not be instantiated: it needs more than its limits, or failed while it started.
    #[error("{guest} cannot be started: {reason}")]
    Start {
        /// The guest's file.
        guest: String,
        /// What went wrong.
        reason: String,
    },
    /// It trapped: what it had stored stays stored. Where in the guest it happened is in the log, at level `info`.
    #[error("{guest} trapped: {reason}")]
    Trap {
        /// The guest's file.
        guest: String,
        /// Which trap, in words.
        reason: String,
        /// Which trap; `None` where a function of the host's failed the guest.
        code: Option<wasmtime::Trap>,
    },
    /// It took longer than it may.
    #[error("{guest} was stopped after {seconds} s, its time limit")]
    Deadline {
        /// The guest's file.
        guest: String,
        /// The limit.
        seconds: f64,
    },
    /// The engine itself could not be set up.
    #[error("cannot set up the WebAssembly engine: {reason}")]
    Engine {
        /// What the engine said.
        reason: String,
    },
}

impl RuntimeError {
    /// Whether the guest itself has failed, by what it did or how long it took; else it was not even called, and may do
    /// well when it is.
    pub(crate) fn is_of_the_guest(&self) -> bool {
        matches!(self, Self::Trap { .. } | Self::Deadline { .. })
    }
}
