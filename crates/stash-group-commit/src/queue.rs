//! The line in front of the one writer: bounded, and fair between components. It must never let one component's
//! waiting writes delay another's by more than one turn.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::{Condvar, Mutex};
use stash_core::StorageError;

use crate::job::Job;

/// Updates in one disk commit: enough that the fsync no longer matters, few enough that a commit stays some 30 ms.
pub(crate) const GROUP_JOBS: usize = 1024;
/// Bytes in one disk commit; one larger update still goes, alone.
pub(crate) const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Updates that may wait, of one component and in all. Every one belongs to a caller that waits for it, so only a host
/// with a flood of callers meets this.
const LINE_JOBS: usize = 16 * 1024;
const QUEUE_JOBS: usize = 64 * 1024;
/// Bytes that may wait, of one component and in all.
const LINE_BYTES: usize = 128 * 1024 * 1024;
const QUEUE_BYTES: usize = 512 * 1024 * 1024;

#[derive(Default)]
pub(crate) struct Queue {
    state: Mutex<State>,
    arrived: Condvar,
}

#[derive(Default)]
struct State {
    lines: HashMap<Arc<str>, Line>,
    /// The lines with jobs in them, the next to be served first.
    turns: VecDeque<Arc<str>>,
    jobs: usize,
    bytes: usize,
    closed: bool,
}

#[derive(Default)]
struct Line {
    jobs: VecDeque<Box<dyn Job>>,
    bytes: usize,
}

impl Queue {
    /// Puts a job in its line.
    pub(crate) fn push(&self, job: Box<dyn Job>) -> Result<(), StorageError> {
        let cost = job.cost();
        let mut state = self.state.lock();
        if state.closed {
            return Err(StorageError::Closed);
        }
        let full = |jobs: usize, bytes: usize, max_jobs: usize, max_bytes: usize| {
            jobs >= max_jobs || (jobs > 0 && bytes.saturating_add(cost) > max_bytes)
        };
        let (jobs, bytes) = state.lines.get(job.line()).map_or((0, 0), |line| (line.jobs.len(), line.bytes));
        if full(jobs, bytes, LINE_JOBS, LINE_BYTES) || full(state.jobs, state.bytes, QUEUE_JOBS, QUEUE_BYTES) {
            let reason = format!("{} writes are waiting already; try again when some are done", state.jobs);
            return Err(StorageError::Unavailable { reason });
        }
        state.jobs += 1;
        state.bytes = state.bytes.saturating_add(cost);
        if let Some(line) = state.lines.get_mut(job.line()) {
            line.bytes = line.bytes.saturating_add(cost);
            line.jobs.push_back(job);
        } else {
            let name: Arc<str> = job.line().into();
            state.turns.push_back(Arc::clone(&name));
            state.lines.insert(name, Line { jobs: VecDeque::from([job]), bytes: cost });
        }
        drop(state);
        self.arrived.notify_one();
        Ok(())
    }

    /// Waits for jobs and takes the next group, one from each line in turn; `None` when the queue is closed and empty.
    pub(crate) fn take_group(&self) -> Option<Vec<Box<dyn Job>>> {
        let mut state = self.state.lock();
        while state.turns.is_empty() {
            if state.closed {
                return None;
            }
            self.arrived.wait(&mut state);
        }
        let mut group = Vec::with_capacity(state.jobs.min(GROUP_JOBS));
        let mut group_bytes = 0_usize;
        while group.len() < GROUP_JOBS
            && let Some(name) = state.turns.pop_front()
        {
            let Some(line) = state.lines.get_mut(&name) else { continue };
            let next = line.jobs.front().map_or(0, |job| job.cost());
            if !group.is_empty() && group_bytes.saturating_add(next) > GROUP_BYTES {
                // It keeps its turn for the next group.
                state.turns.push_front(name);
                break;
            }
            let Some(job) = line.jobs.pop_front() else { continue };
            line.bytes = line.bytes.saturating_sub(next);
            if line.jobs.is_empty() {
                state.lines.remove(&name);
            } else {
                state.turns.push_back(name);
            }
            state.jobs = state.jobs.saturating_sub(1);
            state.bytes = state.bytes.saturating_sub(next);
            group_bytes = group_bytes.saturating_add(next);
            group.push(job);
        }
        Some(group)
    }

    /// Takes no more jobs. Those that wait are still served.
    pub(crate) fn close(&self) {
        self.state.lock().closed = true;
        self.arrived.notify_all();
    }

    /// Takes no more jobs and drops those that wait: their callers are told that the store is closed.
    pub(crate) fn abandon(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let lines = std::mem::take(&mut state.lines);
        state.turns.clear();
        (state.jobs, state.bytes) = (0, 0);
        drop(state);
        // Outside the lock: dropping a job runs hooks.
        drop(lines);
    }
}

#[cfg(test)]
mod tests {
    use stash_core::engine::{View, Writes};

    use super::*;

    struct Named(&'static str, usize);

    impl Job for Named {
        fn line(&self) -> &str {
            self.0
        }
        fn cost(&self) -> usize {
            self.1
        }
        fn decide(&mut self, _: &dyn View, _: &mut Writes) -> bool {
            false
        }
        fn finish(self: Box<Self>) {}
        fn fail(self: Box<Self>, _: StorageError) {}
    }

    fn lines(group: &[Box<dyn Job>]) -> String {
        group.iter().map(|job| job.line()).collect()
    }

    #[test]
    fn lines_take_turns() {
        let queue = Queue::default();
        for line in ["a", "a", "a", "b", "c", "c"] {
            queue.push(Box::new(Named(line, 1))).unwrap();
        }
        assert_eq!(lines(&queue.take_group().unwrap()), "abcaca");
    }

    #[test]
    fn a_flood_of_one_component_delays_another_by_one_turn() {
        let queue = Queue::default();
        for _ in 0..LINE_JOBS {
            queue.push(Box::new(Named("flood", 1))).unwrap();
        }
        let error = queue.push(Box::new(Named("flood", 1))).unwrap_err();
        assert!(error.to_string().contains("16384 writes are waiting"), "{error}");
        queue.push(Box::new(Named("x", 1))).unwrap();
        let group = queue.take_group().unwrap();
        assert_eq!(group.len(), GROUP_JOBS);
        assert_eq!(group[1].line(), "x");
    }

    #[test]
    fn bytes_bound_a_group_but_never_stop_a_large_job() {
        let queue = Queue::default();
        for (line, cost) in [("a", 1), ("b", GROUP_BYTES * 2), ("c", 1)] {
            queue.push(Box::new(Named(line, cost))).unwrap();
        }
        assert_eq!(lines(&queue.take_group().unwrap()), "a");
        assert_eq!(lines(&queue.take_group().unwrap()), "b");
        assert_eq!(lines(&queue.take_group().unwrap()), "c");
    }

    #[test]
    fn closing_serves_those_who_wait_and_refuses_the_rest() {
        let queue = Queue::default();
        queue.push(Box::new(Named("a", 1))).unwrap();
        queue.close();
        assert!(queue.push(Box::new(Named("a", 1))).is_err());
        assert_eq!(lines(&queue.take_group().unwrap()), "a");
        assert!(queue.take_group().is_none());
    }
}
