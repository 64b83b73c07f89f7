//! Is told of changes as `wasmcloud:keyvalue` does, by async calls of WASI 0.3, and keeps each in the same bucket under
//! `seen/`. It must not answer what it has written itself, or it would never end.

wit_bindgen::generate!({
    path: "../../../wit/deps/wasmcloud-keyvalue.wit",
    world: "wasmcloud:keyvalue/watch-service@0.2.0",
    generate_all,
});

use exports::wasmcloud::keyvalue::watcher::Guest;
use wasmcloud::keyvalue::types::Bucket;

/// In front of the keys that this guest writes.
const SEEN: &str = "seen/";

struct Watcher;

impl Guest for Watcher {
    async fn on_set(bucket: Bucket, key: String, value: Vec<u8>) {
        if !key.starts_with(SEEN) {
            bucket.set(format!("{SEEN}{key}"), value, None).await.ok();
        }
    }

    async fn on_delete(bucket: Bucket, key: String) {
        if !key.starts_with(SEEN) {
            bucket.set(format!("{SEEN}{key}"), b"deleted".to_vec(), None).await.ok();
        }
    }
}

export!(Watcher);
