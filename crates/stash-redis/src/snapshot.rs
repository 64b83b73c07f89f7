//! Snapshots: states that the server keeps for us. One that it no longer has must never be taken for the present.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use parking_lot::Mutex;
use stash_core::StorageError;
use stash_core::engine::{Page, Scan, Snapshot};
use stash_core::keyspace::owner;
use stash_shared::ServerError;
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::ask::{Answer, Question, State};
use crate::error::strange;
use crate::server::{Asking, Purpose};
use crate::wide::Ranges;

/// Snapshots that may be open on a server or, on a cluster, in a namespace, of all hosts together.
pub(crate) const MOST_ON_SERVER: usize = 10_000;

/// The snapshots of this host.
pub(crate) struct Snapshots {
    /// What all their ids begin with.
    host: String,
    next: AtomicU64,
    open: AtomicUsize,
    /// Where those go that nobody holds any more: the namespace in whose slot, or none, and the id.
    ended: mpsc::UnboundedSender<(Bytes, String)>,
}

impl Snapshots {
    pub(crate) fn new(host: String) -> (Self, mpsc::UnboundedReceiver<(Bytes, String)>) {
        let (ended, ending) = mpsc::unbounded_channel();
        (Self { host, next: AtomicU64::new(0), open: AtomicUsize::new(0), ended }, ending)
    }

    fn next_id(&self) -> String {
        format!("{}-{:x}", self.host, self.next.fetch_add(1, Ordering::Relaxed))
    }
}

/// One state of the store: on one server of all of it, on a cluster of each namespace since it was first looked at.
pub struct RedisSnapshot {
    asking: Arc<Asking>,
    /// On one server its only entry is that of no namespace.
    held: tokio::sync::Mutex<HashMap<Bytes, State>>,
    /// Ids that the server may know, to be ended with this.
    ids: Mutex<Vec<(Bytes, String)>>,
    ends: Instant,
}

impl RedisSnapshot {
    /// A snapshot of the present state.
    pub(crate) async fn begin(asking: Arc<Asking>) -> Result<Self, ServerError> {
        let most = asking.options.snapshots;
        if asking.snapshots.open.fetch_add(1, Ordering::Relaxed) >= most {
            asking.snapshots.open.fetch_sub(1, Ordering::Relaxed);
            let reason = format!("{most} snapshots are open on this host already; try again when some have ended");
            return Err(StorageError::Unavailable { reason }.into());
        }
        let ends = Instant::now() + asking.options.snapshot_life;
        let snapshot = Self { asking, held: tokio::sync::Mutex::default(), ids: Mutex::default(), ends };
        if !snapshot.asking.servers.is_cluster() {
            let id = snapshot.new_id(&Bytes::new());
            let number = snapshot.asking.hold(&id).await?;
            snapshot.held.lock().await.insert(Bytes::new(), State::Held(id, number));
        }
        Ok(snapshot)
    }

    fn new_id(&self, scope: &Bytes) -> String {
        let id = self.asking.snapshots.next_id();
        self.ids.lock().push((scope.clone(), id.clone()));
        id
    }

    async fn ask(&self, scope: &Bytes, questions: &[Question]) -> Result<Vec<Answer>, ServerError> {
        let mut held = self.held.lock().await;
        let state = held.get(scope).cloned();
        if let Some(state) = state {
            drop(held);
            let answer = self.asking.once(Purpose::Read, scope, &state, questions).await?;
            return answer.map(|(_, answers)| answers).ok_or_else(|| self.over());
        }
        // The namespace is looked at for the first time: others wait, or they would see another state.
        let id = self.new_id(scope);
        let life = u64::try_from(self.asking.options.snapshot_life.as_millis()).unwrap_or(u64::MAX);
        let hold = State::Hold(id.clone(), life, MOST_ON_SERVER);
        let answer = self.asking.once(Purpose::Read, scope, &hold, questions).await?;
        let (number, answers) = answer.ok_or_else(|| self.over())?;
        held.insert(scope.clone(), State::Held(id, number));
        Ok(answers)
    }

    fn over(&self) -> ServerError {
        let reason = if Instant::now() >= self.ends {
            format!("it was open for longer than {} s", self.asking.options.snapshot_life.as_secs())
        } else {
            format!(
                "more than {} MiB were changed while it was open, or the server that kept it has been restarted, or another \
                 has taken over",
                self.asking.options.set_aside_bytes >> 20
            )
        };
        StorageError::Unavailable { reason: format!("the snapshot is over: {reason}; begin again") }.into()
    }

    async fn values(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, ServerError> {
        let (groups, order) = by_owner(keys);
        let questions = groups.iter().map(|(owner, keys)| Question::Values {
            owner: owner.clone(),
            keys: keys.clone(),
            most: None,
        });
        let questions: Vec<_> = questions.collect();
        let mut answers = Vec::with_capacity(questions.len());
        if self.asking.servers.is_cluster() {
            for (question, (owner, _)) in questions.iter().zip(&groups) {
                answers.extend(self.ask(owner, std::slice::from_ref(question)).await?);
            }
        } else {
            answers = self.ask(&Bytes::new(), &questions).await?;
        }
        in_order(answers, &order)
    }

    async fn page(&self, scan: &Scan) -> Result<Page, ServerError> {
        if self.asking.servers.is_cluster() {
            return crate::wide::page(scan, &self.asking, self).await;
        }
        only_page(self.ask(&Bytes::new(), &[Question::page(scan)]).await?)
    }
}

impl Ranges for RedisSnapshot {
    async fn range(&self, owner: Bytes, scan: Scan) -> Result<Page, ServerError> {
        only_page(self.ask(&owner, &[Question::Range { owner: owner.clone(), scan }]).await?)
    }
}

/// The only answer, which is a page.
pub(crate) fn only_page(answers: Vec<Answer>) -> Result<Page, ServerError> {
    match answers.into_iter().next() {
        Some(Answer::Page(page)) => Ok(page),
        _ => Err(strange("a page")),
    }
}

/// Keys by namespace, and for each key in which group it is.
pub(crate) fn by_owner(keys: &[&[u8]]) -> (Vec<(Bytes, Vec<Bytes>)>, Vec<usize>) {
    let mut groups: Vec<(Bytes, Vec<Bytes>)> = Vec::new();
    let mut order = Vec::with_capacity(keys.len());
    let mut known = HashMap::new();
    for key in keys {
        let owner = owner(key);
        let group = *known.entry(owner).or_insert_with(|| {
            groups.push((Bytes::copy_from_slice(owner), Vec::new()));
            groups.len() - 1
        });
        if let Some((_, keys)) = groups.get_mut(group) {
            keys.push(Bytes::copy_from_slice(key));
        }
        order.push(group);
    }
    (groups, order)
}

/// The values of groups in the order in which the keys were asked for.
pub(crate) fn in_order(answers: Vec<Answer>, order: &[usize]) -> Result<Vec<Option<Bytes>>, ServerError> {
    let mut groups = Vec::with_capacity(answers.len());
    for answer in answers {
        let Answer::Values(Some(values)) = answer else { return Err(strange("values")) };
        groups.push(values.into_iter());
    }
    let value = |group: &usize| groups.get_mut(*group).and_then(Iterator::next).ok_or_else(|| strange("values"));
    order.iter().map(value).collect()
}

impl Snapshot for RedisSnapshot {
    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        self.asking.patiently(|| Box::pin(self.values(keys))).await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        if scan.is_empty() {
            return Ok(Page::default());
        }
        self.asking.patiently(|| Box::pin(self.page(scan))).await
    }
}

impl Drop for RedisSnapshot {
    fn drop(&mut self) {
        self.asking.snapshots.open.fetch_sub(1, Ordering::Relaxed);
        for ended in self.ids.get_mut().drain(..) {
            // Where nobody listens any more, the server forgets it when its life is over.
            let _ = self.asking.snapshots.ended.send(ended);
        }
    }
}

impl std::fmt::Debug for RedisSnapshot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisSnapshot").finish_non_exhaustive()
    }
}

/// Ends snapshots that nobody holds any more, until the engine ends.
pub(crate) async fn release(asking: Arc<Asking>, mut ended: mpsc::UnboundedReceiver<(Bytes, String)>) {
    let mut some = Vec::new();
    while ended.recv_many(&mut some, 1000).await > 0 {
        let mut by_scope: HashMap<Bytes, Vec<String>> = HashMap::new();
        for (scope, id) in some.drain(..) {
            by_scope.entry(scope).or_default().push(id);
        }
        for (scope, ids) in by_scope {
            asking.release(&scope, &ids).await;
        }
    }
}
