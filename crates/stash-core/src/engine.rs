//! What Stash asks of an engine: an ordered, transactional key-value store with four verbs, `read`, `scan`, `update`
//! and `snapshot`. An engine knows nothing of components, records or versions; those are built above it, once, in
//! [`EngineBackend`](crate::EngineBackend).

use std::future::Future;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::error::StorageError;
use crate::feed::Feed;

/// An ordered, transactional key-value store. Keys and values are bytes; keys are ordered bytewise.
///
/// An engine keeps these promises, which `stash-conformance` tests:
///
/// - `read`, `scan` and a snapshot each see one state: all of a commit or nothing of it.
/// - Updates are serializable, and in the order in which they take effect. Once an update has answered `Ok`, every
///   later `read` sees it, and it survives whatever the engine says it survives ([`EngineInfo::durable`]).
/// - An update that answers `Err` from its decision changed nothing and disturbed no other update, also where the
///   engine puts several updates into one commit.
/// - A decision may look at the keys of several namespaces, but each of its ranges is within one
///   ([`keyspace::owner`](crate::keyspace::owner)).
/// - An I/O error is never turned into `Ok`. After one, reads tell what the disk holds.
/// - Dropping the future of an `update` does not undo it: it may or may not take effect. Dropping any other future
///   has no effect.
pub trait Engine: Send + Sync + 'static {
    /// A handle on one unchanging state.
    type Snapshot: Snapshot;

    /// What this engine is and does.
    fn info(&self) -> EngineInfo;

    /// The values of some keys, in the order of `keys`, from one consistent state.
    fn read(&self, keys: &[&[u8]]) -> impl Future<Output = Result<Vec<Option<Bytes>>, StorageError>> + Send;

    /// One page of a range of keys, from one consistent state.
    fn scan(&self, scan: &Scan) -> impl Future<Output = Result<Page, StorageError>> + Send;

    /// As [`scan`](Self::scan), but what is found is shown to a copy of `into` instead of being copied into a page: for
    /// those who need little of it. Gives the copy, and whether the range goes on after what it was shown.
    ///
    /// An engine that can show entries where they lie implements this too; by default they come from a page.
    fn scan_into<C: Collect>(
        &self,
        scan: &Scan,
        into: &C,
    ) -> impl Future<Output = Result<(C, bool), StorageError>> + Send {
        async { Ok(self.scan(scan).await?.show(into)) }
    }

    /// Reads, decides and writes, atomically and durably.
    fn update<D: Decision>(&self, decision: D) -> impl Future<Output = Result<D::Output, StorageError>> + Send;

    /// Grows when the engine may hold something that neither its updates nor its hooks have told: when it was let go of
    /// and opened again, or lost the feed of what others change. Caches are emptied then.
    fn gaps(&self) -> u64 {
        0
    }

    /// What is heard of the commits that others make to the namespace of this key; `None` where nobody else can make any,
    /// which holds for all keys or for none. Caches keep what they read only as long as the feed vouches for it.
    fn feed(&self, key: &[u8]) -> Option<Arc<Feed>> {
        let _ = key;
        None
    }

    /// Whom to tell that somebody else has made commits to a namespace, by its prefix such as `app/service-a/001/`. It must
    /// be quick and must not wait. Nothing to do where nobody else can make any.
    fn tell_of_others(&self, told: OthersCommitted) {
        drop(told);
    }

    /// As [`read`](Self::read), where the values together have at most so many bytes; `None` where they have more, or where
    /// the engine has no shorter way for this than a snapshot.
    fn read_up_to(
        &self,
        keys: &[&[u8]],
        max_bytes: usize,
    ) -> impl Future<Output = Result<Option<Vec<Option<Bytes>>>, StorageError>> + Send {
        let _ = (keys, max_bytes);
        async { Ok(None) }
    }

    /// How the engine is now, as far as it can tell without waiting.
    fn status(&self) -> EngineStatus {
        EngineStatus::default()
    }

    /// A handle on the present state. Holding one may keep the engine from reusing space: keep it for a short time.
    fn snapshot(&self) -> impl Future<Output = Result<Self::Snapshot, StorageError>> + Send;
}

/// Who is told of others' commits to the namespace with this prefix.
pub type OthersCommitted = Box<dyn Fn(&str) + Send + Sync>;

/// One unchanging state of an engine.
pub trait Snapshot: Send + Sync + 'static {
    /// As [`Engine::read`], in this state.
    fn read(&self, keys: &[&[u8]]) -> impl Future<Output = Result<Vec<Option<Bytes>>, StorageError>> + Send;

    /// As [`Engine::scan`], in this state.
    fn scan(&self, scan: &Scan) -> impl Future<Output = Result<Page, StorageError>> + Send;

    /// As [`Engine::scan_into`], in this state.
    fn scan_into<C: Collect>(
        &self,
        scan: &Scan,
        into: &C,
    ) -> impl Future<Output = Result<(C, bool), StorageError>> + Send {
        async { Ok(self.scan(scan).await?.show(into)) }
    }
}

/// Somebody who is shown the entries of a scan. A scan that fails half-way begins again with another copy.
pub trait Collect: Clone + Send + Sync {
    /// The next entry; the value has as many of its bytes as the scan asked for.
    fn entry(&mut self, key: &[u8], value: &[u8]);
}

/// What an engine is and does.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EngineInfo {
    /// The engine's name, as in a store's URL.
    pub name: &'static str,
    /// Whether `Ok` from an update means that it survives the end of the process and a power cut.
    pub durable: bool,
}

/// How an engine is at one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EngineStatus {
    /// Why it can serve nothing at present; `None` where it can.
    pub failure: Option<String>,
    /// Bytes that it takes up on its disk; `None` where it has none or cannot tell.
    pub disk_bytes: Option<u64>,
}

/// The decision of an update: a pure function of what it reads, so that an engine may run it again after a conflict.
pub trait Decision: Send + 'static {
    /// What the caller is told when the update has taken effect.
    type Output: Send + 'static;

    /// Updates with the same name wait in the same line; an engine with a queue serves the lines in turn.
    fn queue(&self) -> &str;

    /// About how many bytes it will write. Engines bound their queues and groups with it.
    fn cost(&self) -> usize;

    /// Looks at the present state and says what to write. An `Err` writes nothing and is the caller's answer.
    ///
    /// # Errors
    /// Whatever the decision is not to write, and errors of the view, which are passed on.
    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<Self::Output, StorageError>;

    /// Called once when the update has taken effect and reads see it, before its caller is answered, in the order in
    /// which updates take effect; also where the caller has gone away. Never called for an update that failed. The
    /// engine drops the decision as soon as nothing more will happen with it. Must be quick and must not wait.
    fn committed(&mut self, output: &Self::Output) {
        let _ = output;
    }
}

/// The state that a decision reads: everything committed before it, and its predecessors in the same commit.
pub trait View {
    /// Shows the value of `key`, uncopied where the engine can.
    ///
    /// # Errors
    /// The engine's own, which a decision passes on.
    fn look(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StorageError>;

    /// One page of a range.
    ///
    /// # Errors
    /// The engine's own, which a decision passes on.
    fn scan(&self, scan: &Scan) -> Result<Page, StorageError>;
}

/// What a decision wants written, in order.
#[derive(Debug, Default)]
pub struct Writes(Vec<(Bytes, Option<Bytes>)>);

impl Writes {
    /// Sets `key` to `value`.
    pub fn put(&mut self, key: Bytes, value: Bytes) {
        self.0.push((key, Some(value)));
    }

    /// Removes `key`, whether or not it is there.
    pub fn remove(&mut self, key: Bytes) {
        self.0.push((key, None));
    }

    /// Makes room for so many more writes.
    pub fn reserve(&mut self, more: usize) {
        self.0.reserve(more);
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The writes, for an engine to apply in this order: `None` removes the key.
    pub fn drain(&mut self) -> impl Iterator<Item = (Bytes, Option<Bytes>)> + '_ {
        self.0.drain(..)
    }
}

/// A range of keys, and how much of it to return.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// Where the range begins.
    pub start: Bound<Bytes>,
    /// Where it ends.
    pub end: Bound<Bytes>,
    /// From the end to the beginning.
    pub reverse: bool,
    /// At most so many entries; with 0 the page is empty and says that there is no more.
    pub limit: usize,
    /// Stop after the entry with which the returned bytes reach this; there is always room for one entry.
    pub max_bytes: usize,
    /// Leading bytes of each key that do not count towards `max_bytes`: what the caller takes off again.
    pub uncounted_key_bytes: usize,
    /// Return at most so many leading bytes of each value: 0 for keys only, `usize::MAX` for all.
    pub value_bytes: usize,
    /// Leading bytes of each value that do not count towards `max_bytes`: what the store put in front of it.
    pub uncounted_value_bytes: usize,
}

impl Scan {
    /// All keys that begin with `prefix`, whole, in order, without limits.
    pub fn prefix(prefix: &[u8]) -> Self {
        Self {
            start: Bound::Included(Bytes::copy_from_slice(prefix)),
            end: crate::keyspace::after_prefix(prefix).map_or(Bound::Unbounded, Bound::Excluded),
            reverse: false,
            limit: usize::MAX,
            max_bytes: usize::MAX,
            uncounted_key_bytes: 0,
            value_bytes: usize::MAX,
            uncounted_value_bytes: 0,
        }
    }

    /// Whether no key can be in the range. Engines that refuse a reversed range ask this first.
    pub fn is_empty(&self) -> bool {
        match (&self.start, &self.end) {
            (Bound::Unbounded, _) | (_, Bound::Unbounded) => self.limit == 0,
            (Bound::Included(start), Bound::Included(end)) => self.limit == 0 || start > end,
            (Bound::Included(start) | Bound::Excluded(start), Bound::Included(end) | Bound::Excluded(end)) => {
                self.limit == 0 || start >= end
            }
        }
    }

    /// Collects a page from a range's entries, which come in the direction of the scan: what every engine does with
    /// its own iterator.
    ///
    /// # Errors
    /// The first error that `entries` gives.
    pub fn collect<K, V, E>(&self, entries: impl Iterator<Item = Result<(K, V), E>>) -> Result<Page, E>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let (page, more) = self.collect_into(entries, &self.page())?;
        Ok(page.finish(more))
    }

    /// What puts a page together in [`Engine::scan_into`].
    pub fn page(&self) -> PageOf {
        // A guess at a small page of small entries; a larger one grows.
        let entries = self.limit.min(256);
        PageOf { memory: Vec::with_capacity(entries * 64), entries: Vec::with_capacity(entries) }
    }

    /// The same for [`Engine::scan_into`].
    ///
    /// # Errors
    /// The first error that `entries` gives.
    pub fn collect_into<K, V, E, C: Collect>(
        &self,
        entries: impl Iterator<Item = Result<(K, V), E>>,
        into: &C,
    ) -> Result<(C, bool), E>
    where
        K: AsRef<[u8]>,
        V: AsRef<[u8]>,
    {
        let mut filling = self.filling(into);
        for entry in entries {
            if !filling.has_room() {
                return Ok((filling.finish(), true));
            }
            let (key, value) = entry?;
            filling.entry(key.as_ref(), value.as_ref());
        }
        Ok((filling.finish(), false))
    }

    /// The same step by step, for an engine whose iterator lends its entries.
    pub fn filling<C: Collect>(&self, into: &C) -> Filling<'_, C> {
        Filling { scan: self, collected: into.clone(), count: 0, bytes: 0 }
    }
}

/// What a scan has found so far, and whether it may go on; see [`Scan::filling`].
#[derive(Debug)]
pub struct Filling<'a, C> {
    scan: &'a Scan,
    collected: C,
    count: usize,
    bytes: usize,
}

impl<C: Collect> Filling<'_, C> {
    /// Whether there is room for another entry. Where there is none and the range goes on, there is more.
    pub fn has_room(&self) -> bool {
        let full = self.bytes >= self.scan.max_bytes && self.count > 0;
        !full && self.count < self.scan.limit
    }

    /// Shows the next entry to whoever collects, with as much of its value as the scan asked for.
    pub fn entry(&mut self, key: &[u8], value: &[u8]) {
        let scan = self.scan;
        let value = value.get(..scan.value_bytes).unwrap_or(value);
        let key_bytes = key.len().saturating_sub(scan.uncounted_key_bytes);
        let value_bytes = value.len().saturating_sub(scan.uncounted_value_bytes);
        self.bytes = self.bytes.saturating_add(key_bytes).saturating_add(value_bytes);
        self.count += 1;
        self.collected.entry(key, value);
    }

    /// Whoever has collected.
    pub fn finish(self) -> C {
        self.collected
    }
}

/// Values of this size and more get memory of their own; smaller ones share it with the rest of their page.
const OWN_MEMORY_BYTES: usize = 4 * 1024;

/// Entries on their way into a page: one piece of memory for all keys and small values, because most pages are of many
/// small ones and each would cost two allocations.
#[derive(Debug)]
pub struct PageOf {
    memory: Vec<u8>,
    /// For each entry where its key and its small value end, and its large value.
    entries: Vec<(usize, usize, Option<Bytes>)>,
}

impl Clone for PageOf {
    /// With the same room.
    fn clone(&self) -> Self {
        let mut memory = Vec::with_capacity(self.memory.capacity());
        memory.extend_from_slice(&self.memory);
        let mut entries = Vec::with_capacity(self.entries.capacity());
        entries.extend_from_slice(&self.entries);
        Self { memory, entries }
    }
}

impl PageOf {
    /// The page of what was shown.
    pub fn finish(self, more: bool) -> Page {
        let mut memory = Bytes::from(self.memory);
        let mut at = 0;
        let mut split = |end: usize| {
            let piece = memory.split_to(end.saturating_sub(at).min(memory.len()));
            at = end;
            piece
        };
        let entries = self.entries.into_iter();
        let entries =
            entries.map(|(key_end, value_end, large)| (split(key_end), large.unwrap_or_else(|| split(value_end))));
        Page { entries: entries.collect(), more }
    }
}

impl Collect for PageOf {
    fn entry(&mut self, key: &[u8], value: &[u8]) {
        self.memory.extend_from_slice(key);
        let key_end = self.memory.len();
        let large = (value.len() >= OWN_MEMORY_BYTES).then(|| Bytes::copy_from_slice(value));
        if large.is_none() {
            self.memory.extend_from_slice(value);
        }
        self.entries.push((key_end, self.memory.len(), large));
    }
}

/// A page of a scan.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Page {
    /// Keys and values, in the direction of the scan.
    pub entries: Vec<(Bytes, Bytes)>,
    /// Whether the range goes on after the last entry.
    pub more: bool,
}

impl Page {
    /// Shows what is on the page to a copy of `into`.
    fn show<C: Collect>(&self, into: &C) -> (C, bool) {
        let mut collected = into.clone();
        for (key, value) in &self.entries {
            collected.entry(key, value);
        }
        (collected, self.more)
    }
}
