//! Records, versions and exact usage over any engine: the bottom layer of every chain. It must never know which engine
//! it sits on, and never answer from anything but the engine.

use std::collections::HashMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;

use crate::batch::{Batch, Check, Committed, Mutation};
use crate::engine::{Decision, Engine, EngineInfo, Scan, View, Writes};
use crate::error::StorageError;
use crate::format::CheckFormat;
use crate::id::ComponentId;
use crate::keyspace::{KeySpace, after_prefix, check_key, split_namespaced};
use crate::namespace_state::NamespaceState;
use crate::record::{self, Record, Version};
use crate::storage::{ComponentStorage, KeyPage, ListRequest, Usage, check_read_size};

/// The storage of every component in one engine; keys are full names. Clones share the engine.
#[derive(Debug)]
pub struct EngineBackend<E> {
    engine: Arc<E>,
}

impl<E> Clone for EngineBackend<E> {
    fn clone(&self) -> Self {
        Self { engine: Arc::clone(&self.engine) }
    }
}

/// How much one namespace holds, for operators.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamespaceUsage {
    /// Whose namespace it is.
    pub id: ComponentId,
    /// What it holds.
    pub usage: Usage,
    /// The number of its last commit.
    pub version: Version,
}

impl<E: Engine> EngineBackend<E> {
    /// The storage over an engine that was checked already or that is always new.
    pub(crate) fn over(engine: E) -> Self {
        Self { engine: Arc::new(engine) }
    }

    /// The storage over an engine.
    ///
    /// # Errors
    /// [`StorageError::Corrupt`] where the engine holds data in a newer format than this version reads, or data that
    /// is not Stash's; the engine's own errors.
    pub async fn open(engine: E) -> Result<Self, StorageError> {
        engine.update(CheckFormat).await?;
        Ok(Self::over(engine))
    }

    /// The engine below.
    pub fn engine(&self) -> &E {
        &self.engine
    }

    /// What the engine is and does.
    pub fn info(&self) -> EngineInfo {
        self.engine.info()
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
        let page = self.engine.scan(&scan).await?;
        page.entries
            .iter()
            .map(|(key, value)| {
                let name = KeySpace::Namespace.name(key).and_then(|name| name.strip_suffix('/'));
                let id = name.and_then(|name| name.parse().ok()).ok_or_else(|| StorageError::Corrupt {
                    reason: "a namespace's name is not a component id".to_owned(),
                })?;
                let state = NamespaceState::decode(value)?;
                Ok(NamespaceUsage { id, usage: state.usage(), version: state.version })
            })
            .collect()
    }
}

impl<E: Engine> ComponentStorage for EngineBackend<E> {
    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        check_full_key(key)?;
        let found = self.engine.read(&[&KeySpace::Record.key(key)]).await?;
        found.into_iter().next().flatten().map(record::decode).transpose()
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        check_read_size(keys)?;
        keys.iter().try_for_each(|key| check_full_key(key))?;
        let keys: Vec<Bytes> = keys.iter().map(|key| KeySpace::Record.key(key)).collect();
        let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
        let found = self.engine.read(&keys).await?;
        found.into_iter().map(|stored| stored.map(record::decode).transpose()).collect()
    }

    async fn scan_keys(&self, request: &ListRequest) -> Result<KeyPage, StorageError> {
        let (scope, _) = split_namespaced(&request.prefix).ok_or_else(|| not_namespaced(&request.prefix))?;
        let prefix = KeySpace::Record.key(&request.prefix);
        let mut start = Bound::Included(prefix.clone());
        if let Some(after) = &request.after {
            let after = KeySpace::Record.key(after);
            if after >= prefix {
                start = Bound::Excluded(after);
            }
        }
        let scan = Scan {
            start,
            end: after_prefix(&prefix).map_or(Bound::Unbounded, Bound::Excluded),
            reverse: false,
            limit: request.limit,
            max_bytes: request.max_bytes,
            // The space's byte and the namespace: the component asked for neither.
            uncounted_key_bytes: 1 + scope.len(),
            value_bytes: 0,
        };
        let page = self.engine.scan(&scan).await?;
        let name = |key: &Bytes| {
            KeySpace::Record
                .name(key)
                .map(str::to_owned)
                .ok_or_else(|| StorageError::Corrupt { reason: "a record's key is not UTF-8".to_owned() })
        };
        let keys = page.entries.iter().map(|(key, _)| name(key)).collect::<Result<_, _>>()?;
        Ok(KeyPage { keys, more: page.more })
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        batch.check_size()?;
        check_scope(&batch.scope)?;
        let keys = batch.checks.iter().map(Check::key).chain(batch.mutations.iter().map(Mutation::key));
        for key in keys {
            check_key(key.strip_prefix(batch.scope.as_str()).ok_or_else(|| not_namespaced(key))?)?;
        }
        self.engine.update(CommitBatch { cost: batch.bytes(), batch }).await
    }

    fn gaps(&self) -> u64 {
        self.engine.gaps()
    }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        check_scope(scope)?;
        let found = self.engine.read(&[&KeySpace::Namespace.key(scope)]).await?;
        let state = found.into_iter().next().flatten();
        Ok(state.map(|state| NamespaceState::decode(&state)).transpose()?.unwrap_or_default().usage())
    }
}

/// A chain without its namespace layer is a mistake of the program; it must not reach data that has no owner.
fn not_namespaced(key: &str) -> StorageError {
    let shown: String = key.chars().take(40).collect();
    StorageError::InvalidKey { reason: format!("'{}' does not begin with a namespace", shown.escape_debug()) }
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

/// A batch on its way through the engine.
struct CommitBatch {
    batch: Batch,
    cost: usize,
}

/// What one key holds while a batch is being decided: the length of its value, if it has one.
type Held = Option<usize>;

impl CommitBatch {
    fn held(view: &dyn View, key: &str) -> Result<Held, StorageError> {
        let mut held = Ok(None);
        view.look(&KeySpace::Record.key(key), &mut |stored| {
            held = stored.map(record::decode_header).transpose().map(|header| header.map(|h| h.value_bytes));
        })?;
        held
    }
}

impl Decision for CommitBatch {
    type Output = Committed;

    fn queue(&self) -> &str {
        &self.batch.scope
    }

    fn cost(&self) -> usize {
        self.cost
    }

    fn decide(&mut self, view: &dyn View, writes: &mut Writes) -> Result<Committed, StorageError> {
        let batch = &self.batch;
        for check in &batch.checks {
            let present = Self::held(view, check.key())?.is_some();
            match check {
                Check::Absent(key) if present => return Err(StorageError::AlreadyExists { key: key.clone() }),
                Check::Present(key) if !present => return Err(StorageError::NotFound { key: key.clone() }),
                _ => {}
            }
        }

        let state_key = KeySpace::Namespace.key(&batch.scope);
        let mut state = Ok(None);
        view.look(&state_key, &mut |stored| state = stored.map(NamespaceState::decode).transpose())?;
        let before = state?.unwrap_or_default();
        let overflow = |what: &str| StorageError::Corrupt { reason: format!("a namespace's {what} is out of range") };
        let version = Version(before.version.0.checked_add(1).ok_or_else(|| overflow("version"))?);

        let mut used = i128::from(before.used_bytes);
        let mut count = i128::from(before.key_count);
        let mut existed = Vec::with_capacity(batch.mutations.len());
        // What earlier mutations of this batch made of a key; one mutation needs no memory.
        let mut decided: HashMap<&str, Held> = HashMap::new();
        for mutation in &batch.mutations {
            let key = mutation.key();
            let old = match decided.get(key) {
                Some(held) => *held,
                None => Self::held(view, key)?,
            };
            existed.push(old.is_some());
            let own_key_bytes = key.len().saturating_sub(batch.scope.len());
            let size = |held: Held| held.map_or(0, |value| widen(own_key_bytes) + widen(value));
            let new = match mutation {
                Mutation::Set { value, .. } => {
                    writes.put(KeySpace::Record.key(key), record::encode(version, value));
                    Some(value.len())
                }
                Mutation::Delete { .. } => {
                    if old.is_some() {
                        writes.remove(KeySpace::Record.key(key));
                    }
                    None
                }
            };
            used += size(new) - size(old);
            count += i128::from(new.is_some()) - i128::from(old.is_some());
            if batch.mutations.len() > 1 {
                decided.insert(key, new);
            }
        }
        if writes.is_empty() {
            return Ok(Committed { version: before.version, existed });
        }

        let used_bytes = u64::try_from(used).map_err(|_| overflow("usage"))?;
        let key_count = u64::try_from(count).map_err(|_| overflow("number of keys"))?;
        if let Some(quota) = batch.quota_bytes
            && used_bytes > quota
            && used_bytes > before.used_bytes
        {
            let needed = used_bytes - before.used_bytes;
            return Err(StorageError::QuotaExceeded { used: before.used_bytes, quota, needed });
        }
        writes.put(state_key, NamespaceState { version, used_bytes, key_count }.encode());
        Ok(Committed { version, existed })
    }

    fn committed(&mut self, committed: &Committed) {
        self.batch.settle(Some(committed));
    }
}

fn widen(bytes: usize) -> i128 {
    i128::try_from(bytes).unwrap_or(i128::MAX)
}
