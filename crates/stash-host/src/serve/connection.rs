//! One connection, from its acceptance to its end. It must not live on for a client who sends nothing, or does not read what
//! it has asked for.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::Service;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto;
use parking_lot::Mutex;
use tokio::net::TcpStream;
use tokio::sync::{Notify, watch};
use tokio::time::Instant;
use tracing::debug;
use wasmtime_wasi_http::WasiBody;

/// Requests that one connection of HTTP/2 has under way at most.
const STREAMS: u32 = 100;
/// Bytes of each answer that wait in memory for a client of HTTP/2 who reads slowly.
const SEND_BUFFER: usize = 64 * 1024;
/// How long a connection that is over may take to say so.
const FAREWELL: Duration = Duration::from_secs(1);

/// What all connections are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// To go on.
    Serving,
    /// To end when the requests under way are answered.
    Ending,
    /// To end now.
    Over,
}

/// What is under way on a connection.
#[derive(Debug)]
pub(super) struct Activity {
    state: Mutex<State>,
    /// Told when something has to be over before the state is looked at again.
    sooner: Notify,
}

#[derive(Debug)]
struct State {
    /// Since when nothing is under way, where nothing is.
    idle_since: Instant,
    next: u64,
    /// By when each request is to be over, if it has to.
    under_way: Vec<(u64, Option<Instant>)>,
    /// When the state is looked at again.
    next_look: Option<Instant>,
}

impl Activity {
    pub(super) fn new() -> Arc<Self> {
        let state = State { idle_since: Instant::now(), next: 0, under_way: Vec::new(), next_look: None };
        Arc::new(Self { state: Mutex::new(state), sooner: Notify::new() })
    }

    /// Counts a request until the result is dropped.
    pub(super) fn begin(self: &Arc<Self>) -> UnderWay {
        let mut state = self.state.lock();
        let number = state.next;
        state.next += 1;
        state.under_way.push((number, None));
        drop(state);
        UnderWay { activity: Arc::clone(self), number }
    }

    /// Waits until nothing was under way for `idle`, or something for longer than it may.
    async fn over(&self, idle: Duration) {
        loop {
            let now = Instant::now();
            let next_look = {
                let mut state = self.state.lock();
                let deadline = if state.under_way.is_empty() {
                    state.idle_since.checked_add(idle)
                } else {
                    state.under_way.iter().filter_map(|(_, until)| *until).min()
                };
                if deadline.is_some_and(|deadline| deadline <= now) {
                    return;
                }
                // What is under way may be over sooner than it has to.
                state.next_look = deadline.into_iter().chain(now.checked_add(idle)).min();
                state.next_look
            };
            let look = async {
                match next_look {
                    Some(next_look) => tokio::time::sleep_until(next_look).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                () = look => {}
                () = self.sooner.notified() => {}
            }
        }
    }
}

/// A request that is under way.
#[derive(Debug)]
pub(super) struct UnderWay {
    activity: Arc<Activity>,
    number: u64,
}

impl UnderWay {
    /// The connection is cut off if the request is not over, with the last byte of its answer, in so much time.
    pub(super) fn limit(&self, time: Duration) {
        let until = Instant::now().checked_add(time);
        let mut state = self.activity.state.lock();
        if let Some(own) = state.under_way.iter_mut().find(|(number, _)| *number == self.number) {
            own.1 = until;
        }
        if until.is_some_and(|until| state.next_look.is_some_and(|look| until < look)) {
            self.activity.sooner.notify_one();
        }
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        let mut state = self.activity.state.lock();
        state.under_way.retain(|(number, _)| *number != self.number);
        if state.under_way.is_empty() {
            state.idle_since = Instant::now();
        }
    }
}

/// Serves a connection until it ends, or has to.
pub(super) async fn serve<S>(
    stream: TcpStream,
    client: SocketAddr,
    service: S,
    activity: &Activity,
    idle: Duration,
    mut phase: watch::Receiver<Phase>,
) where
    S: Service<Request<Incoming>, Response = Response<WasiBody>, Error = Infallible> + Send + 'static,
    S::Future: Send + 'static,
{
    // Small pieces of an answer must not wait for each other.
    let _ = stream.set_nodelay(true);
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // Answers are small: one write of a copy takes less than one of pieces.
    builder.http1().half_close(false).writev(false);
    builder.http2().timer(TokioTimer::new()).max_concurrent_streams(STREAMS).max_send_buf_size(SEND_BUFFER);
    let mut connection = std::pin::pin!(builder.serve_connection(TokioIo::new(stream), service));
    let mut over = std::pin::pin!(activity.over(idle));
    let mut known = Phase::Serving;
    loop {
        tokio::select! {
            ended = connection.as_mut() => {
                if let Err(error) = ended {
                    debug!("a connection from {client} ended: {error}");
                }
                return;
            }
            () = &mut over => {
                connection.as_mut().graceful_shutdown();
                let _ = tokio::time::timeout(FAREWELL, connection.as_mut()).await;
                debug!("a connection from {client} was ended: nothing was asked or read for too long");
                return;
            }
            told = async { phase.wait_for(|phase| *phase != known).await.map_or(Phase::Over, |phase| *phase) } => {
                known = told;
                if known == Phase::Over {
                    return;
                }
                connection.as_mut().graceful_shutdown();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDLE: Duration = Duration::from_secs(30);

    /// How long it takes until an activity is over.
    async fn over(activity: &Activity) -> Duration {
        let begin = Instant::now();
        activity.over(IDLE).await;
        Duration::from_secs(begin.elapsed().as_secs())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_without_requests_is_over_when_it_was_idle_for_long_enough() {
        let activity = Activity::new();
        assert_eq!(over(&activity).await, IDLE);
        // From the end of the last request on.
        let activity = Activity::new();
        let first = activity.begin();
        let same = Arc::clone(&activity);
        let ended = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(100)).await;
            drop(first);
        });
        assert_eq!(over(&same).await, Duration::from_secs(130));
        ended.await.unwrap();
    }

    #[tokio::test(start_paused = true)]
    async fn a_request_that_is_not_over_in_its_time_ends_the_connection() {
        let activity = Activity::new();
        let (forever, limited, other) = (activity.begin(), activity.begin(), activity.begin());
        limited.limit(Duration::from_secs(70));
        other.limit(Duration::from_secs(50));
        drop(other);
        assert_eq!(over(&activity).await, Duration::from_secs(70));
        drop((forever, limited));
        // Also one that has to be over before anybody would have looked.
        let activity = Activity::new();
        let same = Arc::clone(&activity);
        let short = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_secs(1)).await;
            let short = same.begin();
            short.limit(Duration::from_secs(2));
            std::future::pending::<()>().await;
            drop(short);
        });
        assert_eq!(over(&activity).await, Duration::from_secs(3));
        short.abort();
    }
}
