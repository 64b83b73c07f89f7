//! Many records in one call: in the order that was asked for, all or none.

use crate::stash::storage::collections::Collection;
use crate::stash::storage::types::{Item, SetOptions};
use crate::support::{
    Case, Named, all, bare, cases, cleared_default, fails, found, fresh, item, items, keys_in, numbered, ok, same,
    strings,
};

pub(crate) const CASES: &[Named] = cases![
    get_many_answers_in_the_order_of_the_keys,
    set_many_tells_of_each_whether_it_was_there,
    overwrite_off_stores_all_or_nothing,
    delete_many_tells_of_each_whether_it_was_there,
    a_thousand_records_in_one_call,
    ten_thousand_records_and_not_one_more,
    a_wrong_key_among_many_stops_all,
    many_of_nothing_is_nothing,
];

fn get_many_answers_in_the_order_of_the_keys() -> Case {
    let records = fresh("many-get")?;
    ok(records.set("a", b"1", None))?;
    let version = ok(records.set("b", b"2", None))?;
    let (one, two) = (Some(b"1".to_vec()), Some(b"2".to_vec()));
    let keys = strings(&["b", "x", "a", "b"]);
    same(ok(records.get_many(&keys))?, vec![two.clone(), None, one, two])?;
    let entries = ok(records.get_entries(&keys))?;
    let versions: Vec<_> = entries.iter().map(|entry| entry.as_ref().map(|entry| entry.key.as_str())).collect();
    same(versions, vec![Some("b"), None, Some("a"), Some("b")])?;
    let last = entries.into_iter().next_back().flatten();
    same(last.map(|entry| (entry.value, entry.metadata.version)), Some((b"2".to_vec(), version)))
}

fn set_many_tells_of_each_whether_it_was_there() -> Case {
    let records = fresh("many-set")?;
    ok(records.set("b", b"old", None))?;
    let options = SetOptions { content_type: Some("text/plain".to_owned()), ..bare() };
    let new = [item("a", b"1"), item("b", b"2"), Item { options: Some(options), ..item("c", b"3") }];
    same(ok(records.set_many(&new, true))?, vec![false, true, false])?;
    let entries = ok(records.get_entries(&strings(&["a", "b", "c"])))?;
    let found: Vec<_> = entries.iter().flatten().collect();
    let values: Vec<_> = found.iter().map(|entry| entry.value.as_slice()).collect();
    same(values, vec![b"1", b"2", b"3"])?;
    let versions: Vec<_> = found.iter().map(|entry| entry.metadata.version).collect();
    same(versions.windows(2).all(|two| two.first() == two.last()), true)?;
    let types: Vec<_> = found.iter().map(|entry| entry.metadata.content_type.as_deref()).collect();
    same(types, vec![None, None, Some("text/plain")])?;
    // The same key twice: each sees what those before it did.
    same(ok(records.set_many(&[item("d", b"1"), item("d", b"2")], true))?, vec![false, true])?;
    same(found_value(&records, "d")?, b"2".to_vec())
}

fn found_value(records: &Collection, key: &str) -> Result<Vec<u8>, String> {
    found(records.get(key))
}

fn overwrite_off_stores_all_or_nothing() -> Case {
    let records = fresh("many-overwrite")?;
    same(ok(records.set_many(&[item("a", b"1"), item("b", b"2")], false))?, vec![false, false])?;
    fails(
        records.set_many(&[item("c", b"3"), item("b", b"new"), item("d", b"4")], false),
        "already-exists: there is already a record with the key 'b'",
    )?;
    same(keys_in(&records, all())?, strings(&["a", "b"]))?;
    same(found_value(&records, "b")?, b"2".to_vec())
}

fn delete_many_tells_of_each_whether_it_was_there() -> Case {
    let records = fresh("many-delete")?;
    ok(records.set_many(&items(&strings(&["a", "b", "c"])), true))?;
    same(ok(records.delete_many(&strings(&["c", "x", "a", "c"])))?, vec![true, false, true, false])?;
    same(keys_in(&records, all())?, strings(&["b"]))
}

fn a_thousand_records_in_one_call() -> Case {
    let records = fresh("many-thousand")?;
    let keys = numbered("k", 1000);
    same(ok(records.set_many(&items(&keys), true))?, vec![false; 1000])?;
    let backwards: Vec<String> = keys.iter().rev().cloned().collect();
    let expected: Vec<_> = backwards.iter().map(|key| Some(key.as_bytes().to_vec())).collect();
    same(ok(records.get_many(&backwards))?, expected)?;
    same(ok(records.count(&all()))?, 1000)?;
    let versions = ok(records.get_entries(&keys))?;
    let first = versions.iter().flatten().next().map(|entry| entry.metadata.version);
    same(versions.iter().flatten().filter(|entry| Some(entry.metadata.version) == first).count(), 1000)?;
    same(ok(records.delete_many(&keys))?, vec![true; 1000])?;
    same(ok(records.count(&all()))?, 0)
}

const TOO_MANY: &str = "limit-exceeded: limit exceeded: the number of checks and changes in a batch is 10001; the limit is 10000; divide it into several batches";

fn ten_thousand_records_and_not_one_more() -> Case {
    let records = fresh("many-limit")?;
    let keys = numbered("k", 10_001);
    let (most, rest) = keys.split_at(10_000);
    fails(records.set_many(&items(&keys), true), TOO_MANY)?;
    fails(records.set_many(&items(&keys), false), TOO_MANY)?;
    fails(records.delete_many(&keys), TOO_MANY)?;
    let too_many =
        "limit-exceeded: limit exceeded: the number of keys to read is 10001; the limit is 10000; read fewer at once";
    fails(records.get_many(&keys), too_many)?;
    fails(records.get_entries(&keys), too_many)?;
    same(ok(records.count(&all()))?, 0)?;
    same(ok(records.set_many(&items(most), false))?, vec![false; 10_000])?;
    same(ok(records.get_many(most))?.iter().flatten().count(), 10_000)?;
    same(ok(records.get_many(rest))?, vec![None])?;
    same(ok(records.delete_many(most))?, vec![true; 10_000])?;
    same(ok(records.count(&all()))?, 0)
}

fn a_wrong_key_among_many_stops_all() -> Case {
    let records = fresh("many-wrong")?;
    let empty = "invalid-key: invalid key: a key has at least one byte";
    fails(records.set_many(&[item("a", b"1"), item("", b"2")], true), empty)?;
    same(ok(records.count(&all()))?, 0)?;
    ok(records.set("a", b"1", None))?;
    fails(records.delete_many(&strings(&["a", ""])), empty)?;
    fails(records.get_many(&strings(&["a", ""])), empty)?;
    fails(records.get_entries(&strings(&["a", ""])), empty)?;
    same(ok(records.count(&all()))?, 1)
}

fn many_of_nothing_is_nothing() -> Case {
    let records = cleared_default("many-of-nothing/")?;
    same(ok(records.get_many(&[]))?, Vec::new())?;
    same(ok(records.get_entries(&[]))?, Vec::new())?;
    same(ok(records.set_many(&[], true))?, Vec::<bool>::new())?;
    same(ok(records.delete_many(&[]))?, Vec::<bool>::new())
}
