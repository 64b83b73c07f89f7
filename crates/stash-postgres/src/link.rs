//! One connection, with its prepared statements. Statements of many callers may be under way on it at once; each is a
//! transaction of its own. One that does not answer must not be trusted any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::task::AbortHandle;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, Row, Statement};

use crate::connector::{Connector, Purpose, drive};
use crate::error::Failure;
use crate::sql::{Shape, Sql};

/// Parameters of a statement.
pub(crate) type Parameters<'a> = [&'a (dyn ToSql + Sync)];

/// A connection.
pub(crate) struct Link {
    client: Client,
    sql: Sql,
    statements: Mutex<HashMap<Shape, Statement>>,
    in_flight: AtomicUsize,
    retired: AtomicBool,
    /// Why it ended, once it has.
    ended: Arc<Mutex<Option<String>>>,
    task: AbortHandle,
    handle: Handle,
    patience: Duration,
}

impl Link {
    /// Connects, on this runtime.
    pub(crate) async fn open(connector: &Connector, purpose: Purpose, handle: &Handle) -> Result<Arc<Self>, Failure> {
        let link = Self::connect(connector, handle).await?;
        connector.set_up(&link.client, purpose).await?;
        Ok(Arc::new(link))
    }

    /// Connects; nothing is set yet.
    pub(crate) async fn connect(connector: &Connector, handle: &Handle) -> Result<Self, Failure> {
        let (client, connection) = connector.connect().await?;
        let ended = Arc::<Mutex<Option<String>>>::default();
        let told = Arc::clone(&ended);
        let task = handle.spawn(async move {
            let reason = drive(connection).await;
            tracing::debug!("a connection to PostgreSQL has ended: {reason}");
            *told.lock() = Some(reason);
        });
        Ok(Self {
            client,
            sql: connector.sql.clone(),
            statements: Mutex::default(),
            in_flight: AtomicUsize::new(0),
            retired: AtomicBool::new(false),
            ended,
            task: task.abort_handle(),
            handle: handle.clone(),
            patience: connector.patience,
        })
    }

    /// What statements are sent on.
    pub(crate) fn client(&self) -> &Client {
        &self.client
    }

    /// The same connection, which has been set up, for these statements.
    pub(crate) fn speaking(mut self, sql: &Sql) -> Arc<Self> {
        self.sql = sql.clone();
        Arc::new(self)
    }

    /// Statements that have no answer yet.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Whether new statements may be sent on it.
    pub(crate) fn is_usable(&self) -> bool {
        !self.retired.load(Ordering::Relaxed) && !self.client.is_closed()
    }

    /// Nothing new is sent on it; what is under way may still be answered.
    pub(crate) fn retire(&self) {
        self.retired.store(true, Ordering::Relaxed);
    }

    /// Closes it; what is under way has no answer.
    pub(crate) fn cut(&self, reason: &str) {
        self.retire();
        self.ended.lock().get_or_insert_with(|| reason.to_owned());
        self.task.abort();
    }

    /// Why it ended, as far as that is known.
    pub(crate) fn end(&self) -> Option<String> {
        self.ended.lock().clone()
    }

    /// Runs a statement.
    pub(crate) async fn ask(self: &Arc<Self>, shape: Shape, parameters: &Parameters<'_>) -> Result<Vec<Row>, Failure> {
        let under_way = UnderWay::new(self);
        let answer = match self.prepared(shape).await {
            Ok(statement) => self.client.query(&statement, parameters).await.map_err(Failure::Sent),
            Err(error) => Err(Failure::NotPrepared(error)),
        };
        under_way.answered();
        answer.map_err(|failure| self.explained(failure))
    }

    /// Runs commands that give nothing, in one message.
    pub(crate) async fn run(self: &Arc<Self>, commands: &str) -> Result<(), Failure> {
        let under_way = UnderWay::new(self);
        let answer = self.client.batch_execute(commands).await;
        under_way.answered();
        answer.map_err(|error| self.explained(Failure::Sent(error)))
    }

    async fn prepared(&self, shape: Shape) -> Result<Statement, tokio_postgres::Error> {
        if let Some(statement) = self.statements.lock().get(&shape) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&self.sql.text(shape)).await?;
        self.statements.lock().insert(shape, statement.clone());
        Ok(statement)
    }

    /// The same failure, with what the server said when it closed the connection.
    fn explained(&self, failure: Failure) -> Failure {
        if failure.ends_connection() {
            self.retire();
        }
        let reason = || self.end().unwrap_or_else(|| "the connection broke".to_owned());
        match failure {
            Failure::NotPrepared(error) if error.is_closed() => Failure::NotSent(reason()),
            Failure::Sent(error) if error.is_closed() => Failure::Broken(reason()),
            other => other,
        }
    }

    /// A statement was left without an answer. Those behind it get theirs only after it.
    fn abandoned(self: &Arc<Self>, since: Instant) {
        if since.elapsed() * 2 >= self.patience {
            self.cut("it did not answer in time");
            return;
        }
        // A caller has gone away: the answer may come nevertheless.
        let link = Arc::clone(self);
        self.handle.spawn(async move {
            match tokio::time::timeout(link.patience, link.client.simple_query("")).await {
                Ok(Ok(_)) => drop(link.in_flight.fetch_sub(1, Ordering::Relaxed)),
                Ok(Err(_)) => link.retire(),
                Err(_) => link.cut("it did not answer in time"),
            }
        });
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        // Else it would wait for answers that nobody wants.
        self.task.abort();
    }
}

/// A statement that has no answer yet.
struct UnderWay<'a> {
    link: &'a Arc<Link>,
    since: Instant,
    answered: bool,
}

impl<'a> UnderWay<'a> {
    fn new(link: &'a Arc<Link>) -> Self {
        link.in_flight.fetch_add(1, Ordering::Relaxed);
        Self { link, since: Instant::now(), answered: false }
    }

    fn answered(mut self) {
        self.answered = true;
    }
}

impl Drop for UnderWay<'_> {
    fn drop(&mut self) {
        if self.answered {
            self.link.in_flight.fetch_sub(1, Ordering::Relaxed);
        } else {
            self.link.abandoned(self.since);
        }
    }
}
