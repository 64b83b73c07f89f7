//! What one run of a guest is given: its storage, its settings, its streams and folders, whom it may call. Closed by
//! default: a guest must never reach what it was not given.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use wasmtime_wasi::WasiCtx;
use wasmtime_wasi_http::{RequestOptions, WasiBody, WasiHttpHooks};

use crate::component_store::ComponentStore;
use crate::settings::Settings;
use crate::view::StorageCtx;

/// What one run of a guest is given.
pub struct GuestContext {
    /// Its storage.
    pub storage: StorageCtx,
    /// Its streams, arguments, environment and folders.
    pub wasi: WasiCtx,
    /// What `wasi:config` tells it.
    pub settings: Settings,
    /// Whom it may call over HTTP.
    pub outbound: Outbound,
}

impl GuestContext {
    /// A component's storage, and nothing but what `wasi` has.
    pub fn new(store: ComponentStore, wasi: WasiCtx) -> Self {
        Self { storage: StorageCtx::new(store), wasi, settings: Settings::default(), outbound: Outbound::default() }
    }
}

impl fmt::Debug for GuestContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("GuestContext")
            .field("storage", &self.storage)
            .field("settings", &self.settings)
            .field("outbound", &self.outbound)
            .finish_non_exhaustive()
    }
}

/// Whom a guest may call over HTTP: nobody, unless hosts are named. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Outbound(Arc<Vec<AllowedHost>>);

impl FromIterator<AllowedHost> for Outbound {
    fn from_iter<I: IntoIterator<Item = AllowedHost>>(hosts: I) -> Self {
        Self(Arc::new(hosts.into_iter().collect()))
    }
}

/// A host that a guest may call: `example.org`, `*.example.org`, `localhost:8080`, or `*` for any. Without a port it is
/// those of HTTP and HTTPS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AllowedHost {
    /// `None` for any; with a dot in front for all below it.
    host: Option<String>,
    port: Option<u16>,
}

/// A text that names no host.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("'{0}' is no host: write for example example.org, '*.example.org', localhost:8080 or '*'")]
pub struct InvalidHost(String);

impl FromStr for AllowedHost {
    type Err = InvalidHost;

    fn from_str(text: &str) -> Result<Self, InvalidHost> {
        let wrong = || InvalidHost(text.chars().take(80).collect());
        if text == "*" {
            return Ok(Self { host: None, port: None });
        }
        let (host, port) = match text.rsplit_once(':') {
            Some((host, port)) if !host.ends_with(':') && !port.ends_with(']') => {
                (host, Some(port.parse().map_err(|_| wrong())?))
            }
            _ => (text, None),
        };
        let name = host.strip_prefix("*.").unwrap_or(host);
        let fits = |c: char| c.is_ascii_alphanumeric() || "-._[]:".contains(c);
        if name.is_empty() || !name.chars().all(fits) {
            return Err(wrong());
        }
        let host = if host.starts_with("*.") { format!(".{name}") } else { name.to_owned() };
        Ok(Self { host: Some(host.to_ascii_lowercase()), port })
    }
}

impl AllowedHost {
    fn allows(&self, host: &str, port: u16) -> bool {
        let Some(allowed) = &self.host else { return true };
        let host = host.to_ascii_lowercase();
        let fits = if allowed.starts_with('.') { host.ends_with(allowed) } else { host == *allowed };
        fits && self.port.map_or(port == 80 || port == 443, |allowed| allowed == port)
    }
}

impl Outbound {
    fn allows(&self, uri: &http::Uri) -> bool {
        let port = uri.port_u16().unwrap_or(if uri.scheme() == Some(&http::uri::Scheme::HTTP) { 80 } else { 443 });
        uri.host().is_some_and(|host| self.0.iter().any(|allowed| allowed.allows(host, port)))
    }
}

type Sent = Result<
    (http::Response<WasiBody>, Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>),
    wasmtime_wasi_http::Error,
>;

impl WasiHttpHooks for Outbound {
    fn send_request(
        &mut self,
        request: http::Request<WasiBody>,
        options: Option<RequestOptions>,
        _: Box<dyn Future<Output = Result<(), wasmtime_wasi_http::Error>> + Send>,
    ) -> Box<dyn Future<Output = Sent> + Send> {
        if !self.allows(request.uri()) {
            let authority = request.uri().authority().map(ToString::to_string).unwrap_or_default();
            tracing::debug!("a request to '{authority}' was denied: it is not among the hosts that may be called");
            return Box::new(async { Err(wasmtime_wasi_http::Error::HttpRequestDenied) });
        }
        Box::new(async move {
            let (response, done) = wasmtime_wasi_http::default_send_request(request, options).await?;
            let done: Box<dyn Future<Output = _> + Send> = Box::new(done);
            Ok((response.map(http_body_util::BodyExt::boxed_unsync), done))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allows(hosts: &[&str], uri: &str) -> bool {
        let outbound: Outbound = hosts.iter().map(|host| host.parse().unwrap()).collect();
        outbound.allows(&uri.parse().unwrap())
    }

    #[test]
    fn nobody_may_be_called_who_is_not_named() {
        assert!(!allows(&[], "http://example.org/"));
        assert!(allows(&["*"], "http://example.org:99/"));
        assert!(allows(&["Example.org"], "https://eXample.org/path"));
        assert!(!allows(&["example.org"], "http://example.org:8080/"));
        assert!(allows(&["example.org:8080"], "http://example.org:8080/"));
        assert!(!allows(&["example.org"], "http://evil-example.org/"));
        assert!(allows(&["*.example.org"], "http://a.b.example.org/"));
        assert!(!allows(&["*.example.org"], "http://example.org/"));
        assert!(!allows(&["*.example.org"], "http://notexample.org/"));
        assert!(allows(&["[::1]:80"], "http://[::1]/"));
    }

    #[test]
    fn what_names_no_host_is_refused() {
        for text in ["", "http://example.org", "a b", "example.org:http", "example.org:99999", "*.", "exa*mple.org"] {
            assert!(text.parse::<AllowedHost>().is_err(), "{text}");
        }
    }
}
