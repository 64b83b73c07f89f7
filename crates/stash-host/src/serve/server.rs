//! The server: takes connections, hands requests to components, ends gracefully.

use std::collections::HashMap;
use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use http::{HeaderValue, Request, Response, StatusCode, Uri, header};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tracing::warn;
use wasmtime_wasi_http::WasiBody;

use super::body::{Bounded, Counted};
use super::connection::{self, Activity, Phase, UnderWay};
use super::metrics::Metrics;
use super::{App, Listeners, Routes, admin, answer, host};
use crate::stash::Stash;

/// How a server behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServeConfig {
    /// Connections open at once; further ones wait to be accepted.
    pub max_connections: usize,
    /// Requests answered at once; further ones wait. Where there are several components, one has at most three quarters
    /// of them.
    pub max_requests: usize,
    /// How long a request waits for its turn before it is refused.
    pub queue_timeout: Duration,
    /// How long a connection may be without a request: in that time the head of the next one arrives, or it is closed.
    pub head_timeout: Duration,
    /// How much longer than a component may take for an answer its client may take to read it; then the connection is cut
    /// off.
    pub linger: Duration,
    /// Bytes in a request's body.
    pub max_body: u64,
    /// How long requests under way may take when the server is asked to end.
    pub grace: Duration,
}

impl Default for ServeConfig {
    /// 1,000 connections, 1,000 requests, 10 s to wait, 30 s for a head, 5 s to read on, bodies of 32 MiB, 30 s to end.
    fn default() -> Self {
        Self {
            max_connections: 1000,
            max_requests: 1000,
            queue_timeout: Duration::from_secs(10),
            head_timeout: Duration::from_secs(30),
            linger: Duration::from_secs(5),
            max_body: 32 * 1024 * 1024,
            grace: Duration::from_secs(30),
        }
    }
}

/// A request that was answered, for the access log.
#[derive(Debug, Clone)]
pub struct Access {
    /// Who asked.
    pub client: SocketAddr,
    /// Whom: the component's id, if a route fits.
    pub component: Option<String>,
    /// The host as the request named it, with its port; `None` where it named none.
    pub host: Option<String>,
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
    listeners: Listeners,
    shared: Arc<Shared>,
}

struct Shared {
    stash: Stash,
    routes: Routes,
    config: ServeConfig,
    access: Option<AccessLog>,
    metrics: Metrics,
    requests: Arc<Semaphore>,
    /// Requests of one component at once.
    requests_each: usize,
    /// Whether it takes no more connections.
    ending: AtomicBool,
}

/// How the requests under way ended, when the server was asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// All were answered.
    Answered,
    /// Some took longer than [`ServeConfig::grace`].
    TookTooLong,
    /// Some were cut off, as was asked.
    CutOff,
}

/// How long connections may take to close when it is over.
const LAST_WORDS: Duration = Duration::from_secs(2);
/// Connections of operators at once.
const OPERATORS: usize = 64;
/// What a request is counted as whose client did not wait for the answer.
const CLIENT_GONE: u16 = 499;

impl Server {
    /// Is to answer what comes in at the `listeners`.
    pub fn new(
        listeners: Listeners,
        stash: Stash,
        routes: Routes,
        config: ServeConfig,
        access: Option<AccessLog>,
    ) -> Self {
        // More than a semaphore has are as good as no limit.
        let most = config.max_requests.min(Semaphore::MAX_PERMITS);
        let requests = Arc::new(Semaphore::new(most));
        let several = routes.apps().any(|app| routes.apps().any(|other| app.id() != other.id()));
        let requests_each = if several { most - most / 4 } else { most };
        // Shared by all places at which one component is reached.
        let mut turns = HashMap::new();
        for app in routes.apps() {
            app.share(turns.entry(app.id().clone()).or_insert_with(|| Arc::new(Semaphore::new(requests_each))));
        }
        let metrics = Metrics::new();
        let ending = AtomicBool::new(false);
        let shared = Shared { stash, routes, config, access, metrics, requests, requests_each, ending };
        Self { listeners, shared: Arc::new(shared) }
    }

    /// Serves until `shutdown` is ready; then takes no more connections, and waits for the requests under way, at most
    /// for [`ServeConfig::grace`] and until `cut_off` is ready. When it returns, every request is in the access log.
    pub async fn run(self, shutdown: impl Future<Output = ()>, cut_off: impl Future<Output = ()>) -> Ended {
        let Self { listeners: Listeners { clients: listener, operators }, shared } = self;
        let connections = Arc::new(Semaphore::new(shared.config.max_connections.min(Semaphore::MAX_PERMITS)));
        let (tell, phase) = watch::channel(Phase::Serving);
        let operators = operators.map(|listener| tokio::spawn(serve_operators(listener, Arc::clone(&shared))));
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
            tokio::spawn(serve_connection(stream, client, Arc::clone(&shared), phase.clone(), permit));
        }
        drop((listener, phase));
        shared.ending.store(true, Ordering::Relaxed);
        tell.send_replace(Phase::Ending);
        let ended = tokio::select! {
            biased;
            () = tell.closed() => Ended::Answered,
            () = cut_off => Ended::CutOff,
            () = tokio::time::sleep(shared.config.grace) => Ended::TookTooLong,
        };
        tell.send_replace(Phase::Over);
        if tokio::time::timeout(LAST_WORDS, tell.closed()).await.is_err() {
            warn!("some connections are not closed yet");
        }
        // Health and metrics are there to the end.
        if let Some(operators) = operators {
            operators.abort();
        }
        ended
    }
}

async fn serve_connection(
    stream: TcpStream,
    client: SocketAddr,
    shared: Arc<Shared>,
    phase: watch::Receiver<Phase>,
    permit: impl Send + 'static,
) {
    let _kept = (permit, shared.metrics.connection());
    let (activity, idle) = (Activity::new(), shared.config.head_timeout);
    let service = {
        let activity = Arc::clone(&activity);
        service_fn(move |request| {
            let answering = Answering::new(Arc::clone(&shared), client, activity.begin(), &request);
            async move { Ok::<_, Infallible>(answer_request(answering, request).await) }
        })
    };
    connection::serve(stream, client, service, &activity, idle, phase).await;
}

async fn serve_operators(listener: TcpListener, shared: Arc<Shared>) {
    let connections = Arc::new(Semaphore::new(OPERATORS));
    let (_never_told, phase) = watch::channel(Phase::Serving);
    loop {
        let permit = Arc::clone(&connections).acquire_owned().await.ok();
        let Ok((stream, client)) = listener.accept().await else {
            tokio::time::sleep(Duration::from_millis(50)).await;
            continue;
        };
        let (shared, phase) = (Arc::clone(&shared), phase.clone());
        tokio::spawn(async move {
            let _kept = permit;
            let (activity, idle) = (Activity::new(), shared.config.head_timeout);
            let service = {
                let activity = Arc::clone(&activity);
                service_fn(move |request: Request<Incoming>| {
                    let under_way = activity.begin();
                    under_way.limit(idle);
                    let ending = shared.ending.load(Ordering::Relaxed);
                    let health = admin::health(&shared.stash, ending);
                    let answer = admin::answer(request.method(), request.uri().path(), health, &shared.metrics);
                    let answer = answer.map(|body| Counted::new(body, |_| drop(under_way)).boxed_unsync());
                    async { Ok::<_, Infallible>(answer) }
                })
            };
            connection::serve(stream, client, service, &activity, idle, phase).await;
        });
    }
}

/// A request until its answer is over, or its client gone: then it is counted and logged.
struct Answering {
    shared: Arc<Shared>,
    under_way: UnderWay,
    begin: Instant,
    app: Option<App>,
    status: u16,
    bytes: u64,
    access: Option<Access>,
}

impl Answering {
    fn new(shared: Arc<Shared>, client: SocketAddr, under_way: UnderWay, request: &Request<Incoming>) -> Self {
        let access = shared.access.is_some().then(|| Access {
            client,
            component: None,
            host: None,
            method: request.method().clone(),
            target: request.uri().path_and_query().map(ToString::to_string).unwrap_or_default(),
            version: request.version(),
            status: StatusCode::OK,
            bytes: 0,
            took: Duration::ZERO,
        });
        Self { shared, under_way, begin: Instant::now(), app: None, status: CLIENT_GONE, bytes: 0, access }
    }
}

impl Drop for Answering {
    fn drop(&mut self) {
        let took = self.begin.elapsed();
        let component = self.app.as_ref().map(App::name);
        self.shared.metrics.answered(component.unwrap_or_default(), self.status, took);
        if let (Some(log), Some(access)) = (&self.shared.access, self.access.take()) {
            let component = component.map(str::to_owned);
            let status = StatusCode::from_u16(self.status).unwrap_or_default();
            log(Access { component, status, bytes: self.bytes, took, ..access });
        }
    }
}

async fn answer_request(mut answering: Answering, request: Request<Incoming>) -> Response<WasiBody> {
    let response = route(&mut answering, request).await;
    answering.status = response.status().as_u16();
    let over = move |bytes: u64| {
        answering.bytes = bytes;
        drop(answering);
    };
    response.map(|body| Counted::new(body, over).boxed_unsync())
}

/// The answer of the component that a request is for.
async fn route(answering: &mut Answering, mut request: Request<Incoming>) -> Response<WasiBody> {
    let shared = Arc::clone(&answering.shared);
    let host = match host::named(&request) {
        Ok(host) => host,
        Err(told) => return answer::text(StatusCode::BAD_REQUEST, told),
    };
    if let Some(access) = &mut answering.access {
        access.host.clone_from(&host);
    }
    let Some((app, path)) = shared.routes.find(host.as_deref(), request.uri().path()) else {
        return answer::text(StatusCode::NOT_FOUND, "no component is served here\n");
    };
    answering.app = Some(app.clone());
    if path.len() != request.uri().path().len() {
        match rewritten(request.uri(), path) {
            Some(uri) => *request.uri_mut() = uri,
            None => return answer::text(StatusCode::BAD_REQUEST, "the path cannot be read\n"),
        }
    }
    // A guest of WASI 0.2 asks for an authority, which HTTP/1.0 need not have.
    if host.is_none() {
        request.headers_mut().insert(header::HOST, HeaderValue::from_static("localhost"));
    }
    let announced = http_body::Body::size_hint(request.body()).lower();
    if announced > shared.config.max_body {
        return answer::text(StatusCode::PAYLOAD_TOO_LARGE, "the body is larger than this server takes\n");
    }
    let Some(turn) = turn(&shared, app).await else {
        return answer::text(StatusCode::SERVICE_UNAVAILABLE, "too many requests at once\n");
    };
    let kept = (turn, shared.metrics.request());
    let request = request.map(|body| Bounded::new(body, shared.config.max_body).boxed_unsync());
    let guest = app.guest();
    if let Some(timeout) = guest.timeout() {
        answering.under_way.limit(timeout.saturating_add(shared.config.linger));
    }
    match guest.handle(request, kept).await {
        Ok(response) => response,
        Err(failure) => {
            warn!(component = app.name(), "{failure}");
            answer::failed(&failure)
        }
    }
}

/// A request's turn, of its component's and of all; `None` where it does not come in time.
async fn turn(shared: &Shared, app: &App) -> Option<[OwnedSemaphorePermit; 2]> {
    let turns = [app.turns(shared.requests_each), &shared.requests].map(Arc::clone);
    // Mostly nobody waits, and there is no need of a timer.
    if let [Ok(own), Ok(of_all)] = turns.each_ref().map(|turns| Arc::clone(turns).try_acquire_owned()) {
        return Some([own, of_all]);
    }
    let [own, of_all] = turns;
    // Its component's first: who waits for that must not keep others waiting.
    let turn = async { Some([own.acquire_owned().await.ok()?, of_all.acquire_owned().await.ok()?]) };
    tokio::time::timeout(shared.config.queue_timeout, turn).await.ok()?
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
