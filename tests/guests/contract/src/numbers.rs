//! Numbers: decimal text that counts up and down, and stays inside 64 bits.

use crate::stash::storage::store;
use crate::stash::storage::types::{Expiry, SetOptions};
use crate::support::{Case, HOUR, Named, cases, cleared_default, fails, found, fresh, ok, pairs, same, with};

pub(crate) const CASES: &[Named] = cases![
    a_number_counts_from_nothing_in_both_directions,
    what_is_no_number_stays_as_it_is,
    a_number_stays_inside_its_range,
    a_counter_keeps_what_is_known_of_it,
];

fn a_number_counts_from_nothing_in_both_directions() -> Case {
    let records = fresh("numbers-count")?;
    same(ok(records.increment("n", 5))?, 5)?;
    same(ok(records.increment("n", -7))?, -2)?;
    same(ok(records.increment("n", 0))?, -2)?;
    same(found(records.get("n"))?.as_slice(), &b"-2"[..])?;
    same(ok(records.increment("down", -1))?, -1)?;
    same(ok(records.increment("zero", 0))?, 0)?;
    same(found(records.get("zero"))?.as_slice(), &b"0"[..])?;
    ok(records.set("set", b"41", None))?;
    same(ok(records.increment("set", 1))?, 42)
}

fn what_is_no_number_stays_as_it_is() -> Case {
    let records = fresh("numbers-none")?;
    let error = "invalid-number: the value of 'k' is not a whole number in decimal digits between \
                 -9223372036854775808 and 9223372036854775807";
    for value in [&b"many"[..], b"", b"1.5", b" 1", b"1 ", b"0x10", b"1e3", b"\xff", b"9223372036854775808"] {
        ok(records.set("k", value, None))?;
        fails(records.increment("k", 1), error)?;
        same(found(records.get("k"))?.as_slice(), value)?;
    }
    let default = cleared_default("numbers/")?;
    ok(store::set("numbers/k", b"many"))?;
    let error = error.replace("'k'", "'numbers/k'");
    fails(store::increment("numbers/k", 1), &error)?;
    same(found(default.get("numbers/k"))?.as_slice(), &b"many"[..])
}

fn a_number_stays_inside_its_range() -> Case {
    let records = fresh("numbers-range")?;
    same(ok(records.increment("top", i64::MAX))?, i64::MAX)?;
    fails(
        records.increment("top", 1),
        "invalid-number: the number in 'top' would be out of range: 9223372036854775807 and a change of 1",
    )?;
    same(ok(records.increment("top", -1))?, i64::MAX - 1)?;
    same(ok(records.increment("bottom", i64::MIN))?, i64::MIN)?;
    fails(
        records.increment("bottom", -1),
        "invalid-number: the number in 'bottom' would be out of range: -9223372036854775808 and a change of -1",
    )?;
    same(found(records.get("bottom"))?.as_slice(), &b"-9223372036854775808"[..])?;
    same(ok(records.increment("bottom", i64::MAX))?, -1)
}

fn a_counter_keeps_what_is_known_of_it() -> Case {
    let records = fresh("numbers-metadata")?;
    let options = SetOptions {
        expires: Expiry::After(HOUR),
        content_type: Some("text/plain".to_owned()),
        attributes: pairs(&[("unit", "pears")]),
    };
    ok(records.set("n", b"1", Some(&with(options))))?;
    let old = found(records.get_metadata("n"))?;
    ok(records.increment("n", 1))?;
    let new = found(records.get_metadata("n"))?;
    same((new.created, new.expires), (old.created, old.expires))?;
    same((new.content_type, new.attributes), (old.content_type, old.attributes))?;
    same(new.version, old.version + 1)
}
