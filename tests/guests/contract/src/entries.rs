//! Entries: what is kept of a record beside its value, and how it changes.

use crate::stash::storage::store;
use crate::stash::storage::types::{Entry, Expiry, MergedMetadata, MetadataChange, NewMetadata, SetOptions};
use crate::support::{
    Case, HOUR, Named, all, bare, cases, cleared_default, fails, found, fresh, holds, keys_in, now, ok, pairs, same,
    strings, with,
};

pub(crate) const CASES: &[Named] = cases![
    an_entry_has_all_that_was_given,
    a_plain_set_keeps_only_the_time_of_creation,
    what_is_not_there_is_none_everywhere,
    metadata_is_replaced,
    metadata_is_merged,
    metadata_of_nothing_is_not_found,
    content_types_and_attributes_have_limits,
    the_simple_store_does_what_it_says,
    keys_are_any_text_and_values_any_bytes,
];

fn given() -> SetOptions {
    SetOptions {
        expires: Expiry::After(HOUR),
        content_type: Some("text/plain".to_owned()),
        attributes: pairs(&[("b", "2"), ("a", "1"), ("ä", "")]),
    }
}

fn an_entry_has_all_that_was_given() -> Case {
    let records = fresh("entries-given")?;
    let before = now();
    let version = ok(records.set("k", b"value", Some(&with(given()))))?;
    let after = now();
    let Entry { key, value, metadata } = found(records.get_entry("k"))?;
    same((key.as_str(), value.as_slice()), ("k", &b"value"[..]))?;
    same(metadata.version, version)?;
    holds("the version is not 0", version > 0)?;
    let created = metadata.created.unwrap_or_default();
    holds(&format!("{before} <= {created} <= {after}"), (before..=after).contains(&created))?;
    same(metadata.updated, Some(created))?;
    same(metadata.expires, Some(created + HOUR))?;
    same(metadata.content_type.as_deref(), Some("text/plain"))?;
    same(&metadata.attributes, &pairs(&[("a", "1"), ("b", "2"), ("ä", "")]))?;
    same(found(records.get_metadata("k"))?, metadata.clone())?;
    let entries = ok(records.get_entries(&strings(&["x", "k"])))?;
    same(entries, vec![None, Some(Entry { key, value, metadata })])
}

fn a_plain_set_keeps_only_the_time_of_creation() -> Case {
    let records = fresh("entries-plain")?;
    let first = ok(records.set("k", b"1", Some(&with(given()))))?;
    let old = found(records.get_metadata("k"))?;
    let second = ok(records.set("k", b"2", None))?;
    let new = found(records.get_metadata("k"))?;
    holds("versions grow", second > first)?;
    same((new.version, new.created), (second, old.created))?;
    holds("it was updated no earlier", new.updated >= old.updated)?;
    same((new.expires, new.content_type, new.attributes), (None, None, Vec::new()))?;
    // Deleted and made again it is another record.
    same(ok(records.delete("k", None))?, true)?;
    let before = now();
    let third = ok(records.set("k", b"3", None))?;
    holds("a version is never used twice", third > second + 1)?;
    holds("it was made anew", found(records.get_metadata("k"))?.created >= Some(before))
}

fn what_is_not_there_is_none_everywhere() -> Case {
    let records = fresh("entries-none")?;
    same(ok(records.get("k"))?, None)?;
    same(ok(records.get_entry("k"))?, None)?;
    same(ok(records.get_metadata("k"))?, None)?;
    same(ok(records.exists("k"))?, false)?;
    same(ok(records.delete("k", None))?, false)?;
    ok(records.set("k", b"", None))?;
    same(ok(records.get("k"))?, Some(Vec::new()))?;
    same(ok(records.exists("k"))?, true)?;
    same(ok(records.delete("k", None))?, true)?;
    same(ok(records.exists("k"))?, false)
}

fn metadata_is_replaced() -> Case {
    let records = fresh("entries-replace")?;
    let set = ok(records.set("k", b"value", Some(&with(given()))))?;
    let old = found(records.get_metadata("k"))?;
    let new = NewMetadata { content_type: Some("image/png".to_owned()), attributes: pairs(&[("z", "9"), ("c", "3")]) };
    let version = ok(records.set_metadata("k", &MetadataChange::Replace(new)))?;
    let entry = found(records.get_entry("k"))?;
    holds("it is a commit", version > set)?;
    same((entry.value.as_slice(), entry.metadata.version), (&b"value"[..], version))?;
    same((entry.metadata.created, entry.metadata.expires), (old.created, old.expires))?;
    same(entry.metadata.content_type.as_deref(), Some("image/png"))?;
    same(entry.metadata.attributes, pairs(&[("c", "3"), ("z", "9")]))?;
    let none = NewMetadata { content_type: None, attributes: Vec::new() };
    ok(records.set_metadata("k", &MetadataChange::Replace(none)))?;
    let metadata = found(records.get_metadata("k"))?;
    same((metadata.content_type, metadata.attributes), (None, Vec::new()))
}

fn metadata_is_merged() -> Case {
    let records = fresh("entries-merge")?;
    ok(records.set("k", b"value", Some(&with(given()))))?;
    let old = found(records.get_metadata("k"))?;
    let merge = |content_type: Option<&str>, attributes: &[(&str, Option<&str>)]| {
        let attributes =
            attributes.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect();
        MetadataChange::Merge(MergedMetadata { content_type: content_type.map(str::to_owned), attributes })
    };
    let version = ok(records.set_metadata("k", &merge(None, &[("a", None), ("c", Some("3")), ("not there", None)])))?;
    let metadata = found(records.get_metadata("k"))?;
    same((metadata.version, metadata.created, metadata.expires), (version, old.created, old.expires))?;
    same(metadata.content_type.as_deref(), Some("text/plain"))?;
    same(metadata.attributes, pairs(&[("b", "2"), ("c", "3"), ("ä", "")]))?;
    ok(records.set_metadata("k", &merge(Some("text/html"), &[("b", Some("new"))])))?;
    let entry = found(records.get_entry("k"))?;
    same(entry.metadata.content_type.as_deref(), Some("text/html"))?;
    same(entry.metadata.attributes, pairs(&[("b", "new"), ("c", "3"), ("ä", "")]))?;
    same(entry.value.as_slice(), &b"value"[..])
}

fn metadata_of_nothing_is_not_found() -> Case {
    let records = fresh("entries-metadata-of-nothing")?;
    let new = || NewMetadata { content_type: None, attributes: pairs(&[("a", "1")]) };
    fails(records.set_metadata("k", &MetadataChange::Replace(new())), "not-found: no record with the key 'k'")?;
    same(ok(records.exists("k"))?, false)
}

fn content_types_and_attributes_have_limits() -> Case {
    let records = fresh("entries-limits")?;
    let typed = |text: &str| with(SetOptions { content_type: Some(text.to_owned()), ..bare() });
    let attributed = |attributes| with(SetOptions { attributes, ..bare() });
    let numbered = |n: usize| (0..n).map(|n| (format!("{n:02}"), "v".to_owned())).collect::<Vec<_>>();
    ok(records.set("k", b"", Some(&typed(&"t".repeat(255)))))?;
    ok(records.set("k", b"", Some(&attributed(numbered(64)))))?;
    ok(records.set("k", b"", Some(&attributed(vec![("n".to_owned(), "v".repeat(8191))]))))?;
    let version = found(records.get_metadata("k"))?.version;
    for (call, error) in [
        (
            typed(&"t".repeat(256)),
            "limit-exceeded: limit exceeded: the length of a content type in bytes is 256; the limit is 255",
        ),
        (typed(""), "invalid-argument: invalid argument: a content type is not empty and has no control characters"),
        (attributed(numbered(65)), "limit-exceeded: limit exceeded: the number of attributes is 65; the limit is 64"),
        (
            attributed(vec![("n".to_owned(), "v".repeat(8192))]),
            "limit-exceeded: limit exceeded: the size of the attributes in bytes is 8193; the limit is 8192",
        ),
        (
            attributed(pairs(&[("n", "1"), ("m", ""), ("n", "1")])),
            "invalid-argument: invalid argument: the attribute 'n' is there twice",
        ),
        (attributed(pairs(&[("", "v")])), "invalid-argument: invalid argument: an attribute's name is not empty"),
    ] {
        fails(records.set("k", b"refused", Some(&call)), error)?;
    }
    // What a merge makes of a record counts as a whole.
    let more = MergedMetadata { content_type: None, attributes: vec![("m".to_owned(), Some(String::new()))] };
    fails(
        records.set_metadata("k", &MetadataChange::Merge(more)),
        "limit-exceeded: limit exceeded: the size of the attributes in bytes is 8193; the limit is 8192",
    )?;
    let entry = found(records.get_entry("k"))?;
    same((entry.metadata.version, entry.value), (version, Vec::new()))
}

fn the_simple_store_does_what_it_says() -> Case {
    cleared_default("simple/")?;
    let key = |name: &str| format!("simple/{name}");
    same(ok(store::get(&key("k")))?, None)?;
    ok(store::set(&key("k"), b"value"))?;
    ok(store::set(&key("b"), b"\0\xff"))?;
    same(ok(store::get(&key("k")))?, Some(b"value".to_vec()))?;
    same(ok(store::get(&key("b")))?, Some(vec![0, 0xff]))?;
    same(ok(store::exists(&key("k")))?, true)?;
    same(ok(store::increment(&key("n"), 5))?, 5)?;
    same(ok(store::increment(&key("n"), -7))?, -2)?;
    same(ok(store::get(&key("n")))?, Some(b"-2".to_vec()))?;
    same(ok(store::list_keys("simple/"))?, strings(&["simple/b", "simple/k", "simple/n"]))?;
    same(ok(store::list_keys("simple/k"))?, strings(&["simple/k"]))?;
    same(ok(store::list_keys("simple/nothing"))?, Vec::<String>::new())?;
    same(ok(store::delete(&key("k")))?, true)?;
    same(ok(store::delete(&key("k")))?, false)?;
    same(ok(store::exists(&key("k")))?, false)?;
    same(ok(store::list_keys("simple/"))?, strings(&["simple/b", "simple/n"]))
}

fn keys_are_any_text_and_values_any_bytes() -> Case {
    let records = fresh("entries-keys")?;
    let long = "k".repeat(2048);
    let mut keys = vec!["\0", "\n", " ", "..", "/", "//", "a/b", "\u{1f}", "\u{10ffff}", "\u{202e}", "ключ", &long];
    for key in &keys {
        ok(records.set(key, key.as_bytes(), None))?;
    }
    keys.sort_unstable();
    same(keys_in(&records, all())?, strings(&keys))?;
    for key in &keys {
        same(found(records.get(key))?.as_slice(), key.as_bytes())?;
    }
    let bytes: Vec<u8> = (0..=u8::MAX).collect();
    ok(records.set("bytes", &bytes, None))?;
    same(found(records.get("bytes"))?, bytes)
}
