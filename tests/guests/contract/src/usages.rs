//! Usage: exact after every kind of change.

use crate::stash::storage::capabilities;
use crate::stash::storage::collections;
use crate::stash::storage::store;
use crate::stash::storage::transactions::{self, Isolation};
use crate::stash::storage::types::{Change, Expiry, MetadataChange, NewMetadata, SetOptions};
use crate::support::{
    Case, HOUR, Named, add, cases, cleared_default, expiring, fails, fresh, fresh_with, holds, item, keeping, now, ok,
    pairs, same, set, strings, usage, uses, wait_until, with,
};

pub(crate) const CASES: &[Named] = cases![
    usage_is_exact_after_every_change,
    usage_is_exact_after_a_transaction,
    usage_counts_what_a_collection_keeps_of_the_past,
    usage_is_of_all_collections_together,
];

fn usage_is_exact_after_every_change() -> Case {
    let records = fresh("usage-changes")?;
    let start = usage()?;
    let uses = |bytes, keys| uses(start, bytes, keys);
    ok(records.set("key", b"value", None))?;
    uses(8, 1)?;
    ok(records.set("key", b"v", None))?;
    uses(4, 1)?;
    let options = SetOptions {
        expires: Expiry::After(HOUR),
        content_type: Some("text/plain".to_owned()),
        attributes: pairs(&[("name", "value"), ("ä", "")]),
    };
    ok(records.set("key", b"v", Some(&with(options))))?;
    uses(4 + 10 + 9 + 2, 1)?;
    let new = NewMetadata { content_type: Some("a/b".to_owned()), attributes: pairs(&[("n", "v")]) };
    ok(records.set_metadata("key", &MetadataChange::Replace(new)))?;
    uses(4 + 3 + 2, 1)?;
    ok(records.touch("key", Expiry::After(2 * HOUR)))?;
    ok(records.persist("key"))?;
    uses(9, 1)?;
    ok(records.increment("n", 99))?;
    uses(9 + 3, 2)?;
    ok(records.increment("n", 1))?;
    uses(9 + 4, 2)?;
    ok(records.commit(&[], &[Change::Append(("n".to_owned(), b"00".to_vec())), Change::Delete("key".to_owned())]))?;
    uses(6, 1)?;
    ok(records.set_many(&[item("a", b"1"), item("b", b"22"), item("n", b"")], true))?;
    uses(1 + 2 + 3, 3)?;
    ok(records.delete_many(&strings(&["a", "x"])))?;
    uses(4, 2)?;
    fails(records.commit(&[], &[set("large", &[0; 1000]), Change::Expire(("x".to_owned(), Expiry::Never))]), NO_X)?;
    uses(4, 2)?;
    ok(records.set("b", b"22", Some(&with(expiring(Expiry::After(1))))))?;
    wait_until(now() + 1);
    uses(1, 1)?;
    same(ok(records.clear(""))?.removed, 1)?;
    uses(0, 0)?;
    ok(records.set("key", b"value", None))?;
    ok(collections::delete("usage-changes", true))?;
    uses(0, 0)
}

const NO_X: &str = "not-found: no record with the key 'x'";

fn usage_is_exact_after_a_transaction() -> Case {
    let records = fresh("usage-transaction")?;
    ok(records.set("old", b"value", None))?;
    let start = usage()?;
    let tx = ok(transactions::begin(Isolation::Serializable))?;
    ok(tx.set(&records, "new", b"1"))?;
    ok(tx.delete(&records, "old"))?;
    ok(tx.change(&records, &add("n", 10)))?;
    uses(start, 0, 0)?;
    ok(tx.commit())?;
    // Gone: 8 bytes. New: 4 and 3.
    same(usage()?, (start.0 - 1, start.1 + 1))
}

fn usage_counts_what_a_collection_keeps_of_the_past() -> Case {
    let records = fresh_with("usage-history", &keeping(Some(2), None))?;
    let start = usage()?;
    ok(records.set("k", b"1234", None))?;
    uses(start, 5, 1)?;
    ok(records.set("k", b"12", None))?;
    uses(start, 3 + 5, 1)?;
    ok(records.set("k", b"1", None))?;
    uses(start, 2 + 3, 1)?;
    // The last two are kept, and the deletion counts nothing.
    ok(records.delete("k", None))?;
    uses(start, 3 + 2, 0)?;
    ok(collections::delete("usage-history", true))?;
    uses(start, 0, 0)
}

fn usage_is_of_all_collections_together() -> Case {
    let (one, two) = (fresh("usage-one")?, fresh("usage-two")?);
    let default = cleared_default("usage/")?;
    let start = usage()?;
    ok(one.set("k", b"1", None))?;
    ok(two.set("k", b"22", None))?;
    ok(default.set("usage/k", b"333", None))?;
    uses(start, 2 + 3 + 10, 3)?;
    let told = ok(store::usage())?;
    let status = ok(capabilities::status())?;
    same((status.used_bytes, status.key_count), (told.used_bytes, told.key_count))?;
    same(capabilities::get().quota_bytes, told.quota_bytes)?;
    holds("the default collection counts", told.used_bytes >= 15)?;
    ok(collections::delete("usage-one", true))?;
    ok(collections::delete("usage-two", true))?;
    ok(default.delete("usage/k", None))?;
    uses(start, 0, 0)
}
