//! Compare-and-swap by version or value.

use std::collections::BTreeSet;

use crate::all::all;
use crate::expect::{Case, fails, holds, ok, same, some, text};
use crate::runner::{Check, Place};
use crate::shape::{Entry, Error, Required, Swapped, Versions};

/// The checks of current and swap.
pub fn versions<B: Versions>() -> Vec<Check<B>> {
    vec![
        Check::portable("current of an absent key is none", absent),
        Check::portable("current tells the value and a version, which stay while nobody writes", current),
        Check::portable("every write gives a key another version", every_write),
        Check::portable("a swap that requires nothing is invalid-argument and changes nothing", nothing_required),
        Check::portable("a swap replaces the version that it requires", by_version),
        Check::portable("a swap replaces the value that it requires", by_value),
        Check::portable("a swap of another version is stale, tells what there is and changes nothing", old_version),
        Check::portable("a swap of another value is stale, tells what there is and changes nothing", other_value),
        Check::portable("a swap of an absent key is stale, tells none and makes nothing", of_nothing),
        Check::portable("a swap that requires a version and a value needs both", both),
        Check::portable("a swap by value does not mind that it was set again", set_again),
        Check::portable("the version of a stale swap can be swapped at once", at_once),
        Check::portable("of many swaps of one version under way together one is done", one_of_many),
        Check::host_specific("a version that the host has not made is stale", forged),
    ]
}

fn version(version: &str) -> Required<'_> {
    Required { version: Some(version), ..Required::default() }
}

fn value(value: &str) -> Required<'_> {
    Required { value: Some(value.as_bytes()), ..Required::default() }
}

/// What a key has, which is not nothing.
async fn entry<B: Versions>(at: &Place<B>, key: &str) -> Result<Entry, String> {
    Ok(ok("current", at.bucket.entry(key).await)?.ok_or("current: expected an entry, got none")?)
}

async fn swapped<B: Versions>(at: &Place<B>, key: &str, new: &str, required: Required<'_>) -> Case {
    same("swap", &ok("swap", at.bucket.swap_where(key, new.as_bytes(), required).await)?, &Swapped::Done)?;
    same("get", &text(ok("get", at.bucket.get(key).await)?), &some(new))
}

/// A swap does not happen, and the key stays as it is.
async fn stale<B: Versions>(at: &Place<B>, key: &str, required: Required<'_>) -> Case {
    let before = ok("current", at.bucket.entry(key).await)?;
    let answer = ok("swap", at.bucket.swap_where(key, b"stale", required).await)?;
    same("swap", &answer, &Swapped::Stale(before.clone()))?;
    same("current after the swap", &ok("current", at.bucket.entry(key).await)?, &before)
}

async fn absent<B: Versions>(at: &Place<B>) -> Case {
    let key = at.key("k");
    same("current", &ok("current", at.bucket.entry(&key).await)?, &None)?;
    ok("set", at.bucket.set(&key, b"1").await)?;
    ok("delete", at.bucket.delete(&key).await)?;
    same("current after delete", &ok("current", at.bucket.entry(&key).await)?, &None)
}

async fn current<B: Versions>(at: &Place<B>) -> Case {
    let (key, other) = (at.key("k"), at.key("other"));
    ok("set", at.bucket.set(&key, b"1").await)?;
    let first = entry(at, &key).await?;
    same("the value", &text(Some(first.value.clone())), &some("1"))?;
    ok("set of another key", at.bucket.set(&other, b"1").await)?;
    same("current again", &entry(at, &key).await?, &first)
}

async fn every_write<B: Versions>(at: &Place<B>) -> Case {
    let key = at.key("k");
    let mut seen = BTreeSet::new();
    for n in 1..=3 {
        ok("set", at.bucket.set(&key, b"same").await)?;
        seen.insert(entry(at, &key).await?.version);
        let required = value("same");
        ok("swap", at.bucket.swap_where(&key, b"same", required).await)?;
        seen.insert(entry(at, &key).await?.version);
        same("how many versions after two writes each", &seen.len(), &(2 * n))?;
    }
    ok("delete", at.bucket.delete(&key).await)?;
    ok("set", at.bucket.set(&key, b"same").await)?;
    holds("made again it has another", seen.insert(entry(at, &key).await?.version))
}

async fn nothing_required<B: Versions>(at: &Place<B>) -> Case {
    let key = at.key("k");
    for expected in [None, some("1")] {
        let error = fails("swap", at.bucket.swap_where(&key, b"2", Required::default()).await)?;
        same("swap", &error, &Error::InvalidArgument)?;
        same("get", &text(ok("get", at.bucket.get(&key).await)?), &expected)?;
        ok("set", at.bucket.set(&key, b"1").await)?;
    }
    Ok(())
}

async fn by_version<B: Versions>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    for new in ["2", "3", ""] {
        let before = entry(at, &key).await?;
        swapped(at, &key, new, version(&before.version)).await?;
    }
    Ok(())
}

async fn by_value<B: Versions>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    swapped(at, &key, "", value("1")).await?;
    swapped(at, &key, "2", value("")).await?;
    swapped(at, &key, "2", value("2")).await
}

async fn old_version<B: Versions>(at: &Place<B>) -> Case {
    let (key, other) = (at.key("k"), at.key("other"));
    ok("set", at.bucket.set(&key, b"1").await)?;
    let old = entry(at, &key).await?;
    ok("set again", at.bucket.set(&key, b"1").await)?;
    stale(at, &key, version(&old.version)).await?;
    ok("delete", at.bucket.delete(&key).await)?;
    stale(at, &key, version(&old.version)).await?;
    ok("set after delete", at.bucket.set(&key, b"1").await)?;
    stale(at, &key, version(&old.version)).await?;
    // A swap that was done once is not done again.
    let last = entry(at, &key).await?;
    swapped(at, &key, "2", version(&last.version)).await?;
    stale(at, &key, version(&last.version)).await?;
    same("another key", &ok("get", at.bucket.get(&other).await)?, &None)
}

async fn other_value<B: Versions>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    for other in ["2", "", "11", "1 "] {
        stale(at, &key, value(other)).await?;
    }
    Ok(())
}

async fn of_nothing<B: Versions>(at: &Place<B>) -> Case {
    let (key, other) = (at.key("k"), at.key("other"));
    ok("set", at.bucket.set(&other, b"1").await)?;
    let version = entry(at, &other).await?.version;
    stale(at, &key, value("1")).await?;
    stale(at, &key, value("")).await?;
    stale(at, &key, Required { version: Some(&version), value: Some(b"1") }).await?;
    same("exists", &ok("exists", at.bucket.exists(&key).await)?, &false)
}

async fn both<B: Versions>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    let old = entry(at, &key).await?.version;
    ok("set again", at.bucket.set(&key, b"1").await)?;
    let new = entry(at, &key).await?.version;
    stale(at, &key, Required { version: Some(&new), value: Some(b"2") }).await?;
    stale(at, &key, Required { version: Some(&old), value: Some(b"1") }).await?;
    swapped(at, &key, "2", Required { version: Some(&new), value: Some(b"1") }).await
}

async fn set_again<B: Versions>(at: &Place<B>) -> Case {
    let key = at.key("k");
    for set in ["1", "2", "1"] {
        ok("set", at.bucket.set(&key, set.as_bytes()).await)?;
    }
    swapped(at, &key, "3", value("1")).await
}

async fn at_once<B: Versions>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    match ok("swap", at.bucket.swap_where(&key, b"2", value("other")).await)? {
        Swapped::Stale(Some(fresh)) => swapped(at, &key, "2", version(&fresh.version)).await,
        other => Err(format!("swap: expected stale with an entry, got {other:?}")),
    }
}

async fn one_of_many<B: Versions>(at: &Place<B>) -> Case {
    let (key, values) = (at.key("k"), at.numbered("", 20));
    ok("set", at.bucket.set(&key, b"1").await)?;
    let first = entry(at, &key).await?;
    let required = version(&first.version);
    let answers = all(values.iter().map(|value| at.bucket.swap_where(&key, value.as_bytes(), required))).await;
    let mut done = Vec::new();
    for (value, answer) in values.into_iter().zip(answers) {
        match ok("swap", answer)? {
            Swapped::Done => done.push(value),
            Swapped::Stale(there) => holds("a stale swap tells another version", there != Some(first.clone()))?,
        }
    }
    same("how many were done", &done.len(), &1)?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &done.pop())
}

async fn forged<B: Versions>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    let real = entry(at, &key).await?.version;
    let long = "9".repeat(100_000);
    let near = format!("{real} ");
    for made_up in ["", "0", "1", "-1", "no version", "\0", &long, &near] {
        let shown: String = made_up.chars().take(20).collect();
        stale(at, &key, version(made_up)).await.map_err(|reason| format!("{shown:?}: {reason}"))?;
    }
    Ok(())
}
