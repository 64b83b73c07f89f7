//! Records, versions, expiry, history, changes and exact usage over any engine: the bottom layer of every chain. It must never
//! know which engine it sits on, and never answer from anything but the engine.

mod commit;
mod due;
mod log;
mod page;
mod past;
mod sweep;
mod versions;

use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::batch::{Batch, Committed, limit_else};
use crate::capabilities::Capabilities;
use crate::changes::{ChangesPage, ChangesRequest};
use crate::clock::{Clock, SystemClock, Timestamp};
use crate::cursor::CursorKey;
use crate::engine::{Collect, Engine, EngineInfo, EngineStatus, Page, Scan, Snapshot, View};
use crate::erased::BoxFuture;
use crate::error::StorageError;
use crate::feed::Feed;
use crate::format::{CheckFormat, Facts};
use crate::history::{KeyVersions, VersionsRequest};
use crate::id::ComponentId;
use crate::keyspace::{KeySpace, check_key, split_namespaced};
use crate::limits::MAX_READ_BYTES;
use crate::namespace_state::NamespaceState;
use crate::record::{self, Record, Version};
use crate::scan::{KeyPage, KeyRange, ScanPage, ScanRequest};
use crate::snapshot::{BackendSnapshot, StorageSnapshot};
use crate::storage::{ComponentStorage, FEWER_KEYS, PlaceName, Usage, check_read_size};
use crate::waiting::Waiters;

pub use sweep::Swept;

/// The storage of every component in one engine; keys are full names. Clones share the engine.
pub struct EngineBackend<E> {
    shared: Arc<Shared<E>>,
}

struct Shared<E> {
    engine: E,
    clock: Arc<dyn Clock>,
    cursors: CursorKey,
    is_unfinished_copy: bool,
    /// Where the sweeper goes on.
    sweep_at: Mutex<Option<Bytes>>,
    /// Who waits for a component's next commit.
    waiters: Arc<Waiters>,
}

impl<E> Clone for EngineBackend<E> {
    fn clone(&self) -> Self {
        Self { shared: Arc::clone(&self.shared) }
    }
}

impl<E: std::fmt::Debug> std::fmt::Debug for EngineBackend<E> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EngineBackend").field("engine", &self.shared.engine).finish_non_exhaustive()
    }
}

/// How much one namespace holds, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceUsage {
    /// Whose namespace it is.
    pub id: ComponentId,
    /// What it holds, as [`ComponentStorage::usage`] says it: what has expired does not count.
    pub usage: Usage,
    /// The number of its last commit.
    pub version: Version,
    /// How many collections it has made and not deleted.
    pub collections: u32,
}

impl<E: Engine> EngineBackend<E> {
    /// The storage over an engine that was checked already or that is always new.
    pub(crate) fn over(engine: E, clock: Arc<dyn Clock>, cursors: CursorKey) -> Self {
        Self::with_facts(engine, clock, Facts { cursors, is_unfinished_copy: false })
    }

    fn with_facts(engine: E, clock: Arc<dyn Clock>, facts: Facts) -> Self {
        let Facts { cursors, is_unfinished_copy } = facts;
        let (sweep_at, waiters) = (Mutex::default(), Arc::<Waiters>::default());
        let told = Arc::clone(&waiters);
        engine.tell_of_others(Box::new(move |scope| told.wake(scope)));
        Self { shared: Arc::new(Shared { engine, clock, cursors, is_unfinished_copy, sweep_at, waiters }) }
    }

    /// The storage over an engine, with the system's clock.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where the engine holds data in a newer format than this version reads, or data that
    /// is not Stash's; the engine's own errors.
    pub async fn open(engine: E) -> Result<Self, StorageError> {
        Self::open_with(engine, Arc::new(SystemClock)).await
    }

    /// The same with a clock, by which records are dated and expire.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub async fn open_with(engine: E, clock: Arc<dyn Clock>) -> Result<Self, StorageError> {
        let facts = engine.update(CheckFormat).await?;
        Ok(Self::with_facts(engine, clock, facts))
    }

    /// Several records with one question to the engine, where it has a way for that and they are not too much.
    async fn records_at_once(
        &self,
        keys: &[&str],
        now: Timestamp,
    ) -> Result<Option<Vec<Option<Record>>>, StorageError> {
        check_read_size(keys)?;
        let mut names = Vec::with_capacity(keys.len());
        for key in keys {
            check_full_key(key)?;
            names.push(KeySpace::Record.key(key));
        }
        let names: Vec<&[u8]> = names.iter().map(|name| &name[..]).collect();
        // What is around the values counts there and not here: the long way decides what is near the limit.
        let Some(found) = self.engine().read_up_to(&names, MAX_READ_BYTES).await? else { return Ok(None) };
        let decoded = found.into_iter().map(|found| {
            let record = found.map(record::decode).transpose()?;
            Ok(record.filter(|record| is_there(record, now)))
        });
        decoded.collect::<Result<_, StorageError>>().map(Some)
    }

    /// The engine below.
    pub fn engine(&self) -> &E {
        &self.shared.engine
    }

    /// Whether the store was, when it was opened, the target of a [`copy`](crate::copy()) that has not ended well: then it
    /// must not be used but for copying on.
    pub fn is_unfinished_copy(&self) -> bool {
        self.shared.is_unfinished_copy
    }

    /// The clock by which records are dated and expire: caches above need the same.
    pub fn clock(&self) -> Arc<dyn Clock> {
        Arc::clone(&self.shared.clock)
    }

    /// What the engine is and does.
    pub fn info(&self) -> EngineInfo {
        self.engine().info()
    }

    /// The namespaces that have data or had some, in the order of their ids, beginning after `after`.
    ///
    /// # Errors
    /// [`StorageError`] where the engine cannot be read or holds what this version does not know.
    pub async fn namespaces(
        &self,
        after: Option<&ComponentId>,
        limit: usize,
    ) -> Result<Vec<NamespaceUsage>, StorageError> {
        let mut scan = Scan::prefix(&KeySpace::Namespace.key(""));
        if let Some(id) = after {
            scan.start = Bound::Excluded(KeySpace::Namespace.key(id.key_prefix()));
        }
        scan.limit = limit;
        let now = self.now();
        let snapshot = self.engine().snapshot().await?;
        let source = Source::<E>::Snapshot(&snapshot);
        let page = source.scan(&scan).await?;
        let mut found = Vec::with_capacity(page.entries.len());
        for (key, value) in &page.entries {
            let name = KeySpace::Namespace.name(key).and_then(|name| name.strip_suffix('/'));
            let id: ComponentId = name.and_then(|name| name.parse().ok()).ok_or_else(|| StorageError::Corrupt {
                reason: "a namespace's name is not a component id".to_owned(),
            })?;
            let state = NamespaceState::decode(value)?;
            let usage = source.usage(id.key_prefix(), state, now).await?;
            found.push(NamespaceUsage { id, usage, version: state.version, collections: state.collections });
        }
        Ok(found)
    }
}

/// What reads go to: the engine's present state, or one that stays.
enum Source<'a, E: Engine> {
    Present(&'a E),
    Snapshot(&'a E::Snapshot),
}

impl<E: Engine> Source<'_, E> {
    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        match self {
            Self::Present(engine) => engine.scan(scan).await,
            Self::Snapshot(snapshot) => snapshot.scan(scan).await,
        }
    }

    async fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        match self {
            Self::Present(engine) => engine.scan_into(scan, into).await,
            Self::Snapshot(snapshot) => snapshot.scan_into(scan, into).await,
        }
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        match self {
            Self::Present(engine) => engine.read(keys).await,
            Self::Snapshot(snapshot) => snapshot.read(keys).await,
        }
    }

    async fn read_one(&self, key: &[u8]) -> Result<Option<Bytes>, StorageError> {
        Ok(self.read(&[key]).await?.into_iter().next().flatten())
    }

    /// The records, one by one: together they may be more than may be in memory. Of several, the source must be one
    /// that stays.
    async fn records(&self, keys: &[&str], now: Timestamp) -> Result<Vec<Option<Record>>, StorageError> {
        check_read_size(keys)?;
        let mut records = Vec::with_capacity(keys.len());
        let mut bytes = 0_usize;
        for key in keys {
            check_full_key(key)?;
            let found = self.read_one(&KeySpace::Record.key(key)).await?.map(record::decode).transpose()?;
            let found = found.filter(|record| is_there(record, now));
            bytes = bytes.saturating_add(found.as_ref().map_or(0, Record::used_bytes));
            if keys.len() > 1 && bytes > MAX_READ_BYTES {
                let what = "the size of the values to read in bytes (at least)";
                return Err(limit_else(what, bytes, MAX_READ_BYTES, FEWER_KEYS));
            }
            records.push(found);
        }
        Ok(records)
    }

    async fn state(&self, scope: &str) -> Result<NamespaceState, StorageError> {
        let stored = self.read_one(&KeySpace::Namespace.key(scope)).await?;
        Ok(stored.map(|stored| NamespaceState::decode(&stored)).transpose()?.unwrap_or_default())
    }

    /// What is in a namespace with this state, without what has expired.
    async fn usage(&self, scope: &str, state: NamespaceState, now: Timestamp) -> Result<Usage, StorageError> {
        let expired = due::expired(self, scope, now).await?;
        Ok(Usage {
            used_bytes: state.used_bytes.saturating_sub(expired.used_bytes),
            key_count: state.key_count.saturating_sub(expired.key_count),
            quota_bytes: None,
        })
    }
}

impl<E: Engine> ComponentStorage for EngineBackend<E> {
    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        check_full_key(key)?;
        // Before the engine is asked, here and below: what has expired since may have been replaced before it did.
        let now = self.now();
        let found = Source::Present(self.engine()).read_one(&KeySpace::Record.key(key)).await?;
        Ok(found.map(record::decode).transpose()?.filter(|record| is_there(record, now)))
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        if keys.len() <= 1 {
            return Source::Present(self.engine()).records(keys, self.now()).await;
        }
        let now = self.now();
        if let Some(records) = self.records_at_once(keys, now).await? {
            return Ok(records);
        }
        let snapshot = self.engine().snapshot().await?;
        Source::<E>::Snapshot(&snapshot).records(keys, now).await
    }

    async fn scan(&self, request: &ScanRequest) -> Result<ScanPage, StorageError> {
        let now = self.now();
        if let Some(page) = page::at_once(&Source::<E>::Present(self.engine()), request, now).await? {
            return Ok(page);
        }
        // Several scans: they must see one state.
        let snapshot = self.engine().snapshot().await?;
        page::page(&Source::<E>::Snapshot(&snapshot), request, now).await
    }

    async fn scan_keys(&self, request: &ScanRequest) -> Result<KeyPage, StorageError> {
        let request = ScanRequest { values: false, ..request.clone() };
        let source = Source::<E>::Present(self.engine());
        if let Some(page) = page::keys_at_once(&source, &request, self.shared.clock.wall()).await? {
            return Ok(page);
        }
        Ok(self.scan(&request).await?.into())
    }

    async fn count(&self, range: &KeyRange) -> Result<u64, StorageError> {
        let now = self.now();
        let snapshot = self.engine().snapshot().await?;
        page::count(&Source::<E>::Snapshot(&snapshot), range, now).await
    }

    async fn versions(&self, request: &VersionsRequest) -> Result<KeyVersions, StorageError> {
        check_full_key(&request.key)?;
        let now = self.now();
        let snapshot = self.engine().snapshot().await?;
        versions::versions(&Source::<E>::Snapshot(&snapshot), request, now).await
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        batch.check_size()?;
        check_scope(&batch.scope)?;
        let (clock, waiters) = (Arc::clone(&self.shared.clock), Arc::clone(&self.shared.waiters));
        let (decision, remains) = commit::CommitBatch::new(batch, clock, waiters);
        let committed = self.engine().update(decision).await;
        drop(remains);
        committed
    }

    async fn changes(&self, scope: &str, request: &ChangesRequest) -> Result<ChangesPage, StorageError> {
        check_scope(scope)?;
        let snapshot = self.engine().snapshot().await?;
        log::changes(&Source::<E>::Snapshot(&snapshot), scope, request).await
    }

    async fn keep_changes(&self, scope: &str, keep: bool) -> Result<Version, StorageError> {
        check_scope(scope)?;
        let own = || scope.to_owned();
        if keep {
            return self.engine().update(log::Start { scope: own() }).await;
        }
        let stop = log::Stop { scope: own(), waiters: Arc::clone(&self.shared.waiters) };
        let (version, mut more) = self.engine().update(stop).await?;
        while more {
            (_, more) = self.engine().update(log::Tidy { scope: own() }).await?;
        }
        Ok(version)
    }

    async fn changed(&self, scope: &str, after: Version) -> Result<Version, StorageError> {
        check_scope(scope)?;
        // Held, so that an engine that is shared hears of others' commits while somebody waits.
        let feed = self.engine().feed(&KeySpace::Namespace.key(scope));
        loop {
            // Asked for, so that it is wanted.
            feed.as_ref().and_then(|feed| feed.changes());
            let waiting = self.shared.waiters.listen(scope);
            let state = Source::Present(self.engine()).state(scope).await?;
            if state.version != after || !state.log.is_some_and(|log| log.is_on && log.since <= after) {
                return Ok(state.version);
            }
            waiting.await;
        }
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        check_scope(scope)?;
        let now = self.now();
        let snapshot = self.engine().snapshot().await?;
        let source = Source::<E>::Snapshot(&snapshot);
        source.usage(scope, source.state(scope).await?, now).await
    }

    async fn backend_snapshot(&self) -> Result<Arc<dyn BackendSnapshot>, StorageError> {
        let state = self.engine().snapshot().await?;
        Ok(Arc::new(StateOf { backend: self.clone(), state }))
    }

    async fn snapshot(&self) -> Result<StorageSnapshot, StorageError> {
        Err(no_component("a snapshot"))
    }

    fn in_place(&self, _: &PlaceName) -> Result<Self, StorageError> {
        Err(no_component("a collection"))
    }

    fn capabilities(&self) -> Capabilities {
        Capabilities::over(&self.info())
    }

    fn place(&self) -> PlaceName {
        PlaceName::default()
    }

    fn now(&self) -> Timestamp {
        self.shared.clock.wall()
    }

    fn cursors(&self) -> CursorKey {
        self.shared.cursors
    }

    fn status(&self) -> EngineStatus {
        self.engine().status()
    }

    fn gaps(&self) -> u64 {
        self.engine().gaps()
    }

    fn feed(&self, key: &str) -> Option<Arc<Feed>> {
        self.engine().feed(&KeySpace::Record.key(key))
    }
}

/// One state of an [`EngineBackend`].
struct StateOf<E: Engine> {
    backend: EngineBackend<E>,
    state: E::Snapshot,
}

impl<E: Engine> BackendSnapshot for StateOf<E> {
    fn read<'a>(&'a self, keys: &'a [&'a str]) -> BoxFuture<'a, Result<Vec<Option<Record>>, StorageError>> {
        Box::pin(async { Source::<E>::Snapshot(&self.state).records(keys, self.backend.now()).await })
    }

    fn scan<'a>(&'a self, request: &'a ScanRequest) -> BoxFuture<'a, Result<ScanPage, StorageError>> {
        Box::pin(async { page::page(&Source::<E>::Snapshot(&self.state), request, self.backend.now()).await })
    }

    fn version<'a>(&'a self, scope: &'a str) -> BoxFuture<'a, Result<Version, StorageError>> {
        Box::pin(async move { Ok(Source::<E>::Snapshot(&self.state).state(scope).await?.version) })
    }
}

/// The state of a namespace, as a decision sees it.
fn state_in(view: &dyn View, scope: &str) -> Result<NamespaceState, StorageError> {
    let mut state = Ok(None);
    view.look(&KeySpace::Namespace.key(scope), &mut |stored| {
        state = stored.map(NamespaceState::decode).transpose();
    })?;
    Ok(state?.unwrap_or_default())
}

fn is_there(record: &Record, now: Timestamp) -> bool {
    !record.metadata.is_expired(now)
}

/// A chain without its namespace layer is a mistake of the program; it must not reach data that has no owner.
fn not_namespaced(key: &str) -> StorageError {
    let shown: String = key.chars().take(40).collect();
    StorageError::InvalidKey { reason: format!("'{}' does not begin with a namespace", shown.escape_debug()) }
}

fn no_component(what: &str) -> StorageError {
    StorageError::Unsupported { reason: format!("{what} belongs to a component; ask its NamespacedStorage") }
}

/// A scope is the whole prefix of one namespace.
fn check_scope(scope: &str) -> Result<(), StorageError> {
    match split_namespaced(scope) {
        Some((_, "")) => Ok(()),
        _ => Err(not_namespaced(scope)),
    }
}

fn check_full_key(full: &str) -> Result<(), StorageError> {
    let (_, key) = split_namespaced(full).ok_or_else(|| not_namespaced(full))?;
    check_key(key)
}
