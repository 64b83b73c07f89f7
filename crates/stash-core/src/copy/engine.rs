//! An engine as a copy uses it, whichever it is. It must write what it is given and nothing else.

use bytes::Bytes;

use crate::engine::{Decision, Engine, Page, Scan, Snapshot, View, Writes};
use crate::erased::BoxFuture;
use crate::error::StorageError;

/// What a copy asks of an engine, with boxed futures: every [`Engine`] is one.
pub trait CopyEngine: Send + Sync {
    /// The present state; see [`Engine::snapshot`].
    #[allow(clippy::missing_errors_doc)]
    fn snapshot_dyn(&self) -> BoxFuture<'_, Result<Box<dyn CopySnapshot>, StorageError>>;
    /// See [`Engine::read`].
    #[allow(clippy::missing_errors_doc)]
    fn read_dyn<'a>(&'a self, keys: &'a [Bytes]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StorageError>>;
    /// See [`Engine::scan`].
    #[allow(clippy::missing_errors_doc)]
    fn scan_dyn<'a>(&'a self, scan: &'a Scan) -> BoxFuture<'a, Result<Page, StorageError>>;
    /// Writes all of it, durably; `None` removes a key.
    #[allow(clippy::missing_errors_doc)]
    fn write_dyn(&self, writes: Vec<(Bytes, Option<Bytes>)>) -> BoxFuture<'_, Result<(), StorageError>>;
}

/// One state of an engine, as a copy reads it.
pub trait CopySnapshot: Send + Sync {
    /// See [`Snapshot::read`].
    #[allow(clippy::missing_errors_doc)]
    fn read_dyn<'a>(&'a self, keys: &'a [Bytes]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StorageError>>;
    /// See [`Snapshot::scan`].
    #[allow(clippy::missing_errors_doc)]
    fn scan_dyn<'a>(&'a self, scan: &'a Scan) -> BoxFuture<'a, Result<Page, StorageError>>;
}

impl<E: Engine> CopyEngine for E {
    fn snapshot_dyn(&self) -> BoxFuture<'_, Result<Box<dyn CopySnapshot>, StorageError>> {
        Box::pin(async {
            let snapshot: Box<dyn CopySnapshot> = Box::new(State(self.snapshot().await?));
            Ok(snapshot)
        })
    }

    fn read_dyn<'a>(&'a self, keys: &'a [Bytes]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StorageError>> {
        Box::pin(async move {
            let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
            self.read(&keys).await
        })
    }

    fn scan_dyn<'a>(&'a self, scan: &'a Scan) -> BoxFuture<'a, Result<Page, StorageError>> {
        Box::pin(self.scan(scan))
    }

    fn write_dyn(&self, writes: Vec<(Bytes, Option<Bytes>)>) -> BoxFuture<'_, Result<(), StorageError>> {
        Box::pin(self.update(Put(writes)))
    }
}

struct State<S>(S);

impl<S: Snapshot> CopySnapshot for State<S> {
    fn read_dyn<'a>(&'a self, keys: &'a [Bytes]) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, StorageError>> {
        Box::pin(async move {
            let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
            self.0.read(&keys).await
        })
    }

    fn scan_dyn<'a>(&'a self, scan: &'a Scan) -> BoxFuture<'a, Result<Page, StorageError>> {
        Box::pin(self.0.scan(scan))
    }
}

/// Writes, whatever there is.
struct Put(Vec<(Bytes, Option<Bytes>)>);

impl Decision for Put {
    type Output = ();

    fn queue(&self) -> &'static str {
        "copy"
    }

    fn cost(&self) -> usize {
        self.0.iter().map(|(key, value)| key.len() + value.as_ref().map_or(0, Bytes::len)).sum()
    }

    fn decide(&mut self, _: &dyn View, writes: &mut Writes) -> Result<(), StorageError> {
        // Kept, because an engine may ask again.
        for (key, value) in &self.0 {
            match value {
                Some(value) => writes.put(key.clone(), value.clone()),
                None => writes.remove(key.clone()),
            }
        }
        Ok(())
    }
}
