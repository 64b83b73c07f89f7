//! The connections that single statements go through, each where the least is under way. A broken one must never be given to
//! anybody; another takes its place.

use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::Notify;

use crate::connector::{Connector, Purpose};
use crate::error::Failure;
use crate::link::Link;

/// How long to make do with the connections that are there, where another one could not be had.
const PAUSE: Duration = Duration::from_secs(1);

/// A few connections, which are opened as they are needed.
pub(crate) struct Pool {
    connector: Arc<Connector>,
    most: usize,
    state: Mutex<State>,
    /// Told when one was opened, or could not be.
    changed: Notify,
    handle: Handle,
}

#[derive(Default)]
struct State {
    links: Vec<Arc<Link>>,
    /// Connections that are being opened.
    opening: usize,
    /// Attempts that failed, and why the last one did.
    failed: u64,
    failure: Option<String>,
    failed_at: Option<Instant>,
}

impl Pool {
    pub(crate) fn new(connector: Arc<Connector>, first: Arc<Link>, handle: Handle) -> Arc<Self> {
        let most = connector.address.connections;
        let state = State { links: vec![first], ..State::default() };
        Arc::new(Self { connector, most, state: Mutex::new(state), changed: Notify::new(), handle })
    }

    /// A connection for one statement; where there is none, why.
    pub(crate) async fn pick(self: &Arc<Self>) -> Result<Arc<Link>, Failure> {
        let mut failed = None;
        loop {
            let changed = self.changed.notified();
            let mut changed = std::pin::pin!(changed);
            changed.as_mut().enable();
            {
                let mut state = self.state.lock();
                state.links.retain(|link| link.is_usable());
                let least = state.links.iter().min_by_key(|link| link.in_flight()).cloned();
                if let Some(link) = &least
                    && link.in_flight() == 0
                {
                    return Ok(Arc::clone(link));
                }
                if failed.is_some_and(|before| state.failed > before)
                    && let Some(reason) = &state.failure
                    && least.is_none()
                {
                    return Err(Failure::NotSent(reason.clone()));
                }
                failed.get_or_insert(state.failed);
                // As long as none is open, one attempt is enough to find out.
                let room = match &least {
                    None => 1,
                    Some(_) if state.failed_at.is_some_and(|at| at.elapsed() < PAUSE) => 0,
                    Some(_) => self.most - state.links.len().min(self.most),
                };
                if state.opening < room {
                    state.opening += 1;
                    self.handle.spawn(Arc::clone(self).open());
                }
                if let Some(link) = least {
                    return Ok(link);
                }
            }
            changed.await;
        }
    }

    async fn open(self: Arc<Self>) {
        let opened = Link::open(&self.connector, Purpose::Statements, &self.handle).await;
        {
            let mut state = self.state.lock();
            state.opening -= 1;
            match opened {
                Ok(link) => {
                    state.links.push(link);
                    (state.failure, state.failed_at) = (None, None);
                }
                Err(failure) => {
                    tracing::debug!("no connection to PostgreSQL: {failure}");
                    state.failed += 1;
                    state.failure = Some(failure.to_string());
                    state.failed_at = Some(Instant::now());
                }
            }
        }
        self.changed.notify_waiters();
    }

    /// Why there is no connection; `None` where there is one, or none was needed.
    pub(crate) fn failure(&self) -> Option<String> {
        let state = self.state.lock();
        if state.links.iter().any(|link| link.is_usable()) { None } else { state.failure.clone() }
    }
}
