//! Answers that the server itself gives. They must never tell a client anything of the host's: why something failed is in
//! the log.

use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode, header};
use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::WasiBody;

use crate::runtime::{HttpFailure, RuntimeError};

/// A line of text.
pub(super) fn text(status: StatusCode, text: &'static str) -> Response<WasiBody> {
    let mut response =
        Response::new(Full::new(Bytes::from_static(text.as_bytes())).map_err(|e| match e {}).boxed_unsync());
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
    if status == StatusCode::SERVICE_UNAVAILABLE {
        headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
    }
    response
}

/// What a client is told of a guest that has not answered.
pub(super) fn failed(failure: &HttpFailure) -> Response<WasiBody> {
    match failure {
        HttpFailure::Timeout { .. } => text(StatusCode::GATEWAY_TIMEOUT, "the component did not answer in time\n"),
        HttpFailure::BadRequest { .. } => text(StatusCode::BAD_REQUEST, "the request cannot be handed on\n"),
        HttpFailure::Guest(RuntimeError::Start { .. }) => {
            text(StatusCode::SERVICE_UNAVAILABLE, "the component could not be started\n")
        }
        HttpFailure::Guest(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "the component failed\n"),
        HttpFailure::Refused { .. } => {
            text(StatusCode::INTERNAL_SERVER_ERROR, "the component answered with an error\n")
        }
        HttpFailure::NoAnswer { .. } => text(StatusCode::BAD_GATEWAY, "the component gave no answer\n"),
    }
}
