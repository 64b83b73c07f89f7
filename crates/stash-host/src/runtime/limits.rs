//! How much of the machine a guest may use. A guest that goes over fails itself, never the host or another guest.

use std::time::Duration;

use wasmtime::ResourceLimiter;

/// How much of the machine one run of a guest may use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GuestLimits {
    /// Bytes of linear memory, over all its memories. Growing beyond fails inside the guest.
    pub memory_bytes: usize,
    /// Elements in all its tables. A pool sets aside address space for so many in each table.
    pub table_elements: usize,
    /// Handles on the host's resources that it may hold: files, buckets, connections and the like. It may have as many
    /// streams, futures, tasks and resources of its own besides.
    pub resources: usize,
    /// How long a call may take, waiting included; `None` for as long as it likes. Needs a Tokio runtime with its timer
    /// on. A guest that hangs in a write to a stream that nobody reads is not ended by it.
    pub deadline: Option<Duration>,
}

impl Default for GuestLimits {
    /// 1 GiB of memory, 100,000 table elements, 10,000 handles, no deadline. The largest toolchains' guests have some 20,000
    /// functions that are called through a table.
    fn default() -> Self {
        Self { memory_bytes: 1024 * 1024 * 1024, table_elements: 100_000, resources: 10_000, deadline: None }
    }
}

/// Core instances in one component. One made by several tools has some ten core modules, of which adapters are most.
pub(super) const MAX_CORE_INSTANCES: u32 = 32;

/// Memories in one component: most have one, and each takes 4 GiB of address space in a pool.
pub(super) const MAX_MEMORIES: u32 = 4;

/// Tables in one component.
pub(super) const MAX_TABLES: u32 = 16;

/// Counts what one guest has and refuses what is too much.
pub(crate) struct Limiter {
    memory_left: usize,
    table_left: usize,
}

impl Limiter {
    pub(crate) fn new(limits: &GuestLimits) -> Self {
        Self { memory_left: limits.memory_bytes, table_left: limits.table_elements }
    }
}

/// Takes the growth out of what is left; `false` leaves it as it was.
fn take(left: &mut usize, current: usize, desired: usize) -> bool {
    match left.checked_sub(desired.saturating_sub(current)) {
        Some(rest) => {
            *left = rest;
            true
        }
        None => false,
    }
}

impl ResourceLimiter for Limiter {
    fn memory_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        // Past its own maximum the growth fails anyway and must not be counted.
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && take(&mut self.memory_left, current, desired))
    }

    fn table_growing(&mut self, current: usize, desired: usize, maximum: Option<usize>) -> wasmtime::Result<bool> {
        Ok(maximum.is_none_or(|maximum| desired <= maximum) && take(&mut self.table_left, current, desired))
    }

    fn instances(&self) -> usize {
        MAX_CORE_INSTANCES as usize
    }

    fn tables(&self) -> usize {
        MAX_TABLES as usize
    }

    fn memories(&self) -> usize {
        MAX_MEMORIES as usize
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_counted_over_all_memories() {
        let mut limiter = Limiter::new(&GuestLimits { memory_bytes: 100, ..GuestLimits::default() });
        assert!(limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 60, None).unwrap());
        assert!(!limiter.memory_growing(0, 40, Some(30)).unwrap());
        assert!(limiter.memory_growing(0, 40, None).unwrap());
        assert!(!limiter.memory_growing(60, 61, None).unwrap());
    }
}
