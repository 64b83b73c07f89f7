//! Is told of changes as `wasi:keyvalue` 0.2.0-draft2 does, and keeps each in the same bucket under `seen/`. It must not
//! answer what it has written itself, or it would never end.

wit_bindgen::generate!({
    path: "../../../wit/deps/keyvalue-draft2.wit",
    world: "wasi:keyvalue/watch-service@0.2.0-draft2",
    generate_all,
});

use exports::wasi::keyvalue::watcher::Guest;
use wasi::keyvalue::store::Bucket;

/// In front of the keys that this guest writes.
const SEEN: &str = "seen/";

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: Bucket, key: String, value: Vec<u8>) {
        if !key.starts_with(SEEN) {
            bucket.set(&format!("{SEEN}{key}"), &value).ok();
        }
    }

    fn on_delete(bucket: Bucket, key: String) {
        if !key.starts_with(SEEN) {
            bucket.set(&format!("{SEEN}{key}"), b"deleted").ok();
        }
    }
}

export!(Watcher);
