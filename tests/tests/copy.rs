//! `stash copy`, as a person uses it: between any two engines, and where it must refuse.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use serde_json::{Value, json};
use stash_tests::CONTRACT;
use stash_tests::support::Place;

const STORES: [&str; 4] = ["redb:a.redb", "sqlite:b.sqlite", "files:c", "fjall:d"];

fn kv(place: &Place, store: &str, arguments: &[&str]) -> String {
    place.stash([&["kv"], arguments, &["--id", "app/copied/001", "--store", store]].concat()).success()
}

/// A store with the records of a guest that uses all there is, and some that a person made.
fn fill(place: &Place, store: &str) {
    place.stash(["run", "--store", store, "--id", "app/contract/001", "--invoke", "run-all()", CONTRACT]).success();
    kv(place, store, &["set", "plain", "text"]);
    kv(place, store, &["set", "--ttl", "1h", "--content-type", "text/plain", "--attribute", "a=b", "soon", "gone"]);
    for n in 0..5 {
        kv(place, store, &["set", "again", &n.to_string()]);
    }
}

/// What there is to see of a record, with its times and version.
fn seen(place: &Place, store: &str, key: &str) -> Value {
    serde_json::from_str(&kv(place, store, &["get", "--json", key])).unwrap()
}

#[test]
fn from_each_engine_to_the_next_and_back() {
    let place = Place::new();
    fill(&place, STORES[0]);
    let ids = place.stash(["ids", "--json", "--store", STORES[0]]).success();
    let mut digests = Vec::new();
    for pair in STORES.windows(2).chain([&[STORES[3], "redb:back.redb"][..]]) {
        let copied = place.stash(["copy", pair[0], pair[1], "--json"]).success();
        let copied: Value = serde_json::from_str(&copied).unwrap();
        assert_eq!(
            (&copied["from"], &copied["to"], &copied["resumed"]),
            (&json!(pair[0]), &json!(pair[1]), &json!(false))
        );
        digests.push(copied["digest"].clone());
        for key in ["plain", "soon", "again"] {
            assert_eq!(seen(&place, pair[1], key), seen(&place, STORES[0], key), "{pair:?}");
        }
        assert_eq!(place.stash(["ids", "--json", "--store", pair[1]]).success(), ids, "{pair:?}");
    }
    digests.dedup();
    assert_eq!(digests.len(), 1, "it is the same data all the way: {digests:?}");
    // It is a store: a guest goes on in it, and a cursor or a version would be as good as before.
    kv(&place, "redb:back.redb", &["set", "again", "6"]);
    let version = |store| seen(&place, store, "again")["version"].as_u64().unwrap();
    assert_eq!(version("redb:back.redb"), version(STORES[0]) + 1);
}

#[test]
fn what_there_is_is_not_lost_unasked() {
    let place = Place::new();
    fill(&place, STORES[0]);
    kv(&place, STORES[1], &["set", "mine", "text"]);
    let error = place.stash(["copy", STORES[0], STORES[1]]).failure(2);
    assert!(error.contains("not empty") && error.contains("--replace"), "{error}");
    assert_eq!(kv(&place, STORES[1], &["list"]), "mine\n");
    let said = place.stash(["copy", STORES[0], STORES[1], "--replace"]).success();
    assert!(said.starts_with("copied 2 components, ") && said.contains("the digest"), "{said}");
    assert_eq!(kv(&place, STORES[1], &["list"]), kv(&place, STORES[0], &["list"]));

    let error = place.stash(["copy", STORES[0], STORES[0]]).failure(2);
    assert!(error.contains("into itself"), "{error}");
    // The same file by another name is held by this very process.
    place.stash(["copy", STORES[0], "redb:./a.redb", "--replace"]).failure(2);
    assert_eq!(kv(&place, STORES[0], &["get", "plain"]), "text\n");
    let error = place.stash(["copy", "redb:none", STORES[2]]).failure(2);
    assert!(error.contains("there is no store none"), "{error}");
    assert!(!place.path().join("none").exists() && !place.path().join("c").exists());
    for pair in [["memory:", "redb:x"], [STORES[0], "memory:"]] {
        let error = place.stash(["copy", pair[0], pair[1]]).failure(2);
        assert!(error.contains("in memory"), "{error}");
    }
    assert!(place.stash(["copy", STORES[0], "oracle:x"]).failure_with_usage().contains("'sqlite:'"));
}

/// What a copy leaves that was killed: it is no store, and the same command goes on.
#[cfg(unix)]
#[test]
fn a_copy_that_was_killed_goes_on() {
    use std::process::Stdio;
    use std::time::{Duration, Instant};

    let place = Place::new();
    // Some hundred commits: enough to be killed in between.
    std::fs::write(place.path().join("value"), "x".repeat(256 * 1024)).unwrap();
    for n in 0..40 {
        kv(&place, STORES[0], &["set", &format!("large/{n}"), "--file", "value"]);
    }
    let mut child = place.command(["copy", STORES[0], STORES[1]]).stdout(Stdio::null()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_mins(1);
    // As soon as anything of it is there.
    while !place.path().join("b.sqlite").exists() && Instant::now() < deadline {
        std::thread::yield_now();
    }
    child.kill().unwrap();
    let killed = !child.wait().unwrap().success();
    let to_look = place.stash(["kv", "list", "--id", "app/copied/001", "--store", STORES[1]]);
    if killed && to_look.code != Some(0) {
        assert!(to_look.err.contains("unfinished copy") || to_look.err.contains("no store"), "{to_look:?}");
        place.stash(["copy", STORES[0], STORES[1]]).success();
    } else if killed {
        // It was killed before it had made anything of the file.
        place.stash(["copy", STORES[0], STORES[1], "--replace"]).success();
    }
    assert_eq!(kv(&place, STORES[1], &["list"]), kv(&place, STORES[0], &["list"]));
}
