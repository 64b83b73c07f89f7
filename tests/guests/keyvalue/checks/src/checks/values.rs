//! One key and its value: what every shape has.

use crate::expect::{Case, fails, holds, ok, same, some, text};
use crate::runner::{Check, Place};
use crate::shape::Bucket;

/// The checks of get, set, delete and exists.
pub fn values<B: Bucket>() -> Vec<Check<B>> {
    vec![
        Check::portable("get answers what set stored", stored),
        Check::portable("set replaces a value", replaced),
        Check::portable("get of an absent key is none and no error", absent),
        Check::portable("an empty value is a value", empty),
        Check::portable("a value is any bytes", bytes),
        Check::portable("delete removes a key", deleted),
        Check::portable("delete of an absent key is no error", deleted_twice),
        Check::portable("exists tells whether there is a value", exists),
        Check::portable("keys are told apart byte by byte", distinct),
        Check::portable("a key may have any characters", characters),
        Check::portable("the list of keys has each key once", listed),
        Check::host_specific("a value of one MiB and one of eight are ordinary", large),
        Check::host_specific("an empty key is an error", empty_key),
        Check::host_specific("a key of 3,000 bytes is an error", long_key),
    ]
}

async fn stored<B: Bucket>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"value").await)?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("value"))?;
    same("get again", &text(ok("get", at.bucket.get(&key).await)?), &some("value"))
}

async fn replaced<B: Bucket>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"a longer value").await)?;
    ok("set again", at.bucket.set(&key, b"short").await)?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("short"))
}

async fn absent<B: Bucket>(at: &Place<B>) -> Case {
    same("get", &ok("get", at.bucket.get(&at.key("absent")).await)?, &None)
}

async fn empty<B: Bucket>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"").await)?;
    same("get", &ok("get", at.bucket.get(&key).await)?, &Some(Vec::new()))?;
    holds("it exists", ok("exists", at.bucket.exists(&key).await)?)
}

async fn bytes<B: Bucket>(at: &Place<B>) -> Case {
    let (key, value) = (at.key("k"), (0..=255).collect::<Vec<u8>>());
    ok("set", at.bucket.set(&key, &value).await)?;
    same("get", &ok("get", at.bucket.get(&key).await)?, &Some(value))
}

async fn deleted<B: Bucket>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    ok("delete", at.bucket.delete(&key).await)?;
    same("get", &ok("get", at.bucket.get(&key).await)?, &None)?;
    ok("set again", at.bucket.set(&key, b"2").await)?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("2"))
}

async fn deleted_twice<B: Bucket>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("delete of a key that never was", at.bucket.delete(&key).await)?;
    ok("set", at.bucket.set(&key, b"1").await)?;
    ok("delete", at.bucket.delete(&key).await)?;
    ok("delete again", at.bucket.delete(&key).await)
}

async fn exists<B: Bucket>(at: &Place<B>) -> Case {
    let key = at.key("k");
    same("before", &ok("exists", at.bucket.exists(&key).await)?, &false)?;
    ok("set", at.bucket.set(&key, b"1").await)?;
    same("after set", &ok("exists", at.bucket.exists(&key).await)?, &true)?;
    ok("delete", at.bucket.delete(&key).await)?;
    same("after delete", &ok("exists", at.bucket.exists(&key).await)?, &false)
}

async fn distinct<B: Bucket>(at: &Place<B>) -> Case {
    // Of the last two one is composed and the other is not.
    let keys = ["a", "A", "a ", "a/", "a/a", "a\u{e9}", "ae\u{301}"].map(|key| at.key(key));
    for key in &keys {
        ok("set", at.bucket.set(key, key.as_bytes()).await)?;
    }
    for key in &keys {
        same("get", &text(ok("get", at.bucket.get(key).await)?), &some(key))?;
    }
    same("the keys", &at.own(ok("the list", at.bucket.keys().await)?).len(), &keys.len())
}

async fn characters<B: Bucket>(at: &Place<B>) -> Case {
    let names = ["with space", "a.b-c_d:e", "../..", "%2F%00", "\u{1F980}", "\"quoted\"", "a=b&c=d", "*?[a]", "{}"];
    let mut keys: Vec<String> = names.iter().map(|name| at.key(name)).collect();
    for key in &keys {
        ok("set", at.bucket.set(key, key.as_bytes()).await)?;
        same("get", &text(ok("get", at.bucket.get(key).await)?), &some(key))?;
    }
    keys.sort();
    same("the keys", &at.own(ok("the list", at.bucket.keys().await)?), &keys)
}

async fn listed<B: Bucket>(at: &Place<B>) -> Case {
    let keys = at.numbered("k", 20);
    same("before", &at.own(ok("the list", at.bucket.keys().await)?), &Vec::new())?;
    for key in keys.iter().rev() {
        ok("set", at.bucket.set(key, b"").await)?;
        ok("set again", at.bucket.set(key, b"1").await)?;
    }
    same("the keys", &at.own(ok("the list", at.bucket.keys().await)?), &keys)
}

async fn large<B: Bucket>(at: &Place<B>) -> Case {
    const MIB: usize = 1024 * 1024;
    let key = at.key("k");
    for size in [MIB, 8 * MIB] {
        let value: Vec<u8> = (0..=250).cycle().take(size).collect();
        ok("set", at.bucket.set(&key, &value).await)?;
        holds("the value is as it was set", ok("get", at.bucket.get(&key).await)? == Some(value))?;
    }
    Ok(())
}

async fn empty_key<B: Bucket>(at: &Place<B>) -> Case {
    fails("set", at.bucket.set("", b"1").await)?;
    fails("get", at.bucket.get("").await).map(drop)
}

async fn long_key<B: Bucket>(at: &Place<B>) -> Case {
    let key = at.key(&"k".repeat(3000));
    fails("set", at.bucket.set(&key, b"1").await)?;
    fails("get", at.bucket.get(&key).await)?;
    fails("exists", at.bucket.exists(&key).await).map(drop)
}
