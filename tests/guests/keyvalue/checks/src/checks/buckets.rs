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

fn same_bucket<B: Bucket>(at: &Place<B>) -> Case {
    let (key, again) = (at.key("k"), ok("open", B::open(&at.name))?);
    ok("set", at.bucket.set(&key, b"1"))?;
    same("get", &text(ok("get", again.get(&key))?), &some("1"))?;
    ok("delete", again.delete(&key))?;
    same("get", &ok("get", at.bucket.get(&key))?, &None)
}

fn other_bucket<B: Bucket>(at: &Place<B>) -> Case {
    let (key, other) = (at.key("k"), ok("open", B::open(&at.other))?);
    ok("sweep", at.sweep(&other))?;
    ok("set", at.bucket.set(&key, b"here"))?;
    same("there", &ok("get", other.get(&key))?, &None)?;
    ok("set", other.set(&key, b"there"))?;
    let seen = (ok("get", at.bucket.get(&key))?, ok("get", other.get(&key))?);
    ok("sweep", at.sweep(&other))?;
    same("both", &(text(seen.0), text(seen.1)), &(some("here"), some("there")))
}

fn default_bucket<B: Bucket>(at: &Place<B>) -> Case {
    let (key, unnamed, named) = (at.key("k"), ok("open ''", B::open(""))?, ok("open", B::open("default"))?);
    ok("set", unnamed.set(&key, b"1"))?;
    let seen = text(ok("get", named.get(&key))?);
    ok("delete", unnamed.delete(&key))?;
    same("get", &seen, &some("1"))
}

fn any_name<B: Bucket>(at: &Place<B>) -> Case {
    let names =
        ["redis://127.0.0.1:6379/", "../other", "/", " ", "bucket:x", "a/b/c/d/e/f/g/h/i/j", "\u{1F980}", "%2F"];
    let key = at.key("k");
    let mut open = Vec::new();
    for name in names {
        let bucket = ok(name, B::open(name))?;
        ok("sweep", at.sweep(&bucket))?;
        ok("set", bucket.set(&key, name.as_bytes()))?;
        open.push((name, bucket));
    }
    let seen: Vec<_> = open.iter().map(|(_, bucket)| bucket.get(&key)).collect();
    for (_, bucket) in &open {
        ok("sweep", at.sweep(bucket))?;
    }
    for (name, seen) in names.into_iter().zip(seen) {
        same(name, &text(ok("get", seen)?), &some(name))?;
    }
    Ok(())
}

fn long_name<B: Bucket>(_: &Place<B>) -> Case {
    holds("a name of 100,000 bytes does not open", B::open(&"b".repeat(100_000)).is_err())
}
