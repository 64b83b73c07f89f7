//! Questions to the server, and its answers: what the script `ask` is told, and what it tells.

use std::ops::Bound;

use bytes::Bytes;
use redis::{Cmd, Value};
use stash_core::engine::{Page, Scan};
use stash_shared::{Head, ServerError};

use crate::error::strange;
use crate::layout::{Ends, high, low};

/// The state that is asked about.
#[derive(Debug, Clone)]
pub(crate) enum State {
    /// The present one.
    Now,
    /// That of a snapshot: its id and number.
    Held(String, String),
    /// The present one, which becomes a snapshot: its id, its life in milliseconds, how many there may be.
    Hold(String, u64, usize),
}

/// One question.
#[derive(Debug, Clone)]
pub(crate) enum Question {
    /// The values of keys of one namespace, if they are not too much.
    Values { owner: Bytes, keys: Vec<Bytes>, most: Option<usize> },
    /// A page of a range in one namespace.
    Range { owner: Bytes, scan: Scan },
    /// A page of a range over all of them, of one server.
    Everywhere { scan: Scan },
    /// The places of the index between two bounds.
    Places { low: Vec<u8>, high: Vec<u8>, reverse: bool, most: usize },
    /// The head of a namespace.
    Head { owner: Bytes },
}

/// Its answer.
#[derive(Debug)]
pub(crate) enum Answer {
    Values(Option<Vec<Option<Bytes>>>),
    Page(Page),
    Places(Vec<Bytes>),
    Head(Head),
}

impl State {
    pub(crate) fn write(&self, command: &mut Cmd) {
        match self {
            Self::Now => command.arg("now").arg("").arg("").arg(""),
            Self::Held(id, number) => command.arg("held").arg(id).arg(number).arg(""),
            Self::Hold(id, life, most) => command.arg("hold").arg(id).arg(*life).arg(*most),
        };
    }
}

impl Question {
    /// The question for a page.
    pub(crate) fn page(scan: &Scan) -> Self {
        let scan = scan.clone();
        match Ends::of(&scan).owner(&scan) {
            Some(owner) => Self::Range { owner, scan },
            None => Self::Everywhere { scan },
        }
    }

    pub(crate) fn write(&self, command: &mut Cmd) {
        match self {
            Self::Values { owner, keys, most } => {
                command.arg("values").arg(&owner[..]);
                match most {
                    Some(most) => command.arg(*most),
                    None => command.arg(""),
                };
                command.arg(keys.len());
                for key in keys {
                    command.arg(&key[..]);
                }
            }
            Self::Range { owner, scan } => {
                command.arg("range").arg(&owner[..]);
                write_scan(command, scan);
            }
            Self::Everywhere { scan } => {
                command.arg("everywhere").arg("");
                write_scan(command, scan);
                let ends = Ends::of(scan);
                command.arg(ends.first.as_deref().unwrap_or_default());
                command.arg(ends.last.as_deref().unwrap_or_default());
            }
            Self::Places { low, high, reverse, most } => {
                command.arg("places").arg(low).arg(high).arg(u8::from(*reverse)).arg(*most);
            }
            Self::Head { owner } => {
                command.arg("head").arg(&owner[..]);
            }
        }
    }

    fn read(&self, answer: Value) -> Result<Answer, ServerError> {
        match self {
            Self::Values { keys, .. } => match answer {
                Value::Nil => Ok(Answer::Values(None)),
                Value::Array(values) if values.len() == keys.len() => values
                    .into_iter()
                    .map(maybe_bytes)
                    .collect::<Result<_, _>>()
                    .map(|values| Answer::Values(Some(values))),
                _ => Err(strange("the number of values")),
            },
            Self::Range { .. } | Self::Everywhere { .. } => page(answer).map(Answer::Page),
            Self::Places { .. } => {
                let Value::Array(places) = answer else { return Err(strange("the index")) };
                places.into_iter().map(bytes).collect::<Result<_, _>>().map(Answer::Places)
            }
            Self::Head { .. } => {
                maybe_bytes(answer)?.map_or(Ok(Head::default()), |head| read_head(&head)).map(Answer::Head)
            }
        }
    }
}

fn write_scan(command: &mut Cmd, scan: &Scan) {
    command.arg(low(&scan.start)).arg(high(&scan.end)).arg(u8::from(scan.reverse));
    command.arg(scan.limit).arg(scan.max_bytes).arg(scan.value_bytes);
    command.arg(scan.uncounted_key_bytes).arg(scan.uncounted_value_bytes);
}

/// What was answered to all questions, and the snapshot's number; `None` where it has ended.
pub(crate) fn read(questions: &[Question], answer: Value) -> Result<Option<(String, Vec<Answer>)>, ServerError> {
    let answers = match answer {
        Value::Nil => return Ok(None),
        Value::Int(0) => return Err(too_many_snapshots()),
        Value::Array(answers) if answers.len() == questions.len() + 1 => answers,
        _ => return Err(strange("the number of answers")),
    };
    let mut answers = answers.into_iter();
    let number = answers.next().map(bytes).transpose()?.unwrap_or_default();
    let number = String::from_utf8(number.to_vec()).map_err(|_| strange("the number of a snapshot"))?;
    let answers = questions.iter().zip(answers).map(|(question, answer)| question.read(answer));
    Ok(Some((number, answers.collect::<Result<_, _>>()?)))
}

/// There are more than the server should keep states for.
pub(crate) fn too_many_snapshots() -> ServerError {
    let reason =
        "too many snapshots are open on the server, of this host and of others: try again when some have ended";
    ServerError::Refused(stash_core::StorageError::Unavailable { reason: reason.to_owned() })
}

pub(crate) fn maybe_bytes(value: Value) -> Result<Option<Bytes>, ServerError> {
    match value {
        Value::BulkString(bytes) => Ok(Some(bytes.into())),
        Value::SimpleString(text) => Ok(Some(text.into())),
        Value::Nil => Ok(None),
        // How it begins, and the rest.
        Value::Array(parts) => {
            let mut whole = Vec::new();
            for part in parts {
                let Value::BulkString(part) = part else { return Err(strange("a part of a value")) };
                whole.reserve_exact(part.len());
                whole.extend_from_slice(&part);
            }
            Ok(Some(whole.into()))
        }
        _ => Err(strange("a value")),
    }
}

pub(crate) fn bytes(value: Value) -> Result<Bytes, ServerError> {
    maybe_bytes(value)?.ok_or_else(|| strange("nothing"))
}

fn page(answer: Value) -> Result<Page, ServerError> {
    let Value::Array(answer) = answer else { return Err(strange("a page")) };
    let mut answer = answer.into_iter();
    let more = match answer.next() {
        Some(Value::Int(more)) => more == 1,
        _ => return Err(strange("the end of a page")),
    };
    let mut entries = Vec::with_capacity(answer.len() / 2);
    while let Some(key) = answer.next() {
        let value = answer.next().ok_or_else(|| strange("half an entry"))?;
        entries.push((bytes(key)?, bytes(value)?));
    }
    Ok(Page { entries, more })
}

/// How a head is stored: the revision, and who made it.
pub(crate) fn head_bytes(revision: u64, writers: &[u8]) -> Vec<u8> {
    [&revision.to_be_bytes()[..], writers].concat()
}

fn read_head(stored: &Bytes) -> Result<Head, ServerError> {
    let (revision, _) = stored.split_first_chunk().ok_or_else(|| strange("the head of a namespace"))?;
    Ok(Head { revision: u64::from_be_bytes(*revision), writers: stored.slice(8..) })
}

/// The part of a range that is after, or before, what was seen.
pub(crate) fn rest_of(scan: &Scan, from: Bound<Bytes>) -> Scan {
    if scan.reverse { Scan { end: from, ..scan.clone() } } else { Scan { start: from, ..scan.clone() } }
}
