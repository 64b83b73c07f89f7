//! Doing again what somebody else came in between of. It must never do anything again after another error.

use crate::error::{ErrorKind, Result};

/// How often is enough, unless a caller says otherwise: each conflict means that somebody else has got on.
pub(crate) const ATTEMPTS: u32 = 100;

/// Runs `step` until it is not answered with a conflict, `attempts` times at most; then the conflict is the answer.
pub(crate) fn on_conflict<T>(attempts: u32, mut step: impl FnMut() -> Result<T>) -> Result<T> {
    for _ in 1..attempts {
        match step() {
            Err(error) if error.kind() == ErrorKind::Conflict => {}
            other => return other,
        }
    }
    step()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Error;
    use crate::raw::types;

    fn conflict() -> Error {
        types::Error::Conflict(types::Conflict { message: "m".into(), key: None, current: None }).into()
    }

    #[test]
    fn a_conflict_and_nothing_else_is_tried_again() {
        let mut calls = 0;
        let third = on_conflict(10, || {
            calls += 1;
            if calls < 3 { Err(conflict()) } else { Ok(calls) }
        });
        assert!(matches!(third, Ok(3)));
        let mut calls = 0;
        let error = on_conflict(10, || -> Result<()> {
            calls += 1;
            Err(Error::other("no"))
        });
        assert_eq!((calls, error.map_err(|e| e.kind())), (1, Err(ErrorKind::Other)));
    }

    #[test]
    fn there_is_an_end_to_it() {
        for (attempts, expected) in [(0, 1), (1, 1), (4, 4)] {
            let mut calls = 0;
            let error = on_conflict(attempts, || -> Result<()> {
                calls += 1;
                Err(conflict())
            });
            assert_eq!((calls, error.map_err(|e| e.kind())), (expected, Err(ErrorKind::Conflict)));
        }
    }
}
