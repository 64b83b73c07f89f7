//! What must be so for a batch to happen: its conditions, and that what a transaction has read has not changed. It must
//! take no more steps than it may: everybody's commits wait meanwhile.

use std::ops::Bound;

use super::Work;
use crate::backend::page::{CHUNK, go_on, scan_of};
use crate::batch::{Condition, RangeCheck, limit};
use crate::error::StorageError;
use crate::keyspace::KeySpace;
use crate::record::{self, Head};

/// Steps that a commit may take to check the ranges that a transaction has read; a record takes [`RECORD_STEPS`], and
/// matching a pattern as many as it says. Everybody's commits wait meanwhile, for some 50 ms at most.
pub(super) const MAX_CHECK_STEPS: usize = 32 * 1024 * 1024;
const RECORD_STEPS: usize = 64;
const SCAN_STEPS: usize = 512;

impl Work<'_> {
    pub(super) fn check(&self) -> Result<(), StorageError> {
        // The transaction has read the present state: nothing of it can have changed, unless it has expired since.
        let fresh = self.batch.since.is_some_and(|since| {
            since.version == self.before.version && since.fresh_until.is_none_or(|until| until > self.now)
        });
        for check in &self.batch.checks {
            let condition = check.condition();
            if fresh && matches!(condition, Condition::Unchanged(_)) {
                continue;
            }
            let current = self.look(&KeySpace::Record.key(check.key()))?;
            let current = current.filter(|stored| self.is_there(stored)).map(|stored| stored.head.version);
            let key = || check.key().to_owned();
            match condition {
                Condition::Absent if current.is_some() => return Err(StorageError::AlreadyExists { key: key() }),
                Condition::Present if current.is_none() => return Err(StorageError::NotFound { key: key() }),
                Condition::Version(version) if current != Some(version) => {
                    return Err(StorageError::Conflict { key: key(), expected: Some(version), current });
                }
                Condition::Unchanged(version) if current != version => {
                    return Err(StorageError::TransactionConflict { key: Some(key()), current });
                }
                _ => {}
            }
        }
        self.batch.ranges.iter().filter(|_| !fresh).try_for_each(|range| self.check_range(range))
    }

    /// That a range holds the same records: as many, and none that is newer. What is there now and is not newer was there
    /// then, so as many means the same.
    fn check_range(&self, check: &RangeCheck) -> Result<(), StorageError> {
        let conflict = || StorageError::TransactionConflict { key: None, current: None };
        let prefix = self.batch.prefix(check.place);
        let Some(mut scan) = scan_of(&check.request.enter(prefix))? else { return Ok(()) };
        scan.limit = CHUNK;
        if let Some(until) = &check.until {
            let until = Bound::Included(KeySpace::Record.key(&[prefix, until].concat()));
            *(if scan.reverse { &mut scan.start } else { &mut scan.end }) = until;
        }
        (scan.max_bytes, scan.value_bytes) = (usize::MAX, record::HEAD_BYTES);
        let pattern = check.request.range.pattern.as_ref();
        let mut count = 0;
        loop {
            self.step(SCAN_STEPS)?;
            let found = self.view.scan(&scan)?;
            for (key, stored) in &found.entries {
                let own = key.get(1 + prefix.len()..).and_then(|own| std::str::from_utf8(own).ok()).unwrap_or_default();
                let matching = pattern.map_or(0, |pattern| pattern.steps() * own.len());
                self.step(RECORD_STEPS + matching)?;
                let head = Head::decode(stored)?;
                if head.metadata.is_expired(self.now) || pattern.is_some_and(|pattern| !pattern.matches(own)) {
                    continue;
                }
                count += 1;
                if head.version > check.since || count > check.count {
                    return Err(conflict());
                }
            }
            match found.entries.last() {
                Some((key, _)) if found.more => go_on(&mut scan, key.clone()),
                _ => break,
            }
        }
        if count == check.count { Ok(()) } else { Err(conflict()) }
    }

    fn step(&self, steps: usize) -> Result<(), StorageError> {
        let most = MAX_CHECK_STEPS / RECORD_STEPS;
        let too_many =
            || limit("the number of records in the ranges that the commit checks (at least)", most + 1, most);
        self.steps.set(self.steps.get().checked_sub(steps).ok_or_else(too_many)?);
        Ok(())
    }
}
