//! Histories of what several callers asked several hosts, and whether some order of the calls explains them. A checker must
//! never take a history for good because it does not understand it: what it cannot place is a violation.

pub mod bank;
pub mod register;

use std::fmt;
use std::time::Duration;

/// When a call was under way, since the beginning of the history.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// It was asked.
    pub start: Duration,
    /// It was answered; the maximum where no answer came: it may have happened at any time after.
    pub end: Duration,
}

impl Span {
    /// One that never ended.
    pub fn open(start: Duration) -> Self {
        Self { start, end: Duration::MAX }
    }

    /// Whether it had ended when the other one began.
    pub fn is_before(self, other: Self) -> bool {
        self.end < other.start
    }
}

/// Why no order of the calls explains what they answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation(pub String);

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A violation, unless it is so.
macro_rules! ensure {
    ($holds:expr, $($why:tt)+) => {
        if !$holds {
            return Err($crate::history::Violation(format!($($why)+)));
        }
    };
}
pub(crate) use ensure;

#[cfg(test)]
pub(crate) fn span(start: u64, end: u64) -> Span {
    Span { start: Duration::from_millis(start), end: Duration::from_millis(end) }
}
