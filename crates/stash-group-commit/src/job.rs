//! A decision in the queue, with the way back to its caller. It must tell its caller last, and at most once.

use stash_core::StorageError;
use stash_core::engine::{Decision, View, Writes};
use tokio::sync::oneshot;

/// An update on its way to whoever commits it.
pub trait Job: Send {
    /// The line in which it waits; see [`Decision::queue`].
    fn line(&self) -> &str;
    /// About how many bytes it will write.
    fn cost(&self) -> usize;
    /// Runs the decision and keeps its outcome; `false` where it was to write nothing.
    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> bool;
    /// The outcome is on disk and visible: tells whoever wants to know, and the caller last.
    fn finish(self: Box<Self>);
    /// Whatever was decided, the caller gets this error.
    fn fail(self: Box<Self>, error: StorageError);
}

/// What a caller waits for.
pub type Answer<D> = oneshot::Receiver<Result<<D as Decision>::Output, StorageError>>;

/// The job of a decision.
pub struct DecisionJob<D: Decision> {
    decision: D,
    outcome: Option<Result<D::Output, StorageError>>,
    reply: oneshot::Sender<Result<D::Output, StorageError>>,
}

impl<D: Decision> DecisionJob<D> {
    /// The job, and where its caller is told.
    pub fn new(decision: D) -> (Self, Answer<D>) {
        let (reply, answer) = oneshot::channel();
        (Self { decision, outcome: None, reply }, answer)
    }
}

impl<D: Decision> Job for DecisionJob<D> {
    fn line(&self) -> &str {
        self.decision.queue()
    }

    fn cost(&self) -> usize {
        self.decision.cost()
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> bool {
        self.outcome.insert(self.decision.decide(view, writes)).is_ok()
    }

    fn finish(self: Box<Self>) {
        let Self { mut decision, outcome, reply } = *self;
        let outcome = outcome.unwrap_or_else(|| Err(lost()));
        if let Ok(output) = &outcome {
            decision.committed(output);
        }
        // Before the answer: whoever hears it may rely on the decision being over.
        drop(decision);
        // A caller that has gone away is not told.
        drop(reply.send(outcome));
    }

    fn fail(self: Box<Self>, error: StorageError) {
        let Self { decision, reply, .. } = *self;
        drop(decision);
        drop(reply.send(Err(error)));
    }
}

/// The writer went away with the update: nobody knows what became of it.
pub(crate) fn lost() -> StorageError {
    StorageError::io("committing", "the store's writer has ended")
}

/// The update that changes nothing.
pub(crate) struct Nothing;

impl Decision for Nothing {
    type Output = ();

    fn queue(&self) -> &'static str {
        ""
    }

    fn cost(&self) -> usize {
        0
    }

    fn decide(&mut self, _: &dyn View, _: &mut Writes) -> Result<(), StorageError> {
        Ok(())
    }
}
