//! Collections: made, listed, configured, deleted, and each with keys of its own.

use crate::stash::storage::capabilities;
use crate::stash::storage::collections::{self, Cleared, Collection, Settings};
use crate::stash::storage::store;
use crate::stash::storage::types::{Change, Condition, Expiry, MetadataChange, NewMetadata};
use crate::support::{
    Case, HOUR, Named, add, all, bare, cases, check, cleared_default, expiring, fails, found, fresh, fresh_with, gone,
    holds, item, items, keeping, keys_in, now, numbered, ok, page, pairs, plain, prefixed, same, set, strings, usage,
    uses, wait_until, wipe, with,
};

pub(crate) const CASES: &[Named] = cases![
    a_collection_is_made_once_with_its_settings,
    a_collection_is_opened_or_made,
    a_collection_that_is_missing_is_not_found,
    collections_are_listed_in_the_order_of_their_names,
    a_collection_is_configured_anew,
    settings_have_limits,
    a_collection_that_is_not_empty_is_not_deleted,
    recursive_deletion_takes_all_that_is_inside,
    a_large_collection_is_deleted_whole,
    a_deleted_collection_reads_as_empty_and_refuses_changes,
    a_collection_made_again_is_empty,
    names_that_are_none_are_refused,
    names_of_all_kinds_are_taken,
    collections_do_not_see_each_other,
    the_empty_name_is_the_default_collection,
];

fn a_collection_is_made_once_with_its_settings() -> Case {
    let settings = || Settings { attributes: pairs(&[("b", "2"), ("a", "1")]), ..keeping(Some(3), Some(HOUR)) };
    let before = now();
    let records = fresh_with("named-made", &settings())?;
    let after = now();
    same(records.name(), "named-made")?;
    same(ok(records.count(&all()))?, 0)?;
    fails(
        collections::create("named-made", &plain()),
        "already-exists: there is already a collection with the name 'named-made'",
    )?;
    let info = ok(collections::info("named-made"))?;
    same(info.name.as_str(), "named-made")?;
    let created = info.created.unwrap_or_default();
    holds(&format!("{before} <= {created} <= {after}"), (before..=after).contains(&created))?;
    same(info.settings.attributes, pairs(&[("a", "1"), ("b", "2")]))?;
    same(info.settings.retention, settings().retention)?;
    ok(records.set("k", b"1", None))?;
    let again = ok(collections::open("named-made"))?;
    same(again.name(), "named-made")?;
    same(found(again.get("k"))?.as_slice(), &b"1"[..])?;
    let default = ok(collections::info(""))?;
    same((default.name.as_str(), default.created), ("", None))
}

fn a_collection_is_opened_or_made() -> Case {
    gone("named-either")?;
    let settings = Settings { attributes: pairs(&[("a", "1")]), ..plain() };
    let made = ok(collections::open_or_create("named-either", &settings))?;
    ok(made.set("k", b"1", None))?;
    let opened = ok(collections::open_or_create("named-either", &plain()))?;
    same(found(opened.get("k"))?.as_slice(), &b"1"[..])?;
    same(ok(collections::info("named-either"))?.settings.attributes, pairs(&[("a", "1")]))?;
    same(ok(collections::open_or_create("", &plain()))?.name().as_str(), "")?;
    fails(
        collections::open_or_create("a//b", &plain()),
        "invalid-argument: invalid argument: 'a//b' is no name of a collection: it, or a part of it between '/', is empty",
    )
}

fn a_collection_that_is_missing_is_not_found() -> Case {
    gone("named-missing")?;
    let error = "not-found: no collection with the name 'named-missing'";
    fails(collections::open("named-missing"), error)?;
    fails(collections::info("named-missing"), error)?;
    fails(collections::configure("named-missing", &plain()), error)?;
    fails(collections::delete("named-missing", false), error)?;
    fails(collections::delete("named-missing", true), error)
}

fn listed(inside: &str) -> Result<Vec<String>, String> {
    Ok(ok(collections::list(Some(inside)))?.into_iter().map(|info| info.name).collect())
}

fn collections_are_listed_in_the_order_of_their_names() -> Case {
    let names = ["named-list/b", "named-list", "named-list2", "named-list/a/2", "named-list/a", "named-list/a/1"];
    for name in ["named-list", "named-list2"] {
        gone(name)?;
    }
    for name in names {
        ok(collections::create(name, &Settings { attributes: pairs(&[("name", name)]), ..plain() }))?;
    }
    same(listed("named-list")?, strings(&["named-list/a", "named-list/a/1", "named-list/a/2", "named-list/b"]))?;
    same(listed("named-list/a")?, strings(&["named-list/a/1", "named-list/a/2"]))?;
    same(listed("named-list/b")?, Vec::<String>::new())?;
    let every = ok(collections::list(None))?;
    let mine: Vec<_> = every.iter().filter(|info| info.name.starts_with("named-list")).collect();
    let mut sorted = strings(&names);
    sorted.sort();
    same(mine.iter().map(|info| info.name.clone()).collect::<Vec<_>>(), sorted)?;
    for info in mine {
        same(info, &ok(collections::info(&info.name))?)?;
        same(info.settings.attributes.clone(), pairs(&[("name", &info.name)]))?;
    }
    holds("the default collection was not made", every.iter().all(|info| !info.name.is_empty()))?;
    same(usize::try_from(ok(capabilities::status())?.collections).unwrap_or_default(), every.len())?;
    gone("named-list")?;
    gone("named-list2")?;
    same(ok(collections::list(None))?.len(), every.len() - names.len())
}

fn a_collection_is_configured_anew() -> Case {
    let records = fresh_with("named-configure", &keeping(Some(2), None))?;
    let created = ok(collections::info("named-configure"))?.created;
    ok(records.set("k", b"1", None))?;
    let settings = Settings { attributes: pairs(&[("a", "1")]), ..keeping(None, Some(HOUR)) };
    ok(collections::configure("named-configure", &settings))?;
    let info = ok(collections::info("named-configure"))?;
    same((info.created, info.settings), (created, settings))?;
    same(found(records.get("k"))?.as_slice(), &b"1"[..])?;
    // The default collection too.
    let settings = Settings { attributes: pairs(&[("of", "the default")]), ..plain() };
    ok(collections::configure("", &settings))?;
    let info = ok(collections::info(""))?;
    same((info.name.as_str(), info.created, info.settings), ("", None, settings))?;
    ok(collections::configure("", &plain()))?;
    same(ok(collections::info(""))?.settings, plain())
}

fn settings_have_limits() -> Case {
    let records = fresh("named-settings")?;
    let numbered = |n: usize| (0..n).map(|n| (format!("{n:02}"), String::new())).collect::<Vec<_>>();
    for (settings, error) in [
        (keeping(Some(0), None), "invalid-argument: invalid argument: a collection keeps 1 to 10000 versions, not 0"),
        (
            keeping(Some(10_001), None),
            "invalid-argument: invalid argument: a collection keeps 1 to 10000 versions, not 10001",
        ),
        (
            Settings { attributes: numbered(65), ..plain() },
            "limit-exceeded: limit exceeded: the number of attributes is 65; the limit is 64",
        ),
        (
            Settings { attributes: vec![("n".to_owned(), "v".repeat(8192))], ..plain() },
            "limit-exceeded: limit exceeded: the size of the attributes in bytes is 8193; the limit is 8192",
        ),
        (
            Settings { attributes: pairs(&[("", "v")]), ..plain() },
            "invalid-argument: invalid argument: an attribute's name is not empty",
        ),
    ] {
        gone("named-settings-refused")?;
        fails(collections::create("named-settings-refused", &settings), error)?;
        fails(collections::configure("named-settings", &settings), error)?;
        fails(
            collections::open("named-settings-refused"),
            "not-found: no collection with the name 'named-settings-refused'",
        )?;
    }
    same(ok(collections::info(&records.name()))?.settings, plain())?;
    ok(collections::configure(
        "named-settings",
        &Settings { attributes: numbered(64), ..keeping(Some(10_000), Some(1)) },
    ))
}

fn a_collection_that_is_not_empty_is_not_deleted() -> Case {
    let records = fresh("named-full")?;
    let error =
        "not-empty: the collection 'named-full' is not empty; delete it recursively to delete all that is in it";
    ok(records.set("k", b"1", None))?;
    fails(collections::delete("named-full", false), error)?;
    same(found(records.get("k"))?.as_slice(), &b"1"[..])?;
    ok(records.delete("k", None))?;
    ok(collections::create("named-full/inner", &plain()))?;
    fails(collections::delete("named-full", false), error)?;
    ok(collections::delete("named-full/inner", false))?;
    // What has expired does not count.
    ok(records.set("k", b"1", Some(&with(expiring(Expiry::After(1))))))?;
    wait_until(now() + 1);
    ok(collections::delete("named-full", false))?;
    fails(collections::open("named-full"), "not-found: no collection with the name 'named-full'")
}

fn recursive_deletion_takes_all_that_is_inside() -> Case {
    gone("named-tree")?;
    gone("named-tree2")?;
    let before = usage()?;
    for name in ["named-tree", "named-tree/a", "named-tree/a/b", "named-tree2"] {
        let records = ok(collections::create(name, &keeping(Some(5), None)))?;
        ok(records.set("k", b"1", None))?;
        ok(records.set("k", b"2", None))?;
    }
    ok(collections::delete("named-tree", true))?;
    for name in ["named-tree", "named-tree/a", "named-tree/a/b"] {
        fails(collections::open(name), &format!("not-found: no collection with the name '{name}'"))?;
    }
    // Its neighbour lost nothing: a record of two bytes, and the same once more in its history.
    uses(before, 4, 1)?;
    ok(collections::delete("named-tree2", true))?;
    uses(before, 0, 0)
}

fn a_large_collection_is_deleted_whole() -> Case {
    let records = fresh("named-large")?;
    let keys = numbered("", 20_001);
    for part in keys.chunks(10_000) {
        ok(records.set_many(&items(part), true))?;
    }
    ok(collections::delete("named-large", true))?;
    let records = ok(collections::create("named-large", &plain()))?;
    same(ok(records.count(&all()))?, 0)?;
    gone("named-large")
}

fn a_deleted_collection_reads_as_empty_and_refuses_changes() -> Case {
    let records = fresh_with("named-deleted", &keeping(Some(5), None))?;
    let version = ok(records.set("k", b"1", None))?;
    ok(collections::delete("named-deleted", true))?;
    same(records.name(), "named-deleted")?;
    same(ok(records.get("k"))?, None)?;
    same(ok(records.get_entry("k"))?, None)?;
    same(ok(records.get_metadata("k"))?, None)?;
    same(ok(records.exists("k"))?, false)?;
    same(ok(records.get_many(&strings(&["k"])))?, vec![None])?;
    same(ok(records.get_entries(&strings(&["k"])))?, vec![None])?;
    same(keys_in(&records, all())?, Vec::<String>::new())?;
    same(ok(records.list_entries(&page(all())))?.entries.len(), 0)?;
    same(ok(records.count(&all()))?, 0)?;
    same(ok(records.list_versions("k", None, 10))?.versions.len(), 0)?;
    refuses_changes(&records, version)?;
    same(ok(records.count(&all()))?, 0)
}

fn refuses_changes(records: &Collection, version: u64) -> Case {
    let error = &format!("not-found: no collection with the name '{}'", records.name());
    fails(records.set("k", b"2", None), error)?;
    let none = NewMetadata { content_type: None, attributes: Vec::new() };
    fails(records.set_metadata("k", &MetadataChange::Replace(none)), error)?;
    fails(records.delete("k", None), error)?;
    fails(records.increment("n", 1), error)?;
    fails(records.touch("k", Expiry::After(HOUR)), error)?;
    fails(records.persist("k"), error)?;
    fails(records.set_many(&[item("k", b"2")], true), error)?;
    fails(records.delete_many(&strings(&["k"])), error)?;
    fails(records.commit(&[], &[add("n", 1), Change::Delete("k".to_owned())]), error)?;
    fails(records.clear(""), error)?;
    // A check that fails may be told first.
    let checked = records.commit(&[check("k", Condition::Version(version))], &[set("k", b"2")]);
    holds("a commit with a check fails too", checked.is_err())
}

fn a_collection_made_again_is_empty() -> Case {
    let old = fresh_with("named-again", &keeping(Some(5), None))?;
    ok(old.set("k", b"1", None))?;
    ok(old.set("k", b"2", Some(&with(bare()))))?;
    ok(collections::delete("named-again", true))?;
    let new = ok(collections::create("named-again", &keeping(Some(5), None)))?;
    same(ok(new.get("k"))?, None)?;
    same(ok(new.count(&all()))?, 0)?;
    same(ok(new.list_versions("k", None, 10))?.versions.len(), 0)
}

fn names_that_are_none_are_refused() -> Case {
    let long = "x".repeat(257);
    let empty = "it, or a part of it between '/', is empty";
    let space = "a part of it begins or ends with white space";
    let control = "it has a control character";
    for (name, shown, why) in [
        ("/", "/", empty),
        ("/a", "/a", empty),
        ("a/", "a/", empty),
        ("a//b", "a//b", empty),
        (" a", " a", space),
        ("a ", "a ", space),
        ("a/ b", "a/ b", space),
        ("\u{a0}a", "\\u{a0}a", space),
        ("\n", "\\n", space),
        ("a\nb", "a\\nb", control),
        ("a\0b", "a\\0b", control),
        ("a\u{1f}b", "a\\u{1f}b", control),
        ("a\u{7f}b", "a\\u{7f}b", control),
        ("1/2/3/4/5/6/7/8/9", "1/2/3/4/5/6/7/8/9", "it has more than 8 parts"),
        (&long, &"x".repeat(40), "it has 257 bytes; the limit is 256"),
    ] {
        let error = format!("invalid-argument: invalid argument: '{shown}' is no name of a collection: {why}");
        fails(collections::create(name, &plain()), &error)?;
        fails(collections::open(name), &error)?;
        fails(collections::info(name), &error)?;
        fails(collections::configure(name, &plain()), &error)?;
        fails(collections::delete(name, true), &error)?;
    }
    // The default collection is always there: it is neither made nor deleted.
    holds("the empty name is not made", collections::create("", &plain()).is_err())?;
    holds("the empty name is not deleted", collections::delete("", true).is_err())
}

fn names_of_all_kinds_are_taken() -> Case {
    let long = format!("names {}", "x".repeat(250));
    let names = [
        "names ..",
        "names .",
        "names 'a'",
        "names \u{202e}b",
        "names ключ",
        "names/1/2/3/4/5/6/7",
        &long,
        "names a:b*?\\",
    ];
    for name in names {
        let records = fresh(name)?;
        ok(records.set("k", name.as_bytes(), None))?;
    }
    for name in names {
        let records = ok(collections::open(name))?;
        same(records.name().as_str(), name)?;
        same(found(records.get("k"))?.as_slice(), name.as_bytes())?;
        same(ok(records.count(&all()))?, 1)?;
    }
    names.iter().try_for_each(|name| gone(name))
}

fn collections_do_not_see_each_other() -> Case {
    let names = ["named-apart", "named-apart/a", "named-apart/a/b", "named-apart2"];
    for name in ["named-apart", "named-apart2"] {
        gone(name)?;
    }
    let default = cleared_default("a/")?;
    let mut every: Vec<_> = Vec::new();
    for name in names {
        every.push(ok(collections::create(name, &plain()))?);
    }
    let key = "a/b";
    ok(default.set(key, b"", None))?;
    for records in &every {
        ok(records.set(key, records.name().as_bytes(), None))?;
        ok(records.set("b", b"", None))?;
    }
    for records in &every {
        same(found(records.get(key))?.as_slice(), records.name().as_bytes())?;
        same(keys_in(records, all())?, strings(&["a/b", "b"]))?;
        same(ok(records.count(&all()))?, 2)?;
    }
    same(found(default.get(key))?, Vec::new())?;
    // Clearing and deleting stay inside, too.
    for records in &every {
        same(ok(records.clear(""))?, Cleared { removed: 2, more: false })?;
        for other in every.iter().filter(|other| other.name() > records.name()) {
            same(ok(other.count(&all()))?, 2)?;
        }
    }
    ok(collections::delete("named-apart", true))?;
    same(found(default.get(key))?, Vec::new())?;
    ok(collections::open("named-apart2"))?;
    gone("named-apart2")
}

fn the_empty_name_is_the_default_collection() -> Case {
    let default = cleared_default("default/")?;
    same(default.name(), "")?;
    ok(store::set("default/k", b"from store"))?;
    same(found(default.get("default/k"))?.as_slice(), &b"from store"[..])?;
    ok(default.set("default/l", b"from the collection", None))?;
    same(found(store::get("default/l"))?.as_slice(), &b"from the collection"[..])?;
    same(ok(store::increment("default/n", 2))?, 2)?;
    same(ok(default.increment("default/n", 3))?, 5)?;
    same(ok(store::list_keys("default/"))?, keys_in(&default, prefixed("default/"))?)?;
    same(ok(store::delete("default/l"))?, true)?;
    same(ok(default.exists("default/l"))?, false)?;
    same(ok(default.delete("default/k", None))?, true)?;
    same(ok(store::exists("default/k"))?, false)
}

/// As many collections as a component may have, and one more. It takes a commit for each.
pub(crate) fn too_many_collections() -> Case {
    wipe()?;
    for n in 0..1_000 {
        ok(collections::create(&format!("{n:04}"), &plain()))?;
    }
    fails(
        collections::create("one more", &plain()),
        "limit-exceeded: limit exceeded: the number of collections is 1001; the limit is 1000",
    )?;
    same(ok(collections::list(None))?.len(), 1_000)?;
    ok(collections::delete("0500", false))?;
    ok(collections::create("one more", &plain()))?;
    wipe()?;
    same(ok(capabilities::status())?.collections, 0)
}
