//! Calls of etcd's members: one of them at a time, and the next when it does not answer. A call must never wait longer than
//! its time, nor be sent twice unless it may be done twice.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use http::uri::PathAndQuery;
use parking_lot::Mutex;
use prost::Message;
use tokio::runtime::Handle;
use tonic::metadata::AsciiMetadataValue;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Streaming};
use tonic_prost::ProstCodec;

use crate::OpenError;
use crate::failure::{CallError, Refusal, told};
use crate::proto::{AuthenticateRequest, AuthenticateResponse, WatchRequest, WatchResponse, path};
use crate::url::{Login, Target, Tls};

/// How long the beginning of a connection may take, at most: less than an answer may, so that it is known that nothing was
/// sent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);
/// How often a connection is asked for a sign of life while calls wait on it. etcd cuts those that ask more often than every
/// five seconds.
const KEEP_ALIVE: Duration = Duration::from_secs(10);
/// How much of answers may be on its way at once.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 16 << 20;
/// A call that was given up after so long says something about its connection.
const STALLED: Duration = Duration::from_secs(1);

/// Whether a call may be done twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Repeat {
    /// Where its answer is lost, another member may be asked.
    May,
    /// It must not.
    MustNot,
}

/// The members of an etcd.
pub(crate) struct Client {
    members: Vec<Member>,
    /// The one that is asked at present.
    current: AtomicUsize,
    login: Option<Login>,
    token: Mutex<Option<AsciiMetadataValue>>,
    /// How long one member may take.
    patience: Duration,
    handle: Handle,
    /// Why no member answers, if so.
    failure: Mutex<Option<String>>,
}

/// One of them.
struct Member {
    name: String,
    endpoint: Endpoint,
    channel: Mutex<Channel>,
}

impl Client {
    /// Connections are made when they are needed. To be called on the runtime on which they are to live.
    pub(crate) fn new(target: &Target, call_timeout: Duration) -> Result<Self, OpenError> {
        let tls = target.tls.as_ref().map(tls_config).transpose()?;
        let scheme = if tls.is_some() { "https" } else { "http" };
        // Time for another member within the time that a call has.
        let parts = u32::try_from(target.members.len().min(3)).unwrap_or(1).max(1);
        let patience = call_timeout.mul_f64(0.9) / parts;
        let member = |name: &String| {
            let wrong = |error: tonic::transport::Error| OpenError::Io { reason: told(&error) };
            let mut endpoint = Endpoint::from_shared(format!("{scheme}://{name}"))
                .map_err(wrong)?
                .connect_timeout(CONNECT_TIMEOUT.min(patience.mul_f64(0.6)))
                .tcp_nodelay(true)
                .http2_keep_alive_interval(KEEP_ALIVE)
                .keep_alive_timeout(call_timeout)
                .initial_stream_window_size(STREAM_WINDOW)
                .initial_connection_window_size(CONNECTION_WINDOW);
            if let Some(tls) = &tls {
                endpoint = endpoint.tls_config(tls.clone()).map_err(wrong)?;
            }
            let channel = Mutex::new(endpoint.connect_lazy());
            Ok(Member { name: name.clone(), endpoint, channel })
        };
        let members = target.members.iter().map(member).collect::<Result<Vec<_>, OpenError>>()?;
        Ok(Self {
            // Hosts begin with different members.
            current: AtomicUsize::new(usize::from(random::<1>()?[0]) % members.len().max(1)),
            members,
            login: target.login.clone(),
            token: Mutex::default(),
            patience,
            handle: Handle::current(),
            failure: Mutex::default(),
        })
    }

    /// The runtime that connections live on.
    pub(crate) fn handle(&self) -> &Handle {
        &self.handle
    }

    /// Why no member answers, as far as the last call knows.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// Calls a member; the others too, where it cannot be reached and the call allows it.
    pub(crate) async fn call<Q, A>(&self, path: &'static str, request: &Q, repeat: Repeat) -> Result<A, CallError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let mut tries = 0;
        loop {
            tries += 1;
            let answer = match self.call_current(path, request).await {
                Err(CallError::Refused(Refusal::OldToken)) if tries <= self.members.len() && self.login.is_some() => {
                    // It was turned away before it was done.
                    self.forget_token();
                    continue;
                }
                answer => answer,
            };
            let (error, may_go_on) = match answer {
                Ok(answer) => {
                    if self.failure.lock().is_some() {
                        *self.failure.lock() = None;
                    }
                    return Ok(answer);
                }
                Err(CallError::Refused(refusal)) => return Err(CallError::Refused(refusal)),
                Err(error @ CallError::NotSent(_)) => (error, true),
                Err(error @ CallError::Lost(_)) => (error, repeat == Repeat::May),
            };
            if !may_go_on || tries >= self.members.len() {
                if let CallError::NotSent(reason) | CallError::Lost(reason) = &error
                    && tries >= self.members.len()
                {
                    *self.failure.lock() = Some(reason.clone());
                }
                return Err(error);
            }
        }
    }

    async fn call_current<Q, A>(&self, path: &'static str, request: &Q) -> Result<A, CallError>
    where
        Q: Message + Clone + 'static,
        A: Message + Default + 'static,
    {
        let (at, member) = self.member()?;
        let token = match self.token(member).await {
            Ok(token) => token,
            Err(error) => {
                self.leave(at, &error);
                return Err(error);
            }
        };
        let answer = self.send(at, member, path, request.clone(), token).await;
        answer.inspect_err(|error| self.leave(at, error))
    }

    /// The member that is asked at present.
    fn member(&self) -> Result<(usize, &Member), CallError> {
        let at = self.current.load(Ordering::Relaxed);
        let member = self.members.get(at).ok_or_else(|| CallError::NotSent("there are no members".to_owned()))?;
        Ok((at, member))
    }

    /// Lets the others try, where this one does not answer.
    fn leave(&self, at: usize, error: &CallError) {
        if let CallError::NotSent(reason) | CallError::Lost(reason) = error {
            let next = (at + 1) % self.members.len().max(1);
            if self.current.compare_exchange(at, next, Ordering::Relaxed, Ordering::Relaxed).is_ok() && next != at {
                tracing::debug!("going on to another member of etcd: {reason}");
            }
        }
    }

    async fn send<Q, A>(
        &self,
        at: usize,
        member: &Member,
        path: &'static str,
        message: Q,
        token: Option<AsciiMetadataValue>,
    ) -> Result<A, CallError>
    where
        Q: Message + 'static,
        A: Message + Default + 'static,
    {
        let mut given_up = GivenUp { client: self, at, since: Instant::now(), answered: false };
        let channel = member.channel.lock().clone();
        // A connection takes the message when there is one: as long as nobody has, nothing was sent.
        let taken = Arc::new(AtomicBool::new(false));
        let taking = Arc::clone(&taken);
        let message = futures_util::stream::once(async move {
            taking.store(true, Ordering::SeqCst);
            message
        });
        let answer = tokio::time::timeout(self.patience, async {
            let mut grpc = ready(channel, &member.name).await?;
            let codec = ProstCodec::<Q, A>::default();
            let answer = grpc.client_streaming(request(message, token), PathAndQuery::from_static(path), codec).await;
            answer.map(tonic::Response::into_inner).map_err(|status| CallError::of(&status, &member.name))
        })
        .await;
        // Whatever took longer is not trusted any more, and neither is what it was sent on.
        given_up.answered = answer.is_ok();
        let slow = |_| Err(CallError::Lost(format!("{} did not answer within {:?}", member.name, self.patience)));
        match answer.unwrap_or_else(slow) {
            Err(CallError::Lost(reason)) if !taken.load(Ordering::SeqCst) => Err(CallError::NotSent(reason)),
            answer => answer,
        }
    }

    /// Watches keys, on the member that is asked at present, until that ends.
    pub(crate) async fn watch(&self, watch: WatchRequest) -> Result<Streaming<WatchResponse>, CallError> {
        use futures_util::StreamExt;
        let (at, member) = self.member()?;
        let begin = async {
            let token = self.token(member).await?;
            let channel = member.channel.lock().clone();
            let mut grpc = ready(channel, &member.name).await?;
            // What ends the requests ends the watch.
            let requests = futures_util::stream::once(std::future::ready(watch)).chain(futures_util::stream::pending());
            let codec = ProstCodec::<WatchRequest, WatchResponse>::default();
            let answer = grpc.streaming(request(requests, token), PathAndQuery::from_static(path::WATCH), codec).await;
            answer.map(tonic::Response::into_inner).map_err(|status| CallError::of(&status, &member.name))
        };
        let slow = || Err(CallError::Lost(format!("{} did not answer in time", member.name)));
        let answer = tokio::time::timeout(self.patience, begin).await.unwrap_or_else(|_| slow());
        if matches!(answer, Err(CallError::Refused(Refusal::OldToken))) {
            self.forget_token();
        }
        answer.inspect_err(|error| self.leave(at, error))
    }

    /// What says who we are.
    async fn token(&self, member: &Member) -> Result<Option<AsciiMetadataValue>, CallError> {
        let Some(login) = &self.login else { return Ok(None) };
        if let Some(token) = self.token.lock().clone() {
            return Ok(Some(token));
        }
        let message = AuthenticateRequest { name: login.user.clone(), password: login.password.clone() };
        let channel = member.channel.lock().clone();
        let answer = tokio::time::timeout(self.patience, async {
            let mut grpc = ready(channel, &member.name).await?;
            let codec = ProstCodec::<AuthenticateRequest, AuthenticateResponse>::default();
            let path = PathAndQuery::from_static(path::AUTHENTICATE);
            let answer = grpc.unary(request(message, None), path, codec).await;
            answer.map_err(|status| match CallError::of(&status, &member.name) {
                // What the token is for was not sent.
                CallError::Lost(reason) => CallError::NotSent(reason),
                error => error,
            })
        });
        let slow = || CallError::NotSent(format!("{} did not answer within {:?}", member.name, self.patience));
        let token = answer.await.map_err(|_| slow())??.into_inner().token;
        let token = AsciiMetadataValue::try_from(token)
            .map_err(|_| CallError::NotSent(format!("{} gave a token that cannot be sent", member.name)))?;
        *self.token.lock() = Some(token.clone());
        Ok(Some(token))
    }

    fn forget_token(&self) {
        *self.token.lock() = None;
    }
}

/// Sees to it that a connection which did not answer is not used again.
struct GivenUp<'a> {
    client: &'a Client,
    at: usize,
    since: Instant,
    answered: bool,
}

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        // A caller who goes away at once says nothing about the connection.
        if self.answered || self.since.elapsed() < STALLED {
            return;
        }
        let Some(member) = self.client.members.get(self.at) else { return };
        let _within = self.client.handle.enter();
        *member.channel.lock() = member.endpoint.connect_lazy();
        self.client.leave(self.at, &CallError::Lost(format!("{} stalled", member.name)));
    }
}

type Grpc = tonic::client::Grpc<Channel>;

async fn ready(channel: Channel, member: &str) -> Result<Grpc, CallError> {
    let grpc = Grpc::new(channel).max_decoding_message_size(usize::MAX).max_encoding_message_size(usize::MAX);
    let mut grpc = grpc;
    grpc.ready().await.map_err(|error| CallError::NotSent(format!("{member}: {}", told(&error))))?;
    Ok(grpc)
}

/// A member without a leader is to say so at once, instead of waiting for one.
fn request<M>(message: M, token: Option<AsciiMetadataValue>) -> Request<M> {
    let mut request = Request::new(message);
    request.metadata_mut().insert("hasleader", AsciiMetadataValue::from_static("true"));
    if let Some(token) = token {
        request.metadata_mut().insert("token", token);
    }
    request
}

/// Random bytes.
pub(crate) fn random<const N: usize>() -> Result<[u8; N], OpenError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes)
        .map_err(|error| OpenError::Io { reason: format!("asking the system for a random number: {error}") })?;
    Ok(bytes)
}

fn tls_config(tls: &Tls) -> Result<ClientTlsConfig, OpenError> {
    let read = |path: &std::path::Path| {
        std::fs::read(path).map_err(|error| OpenError::Io { reason: format!("reading {}: {error}", path.display()) })
    };
    let mut config = ClientTlsConfig::new();
    config = match &tls.ca {
        Some(ca) => config.ca_certificate(Certificate::from_pem(read(ca)?)),
        None => config.with_native_roots(),
    };
    if let Some((certificate, key)) = &tls.identity {
        config = config.identity(Identity::from_pem(read(certificate)?, read(key)?));
    }
    if let Some(name) = &tls.name {
        config = config.domain_name(name);
    }
    Ok(config)
}

/// A task that ends when nobody waits for it any more.
pub(crate) struct Task<T>(tokio::task::JoinHandle<T>);

impl<T: Send + 'static> Task<T> {
    pub(crate) fn on(handle: &Handle, future: impl Future<Output = T> + Send + 'static) -> Self {
        Self(handle.spawn(future))
    }

    /// `None` where the runtime has ended.
    pub(crate) async fn done(mut self) -> Option<T> {
        (&mut self.0).await.ok()
    }
}

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Shared by all that call.
pub(crate) type Shared = Arc<Client>;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::{TxnRequest, TxnResponse};

    /// How calls end that may be sent only once, several at the same time.
    async fn outcomes(url: &str) -> Vec<CallError> {
        let client = Client::new(&Target::parse(url).unwrap(), Duration::from_secs(1)).unwrap();
        let request = TxnRequest::default();
        let calls = (0..4).map(|_| client.call::<_, TxnResponse>(path::TXN, &request, Repeat::MustNot));
        futures_util::future::join_all(calls).await.into_iter().map(|answer| answer.err().unwrap()).collect()
    }

    #[tokio::test]
    async fn what_no_connection_has_taken_was_not_sent() {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
        let full = socket.listen(1).unwrap();
        let address = full.local_addr().unwrap();
        // Until it answers nobody any more.
        let mut taken = Vec::new();
        while let Ok(stream) =
            tokio::time::timeout(Duration::from_millis(200), tokio::net::TcpStream::connect(address)).await
        {
            taken.push(stream.unwrap());
        }
        for error in outcomes(&format!("etcd://{address}")).await {
            assert!(matches!(error, CallError::NotSent(_)), "{error:?}");
        }
        // One that has taken it and says nothing may have done it.
        let silent = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        for error in outcomes(&format!("etcd://{}", silent.local_addr().unwrap())).await {
            assert!(matches!(error, CallError::Lost(_)), "{error:?}");
        }
    }
}
