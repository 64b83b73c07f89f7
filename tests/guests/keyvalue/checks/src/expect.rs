//! How a check says what it expected and what came. A value is shown as text where it is one, and never at length.

use std::fmt::Debug;

use crate::shape::Error;

/// Why a check failed, for the line that says so.
pub(crate) type Case = Result<(), String>;

/// Both must be the same.
pub(crate) fn same<T: Debug + PartialEq>(what: &str, came: &T, expected: &T) -> Case {
    if came == expected {
        return Ok(());
    }
    Err(format!("{what}: expected {}, got {}", short(expected), short(came)))
}

/// The same of many keys: tells where they first differ.
pub(crate) fn same_keys(what: &str, came: &[String], expected: &[String]) -> Case {
    if came == expected {
        return Ok(());
    }
    let at = came.iter().zip(expected).take_while(|(came, expected)| came == expected).count();
    let (came_there, expected_there) = (short(&came.get(at)), short(&expected.get(at)));
    let lengths = format!("expected {} and got {}", expected.len(), came.len());
    Err(format!("{what}: {lengths}; number {} differs: expected {expected_there}, got {came_there}", at + 1))
}

/// It must hold.
pub(crate) fn holds(what: &str, holds: bool) -> Case {
    if holds { Ok(()) } else { Err(format!("{what}: expected it to hold, got the opposite")) }
}

/// The answer of a call that must not fail.
pub(crate) fn ok<T>(what: &str, answer: Result<T, Error>) -> Result<T, String> {
    answer.map_err(|error| format!("{what}: expected ok, got {}", cut(error.to_string())))
}

/// A call that must fail, and how it did.
pub(crate) fn fails<T: Debug>(what: &str, answer: Result<T, Error>) -> Result<Error, String> {
    match answer {
        Ok(value) => Err(format!("{what}: expected an error, got ok({})", short(&value))),
        Err(error) => Ok(error),
    }
}

/// A value as text.
pub(crate) fn text(value: Option<Vec<u8>>) -> Option<String> {
    value.map(|value| String::from_utf8_lossy(&value).into_owned())
}

/// The same for what is expected.
#[allow(clippy::unnecessary_wraps, reason = "it is compared with what may be none")]
pub(crate) fn some(value: &str) -> Option<String> {
    Some(value.to_owned())
}

fn short(value: &impl Debug) -> String {
    cut(format!("{value:?}"))
}

fn cut(text: String) -> String {
    const SHOWN: usize = 200;
    if text.chars().count() <= SHOWN {
        return text;
    }
    let start: String = text.chars().take(SHOWN).collect();
    format!("{start}... ({} characters)", text.chars().count())
}
