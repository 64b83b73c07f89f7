//! Greets over HTTP, and counts who it has greeted.

wit_bindgen::generate!({ path: "wit", world: "guest", generate_all });

use stash::storage::store;
use wasip2::http::types::{Fields, IncomingRequest, OutgoingBody, OutgoingResponse, ResponseOutparam};

struct Guest;

wasip2::http::proxy::export!(Guest);

impl wasip2::exports::http::incoming_handler::Guest for Guest {
    /// The host calls this for each request.
    fn handle(request: IncomingRequest, out: ResponseOutparam) {
        let (status, text) = answer(&request.path_with_query().unwrap_or_else(|| "/".to_owned()));
        let response = OutgoingResponse::new(Fields::new());
        let _ = response.set_status_code(status);
        let body = response.body();
        ResponseOutparam::set(out, Ok(response));
        // Where the client has gone, there is nobody to tell.
        let Ok(body) = body else { return };
        if let Ok(stream) = body.write() {
            // At most 4096 bytes at once.
            let _ = stream.blocking_write_and_flush(text.as_bytes());
        }
        let _ = OutgoingBody::finish(body, None);
    }
}

fn answer(path: &str) -> (u16, String) {
    if path.split('?').next() != Some("/") {
        return (404, "there is nothing here\n".to_owned());
    }
    // It adds inside the store: no visit is lost, however many come at once.
    match store::increment("visits", 1) {
        Ok(visits) => (200, format!("Hello from {{name}}! You are visitor {visits}.\n")),
        Err(error) => (500, format!("{error}\n")),
    }
}
