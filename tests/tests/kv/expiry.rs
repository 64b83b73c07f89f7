//! Records that expire: the test names the moment, past or far, and never waits for one.

use super::*;

const FAR: &str = "2100-01-01T00:00:00Z";
const FAR_MS: u64 = 4_102_444_800_000;
const PAST: &str = "2020-01-01";

fn expires(place: &Place, key: &str) -> Value {
    json(&kv(place, ["get", key, "--meta", "--json"]).success())["expires_ms"].clone()
}

#[test]
fn what_expires_in_the_past_is_not_there_and_a_person_is_told() {
    let place = Place::new();
    let set = kv(&place, ["set", "k", "v", "--expires", PAST]);
    assert_eq!((set.code, set.out.as_str()), (Some(0), ""));
    assert!(set.err.contains("2020-01-01T00:00:00.000Z has passed: there is no such record"), "{set:?}");
    for command in [&["get", "k"][..], &["exists", "k"], &["delete", "k"], &["touch", "k", "--never"]] {
        assert_eq!(kv(&place, command.iter().copied()).code, Some(1), "{command:?}");
    }
    assert_eq!(kv(&place, ["list"]).success(), "");
    assert_eq!(kv(&place, ["count"]).success(), "0\n");
    let quiet = kv(&place, ["set", "k", "v", "--expires", PAST, "--json"]);
    assert_eq!((quiet.code, quiet.err.as_str()), (Some(0), ""));
    // What is not there may be made.
    kv(&place, ["set", "k", "v", "--if-absent"]).success();
}

#[test]
fn expiry_is_set_kept_moved_and_taken_away() {
    let place = Place::new();
    kv(&place, ["set", "k", "v", "--expires", FAR]).success();
    assert_eq!(expires(&place, "k"), json!(FAR_MS));
    kv(&place, ["set", "k", "w", "--keep-expiry"]).success();
    assert_eq!(expires(&place, "k"), json!(FAR_MS));
    // Counting and appending leave it, a plain set does not.
    kv(&place, ["append", "k", "x"]).success();
    assert_eq!(expires(&place, "k"), json!(FAR_MS));
    kv(&place, ["set", "k", "w"]).success();
    assert_eq!(expires(&place, "k"), json!(null));

    let touched = kv(&place, ["touch", "k", "--expires", FAR, "--json"]).success();
    assert_eq!(json(&touched), json!({ "key": "k", "version": 5 }));
    assert_eq!(expires(&place, "k"), json!(FAR_MS));
    kv(&place, ["touch", "k", "--never"]).success();
    assert_eq!(expires(&place, "k"), json!(null));
    kv(&place, ["touch", "k", "--ttl", "1h"]).success();
    let row = json(&kv(&place, ["get", "k", "--meta", "--json"]).success());
    assert_eq!(row["expires_ms"].as_u64().unwrap(), row["updated_ms"].as_u64().unwrap() + 3_600_000, "{row}");
    let touched = kv(&place, ["touch", "k", "--expires", PAST]);
    assert!(touched.err.contains("has passed"), "{touched:?}");
    let told = kv(&place, ["touch", "k", "--never"]).failure(1);
    assert!(told.starts_with("no record with the key 'k'"), "{told}");
}

#[test]
fn a_list_tells_when() {
    let place = Place::new();
    kv(&place, ["set", "a", "v", "--expires", FAR]).success();
    kv(&place, ["set", "b", "v"]).success();
    let list = kv(&place, ["list", "--long"]).success();
    let rows: Vec<Vec<_>> = list.lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(rows[0], ["VERSION", "SIZE", "UPDATED", "EXPIRES", "KEY"]);
    assert_eq!((rows[1][0], rows[1][4], rows[1][5]), ("1", FAR, "a"), "{list}");
    assert_eq!((rows[2][4], rows[2][5]), ("-", "b"), "{list}");
}
