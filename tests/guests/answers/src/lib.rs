//! Answers HTTP requests of WASI 0.2 with as little as can be done: `/` says hello, `/KEY` what `wasi:keyvalue` has under
//! that key. Benchmarks serve it by other hosts too: it must use nothing that only Stash has.

#[path = "../../../../guest-examples/rust/http.rs"]
mod http;

wit_bindgen::generate!({
    path: "../../../wit/deps/keyvalue-draft.wit",
    world: "wasi:keyvalue/imports@0.2.0-draft",
    generate_all,
});

use http::{Answer, IncomingRequest, Request, ResponseOutparam};
use wasi::keyvalue::store;

struct Answers;

impl wasip2::exports::http::incoming_handler::Guest for Answers {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        http::serve(request, out, answer);
    }
}

wasip2::http::proxy::export!(Answers);

fn answer(request: &Request) -> Answer {
    match request.name() {
        "" => Answer::text(200, "Hello, WASI!\n"),
        key => match store::open("").and_then(|bucket| bucket.get(key)) {
            Ok(Some(value)) => Answer::text(200, String::from_utf8_lossy(&value)),
            Ok(None) => Answer::text(404, "no such key\n"),
            Err(error) => Answer::text(500, format!("{error}\n")),
        },
    }
}
