//! Compare-and-swap by handles.

use crate::expect::{Case, holds, ok, same, some, text};
use crate::runner::{Check, Place};
use crate::shape::{Refused, Swaps};

/// The checks of cas and swap.
pub fn swaps<B: Swaps>() -> Vec<Check<B>> {
    vec![
        Check::portable("a handle tells the value it was made of", current),
        Check::portable("swap replaces a value that nobody has changed", swapped),
        Check::portable("swap makes a key that is absent", made),
        Check::portable("swap fails where the value has changed, with a handle on the new one", changed),
        Check::portable("the handle of a failed swap can be swapped at once", refreshed),
        Check::portable("of two handles on an absent key one swaps", one_of_two),
        Check::portable("swap fails where the key was deleted", deleted),
        Check::portable("swap fails where the key was deleted and made again", recreated),
        Check::portable("swap fails where the same value was set again", same_again),
        Check::portable("a failed swap changes nothing", untouched),
    ]
}

async fn swap<B: Swaps>(cas: B::Cas, value: &str) -> Case {
    match B::swap(cas, value.as_bytes()).await {
        Ok(()) => Ok(()),
        Err(Refused::Store(error)) => Err(format!("swap: expected ok, got {error}")),
        Err(Refused::Failed(_)) => Err("swap: expected ok, got cas-failed".to_owned()),
    }
}

/// The handle of a swap that must fail.
async fn stale<B: Swaps>(cas: B::Cas) -> Result<B::Cas, String> {
    match B::swap(cas, b"stale").await {
        Err(Refused::Failed(fresh)) => Ok(fresh),
        Err(Refused::Store(error)) => Err(format!("swap: expected cas-failed, got {error}")),
        Ok(()) => Err("swap: expected cas-failed, got ok".to_owned()),
    }
}

async fn has<B: Swaps>(at: &Place<B>, key: &str, value: &str) -> Case {
    same("get", &text(ok("get", at.bucket.get(key).await)?), &some(value))
}

async fn current<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    let absent = ok("cas", at.bucket.cas(&key).await)?;
    same("current of an absent key", &ok("current", B::current(&absent).await)?, &None)?;
    ok("set", at.bucket.set(&key, b"1").await)?;
    let cas = ok("cas", at.bucket.cas(&key).await)?;
    same("current", &text(ok("current", B::current(&cas).await)?), &some("1"))?;
    same("current again", &text(ok("current", B::current(&cas).await)?), &some("1"))
}

async fn swapped<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    swap::<B>(ok("cas", at.bucket.cas(&key).await)?, "2").await?;
    has(at, &key, "2").await
}

async fn made<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    swap::<B>(ok("cas", at.bucket.cas(&key).await)?, "1").await?;
    has(at, &key, "1").await
}

async fn changed<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    let cas = ok("cas", at.bucket.cas(&key).await)?;
    ok("set", at.bucket.set(&key, b"2").await)?;
    let fresh = stale::<B>(cas).await?;
    same("current of the new handle", &text(ok("current", B::current(&fresh).await)?), &some("2"))
}

async fn refreshed<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    let cas = ok("cas", at.bucket.cas(&key).await)?;
    ok("set", at.bucket.set(&key, b"2").await)?;
    swap::<B>(stale::<B>(cas).await?, "3").await?;
    has(at, &key, "3").await
}

async fn one_of_two<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    let (one, two) = (ok("cas", at.bucket.cas(&key).await)?, ok("cas", at.bucket.cas(&key).await)?);
    swap::<B>(one, "one").await?;
    let fresh = stale::<B>(two).await?;
    same("current of the new handle", &text(ok("current", B::current(&fresh).await)?), &some("one"))?;
    has(at, &key, "one").await
}

async fn deleted<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    let cas = ok("cas", at.bucket.cas(&key).await)?;
    ok("delete", at.bucket.delete(&key).await)?;
    let fresh = stale::<B>(cas).await?;
    same("current of the new handle", &ok("current", B::current(&fresh).await)?, &None)?;
    swap::<B>(fresh, "2").await?;
    has(at, &key, "2").await
}

async fn recreated<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    let cas = ok("cas", at.bucket.cas(&key).await)?;
    ok("delete", at.bucket.delete(&key).await)?;
    ok("set", at.bucket.set(&key, b"1").await)?;
    stale::<B>(cas).await.map(drop)
}

async fn same_again<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1").await)?;
    let cas = ok("cas", at.bucket.cas(&key).await)?;
    ok("set", at.bucket.set(&key, b"2").await)?;
    ok("set", at.bucket.set(&key, b"1").await)?;
    stale::<B>(cas).await.map(drop)
}

async fn untouched<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    let cas = ok("cas", at.bucket.cas(&key).await)?;
    ok("set", at.bucket.set(&key, b"theirs").await)?;
    drop(stale::<B>(cas).await?);
    has(at, &key, "theirs").await?;
    holds("it is still the only key", at.own(ok("the list", at.bucket.keys().await)?) == [key])
}
