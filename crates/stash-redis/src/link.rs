//! Connections to one server. What is sent and has no answer is told apart from what was not sent, and a connection that
//! does not answer is never used again.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{AsyncConnectionConfig, Client, Cmd, PushInfo, PushKind, RedisError, Value};

/// A call that goes away after this time without an answer says that the connection is bad.
const STALLED: Duration = Duration::from_secs(1);

/// Why there is no answer to use.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Nothing was sent.
    NotSent(String),
    /// It may have been sent.
    Lost(String),
    /// The server has answered with an error: its code, and what it says.
    Answered { code: String, text: String },
}

impl Failure {
    pub(crate) fn has_code(&self, wanted: &[&str]) -> bool {
        matches!(self, Self::Answered { code, .. } if wanted.contains(&code.as_str()))
    }
}

impl std::fmt::Display for Failure {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::NotSent(reason) | Self::Lost(reason) => f.write_str(reason),
            Self::Answered { code, text } => write!(f, "{code} {text}"),
        }
    }
}

/// What connections are for: what is large waits behind what is large.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Questions with small answers.
    Ask,
    /// What tells that cached values are still so: if it waited, none could be used.
    Heads,
    /// Small commits.
    Commit,
    /// Large commits, and answers that may be large.
    Bulk,
}

/// One server, and the connections to it.
pub(crate) struct Node {
    client: Client,
    /// Its address, as it is shown.
    pub(crate) address: String,
    timeout: Duration,
    lanes: [tokio::sync::Mutex<Option<Arc<Link>>>; 4],
    /// Why it could not be reached when that was last tried.
    failure: Mutex<Option<String>>,
}

/// One connection.
pub(crate) struct Link {
    /// Which run of the server it is to.
    pub(crate) run: String,
    connection: MultiplexedConnection,
    closed: Arc<AtomicBool>,
}

/// Gives the connection up where whoever waits for its answer has waited for long and goes away.
struct Waiting<'a> {
    link: &'a Link,
    since: Instant,
    answered: bool,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.answered && self.since.elapsed() >= STALLED {
            self.link.closed.store(true, Ordering::Relaxed);
        }
    }
}

impl Node {
    pub(crate) fn new(client: Client, address: String, timeout: Duration) -> Self {
        Self { client, address, timeout, lanes: Default::default(), failure: Mutex::default() }
    }

    /// Why it cannot be reached, as far as that is known.
    pub(crate) fn failure(&self) -> Option<String> {
        self.failure.lock().clone()
    }

    /// A new connection; `pushed` is told what the server sends unasked, and when the connection ends.
    pub(crate) async fn connect(
        &self,
        pushed: impl Fn(PushInfo) + Send + Sync + 'static,
    ) -> Result<MultiplexedConnection, String> {
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.timeout))
            .set_response_timeout(None)
            .set_push_sender(move |push| {
                pushed(push);
                Ok::<_, std::convert::Infallible>(())
            });
        let connecting = self.client.get_multiplexed_async_connection_with_config(&config);
        let connected = match tokio::time::timeout(self.timeout, connecting).await {
            Ok(Ok(connection)) => Ok(connection),
            Ok(Err(error)) => Err(format!("connecting to {}: {}", self.address, said(&error))),
            Err(_) => Err(format!("connecting to {}: it did not answer in time", self.address)),
        };
        self.failure.lock().clone_from(&connected.as_ref().err().cloned());
        connected
    }

    /// The connection of a lane, a new one where that is needed.
    pub(crate) async fn link(&self, lane: Lane) -> Result<Arc<Link>, Failure> {
        let [ask, heads, commit, bulk] = &self.lanes;
        let lane = match lane {
            Lane::Ask => ask,
            Lane::Heads => heads,
            Lane::Commit => commit,
            Lane::Bulk => bulk,
        };
        let mut current = lane.lock().await;
        if let Some(link) = current.as_ref().filter(|link| !link.closed.load(Ordering::Relaxed)) {
            return Ok(Arc::clone(link));
        }
        *current = None;
        let closed = Arc::new(AtomicBool::new(false));
        let closing = Arc::clone(&closed);
        let pushed = move |push: PushInfo| {
            if push.kind == PushKind::Disconnection {
                closing.store(true, Ordering::Relaxed);
            }
        };
        let connection = self.connect(pushed).await.map_err(Failure::NotSent)?;
        let run = self.run(&mut connection.clone()).await.map_err(Failure::NotSent)?;
        let link = Arc::new(Link { run, connection, closed });
        *current = Some(Arc::clone(&link));
        Ok(link)
    }

    /// Which run of the server this is: another one after each start.
    async fn run(&self, connection: &mut MultiplexedConnection) -> Result<String, String> {
        let mut command = redis::cmd("INFO");
        command.arg("server");
        let answer = tokio::time::timeout(self.timeout, command.query_async::<String>(connection)).await;
        let info = match answer {
            Ok(answer) => answer.map_err(|error| format!("asking {} for INFO: {}", self.address, said(&error)))?,
            Err(_) => return Err(format!("asking {} for INFO: it did not answer in time", self.address)),
        };
        let run = info.lines().find_map(|line| line.strip_prefix("run_id:"));
        run.map(|run| run.trim().to_owned()).ok_or_else(|| format!("{} does not tell its run_id", self.address))
    }

    /// The server's answer to a command.
    pub(crate) async fn call(&self, lane: Lane, command: &Cmd) -> Result<Value, Failure> {
        let link = self.link(lane).await?;
        self.send(&link, command).await
    }

    /// The server's answer to a command on this connection.
    pub(crate) async fn send(&self, link: &Link, command: &Cmd) -> Result<Value, Failure> {
        let mut waiting = Waiting { link, since: Instant::now(), answered: false };
        let answer = link.connection.clone().send_packed_command(command).await;
        waiting.answered = true;
        answer.and_then(Value::extract_error).map_err(|error| self.failed(link, &error))
    }

    /// The same; where it is `asking`, after telling a node that it is asked for a slot which is about to become its own.
    pub(crate) async fn send_maybe_asking(&self, link: &Link, command: &Cmd, asking: bool) -> Result<Value, Failure> {
        if asking { self.send_asking(link, command).await } else { self.send(link, command).await }
    }

    async fn send_asking(&self, link: &Link, command: &Cmd) -> Result<Value, Failure> {
        let mut pipeline = redis::pipe();
        pipeline.cmd("ASKING").ignore().add_command(command.clone());
        let mut waiting = Waiting { link, since: Instant::now(), answered: false };
        let answers = link.connection.clone().send_packed_commands(&pipeline, 0, 2).await;
        waiting.answered = true;
        let answer = answers.map(|answers| answers.into_iter().next_back().unwrap_or_default());
        answer.and_then(Value::extract_error).map_err(|error| self.failed(link, &error))
    }

    fn failed(&self, link: &Link, error: &RedisError) -> Failure {
        match error.code() {
            Some(code) => {
                Failure::Answered { code: code.to_owned(), text: error.detail().unwrap_or_default().to_owned() }
            }
            None => {
                link.closed.store(true, Ordering::Relaxed);
                Failure::Lost(format!("{}: {}", self.address, said(error)))
            }
        }
    }
}

/// An error in words; never what was sent.
fn said(error: &RedisError) -> String {
    match (error.code(), error.detail()) {
        (Some("NOAUTH"), _) => "it asks for a password; give one in the URL".to_owned(),
        (Some("WRONGPASS"), _) => "it does not accept the user and password of the URL".to_owned(),
        (Some(code), detail) => format!("it answered {code} {}", detail.unwrap_or_default()),
        (None, _) if error.is_connection_dropped() && !error.is_connection_refusal() => {
            "the connection broke".to_owned()
        }
        (None, _) => error.to_string(),
    }
}
