//! Calling a guest that answers HTTP requests, of WASI 0.2 or 0.3. An instance that traps, hangs or answers nothing must fail
//! no request but its own: that is one of WASI 0.2, and of WASI 0.3 those that the instance had taken on.

use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use http::{Request, Response};
use http_body_util::BodyExt;
use parking_lot::Mutex;
use tokio::sync::oneshot;
use wasmtime::component::GuestTaskId;
use wasmtime::{Store, StoreContextMut};
use wasmtime_wasi_http::handler::{
    ExpirationError, HandlerState, Instance, InstantiationError, ProxyHandler, ProxyPre, ShouldAccept,
    TrapOrPanicError, WorkerExpiration, WorkerState, WorkerStatus,
};
use wasmtime_wasi_http::p2::bindings::ProxyPre as Proxy2Pre;
use wasmtime_wasi_http::p2::bindings::http::types::Scheme;
use wasmtime_wasi_http::p3::bindings::ServicePre;
use wasmtime_wasi_http::p3::bindings::http::types::ErrorCode;
use wasmtime_wasi_http::{WasiBody, WasiHttpView};

use super::answer::{CutUnlessEnded, Exchange};
use super::run::{not_started, trap};
use super::{GuestContext, GuestState, Program, Runtime, RuntimeError};

/// How a guest that answers HTTP requests is run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpLimits {
    /// From the request to the last byte of the answer; `None` for as long as it likes.
    pub timeout: Option<Duration>,
    /// Requests that one instance of a WASI 0.3 component answers before it is dropped. Those of WASI 0.2 answer one.
    pub reuse: usize,
    /// Requests that one instance of a WASI 0.3 component answers at once. If it traps, all of them fail.
    pub concurrent: usize,
    /// How long an instance of a WASI 0.3 component that has nothing to do waits for its next request.
    pub idle: Duration,
}

impl Default for HttpLimits {
    /// One minute; instances of WASI 0.3 answer 128 requests, 16 at once, and wait for a second.
    fn default() -> Self {
        Self { timeout: Some(Duration::from_mins(1)), reuse: 128, concurrent: 16, idle: Duration::from_secs(1) }
    }
}

/// What each instance is given.
pub type MakeContext = Arc<dyn Fn() -> GuestContext + Send + Sync>;

/// A guest that answers HTTP requests. Clones are the same guest.
#[derive(Clone)]
pub struct HttpGuest {
    inner: Arc<Inner>,
}

struct Inner {
    runtime: Runtime,
    program: Program,
    limits: HttpLimits,
    make_context: MakeContext,
    handler: Handler,
}

enum Handler {
    Wasi2(Proxy2Pre<GuestState>),
    Wasi3(ProxyHandler<Wasi3>),
}

/// Why a guest has not answered a request.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpFailure {
    /// It could not be started, or trapped.
    #[error(transparent)]
    Guest(#[from] RuntimeError),
    /// It took longer than it may.
    #[error("{guest} did not answer in {seconds} s, its time limit")]
    Timeout {
        /// The guest's file.
        guest: String,
        /// The limit.
        seconds: f64,
    },
    /// It answered with an error in place of a response.
    #[error("{guest} answered with an error: {reason}")]
    Refused {
        /// The guest's file.
        guest: String,
        /// The error.
        reason: String,
    },
    /// It ended without an answer.
    #[error("{guest} gave no answer: {reason}")]
    NoAnswer {
        /// The guest's file.
        guest: String,
        /// What it did.
        reason: String,
    },
    /// The request itself cannot be told to a guest.
    #[error("the request cannot be handed to a guest: {reason}")]
    BadRequest {
        /// What is wrong with it.
        reason: String,
    },
}

impl Runtime {
    /// A guest that answers HTTP requests: a component with `wasi:http/incoming-handler` of WASI 0.2 or `wasi:http/handler`
    /// of 0.3. `make_context` makes what each instance is given.
    ///
    /// # Errors
    /// [`RuntimeError::Call`] where the component does not answer HTTP requests.
    pub fn http(
        &self,
        program: &Program,
        limits: HttpLimits,
        make_context: MakeContext,
    ) -> Result<HttpGuest, RuntimeError> {
        let handler = if let Ok(pre) = ServicePre::new(program.pre.clone()) {
            Handler::Wasi3(ProxyHandler::new(Wasi3 {
                runtime: self.clone(),
                program: program.clone(),
                pre: ProxyPre::P3(pre),
                limits: limits.clone(),
                make_context: Arc::clone(&make_context),
            }))
        } else if let Ok(pre) = Proxy2Pre::new(program.pre.clone()) {
            Handler::Wasi2(pre)
        } else {
            return Err(no_http(program));
        };
        let (runtime, program) = (self.clone(), program.clone());
        Ok(HttpGuest { inner: Arc::new(Inner { runtime, program, limits, make_context, handler }) })
    }
}

impl Program {
    /// Whether it answers HTTP requests, as far as its type says; see [`Runtime::http`].
    ///
    /// # Errors
    /// [`RuntimeError::Call`] where it does not.
    pub fn check_http(&self) -> Result<(), RuntimeError> {
        if ServicePre::new(self.pre.clone()).is_ok() || Proxy2Pre::new(self.pre.clone()).is_ok() {
            return Ok(());
        }
        Err(no_http(self))
    }
}

fn no_http(program: &Program) -> RuntimeError {
    RuntimeError::Call {
        guest: program.name.clone(),
        reason: format!(
            "it does not answer HTTP requests (it exports neither wasi:http/incoming-handler nor wasi:http/handler); {}",
            Runtime::offer(program)
        ),
    }
}

impl HttpGuest {
    /// From a request to the last byte of its answer; `None` for as long as the guest likes.
    pub fn timeout(&self) -> Option<Duration> {
        self.inner.limits.timeout
    }

    /// Hands a request to the guest. `kept` is dropped when the guest is done with it, which may be after its answer.
    ///
    /// Dropping the future stops a guest of WASI 0.2; what it had stored stays stored. One of WASI 0.3 goes on.
    ///
    /// # Errors
    /// [`HttpFailure`].
    pub async fn handle(
        &self,
        request: Request<WasiBody>,
        kept: impl Send + Sync + 'static,
    ) -> Result<Response<WasiBody>, HttpFailure> {
        match &self.inner.handler {
            Handler::Wasi2(pre) => self.inner.handle_wasi_2(pre.clone(), request, kept).await,
            Handler::Wasi3(handler) => {
                // The guest goes on also where nobody waits for its answer any more.
                let (exchange, begin) = (Exchange::new(kept), Instant::now());
                let answer = handler.handle(Arc::clone(&exchange), request).await;
                let answer = answer.map_err(|error| self.inner.failure(&error, begin.elapsed()))?;
                // Guests write what they answer after they have returned it: a small body then goes out with its head.
                tokio::task::yield_now().await;
                Ok(answer.map(|body| exchange.body(body)))
            }
        }
    }
}

impl Inner {
    async fn handle_wasi_2(
        &self,
        pre: Proxy2Pre<GuestState>,
        request: Request<WasiBody>,
        kept: impl Send + Sync + 'static,
    ) -> Result<Response<WasiBody>, HttpFailure> {
        let bad = |error: wasmtime::Error| HttpFailure::BadRequest { reason: format!("{error:#}") };
        let guest = &self.program.name;
        let mut store = self.runtime.new_store(&self.program, (self.make_context)());
        let (answer, mut answered) = oneshot::channel();
        let request = store.data_mut().http().new_incoming_request(Scheme::Http, request).map_err(bad)?;
        let answer = store.data_mut().http().new_response_outparam(answer).map_err(bad)?;
        let (name, limit) = (guest.clone(), self.limits.timeout);
        let exchange = Exchange::new(());
        let of_call = Arc::clone(&exchange);
        let mut call = Box::pin(async move {
            let _kept = kept;
            // Declared behind what is kept, so that the instance is back in its pool when the next request gets its turn.
            let mut store = store;
            // And behind the instance, so that a body which ends with that is known to be cut.
            let cut = CutUnlessEnded::new(&of_call);
            let call = async {
                let proxy = pre.instantiate_async(&mut store).await.map_err(|error| not_started(&name, &error))?;
                let handler = proxy.wasi_http_incoming_handler();
                handler.call_handle(&mut store, request, answer).await.map_err(|error| trap(&name, &error))?;
                Ok::<(), HttpFailure>(())
            };
            let ended = match limit {
                None => call.await,
                Some(limit) => tokio::time::timeout(limit, call).await.unwrap_or_else(|_| {
                    Err(HttpFailure::Timeout { guest: name.clone(), seconds: limit.as_secs_f64() })
                }),
            };
            if ended.is_ok() {
                cut.ended();
            }
            ended
        });
        let answer = tokio::select! {
            biased;
            // Most guests have written all of a small answer when they first let go.
            ended = &mut call => match (answered.try_recv(), ended) {
                (Ok(answer), Ok(())) => answer,
                (Ok(answer), Err(error)) => {
                    tracing::warn!("after its answer: {error}");
                    answer
                }
                (Err(_), Err(error)) => return Err(error),
                (Err(_), Ok(())) => {
                    let reason = "it returned without setting a response".to_owned();
                    return Err(HttpFailure::NoAnswer { guest: guest.clone(), reason });
                }
            },
            Ok(answer) = &mut answered => {
                tokio::spawn(async move {
                    if let Err(error) = call.await {
                        tracing::warn!("within its answer: {error}");
                    }
                });
                answer
            }
        };
        match answer {
            Ok(answer) => Ok(answer.map(|body| exchange.body(body.map_err(Into::into).boxed_unsync()))),
            Err(code) => Err(HttpFailure::Refused { guest: guest.clone(), reason: format!("{code:?}") }),
        }
    }

    fn failure(&self, error: &wasmtime::Error, took: Duration) -> HttpFailure {
        let guest = &self.program.name;
        let start = error.downcast_ref::<InstantiationError<Arc<Exchange>>>().map(|start| &*start.error);
        let error = start.unwrap_or(error);
        // A guest that does not let go is ended with its instance.
        let ended_late = error.is::<TrapOrPanicError>() && self.limits.timeout.is_some_and(|limit| took >= limit);
        if ended_late || error.is::<ExpirationError>() {
            let seconds = self.limits.timeout.unwrap_or_default().as_secs_f64();
            return HttpFailure::Timeout { guest: guest.clone(), seconds };
        }
        if start.is_some() {
            return not_started(guest, error).into();
        }
        if error.is::<wasmtime::Trap>() {
            return trap(guest, error).into();
        }
        if let Some(code) = error.downcast_ref::<ErrorCode>() {
            return HttpFailure::Refused { guest: guest.clone(), reason: format!("{code:?}") };
        }
        if error.is::<TrapOrPanicError>() {
            let reason = "its instance ended, by this request or another".to_owned();
            return RuntimeError::Trap { guest: guest.clone(), reason, code: None }.into();
        }
        HttpFailure::NoAnswer { guest: guest.clone(), reason: format!("{error:#}") }
    }
}

impl fmt::Debug for HttpGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HttpGuest").field("program", &self.inner.program.name).finish_non_exhaustive()
    }
}

/// How instances of a WASI 0.3 component are made and used again.
struct Wasi3 {
    runtime: Runtime,
    program: Program,
    pre: ProxyPre<GuestState>,
    limits: HttpLimits,
    make_context: MakeContext,
}

impl HandlerState for Wasi3 {
    type StoreData = GuestState;
    type WorkerExpiration = Expiration;
    type WorkerState = Worker;

    async fn instantiate(&self) -> wasmtime::Result<Instance<GuestState, Expiration, Worker>> {
        let mut store = self.runtime.new_store(&self.program, (self.make_context)());
        let start = self.pre.instantiate_async(&mut store);
        let proxy = match self.limits.timeout {
            None => start.await?,
            Some(limit) => tokio::time::timeout(limit, start).await.map_err(|_| ExpirationError)??,
        };
        Ok(Instance {
            store,
            proxy,
            view: GuestState::http,
            expiration: Expiration {
                idle: self.limits.idle,
                timeout: self.limits.timeout,
                sleep: Box::pin(tokio::time::sleep(Duration::ZERO)),
            },
            state: Worker {
                limits: self.limits.clone(),
                guest: self.program.name.clone(),
                exchanges: Mutex::default(),
            },
        })
    }
}

/// When an instance is dropped: after some time without requests, or with one that takes too long.
struct Expiration {
    idle: Duration,
    timeout: Option<Duration>,
    sleep: Pin<Box<tokio::time::Sleep>>,
}

impl WorkerExpiration for Expiration {
    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>, status: WorkerStatus, start: Instant) -> Poll<()> {
        let limit = match status {
            WorkerStatus::Idle => Some(self.idle),
            WorkerStatus::Requests | WorkerStatus::PostReturn => self.timeout,
        };
        let Some(deadline) = limit.and_then(|limit| start.checked_add(limit)) else { return Poll::Pending };
        if self.sleep.deadline() != deadline.into() {
            self.sleep.as_mut().reset(deadline.into());
        }
        self.sleep.as_mut().poll(cx)
    }
}

/// How much one instance takes on.
struct Worker {
    limits: HttpLimits,
    guest: String,
    /// Those that are not over, and some that are.
    exchanges: Mutex<Vec<Weak<Exchange>>>,
}

impl WorkerState for Worker {
    type StoreData = GuestState;
    type RequestData = Arc<Exchange>;

    fn should_accept_request(&self, concurrent: usize, total: usize) -> ShouldAccept {
        if total >= self.limits.reuse {
            ShouldAccept::Never
        } else if concurrent >= self.limits.concurrent {
            ShouldAccept::No
        } else {
            ShouldAccept::Yes
        }
    }

    fn on_request_start(
        &self,
        _: StoreContextMut<'_, GuestState>,
        exchange: Arc<Exchange>,
        _: GuestTaskId,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + Sync>> {
        let limit = self.limits.timeout;
        {
            let mut exchanges = self.exchanges.lock();
            if exchanges.len() >= self.limits.concurrent {
                exchanges.retain(|exchange| exchange.strong_count() > 0);
            }
            exchanges.push(Arc::downgrade(&exchange));
        }
        Box::pin(async move {
            let _kept = exchange;
            match limit {
                Some(limit) => tokio::time::sleep(limit).await,
                None => std::future::pending().await,
            }
        })
    }

    fn drop(&self, store: Store<GuestState>, result: Result<(), wasmtime::Error>) {
        if result.is_err() {
            // Before the store, whose end ends their bodies.
            self.exchanges.lock().drain(..).filter_map(|exchange| exchange.upgrade()).for_each(|it| it.cut());
        }
        match result {
            // What it says of an instance whose task was dropped, too: at the server's end.
            Err(error) if error.to_string() == "worker panicked" => tracing::debug!("an instance was dropped"),
            Err(error) => tracing::warn!("an instance ended with all its requests: {}", trap(&self.guest, &error)),
            Ok(()) => {}
        }
        drop(store);
    }
}
