//! Is told of changes: prints each, and keeps it in the same bucket under `seen/`. It must not answer what it has written
//! itself, or it would never end.

wit_bindgen::generate!({
    path: "../../../wit",
    world: "wasi:keyvalue/watch-service@0.2.0-draft",
    generate_all,
});

use exports::wasi::keyvalue0_2_0_draft::watcher::Guest;
use wasi::keyvalue0_2_0_draft::store::Bucket;

/// In front of the keys that this guest writes.
const SEEN: &str = "seen/";

struct Watcher;

impl Guest for Watcher {
    fn on_set(bucket: Bucket, key: String, value: Vec<u8>) {
        if key.starts_with(SEEN) {
            return;
        }
        // Before it fails: that it was told of the change can be seen.
        println!("on-set {key} {}", String::from_utf8_lossy(&value));
        assert!(key != "trap", "it was told to trap");
        if key == "hang" {
            loop {
                std::hint::spin_loop();
            }
        }
        bucket.set(&format!("{SEEN}{key}"), &value).ok();
    }

    fn on_delete(bucket: Bucket, key: String) {
        if key.starts_with(SEEN) {
            return;
        }
        println!("on-delete {key}");
        bucket.set(&format!("{SEEN}{key}"), b"deleted").ok();
    }
}

export!(Watcher);
