//! Turning a component's log on and off. It must be known to the first commit after it, and to no one before.

use std::sync::Arc;

use super::write::trim;
use crate::backend::state_in;
use crate::engine::{Decision, View, Writes};
use crate::error::StorageError;
use crate::keyspace::KeySpace;
use crate::namespace_state::{LogState, NamespaceState};
use crate::record::Version;
use crate::waiting::Waiters;

/// Turns the log on; tells since when changes are kept.
pub(in crate::backend) struct Start {
    pub(in crate::backend) scope: String,
}

impl Decision for Start {
    type Output = Version;

    fn queue(&self) -> &str {
        &self.scope
    }

    fn cost(&self) -> usize {
        0
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<Version, StorageError> {
        let before = state_in(view, &self.scope)?;
        if let Some(log) = before.log.filter(|log| log.is_on) {
            return Ok(log.since);
        }
        // What is left of an earlier log goes with the commits to come.
        let log = LogState { is_on: true, since: before.version, ..before.log.unwrap_or_default() };
        let state = NamespaceState { log: Some(log), ..before };
        writes.put(KeySpace::Namespace.key(&self.scope), state.encode());
        Ok(before.version)
    }
}

/// Turns the log off, from which moment on nothing of it can be read; tells whether there is anything left to remove.
pub(in crate::backend) struct Stop {
    pub(in crate::backend) scope: String,
    pub(in crate::backend) waiters: Arc<Waiters>,
}

impl Decision for Stop {
    type Output = (Version, bool);

    fn queue(&self) -> &str {
        &self.scope
    }

    fn cost(&self) -> usize {
        0
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<(Version, bool), StorageError> {
        let before = state_in(view, &self.scope)?;
        let Some(log) = before.log else { return Ok((before.version, false)) };
        let log = LogState { is_on: false, has_leftovers: true, since: before.version, ..log };
        // Whether anything is left.
        let log = trim(view, writes, &self.scope, log, 0, None)?;
        let state = NamespaceState { log: log.has_leftovers.then_some(log), ..before };
        writes.put(KeySpace::Namespace.key(&self.scope), state.encode());
        Ok((before.version, log.has_leftovers))
    }

    fn committed(&mut self, _: &(Version, bool)) {
        self.waiters.wake(&self.scope);
    }
}
