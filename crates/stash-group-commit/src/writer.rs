//! The one writer: a thread that takes groups of updates and makes each group one disk commit. It must never answer an
//! update before the disk has it, and never let one update's failure become another's.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use stash_core::StorageError;
use tracing::{debug, error};

use crate::engine::{Opener, Published, Shared};
use crate::job::Job;
use crate::panics::unless_it_panics;
use crate::store::{Failure, Group, Store};

pub(crate) struct Writer<S: Store> {
    shared: Arc<Shared<S::View>>,
    opener: Opener<S>,
    /// None after an I/O error, until the store could be opened again.
    store: Option<S>,
}

impl<S: Store> Writer<S> {
    /// Publishes what the store holds.
    pub(crate) fn start(store: S, opener: Opener<S>, shared: Arc<Shared<S::View>>) -> Result<Self, StorageError> {
        let view = view_of(&store)?;
        shared.publish(Published::Open(Arc::new(view)));
        Ok(Self { shared, opener, store: Some(store) })
    }

    /// Serves the queue until it is closed and empty, then closes the store.
    pub(crate) fn run(mut self) {
        // Whatever ends this thread, nobody must wait for it any more.
        let _abandon = AbandonQueue(Arc::clone(&self.shared));
        while let Some(group) = self.shared.queue.take_group() {
            self.serve(group);
        }
        self.shared.publish(Published::Closed);
        self.let_go();
    }

    /// Closes the store. A format that has panicked on damage may panic once more here.
    fn let_go(&mut self) {
        drop(unless_it_panics(|| drop(self.store.take())));
    }

    fn serve(&mut self, mut group: Vec<Box<dyn Job>>) {
        let mut tried_again = false;
        while !group.is_empty() {
            match self.attempt(&mut group) {
                Ok(()) => return group.into_iter().for_each(Job::finish),
                // Nothing of the group has reached the disk: what failed may be what somebody's read had left behind.
                Err(failure) if failure.before_writing && !failure.stays_open && !tried_again => {
                    tried_again = true;
                    self.shared.publish(Published::Failed(failure.error));
                }
                Err(failure) => self.recover(failure, &mut group),
            }
        }
    }

    /// Makes the group one commit, and shows it to readers.
    fn attempt(&mut self, group: &mut [Box<dyn Job>]) -> Result<(), Failure> {
        self.open_again().map_err(Failure::unknown)?;
        let Some(store) = &self.store else {
            return Err(Failure::unknown(StorageError::io("opening the store", "it is not open")));
        };
        let damaged = |reason| Failure::unknown(StorageError::Corrupt { reason });
        let mut group = Group(group);
        if let Some(view) = unless_it_panics(|| store.commit(&mut group)).map_err(damaged)?? {
            debug!(updates = group.len(), "committed");
            self.shared.publish(Published::Open(Arc::new(view)));
        }
        Ok(())
    }

    /// Tells those whom the failure is about; the rest stay in the group, to be tried again.
    fn recover(&mut self, failure: Failure, group: &mut Vec<Box<dyn Job>>) {
        if failure.stays_open {
            let error = failure.error.clone();
            tell(failure, group);
            error!(%error, "a commit failed; the store stays open");
            return;
        }
        // Nothing that is in memory of the store can be trusted: forget it and read what the disk holds.
        self.shared.publish(Published::Failed(failure.error.clone()));
        self.let_go();
        let reopened = self.open_again();
        let error = failure.error.clone();
        tell(failure, group);
        // Last: a log that cannot be written must not keep anybody waiting.
        error!(%error, "a commit failed; the store was closed and opened again");
        if let Err(error) = reopened {
            self.shared.publish(Published::Failed(error.clone()));
            error!(%error, "the store cannot be opened again yet");
        }
    }

    fn open_again(&mut self) -> Result<(), StorageError> {
        // A reader that could not read has taken the view out of use.
        if self.store.is_some() && !self.shared.has_failed() {
            return Ok(());
        }
        self.let_go();
        self.shared.gaps.fetch_add(1, Ordering::AcqRel);
        let store = (self.opener)()?;
        let view = view_of(&store)?;
        self.store = Some(store);
        self.shared.publish(Published::Open(Arc::new(view)));
        Ok(())
    }
}

/// Tells those whom the failure is about.
fn tell(failure: Failure, group: &mut Vec<Box<dyn Job>>) {
    match failure.job {
        // A record that only one update reads is no reason to refuse the others.
        Some(job) if job < group.len() => group.remove(job).fail(failure.error),
        _ => group.drain(..).for_each(|job| job.fail(failure.error.clone())),
    }
}

struct AbandonQueue<V>(Arc<Shared<V>>);

impl<V> Drop for AbandonQueue<V> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let error = StorageError::io("committing", "the store's writer has ended by a panic");
            self.0.publish(Published::Failed(error));
        }
        self.0.queue.abandon();
    }
}

fn view_of<S: Store>(store: &S) -> Result<S::View, StorageError> {
    unless_it_panics(|| store.latest()).unwrap_or_else(|reason| Err(StorageError::Corrupt { reason }))
}
