//! HTTP requests and answers over `wasip2`, as little of them as these examples need; copy it beside your own guest.
//! It must never panic because a client has gone, nor keep more of a body than it was asked for.

#![allow(dead_code, reason = "no example needs all of it")]

pub(crate) use wasip2::http::types::{IncomingRequest, Method, ResponseOutparam};

use wasip2::http::types::{Fields, IncomingBody, OutgoingBody, OutgoingResponse};
use wasip2::io::streams::StreamError;

/// What a stream takes in one blocking write.
const WRITE: usize = 4096;

/// A request.
pub(crate) struct Request {
    pub(crate) method: Method,
    /// As it came, percent signs too, without the query.
    pub(crate) path: String,
    query: String,
    inner: IncomingRequest,
}

impl Request {
    /// What follows the first `/` of the path.
    pub(crate) fn name(&self) -> &str {
        self.path.strip_prefix('/').unwrap_or(&self.path)
    }

    /// The first parameter of the query with this name, as it came.
    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.split('&').find_map(|pair| {
            let (found, value) = pair.split_once('=').unwrap_or((pair, ""));
            (found == name).then_some(value)
        })
    }

    /// A header, where it is text.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        String::from_utf8(self.inner.headers().get(name).into_iter().next()?).ok()
    }

    /// The body, once; none where it is longer than `limit` bytes or did not arrive whole.
    pub(crate) fn body(&self, limit: usize) -> Option<Vec<u8>> {
        let body = self.inner.consume().ok()?;
        let stream = body.stream().ok()?;
        let mut bytes = Vec::new();
        loop {
            match stream.blocking_read(64 * 1024) {
                Ok(more) => bytes.extend(more),
                Err(StreamError::Closed) => break,
                Err(StreamError::LastOperationFailed(_)) => return None,
            }
            if bytes.len() > limit {
                return None;
            }
        }
        // The stream is a child of the body, and children go first.
        drop(stream);
        drop(IncomingBody::finish(body));
        Some(bytes)
    }
}

/// An answer.
pub(crate) struct Answer {
    status: u16,
    headers: Vec<(String, Vec<u8>)>,
    body: Vec<u8>,
}

impl Answer {
    /// One without a body.
    pub(crate) fn empty(status: u16) -> Self {
        Self { status, headers: Vec::new(), body: Vec::new() }
    }

    /// A text for people.
    pub(crate) fn text(status: u16, text: impl Into<String>) -> Self {
        let body = text.into().into_bytes();
        Self { body, ..Self::empty(status).header("content-type", "text/plain; charset=utf-8") }
    }

    /// JSON for programs.
    pub(crate) fn json(status: u16, json: impl Into<String>) -> Self {
        let body = json.into().into_bytes();
        Self { body, ..Self::empty(status).header("content-type", "application/json") }
    }

    /// The same with one more header.
    #[must_use]
    pub(crate) fn header(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }
}

/// Answers a request.
pub(crate) fn serve(request: IncomingRequest, out: ResponseOutparam, answer: impl FnOnce(&Request) -> Answer) {
    let target = request.path_with_query().unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((&target, ""));
    let request = Request { method: request.method(), path: path.to_owned(), query: query.to_owned(), inner: request };
    send(&answer(&request), out);
}

fn send(answer: &Answer, out: ResponseOutparam) {
    let Ok(headers) = Fields::from_list(&answer.headers) else {
        // A header that no server may send: better to say so than to answer without it.
        let error = wasip2::http::types::ErrorCode::InternalError(Some("a header cannot be sent".to_owned()));
        return ResponseOutparam::set(out, Err(error));
    };
    let response = OutgoingResponse::new(headers);
    // It refuses numbers that are no status, and hands the body out once: neither can fail here.
    let _ = response.set_status_code(answer.status);
    let body = response.body();
    ResponseOutparam::set(out, Ok(response));
    let Ok(body) = body else { return };
    if let Ok(stream) = body.write() {
        for piece in answer.body.chunks(WRITE) {
            if stream.blocking_write_and_flush(piece).is_err() {
                // The client has gone.
                break;
            }
        }
    }
    let _ = OutgoingBody::finish(body, None);
}
