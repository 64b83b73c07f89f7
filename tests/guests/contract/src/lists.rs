//! Lists: ranges, directions, pages, cursors; and counting and clearing, which have the same ranges.

use crate::stash::storage::collections::{Cleared, Collection};
use crate::stash::storage::store;
use crate::stash::storage::types::{Item, KeyRange, ListOptions, SetOptions};
use crate::support::{
    Case, Named, all, bare, between, cases, cleared_default, fails, fresh, holds, item, items, keys, keys_in, like,
    numbered, ok, page, pairs, prefixed, same, strings,
};

pub(crate) const CASES: &[Named] = cases![
    ranges_have_prefix_start_and_end,
    lists_go_both_ways_from_any_key,
    patterns_match_whole_keys,
    entries_have_all_that_is_known,
    pages_go_to_the_end_whatever_their_size,
    a_cursor_goes_on_over_changes_between_pages,
    a_forged_cursor_is_refused,
    a_page_of_nothing_is_refused,
    a_cursor_belongs_to_its_list,
    counts_agree_with_lists,
    clearing_removes_what_has_the_prefix,
    more_than_ten_thousand_are_cleared_in_parts,
    the_simple_list_has_a_limit,
];

const KEYS: [&str; 9] = ["a", "a/1", "a/2", "a/3", "b", "b/1", "ba", "ä/1", "ä/2"];

fn filled(name: &str) -> Result<Collection, String> {
    let records = fresh(name)?;
    ok(records.set_many(&items(&strings(&KEYS)), true))?;
    Ok(records)
}

/// All ranges that the other cases compare.
fn ranges() -> Vec<(KeyRange, &'static [&'static str])> {
    vec![
        (all(), &KEYS),
        (prefixed(""), &KEYS),
        (prefixed("a"), &["a", "a/1", "a/2", "a/3"]),
        (prefixed("a/"), &["a/1", "a/2", "a/3"]),
        (prefixed("b"), &["b", "b/1", "ba"]),
        (prefixed("ä"), &["ä/1", "ä/2"]),
        (prefixed("x"), &[]),
        (between("a/2", "b/1"), &["a/2", "a/3", "b"]),
        (between("a/0", "a/9"), &["a/1", "a/2", "a/3"]),
        (between("b", "a"), &[]),
        (between("b", "b"), &[]),
        (KeyRange { start: Some("ba".to_owned()), ..all() }, &["ba", "ä/1", "ä/2"]),
        (KeyRange { end: Some("a/2".to_owned()), ..all() }, &["a", "a/1"]),
        (KeyRange { prefix: Some("a/".to_owned()), ..between("a/2", "z") }, &["a/2", "a/3"]),
        (KeyRange { prefix: Some("b".to_owned()), ..between("a", "b/1") }, &["b"]),
        (like("*"), &KEYS),
        (like("?/?"), &["a/1", "a/2", "a/3", "b/1", "ä/1", "ä/2"]),
        (like("a*"), &["a", "a/1", "a/2", "a/3"]),
        (like("*1"), &["a/1", "b/1", "ä/1"]),
        (like("b"), &["b"]),
        (like("?"), &["a", "b"]),
        (like(""), &[]),
        (KeyRange { prefix: Some("ä".to_owned()), ..like("*2") }, &["ä/2"]),
        (KeyRange { pattern: Some("*/?".to_owned()), ..between("a/2", "b/1") }, &["a/2", "a/3"]),
    ]
}

fn ranges_have_prefix_start_and_end() -> Case {
    let records = filled("lists-ranges")?;
    for (range, expected) in ranges() {
        let shown = format!("{range:?}");
        let told = |error: String| format!("{shown}: {error}");
        same(keys_in(&records, range).map_err(told)?, strings(expected)).map_err(told)?;
    }
    Ok(())
}

fn lists_go_both_ways_from_any_key() -> Case {
    let records = filled("lists-ways")?;
    let list = |options: ListOptions| keys(options, |options| records.list_keys(options));
    for (range, expected) in ranges() {
        let backwards: Vec<&str> = expected.iter().rev().copied().collect();
        same(list(ListOptions { reverse: true, ..page(range) })?, strings(&backwards))?;
    }
    let from = |key: &str, reverse| ListOptions { start_after: Some(key.to_owned()), reverse, ..page(all()) };
    same(list(from("b/1", false))?, strings(&["ba", "ä/1", "ä/2"]))?;
    // Whether or not it is there.
    same(list(from("b/0", false))?, strings(&["b/1", "ba", "ä/1", "ä/2"]))?;
    same(list(from("a/2", true))?, strings(&["a/1", "a"]))?;
    same(list(from("a/29", true))?, strings(&["a/2", "a/1", "a"]))?;
    same(list(from("ä/2", false))?, Vec::<String>::new())?;
    same(list(from("a", true))?, Vec::<String>::new())?;
    let within = ListOptions { start_after: Some("a/1".to_owned()), ..page(prefixed("a/")) };
    same(list(within)?, strings(&["a/2", "a/3"]))?;
    let before = ListOptions { start_after: Some("a".to_owned()), ..page(prefixed("b")) };
    same(list(before)?, strings(&["b", "b/1", "ba"]))
}

fn patterns_match_whole_keys() -> Case {
    let records = fresh("lists-patterns")?;
    ok(records.set_many(&items(&strings(&["50*", "50?", "505", "5\\", "a:b:c", "a:c", "", ":", "ключ"][..6])), true))?;
    ok(records.set_many(&items(&strings(&[":", "ключ"])), true))?;
    for (pattern, expected) in [
        ("50\\*", &["50*"][..]),
        ("50\\?", &["50?"]),
        ("50?", &["505", "50*", "50?"]),
        ("5\\\\", &["5\\"]),
        ("\\5\\0*", &["505", "50*", "50?"]),
        ("a:*:c", &["a:b:c"]),
        ("a:*c", &["a:b:c", "a:c"]),
        ("к??ч", &["ключ"]),
        ("????", &["ключ"]),
        ("*:*", &[":", "a:b:c", "a:c"]),
        ("**", &["50*", "50?", "505", "5\\", ":", "a:b:c", "a:c", "ключ"]),
    ] {
        let mut expected = strings(expected);
        expected.sort();
        same(keys_in(&records, like(pattern))?, expected).map_err(|error| format!("{pattern}: {error}"))?;
    }
    let error =
        "invalid-argument: invalid argument: a pattern ends with a backslash that escapes nothing; write two of them";
    fails(records.list_keys(&page(like("a\\"))), error)?;
    fails(records.list_entries(&page(like("a\\"))), error)?;
    fails(records.count(&like("a\\")), error)?;
    same(ok(records.count(&like(&"a".repeat(256))))?, 0)?;
    fails(
        records.count(&like(&"a".repeat(257))),
        "limit-exceeded: limit exceeded: the length of a pattern in bytes is 257; the limit is 256",
    )
}

fn entries_have_all_that_is_known() -> Case {
    let records = fresh("lists-entries")?;
    let options = SetOptions { content_type: Some("a/b".to_owned()), attributes: pairs(&[("n", "v")]), ..bare() };
    ok(records.set_many(&[item("a", b"1"), Item { options: Some(options), ..item("b", b"") }], true))?;
    ok(records.set("c", b"3", None))?;
    let found = ok(records.list_entries(&page(all())))?;
    let known: Vec<_> = ok(records.get_entries(&strings(&["a", "b", "c"])))?.into_iter().flatten().collect();
    same((found.entries, found.cursor), (known.clone(), None))?;
    let found = ok(records.list_entries(&ListOptions { reverse: true, ..page(between("b", "d")) }))?;
    same(found.entries, known.into_iter().skip(1).rev().collect::<Vec<_>>())
}

fn pages_go_to_the_end_whatever_their_size() -> Case {
    let records = fresh("lists-pages")?;
    let all_keys = numbered("k", 25);
    ok(records.set_many(&items(&all_keys), true))?;
    for limit in [1, 4, 5, 24, 25, 26, u32::MAX] {
        for reverse in [false, true] {
            let options = ListOptions { limit: Some(limit), reverse, ..page(all()) };
            let first = ok(records.list_keys(&options))?;
            let expected = usize::try_from(limit).unwrap_or(usize::MAX).min(25);
            same(first.keys.len(), expected)?;
            holds("what is left has a cursor", first.cursor.is_some() || expected == 25)?;
            let mut expected = all_keys.clone();
            if reverse {
                expected.reverse();
            }
            same(keys(options, |options| records.list_keys(options))?, expected)?;
        }
    }
    // The size of the next page is free.
    let first = ok(records.list_keys(&ListOptions { limit: Some(3), ..page(all()) }))?;
    let rest = ok(records.list_keys(&ListOptions { cursor: first.cursor, ..page(all()) }))?;
    same([first.keys, rest.keys].concat(), all_keys)?;
    same(rest.cursor, None)
}

fn a_cursor_goes_on_over_changes_between_pages() -> Case {
    for reverse in [false, true] {
        let records = fresh("lists-changes")?;
        let mut order = numbered("k", 9);
        ok(records.set_many(&items(&order), true))?;
        if reverse {
            order.reverse();
        }
        let at = |n: usize| order.get(n).cloned().unwrap_or_default();
        let mut options = ListOptions { limit: Some(3), reverse, ..page(all()) };
        let first = ok(records.list_keys(&options))?;
        same(first.keys, order.iter().take(3).cloned().collect::<Vec<_>>())?;
        // The page's last key and the next page's first one go; one comes before the cursor, and one after it.
        ok(records.delete_many(&[at(2), at(3)]))?;
        let (before, after) = (format!("{}+", at(0)), format!("{}+", at(4)));
        ok(records.set_many(&items(&[before, after.clone()]), true))?;
        options.cursor = first.cursor;
        let rest = keys(options, |options| records.list_keys(options))?;
        let mut expected = vec![at(4), at(5), at(6), at(7), at(8), after];
        expected.sort();
        if reverse {
            expected.reverse();
        }
        same(rest, expected)?;
    }
    Ok(())
}

const NO_CURSOR: &str = "invalid-argument: invalid argument: the cursor is not one that this list has given; begin the list \
                         again without one";

fn a_forged_cursor_is_refused() -> Case {
    let records = filled("lists-forged")?;
    let first = ok(records.list_keys(&ListOptions { limit: Some(2), ..page(all()) }))?;
    let cursor = first.cursor.ok_or("a first page of nine records by two has a cursor")?;
    let with = |cursor: &str| ListOptions { cursor: Some(cursor.to_owned()), ..page(all()) };
    let mut forged = strings(&["", "a", "cursor", "AQ", "a/1", "\0", "ключ"]);
    forged.push(format!("{cursor}A"));
    forged.push(cursor.chars().rev().collect());
    forged.push(cursor.get(1..).unwrap_or_default().to_owned());
    // One character of it changed.
    for at in [0, cursor.len() / 2] {
        let other = |c| if c == 'A' { 'B' } else { 'A' };
        forged.push(cursor.char_indices().map(|(n, c)| if n == at { other(c) } else { c }).collect());
    }
    for cursor in &forged {
        fails(records.list_keys(&with(cursor)), NO_CURSOR)?;
        fails(records.list_entries(&with(cursor)), NO_CURSOR)?;
    }
    same(ok(records.list_keys(&with(&cursor)))?.keys, strings(KEYS.get(2..).unwrap_or_default()))
}

fn a_cursor_belongs_to_its_list() -> Case {
    let (records, other) = (filled("lists-cursor")?, filled("lists-cursor-other")?);
    let cursor = ok(records.list_keys(&ListOptions { limit: Some(1), ..page(prefixed("a")) }))?.cursor;
    same(cursor.is_some(), true)?;
    let with = |options: ListOptions| ListOptions { cursor: cursor.clone(), ..options };
    fails(other.list_keys(&with(page(prefixed("a")))), NO_CURSOR)?;
    for range in [
        all(),
        prefixed("b"),
        prefixed("a/"),
        like("a*"),
        KeyRange { start: Some("a".to_owned()), ..prefixed("a") },
        KeyRange { end: Some("b".to_owned()), ..prefixed("a") },
    ] {
        fails(records.list_keys(&with(page(range))), NO_CURSOR)?;
    }
    fails(records.list_keys(&with(ListOptions { reverse: true, ..page(prefixed("a")) })), NO_CURSOR)?;
    let default = cleared_default("lists-cursor/")?;
    fails(default.list_keys(&with(page(prefixed("a")))), NO_CURSOR)?;
    same(ok(records.list_keys(&with(page(prefixed("a")))))?.keys, strings(&["a/1", "a/2", "a/3"]))
}

fn counts_agree_with_lists() -> Case {
    let records = filled("lists-count")?;
    for (range, expected) in ranges() {
        let shown = format!("{range:?}");
        same(ok(records.count(&range))?, expected.len() as u64).map_err(|error| format!("{shown}: {error}"))?;
    }
    Ok(())
}

fn clearing_removes_what_has_the_prefix() -> Case {
    let records = filled("lists-clear")?;
    same(ok(records.clear("a/"))?, Cleared { removed: 3, more: false })?;
    same(keys_in(&records, all())?, strings(&["a", "b", "b/1", "ba", "ä/1", "ä/2"]))?;
    same(ok(records.clear("a/"))?, Cleared { removed: 0, more: false })?;
    same(ok(records.clear("b"))?, Cleared { removed: 3, more: false })?;
    same(ok(records.clear(""))?, Cleared { removed: 3, more: false })?;
    same(ok(records.count(&all()))?, 0)
}

fn more_than_ten_thousand_are_cleared_in_parts() -> Case {
    let records = fresh("lists-clear-more")?;
    let all_keys = numbered("k/", 10_005);
    let (most, rest) = all_keys.split_at(10_000);
    ok(records.set_many(&items(most), true))?;
    ok(records.set_many(&items(rest), true))?;
    ok(records.set("other", b"", None))?;
    // They are pages too: of 1,000 where nothing is said, and never of more than 10,000.
    same(ok(records.list_keys(&page(all())))?.keys.len(), 1_000)?;
    let largest = ok(records.list_keys(&ListOptions { limit: Some(20_000), ..page(all()) }))?;
    same((largest.keys.len(), largest.cursor.is_some()), (10_000, true))?;
    same(keys_in(&records, prefixed("k/"))?, all_keys.clone())?;
    same(ok(records.count(&prefixed("k/")))?, 10_005)?;
    same(ok(records.clear("k/"))?, Cleared { removed: 10_000, more: true })?;
    same(ok(records.count(&prefixed("k/")))?, 5)?;
    same(ok(records.clear("k/"))?, Cleared { removed: 5, more: false })?;
    same(keys_in(&records, all())?, strings(&["other"]))
}

fn the_simple_list_has_a_limit() -> Case {
    const MIB: usize = 1 << 20;
    let default = cleared_default("long/")?;
    let long = "k".repeat(2048 - "long/00000000".len());
    let keys: Vec<String> = numbered("long/", 16 * MIB / 2048 + 1).iter().map(|key| format!("{key}{long}")).collect();
    for part in keys.chunks(5_000) {
        ok(default.set_many(&part.iter().map(|key| item(key, b"")).collect::<Vec<_>>(), true))?;
    }
    fails(
        store::list_keys("long/"),
        "limit-exceeded: limit exceeded: the bytes of the keys with this prefix (at least) is 16779264; the limit is 16777216; list them in pages",
    )?;
    // Pages have them all.
    same(keys_in(&default, prefixed("long/"))?.len(), keys.len())?;
    same(ok(default.clear("long/"))?, Cleared { removed: keys.len() as u64, more: false })?;
    same(ok(store::list_keys("long/"))?.len(), 0)
}

fn a_page_of_nothing_is_refused() -> Case {
    let records = fresh("lists-nothing")?;
    let options = ListOptions { limit: Some(0), ..page(all()) };
    let error = "invalid-argument: invalid argument: a limit is at least 1";
    fails(records.list_keys(&options), error)?;
    fails(records.list_entries(&options), error)
}
