//! Linearizability of one key. The order is the one that the store claims: that of the versions it has told. If calls answer
//! as they would in that order, and none comes before one that had ended when it began, the history is linearizable. It must
//! never assume a version that no answer has told.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Span, Violation, ensure};

/// What a call did, with a value that no other call writes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Did {
    /// Stored a value.
    Wrote {
        /// The value.
        value: String,
        /// Its version, where it was answered.
        version: Option<u64>,
        /// The version that it had to replace, where it had to; 0 is nothing.
        expected: Option<u64>,
    },
    /// Was refused, because the version that was there was not the expected one.
    Refused {
        /// The one that it had to replace.
        expected: u64,
        /// The one that was there, where that was told.
        current: Option<u64>,
    },
    /// Found a value.
    Read {
        /// Its version; 0 where there is nothing.
        version: u64,
        /// The value.
        value: String,
    },
}

/// One call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Call {
    /// Which host was asked. A host that was started again is another one.
    pub host: usize,
    /// When.
    pub span: Span,
    /// What came of it.
    pub did: Did,
    /// How old what it has found may be, where another host has written it: reads from a cache are good for so long.
    pub staleness: Duration,
}

/// Whether the calls to one key are linearizable.
///
/// # Errors
/// The first thing that no order explains.
pub fn check(calls: &[Call]) -> Result<(), Violation> {
    let versions = values_by_version(calls)?;
    // What a write whose answer was lost has stored is known by its value, if anybody has seen it.
    let version_of = |call: &Call| match &call.did {
        Did::Wrote { value, version, .. } => {
            version.or_else(|| versions.iter().find(|(_, found)| *found == value).map(|(version, _)| *version))
        }
        Did::Read { version, .. } => Some(*version),
        Did::Refused { current, .. } => *current,
    };
    let placed: Vec<_> = calls.iter().filter_map(|call| version_of(call).map(|version| (version, call))).collect();
    for (version, call) in &placed {
        for (after, later) in &placed {
            let is_write = matches!(later.did, Did::Wrote { .. });
            // Only others' writes may be missed for a while, and only by what reads from a cache.
            let slack = if call.host == later.host { Duration::ZERO } else { later.staleness };
            if call.span.end.saturating_add(slack) < later.span.start {
                ensure!(version <= after && !(is_write && version == after), "{later:?}\nis behind\n{call:?}");
            }
        }
        match &call.did {
            Did::Wrote { expected: Some(expected), .. } => {
                ensure!(expected < version, "{call:?} is not after what it replaced");
                let between = versions.keys().find(|other| (expected + 1..*version).contains(other));
                ensure!(between.is_none(), "{call:?} has not replaced what was there: {between:?} was");
                ensure!(*expected == 0 || versions.contains_key(expected), "{call:?} replaced what nobody wrote");
            }
            Did::Refused { expected, .. } => ensure!(expected != version, "{call:?} was refused, and should not"),
            _ => {}
        }
    }
    Ok(())
}

/// The value of each version that an answer has told.
fn values_by_version(calls: &[Call]) -> Result<BTreeMap<u64, &str>, Violation> {
    let mut versions = BTreeMap::new();
    for call in calls {
        let (version, value) = match &call.did {
            Did::Wrote { value, version: Some(version), .. } => (version, value),
            Did::Read { version, value } if *version > 0 => (version, value),
            _ => continue,
        };
        let known = versions.entry(*version).or_insert(value.as_str());
        ensure!(known == value, "version {version} is {known} and {value}");
    }
    let mut values: Vec<_> = versions.values().collect();
    values.sort_unstable();
    ensure!(values.windows(2).all(|pair| pair[0] != pair[1]), "one value has two versions: {versions:?}");
    for (version, value) in &versions {
        let writer = calls.iter().find(|call| matches!(&call.did, Did::Wrote { value: wrote, .. } if wrote == value));
        ensure!(writer.is_some(), "version {version} is {value}, which nobody wrote");
    }
    for call in calls {
        if let Did::Refused { current: Some(current @ 1..), .. } = &call.did {
            // Somebody has written it whose answer was lost, if it is none of those that are known.
            let lost = calls.iter().any(|other| matches!(other.did, Did::Wrote { version: None, .. }));
            ensure!(versions.contains_key(current) || lost, "{call:?} has met what nobody wrote");
        }
    }
    Ok(versions)
}

#[cfg(test)]
mod tests {
    use super::super::span;
    use super::*;

    fn call(host: usize, span: Span, did: Did) -> Call {
        Call { host, span, did, staleness: Duration::ZERO }
    }

    fn wrote(host: usize, span: Span, value: &str, version: u64) -> Call {
        call(host, span, Did::Wrote { value: value.to_owned(), version: Some(version), expected: None })
    }

    fn lost(host: usize, start: u64, value: &str) -> Call {
        let did = Did::Wrote { value: value.to_owned(), version: None, expected: None };
        call(host, Span::open(Duration::from_millis(start)), did)
    }

    fn replaced(span: Span, value: &str, expected: u64, version: u64) -> Call {
        call(0, span, Did::Wrote { value: value.to_owned(), version: Some(version), expected: Some(expected) })
    }

    fn read(host: usize, span: Span, version: u64, value: &str) -> Call {
        call(host, span, Did::Read { version, value: value.to_owned() })
    }

    #[test]
    fn an_order_that_is_there_is_found() {
        let calls = [
            wrote(0, span(0, 10), "a", 3),
            read(1, span(5, 15), 0, ""),
            read(1, span(5, 20), 3, "a"),
            lost(1, 12, "b"),
            read(0, span(30, 40), 5, "b"),
            replaced(span(41, 50), "c", 5, 9),
            call(1, span(42, 60), Did::Refused { expected: 5, current: Some(9) }),
            lost(0, 70, "never seen"),
        ];
        assert_eq!(check(&calls), Ok(()));
    }

    #[test]
    fn what_is_old_is_found_out() {
        let calls = [wrote(0, span(0, 10), "a", 1), wrote(0, span(11, 20), "b", 2), read(1, span(21, 30), 1, "a")];
        assert!(check(&calls).is_err());
        // A cache may, for as long as it says.
        let of_cache = |millis| {
            let mut calls = calls.clone();
            calls[2].staleness = Duration::from_millis(millis);
            check(&calls)
        };
        assert_eq!(of_cache(1), Ok(()));
        assert!(of_cache(0).is_err());
        // But not the one of the host that wrote it.
        let mut own = calls;
        own[2] = Call { host: 0, staleness: Duration::from_secs(2), ..own[2].clone() };
        assert!(check(&own).is_err());
    }

    #[test]
    fn what_goes_back_is_found_out() {
        let open = span(0, 100);
        let calls = [
            wrote(0, open, "a", 1),
            wrote(0, open, "b", 2),
            read(1, span(10, 20), 2, "b"),
            read(2, span(30, 40), 1, "a"),
        ];
        assert!(check(&calls).is_err());
    }

    #[test]
    fn a_lost_write_is_found_out() {
        assert!(check(&[wrote(0, span(0, 10), "a", 1), read(0, span(20, 30), 0, "")]).is_err());
    }

    #[test]
    fn what_nobody_wrote_or_two_wrote_is_found_out() {
        assert!(check(&[read(0, span(0, 10), 1, "a")]).is_err());
        assert!(check(&[wrote(0, span(0, 10), "a", 1), wrote(1, span(0, 10), "b", 1)]).is_err());
        assert!(check(&[wrote(0, span(0, 10), "a", 1), read(1, span(0, 10), 2, "a")]).is_err());
        let refused = call(0, span(5, 9), Did::Refused { expected: 1, current: Some(7) });
        assert!(check(&[wrote(0, span(0, 3), "a", 1), refused]).is_err());
    }

    #[test]
    fn two_who_replaced_the_same_are_found_out() {
        let calls =
            [wrote(0, span(0, 10), "a", 1), replaced(span(20, 30), "b", 1, 2), replaced(span(20, 30), "c", 1, 3)];
        assert!(check(&calls).is_err());
        assert_eq!(check(&calls[..2]), Ok(()));
    }

    #[test]
    fn what_was_written_before_it_was_asked_for_is_found_out() {
        assert!(check(&[read(0, span(0, 10), 4, "a"), lost(1, 20, "a")]).is_err());
        assert!(check(&[wrote(0, span(0, 10), "a", 9), wrote(1, span(11, 20), "b", 8)]).is_err());
    }
}
