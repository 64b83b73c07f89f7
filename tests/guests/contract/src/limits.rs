//! Limits on keys, values and answers: refused with a text that tells the limit, and nothing is done.

use crate::stash::storage::store;
use crate::stash::storage::transactions::{self, Isolation};
use crate::stash::storage::types::{Change, ListOptions};
use crate::support::{
    Case, Named, all, cases, cleared_default, fails, fails_like, found, fresh, gone, holds, item, ok, page, prefixed,
    same, set, strings,
};

pub(crate) const CASES: &[Named] = cases![
    a_key_has_at_least_one_byte_and_at_most_2048,
    a_value_has_at_most_16_mib,
    a_commit_and_an_answer_have_at_most_64_mib,
    one_value_many_times_is_many_values,
    an_answer_of_a_transaction_has_the_same_limit,
    a_page_has_at_most_16_mib_and_at_least_one_record,
    a_page_of_a_transaction_has_the_same_limit,
];

const MIB: usize = 1 << 20;

fn a_key_has_at_least_one_byte_and_at_most_2048() -> Case {
    let records = fresh("limits-keys")?;
    let default = cleared_default("limits/")?;
    let most = format!("limits/{}", "k".repeat(2048 - 7));
    ok(store::set(&most, b"v"))?;
    same(ok(store::get(&most))?, Some(b"v".to_vec()))?;
    same(ok(store::list_keys("limits/"))?, vec![most.clone()])?;
    same(ok(store::delete(&most))?, true)?;
    ok(records.set(&most, b"v", None))?;
    same(ok(records.list_keys(&page(prefixed(&most))))?.keys, vec![most.clone()])?;
    let long = format!("{most}k");
    // The limit is in bytes, not in characters.
    let wide = "ä".repeat(1025);
    for (key, why) in [
        ("", "a key has at least one byte"),
        (&long, "it has 2049 bytes; the limit is 2048"),
        (&wide, "it has 2050 bytes; the limit is 2048"),
    ] {
        let error = &format!("invalid-key: invalid key: {why}");
        fails(store::get(key), error)?;
        fails(store::set(key, b""), error)?;
        fails(store::delete(key), error)?;
        fails(store::exists(key), error)?;
        fails(store::increment(key, 1), error)?;
        fails(records.get(key), error)?;
        fails(records.get_entry(key), error)?;
        fails(records.get_metadata(key), error)?;
        fails(records.exists(key), error)?;
        fails(records.set(key, b"", None), error)?;
        fails(records.delete(key, None), error)?;
        fails(records.increment(key, 1), error)?;
        fails(records.persist(key), error)?;
        fails(records.commit(&[], &[set(key, b"")]), error)?;
        fails(records.get_at(key, 1), error)?;
        fails(records.list_versions(key, None, 1), error)?;
    }
    same(ok(default.count(&prefixed("limits/")))?, 0)?;
    same(ok(records.count(&all()))?, 1)
}

fn a_value_has_at_most_16_mib() -> Case {
    let records = fresh("limits-values")?;
    let mut value = vec![b'v'; 16 * MIB];
    ok(records.set("k", &value, None))?;
    same(found(records.get("k"))?.len(), value.len())?;
    value.push(b'v');
    let error = "limit-exceeded: limit exceeded: the size of a value in bytes is 16777217; the limit is 16777216";
    fails(records.set("k", &value, None), error)?;
    fails(records.set_many(&[item("k", &value)], true), error)?;
    fails(store::set("limits/value", &value), error)?;
    fails(records.commit(&[], &[Change::Append(("k".to_owned(), b"v".to_vec()))]), error)?;
    same(found(records.get("k"))?.len(), 16 * MIB)?;
    gone("limits-values")
}

fn a_commit_and_an_answer_have_at_most_64_mib() -> Case {
    let records = fresh("limits-bytes")?;
    let value = vec![b'v'; 16 * MIB];
    let five: Vec<_> = ["a", "b", "c", "d", "e"].iter().map(|key| item(key, &value)).collect();
    fails(
        records.set_many(&five, true),
        "limit-exceeded: limit exceeded: the size of a batch in bytes is 83886085; the limit is 67108864; divide it into several batches",
    )?;
    same(ok(records.count(&all()))?, 0)?;
    drop(five);
    ok(records.set("k", &value, None))?;
    same(ok(records.get_many(&strings(&["k"; 4])))?.iter().flatten().map(Vec::len).sum::<usize>(), 64 * MIB)?;
    fails_like(records.get_many(&strings(&["k"; 5])), "limit-exceeded: limit exceeded: ")?;
    fails_like(records.get_entries(&strings(&["k"; 5])), "limit-exceeded: limit exceeded: ")?;
    gone("limits-bytes")
}

fn one_value_many_times_is_many_values() -> Case {
    let records = fresh("limits-answers")?;
    // Small enough for a cache, and read before so that it is in there.
    ok(records.set("k", &[b'v'; 16 << 10], None))?;
    same(found(records.get("k"))?.len(), 16 << 10)?;
    let keys = vec!["k".to_owned(); 5_000];
    fails_like(records.get_many(&keys), "limit-exceeded: limit exceeded: ")?;
    fails_like(records.get_entries(&keys), "limit-exceeded: limit exceeded: ")?;
    gone("limits-answers")
}

fn an_answer_of_a_transaction_has_the_same_limit() -> Case {
    let records = fresh("limits-tx-answers")?;
    let tx = ok(transactions::begin(Isolation::Serializable))?;
    ok(tx.set(&records, "mine", &vec![b'v'; MIB]))?;
    same(ok(tx.get_many(&records, &strings(&["mine"; 8])))?.iter().flatten().map(Vec::len).sum::<usize>(), 8 * MIB)?;
    fails_like(tx.get_many(&records, &strings(&["mine"; 65])), "limit-exceeded: limit exceeded: ")?;
    drop(tx);
    gone("limits-tx-answers")
}

fn a_page_of_a_transaction_has_the_same_limit() -> Case {
    let records = fresh("limits-tx-pages")?;
    let value = vec![b'v'; 6 * MIB];
    let tx = ok(transactions::begin(Isolation::Serializable))?;
    for key in ["a", "b", "c", "d", "e"] {
        ok(tx.set(&records, key, &value))?;
    }
    let (mut options, mut found) = (page(all()), Vec::new());
    loop {
        let page = ok(tx.list_entries(&records, &options))?;
        let bytes: usize = page.entries.iter().map(|entry| entry.value.len()).sum();
        holds(&format!("a page has at most 16 MiB and a record, not {bytes} bytes"), bytes <= (16 + 6) * MIB)?;
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        options = ListOptions { cursor: page.cursor, ..options };
        if options.cursor.is_none() {
            break;
        }
    }
    same(found, strings(&["a", "b", "c", "d", "e"]))?;
    drop(tx);
    gone("limits-tx-pages")
}

fn a_page_has_at_most_16_mib_and_at_least_one_record() -> Case {
    let records = fresh("limits-pages")?;
    let value = vec![b'v'; 6 * MIB];
    ok(records.set_many(&[item("a", &value), item("b", &value), item("c", &value), item("d", b"")], true))?;
    let (mut options, mut found, mut pages) = (page(all()), Vec::new(), 0);
    loop {
        let page = ok(records.list_entries(&options))?;
        pages += 1;
        let bytes: usize = page.entries.iter().map(|entry| entry.value.len()).sum();
        holds("a page of several records is not much larger than its limit", bytes <= (16 + 6) * MIB)?;
        found.extend(page.entries.into_iter().map(|entry| entry.key));
        options = ListOptions { cursor: page.cursor, ..options };
        if options.cursor.is_none() {
            break;
        }
    }
    same(found, strings(&["a", "b", "c", "d"]))?;
    holds("18 MiB are more than one page", pages > 1)?;
    // Keys alone are one page.
    same(ok(records.list_keys(&page(all())))?.keys.len(), 4)?;
    gone("limits-pages")
}
