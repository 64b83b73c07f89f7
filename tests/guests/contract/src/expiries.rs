//! Expiry: when a record goes by itself, and that it has gone from every answer then.

use crate::stash::storage::collections::Collection;
use crate::stash::storage::store;
use crate::stash::storage::types::{Condition, Expiry, Item};
use crate::support::{
    Case, HOUR, Named, all, cases, check, cleared_default, expiring, fails, found, fresh, holds, item, keys_in, meets,
    now, ok, page, same, set, strings, usage, uses, wait_until, with,
};

pub(crate) const CASES: &[Named] = cases![
    records_expire_after_a_time_or_at_a_moment,
    a_moment_that_has_passed_removes_the_record,
    keep_stays_as_long_as_before,
    touch_and_persist_change_only_the_time,
    what_has_expired_is_nowhere,
    what_has_expired_can_be_made_anew,
    many_expire_each_at_its_time,
];

const PAST: Expiry = Expiry::At(1);

fn expires(records: &Collection, key: &str) -> Result<Option<u64>, String> {
    Ok(found(records.get_metadata(key))?.expires)
}

fn records_expire_after_a_time_or_at_a_moment() -> Case {
    let records = fresh("expiry-times")?;
    let before = now();
    ok(records.set("after", b"", Some(&with(expiring(Expiry::After(HOUR))))))?;
    let told = expires(&records, "after")?.unwrap_or_default();
    holds("it is an hour after the commit", (before + HOUR..=now() + HOUR).contains(&told))?;
    let moment = before + 2 * HOUR;
    ok(records.set("at", b"", Some(&with(expiring(Expiry::At(moment))))))?;
    same(expires(&records, "at")?, Some(moment))?;
    ok(records.set("never", b"", Some(&with(expiring(Expiry::Never)))))?;
    same(expires(&records, "never")?, None)?;
    // So far ahead that nobody sees it, and not by mistake in the past.
    ok(records.set("far", b"", Some(&with(expiring(Expiry::After(u64::MAX))))))?;
    holds("it is later than the others", expires(&records, "far")? > Some(moment))?;
    same(keys_in(&records, all())?, strings(&["after", "at", "far", "never"]))
}

fn a_moment_that_has_passed_removes_the_record() -> Case {
    let records = fresh("expiry-past")?;
    ok(records.set("new", b"", Some(&with(expiring(PAST)))))?;
    same(ok(records.exists("new"))?, false)?;
    for way in ["set", "touch", "after 0"] {
        ok(records.set("k", b"1", None))?;
        match way {
            "set" => drop(ok(records.set("k", b"2", Some(&with(expiring(PAST)))))?),
            "touch" => drop(ok(records.touch("k", PAST))?),
            _ => drop(ok(records.touch("k", Expiry::After(0)))?),
        }
        same(ok(records.get("k"))?, None).map_err(|error| format!("{way}: {error}"))?;
    }
    same(ok(records.count(&all()))?, 0)
}

fn keep_stays_as_long_as_before() -> Case {
    let records = fresh("expiry-keep")?;
    let keep = with(expiring(Expiry::Keep));
    ok(records.set("k", b"1", Some(&with(expiring(Expiry::After(HOUR))))))?;
    let moment = expires(&records, "k")?;
    ok(records.set("k", b"2", Some(&keep)))?;
    let entry = found(records.get_entry("k"))?;
    same((entry.value.as_slice(), entry.metadata.expires), (&b"2"[..], moment))?;
    ok(records.touch("k", Expiry::Keep))?;
    same(expires(&records, "k")?, moment)?;
    ok(records.increment("n", 1))?;
    ok(records.set("n", b"2", Some(&keep)))?;
    same(expires(&records, "n")?, None)?;
    ok(records.set("new", b"", Some(&keep)))?;
    same(expires(&records, "new")?, None)
}

fn touch_and_persist_change_only_the_time() -> Case {
    let records = fresh("expiry-touch")?;
    let first = ok(records.set("k", b"value", None))?;
    let old = found(records.get_metadata("k"))?;
    let moment = now() + HOUR;
    let touched = ok(records.touch("k", Expiry::At(moment)))?;
    let entry = found(records.get_entry("k"))?;
    same((entry.value.as_slice(), entry.metadata.expires), (&b"value"[..], Some(moment)))?;
    same((entry.metadata.version, entry.metadata.created), (touched, old.created))?;
    holds("versions grow", touched > first)?;
    ok(records.touch("k", Expiry::After(2 * HOUR)))?;
    holds("it stays longer", expires(&records, "k")? > Some(moment))?;
    ok(records.persist("k"))?;
    same(expires(&records, "k")?, None)?;
    fails(records.touch("x", Expiry::After(HOUR)), "not-found: no record with the key 'x'")?;
    fails(records.persist("x"), "not-found: no record with the key 'x'")?;
    same(ok(records.exists("x"))?, false)
}

fn what_has_expired_is_nowhere() -> Case {
    let records = fresh("expiry-nowhere")?;
    let default = cleared_default("expiry/")?;
    let before = usage()?;
    ok(records.set("stays", b"1", Some(&with(expiring(Expiry::After(HOUR))))))?;
    let brief = with(expiring(Expiry::After(1)));
    let version = ok(records.set("k", b"brief", Some(&brief)))?;
    ok(default.set("expiry/k", b"brief", Some(&brief)))?;
    wait_until(now() + 1);
    same(ok(records.get("k"))?, None)?;
    same(ok(records.get_entry("k"))?, None)?;
    same(ok(records.get_metadata("k"))?, None)?;
    same(ok(records.exists("k"))?, false)?;
    same(ok(records.get_many(&strings(&["k", "stays"])))?, vec![None, Some(b"1".to_vec())])?;
    same(ok(records.get_entries(&strings(&["k"])))?, vec![None])?;
    same(keys_in(&records, all())?, strings(&["stays"]))?;
    same(ok(records.list_entries(&page(all())))?.entries.len(), 1)?;
    same(ok(records.count(&all()))?, 1)?;
    same(ok(store::get("expiry/k"))?, None)?;
    same(ok(store::exists("expiry/k"))?, false)?;
    same(ok(store::list_keys("expiry/"))?, Vec::<String>::new())?;
    uses(before, 6, 1)?;
    // Changes find nothing either.
    fails(records.touch("k", Expiry::Never), "not-found: no record with the key 'k'")?;
    fails(records.persist("k"), "not-found: no record with the key 'k'")?;
    meets(records.delete("k", Some(Condition::Version(version))), "k", version, None)?;
    same(ok(records.delete("k", None))?, false)?;
    same(ok(records.clear("k"))?.removed, 0)?;
    uses(before, 6, 1)
}

fn what_has_expired_can_be_made_anew() -> Case {
    let records = fresh("expiry-anew")?;
    let brief = |key: &str| Item { options: Some(expiring(Expiry::After(1))), ..item(key, b"7") };
    let keys = ["absent", "many", "n", "keep"];
    ok(records.set_many(&keys.map(brief), true))?;
    let wait = now() + 1;
    wait_until(wait);
    ok(records.commit(&[check("absent", Condition::Absent)], &[set("absent", b"new")]))?;
    same(ok(records.set_many(&[item("many", b"new")], false))?, vec![false])?;
    same(ok(records.increment("n", 1))?, 1)?;
    ok(records.set("keep", b"new", Some(&with(expiring(Expiry::Keep)))))?;
    for key in keys {
        let metadata = found(records.get_metadata(key))?;
        same(metadata.expires, None)?;
        holds("it was made anew", metadata.created >= Some(wait))?;
    }
    Ok(())
}

fn many_expire_each_at_its_time() -> Case {
    let records = fresh("expiry-many")?;
    let before = usage()?;
    let times = [Expiry::After(1), Expiry::After(HOUR), Expiry::Never, Expiry::After(2), PAST];
    let all_items: Vec<Item> = times
        .into_iter()
        .cycle()
        .enumerate()
        .take(500)
        .map(|(n, expires)| Item { options: Some(expiring(expires)), ..item(&format!("{n:03}"), b"v") })
        .collect();
    ok(records.set_many(&all_items, true))?;
    wait_until(now() + 2);
    same(ok(records.count(&all()))?, 200)?;
    let kept: Vec<String> = (0..500).filter(|n| matches!(n % 5, 1 | 2)).map(|n| format!("{n:03}")).collect();
    same(keys_in(&records, all())?, kept)?;
    uses(before, 200 * 4, 200)
}
