//! Time, injected: nothing in the contract asks the operating system what time it is by itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// A clock that never goes backwards.
pub trait Clock: Send + Sync + 'static {
    /// The time since some fixed moment.
    fn now(&self) -> Duration;

    /// The time of day, for what is stored: when a record was written, and when it expires.
    fn wall(&self) -> Timestamp;
}

/// A moment, in milliseconds since the beginning of 1970 in UTC.
///
/// What is stored has 48 bits, which last until the year 10889; later moments are stored as that one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The last moment that can be stored.
    pub const MAX: Self = Self((1 << 48) - 1);

    /// The moment `later` after this one, or the last one that can be stored.
    #[must_use]
    pub fn after(self, later: Duration) -> Self {
        let millis = u64::try_from(later.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis)).min(Self::MAX)
    }

    /// The moment `earlier` before this one, or the first one.
    #[must_use]
    pub fn before(self, earlier: Duration) -> Self {
        Self(self.0.saturating_sub(u64::try_from(earlier.as_millis()).unwrap_or(u64::MAX)))
    }
}

impl std::fmt::Display for Timestamp {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// The operating system's clocks. The time of day is held where it is when somebody sets the system's back, because what
/// has expired must stay so. On `wasm32-unknown-unknown`, which has none, it stands still: give the
/// layers a clock of your own there.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    fn now(&self) -> Duration {
        use std::sync::LazyLock;
        use std::time::Instant;
        static START: LazyLock<Instant> = LazyLock::new(Instant::now);
        START.elapsed()
    }

    #[cfg(not(all(target_family = "wasm", target_os = "unknown")))]
    fn wall(&self) -> Timestamp {
        static LATEST: AtomicU64 = AtomicU64::new(0);
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap_or_default();
        let now = u64::try_from(now.as_millis()).unwrap_or(u64::MAX);
        let latest = LATEST.load(Ordering::Relaxed);
        if now > latest {
            LATEST.fetch_max(now, Ordering::Relaxed);
        }
        Timestamp(now.max(latest))
    }

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    #[cfg(all(target_family = "wasm", target_os = "unknown"))]
    fn wall(&self) -> Timestamp {
        Timestamp(0)
    }
}

/// A clock that moves only when told to, for tests. It begins at 2020-01-01. Clones are the same clock.
#[derive(Debug, Clone, Default)]
pub struct ManualClock(Arc<AtomicU64>);

impl ManualClock {
    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let nanos = u64::try_from(by.as_nanos()).unwrap_or(u64::MAX);
        self.0.fetch_add(nanos, Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Duration {
        Duration::from_nanos(self.0.load(Ordering::SeqCst))
    }

    fn wall(&self) -> Timestamp {
        Timestamp(1_577_836_800_000).after(self.now())
    }
}
