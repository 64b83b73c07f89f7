//! A guest that asks for too much is told so, and goes on.

use stash_core::StorageExt;
use stash_host::KeyValueConfig;
use stash_tests::KEYVALUE_MIXED;
use stash_tests::support::Place;

use super::{call, in_memory, mixed, seen, told, under};

#[test]
fn every_answer_has_a_cap() {
    for cap in ["64KiB", "3MB"] {
        let place = Place::new();
        let bytes = if cap == "3MB" { "3000000" } else { "65536" };
        let told = told(&mixed(&place, &["--max-result", cap], "over-the-cap", &[bytes]).success());
        assert_eq!(told, format!("query result exceeds limit of {bytes} bytes"));
    }
}

#[tokio::test]
async fn a_list_that_is_too_long_for_an_answer_comes_in_pages() {
    let host = in_memory().await;
    let program = host.load(KEYVALUE_MIXED);
    for (max_result_bytes, first) in [(50_000, 462), (1 << 20, 9709)] {
        let rules = KeyValueConfig { max_result_bytes, ..KeyValueConfig::default() };
        let answer = under(&host, &program, rules, &call("long-list", &[&max_result_bytes.to_string()])).await;
        let all = max_result_bytes / 50;
        assert_eq!(told(&answer), format!("{first} keys first, {all} in all, whole: true"));
    }
}

#[tokio::test]
async fn too_many_handles_are_an_error_and_make_nothing() {
    const FULL: &str = "too many buckets are open; drop those that are not needed";
    let host = in_memory().await;
    let told = seen(&host, &host.load(KEYVALUE_MIXED), "app/handles/001", "handles", &[]).await;
    assert_eq!(told, format!("10000 {FULL}; Some(Error::StoreTableFull); {FULL}; 0 collections"));
}

#[tokio::test]
async fn too_many_names_are_an_error() {
    let host = in_memory().await;
    let told = seen(&host, &host.load(KEYVALUE_MIXED), "app/names/001", "names", &[]).await;
    assert_eq!(told, "Error::NoSuchStore; limit exceeded: the number of collections is 1001; the limit is 1000");
    assert_eq!(host.component("app/names/001").collections(None).await.unwrap().len(), 1000);
}

#[tokio::test]
async fn keys_that_cannot_be_are_an_error() {
    let host = in_memory().await;
    let told = seen(&host, &host.load(KEYVALUE_MIXED), "app/keys/001", "keys", &[]).await;
    let lines: Vec<&str> = told.split("\\n").collect();
    let (long, huge) =
        ("invalid key: it has 3000 bytes; the limit is 2048", "invalid key: it has 10485760 bytes; the limit is 2048");
    let none = "invalid key: a key has at least one byte";
    assert_eq!(lines, [long, long, long, huge, huge, huge, long, long, long, none, none]);
}

#[tokio::test]
async fn batches_that_are_too_long_are_an_error() {
    let host = in_memory().await;
    let told = seen(&host, &host.load(KEYVALUE_MIXED), "app/batches/001", "batches", &[]).await;
    let lines: Vec<&str> = told.split("\\n").collect();
    assert_eq!(
        lines,
        [
            "limit exceeded: the number of keys to read is 100000; the limit is 10000; read fewer at once",
            "limit exceeded: the number of checks and changes in a batch is 10001; the limit is 10000; divide it into several batches",
            "limit exceeded: the number of checks and changes in a batch is 100000; the limit is 10000; divide it into several batches",
        ]
    );
}

#[tokio::test]
async fn handles_on_old_values_keep_no_more_than_one_answer() {
    let host = in_memory().await;
    let program = host.load(KEYVALUE_MIXED);
    let rules = KeyValueConfig { max_result_bytes: 4 * 1024 * 1024, ..KeyValueConfig::default() };
    // Ten MiB, of which four are kept; the other handles still swap.
    let answer = under(&host, &program, rules, &call("hoard", &["10485760"])).await;
    assert_eq!(told(&answer), "10 handles, 4 with their values; the last one swapped");
}
