//! What layers want done when a batch is over, whatever becomes of its caller. Every hook must be called exactly once.

use std::fmt;

use crate::batch::{Batch, Committed, Touched};
use crate::record::Record;

type Hook = Box<dyn FnOnce(Option<&Committed>, Changes<'_>) + Send>;

/// The hooks of a batch.
///
/// Each is called exactly once: with the outcome, when the commit has taken effect and reads see it, in the order
/// of versions and before the caller is answered; or with `None`, when the batch did not or may not have taken effect.
/// It is shown the batch's changes with their keys as they were where the hook was added.
/// A hook must be quick and must not wait.
#[derive(Default)]
pub struct CommitHooks(Vec<(bool, Hook)>);

impl CommitHooks {
    /// `below`: the hook's layer is below the namespace layer and knows full names.
    pub(crate) fn add(&mut self, below: bool, hook: impl FnOnce(Option<&Committed>, Changes<'_>) + Send + 'static) {
        self.0.push((below, Box::new(hook)));
    }

    pub(crate) fn call<'a>(self, outcome: Option<&Committed>, changes: impl Fn(bool) -> Changes<'a>) {
        for (below, hook) in self.0 {
            hook(outcome, changes(below));
        }
    }
}

impl fmt::Debug for CommitHooks {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CommitHooks({})", self.0.len())
    }
}

/// The changes of a batch, in their order, as a layer of the chain knows them.
#[derive(Debug, Clone, Copy)]
pub struct Changes<'a> {
    pub(crate) batch: &'a Batch,
    pub(crate) after: &'a [Option<Record>],
    pub(crate) below: bool,
}

impl<'a> Changes<'a> {
    /// What each change was about, with the record as the commit has left it; `None` where there is none then, and for
    /// a batch that was not committed.
    pub fn iter(self) -> impl Iterator<Item = (Touched<'a>, Option<&'a Record>)> {
        self.batch.mutations().iter().enumerate().map(move |(n, mutation)| {
            let touched = match mutation.touches() {
                touched if self.below => touched,
                Touched::Key(_) => Touched::Key(self.batch.own_key(&mutation.name)),
                Touched::Prefix(_) => Touched::Prefix(self.batch.own_key(&mutation.name)),
            };
            (touched, self.after.get(n).and_then(Option::as_ref))
        })
    }
}
