//! Updates that wait, each in the lane of its namespace: one commit of a lane is under way at a time, and lanes do not wait
//! for each other. What waits must be bounded.

use std::collections::{HashMap, VecDeque};

use bytes::Bytes;
use parking_lot::Mutex;
use stash_core::StorageError;
use stash_group_commit::Job;

/// Updates in one commit.
const GROUP_JOBS: usize = 256;
/// Bytes in one commit; one larger update still goes, alone.
const GROUP_BYTES: usize = 8 * 1024 * 1024;
/// Updates that may wait, of one namespace and in all. Each belongs to a caller that waits for it.
const LANE_JOBS: usize = 16 * 1024;
const ALL_JOBS: usize = 64 * 1024;
/// Bytes that may wait, of one namespace and in all.
const LANE_BYTES: usize = 128 * 1024 * 1024;
const ALL_BYTES: usize = 512 * 1024 * 1024;

/// All lanes with updates in them, or with a commit under way.
#[derive(Default)]
pub(crate) struct Lanes(Mutex<State>);

#[derive(Default)]
struct State {
    lanes: HashMap<Bytes, Lane>,
    jobs: usize,
    bytes: usize,
}

#[derive(Default)]
struct Lane {
    jobs: VecDeque<Box<dyn Job>>,
    bytes: usize,
}

impl Lanes {
    /// Puts a job in a lane. `true` where nobody serves the lane yet: whoever is told must.
    pub(crate) fn push(&self, lane: &Bytes, job: Box<dyn Job>) -> Result<bool, StorageError> {
        let cost = job.cost();
        let mut state = self.0.lock();
        let full = |jobs: usize, bytes: usize, max_jobs: usize, max_bytes: usize| {
            jobs >= max_jobs || (jobs > 0 && bytes.saturating_add(cost) > max_bytes)
        };
        let (jobs, bytes) = state.lanes.get(lane).map_or((0, 0), |lane| (lane.jobs.len(), lane.bytes));
        if full(jobs, bytes, LANE_JOBS, LANE_BYTES) || full(state.jobs, state.bytes, ALL_JOBS, ALL_BYTES) {
            let reason = format!("{} writes are waiting already; try again when some are done", state.jobs);
            return Err(StorageError::Unavailable { reason });
        }
        state.jobs += 1;
        state.bytes = state.bytes.saturating_add(cost);
        let is_new = !state.lanes.contains_key(lane);
        let lane = state.lanes.entry(lane.clone()).or_default();
        lane.bytes = lane.bytes.saturating_add(cost);
        lane.jobs.push_back(job);
        Ok(is_new)
    }

    /// The next group of a lane. Where nothing waits any more, the lane is gone, and so is the duty to serve it.
    pub(crate) fn take(&self, name: &Bytes) -> Option<Vec<Box<dyn Job>>> {
        let mut state = self.0.lock();
        let State { lanes, jobs, bytes } = &mut *state;
        let lane = lanes.get_mut(name)?;
        let (mut group, mut group_bytes) = (Vec::new(), 0_usize);
        while let Some(cost) = lane.jobs.front().map(|job| job.cost())
            && group.len() < GROUP_JOBS
            && (group.is_empty() || group_bytes.saturating_add(cost) <= GROUP_BYTES)
        {
            group.extend(lane.jobs.pop_front());
            group_bytes = group_bytes.saturating_add(cost);
        }
        *jobs -= group.len().min(*jobs);
        *bytes = bytes.saturating_sub(group_bytes);
        lane.bytes = lane.bytes.saturating_sub(group_bytes);
        if group.is_empty() {
            lanes.remove(name);
            return None;
        }
        Some(group)
    }

    /// Puts back, in front, what did not fit into a commit.
    pub(crate) fn put_back(&self, name: &Bytes, group: Vec<Box<dyn Job>>) {
        let mut state = self.0.lock();
        let State { lanes, jobs, bytes } = &mut *state;
        let lane = lanes.entry(name.clone()).or_default();
        for job in group.into_iter().rev() {
            let cost = job.cost();
            *jobs += 1;
            *bytes = bytes.saturating_add(cost);
            lane.bytes = lane.bytes.saturating_add(cost);
            lane.jobs.push_front(job);
        }
    }
}
