//! Answers HTTP requests of WASI 0.2 with as little as can be done: `/` says hello, `/KEY` what `wasi:keyvalue` has under
//! that key, and what ends in `!` goes wrong. Benchmarks serve it by other hosts too: it must use nothing that only Stash
//! has.

#[path = "../../../../guest-examples/rust/http.rs"]
mod http;

wit_bindgen::generate!({
    path: "../../../wit/deps/keyvalue-draft.wit",
    world: "wasi:keyvalue/imports@0.2.0-draft",
    generate_all,
});

use http::{Answer, IncomingRequest, Request, ResponseOutparam};
use wasi::keyvalue::store;
use wasip2::http::types::{ErrorCode, Fields, OutgoingResponse};

/// Bytes of an answer that no buffer on the way holds.
const LARGE: usize = 32 * 1024 * 1024;

struct Answers;

impl wasip2::exports::http::incoming_handler::Guest for Answers {
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        match request.path_with_query().as_deref() {
            Some("/trap!") => std::process::abort(),
            Some("/hang!") => hang(),
            Some("/half!") => half(out),
            Some("/error!") => ResponseOutparam::set(out, Err(ErrorCode::InternalError(None))),
            _ => http::serve(request, out, answer),
        }
    }
}

wasip2::http::proxy::export!(Answers);

/// Says that it does, and computes for ever.
fn hang() -> ! {
    let said = store::open("").and_then(|bucket| bucket.set("hanging", b"yes"));
    while said.is_ok() {
        std::hint::spin_loop();
    }
    std::process::abort();
}

/// Begins an answer, and fails within it.
fn half(out: ResponseOutparam) -> ! {
    let response = OutgoingResponse::new(Fields::new());
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    if let Ok(body) = body
        && let Ok(stream) = body.write()
    {
        drop(stream.blocking_write_and_flush(&[b'x'; 1000]));
    }
    std::process::abort();
}

fn answer(request: &Request) -> Answer {
    match request.name() {
        "" => Answer::text(200, "Hello, WASI!\n"),
        "large!" => Answer::text(200, "x".repeat(LARGE)),
        key => match store::open("").and_then(|bucket| bucket.get(key)) {
            Ok(Some(value)) => Answer::text(200, String::from_utf8_lossy(&value)),
            Ok(None) => Answer::text(404, "no such key\n"),
            Err(error) => Answer::text(500, format!("{error}\n")),
        },
    }
}
