//! Options of set: a time to live, and only where there is no value.

use std::time::{Duration, Instant};

use crate::all::all;
use crate::expect::{Case, fails, holds, ok, same, some, text};
use crate::runner::{Check, Place};
use crate::shape::{Error, Options, SetOptions};

/// Within this time a host must have noticed that a value's time to live is over.
const NOTICED: Duration = Duration::from_secs(10);

/// The checks of set with options.
pub fn options<B: Options>() -> Vec<Check<B>> {
    vec![
        Check::portable("set if-not-exists makes a key that is absent", made),
        Check::portable("set if-not-exists of a key with a value is precondition-failed and changes nothing", kept),
        Check::portable("an empty value is one for set if-not-exists", empty),
        Check::portable("set if-not-exists makes a key that was deleted", deleted),
        Check::portable("of many set if-not-exists under way together one makes the key", one_of_many),
        Check::portable("a value with a ttl goes when it is over, or is not stored at all", over_or_refused),
        Check::host_specific("a value is there until its ttl is over", until_over),
        Check::host_specific("a key whose ttl is over is in no list and does not exist", gone),
        Check::host_specific("set if-not-exists makes a key whose ttl is over", made_again),
        Check::host_specific("set without a ttl ends the one before", ended),
        Check::host_specific("a ttl of 0 is invalid-argument", no_time),
        Check::host_specific("the longest ttl there is stores a value", longest),
    ]
}

fn absent() -> SetOptions {
    SetOptions { if_not_exists: true, ..SetOptions::default() }
}

fn lasting(ttl_ms: u64) -> SetOptions {
    SetOptions { ttl_ms: Some(ttl_ms), ..SetOptions::default() }
}

/// Asks the host until it says that there is no value.
async fn over<B: Options>(at: &Place<B>, key: &str) -> Case {
    let begin = Instant::now();
    while ok("get", at.bucket.get(key).await)?.is_some() {
        if begin.elapsed() > NOTICED {
            return Err(format!("get: expected none when the ttl is over, got a value for {NOTICED:?}"));
        }
    }
    Ok(())
}

async fn made<B: Options>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set if-not-exists", at.bucket.set_with(&key, b"1", absent()).await)?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("1"))
}

async fn refused<B: Options>(at: &Place<B>, key: &str) -> Case {
    let error = fails("set if-not-exists", at.bucket.set_with(key, b"theirs", absent()).await)?;
    same("set if-not-exists", &error, &Error::PreconditionFailed)
}

async fn kept<B: Options>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    refused(at, &key).await?;
    refused(at, &key).await?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("1"))
}

async fn empty<B: Options>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set if-not-exists", at.bucket.set_with(&key, b"", absent()).await)?;
    refused(at, &key).await?;
    same("get", &ok("get", at.bucket.get(&key).await)?, &Some(Vec::new()))
}

async fn deleted<B: Options>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    ok("delete", at.bucket.delete(&key).await)?;
    ok("set if-not-exists", at.bucket.set_with(&key, b"2", absent()).await)?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("2"))
}

async fn one_of_many<B: Options>(at: &Place<B>) -> Case {
    let (key, values) = (at.key("k"), at.numbered("", 20));
    let answers = all(values.iter().map(|value| at.bucket.set_with(&key, value.as_bytes(), absent()))).await;
    let mut stored = Vec::new();
    for (value, answer) in values.into_iter().zip(answers) {
        match answer {
            Ok(()) => stored.push(value),
            Err(error) => same("set if-not-exists", &error, &Error::PreconditionFailed)?,
        }
    }
    same("how many were stored", &stored.len(), &1)?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &stored.pop())
}

async fn over_or_refused<B: Options>(at: &Place<B>) -> Case {
    let key = at.key("k");
    match at.bucket.set_with(&key, b"1", lasting(1)).await {
        Ok(()) => over(at, &key).await,
        Err(_) => same("get", &ok("get", at.bucket.get(&key).await)?, &None),
    }
}

async fn until_over<B: Options>(at: &Place<B>) -> Case {
    let (hour, instant) = (at.key("hour"), at.key("instant"));
    ok("set with a ttl of an hour", at.bucket.set_with(&hour, b"1", lasting(3_600_000)).await)?;
    ok("set with a ttl of 1 ms", at.bucket.set_with(&instant, b"1", lasting(1)).await)?;
    over(at, &instant).await?;
    same("get", &text(ok("get", at.bucket.get(&hour).await)?), &some("1"))?;
    same("the keys", &at.own(ok("the list", at.bucket.keys().await)?), &vec![hour])
}

async fn gone<B: Options>(at: &Place<B>) -> Case {
    let (key, other) = (at.key("k"), at.key("other"));
    ok("set", at.bucket.set(&other, b"1").await)?;
    ok("set with a ttl", at.bucket.set_with(&key, b"1", lasting(1)).await)?;
    over(at, &key).await?;
    same("exists", &ok("exists", at.bucket.exists(&key).await)?, &false)?;
    same("the keys", &at.own(ok("the list", at.bucket.keys().await)?), &vec![other])
}

async fn made_again<B: Options>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set with a ttl", at.bucket.set_with(&key, b"1", lasting(1)).await)?;
    over(at, &key).await?;
    let both = SetOptions { ttl_ms: Some(3_600_000), if_not_exists: true };
    ok("set if-not-exists with a ttl", at.bucket.set_with(&key, b"2", both).await)?;
    refused(at, &key).await?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("2"))
}

async fn ended<B: Options>(at: &Place<B>) -> Case {
    let (key, later) = (at.key("k"), at.key("later"));
    ok("set with a ttl", at.bucket.set_with(&key, b"1", lasting(20)).await)?;
    ok("set without one", at.bucket.set(&key, b"2").await)?;
    // When the second one's time is over, the first one's would be too.
    ok("set with a ttl", at.bucket.set_with(&later, b"1", lasting(20)).await)?;
    over(at, &later).await?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("2"))
}

async fn no_time<B: Options>(at: &Place<B>) -> Case {
    let key = at.key("k");
    let error = fails("set with a ttl of 0", at.bucket.set_with(&key, b"1", lasting(0)).await)?;
    same("set with a ttl of 0", &error, &Error::InvalidArgument)?;
    holds("nothing was stored", ok("get", at.bucket.get(&key).await)?.is_none())
}

async fn longest<B: Options>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set with a ttl", at.bucket.set_with(&key, b"1", lasting(u64::MAX)).await)?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("1"))
}
