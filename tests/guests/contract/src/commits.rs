//! Commits: checks and changes of every kind, all or nothing, as one version.

use crate::stash::storage::capabilities;
use crate::stash::storage::types::{
    Change, Condition, Expiry, Item, MergedMetadata, MetadataChange, NewMetadata, Outcome, SetOptions,
};
use crate::support::{
    Case, HOUR, Named, add, all, bare, cases, check, fails, found, fresh, holds, item, keys_in, meets, now, numbered,
    ok, pairs, same, set, strings,
};

pub(crate) const CASES: &[Named] = cases![
    every_kind_of_change_in_one_commit,
    changes_see_those_before_them,
    checks_are_about_the_state_before,
    a_check_that_fails_stops_all,
    a_change_that_fails_stops_all,
    what_changes_nothing_is_no_commit,
    a_commit_has_at_most_ten_thousand_items,
    minimum_and_maximum_and_append,
];

const DONE: Outcome = Outcome { existed: true, number: None };
const NEW: Outcome = Outcome { existed: false, number: None };

fn every_kind_of_change_in_one_commit() -> Case {
    let records = fresh("commits-all")?;
    let options = SetOptions { content_type: Some("text/plain".to_owned()), ..bare() };
    let keys = strings(&["old", "gone", "text", "brief", "typed"]);
    ok(records.set_many(&keys.iter().map(|key| item(key, b"v")).collect::<Vec<_>>(), true))?;
    ok(records.set("least", b"5", None))?;
    ok(records.set("most", b"5", None))?;
    let first = ok(records.set("n", b"40", None))?;
    let before = now();
    let changes = [
        Change::Set(Item { options: Some(options), ..item("new", b"1") }),
        set("old", b"2"),
        Change::Delete("gone".to_owned()),
        Change::Delete("never".to_owned()),
        add("n", 2),
        Change::Min(("least".to_owned(), 3)),
        Change::Max(("most".to_owned(), 9)),
        Change::Append(("text".to_owned(), b"w".to_vec())),
        Change::Expire(("brief".to_owned(), Expiry::After(HOUR))),
        Change::SetMetadata((
            "typed".to_owned(),
            MetadataChange::Merge(MergedMetadata {
                content_type: Some("a/b".to_owned()),
                attributes: vec![("x".to_owned(), Some("y".to_owned()))],
            }),
        )),
    ];
    let checks = [
        check("new", Condition::Absent),
        check("old", Condition::Present),
        check("n", Condition::Version(first)),
        check("unrelated", Condition::Absent),
    ];
    let committed = ok(records.commit(&checks, &changes))?;
    let number = |number| Outcome { existed: true, number: Some(number) };
    same(committed.outcomes, vec![NEW, DONE, DONE, NEW, number(42), number(3), number(9), DONE, DONE, DONE])?;
    same(committed.version, first + 1)?;
    let keys = strings(&["new", "old", "n", "least", "most", "text", "brief", "typed"]);
    let entries: Vec<_> = ok(records.get_entries(&keys))?.into_iter().flatten().collect();
    let values: Vec<_> = entries.iter().map(|entry| String::from_utf8_lossy(&entry.value).into_owned()).collect();
    same(values, strings(&["1", "2", "42", "3", "9", "vw", "v", "v"]))?;
    let versions: Vec<_> = entries.iter().map(|entry| entry.metadata.version).collect();
    same(versions, vec![committed.version; 8])?;
    let types: Vec<_> = entries.iter().map(|entry| entry.metadata.content_type.as_deref()).collect();
    same(types, vec![Some("text/plain"), None, None, None, None, None, None, Some("a/b")])?;
    let attributes = entries.last().map(|entry| entry.metadata.attributes.clone());
    same(attributes, Some(pairs(&[("x", "y")])))?;
    let expires = entries.get(6).and_then(|entry| entry.metadata.expires).unwrap_or_default();
    holds(&format!("{expires} is an hour from now"), (before + HOUR..=now() + HOUR).contains(&expires))?;
    same(ok(records.exists("gone"))?, false)
}

fn changes_see_those_before_them() -> Case {
    let records = fresh("commits-order")?;
    let changes = [
        add("n", 5),
        add("n", -2),
        Change::Max(("n".to_owned(), 10)),
        set("k", b"a"),
        Change::Append(("k".to_owned(), b"b".to_vec())),
        Change::Delete("k".to_owned()),
        Change::Delete("k".to_owned()),
        Change::Append(("k".to_owned(), b"c".to_vec())),
        set("x", b""),
        Change::Delete("x".to_owned()),
    ];
    let committed = ok(records.commit(&[], &changes))?;
    let number = |existed, number| Outcome { existed, number: Some(number) };
    let expected = vec![number(false, 5), number(true, 3), number(true, 10), NEW, DONE, DONE, NEW, NEW, NEW, DONE];
    same(committed.outcomes, expected)?;
    same(found(records.get("k"))?.as_slice(), &b"c"[..])?;
    same(keys_in(&records, all())?, strings(&["k", "n"]))
}

fn checks_are_about_the_state_before() -> Case {
    let records = fresh("commits-before")?;
    ok(records
        .commit(&[check("k", Condition::Absent)], &[set("k", b"1"), Change::Delete("k".to_owned()), set("k", b"2")]))?;
    fails(
        records.commit(&[check("k", Condition::Absent)], &[Change::Delete("k".to_owned()), set("k", b"3")]),
        "already-exists: there is already a record with the key 'k'",
    )?;
    // Checks alone tell whether they hold.
    let version = found(records.get_metadata("k"))?.version;
    let committed = ok(records.commit(&[check("k", Condition::Version(version))], &[]))?;
    same((committed.version, committed.outcomes), (version, Vec::new()))?;
    same(found(records.get("k"))?.as_slice(), &b"2"[..])
}

fn a_check_that_fails_stops_all() -> Case {
    let records = fresh("commits-check")?;
    let version = ok(records.set("k", b"1", None))?;
    let changes = [set("a", b"1"), set("k", b"2"), Change::Delete("k".to_owned())];
    let with = |last| [check("k", Condition::Present), check("x", Condition::Absent), last];
    fails(
        records.commit(&with(check("k", Condition::Absent)), &changes),
        "already-exists: there is already a record with the key 'k'",
    )?;
    fails(records.commit(&with(check("y", Condition::Present)), &changes), "not-found: no record with the key 'y'")?;
    let wrong = check("k", Condition::Version(version + 1));
    meets(records.commit(&with(wrong), &changes), "k", version + 1, Some(version))?;
    meets(records.commit(&with(check("y", Condition::Version(1))), &changes), "y", 1, None)?;
    let entry = found(records.get_entry("k"))?;
    same((entry.value.as_slice(), entry.metadata.version), (&b"1"[..], version))?;
    same(keys_in(&records, all())?, strings(&["k"]))
}

fn a_change_that_fails_stops_all() -> Case {
    let records = fresh("commits-change")?;
    ok(records.set("word", b"x", None))?;
    let fail = |last, error: &str| fails(records.commit(&[], &[set("a", b"1"), set("word", b"y"), last]), error);
    let none = NewMetadata { content_type: None, attributes: Vec::new() };
    fail(
        add("word", 1),
        "invalid-number: the value of 'word' is not a whole number in decimal digits between -9223372036854775808 and \
         9223372036854775807",
    )?;
    fail(Change::Expire(("x".to_owned(), Expiry::Never)), "not-found: no record with the key 'x'")?;
    fail(
        Change::SetMetadata(("x".to_owned(), MetadataChange::Replace(none))),
        "not-found: no record with the key 'x'",
    )?;
    fail(set("", b""), "invalid-key: invalid key: a key has at least one byte")?;
    same(found(records.get("word"))?.as_slice(), &b"x"[..])?;
    same(ok(records.count(&all()))?, 1)
}

fn what_changes_nothing_is_no_commit() -> Case {
    let records = fresh("commits-nothing")?;
    let version = ok(records.set("k", b"1", None))?;
    same(ok(records.commit(&[], &[]))?.version, version)?;
    let nothing = ok(records.commit(&[], &[Change::Delete("x".to_owned())]))?;
    same((nothing.version, nothing.outcomes), (version, vec![NEW]))?;
    same(ok(records.delete("x", None))?, false)?;
    same(ok(capabilities::status())?.version, version)?;
    // The same value again is a commit: somebody may watch for it.
    same(ok(records.set("k", b"1", None))?, version + 1)
}

fn a_commit_has_at_most_ten_thousand_items() -> Case {
    let records = fresh("commits-limit")?;
    let keys = numbered("k", 5_001);
    let checks: Vec<_> = keys.iter().map(|key| check(key, Condition::Absent)).collect();
    let changes: Vec<_> = keys.iter().map(|key| set(key, b"v")).collect();
    let (some, _) = checks.split_at(5_000);
    fails(
        records.commit(some, &changes),
        "limit-exceeded: limit exceeded: the number of checks and changes in a batch is 10001; the limit is 10000; divide it into several batches",
    )?;
    same(ok(records.count(&all()))?, 0)?;
    let (fewer, _) = changes.split_at(5_000);
    same(ok(records.commit(some, fewer))?.outcomes, vec![NEW; 5_000])?;
    same(ok(records.count(&all()))?, 5_000)
}

fn minimum_and_maximum_and_append() -> Case {
    let records = fresh("commits-numbers")?;
    let least = |n| Change::Min(("least".to_owned(), n));
    let most = |n| Change::Max(("most".to_owned(), n));
    let numbers = |changes: &[Change]| {
        ok(records.commit(&[], changes))
            .map(|committed| committed.outcomes.iter().map(|outcome| outcome.number).collect::<Vec<_>>())
    };
    same(numbers(&[least(4), most(4)])?, vec![Some(4), Some(4)])?;
    same(numbers(&[least(7), most(-7)])?, vec![Some(4), Some(4)])?;
    same(numbers(&[least(-1), most(i64::MAX)])?, vec![Some(-1), Some(i64::MAX)])?;
    ok(records.set("least", b"few", None))?;
    let error = "invalid-number: the value of 'least' is not a whole number in decimal digits between \
                 -9223372036854775808 and 9223372036854775807";
    fails(records.commit(&[], &[least(1)]), error)?;
    let append = |text: &[u8]| Change::Append(("text".to_owned(), text.to_vec()));
    ok(records.commit(&[], &[append(b"\xff")]))?;
    ok(records.commit(&[], &[append(b""), append(b"\0")]))?;
    same(found(records.get("text"))?, vec![0xff, 0])
}
