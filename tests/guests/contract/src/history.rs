//! History: earlier versions, as far as a collection keeps them.

use crate::stash::storage::collections::{self, Collection};
use crate::stash::storage::types::{Change, Expiry, SetOptions};
use crate::support::{
    Case, HOUR, Named, add, bare, cases, fails, found, fresh, fresh_with, holds, keeping, now, ok, pairs, plain, same,
    set, some, there, wait_until, with,
};

pub(crate) const CASES: &[Named] = cases![
    the_last_three_versions_are_kept,
    a_version_is_the_record_as_it_was,
    every_kind_of_change_makes_a_version,
    a_deletion_is_a_version,
    versions_come_in_pages,
    each_key_has_a_history_of_its_own,
    what_is_older_than_its_age_is_forgotten,
    without_retention_only_the_present_is_known,
    retention_can_be_changed,
    one_commit_is_one_version,
];

/// Versions and values of a key, the newest first, and whether there are more or were others.
type Told = (Vec<(u64, Option<String>)>, bool, bool);

fn told(records: &Collection, key: &str, at_most: Option<u64>, limit: u32) -> Result<Told, String> {
    let found = ok(records.list_versions(key, at_most, limit))?;
    let text = |value: &[u8]| String::from_utf8_lossy(value).into_owned();
    let versions =
        found.versions.iter().map(|version| (version.version, version.entry.as_ref().map(|entry| text(&entry.value))));
    Ok((versions.collect(), found.more, found.forgotten))
}

fn at(records: &Collection, key: &str, version: u64) -> Result<Option<String>, String> {
    let entry = ok(records.get_at(key, version))?;
    Ok(entry.map(|entry| String::from_utf8_lossy(&entry.value).into_owned()))
}

fn forgotten(key: &str, version: u64) -> String {
    format!(
        "version-forgotten: version {version} of '{key}' is no longer kept, or never was: see the collection's settings"
    )
}

fn the_last_three_versions_are_kept() -> Case {
    let records = fresh_with("history-three", &keeping(Some(3), None))?;
    let before = ok(records.set("other", b"", None))?;
    let one = ok(records.set("k", b"1", None))?;
    let two = ok(records.set("k", b"2", None))?;
    same(told(&records, "k", None, 10)?, (vec![(two, some("2")), (one, some("1"))], false, false))?;
    // There was nothing before its first version, and that is known.
    same(at(&records, "k", before)?, None)?;
    same(at(&records, "k", 0)?, None)?;
    same(at(&records, "never", two)?, None)?;
    let three = ok(records.set("k", b"3", None))?;
    ok(records.set("other", b"", None))?;
    let four = ok(records.set("k", b"4", None))?;
    let five = ok(records.set("k", b"5", None))?;
    let kept = vec![(five, some("5")), (four, some("4")), (three, some("3"))];
    same(told(&records, "k", None, 10)?, (kept, false, true))?;
    for (version, value) in [(three, "3"), (three + 1, "3"), (four, "4"), (five, "5"), (five + 9, "5"), (u64::MAX, "5")]
    {
        same(at(&records, "k", version)?, some(value))?;
    }
    for version in [two, one, before, 0] {
        fails(records.get_at("k", version), &forgotten("k", version))?;
    }
    same(told(&records, "never", None, 10)?, (Vec::new(), false, false))
}

fn a_version_is_the_record_as_it_was() -> Case {
    let records = fresh_with("history-record", &keeping(Some(3), None))?;
    let options = SetOptions { content_type: some("text/plain"), attributes: pairs(&[("a", "1")]), ..bare() };
    ok(records.set("k", b"1", Some(&with(options))))?;
    let then = found(records.get_entry("k"))?;
    ok(records.set("k", b"2", None))?;
    same(found(records.get_at("k", then.metadata.version))?, then.clone())?;
    let versions = ok(records.list_versions("k", None, 10))?.versions;
    let now = found(records.get_entry("k"))?;
    let entries: Vec<_> = versions.into_iter().filter_map(|version| version.entry).collect();
    same(entries, vec![now, then])
}

fn every_kind_of_change_makes_a_version() -> Case {
    let records = fresh_with("history-kinds", &keeping(Some(10), None))?;
    let mut versions = vec![ok(records.set("n", b"1", None))?];
    ok(records.increment("n", 1))?;
    versions.push(found(records.get_metadata("n"))?.version);
    versions.push(ok(records.touch("n", Expiry::After(HOUR)))?);
    versions.push(ok(records.commit(&[], &[Change::Append(("n".to_owned(), b"0".to_vec()))]))?.version);
    versions.push(ok(records.set("n", b"3", None))?);
    let mut expected: Vec<_> = versions.into_iter().zip(["1", "2", "2", "20", "3"].map(some)).collect();
    expected.reverse();
    same(told(&records, "n", None, 10)?, (expected, false, false))
}

fn a_deletion_is_a_version() -> Case {
    let records = fresh_with("history-deletion", &keeping(Some(3), None))?;
    let one = ok(records.set("k", b"1", None))?;
    same(ok(records.delete("k", None))?, true)?;
    let gone = ok(records.list_versions("k", None, 10))?;
    let deletion = there(gone.versions.first().cloned())?;
    holds("the deletion is the newest", deletion.version > one)?;
    same(deletion.entry, None)?;
    same(told(&records, "k", None, 10)?, (vec![(deletion.version, None), (one, some("1"))], false, false))?;
    same((at(&records, "k", one)?, at(&records, "k", deletion.version)?), (some("1"), None))?;
    same(at(&records, "k", u64::MAX)?, None)?;
    let two = ok(records.set("k", b"2", None))?;
    let expected = vec![(two, some("2")), (deletion.version, None), (one, some("1"))];
    same(told(&records, "k", None, 10)?, (expected, false, false))?;
    same((at(&records, "k", two - 1)?, at(&records, "k", two)?), (None, some("2")))?;
    // Deleting nothing is no version.
    same(ok(records.delete("never", None))?, false)?;
    same(told(&records, "never", None, 10)?, (Vec::new(), false, false))?;
    // It does not count among those that are kept.
    let three = ok(records.set("k", b"3", None))?;
    same((told(&records, "k", None, 10)?.2, at(&records, "k", one)?), (false, some("1")))?;
    let four = ok(records.set("k", b"4", None))?;
    same(told(&records, "k", None, 10)?.2, true)?;
    fails(records.get_at("k", one), &forgotten("k", one))?;
    same((at(&records, "k", three)?, at(&records, "k", four)?), (some("3"), some("4")))
}

fn versions_come_in_pages() -> Case {
    let records = fresh_with("history-pages", &keeping(Some(50), None))?;
    let mut versions = Vec::new();
    for n in 0..20 {
        versions.push((ok(records.set("k", n.to_string().as_bytes(), None))?, Some(n.to_string())));
    }
    versions.reverse();
    let (mut found, mut at_most) = (Vec::new(), None);
    loop {
        let (page, more, forgotten) = told(&records, "k", at_most, 3)?;
        same(forgotten, false)?;
        holds("a page has what is asked for while there is more", page.len() == 3 || !more)?;
        at_most = page.last().map(|(version, _)| version - 1);
        found.extend(page);
        if !more {
            break;
        }
    }
    same(found, versions.clone())?;
    let from = versions.get(5).map(|(version, _)| *version);
    let (page, more, _) = told(&records, "k", from, 2)?;
    same((page, more), (versions.into_iter().skip(5).take(2).collect(), true))
}

fn each_key_has_a_history_of_its_own() -> Case {
    let records = fresh_with("history-keys", &keeping(Some(3), None))?;
    let keys = ["k", "kk", "k\0", "k/1"];
    let mut expected = Vec::new();
    for key in keys {
        let first = ok(records.set(key, b"1", None))?;
        expected.push((key, first));
    }
    for (key, first) in expected {
        let second = ok(records.set(key, key.as_bytes(), None))?;
        same(told(&records, key, None, 10)?, (vec![(second, some(key)), (first, some("1"))], false, false))?;
    }
    Ok(())
}

fn what_is_older_than_its_age_is_forgotten() -> Case {
    let records = fresh_with("history-age", &keeping(None, Some(HOUR)))?;
    let one = ok(records.set("k", b"1", None))?;
    let two = ok(records.set("k", b"2", None))?;
    same(told(&records, "k", None, 10)?, (vec![(two, some("2")), (one, some("1"))], false, false))?;
    ok(collections::configure("history-age", &keeping(None, Some(1))))?;
    wait_until(now() + 1);
    // The present version stays, however old it is.
    same(told(&records, "k", None, 10)?, (vec![(two, some("2"))], false, true))?;
    same(at(&records, "k", two)?, some("2"))?;
    fails(records.get_at("k", one), &forgotten("k", one))
}

fn without_retention_only_the_present_is_known() -> Case {
    for settings in [plain(), keeping(Some(1), None)] {
        let records = fresh_with("history-none", &settings)?;
        let one = ok(records.set("k", b"1", None))?;
        let two = ok(records.set("k", b"2", None))?;
        same(told(&records, "k", None, 10)?.0, vec![(two, some("2"))])?;
        same(at(&records, "k", two)?, some("2"))?;
        fails(records.get_at("k", one), &forgotten("k", one))?;
        same(at(&records, "never", two)?, None)?;
        fails(records.get_at("never", one), &forgotten("never", one))?;
        fails(records.list_versions("k", None, 0), "invalid-argument: invalid argument: a limit is at least 1")?;
    }
    Ok(())
}

fn retention_can_be_changed() -> Case {
    let records = fresh("history-changed")?;
    let one = ok(records.set("k", b"1", None))?;
    ok(collections::configure("history-changed", &keeping(Some(3), None)))?;
    let two = ok(records.set("k", b"2", None))?;
    let three = ok(records.set("k", b"3", None))?;
    same((at(&records, "k", one)?, at(&records, "k", two)?), (some("1"), some("2")))?;
    ok(collections::configure("history-changed", &keeping(Some(2), None)))?;
    same(told(&records, "k", None, 10)?, (vec![(three, some("3")), (two, some("2"))], false, true))?;
    fails(records.get_at("k", one), &forgotten("k", one))?;
    ok(collections::configure("history-changed", &plain()))?;
    same(told(&records, "k", None, 10)?.0, vec![(three, some("3"))])?;
    fails(records.get_at("k", two), &forgotten("k", two))
}

fn one_commit_is_one_version() -> Case {
    let records = fresh_with("history-commit", &keeping(Some(5), None))?;
    let changes = [set("k", b"1"), add("k", 1), add("k", 1)];
    let version = ok(records.commit(&[], &changes))?.version;
    same(told(&records, "k", None, 10)?, (vec![(version, some("3"))], false, false))?;
    // Nothing is left of what a commit has made and deleted again.
    ok(records.commit(&[], &[set("x", b""), Change::Delete("x".to_owned())]))?;
    same(told(&records, "x", None, 10)?.0, Vec::new())
}
