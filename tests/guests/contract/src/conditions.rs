//! Conditions: a change that happens only where the record is as expected.

use crate::stash::storage::collections::SetCall;
use crate::stash::storage::types::{Condition, Expiry};
use crate::support::{Case, HOUR, Named, cases, expiring, fails, found, fresh, holds, meets, ok, same, when};

pub(crate) const CASES: &[Named] = cases![
    absent_sets_only_what_is_not_there,
    present_sets_only_what_is_there,
    a_version_sets_only_what_is_of_it,
    deleting_has_the_same_conditions,
    a_version_is_never_fooled_by_delete_and_make_again,
    a_condition_and_options_go_together,
];

const THERE: &str = "already-exists: there is already a record with the key 'k'";
const NOT_THERE: &str = "not-found: no record with the key 'k'";

fn absent_sets_only_what_is_not_there() -> Case {
    let records = fresh("conditions-absent")?;
    let absent = when(Condition::Absent);
    let version = ok(records.set("k", b"1", Some(&absent)))?;
    fails(records.set("k", b"2", Some(&absent)), THERE)?;
    let entry = found(records.get_entry("k"))?;
    same((entry.value.as_slice(), entry.metadata.version), (&b"1"[..], version))?;
    ok(records.delete("k", None))?;
    ok(records.set("k", b"3", Some(&absent)))?;
    same(found(records.get("k"))?.as_slice(), &b"3"[..])
}

fn present_sets_only_what_is_there() -> Case {
    let records = fresh("conditions-present")?;
    let present = when(Condition::Present);
    fails(records.set("k", b"1", Some(&present)), NOT_THERE)?;
    same(ok(records.exists("k"))?, false)?;
    ok(records.set("k", b"2", None))?;
    ok(records.set("k", b"3", Some(&present)))?;
    same(found(records.get("k"))?.as_slice(), &b"3"[..])
}

fn a_version_sets_only_what_is_of_it() -> Case {
    let records = fresh("conditions-version")?;
    meets(records.set("k", b"0", Some(&when(Condition::Version(7)))), "k", 7, None)?;
    same(ok(records.exists("k"))?, false)?;
    let first = ok(records.set("k", b"1", None))?;
    let second = ok(records.set("k", b"2", Some(&when(Condition::Version(first)))))?;
    holds("versions grow", second > first)?;
    meets(records.set("k", b"3", Some(&when(Condition::Version(first)))), "k", first, Some(second))?;
    meets(records.set("k", b"3", Some(&when(Condition::Version(u64::MAX)))), "k", u64::MAX, Some(second))?;
    // Another record's commit is none of this one's business.
    ok(records.set("other", b"", None))?;
    ok(records.set("k", b"4", Some(&when(Condition::Version(second)))))?;
    same(found(records.get("k"))?.as_slice(), &b"4"[..])
}

fn deleting_has_the_same_conditions() -> Case {
    let records = fresh("conditions-delete")?;
    fails(records.delete("k", Some(Condition::Present)), NOT_THERE)?;
    meets(records.delete("k", Some(Condition::Version(1))), "k", 1, None)?;
    same(ok(records.delete("k", Some(Condition::Absent)))?, false)?;
    let first = ok(records.set("k", b"1", None))?;
    let second = ok(records.set("k", b"2", None))?;
    fails(records.delete("k", Some(Condition::Absent)), THERE)?;
    meets(records.delete("k", Some(Condition::Version(first))), "k", first, Some(second))?;
    same(ok(records.exists("k"))?, true)?;
    same(ok(records.delete("k", Some(Condition::Version(second))))?, true)?;
    same(ok(records.exists("k"))?, false)?;
    ok(records.set("k", b"3", None))?;
    same(ok(records.delete("k", Some(Condition::Present)))?, true)
}

fn a_version_is_never_fooled_by_delete_and_make_again() -> Case {
    let records = fresh("conditions-again")?;
    let first = ok(records.set("k", b"same", None))?;
    ok(records.delete("k", None))?;
    meets(records.set("k", b"mine", Some(&when(Condition::Version(first)))), "k", first, None)?;
    let again = ok(records.set("k", b"same", None))?;
    meets(records.set("k", b"mine", Some(&when(Condition::Version(first)))), "k", first, Some(again))?;
    meets(records.delete("k", Some(Condition::Version(first))), "k", first, Some(again))?;
    // Nor by a collection of the same name.
    let records = fresh("conditions-again")?;
    let new = ok(records.set("k", b"same", None))?;
    meets(records.set("k", b"mine", Some(&when(Condition::Version(again)))), "k", again, Some(new))?;
    same(found(records.get("k"))?.as_slice(), &b"same"[..])
}

fn a_condition_and_options_go_together() -> Case {
    let records = fresh("conditions-options")?;
    let call = SetCall { condition: Some(Condition::Absent), options: Some(expiring(Expiry::After(HOUR))) };
    let version = ok(records.set("k", b"1", Some(&call)))?;
    fails(records.set("k", b"2", Some(&call)), THERE)?;
    let metadata = found(records.get_metadata("k"))?;
    same(metadata.version, version)?;
    same(metadata.expires, metadata.created.map(|created| created + HOUR))
}
