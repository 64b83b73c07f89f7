//! Snapshots: each a read-only transaction on a connection of its own. One must never be open for longer than its life, nor
//! its connection be used again before the transaction is over.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stash_core::StorageError;
use stash_core::engine::{Page, Scan, Snapshot};
use stash_shared::ServerError;
use tokio::runtime::Handle;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::task::AbortHandle;

use crate::connector::{Connector, Purpose};
use crate::error::Failure;
use crate::link::Link;
use crate::reads;
use crate::sql::Dialect;

/// Connections kept open for the next snapshot.
const IDLE_LINKS: usize = 4;
/// How long to wait for another snapshot to be over, where there are too many.
const WAIT: Duration = Duration::from_secs(1);

/// Connections that one user has at a time.
pub(crate) struct Snapshots {
    connector: Arc<Connector>,
    permits: Arc<Semaphore>,
    idle: Mutex<Vec<Arc<Link>>>,
    most: usize,
    life: Duration,
    handle: Handle,
}

impl Snapshots {
    pub(crate) fn new(connector: Arc<Connector>, life: Duration, handle: Handle) -> Arc<Self> {
        let most = connector.address.snapshots;
        let permits = Arc::new(Semaphore::new(most));
        Arc::new(Self { connector, permits, idle: Mutex::default(), most, life, handle })
    }

    /// The present state.
    pub(crate) async fn begin(self: &Arc<Self>) -> Result<PostgresSnapshot, ServerError> {
        let begin = match self.connector.sql.dialect {
            Dialect::Postgres => "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY; SELECT 1",
            Dialect::Portable => "BEGIN ISOLATION LEVEL SERIALIZABLE READ ONLY; SELECT 1",
        };
        let held = self.hold().await?;
        held.link.run(begin).await.map_err(Failure::of_question)?;
        let (link, life) = (Arc::clone(&held.link), self.life);
        let reaper = self.handle.spawn(async move {
            tokio::time::sleep(life).await;
            link.cut(OVER);
        });
        Ok(PostgresSnapshot { held, reaper: reaper.abort_handle() })
    }

    /// A connection for one user.
    pub(crate) async fn hold(self: &Arc<Self>) -> Result<Held, ServerError> {
        let waiting = tokio::time::timeout(WAIT, Arc::clone(&self.permits).acquire_owned());
        let Ok(Ok(permit)) = waiting.await else {
            let reason = format!(
                "{} transactions and long reads are under way on PostgreSQL, which is the limit (`snapshots`); try \
                 again later",
                self.most
            );
            return Err(ServerError::Refused(StorageError::Unavailable { reason }));
        };
        let idle = {
            let mut idle = self.idle.lock();
            idle.retain(|link| link.is_usable());
            idle.pop()
        };
        let link = match idle {
            Some(link) => link,
            None => Link::open(&self.connector, Purpose::Snapshot, &self.handle).await.map_err(Failure::of_question)?,
        };
        Ok(Held { link, permit: Some(permit), snapshots: Arc::clone(self) })
    }
}

const OVER: &str = "the snapshot was open for too long";

/// A connection that one user has. Its transaction is ended when it is dropped.
pub(crate) struct Held {
    pub(crate) link: Arc<Link>,
    permit: Option<OwnedSemaphorePermit>,
    snapshots: Arc<Snapshots>,
}

impl Drop for Held {
    fn drop(&mut self) {
        let (link, permit, snapshots) = (Arc::clone(&self.link), self.permit.take(), Arc::clone(&self.snapshots));
        self.snapshots.handle.spawn(async move {
            if link.is_usable() && link.in_flight() == 0 {
                let ended = tokio::time::timeout(snapshots.connector.patience, link.run("ROLLBACK")).await;
                let mut idle = snapshots.idle.lock();
                if matches!(ended, Ok(Ok(()))) && link.is_usable() && idle.len() < IDLE_LINKS {
                    idle.push(link);
                }
            }
            drop(permit);
        });
    }
}

/// One state of a store on PostgreSQL.
pub struct PostgresSnapshot {
    held: Held,
    reaper: AbortHandle,
}

impl PostgresSnapshot {
    pub(crate) fn link(&self) -> &Arc<Link> {
        &self.held.link
    }

    async fn ask<T>(&self, question: impl Future<Output = Result<T, Failure>>) -> Result<T, StorageError> {
        let patience = self.held.snapshots.connector.patience;
        let sleep = {
            let _within = self.held.snapshots.handle.enter();
            tokio::time::sleep(patience)
        };
        let reason = tokio::select! {
            answer = question => match answer.map_err(Failure::of_question) {
                Ok(answer) => return Ok(answer),
                Err(ServerError::Refused(error)) => return Err(error),
                Err(ServerError::Unreachable(reason)) => reason,
            },
            () = sleep => "it did not answer in time".to_owned(),
        };
        // What is read must be one state: another connection would have another.
        self.held.link.retire();
        let reason = if self.held.link.end().is_some_and(|end| end == OVER) { OVER.to_owned() } else { reason };
        let reason = format!("the state that was being read is gone from PostgreSQL ({reason}); begin again");
        Err(StorageError::Unavailable { reason })
    }
}

impl Snapshot for PostgresSnapshot {
    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        self.ask(reads::read(&self.held.link, keys)).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        self.ask(reads::scan(&self.held.link, scan)).await
    }
}

impl Drop for PostgresSnapshot {
    fn drop(&mut self) {
        self.reaper.abort();
    }
}

impl std::fmt::Debug for PostgresSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PostgresSnapshot").finish_non_exhaustive()
    }
}
