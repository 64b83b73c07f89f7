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

fn swap<B: Swaps>(cas: B::Cas, value: &str) -> Case {
    match B::swap(cas, value.as_bytes()) {
        Ok(()) => Ok(()),
        Err(Refused::Store(error)) => Err(format!("swap: expected ok, got {error}")),
        Err(Refused::Failed(_)) => Err("swap: expected ok, got cas-failed".to_owned()),
    }
}

/// The handle of a swap that must fail.
fn stale<B: Swaps>(cas: B::Cas) -> Result<B::Cas, String> {
    match B::swap(cas, b"stale") {
        Err(Refused::Failed(fresh)) => Ok(fresh),
        Err(Refused::Store(error)) => Err(format!("swap: expected cas-failed, got {error}")),
        Ok(()) => Err("swap: expected cas-failed, got ok".to_owned()),
    }
}

fn has<B: Swaps>(at: &Place<B>, key: &str, value: &str) -> Case {
    same("get", &text(ok("get", at.bucket.get(key))?), &some(value))
}

fn current<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    let absent = ok("cas", at.bucket.cas(&key))?;
    same("current of an absent key", &ok("current", B::current(&absent))?, &None)?;
    ok("set", at.bucket.set(&key, b"1"))?;
    let cas = ok("cas", at.bucket.cas(&key))?;
    same("current", &text(ok("current", B::current(&cas))?), &some("1"))?;
    same("current again", &text(ok("current", B::current(&cas))?), &some("1"))
}

fn swapped<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1"))?;
    swap::<B>(ok("cas", at.bucket.cas(&key))?, "2")?;
    has(at, &key, "2")
}

fn made<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    swap::<B>(ok("cas", at.bucket.cas(&key))?, "1")?;
    has(at, &key, "1")
}

fn changed<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1"))?;
    let cas = ok("cas", at.bucket.cas(&key))?;
    ok("set", at.bucket.set(&key, b"2"))?;
    let fresh = stale::<B>(cas)?;
    same("current of the new handle", &text(ok("current", B::current(&fresh))?), &some("2"))
}

fn refreshed<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1"))?;
    let cas = ok("cas", at.bucket.cas(&key))?;
    ok("set", at.bucket.set(&key, b"2"))?;
    swap::<B>(stale::<B>(cas)?, "3")?;
    has(at, &key, "3")
}

fn one_of_two<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    let (one, two) = (ok("cas", at.bucket.cas(&key))?, ok("cas", at.bucket.cas(&key))?);
    swap::<B>(one, "one")?;
    let fresh = stale::<B>(two)?;
    same("current of the new handle", &text(ok("current", B::current(&fresh))?), &some("one"))?;
    has(at, &key, "one")
}

fn deleted<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1"))?;
    let cas = ok("cas", at.bucket.cas(&key))?;
    ok("delete", at.bucket.delete(&key))?;
    let fresh = stale::<B>(cas)?;
    same("current of the new handle", &ok("current", B::current(&fresh))?, &None)?;
    swap::<B>(fresh, "2")?;
    has(at, &key, "2")
}

fn recreated<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1"))?;
    let cas = ok("cas", at.bucket.cas(&key))?;
    ok("delete", at.bucket.delete(&key))?;
    ok("set", at.bucket.set(&key, b"1"))?;
    stale::<B>(cas).map(drop)
}

fn same_again<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set", at.bucket.set(&key, b"1"))?;
    let cas = ok("cas", at.bucket.cas(&key))?;
    ok("set", at.bucket.set(&key, b"2"))?;
    ok("set", at.bucket.set(&key, b"1"))?;
    stale::<B>(cas).map(drop)
}

fn untouched<B: Swaps>(at: &Place<B>) -> Case {
    let key = at.key("k");
    let cas = ok("cas", at.bucket.cas(&key))?;
    ok("set", at.bucket.set(&key, b"theirs"))?;
    drop(stale::<B>(cas)?);
    has(at, &key, "theirs")?;
    holds("it is still the only key", at.own(ok("the list", at.bucket.keys())?) == [key])
}
