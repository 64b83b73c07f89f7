//! The server: takes connections, hands requests to components, ends gracefully.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use hyper_util::server::graceful::GracefulShutdown;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tracing::{debug, warn};
use wasmtime_wasi_http::WasiBody;

use super::body::{Bounded, Counted};
use super::metrics::Metrics;
use super::{Routes, admin, answer};
use crate::stash::Stash;

/// How a server behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// Connections open at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// Requests answered at once; further ones wait.
    pub max_requests: usize,
    /// How long a request waits for its turn before it is refused.
    pub queue_timeout: Duration,
    /// How long the head of a request may take to arrive.
    pub head_timeout: Duration,
    /// Bytes in a request's body.
    pub max_body: u64,
    /// How long requests under way may take when the server is asked to end.
    pub grace: Duration,
}

impl Default for ServeConfig {
    /// 1,000 connections, 1,000 requests, 10 s to wait, 30 s for a head, bodies of 32 MiB, 30 s to end.
    fn default() -> Self {
        Self {
            max_connections: 1000,
            max_requests: 1000,
            queue_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            max_body: 32 * 1024 * 1024,
            grace: Duration::from_secs(30),
        }
    }
}

/// Why a server does not serve.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ServeError {
    /// The address cannot be listened on.
    #[error("cannot listen on {addr}: {reason}")]
    Listen {
        /// The address.
        addr: SocketAddr,
        /// What the system said.
        reason: std::io::Error,
    },
}

/// A request that was answered, for the access log.
#[derive(Debug, Clone)]
pub struct Access {
    /// Who asked.
    pub client: SocketAddr,
    /// Whom: the component's id, if a route fits.
    pub component: Option<String>,
    /// `GET` and so on.
    pub method: http::Method,
    /// Path and query as they came.
    pub target: String,
    /// The protocol.
    pub version: http::Version,
    /// How it was answered.
    pub status: StatusCode,
    /// Bytes of the answer's body.
    pub bytes: u64,
    /// From the request's head to the answer's last byte.
    pub took: Duration,
}

/// Told of every request when its answer is over. It must not wait.
pub type AccessLog = Arc<dyn Fn(Access) + Send + Sync>;

/// A server that listens, and serves when it is [`run`](Self::run).
pub struct Server {
    listener: TcpListener,
    admin: Option<TcpListener>,
    shared: Arc<Shared>,
}

struct Shared {
    stash: Stash,
    routes: Routes,
    config: ServeConfig,
    access: Option<AccessLog>,
    metrics: Metrics,
    requests: Arc<Semaphore>,
}

impl Server {
    /// Listens on `addr`, and for operators (`/healthz`, `/metrics`) on `admin`. Port 0 takes a free one.
    ///
    /// # Errors
    /// [`ServeError::Listen`].
    pub async fn bind(
        addr: SocketAddr,
        admin: Option<SocketAddr>,
        stash: Stash,
        routes: Routes,
        config: ServeConfig,
        access: Option<AccessLog>,
    ) -> Result<Self, ServeError> {
        let listener = listen(addr).await?;
        let admin = match admin {
            Some(addr) => Some(listen(addr).await?),
            None => None,
        };
        let requests = Arc::new(Semaphore::new(config.max_requests));
        let metrics = Metrics::new();
        Ok(Self { listener, admin, shared: Arc::new(Shared { stash, routes, config, access, metrics, requests }) })
    }

    /// Where it listens.
    ///
    /// # Errors
    /// The system's.
    pub fn local_addr(&self) -> std::io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Where it listens for operators.
    pub fn admin_addr(&self) -> Option<SocketAddr> {
        self.admin.as_ref().and_then(|admin| admin.local_addr().ok())
    }

    /// Serves until `shutdown` is ready; then takes no more connections, and waits for the requests under way, at most
    /// for [`ServeConfig::grace`]. Says whether all of them ended.
    pub async fn run(self, shutdown: impl Future<Output = ()>) -> bool {
        let Self { listener, admin, shared } = self;
        let connections = Arc::new(Semaphore::new(shared.config.max_connections));
        let graceful = GracefulShutdown::new();
        let operators = admin.map(|admin| tokio::spawn(serve_operators(admin, Arc::clone(&shared))));
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let accept = async {
                // The semaphore is never closed.
                let permit = Arc::clone(&connections).acquire_owned().await.ok();
                (permit, listener.accept().await)
            };
            let (permit, accepted) = tokio::select! {
                () = &mut shutdown => break,
                accepted = accept => accepted,
            };
            let (stream, client) = match accepted {
                Ok(accepted) => accepted,
                Err(error) => {
                    // Out of files, most likely: it passes when connections close.
                    warn!("cannot accept a connection: {error}");
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            serve_connection(stream, client, Arc::clone(&shared), &graceful, permit);
        }
        drop(listener);
        let ended = tokio::time::timeout(shared.config.grace, graceful.shutdown()).await.is_ok();
        // Health and metrics are there to the end.
        if let Some(operators) = operators {
            operators.abort();
        }
        ended
    }
}

async fn listen(addr: SocketAddr) -> Result<TcpListener, ServeError> {
    TcpListener::bind(addr).await.map_err(|reason| ServeError::Listen { addr, reason })
}

fn builder(config: &ServeConfig) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Answers are small: one write of a copy takes less than one of pieces.
    builder.http1().timer(TokioTimer::new()).header_read_timeout(config.head_timeout).half_close(false).writev(false);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(250);
    builder
}

fn serve_connection(
    stream: TcpStream,
    client: SocketAddr,
    shared: Arc<Shared>,
    graceful: &GracefulShutdown,
    permit: impl Send + 'static,
) {
    // Small pieces of an answer must not wait for each other.
    let _ = stream.set_nodelay(true);
    let counting = shared.metrics.connection();
    let service = {
        let shared = Arc::clone(&shared);
        service_fn(move |request| {
            let shared = Arc::clone(&shared);
            async move { Ok::<_, Infallible>(answer_request(shared, client, request).await) }
        })
    };
    let connection = builder(&shared.config).serve_connection(TokioIo::new(stream), service).into_owned();
    let connection = graceful.watch(connection);
    tokio::spawn(async move {
        if let Err(error) = connection.await {
            debug!("a connection from {client} ended: {error}");
        }
        drop((permit, counting));
    });
}

async fn serve_operators(listener: TcpListener, shared: Arc<Shared>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            let config = shared.config.clone();
            let service = service_fn(move |request: Request<Incoming>| {
                let answer = admin::answer(request.method(), request.uri().path(), &shared.stash, &shared.metrics);
                async { Ok::<_, Infallible>(answer) }
            });
            let _ = builder(&config).serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn answer_request(shared: Arc<Shared>, client: SocketAddr, request: Request<Incoming>) -> Response<WasiBody> {
    let begin = Instant::now();
    let access = shared.access.is_some().then(|| Access {
        client,
        component: None,
        method: request.method().clone(),
        target: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
        version: request.version(),
        status: StatusCode::OK,
        bytes: 0,
        took: Duration::ZERO,
    });
    let (component, response) = route(&shared, request).await;
    let status = response.status();
    let over = move |bytes: u64| {
        let took = begin.elapsed();
        shared.metrics.answered(component.as_deref().unwrap_or_default(), status.as_u16(), took);
        if let (Some(log), Some(access)) = (&shared.access, access) {
            log(Access { component, status, bytes, took, ..access });
        }
    };
    response.map(|body| Counted::new(body, over).boxed_unsync())
}

/// The component that a request is for, and its answer.
async fn route(shared: &Shared, mut request: Request<Incoming>) -> (Option<String>, Response<WasiBody>) {
    let host = request.uri().authority().map(|authority| authority.as_str().to_owned()).or_else(|| {
        let host = request.headers().get(header::HOST)?.to_str().ok()?;
        Some(host.to_owned())
    });
    let Some((app, path)) = shared.routes.find(host.as_deref(), request.uri().path()) else {
        return (None, answer::text(StatusCode::NOT_FOUND, "no component is served here\n"));
    };
    let name = Some(app.name().to_owned());
    if path.len() != request.uri().path().len() {
        match rewritten(request.uri(), path) {
            Some(uri) => *request.uri_mut() = uri,
            None => return (name, answer::text(StatusCode::BAD_REQUEST, "the path cannot be read\n")),
        }
    }
    // A guest of WASI 0.2 asks for an authority, which HTTP/1.0 need not have.
    if host.is_none() {
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    let announced = http_body::Body::size_hint(request.body()).lower();
    if announced > shared.config.max_body {
        return (name, answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than this server takes\n"));
    }
    let Some(permit) = turn(shared).await else {
        return (name, answer::text(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once\n"));
    };
    let kept = (permit, shared.metrics.request());
    let request = request.map(|body| Bounded::new(body, shared.config.max_body).boxed_unsync());
    let guest = app.guest();
    match guest.handle(request, kept).await {
        Ok(response) => (name, response),
        Err(failure) => {
            warn!(component = app.name(), "{failure}");
            (name, answer::failed(&failure))
        }
    }
}

/// A request's turn; `None` where it does not come in time.
async fn turn(shared: &Shared) -> Option<OwnedSemaphorePermit> {
    // Mostly nobody waits, and there is no need of a timer.
    if let Ok(permit) = Arc::clone(&shared.requests).try_acquire_owned() {
        return Some(permit);
    }
    let turn = Arc::clone(&shared.requests).acquire_owned();
    tokio::time::timeout(shared.config.queue_timeout, turn).await.ok()?.ok()
}

/// The same, with another path; an empty one is `/`.
fn rewritten(uri: &Uri, path: &str) -> Option<Uri> {
    let path = if path.is_empty() { "/" } else { path };
    let target = match uri.query() {
        Some(query) => format!("{path}?{query}"),
        None => path.to_owned(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = Some(target.parse().ok()?);
    Uri::from_parts(parts).ok()
}
