//! Buckets and their names. What there is beside one bucket is the host's to say.

use crate::expect::{Case, holds, ok, same, some, text};
use crate::runner::{Check, Place};
use crate::shape::Bucket;

/// The checks of opening buckets.
pub fn buckets<B: Bucket>() -> Vec<Check<B>> {
    vec![
        Check::host_specific("two handles on a bucket see the same", same_bucket),
        Check::host_specific("another bucket has other data", other_bucket),
        Check::host_specific("'' and 'default' are one bucket", default_bucket),
        Check::host_specific("any name opens a bucket of its own", any_name),
        Check::host_specific("a name too long for a bucket is an error", long_name),
    ]
}

async fn same_bucket<B: Bucket>(at: &Place<B>) -> Case {
    let (key, again) = (at.key("k"), ok("open", B::open(&at.name).await)?);
    ok("set", at.bucket.set(&key, b"1").await)?;
    same("get", &text(ok("get", again.get(&key).await)?), &some("1"))?;
    ok("delete", again.delete(&key).await)?;
    same("get", &ok("get", at.bucket.get(&key).await)?, &None)
}

async fn other_bucket<B: Bucket>(at: &Place<B>) -> Case {
    let (key, other) = (at.key("k"), ok("open", B::open(&at.other).await)?);
    ok("sweep", at.sweep(&other).await)?;
    ok("set", at.bucket.set(&key, b"here").await)?;
    same("there", &ok("get", other.get(&key).await)?, &None)?;
    ok("set", other.set(&key, b"there").await)?;
    let seen = (ok("get", at.bucket.get(&key).await)?, ok("get", other.get(&key).await)?);
    ok("sweep", at.sweep(&other).await)?;
    same("both", &(text(seen.0), text(seen.1)), &(some("here"), some("there")))
}

async fn default_bucket<B: Bucket>(at: &Place<B>) -> Case {
    let (key, unnamed, named) = (at.key("k"), ok("open ''", B::open("").await)?, ok("open", B::open("default").await)?);
    ok("set", unnamed.set(&key, b"1").await)?;
    let seen = text(ok("get", named.get(&key).await)?);
    ok("delete", unnamed.delete(&key).await)?;
    same("get", &seen, &some("1"))
}

async fn any_name<B: Bucket>(at: &Place<B>) -> Case {
    let names =
        ["redis://127.0.0.1:6379/", "../other", "/", " ", "bucket:x", "a/b/c/d/e/f/g/h/i/j", "\u{1F980}", "%2F"];
    let key = at.key("k");
    let mut open = Vec::new();
    for name in names {
        let bucket = ok(name, B::open(name).await)?;
        ok("sweep", at.sweep(&bucket).await)?;
        ok("set", bucket.set(&key, name.as_bytes()).await)?;
        open.push((name, bucket));
    }
    let mut seen = Vec::new();
    for (_, bucket) in &open {
        seen.push(bucket.get(&key).await);
    }
    for (_, bucket) in &open {
        ok("sweep", at.sweep(bucket).await)?;
    }
    for (name, seen) in names.into_iter().zip(seen) {
        same(name, &text(ok("get", seen)?), &some(name))?;
    }
    Ok(())
}

async fn long_name<B: Bucket>(_: &Place<B>) -> Case {
    holds("a name of 100,000 bytes does not open", B::open(&"b".repeat(100_000)).await.is_err())
}
