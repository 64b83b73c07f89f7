//! How moments and time spans are printed: RFC 3339 in UTC for people. It must never fail for a moment that can be stored.

use std::fmt::Write as _;
use std::time::{Duration, UNIX_EPOCH};

use stash_core::Timestamp;

/// The moment to the millisecond.
pub(crate) fn moment(moment: Timestamp) -> String {
    let mut text = String::new();
    // After the year 9999 RFC 3339 ends; moments that can be stored do not.
    let time = UNIX_EPOCH.checked_add(Duration::from_millis(moment.0));
    match time.map(|time| write!(text, "{}", humantime::format_rfc3339_millis(time))) {
        Some(Ok(())) => text,
        _ => format!("{moment} ms after 1970"),
    }
}

/// The moment to the second, for columns; `-` where there is none.
pub(crate) fn short(at: Option<Timestamp>) -> String {
    let Some(at) = at else { return "-".to_owned() };
    let full = moment(at);
    full.split_once('.').map_or(full.clone(), |(seconds, _)| format!("{seconds}Z"))
}

/// The time span, as the command line takes it, to the millisecond. Days are the largest unit: those above are not all of
/// one length.
pub(crate) fn span(time: Duration) -> String {
    let mut left = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let mut parts = Vec::new();
    for (unit, millis) in [("d", 86_400_000), ("h", 3_600_000), ("m", 60_000), ("s", 1000), ("ms", 1)] {
        if left >= millis {
            parts.push(format!("{}{unit}", left / millis));
            left %= millis;
        }
    }
    if parts.is_empty() { "0s".to_owned() } else { parts.join(" ") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_moment_that_can_be_stored_has_a_text() {
        assert_eq!(moment(Timestamp(1_924_991_999_250)), "2030-12-31T23:59:59.250Z");
        assert_eq!(moment(Timestamp(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(moment(Timestamp(253_402_300_800_000)), "253402300800000 ms after 1970");
        assert_eq!(moment(Timestamp::MAX), "281474976710655 ms after 1970");
        assert!(!moment(Timestamp(u64::MAX)).is_empty());
        assert_eq!(short(Some(Timestamp(1_924_991_999_250))), "2030-12-31T23:59:59Z");
        assert_eq!(short(None), "-");
        assert_eq!(span(Duration::from_mins(90)), "1h 30m");
        assert_eq!(span(Duration::from_hours(90 * 24)), "90d");
        assert_eq!(span(Duration::from_millis(1500)), "1s 500ms");
        assert_eq!(span(Duration::ZERO), "0s");
    }
}
