//! [`Files`]: what the writer has of an open store, and the thread that writes files behind it. An answer must never wait
//! for files, unless too many wait to be written.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use stash_core::StorageError;
use stash_group_commit::{Failure, Group, Store, unless_it_panics};

use crate::apply::Applier;
use crate::shared::{Due, Shared};
use crate::view::{FilesView, Pending};

/// An open store. Dropping it writes everything to files and closes it.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) shared: Arc<Shared>,
    pace: Pace,
}

/// Who writes files, and when.
#[derive(Debug)]
enum Pace {
    /// A thread of its own.
    Behind(Option<JoinHandle<()>>),
    /// The writer, after so many commits: for tests, in which everything is to happen in one order.
    #[cfg_attr(not(test), expect(dead_code))]
    After(u64, Box<Mutex<Applier>>),
}

impl Files {
    pub(crate) fn start(mut applier: Applier) -> Result<Self, StorageError> {
        let shared = Arc::clone(&applier.shared);
        let run = move || {
            while unless_it_panics(|| apply_when_due(&mut applier)).unwrap_or_else(|reason| {
                let failed = StorageError::Corrupt { reason };
                tracing::error!(error = %failed, "files cannot be written; what was committed is in the journal");
                applier.shared.tried(Some(failed));
                !applier.shared.state().closing
            }) {}
        };
        let thread = std::thread::Builder::new().name("stash-files-applier".to_owned()).spawn(run);
        let thread = thread.map_err(|error| StorageError::io("starting the thread that writes files", error))?;
        Ok(Self { shared, pace: Pace::Behind(Some(thread)) })
    }

    #[cfg(test)]
    pub(crate) fn start_after(applier: Applier, commits: u64) -> Self {
        Self { shared: Arc::clone(&applier.shared), pace: Pace::After(commits, Box::new(Mutex::new(applier))) }
    }
}

/// Waits until there is something to write to files, and writes it; `false` when it was the last time.
fn apply_when_due(applier: &mut Applier) -> bool {
    /// After that, what has failed is tried again.
    const PAUSE: Duration = Duration::from_secs(1);
    let shared = Arc::clone(&applier.shared);
    let mut state = shared.state();
    let pause = shared.failed().map(|_| Instant::now());
    loop {
        if state.closing {
            drop(state);
            if let Err(error) = applier.finish() {
                tracing::warn!(%error, "not all that was committed is in files; it is in the journal");
            }
            return false;
        }
        let left = pause.and_then(|begin| PAUSE.checked_sub(begin.elapsed())).filter(|_| !state.asked);
        match (state.due(&shared.options), left) {
            (Due::Now, None) => break,
            (Due::Now, Some(left)) | (Due::In(left), _) => shared.wait(&mut state, Some(left)),
            (Due::Never, _) => shared.wait(&mut state, None),
        }
    }
    drop(state);
    if let Err(error) = applier.run() {
        tracing::error!(%error, "files cannot be written; what was committed is in the journal");
    }
    true
}

impl Store for Files {
    type View = FilesView;

    fn latest(&self) -> Result<FilesView, StorageError> {
        Ok(FilesView::new(Arc::clone(&self.shared), self.shared.state().entries.clone()))
    }

    fn commit(&self, group: &mut Group<'_>) -> Result<Option<FilesView>, Failure> {
        if let Pace::Behind(_) = &self.pace {
            let stuck = |error| Failure::before_writing(error).leaving_the_store_open();
            self.shared.wait_for_room().map_err(stuck)?;
        }
        let mut pending = Pending::new(self.latest().map_err(Failure::before_writing)?);
        // One damaged file is no reason to read the whole index again.
        let left =
            |failure: Failure| if failure.is_of_one_update() { failure.leaving_the_store_open() } else { failure };
        group.decide(&mut pending).map_err(left)?;
        let Pending { view, changes } = pending;
        if changes.is_empty() {
            return Ok(None);
        }
        self.shared.commit(changes, view.entries.clone())?;
        if let Pace::After(commits, applier) = &self.pace
            && self.shared.state().upto().commit.is_multiple_of(*commits)
            && let Err(error) = applier.lock().run()
        {
            tracing::debug!(%error, "files were not written");
        }
        Ok(Some(view))
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        self.shared.state().closing = true;
        self.shared.notify();
        match &mut self.pace {
            Pace::Behind(thread) => {
                if thread.take().is_some_and(|thread| thread.join().is_err()) {
                    tracing::error!("the thread that writes files ended by a panic");
                }
            }
            Pace::After(_, applier) => {
                if let Err(error) = applier.get_mut().finish() {
                    tracing::debug!(%error, "files were not written");
                }
            }
        }
        self.shared.close();
    }
}
