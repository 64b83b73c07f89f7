//! The checks of spin:key-value@3.0.0, as a command of WASI 0.3 and as an answer to an HTTP request: Spin runs no commands of
//! WASI 0.3. It must import nothing but WASI and that shape: it runs on any host that has both.

mod store;

use keyvalue_checks::{Check, buckets, report, run, streams, together, told_errors, values};
use store::Store;
use wasip3::http::types::{ErrorCode, Fields, Request, Response};
use wasip3::{wit_future, wit_stream};

fn checks() -> impl Iterator<Item = Check<Store>> {
    [values(), buckets(), streams(), together(), told_errors()].into_iter().flatten()
}

/// What the shape is called.
const SHAPE: &str = "spin:key-value@3.0.0";

struct Checks;

impl wasip3::exports::cli::run::Guest for Checks {
    async fn run() -> Result<(), ()> {
        if run(SHAPE, checks()).await { Ok(()) } else { Err(()) }
    }
}

impl wasip3::exports::http::handler::Guest for Checks {
    async fn handle(_: Request) -> Result<Response, ErrorCode> {
        let mut text = String::new();
        let passed = report(SHAPE, checks(), |line| {
            text.push_str(line);
            text.push('\n');
        })
        .await;
        let headers = [("content-type".to_owned(), b"text/plain; charset=utf-8".to_vec())];
        let headers = Fields::from_list(&headers).map_err(|error| ErrorCode::InternalError(Some(error.to_string())))?;
        let (mut body, to_send) = wit_stream::new();
        let (no_trailers, trailers) = wit_future::new(|| Ok(None));
        drop(no_trailers);
        let (response, _sent) = Response::new(headers, Some(to_send), trailers);
        // It takes any number that is a status.
        let _ = response.set_status_code(if passed { 200 } else { 500 });
        wasip3::spawn_local(async move {
            // What is left was not asked for: the client has gone.
            drop(body.write_all(text.into_bytes()).await);
        });
        Ok(response)
    }
}

wasip3::cli::command::export!(Checks);
wasip3::http::service::export!(Checks);
