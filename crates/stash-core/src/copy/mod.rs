//! Copying a store into another one, whatever their engines: every entry as it is, so that values, versions, times,
//! collections, history, changes and cursors stay what they were. What was not copied whole must never pass for a store.
//!
//! A namespace is copied record by record, and its state last: one whose state is there and the same is done. So a copy that
//! was interrupted goes on where it was, and a source that has changed meanwhile is caught up with. Until all is there and
//! both sides have the same digest, the target bears a mark that keeps it from being opened.

mod compare;
mod engine;
mod namespace;

use bytes::Bytes;

pub use engine::{CopyEngine, CopySnapshot};

use crate::engine::Scan;
use crate::error::StorageError;
use crate::format::{COPYING, CURSORS};
use crate::keyspace::{KeySpace, owner};
use crate::namespace_state::NamespaceState;

/// Entries in one question to an engine, and in one commit.
const BATCH_ENTRIES: usize = 1000;
/// Bytes in one question to an engine, and in one commit; a larger entry goes alone.
const BATCH_BYTES: usize = 1024 * 1024;
/// What follows the source's mark in that of a target whose old data is being removed.
const CLEARING: &[u8] = b" clearing";
/// Times that a copy begins again with a newer state of the source, because the one it had was let go of.
const MOST_BEGINNINGS: usize = 100;

/// How a store is copied.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CopyOptions {
    /// Remove what the target has. Without it a target that has data is refused, unless that is an unfinished copy of the
    /// same source.
    pub replace: bool,
}

/// How far a copy is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CopyProgress {
    /// What it does now.
    pub phase: CopyPhase,
    /// Bytes of keys and values that it is through with in this phase.
    pub bytes: u64,
    /// Entries that it is through with in this phase.
    pub entries: u64,
    /// About how many bytes there are in all: what the components' usage says at first, and the number itself when it is
    /// known.
    pub expected_bytes: u64,
}

/// What a copy does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CopyPhase {
    /// Removes what the target had.
    Clearing,
    /// Copies.
    Copying,
    /// Reads both sides and compares them.
    Comparing,
}

/// What was copied.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Copied {
    /// Components with data, or that had some.
    pub components: u64,
    /// Entries: records, and what belongs to them.
    pub entries: u64,
    /// Bytes of their keys and values.
    pub bytes: u64,
    /// Whether it went on with a copy that was interrupted.
    pub resumed: bool,
    /// The digest that both sides have: XXH3 of 128 bits over all entries.
    pub digest: u128,
}

/// Why a store was not copied.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum CopyError {
    /// The target has data.
    #[error("the target is not empty, and what it has would have to be removed")]
    NotEmpty,
    /// The target is an unfinished copy of another store.
    #[error("the target is an unfinished copy of another store: finish that copy, or have what there is removed")]
    OtherCopy,
    /// Both are the same store.
    #[error("source and target are the same store")]
    SameStore,
    /// The source is itself an unfinished copy.
    #[error("the source is an unfinished copy; finish that copy first")]
    UnfinishedSource,
    /// What the target holds afterwards is not what the source does.
    #[error("what was copied is not the same as the source: {difference}; copy once more")]
    Differs {
        /// How they differ.
        difference: String,
    },
    /// The source cannot be read.
    #[error("the source: {0}")]
    Source(StorageError),
    /// The target cannot be read or written.
    #[error("the target: {0}")]
    Target(StorageError),
}

/// Copies all that is in `from` into `to`, and tells of it in between. Nobody else may write to `to` meanwhile; others may
/// write to `from`, of which one state is copied.
///
/// It can be dropped at any time, and called again: then it goes on where it was.
///
/// # Errors
/// [`CopyError`]. The target then keeps its mark, unless it was refused as it is.
pub async fn copy(
    from: &dyn CopyEngine,
    to: &dyn CopyEngine,
    options: CopyOptions,
    told: &mut (dyn FnMut(CopyProgress) + Send),
) -> Result<Copied, CopyError> {
    let mut beginnings = 0;
    let most_at_once = BATCH_ENTRIES;
    let mut resumed = None;
    let mut options = options;
    loop {
        beginnings += 1;
        let snapshot = from.snapshot_dyn().await.map_err(CopyError::Source)?;
        let mut copying =
            Copying { source: from, from: &*snapshot, to, told, entries: 0, bytes: 0, expected_bytes: 0, most_at_once };
        let was = match resumed {
            Some(was) => was,
            None => copying.begin(options).await?,
        };
        // What is there now is this copy's own.
        options.replace = false;
        resumed = Some(was);
        match copying.run(was).await {
            // A server keeps a state for some time only; what is there already counts.
            Err(CopyError::Source(StorageError::Unavailable { .. })) if beginnings < MOST_BEGINNINGS => {}
            outcome => return outcome,
        }
    }
}

/// A copy that is under way, of one state of the source.
struct Copying<'a> {
    /// The source, not as it was but as it is.
    source: &'a dyn CopyEngine,
    from: &'a dyn CopySnapshot,
    to: &'a dyn CopyEngine,
    told: &'a mut (dyn FnMut(CopyProgress) + Send),
    entries: u64,
    bytes: u64,
    expected_bytes: u64,
    /// Entries that the target takes in one commit, as far as is known.
    most_at_once: usize,
}

impl Copying<'_> {
    /// Sees to it that the target has nothing but what an earlier try has copied, and bears the mark. Whether there was one.
    async fn begin(&mut self, options: CopyOptions) -> Result<bool, CopyError> {
        let host = |name| KeySpace::Host.key(name);
        let of_source = self.read(&[&host(CURSORS), &host(COPYING)]).await?;
        let [Some(source), copying] = &*of_source else {
            let reason = "it holds no store".to_owned();
            return Err(CopyError::Source(StorageError::Corrupt { reason }));
        };
        if copying.is_some() {
            return Err(CopyError::UnfinishedSource);
        }
        let mark = self.to.read_dyn(&[host(COPYING)]).await.map_err(CopyError::Target)?.into_iter().next().flatten();
        let clearing = Bytes::from([source, CLEARING].concat());
        match mark {
            Some(mark) if mark == *source && !options.replace => return Ok(true),
            // What there was is not all removed yet.
            Some(mark) if mark == clearing => {}
            Some(_) if !options.replace => return Err(CopyError::OtherCopy),
            None if !options.replace && self.target_has_data().await? => return Err(CopyError::NotEmpty),
            _ => {}
        }
        // First of all: whatever happens from here on, what is there is no store.
        self.write(vec![(host(COPYING), Some(clearing))]).await?;
        if self.source.read_dyn(&[host(COPYING)]).await.map_err(CopyError::Source)?.iter().any(Option::is_some) {
            // Two ways lead to one server.
            self.write(vec![(host(COPYING), None)]).await?;
            return Err(CopyError::SameStore);
        }
        self.clear(&Scan::prefix(b"")).await?;
        self.write(vec![(host(COPYING), Some(source.clone()))]).await?;
        Ok(false)
    }

    async fn run(&mut self, resumed: bool) -> Result<Copied, CopyError> {
        let states = self.states().await?;
        self.expected_bytes = states.iter().map(|(_, state)| state.1).sum();
        self.tell(CopyPhase::Copying);
        for (name, (state, _)) in &states {
            self.namespace(name, state).await?;
        }
        self.remove_others(&states).await?;
        let source = self.read(&[&KeySpace::Host.key(CURSORS)]).await?;
        self.write(vec![(KeySpace::Host.key(CURSORS), source.into_iter().next().flatten())]).await?;
        let compared = self.compare().await?;
        self.write(vec![(KeySpace::Host.key(COPYING), None)]).await?;
        let components = u64::try_from(states.len()).unwrap_or(u64::MAX);
        Ok(Copied { components, resumed, ..compared })
    }

    /// The namespaces of the source, by their prefix, with their state and what it says of their bytes.
    async fn states(&self) -> Result<Vec<(String, (Bytes, u64))>, CopyError> {
        let mut scan = Scan { max_bytes: BATCH_BYTES, ..Scan::prefix(&KeySpace::Namespace.key("")) };
        let mut states = Vec::new();
        loop {
            let page = self.from.scan_dyn(&scan).await.map_err(CopyError::Source)?;
            for (key, state) in &page.entries {
                let name = KeySpace::Namespace.name(key).filter(|_| !owner(key).is_empty());
                let name = name.ok_or_else(|| damaged("a namespace's name is not a component id"))?;
                let bytes = NamespaceState::decode(state).map_err(CopyError::Source)?.used_bytes;
                states.push((name.to_owned(), (state.clone(), bytes)));
            }
            match page.entries.last() {
                Some((last, _)) if page.more => scan.start = std::ops::Bound::Excluded(last.clone()),
                _ => return Ok(states),
            }
        }
    }

    /// Whether there is anything in the target but what every store has.
    async fn target_has_data(&self) -> Result<bool, CopyError> {
        let scan = Scan { limit: 3, value_bytes: 0, ..Scan::prefix(b"") };
        let page = self.to.scan_dyn(&scan).await.map_err(CopyError::Target)?;
        Ok(page.more || page.entries.iter().any(|(key, _)| KeySpace::Host.name(key).is_none()))
    }

    async fn read(&self, keys: &[&Bytes]) -> Result<Vec<Option<Bytes>>, CopyError> {
        let keys: Vec<Bytes> = keys.iter().map(|key| (*key).clone()).collect();
        self.from.read_dyn(&keys).await.map_err(CopyError::Source)
    }

    /// Writes what is of one owner.
    async fn write(&self, writes: Vec<(Bytes, Option<Bytes>)>) -> Result<(), CopyError> {
        self.to.write_dyn(writes).await.map_err(CopyError::Target)
    }

    fn tell(&mut self, phase: CopyPhase) {
        let Self { entries, bytes, expected_bytes, .. } = *self;
        (self.told)(CopyProgress { phase, bytes, entries, expected_bytes });
    }

    fn count<'a>(&mut self, entries: impl IntoIterator<Item = &'a (Bytes, Bytes)>) {
        for (key, value) in entries {
            self.entries += 1;
            self.bytes += u64::try_from(key.len() + value.len()).unwrap_or(u64::MAX);
        }
    }
}

fn damaged(reason: &str) -> CopyError {
    CopyError::Source(StorageError::Corrupt { reason: reason.to_owned() })
}
