//! `stash kv`, `collections`, `ids` and `status`: a person, or a script, looks at and fixes a component's data. Nothing here
//! may wait for time to pass: what expires does so at a moment that the test names.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "kv/collections.rs"]
mod collections;
#[path = "kv/expiry.rs"]
mod expiry;
#[path = "kv/lists.rs"]
mod lists;
#[path = "kv/status.rs"]
mod status;
#[path = "kv/writes.rs"]
mod writes;

use serde_json::{Value, json};
use stash_core::limits::MAX_BATCH_ITEMS;
use stash_core::{Batch, ComponentStorage};
use stash_host::{Stash, StashConfig};
use stash_tests::support::{Place, Ran};

const ID: [&str; 2] = ["--id", "app/photos/001"];

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// `stash kv` with these arguments, about one component.
fn kv<'a>(place: &Place, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
    place.stash(["kv"].into_iter().chain(ID).chain(arguments))
}

/// Stores `k/00000000` and so on, `n` in all, in few commits; the store is closed afterwards.
fn fill(place: &Place, n: usize) {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let stash = Stash::open(&place.store_url(), StashConfig::default()).await.unwrap();
        let component = stash.component(&ID[1].parse().unwrap());
        let keys: Vec<_> = (0..n).map(|n| format!("k/{n:08}")).collect();
        for keys in keys.chunks(MAX_BATCH_ITEMS) {
            let batch = keys.iter().fold(Batch::new(), |batch, key| batch.set(key, "v"));
            component.commit(batch).await.unwrap();
        }
    });
}

/// `stash collections` with these arguments, about the same component.
fn collections<'a>(place: &Place, arguments: impl IntoIterator<Item = &'a str>) -> Ran {
    place.stash(["collections"].into_iter().chain(ID).chain(arguments))
}

#[test]
fn values_come_from_the_command_line_a_file_or_standard_input() {
    let place = Place::new();
    place.stash(["kv", "set", ID[0], ID[1], "a", "text"]).success();
    std::fs::write(place.path().join("cat.png"), b"\x89PNG\0\xff").unwrap();
    place.stash(["kv", "set", ID[0], ID[1], "--file", "cat.png", "b"]).success();
    place.stash_with_input(["kv", "set", ID[0], ID[1], "c"], b"from\nstdin").success();
    place.stash_with_input(["kv", "set", ID[0], ID[1], "--file", "-", "d"], b"").success();

    assert_eq!(place.stash(["kv", "get", ID[0], ID[1], "a"]).success(), "text\n");
    let binary = place.stash(["kv", "get", ID[0], ID[1], "b"]);
    assert_eq!(binary.out, "89504e4700ff\n");
    assert!(binary.err.contains("--raw"), "{binary:?}");
    let raw = place.command(["kv", "get", ID[0], ID[1], "--raw", "b"]).output().unwrap();
    assert_eq!(raw.stdout, b"\x89PNG\0\xff");
    assert_eq!(place.stash(["kv", "get", ID[0], ID[1], "c"]).success(), "from\nstdin\n");
    assert_eq!(place.stash(["kv", "get", ID[0], ID[1], "d"]).success(), "\n");
    let list = place.stash(["kv", "list", ID[0], ID[1]]).success();
    assert_eq!(list, "a\nb\nc\nd\n");
}

#[test]
fn exit_codes_tell_no_from_wrong() {
    let place = Place::new();
    place.stash(["kv", "set", ID[0], ID[1], "k", "v"]).success();
    for command in ["get", "delete", "exists"] {
        assert_eq!(place.stash(["kv", command, ID[0], ID[1], "missing"]).code, Some(1), "{command}");
        let error = place.stash(["kv", command, ID[0], ID[1], ""]).failure(2);
        assert!(error.contains("invalid key: a key has at least one byte"), "{error}");
    }
    assert_eq!(place.stash(["kv", "exists", ID[0], ID[1], "k"]).success(), "true\n");
    place.stash(["kv", "delete", ID[0], ID[1], "k"]).success();
    assert_eq!(place.stash(["kv", "exists", ID[0], ID[1], "k"]).code, Some(1));
    let error = place.stash(["kv", "list", "--id", "not-an-id"]).failure_with_usage();
    assert!(error.contains("app/service-a/001"), "{error}");
    let error = place.stash(["kv", "list"]).failure(2);
    assert!(error.contains("--id"), "{error}");
    let error = place.stash(["kv", "set", ID[0], ID[1], "--file", "no-such-file", "k"]).failure(2);
    assert!(error.contains("no-such-file"), "{error}");
}

#[test]
fn looking_does_not_make_a_store() {
    let place = Place::new();
    for arguments in [
        &["ids"][..],
        &["status"],
        &["collections", "list", ID[0], ID[1]],
        &["collections", "delete", ID[0], ID[1], "c"],
        &["kv", "list", ID[0], ID[1]],
        &["kv", "get", ID[0], ID[1], "k"],
        &["kv", "clear", ID[0], ID[1], "", "--yes"],
        &["kv", "touch", ID[0], ID[1], "k", "--never"],
        // What must be there already cannot be in a new store.
        &["kv", "set", ID[0], ID[1], "k", "v", "--if-present"],
        &["kv", "set", ID[0], ID[1], "k", "v", "--if-version", "1"],
        &["kv", "set", ID[0], ID[1], "k", "v", "--collection", "c"],
    ] {
        let error = place.stash(arguments).failure(2);
        assert!(error.contains("there is no store .stash/store.redb; name one with --store or STASH_STORE"), "{error}");
    }
    assert!(!place.path().join(".stash").exists());
    // Nor does an empty file become one, or an empty folder.
    std::fs::write(place.path().join("empty"), "").unwrap();
    place.stash(["--store", "redb:empty", "ids"]).failure(2);
    assert_eq!(place.path().join("empty").metadata().unwrap().len(), 0);
    std::fs::create_dir(place.path().join("folder")).unwrap();
    place.stash(["--store", "fjall:folder", "ids"]).failure(2);
    assert_eq!(place.path().join("folder").read_dir().unwrap().count(), 0);
}

#[test]
fn a_value_that_is_too_large_is_refused_before_it_is_read() {
    let place = Place::new();
    std::fs::File::create(place.path().join("large")).unwrap().set_len(1 << 40).unwrap();
    let error = place.stash(["kv", "set", ID[0], ID[1], "--file", "large", "k"]).failure(2);
    assert!(error.contains("more than 16777216 bytes") && error.contains("--max-value"), "{error}");
    let error = kv(&place, ["set", "--file", "large", "k", "--max-value", "64MiB"]).failure(2);
    assert!(error.contains("more than 67108864 bytes") && !error.contains("--max-value"), "{error}");
}

#[test]
fn as_large_a_value_as_a_guest_may_store_is_stored_where_that_is_asked_for() {
    let place = Place::new();
    std::fs::write(place.path().join("large"), vec![7; 17 << 20]).unwrap();
    kv(&place, ["set", "--file", "large", "k", "--max-value", "17MiB"]).success();
    let shown = kv(&place, ["get", "k", "--meta"]).success();
    assert!(shown.contains("(17825792 bytes)"), "{shown}");
    let error = kv(&place, ["append", "k", "x", "--max-value", "17MiB"]).failure(2);
    assert!(error.contains("the size of a value in bytes is 17825793; the limit is 17825792"), "{error}");
    kv(&place, ["append", "k", "x", "--max-value", "18MiB"]).success();
}

#[test]
fn who_sees_nothing_is_told_where_nobody_has_the_id() {
    let place = Place::new();
    kv(&place, ["set", "k", "v"]).success();
    for (command, out) in [("list", ""), ("count", "0\n"), ("usage", "0 keys, 0 B (0 bytes)\n")] {
        let ran = place.stash(["kv", command, "--id", "app/fotos/001"]);
        assert_eq!((ran.code, ran.out.as_str()), (Some(0), out), "{command}");
        let told = "(app/fotos/001 has never stored anything here; 'stash ids' shows who has)\n";
        assert_eq!(ran.err, told, "{command}");
        let quiet = place.stash(["kv", command, "--id", "app/fotos/001", "--json"]);
        assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""), "{command}");
    }
    // Who had data, or has it elsewhere, is no stranger.
    assert_eq!(kv(&place, ["list", "none"]).err, "");
    kv(&place, ["delete", "k"]).success();
    assert_eq!(kv(&place, ["count"]).err, "");
}

#[test]
fn names_do_not_drive_the_terminal() {
    let place = Place::new();
    place.stash(["kv", "set", "--id", "a/b\u{202e}/c", "k\u{200b}", "v"]).success();
    assert!(place.stash(["ids"]).success().contains(r#""a/b\u{202e}/c""#));
    let list = place.stash(["kv", "--id", "a/b\u{202e}/c", "list"]).success();
    assert_eq!(list, "\"k\\u{200b}\"\n");
    let error = place.stash(["--store", "redb:\u{1b}[31m", "ids"]).failure(2);
    assert!(!error.contains('\u{1b}'), "{error:?}");
}

#[test]
fn scripts_read_json() {
    let place = Place::new();
    let set = place.stash(["kv", "set", ID[0], ID[1], "--json", "k", "caf\u{e9}"]).success();
    assert_eq!(json(&set), json!({ "key": "k", "version": 1 }));
    place.stash_with_input(["kv", "set", ID[0], ID[1], "line\nbreak"], b"\xff\0").success();

    let get = place.stash(["kv", "get", ID[0], ID[1], "--json", "k"]).success();
    assert_eq!(json(&get), json!({ "key": "k", "version": 1, "bytes": 5, "text": "caf\u{e9}" }));
    let get = place.stash(["kv", "get", ID[0], ID[1], "--json", "line\nbreak"]).success();
    assert_eq!(json(&get), json!({ "key": "line\nbreak", "version": 2, "bytes": 2, "hex": "ff00" }));
    let missing = place.stash(["kv", "get", ID[0], ID[1], "--json", "missing"]);
    assert_eq!((missing.code, missing.out.as_str()), (Some(1), "null\n"));

    let list = place.stash(["kv", "list", ID[0], ID[1], "--json"]).success();
    assert_eq!(json(&list), json!(["k", "line\nbreak"]));
    let list = place.stash(["kv", "list", ID[0], ID[1]]).success();
    assert_eq!(list, "k\n\"line\\nbreak\"\n");
    let usage = place.stash(["kv", "usage", ID[0], ID[1], "--json"]).success();
    assert_eq!(json(&usage), json!({ "id": ID[1], "key_count": 2, "used_bytes": 1 + 5 + 10 + 2, "quota_bytes": null }));
    let ids = place.stash(["ids", "--json"]).success();
    assert_eq!(json(&ids), json!([{ "id": ID[1], "key_count": 2, "used_bytes": 18, "version": 2 }]));
    let deleted = place.stash(["kv", "delete", ID[0], ID[1], "--json", "k"]).success();
    assert_eq!(json(&deleted), json!({ "key": "k", "deleted": true }));
}

#[test]
fn a_listing_of_many_keys_is_whole_and_may_be_cut_by_head() {
    let place = Place::new();
    // More than one page of the command's.
    fill(&place, 2500);
    let list = place.stash(["kv", "list", ID[0], ID[1], "k/"]).success();
    assert!(list.lines().eq((0..2500).map(|n| format!("k/{n:08}"))), "{list}");
    let long = place.stash(["kv", "list", "--long", ID[0], ID[1], "k/0000000"]).success();
    assert_eq!(long.lines().count(), 1 + 10);
    assert!(long.lines().nth(1).unwrap().ends_with("  k/00000000"), "{long}");

    for arguments in [&["list"][..], &["list", "--long"], &["list", "--json"], &["count"], &["get", "k/00000000"]] {
        let mut command = place.command(["kv", ID[0], ID[1]].iter().chain(arguments));
        let mut child = command.stdout(std::process::Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        assert_eq!(child.wait().unwrap().code(), Some(0), "{arguments:?}");
    }
}

#[test]
fn ids_tells_who_has_data_and_how_much() {
    let place = Place::new();
    for id in ["b/b/b", "a/a/a", "\u{43f}/\u{440}/1", "gone/gone/gone"] {
        place.stash(["kv", "set", "--id", id, "k", "value"]).success();
    }
    place.stash(["kv", "delete", "--id", "gone/gone/gone", "k"]).success();
    assert!(place.stash(["ids", "--all"]).success().contains("gone/gone/gone"));
    let ids = place.stash(["ids"]).success();
    let rows: Vec<_> = ids.lines().skip(1).map(|line| line.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(rows.len(), 3, "{ids}");
    assert_eq!(rows[0], ["a/a/a", "1", "6", "B"]);
    assert_eq!(rows[1][0], "b/b/b");
    assert_eq!(rows[2][0], "\u{43f}/\u{440}/1");
}

#[test]
fn help_has_examples_and_completions_are_there() {
    let place = Place::new();
    let kv = "get set delete exists increment append touch list count clear history usage";
    let kv = kv.split(' ').map(|command| vec!["kv", command]);
    let others = ["list", "create", "info", "configure", "delete"].map(|command| vec!["collections", command]);
    let whole = [vec![], vec!["kv"], vec!["collections"], vec!["ids"], vec!["status"]];
    for command in kv.chain(others).chain(whole) {
        let help = place.stash(command.iter().chain(&["--help"])).success();
        assert!(help.contains("Example") && help.contains("Exit codes"), "{help}");
    }
    assert!(place.stash(["run", "--help"]).success().contains("Example"));
    assert!(place.stash(["completions", "--help"]).success().contains("mkdir -p"));
    let help = place.stash(["--help"]).success();
    for named in ["memory:", "redb:PATH", "fjall:PATH", "sqlite:PATH", "files:PATH", "1 no"] {
        assert!(help.contains(named), "{named}: {help}");
    }
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let script = place.stash(["completions", shell]).success();
        for named in ["increment", "if-version", "collections", "keep-versions", "status"] {
            assert!(script.contains(named), "{shell}: {named}");
        }
    }
}
