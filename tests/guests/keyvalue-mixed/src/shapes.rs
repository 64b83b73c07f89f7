//! What one interface stores, as the others see it.

use std::fmt::Debug;

use crate::Told;
use crate::fermyon::spin::key_value;
use crate::stash::storage::{collections, store as stash};
use crate::wasi::config0_2_0_draft::{runtime as config_runtime, store as config_first};
use crate::wasi::config0_2_0_draft_2024_09_27::store as config_draft;
use crate::wasi::config0_2_0_rc_1::store as config_rc1;
use crate::wasi::keyvalue0_2_0_draft::{atomics as atomics1, batch as batch1, store as store1};
use crate::wasi::keyvalue0_2_0_draft2::{atomics, batch, store};
use crate::wasi::logging::logging;

/// The answer of a call that must not fail.
pub(crate) fn ok<T, E: Debug>(answer: Result<T, E>) -> Result<T, String> {
    answer.map_err(|error| format!("{error:?}"))
}

pub(crate) fn number<T: std::str::FromStr>(text: &str) -> Result<T, String> {
    text.parse().map_err(|_| format!("'{text}' is no number"))
}

/// Each interface sets a key, and all see the values of all: in the default collection, and in one with a name.
pub(crate) fn same_data() -> Told {
    let mut seen = Vec::new();
    for bucket in ["default", "orders/2026"] {
        let one = ok(store1::open(bucket))?;
        let two = ok(store::open(bucket))?;
        let spin = ok(key_value::Store::open(bucket))?;
        let own = match bucket {
            "default" => ok(collections::open(""))?,
            name => ok(collections::open(name))?,
        };
        ok(own.set("a", b"stash", None))?;
        ok(one.set("b", b"draft"))?;
        ok(two.set("c", b"draft2"))?;
        ok(spin.set("d", b"spin"))?;
        ok(batch1::set_many(&one, &[("n".to_owned(), b"40".to_vec())]))?;
        ok(atomics1::increment(&one, "n", 1))?;
        ok(atomics::increment(&two, "n", 1))?;
        for key in ["a", "b", "c", "d", "n"] {
            let values = [
                ok(own.get(key))?,
                ok(one.get(key))?,
                ok(two.get(key))?,
                ok(spin.get(key))?,
                ok(batch::get_many(&two, &[key.to_owned()]))?.pop().flatten().map(|(_, value)| value),
            ];
            let [first, rest @ ..] = &values;
            if rest.iter().any(|value| value != first) {
                return Err(format!("{bucket}/{key}: {values:?}"));
            }
            seen.push(format!("{key}={}", String::from_utf8_lossy(first.as_deref().unwrap_or_default())));
        }
        let keys = ok(spin.get_keys())?;
        if keys != ok(one.list_keys(None))?.keys || keys != ok(two.list_keys(None))?.keys {
            return Err(format!("{bucket}: the lists differ from {keys:?}"));
        }
        ok(spin.delete("d"))?;
        if ok(own.exists("d"))? || ok(one.exists("d"))? || ok(two.exists("d"))? {
            return Err(format!("{bucket}: what one deleted another sees"));
        }
    }
    // The plain interface is on the default collection.
    seen.push(format!("{:?}", ok(stash::get("n"))?.map(String::from_utf8)));
    Ok(seen.join(" "))
}

pub(crate) fn get(bucket: &str, key: &str) -> Told {
    Ok(format!("{:?}", ok(ok(store::open(bucket))?.get(key))?.map(String::from_utf8)))
}

pub(crate) fn add(bucket: &str, times: &str) -> Told {
    let bucket = ok(store::open(bucket))?;
    let mut sum = 0;
    for _ in 0..number::<u32>(times)? {
        sum = ok(atomics::increment(&bucket, "sum", 1))?;
    }
    Ok(sum.to_string())
}

/// Takes a key for itself if nobody has it.
pub(crate) fn swap_absent(key: &str, value: &str) -> Told {
    let bucket = ok(store::open("default"))?;
    let cas = ok(atomics::Cas::new(&bucket, key))?;
    if ok(cas.current())?.is_some() {
        return Ok("lost".to_owned());
    }
    match atomics::swap(cas, value.as_bytes()) {
        Ok(()) => Ok("won".to_owned()),
        Err(atomics::CasError::CasFailed(fresh)) if ok(fresh.current())?.is_some() => Ok("lost".to_owned()),
        Err(error) => Err(format!("{error:?}")),
    }
}

pub(crate) fn fill(bucket: &str, count: &str) -> Told {
    let bucket = ok(store::open(bucket))?;
    let keys: Vec<u32> = (0..number(count)?).collect();
    for keys in keys.chunks(1000) {
        let items: Vec<_> = keys.iter().map(|n| (format!("k{n:06}"), Vec::new())).collect();
        ok(batch::set_many(&bucket, &items))?;
    }
    Ok(String::new())
}

/// How many keys a page has, the first of them, and the cursor.
fn page<C: ToString>(keys: &[String], cursor: Option<C>) -> String {
    let first = keys.first().map_or("-", String::as_str);
    format!("{} {first} {}", keys.len(), cursor.map_or("-".to_owned(), |cursor| cursor.to_string()))
}

pub(crate) fn numbered(bucket: &str, cursor: Option<&str>) -> Told {
    let cursor = cursor.map(number).transpose()?;
    let response = ok(ok(store1::open(bucket))?.list_keys(cursor))?;
    Ok(page(&response.keys, response.cursor))
}

pub(crate) fn paged(bucket: &str, cursor: Option<&str>) -> Told {
    let response = ok(ok(store::open(bucket))?.list_keys(cursor))?;
    Ok(page(&response.keys, response.cursor))
}

/// A bucket whose collection is deleted while it is open.
pub(crate) fn deleted_collection() -> Told {
    let bucket = ok(store::open("short-lived"))?;
    ok(bucket.set("k", b"1"))?;
    ok(collections::delete("short-lived", true))?;
    let seen = (bucket.get("k"), bucket.set("k", b"2"), atomics::increment(&bucket, "n", 1));
    let again = ok(ok(store::open("short-lived"))?.get("k"))?;
    Ok(format!("{:?} {:?} {:?} {again:?}", seen.0, seen.1, seen.2))
}

pub(crate) fn config(key: &str) -> Told {
    let (rc1, draft) = (ok(config_rc1::get(key))?, ok(config_draft::get(key))?);
    let (first, runtime) = (ok(config_first::get(key))?, ok(config_runtime::get(key))?);
    let all = ok(config_rc1::get_all())?;
    let others = [ok(config_draft::get_all())?, ok(config_first::get_all())?, ok(config_runtime::get_all())?];
    let same = (&first, &runtime) == (&rc1, &rc1) && others.iter().all(|other| *other == all);
    Ok(format!("{rc1:?} {draft:?} {all:?} {same}"))
}

pub(crate) fn log(context: &str, message: &str) -> String {
    for level in [logging::Level::Debug, logging::Level::Warn, logging::Level::Critical] {
        logging::log(level, context, message);
    }
    "logged".to_owned()
}
