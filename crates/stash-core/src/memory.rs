//! The engine without a file: an ordered map behind a lock, for tests and for stores that need not last. It must keep
//! every promise of [`Engine`] but durability.

use std::sync::Arc;

use bytes::Bytes;
use imbl::OrdMap;
use parking_lot::{Mutex, RwLock};

use crate::backend::EngineBackend;
use crate::clock::{Clock, SystemClock};
use crate::cursor::CursorKey;
use crate::engine::{Collect, Decision, Engine, EngineInfo, Page, Scan, Snapshot, View, Writes};
use crate::error::StorageError;

/// Clones share all but what was changed since, so a snapshot costs next to nothing.
type Map = OrdMap<Bytes, Bytes>;

/// The storage of components in memory: [`EngineBackend`] over [`MemoryEngine`].
pub type MemoryBackend = EngineBackend<MemoryEngine>;

impl MemoryBackend {
    /// An empty store in memory, gone with the last clone of it.
    pub fn in_memory() -> Self {
        Self::in_memory_with(Arc::new(SystemClock))
    }

    /// The same with a clock, by which records are dated and expire.
    pub fn in_memory_with(clock: Arc<dyn Clock>) -> Self {
        Self::over(MemoryEngine::default(), clock, CursorKey::random())
    }
}

/// An engine in memory. Clones are the same engine.
#[derive(Debug, Clone, Default)]
pub struct MemoryEngine {
    published: Arc<RwLock<Map>>,
    // Held through a whole update, hooks included: this is what orders updates.
    writer: Arc<Mutex<()>>,
}

impl Engine for MemoryEngine {
    type Snapshot = MemorySnapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "memory", durable: false }
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let map = self.published.read();
        Ok(keys.iter().map(|key| map.get(*key).cloned()).collect())
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        scan_map(&self.published.read(), scan)
    }

    async fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        show_map(&self.published.read(), scan, into)
    }

    async fn update<D: Decision>(&self, mut decision: D) -> Result<D::Output, StorageError> {
        let _turn = self.writer.lock();
        let mut writes = Writes::default();
        let output = decision.decide(&MapView(&self.published.read()), &mut writes)?;
        if !writes.is_empty() {
            let mut map = self.published.write();
            for (key, value) in writes.drain() {
                match value {
                    Some(value) => drop(map.insert(key, value)),
                    None => drop(map.remove(&key)),
                }
            }
        }
        decision.committed(&output);
        Ok(output)
    }

    async fn snapshot(&self) -> Result<MemorySnapshot, StorageError> {
        Ok(MemorySnapshot(self.published.read().clone()))
    }
}

/// One state of a [`MemoryEngine`].
#[derive(Debug, Clone)]
pub struct MemorySnapshot(Map);

impl Snapshot for MemorySnapshot {
    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        Ok(keys.iter().map(|key| self.0.get(*key).cloned()).collect())
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        scan_map(&self.0, scan)
    }

    async fn scan_into<C: Collect>(&self, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
        show_map(&self.0, scan, into)
    }
}

struct MapView<'a>(&'a Map);

impl View for MapView<'_> {
    fn look(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StorageError> {
        see(self.0.get(key).map(|value| &value[..]));
        Ok(())
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        scan_map(self.0, scan)
    }
}

fn scan_map(map: &Map, scan: &Scan) -> Result<Page, StorageError> {
    if scan.is_empty() {
        return Ok(Page::default());
    }
    let range = map.range::<_, Bytes>((scan.start.as_ref(), scan.end.as_ref())).map(Ok);
    if scan.reverse { scan.collect(range.rev()) } else { scan.collect(range) }
}

fn show_map<C: Collect>(map: &Map, scan: &Scan, into: &C) -> Result<(C, bool), StorageError> {
    if scan.is_empty() {
        return Ok((into.clone(), false));
    }
    let range = map.range::<_, Bytes>((scan.start.as_ref(), scan.end.as_ref())).map(Ok);
    if scan.reverse { scan.collect_into(range.rev(), into) } else { scan.collect_into(range, into) }
}
