//! A guest that asks for too much. Each answer is an error that it can go on from.

use crate::Told;
use crate::fermyon::spin::key_value;
use crate::shapes::{number, ok};
use crate::wasi::keyvalue0_2_0_draft::store as store1;
use crate::wasi::keyvalue0_2_0_draft2::{atomics, batch, store};

const MIB: usize = 1024 * 1024;

/// An error's text.
fn other<T>(answer: Result<T, store::Error>) -> String {
    match answer {
        Ok(_) => "ok".to_owned(),
        Err(store::Error::Other(text)) => text,
        Err(error) => format!("{error:?}"),
    }
}

/// Every call that returns data, where each answer is larger than `bytes`.
pub(crate) fn over_the_cap(bytes: &str) -> Told {
    let bytes: usize = number(bytes)?;
    let (bucket, spin) = (ok(store::open("cap"))?, ok(key_value::Store::open("cap"))?);
    let draft = ok(store1::open("cap"))?;
    ok(bucket.set("fits", &vec![1; bytes]))?;
    ok(bucket.get("fits"))?;
    ok(bucket.set("large", &vec![1; bytes + 1]))?;
    let mut told = vec![
        other(bucket.get("large")),
        other(batch::get_many(&bucket, &["large".to_owned()])),
        other(batch::get_many(&bucket, &["fits".to_owned(), "fits".to_owned()])),
        match spin.get("large") {
            Err(key_value::Error::Other(text)) => text,
            answer => format!("{answer:?}"),
        },
        match draft.get("large") {
            Err(store1::Error::Other(text)) => text,
            answer => format!("{answer:?}"),
        },
        other(atomics::Cas::new(&bucket, "large").and_then(|cas| cas.current())),
    ];
    let keys: Vec<_> = (0..=bytes / 1000).map(|n| (format!("{n:01000}"), Vec::new())).collect();
    for keys in keys.chunks(1000) {
        ok(batch::set_many(&bucket, keys))?;
    }
    told.push(match spin.get_keys() {
        Err(key_value::Error::Other(text)) => text,
        answer => format!("{answer:?}"),
    });
    told.dedup();
    Ok(told.join("; "))
}

/// Lists keys whose list is larger than `bytes`: how many came on the first page, and in all.
pub(crate) fn long_list(bytes: &str) -> Told {
    let bytes: usize = number(bytes)?;
    let (bucket, draft) = (ok(store::open("long"))?, ok(store1::open("long"))?);
    let keys: Vec<_> = (0..bytes / 50).map(|n| (format!("{n:0100}"), Vec::new())).collect();
    for keys in keys.chunks(1000) {
        ok(batch::set_many(&bucket, keys))?;
    }
    let first = ok(bucket.list_keys(None))?;
    let (mut all, mut cursor, count) = (first.keys, first.cursor, ok(draft.list_keys(None))?.keys.len());
    if all.len() != count {
        return Err(format!("{} keys in one shape and {count} in another", all.len()));
    }
    while cursor.is_some() {
        let page = ok(bucket.list_keys(cursor.as_deref()))?;
        all.extend(page.keys);
        cursor = page.cursor;
    }
    let whole = all.iter().eq(keys.iter().map(|(key, _)| key));
    Ok(format!("{count} keys first, {} in all, whole: {whole}", all.len()))
}

/// Opens buckets until there is no room for another, and goes on.
pub(crate) fn handles() -> Told {
    let mut open = Vec::new();
    let full = loop {
        match store::open("default") {
            Ok(bucket) => open.push(bucket),
            Err(error) => break other::<()>(Err(error)),
        }
        if open.len() > 20_000 {
            return Err("there is no end to it".to_owned());
        }
    };
    let spin = format!("{:?}", key_value::Store::open("default").err());
    let fresh = other(store::open("a name without a handle"));
    let Some(last) = open.pop() else { return Err("not even one".to_owned()) };
    ok(last.set("k", b"1"))?;
    // A failed swap needs no more room than its handle had.
    drop(open.pop());
    let cas = ok(atomics::Cas::new(&last, "k"))?;
    ok(last.set("k", b"2"))?;
    match atomics::swap(cas, b"3") {
        Err(atomics::CasError::CasFailed(fresh)) => ok(atomics::swap(fresh, b"3"))?,
        answer => return Err(format!("a failed swap answered {answer:?}")),
    }
    let made = ok(crate::stash::storage::collections::list(None))?.len();
    Ok(format!("{} {full}; {spin}; {fresh}; {made} collections", open.len() + 2))
}

/// Opens more names than a component may have collections.
pub(crate) fn names() -> Told {
    let long = other(store::open(&"n".repeat(10 * MIB)));
    for n in 0..1000 {
        ok(store::open(&format!("name-{n}")))?;
    }
    let one_more = other(store::open("one more"));
    ok(ok(store::open("name-7"))?.set("k", b"1"))?;
    Ok(format!("{long}; {one_more}"))
}

/// Keys that are too long, or none.
pub(crate) fn keys() -> Told {
    let bucket = ok(store::open("default"))?;
    let (long, huge) = ("k".repeat(3000), "k".repeat(10 * MIB));
    let told = [
        other(bucket.get(&long)),
        other(bucket.set(&long, b"")),
        other(bucket.delete(&long)),
        other(bucket.exists(&huge)),
        other(atomics::increment(&bucket, &huge, 1)),
        other(atomics::Cas::new(&bucket, &huge)),
        other(batch::get_many(&bucket, &["k".to_owned(), long.clone()])),
        other(batch::set_many(&bucket, &[("k".to_owned(), b"1".to_vec()), (long.clone(), Vec::new())])),
        other(batch::delete_many(&bucket, &["k".to_owned(), long])),
        other(bucket.get("")),
        other(bucket.set("", b"")),
    ];
    Ok(told.map(|text| text.chars().take(60).collect::<String>()).join("\n"))
}

/// More keys in one call than there may be.
pub(crate) fn batches() -> Told {
    let bucket = ok(store::open("default"))?;
    let keys: Vec<String> = (0..100_000).map(|n| n.to_string()).collect();
    let items: Vec<_> = keys.iter().take(10_001).map(|key| (key.clone(), b"1".to_vec())).collect();
    let told = [
        other(batch::get_many(&bucket, &keys)),
        other(batch::set_many(&bucket, &items)),
        other(batch::delete_many(&bucket, &keys)),
    ];
    if ok(bucket.exists("0"))? {
        return Err("set-many stored some".to_owned());
    }
    Ok(told.join("\n"))
}

/// Makes handles on values that are gone since, of so many bytes in all. They are the host's to keep.
pub(crate) fn hoard(bytes: &str) -> Told {
    let bucket = ok(store::open("default"))?;
    let mut handles = Vec::new();
    for n in 0..number::<usize>(bytes)? / MIB {
        ok(bucket.set("k", &vec![n.to_le_bytes()[0]; MIB]))?;
        handles.push(ok(atomics::Cas::new(&bucket, "k"))?);
    }
    let (count, kept) = (handles.len(), handles.iter().filter(|cas| cas.current().is_ok()).count());
    let Some(last) = handles.pop() else { return Err("not even one".to_owned()) };
    ok(atomics::swap(last, b"swapped"))?;
    Ok(format!("{count} handles, {kept} with their values; the last one swapped"))
}
