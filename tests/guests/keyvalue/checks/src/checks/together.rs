//! Calls that are under way together.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;

use crate::all::all;
use crate::expect::{Case, holds, ok, same, same_keys, some, text};
use crate::runner::{Check, Place};
use crate::shape::{Bucket, Counters};

/// Calls at once.
const AT_ONCE: usize = 200;

/// The checks of calls that do not wait for each other.
pub fn together<B: Bucket>() -> Vec<Check<B>> {
    vec![
        Check::portable("sets under way together are all stored", sets),
        Check::portable("gets under way together each tell their own value", gets),
        Check::portable("sets of one key under way together leave the value of one", one_key),
        Check::portable("a call that nobody waits for any more disturbs no other", dropped),
    ]
}

/// The same of increment.
pub fn counted_together<B: Counters>() -> Vec<Check<B>> {
    vec![Check::portable("increments under way together all count, and no two tell the same", increments)]
}

async fn sets<B: Bucket>(at: &Place<B>) -> Case {
    let keys = at.numbered("k", AT_ONCE);
    for answer in all(keys.iter().map(|key| at.bucket.set(key, key.as_bytes()))).await {
        ok("set", answer)?;
    }
    for key in &keys {
        same("get", &text(ok("get", at.bucket.get(key).await)?), &some(key))?;
    }
    same_keys("the keys", &at.own(ok("the list", at.bucket.keys().await)?), &keys)
}

async fn gets<B: Bucket>(at: &Place<B>) -> Case {
    let keys = at.numbered("k", AT_ONCE);
    // Every second one is absent.
    let items: Vec<_> = keys.iter().step_by(2).map(|key| (key.clone(), key.as_bytes().to_vec())).collect();
    ok("setting the keys", at.bucket.fill(&items).await)?;
    let answers = all(keys.iter().map(|key| at.bucket.get(key))).await;
    for (n, (key, answer)) in keys.iter().zip(answers).enumerate() {
        same("get", &text(ok("get", answer)?), &(n % 2 == 0).then(|| key.clone()))?;
    }
    Ok(())
}

async fn one_key<B: Bucket>(at: &Place<B>) -> Case {
    let (key, values) = (at.key("k"), at.numbered("", AT_ONCE));
    for answer in all(values.iter().map(|value| at.bucket.set(&key, value.as_bytes()))).await {
        ok("set", answer)?;
    }
    let left = text(ok("get", at.bucket.get(&key).await)?);
    holds("what is left was set", left.is_some_and(|left| values.contains(&left)))?;
    same("the keys", &at.own(ok("the list", at.bucket.keys().await)?), &vec![key])
}

async fn dropped<B: Bucket>(at: &Place<B>) -> Case {
    let keys = at.numbered("k", AT_ONCE);
    for key in &keys {
        let (set, get) = (at.bucket.set(key, b"1"), at.bucket.get(key));
        // Begun, and then let go of, with an answer or without.
        let (mut set, mut get) = (pin!(set), pin!(get));
        poll_fn(|cx| {
            let begun = (set.as_mut().poll(cx), get.as_mut().poll(cx));
            drop(begun);
            Poll::Ready(())
        })
        .await;
    }
    for key in &keys {
        let left = text(ok("get", at.bucket.get(key).await)?);
        holds("a set that was let go of happened whole or not", left.is_none() || left == some("1"))?;
        ok("set", at.bucket.set(key, b"2").await)?;
        same("get", &text(ok("get", at.bucket.get(key).await)?), &some("2"))?;
    }
    same_keys("the keys", &at.own(ok("the list", at.bucket.keys().await)?), &keys)
}

async fn increments<B: Counters>(at: &Place<B>) -> Case {
    let key = at.key("n");
    let mut told = Vec::new();
    for answer in all((0..AT_ONCE).map(|_| at.bucket.increment(&key, 1))).await {
        told.push(ok("increment", answer)?);
    }
    told.sort_unstable();
    let expected: Vec<i64> = (1..).take(AT_ONCE).collect();
    same("what the increments told, in order", &told, &expected)?;
    same("the number", &ok("increment", at.bucket.increment(&key, 0).await)?, &(expected.last().copied().unwrap_or(0)))
}
