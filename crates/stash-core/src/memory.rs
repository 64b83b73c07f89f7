//! The engine without a file: an ordered map behind a lock, for tests and for stores that need not last. It must keep
//! every promise of [`Engine`] but durability.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::backend::EngineBackend;
use crate::engine::{Decision, Engine, EngineInfo, Page, Scan, Snapshot, View, Writes};
use crate::error::StorageError;

type Map = BTreeMap<Bytes, Bytes>;

/// The storage of components in memory: [`EngineBackend`] over [`MemoryEngine`].
pub type MemoryBackend = EngineBackend<MemoryEngine>;

impl MemoryBackend {
    /// An empty store in memory, gone with the last clone of it.
    pub fn in_memory() -> Self {
        Self::over(MemoryEngine::default())
    }
}

/// An engine in memory. Clones are the same engine.
///
/// A snapshot costs nothing until the next update, which then copies the map.
#[derive(Debug, Clone, Default)]
pub struct MemoryEngine {
    // Read under the lock: a scan delays the end of an update, but no update ever copies the map for one.
    published: Arc<RwLock<Arc<Map>>>,
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
        // Under the lock and not in a snapshot: a live snapshot would make the next update copy the map.
        scan_map(&self.published.read(), scan)
    }

    async fn update<D: Decision>(&self, mut decision: D) -> Result<D::Output, StorageError> {
        let _turn = self.writer.lock();
        let mut writes = Writes::default();
        let output = decision.decide(&MapView(&self.published.read()), &mut writes)?;
        if !writes.is_empty() {
            let mut published = self.published.write();
            let map = Arc::make_mut(&mut published);
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
        Ok(MemorySnapshot(Arc::clone(&self.published.read())))
    }
}

/// One state of a [`MemoryEngine`].
#[derive(Debug, Clone)]
pub struct MemorySnapshot(Arc<Map>);

impl Snapshot for MemorySnapshot {
    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        Ok(keys.iter().map(|key| self.0.get(*key).cloned()).collect())
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        scan_map(&self.0, scan)
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
    let range = map.range::<Bytes, _>((scan.start.as_ref(), scan.end.as_ref())).map(Ok);
    if scan.reverse { scan.collect(range.rev()) } else { scan.collect(range) }
}
