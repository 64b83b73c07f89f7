//! The checks of wasi:keyvalue/watcher@0.2.0-draft. It answers HTTP requests: a host that tells watchers of changes goes on
//! while it answers, and a command has ended when it could be told. It must import nothing but WASI and that shape.

#[path = "../../../../guest-examples/rust/http.rs"]
mod http;
#[path = "../../keyvalue-draft/src/store.rs"]
mod store;

wit_bindgen::generate!({
    path: "../../../wit/deps/keyvalue-draft.wit",
    inline: "
        package stash:keyvalue-checks;
        world watcher {
            export wasi:keyvalue/watcher@0.2.0-draft;
        }
    ",
    world: "stash:keyvalue-checks/watcher",
    with: { "wasi:keyvalue/store@0.2.0-draft": crate::store::store },
});

use http::{Answer, IncomingRequest, ResponseOutparam};
use keyvalue_checks::{now, report, told, watched};
use store::Store;
use store::store::Bucket;

struct Checks;

impl exports::wasi::keyvalue::watcher::Guest for Checks {
    fn on_set(bucket: Bucket, key: String, value: Vec<u8>) {
        // What could not be kept the check misses, and says so.
        now(told(&Store(bucket), &key, Some(&value)));
    }

    fn on_delete(bucket: Bucket, key: String) {
        now(told(&Store(bucket), &key, None));
    }
}

impl wasip2::exports::http::incoming_handler::Guest for Checks {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        http::serve(request, out, |_| {
            let mut text = String::new();
            let checked = now(report("wasi:keyvalue/watcher@0.2.0-draft", watched::<Store>(), |line| {
                text.push_str(line);
                text.push('\n');
            }));
            Answer::text(if checked == Some(true) { 200 } else { 500 }, text)
        });
    }
}

export!(Checks);
wasip2::http::proxy::export!(Checks);
