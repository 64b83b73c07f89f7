//! Numbers: decimal text that `increment` adds to.

use crate::expect::{Case, fails, ok, same, some, text};
use crate::runner::{Check, Place};
use crate::shape::Counters;

/// The checks of increment.
pub fn counters<B: Counters>() -> Vec<Check<B>> {
    let mut checks = vec![
        Check::portable("increment begins at 0", begins),
        Check::portable("increment adds up", adds),
        Check::portable("increment by 0 tells the number", zero),
        Check::host_specific("a number is decimal text", decimal),
        Check::host_specific("increment of a value that is no number is an error and changes nothing", no_number),
        Check::host_specific("increment beyond the largest number is an error and changes nothing", overflow),
    ];
    if B::SIGNED {
        checks.push(Check::portable("increment by a negative number subtracts", negative));
        checks.push(Check::host_specific("increment beyond the smallest number is an error", underflow));
    }
    checks
}

fn begins<B: Counters>(at: &Place<B>) -> Case {
    same("increment", &ok("increment", at.bucket.increment(&at.key("n"), 7))?, &7)
}

fn adds<B: Counters>(at: &Place<B>) -> Case {
    let key = at.key("n");
    let mut sum = 0;
    for delta in [1, 10, 989, 1, 4_294_967_296] {
        sum += delta;
        same("increment", &ok("increment", at.bucket.increment(&key, delta))?, &sum)?;
    }
    Ok(())
}

fn zero<B: Counters>(at: &Place<B>) -> Case {
    let key = at.key("n");
    same("of no number", &ok("increment", at.bucket.increment(&key, 0))?, &0)?;
    ok("increment", at.bucket.increment(&key, 5))?;
    same("of a number", &ok("increment", at.bucket.increment(&key, 0))?, &5)
}

fn decimal<B: Counters>(at: &Place<B>) -> Case {
    let key = at.key("n");
    ok("set", at.bucket.set(&key, b"41"))?;
    same("increment", &ok("increment", at.bucket.increment(&key, 1))?, &42)?;
    same("get", &text(ok("get", at.bucket.get(&key))?), &some("42"))
}

/// Increment fails, and the value stays.
fn refused<B: Counters>(at: &Place<B>, value: &str, delta: i64) -> Case {
    let key = at.key("n");
    ok("set", at.bucket.set(&key, value.as_bytes()))?;
    fails("increment", at.bucket.increment(&key, delta)).map_err(|reason| format!("of {value:?}: {reason}"))?;
    same("get", &text(ok("get", at.bucket.get(&key))?), &some(value))
}

fn no_number<B: Counters>(at: &Place<B>) -> Case {
    for value in ["text", "", " 1", "1.5", "0x10", "1 ", "99999999999999999999999999"] {
        refused(at, value, 1)?;
    }
    let key = at.key("n");
    let eight = 1_u64.to_le_bytes();
    ok("set", at.bucket.set(&key, &eight))?;
    fails("increment of eight bytes", at.bucket.increment(&key, 1))?;
    same("get", &ok("get", at.bucket.get(&key))?, &Some(eight.to_vec()))
}

fn overflow<B: Counters>(at: &Place<B>) -> Case {
    refused(at, B::LARGEST, 1)?;
    refused(at, B::LARGEST, i64::MAX)
}

fn negative<B: Counters>(at: &Place<B>) -> Case {
    let key = at.key("n");
    same("from nothing", &ok("increment", at.bucket.increment(&key, -3))?, &-3)?;
    same("further", &ok("increment", at.bucket.increment(&key, -1))?, &-4)?;
    same("and back", &ok("increment", at.bucket.increment(&key, 6))?, &2)
}

fn underflow<B: Counters>(at: &Place<B>) -> Case {
    refused(at, "-9223372036854775808", -1)
}
