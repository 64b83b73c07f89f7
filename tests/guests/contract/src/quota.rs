//! The quota: for a component that has one, of at least 100 bytes. It empties the component first.

use crate::stash::storage::capabilities;
use crate::stash::storage::store;
use crate::stash::storage::transactions::{self, Isolation};
use crate::stash::storage::types::{Change, Expiry, Item, MetadataChange, NewMetadata};
use crate::support::{
    Case, expiring, fails, found, fresh, fresh_with, item, keeping, now, ok, same, set, wait_until, wipe,
};

pub(crate) fn quota() -> Case {
    wipe()?;
    let quota = ok(store::usage())?.quota_bytes.ok_or("this case needs a quota")?;
    same(capabilities::get().quota_bytes, Some(quota))?;
    let refused = |used: u64, needed: u64| {
        format!(
            "quota-exceeded: quota exceeded: {used} of {quota} bytes are used and this needs {needed} more; delete \
             something first"
        )
    };
    let used = || ok(store::usage()).map(|usage| usage.used_bytes);
    let records = fresh("quota")?;
    let large = vec![b'v'; usize::try_from(quota).unwrap_or_default().saturating_sub(4 + 10)];
    ok(records.set("fill", &large, None))?;
    same(used()?, quota - 10)?;
    fails(records.set("x", &[0; 10], None), &refused(quota - 10, 11))?;
    same(ok(records.exists("x"))?, false)?;
    // To the last byte, of whichever collection.
    ok(records.set("x", &[0; 9], None))?;
    same(used()?, quota)?;
    fails(store::set("y", b""), &refused(quota, 1))?;
    fails(store::increment("y", 1), &refused(quota, 2))?;
    fails(records.set_many(&[item("y", b"1"), item("z", b"22")], true), &refused(quota, 5))?;
    let new = NewMetadata { content_type: Some("a/b".to_owned()), attributes: Vec::new() };
    fails(records.set_metadata("x", &MetadataChange::Replace(new)), &refused(quota, 3))?;
    fails(records.commit(&[], &[Change::Append(("x".to_owned(), b"1".to_vec()))]), &refused(quota, 1))?;
    // What makes room in the same commit counts; a commit that is refused does nothing of it.
    fails(records.commit(&[], &[set("x", b""), set("y", &[0; 9])]), &refused(quota, 1))?;
    same(found(records.get("x"))?.len(), 9)?;
    ok(records.commit(&[], &[set("x", b""), set("y", &[0; 8])]))?;
    same(used()?, quota)?;
    let tx = ok(transactions::begin(Isolation::Serializable))?;
    ok(tx.set(&records, "z", b"1"))?;
    fails(tx.commit(), &refused(quota, 2))?;
    same(ok(records.exists("z"))?, false)?;
    // What has expired makes room by itself.
    let brief = Item { options: Some(expiring(Expiry::After(1))), ..item("y", &[0; 8]) };
    ok(records.commit(&[], &[Change::Set(brief)]))?;
    wait_until(now() + 1);
    ok(records.set("z", &[0; 8], None))?;
    same(used()?, quota)?;
    // History counts, too.
    ok(records.delete_many(&["fill", "x", "z"].map(str::to_owned)))?;
    same(used()?, 0)?;
    let kept = fresh_with("quota-history", &keeping(Some(2), None))?;
    let half = vec![b'v'; usize::try_from(quota / 2).unwrap_or_default()];
    ok(kept.set("k", &half, None))?;
    fails(kept.set("k", &half, None), &refused(1 + quota / 2, 1 + quota / 2))?;
    wipe()?;
    same(used()?, 0)
}
