//! `/healthz` and `/metrics`, on a port of their own that clients need not reach.

use http::{Method, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use wasmtime_wasi_http::WasiBody;

use super::answer::text;
use super::metrics::Metrics;
use crate::stash::Stash;

/// Why no more requests should be sent here; `None` where they can be answered.
pub(super) fn health(stash: &Stash, ending: bool) -> Option<&'static str> {
    match stash.status().failure {
        Some(_) => Some("the store cannot serve calls now\n"),
        None if ending => Some("the server is ending\n"),
        None => None,
    }
}

/// Answers an operator's request.
pub(super) fn answer(
    method: &Method,
    path: &str,
    health: Option<&'static str>,
    metrics: &Metrics,
) -> Response<WasiBody> {
    if method != Method::GET && method != Method::HEAD {
        return text(StatusCode::METHOD_NOT_ALLOWED, "use GET\n");
    }
    match path {
        "/healthz" => match health {
            None => text(StatusCode::OK, "ok\n"),
            Some(why) => text(StatusCode::SERVICE_UNAVAILABLE, why),
        },
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
