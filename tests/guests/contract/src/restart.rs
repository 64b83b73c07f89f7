//! What a restart must not change: one case writes, another checks in a later process.

use crate::stash::storage::capabilities;
use crate::stash::storage::collections::{self, Settings};
use crate::stash::storage::store;
use crate::stash::storage::types::{Condition, Expiry, SetOptions};
use crate::support::{
    Case, HOUR, all, bare, expiring, fails, found, fresh_with, gone, holds, keeping, keys_in, meets, now, ok, pairs,
    same, strings, usage, wait_until, wipe, with,
};

const NAME: &str = "restart/kept";

fn settings() -> Settings {
    Settings { attributes: pairs(&[("of", "the collection")]), ..keeping(Some(3), None) }
}

pub(crate) fn write() -> Case {
    wipe()?;
    let records = fresh_with(NAME, &settings())?;
    gone("restart/gone")?;
    let deleted = ok(collections::create("restart/gone", &keeping(None, None)))?;
    ok(deleted.set("k", b"1", None))?;
    ok(collections::delete("restart/gone", true))?;

    let options = SetOptions {
        expires: Expiry::After(HOUR),
        content_type: Some("text/plain".to_owned()),
        attributes: pairs(&[("a", "1"), ("b", "")]),
    };
    ok(records.set("entry", b"value", Some(&with(options))))?;
    for value in [&b"1"[..], b"2", b"3", b"4"] {
        ok(records.set("old", value, None))?;
    }
    ok(records.set("deleted", b"1", None))?;
    ok(records.delete("deleted", None))?;
    // Long enough that the first process has ended, so that the second finds a record and sees it go.
    let moment = now() + 500;
    ok(records.set("brief", b"1", Some(&with(expiring(Expiry::At(moment))))))?;
    same(ok(store::increment("number", 41))?, 41)?;
    ok(store::set("simple", b"\0\xff"))?;
    // What was told, for the other process to compare.
    let entry = found(records.get_entry("entry"))?;
    let times = [entry.metadata.created.unwrap_or_default(), entry.metadata.expires.unwrap_or_default()];
    let numbers = [entry.metadata.version].into_iter().chain(times);
    let created = ok(collections::info(NAME))?.created.unwrap_or_default();
    let last = ok(capabilities::status())?.version;
    let told: Vec<String> = numbers.chain([created, last, moment]).map(|n| n.to_string()).collect();
    ok(store::set("told", told.join(" ").as_bytes()))?;
    ok(records.set("last", b"", Some(&with(bare())))).map(drop)
}

pub(crate) fn check_all() -> Case {
    let records = ok(collections::open(NAME))?;
    let told = found(store::get("told"))?;
    let told: Vec<u64> = String::from_utf8_lossy(&told).split(' ').filter_map(|n| n.parse().ok()).collect();
    let [version, created, expires, made, last, moment] = told.as_slice() else {
        return Err(format!("expected six numbers in 'told', but there are {told:?}"));
    };
    let info = ok(collections::info(NAME))?;
    same((info.created, info.settings), (Some(*made), settings()))?;
    same(ok(collections::list(None))?.len(), 1)?;
    fails(collections::open("restart/gone"), "not-found: no collection with the name 'restart/gone'")?;

    let entry = found(records.get_entry("entry"))?;
    same(entry.value.as_slice(), &b"value"[..])?;
    same((entry.metadata.version, entry.metadata.created), (*version, Some(*created)))?;
    same((entry.metadata.updated, entry.metadata.expires), (Some(*created), Some(*expires)))?;
    same(entry.metadata.content_type.as_deref(), Some("text/plain"))?;
    same(entry.metadata.attributes, pairs(&[("a", "1"), ("b", "")]))?;
    meets(records.delete("entry", Some(Condition::Version(1))), "entry", 1, Some(*version))?;

    let versions = ok(records.list_versions("old", None, 10))?;
    let values: Vec<_> = versions
        .versions
        .iter()
        .filter_map(|version| version.entry.as_ref().map(|entry| entry.value.clone()))
        .collect();
    same(
        (values, versions.more, versions.forgotten),
        (vec![b"4".to_vec(), b"3".to_vec(), b"2".to_vec()], false, true),
    )?;
    let deletion = ok(records.list_versions("deleted", None, 10))?.versions;
    same(deletion.iter().map(|version| version.entry.is_some()).collect::<Vec<_>>(), vec![false, true])?;

    wait_until(*moment);
    same(ok(records.get("brief"))?, None)?;
    same(keys_in(&records, all())?, strings(&["entry", "last", "old"]))?;
    same(ok(store::list_keys(""))?, strings(&["number", "simple", "told"]))?;
    same(ok(store::get("simple"))?, Some(vec![0, 0xff]))?;
    // Numbers and versions go on where they were.
    let before = usage()?;
    same(ok(store::increment("number", 1))?, 42)?;
    same(usage()?, before)?;
    holds("versions grow on", ok(records.set("entry", b"new", Some(&with(bare()))))? > *last)?;
    same(ok(store::increment("number", -1))?, 41)
}
