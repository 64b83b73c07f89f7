//! `/healthz` and `/metrics`, on a port of their own that clients need not reach.

use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::WasiBody;

use super::answer::text;
use super::metrics::Metrics;
use crate::stash::Stash;

/// Answers an operator's request.
pub(super) fn answer(method: &Method, path: &str, stash: &Stash, metrics: &Metrics) -> Response<WasiBody> {
    if method != Method::GET && method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
    }
    match path {
        "/healthz" if stash.status().failure.is_none() => text(StatusCode::OK, "ok\n"),
        "/healthz" => text(StatusCode::SERVICE_UNAVAILABLE, "the store cannot serve calls now\n"),
        "/metrics" => {
            let mut response = Response::new(Full::new(metrics.text().into()).map_err(|e| match e {}).boxed_unsync());
            response.headers_mut().insert(
                http::header::CONTENT_TYPE,
                http::HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8"),
            );
            response
        }
        _ => text(StatusCode::NOT_FOUND, "there is /healthz and /metrics\n"),
    }
}
