//! Collections, and what they keep of the past.

use super::*;

fn in_collection<'a>(place: &Place, name: &'a str, arguments: &[&'a str]) -> Ran {
    kv(place, ["--collection", name].into_iter().chain(arguments.iter().copied()))
}

#[test]
fn collections_are_made_listed_described_and_deleted() {
    let place = Place::new();
    let none = collections(&place, ["create", "orders"]);
    assert_eq!((none.code, none.out.as_str(), none.err.as_str()), (Some(0), "", ""));
    let create = "create orders/2026 --keep-versions 3 --keep-for 90d --attribute by=anna --json";
    let mut made = json(&collections(&place, create.split(' ')).success());
    assert!(made["created_ms"].is_u64(), "{made}");
    made["created_ms"] = json!(0);
    let expected = json!({
        "name": "orders/2026", "created_ms": 0, "keep_versions": 3, "keep_for_ms": 7_776_000_000_u64,
        "attributes": { "by": "anna" },
    });
    assert_eq!(made, expected);

    let list = collections(&place, ["list"]).success();
    let lines: Vec<_> = list.lines().collect();
    assert!(lines[0].starts_with("NAME         CREATED") && lines[0].ends_with("ATTRIBUTES"), "{list}");
    assert!(lines[1].starts_with("orders  ") && lines[1].contains("the present"), "{list}");
    assert!(lines[2].contains("the last 3 versions of 90d") && lines[2].ends_with("by=anna"), "{list}");
    let names = json(&collections(&place, ["list", "--json"]).success());
    assert_eq!((&names[0]["name"], &names[1]["name"]), (&json!("orders"), &json!("orders/2026")));
    assert_eq!(json(&collections(&place, ["list", "orders", "--json"]).success()).as_array().unwrap().len(), 1);
    let inside = collections(&place, ["list", "orders/2026"]);
    assert!(inside.code == Some(0) && inside.err.contains("no collections are inside orders/2026"), "{inside:?}");

    in_collection(&place, "orders/2026", &["set", "17", "pears"]).success();
    let info = collections(&place, ["info", "orders/2026"]).success();
    assert!(info.contains("keys        1\n") && info.contains("attributes  by=anna\n"), "{info}");
    let info = json(&collections(&place, ["info", "orders/2026", "--json"]).success());
    assert_eq!((&info["key_count"], &info["keep_versions"]), (&json!(1), &json!(3)));

    let told = collections(&place, ["delete", "orders"]).failure(1);
    assert!(told.starts_with("the collection 'orders' is not empty; delete it recursively"), "{told}");
    let told = collections(&place, ["delete", "orders/2026"]).failure(1);
    assert!(told.contains("(--recursive)"), "{told}");
    let error = collections(&place, ["delete", "orders", "--recursive"]).failure(2);
    let question = "delete the collection orders of app/photos/001 with 1 record and 1 collection inside it";
    assert!(error.contains(question) && error.contains("nothing was done"), "{error}");
    let deleted = collections(&place, ["delete", "orders", "--recursive", "--yes", "--json"]).success();
    assert_eq!(json(&deleted), json!({ "name": "orders", "deleted": true }));
    assert_eq!(collections(&place, ["list", "--json"]).success(), "[]\n");
    let empty = collections(&place, ["list"]);
    assert!(empty.code == Some(0) && empty.err.contains("app/photos/001 has no collections"), "{empty:?}");
    // An empty one needs no question.
    collections(&place, ["create", "again"]).success();
    collections(&place, ["delete", "again"]).success();
}

#[test]
fn no_is_told_from_wrong() {
    let place = Place::new();
    collections(&place, ["create", "there"]).success();
    for arguments in
        [&["info", "gone"][..], &["delete", "gone"], &["configure", "gone", "--keep-versions", "2"], &["list", "gone"]]
    {
        let told = collections(&place, arguments.iter().copied()).failure(1);
        assert!(told.starts_with("no collection with the name 'gone'; 'stash collections list' shows"), "{told}");
    }
    let told = collections(&place, ["create", "there"]).failure(1);
    assert!(told.starts_with("there is already a collection with the name 'there'"), "{told}");
    let refused = collections(&place, ["create", "there", "--json"]);
    let text = "there is already a collection with the name 'there'";
    assert_eq!((refused.code, json(&refused.out)), (Some(1), json!({ "error": text })));

    for (arguments, text) in [
        (&["create", "c", "--keep-versions", "0"][..], "keeps 1 to 10000 versions, not 0"),
        (&["configure", "there"], "what is to change?"),
        (&["configure", "there", "--remove-attribute", "a"], "there has no attribute a; nothing was changed"),
        (&["configure", "there", "--attribute", "a=1", "--remove-attribute", "a"], "both name 'a'; is it to be set"),
    ] {
        let error = collections(&place, arguments.iter().copied()).failure(2);
        assert!(error.contains(text), "{error}");
    }
    for (arguments, text) in [
        (&["create", "a//b"][..], "no name of a collection"),
        (&["create"], "<NAME>"),
        (&["create", "c", "--keep-for", "0"], "at least 1ms"),
        (&["create", "c", "--keep-for", "-1d"], "write a number of seconds"),
        (&["create", "c", "--keep-versions", "-1"], "invalid value '-1'"),
        (&["create", "c", "--attribute", "a"], "write NAME=VALUE"),
        (&["delete"], "<NAME>"),
    ] {
        let error = collections(&place, arguments.iter().copied()).failure_with_usage();
        assert!(error.contains(text), "{error}");
    }
    let error = place.stash(["collections", "list"]).failure(2);
    assert!(error.contains("--id"), "{error}");
    // A collection that is not there is to `kv` what a store is that is not there: wrong, and not a "no".
    for arguments in [&["get", "k"][..], &["exists", "k"], &["set", "k", "v"], &["list"], &["clear", "", "--yes"]] {
        let error = in_collection(&place, "gone", arguments).failure(2);
        assert!(error.contains("no collection with the name 'gone'") && error.contains("create"), "{error}");
    }
}

#[test]
fn where_there_are_only_collections_inside_a_name_they_are_named() {
    let place = Place::new();
    collections(&place, ["create", "orders/2026/may"]).success();
    for arguments in [&["info", "orders"][..], &["delete", "orders"], &["delete", "orders/2026", "--recursive"]] {
        let told = collections(&place, arguments.iter().copied()).failure(1);
        assert!(told.starts_with("no collection with the name 'orders"), "{told}");
        assert!(told.contains("; there is 'orders/2026/may', which needs none above it"), "{told}");
    }
    let told = json(&collections(&place, ["info", "orders", "--json"]).out);
    assert_eq!(told, json!({ "error": "no collection with the name 'orders'" }));
}

#[test]
fn what_a_collection_holds_is_seen_only_there() {
    let place = Place::new();
    collections(&place, ["create", "c"]).success();
    kv(&place, ["set", "k", "outside"]).success();
    in_collection(&place, "c", &["set", "k", "inside"]).success();
    assert_eq!(kv(&place, ["get", "k"]).success(), "outside\n");
    assert_eq!(in_collection(&place, "c", &["get", "k"]).success(), "inside\n");
    let absent = in_collection(&place, "c", &["get", "gone"]).failure(1);
    assert_eq!(absent, "app/photos/001 (collection c) has no key gone\n");
    in_collection(&place, "c", &["clear", "", "--yes"]).success();
    assert_eq!(kv(&place, ["list"]).success(), "k\n");
}

#[test]
fn settings_change_where_they_are_named() {
    let place = Place::new();
    collections(&place, ["create", "c", "--attribute", "a=1", "--keep-versions", "5"]).success();
    let configure = |arguments: &str| {
        let row = collections(&place, ["configure", "--json"].into_iter().chain(arguments.split(' '))).success();
        let row = json(&row);
        (row["keep_versions"].clone(), row["keep_for_ms"].clone(), row["attributes"].clone())
    };
    assert_eq!(configure("c --keep-for 7d"), (json!(5), json!(604_800_000), json!({ "a": "1" })));
    assert_eq!(configure("c --attribute b=2"), (json!(5), json!(604_800_000), json!({ "a": "1", "b": "2" })));
    assert_eq!(
        configure("c --no-history --keep-for 1d"),
        (json!(null), json!(86_400_000), json!({ "a": "1", "b": "2" }))
    );
    assert_eq!(configure("c --no-history --remove-attribute a"), (json!(null), json!(null), json!({ "b": "2" })));
    // The component's own records, outside of any collection.
    assert_eq!(configure("--keep-versions 2"), (json!(2), json!(null), json!({})));
    let info = collections(&place, ["info"]).success();
    assert_eq!(info, "name        (without a name)\nkeys        0\nkeeps       the last 2 versions\n");
    let names = json(&collections(&place, ["list", "--json"]).success());
    assert_eq!(names.as_array().unwrap().len(), 1, "it is not one that was made: {names}");
}

#[test]
fn history_is_listed_and_read() {
    let place = Place::new();
    // Making it is the component's first version.
    collections(&place, ["create", "c", "--keep-versions", "2"]).success();
    for value in ["one", "two"] {
        in_collection(&place, "c", &["set", "k", value]).success();
    }
    in_collection(&place, "c", &["delete", "k"]).success();
    in_collection(&place, "c", &["set", "k", "three"]).success();

    let rows = json(&in_collection(&place, "c", &["history", "k", "--json"]).success());
    let version = |row: usize| rows[row]["version"].as_u64().unwrap();
    assert_eq!(rows.as_array().unwrap().len(), 3, "{rows}");
    assert_eq!((&rows[0]["text"], &rows[2]["text"]), (&json!("three"), &json!("two")));
    assert_eq!(rows[1], json!({ "key": "k", "version": version(1), "deleted": true }));
    assert!(rows[0]["created_ms"].is_u64() && rows[0]["attributes"].is_object(), "{rows}");

    let shown = in_collection(&place, "c", &["history", "k"]);
    let columns: Vec<Vec<_>> = shown.out.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(columns[0], ["VERSION", "SIZE", "UPDATED", "EXPIRES"]);
    assert_eq!(columns[1][..3], [&*version(0).to_string(), "5", "B"]);
    assert_eq!(columns[2], [&*version(1).to_string(), "deleted", "-", "-"]);
    assert_eq!(shown.err, "(older versions are no longer kept)\n");
    let one = in_collection(&place, "c", &["history", "k", "--limit", "1"]).success();
    assert_eq!(one.lines().count(), 2, "{one}");

    let at = |version: u64| in_collection(&place, "c", &["get", "k", "--at", &version.to_string()]);
    assert_eq!(at(version(0)).success(), "three\n");
    assert_eq!(at(version(1)).code, Some(1));
    assert_eq!(at(version(2)).success(), "two\n");
    let error = at(version(2) - 1).failure(2);
    assert!(error.contains("is no longer kept, or never was") && error.contains("stash kv history"), "{error}");
    let error = at(version(0) + 1).failure(2);
    let text = format!("app/photos/001 is at version {0}; there is no version {1} yet", version(0), version(0) + 1);
    assert!(error.contains(&text), "{error}");
    let row = in_collection(&place, "c", &["get", "k", "--at", &version(2).to_string(), "--meta", "--json"]);
    assert_eq!(json(&row.success())["version"], json!(version(2)));
}

#[test]
fn what_is_kept_of_the_past_is_data_too() {
    let place = Place::new();
    collections(&place, ["configure", "--keep-versions", "3"]).success();
    kv(&place, ["set", "k", "value"]).success();
    kv(&place, ["delete", "k"]).success();
    assert!(kv(&place, ["usage"]).success().starts_with("0 keys, "));
    let ids = json(&place.stash(["ids", "--json"]).success());
    assert_eq!((&ids[0]["id"], &ids[0]["key_count"]), (&json!(ID[1]), &json!(0)));
    let status = json(&place.stash(["status", "--json"]).success());
    assert_eq!((&status["component_count"], &status["used_bytes"]), (&json!(1), &ids[0]["used_bytes"]));
    assert!(status["used_bytes"].as_u64().unwrap() >= 6, "{status}");
}

#[test]
fn without_history_a_person_is_told_how_to_have_it() {
    let place = Place::new();
    kv(&place, ["set", "k", "one"]).success();
    kv(&place, ["set", "k", "two"]).success();
    let shown = kv(&place, ["history", "k"]);
    assert_eq!(shown.out.lines().count(), 2, "{shown:?}");
    assert!(shown.err.contains("stash collections configure --keep-versions"), "{shown:?}");
    let nothing = kv(&place, ["history", "gone"]);
    assert!(nothing.code == Some(1) && nothing.err.starts_with("app/photos/001 has no key gone\n"), "{nothing:?}");
    let nothing = kv(&place, ["history", "gone", "--json"]);
    assert_eq!((nothing.code, nothing.out.as_str()), (Some(1), "[]\n"));
}

#[test]
fn a_long_history_is_read_in_pages() {
    let place = Place::new();
    collections(&place, ["configure", "--keep-versions", "1000"]).success();
    place.stash(["run", "--id", ID[1], "--invoke", "set-loop(\"k\", 250)", stash_tests::PROBE]).success();
    let rows = json(&kv(&place, ["history", "k", "--json"]).success());
    let versions: Vec<_> = rows.as_array().unwrap().iter().map(|row| row["version"].as_u64().unwrap()).collect();
    assert_eq!(versions.len(), 250);
    assert!(versions.is_sorted_by(|a, b| a > b), "{versions:?}");
    let limited = json(&kv(&place, ["history", "k", "--json", "--limit", "120"]).success());
    assert_eq!(limited.as_array().unwrap()[..], rows.as_array().unwrap()[..120]);
}
