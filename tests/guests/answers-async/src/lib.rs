//! Answers HTTP requests of WASI 0.3 as `answers` does those of 0.2: `/` says hello, `/KEY` what `wasi:keyvalue` has under
//! that key, and what ends in `!` goes wrong. Benchmarks serve it by other hosts too: it must use nothing that only Stash
//! has.

wit_bindgen::generate!({
    path: "../../../wit/deps/keyvalue-draft.wit",
    world: "wasi:keyvalue/imports@0.2.0-draft",
    generate_all,
});

use wasi::keyvalue::store;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

/// Bytes of an answer that no buffer on the way holds.
const LARGE: usize = 32 * 1024 * 1024;

struct Answers;

impl wasip3::exports::http::handler::Guest for Answers {
    async fn handle(request: Request) -> Result<Response, ErrorCode> {
        let path = request.get_path_with_query().unwrap_or_default();
        let (status, text) = match path.strip_prefix('/').unwrap_or(&path) {
            "" => (200, b"Hello, WASI!\n".to_vec()),
            "trap!" => std::process::abort(),
            "hang!" => hang(),
            "error!" => return Err(ErrorCode::InternalError(None)),
            "half!" => (200, vec![b'x'; 1000]),
            "large!" => (200, vec![b'x'; LARGE]),
            key => match store::open("").and_then(|bucket| bucket.get(key)) {
                Ok(Some(value)) => (200, value),
                Ok(None) => (404, b"no such key\n".to_vec()),
                Err(error) => (500, format!("{error}\n").into_bytes()),
            },
        };
        let headers = [("content-type".to_owned(), b"text/plain; charset=utf-8".to_vec())];
        let headers = Fields::from_list(&headers).map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        let (mut body, to_send) = wit_stream::new();
        let (no_trailers, trailers) = wit_future::new(|| Ok(None));
        drop(no_trailers);
        let (response, _sent) = Response::new(headers, Some(to_send), trailers);
        // It takes any number that is a status.
        let _ = response.set_status_code(status);
        let fails = path == "/half!";
        wasip3::spawn_local(async move {
            // What is left was not asked for: the client has gone.
            drop(body.write_all(text).await);
            if fails {
                std::process::abort();
            }
        });
        Ok(response)
    }
}

/// Says that it does, and computes for ever.
fn hang() -> ! {
    let said = store::open("").and_then(|bucket| bucket.set("hanging", b"yes"));
    while said.is_ok() {
        std::hint::spin_loop();
    }
    std::process::abort();
}

wasip3::http::service::export!(Answers);
