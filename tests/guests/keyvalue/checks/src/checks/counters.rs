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

async fn begins<B: Counters>(at: &Place<B>) -> Case {
    same("increment", &ok("increment", at.bucket.increment(&at.key("n"), 7).await)?, &7)
}

async fn adds<B: Counters>(at: &Place<B>) -> Case {
    let key = at.key("n");
    let mut sum = 0;
    for delta in [1, 10, 989, 1, 4_294_967_296] {
        sum += delta;
        same("increment", &ok("increment", at.bucket.increment(&key, delta).await)?, &sum)?;
    }
    Ok(())
}

async fn zero<B: Counters>(at: &Place<B>) -> Case {
    let key = at.key("n");
    same("of no number", &ok("increment", at.bucket.increment(&key, 0).await)?, &0)?;
    ok("increment", at.bucket.increment(&key, 5).await)?;
    same("of a number", &ok("increment", at.bucket.increment(&key, 0).await)?, &5)
}

async fn decimal<B: Counters>(at: &Place<B>) -> Case {
    let key = at.key("n");
    ok("set", at.bucket.set(&key, b"41").await)?;
    same("increment", &ok("increment", at.bucket.increment(&key, 1).await)?, &42)?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("42"))
}

/// Increment fails, and the value stays.
async fn refused<B: Counters>(at: &Place<B>, value: &str, delta: i64) -> Case {
    let key = at.key("n");
    ok("set", at.bucket.set(&key, value.as_bytes()).await)?;
    fails("increment", at.bucket.increment(&key, delta).await).map_err(|reason| format!("of {value:?}: {reason}"))?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some(value))
}

async fn no_number<B: Counters>(at: &Place<B>) -> Case {
    for value in ["text", "", " 1", "1.5", "0x10", "1 ", "99999999999999999999999999"] {
        refused(at, value, 1).await?;
    }
    let key = at.key("n");
    let eight = 1_u64.to_le_bytes();
    ok("set", at.bucket.set(&key, &eight).await)?;
    fails("increment of eight bytes", at.bucket.increment(&key, 1).await)?;
    same("get", &ok("get", at.bucket.get(&key).await)?, &Some(eight.to_vec()))
}

async fn overflow<B: Counters>(at: &Place<B>) -> Case {
    refused(at, B::LARGEST, 1).await?;
    refused(at, B::LARGEST, i64::MAX).await
}

async fn negative<B: Counters>(at: &Place<B>) -> Case {
    let key = at.key("n");
    same("from nothing", &ok("increment", at.bucket.increment(&key, -3).await)?, &-3)?;
    same("further", &ok("increment", at.bucket.increment(&key, -1).await)?, &-4)?;
    same("and back", &ok("increment", at.bucket.increment(&key, 6).await)?, &2)
}

async fn underflow<B: Counters>(at: &Place<B>) -> Case {
    refused(at, "-9223372036854775808", -1).await
}
