//! A server in memory that can be told to fail: what it does wrong, a real one behind a bad network does too.

// Each test uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use parking_lot::Mutex;
use stash_core::StorageError;
use stash_core::engine::{EngineInfo, Page, Scan, Snapshot};
use stash_shared::{
    Commit, CommitError, CommitLimits, Fetched, Head, HeadHeard, Heard, Outcome, Server, ServerError, SharedEngine,
    SharedOptions, Wanted,
};

type Map = BTreeMap<Bytes, Bytes>;

/// What happens to the next commit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// It is applied, and its answer lost.
    LoseAnswer,
    /// It is lost.
    LoseCommit,
    /// It is lost at first, and applied when another commit comes, before that.
    Late,
    /// The server cannot be reached.
    NotSent,
    /// It is answered as always.
    None,
}

#[derive(Default)]
struct State {
    map: Map,
    heads: HashMap<Bytes, Head>,
    faults: VecDeque<Fault>,
    late: Vec<Commit>,
    heard: Vec<Heard>,
    heads_heard: Vec<HeadHeard>,
    unreachable: bool,
    mute: bool,
    tells_heads: bool,
    takes: Duration,
    fetches: usize,
    commits: usize,
}

impl State {
    fn apply(&mut self, commit: &Commit) -> Outcome {
        let revision = |owner: &Bytes| self.heads.get(owner).map_or(0, |head| head.revision);
        if commit.owners.iter().any(|expected| revision(&expected.owner) != expected.revision) {
            return Outcome::Conflict;
        }
        for expected in &commit.owners {
            self.heads.insert(expected.owner.clone(), expected.head.clone());
        }
        for (key, value) in &commit.writes {
            match value {
                Some(value) => drop(self.map.insert(key.clone(), value.clone())),
                None => drop(self.map.remove(key)),
            }
        }
        Outcome::Applied
    }
}

/// The server. Clones are the same one.
#[derive(Clone, Default)]
pub struct Memory {
    state: Arc<Mutex<State>>,
    pub limits: Option<CommitLimits>,
}

impl Memory {
    /// What happens to the next commits, one after another.
    pub fn fail(&self, faults: impl IntoIterator<Item = Fault>) {
        self.state.lock().faults.extend(faults);
    }

    /// Whether it answers at all.
    pub fn reachable(&self, reachable: bool) {
        self.state.lock().unreachable = !reachable;
    }

    /// Whether it passes announcements on.
    pub fn mute(&self) {
        self.state.lock().mute = true;
    }

    /// From now on it tells the heads itself.
    pub fn tell_heads(&self) {
        let mut state = self.state.lock();
        (state.mute, state.tells_heads) = (true, true);
    }

    /// How long each commit takes from now on.
    pub fn take(&self, takes: Duration) {
        self.state.lock().takes = takes;
    }

    /// What it holds now, in a server of its own.
    pub fn copy(&self) -> Self {
        let state = self.state.lock();
        let copy = State { map: state.map.clone(), heads: state.heads.clone(), ..State::default() };
        Self { state: Arc::new(Mutex::new(copy)), limits: self.limits }
    }

    /// How many questions and commits it has had.
    pub fn counts(&self) -> (usize, usize) {
        let state = self.state.lock();
        (state.fetches, state.commits)
    }

    /// An engine on it.
    pub async fn engine(&self, options: SharedOptions) -> SharedEngine<Self> {
        let server = self.clone();
        SharedEngine::open(options, || async { Ok::<_, StorageError>(server) }).await.unwrap()
    }

    fn ask<T>(&self, answer: impl FnOnce(&mut State) -> T) -> Result<T, ServerError> {
        let mut state = self.state.lock();
        if state.unreachable {
            return Err(ServerError::Unreachable("it is cut off".to_owned()));
        }
        Ok(answer(&mut state))
    }
}

fn page(map: &Map, scan: &Scan) -> Page {
    if scan.is_empty() {
        return Page::default();
    }
    let range = map.range::<Bytes, _>((scan.start.as_ref(), scan.end.as_ref())).map(Ok::<_, StorageError>);
    let page = if scan.reverse { scan.collect(range.rev()) } else { scan.collect(range) };
    page.unwrap()
}

impl Server for Memory {
    type Snapshot = Frozen;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "memory-server", durable: true }
    }

    fn limits(&self) -> CommitLimits {
        self.limits.unwrap_or(CommitLimits { writes: usize::MAX, bytes: usize::MAX })
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, ServerError> {
        self.ask(|state| keys.iter().map(|key| state.map.get(*key).cloned()).collect())
    }

    async fn read_up_to(&self, keys: &[&[u8]], max_bytes: usize) -> Result<Option<Vec<Option<Bytes>>>, ServerError> {
        let values = self.read(keys).await?;
        let bytes: usize = values.iter().flatten().map(Bytes::len).sum();
        Ok((bytes <= max_bytes).then_some(values))
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, ServerError> {
        self.ask(|state| page(&state.map, scan))
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Fetched, ServerError> {
        self.ask(|state| {
            state.fetches += 1;
            Fetched {
                values: wanted.keys.iter().map(|key| state.map.get(key).cloned()).collect(),
                pages: wanted.scans.iter().map(|scan| page(&state.map, scan)).collect(),
                heads: wanted.owners.iter().map(|owner| state.heads.get(owner).cloned().unwrap_or_default()).collect(),
            }
        })
    }

    async fn heads(&self, owners: &[Bytes]) -> Result<Vec<Head>, ServerError> {
        self.ask(|state| owners.iter().map(|owner| state.heads.get(owner).cloned().unwrap_or_default()).collect())
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, CommitError> {
        // Others get in between.
        tokio::task::yield_now().await;
        let takes = self.state.lock().takes;
        if !takes.is_zero() {
            tokio::time::sleep(takes).await;
        }
        let mut state = self.state.lock();
        state.commits += 1;
        if state.unreachable {
            return Err(CommitError::NotSent("it is cut off".to_owned()));
        }
        let fault = state.faults.pop_front().unwrap_or(Fault::None);
        if fault == Fault::NotSent {
            return Err(CommitError::NotSent("it is cut off".to_owned()));
        }
        for late in std::mem::take(&mut state.late) {
            state.apply(&late);
        }
        match fault {
            Fault::LoseCommit => {}
            Fault::Late => state.late.push(commit.clone()),
            Fault::LoseAnswer => drop(state.apply(commit)),
            Fault::None | Fault::NotSent => {
                let outcome = state.apply(commit);
                let heard = if state.tells_heads { state.heads_heard.clone() } else { Vec::new() };
                drop(state);
                for (heard, expected) in heard.iter().flat_map(|heard| commit.owners.iter().map(move |it| (heard, it)))
                {
                    heard(&expected.owner, &expected.head);
                }
                return Ok(outcome);
            }
        }
        Err(CommitError::Lost("the connection broke".to_owned()))
    }

    async fn snapshot(&self) -> Result<Frozen, ServerError> {
        self.ask(|state| Frozen(Arc::new(state.map.clone())))
    }

    async fn announce(&self, message: Bytes) {
        let heard = {
            let state = self.state.lock();
            if state.mute || state.unreachable { Vec::new() } else { state.heard.clone() }
        };
        for heard in heard {
            heard(&message);
        }
    }

    fn listen(&self, heard: Heard) {
        self.state.lock().heard.push(heard);
    }

    fn listen_for_heads(&self, heard: HeadHeard) {
        self.state.lock().heads_heard.push(heard);
    }
}

/// A state of it.
pub struct Frozen(Arc<Map>);

impl Snapshot for Frozen {
    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        Ok(keys.iter().map(|key| self.0.get(*key).cloned()).collect())
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        Ok(page(&self.0, scan))
    }
}
