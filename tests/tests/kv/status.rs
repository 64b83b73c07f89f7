//! How the store is, and what a component can do in it.

use super::*;

#[test]
fn the_status_counts_what_is_stored() {
    let place = Place::new();
    for (id, key) in [("a/a/1", "k"), ("a/a/1", "l"), ("b/b/1", "k"), ("gone/gone/1", "k")] {
        place.stash(["kv", "set", "--id", id, key, "value"]).success();
    }
    place.stash(["kv", "delete", "--id", "gone/gone/1", "k"]).success();
    let mut row = json(&place.stash(["status", "--json"]).success());
    assert!(row["disk_bytes"].as_u64().unwrap() > 0, "{row}");
    row["disk_bytes"] = json!(0);
    let expected = json!({
        "store": "redb:.stash/store.redb", "engine": "redb", "durable": true, "healthy": true, "failure": null,
        "disk_bytes": 0, "component_count": 2, "key_count": 3, "used_bytes": 18,
    });
    assert_eq!(row, expected);
    let shown = place.stash(["status"]).success();
    for line in ["store       redb:.stash/store.redb", "health      good", "components  2 with data", "3 keys, 18 B"] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let memory = json(&place.stash(["status", "--json", "--store", "memory:"]).success());
    assert_eq!((&memory["durable"], &memory["disk_bytes"]), (&json!(false), &json!(null)));
}

#[test]
fn with_an_id_it_tells_what_the_component_can_do() {
    let place = Place::new();
    kv(&place, ["set", "k", "v"]).success();
    collections(&place, ["create", "c"]).success();
    let row = json(&place.stash(["status", "--json", ID[0], ID[1]]).success());
    let component = &row["component"];
    assert_eq!((&component["id"], &component["key_count"]), (&json!(ID[1]), &json!(1)));
    assert_eq!((&component["version"], &component["collection_count"]), (&json!(2), &json!(1)));
    for feature in ["transactions", "history", "expiry", "durable"] {
        assert_eq!(component[feature], json!(true), "{feature}");
    }
    let limits = &component["limits"];
    assert_eq!((&limits["key_bytes"], &limits["value_bytes"]), (&json!(2048), &json!(16 * 1024 * 1024)));
    assert_eq!((&limits["transaction_age_ms"], &limits["quota_bytes"]), (&json!(30_000), &json!(null)));
    let shown = place.stash(["status", ID[0], ID[1]]).success();
    for line in [
        "app/photos/001\n",
        "version        2\n",
        "collections    1, at most ",
        "a key          at most 2.0 KiB\n",
        "a transaction  at most 30s\n",
        "quota          none\n",
    ] {
        assert!(shown.contains(line), "{line}: {shown}");
    }
    let nobody = json(&place.stash(["status", "--json", "--id", "app/nobody/1"]).success());
    assert_eq!((&nobody["component"]["version"], &nobody["component"]["collection_count"]), (&json!(0), &json!(0)));
    assert!(place.stash(["status", "--id", "not-an-id"]).failure_with_usage().contains("app/service-a/001"));
}

#[test]
fn every_kind_of_store_is_looked_at_alike() {
    let place = Place::new();
    for store in ["redb:a/store.redb", "fjall:b/store", "sqlite:c/store.sqlite", "files:d/store"] {
        place.stash(["status", "--store", store]).failure(2);
        place.stash(["kv", "set", ID[0], ID[1], "k", "v", "--store", store]).success();
        let row = json(&place.stash(["status", "--json", "--store", store]).success());
        assert_eq!((&row["store"], &row["key_count"]), (&json!(store), &json!(1)));
        assert_eq!(row["engine"], json!(store.split(':').next().unwrap()));
        assert!(place.stash(["ids", "--store", store]).success().contains(ID[1]));
    }
}

#[test]
fn what_cannot_be_opened_is_an_error() {
    let place = Place::new();
    std::fs::write(place.path().join("letter"), "Dear Ada, this is not a store.\n".repeat(500)).unwrap();
    let error = place.stash(["status", "--store", "redb:letter"]).failure(2);
    assert!(error.contains("letter"), "{error}");
    assert_eq!(place.path().join("letter").metadata().unwrap().len(), 31 * 500);
}

#[cfg(unix)]
#[test]
fn a_device_is_no_store() {
    let place = Place::new();
    for command in [&["status"][..], &["kv", "set", ID[0], ID[1], "k", "v"], &["kv", "list", ID[0], ID[1]]] {
        let error = place.stash(command.iter().copied().chain(["--store", "redb:/dev/null"])).failure(2);
        assert!(error.contains("/dev/null: it is a device or another special file"), "{error}");
        for store in ["fjall:/dev/null", "sqlite:/dev/null", "files:/dev/null"] {
            place.stash(command.iter().copied().chain(["--store", store])).failure(2);
        }
    }
}
