//! [`Etcd`]: etcd as the server of a shared engine. It must know nothing of components and records.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use std::time::Duration;

use bytes::Bytes;
use stash_core::StorageError;
use stash_core::engine::{EngineInfo, EngineStatus, Page, Scan, Snapshot};
use stash_shared::{
    Commit, CommitError, CommitLimits, Fetched, Head, HeadHeard, Outcome, Server, ServerError, SharedOptions, Wanted,
};

use crate::client::{Client, Repeat, Task};
use crate::commit::{Committer, Limits};
use crate::failure::{CallError, Refusal};
use crate::keys::{Keys, prefixed, put, range};
use crate::proto::{Compare, Op, RangeRequest, TxnRequest, TxnResponse, path};
use crate::reader::{ReadError, Reader, is_compacted};
use crate::tidy;
use crate::url::Target;
use crate::{EtcdOptions, OpenError, feed};

/// The name of the engine, as in a store's URL.
pub(crate) const NAME: &str = "etcd";
/// What says that there is a store, and in which way.
const FORMAT: &[u8] = b"stash 1";
/// Between two tries of a snapshot to read.
const PAUSE: Duration = Duration::from_millis(50);

/// A store in etcd.
pub struct Etcd {
    committer: Arc<Committer>,
    prefix: String,
    /// How long a snapshot goes on trying.
    patience: Duration,
}

impl Etcd {
    /// Connects, and sees that there is a store under the prefix, or nothing.
    pub(crate) async fn connect(target: Target, options: EtcdOptions) -> Result<Self, OpenError> {
        let SharedOptions { call_timeout, patience, create, .. } = options.shared;
        let client = Arc::new(Client::new(&target, call_timeout)?);
        let keys = Keys::new(&target.prefix);
        let limits = Limits {
            request_bytes: target
                .max_request_bytes
                .unwrap_or(options.max_request_bytes)
                .max(crate::LEAST_REQUEST_BYTES),
            ops: target.max_txn_ops.unwrap_or(options.max_txn_ops).max(crate::LEAST_TXN_OPS),
            leaves_journals: options.leaves_journals,
        };
        let reader = Arc::new(Reader::new(client, keys, limits.ops));
        let committer = Arc::new(Committer { reader, limits, has_told_of_others: AtomicBool::new(false) });
        let etcd = Self { committer, prefix: target.prefix.clone(), patience };
        etcd.check(&target, call_timeout.min(patience), create).await?;
        let handle = etcd.reader().client.handle();
        handle.spawn(tidy::keep_tidy(Arc::clone(&etcd.committer)));
        if let Some(every) = target.compact.or(options.compact) {
            handle.spawn(tidy::keep_compact(Arc::clone(&etcd.committer), every));
        }
        Ok(etcd)
    }

    /// What the store's keys begin with, with a `/` at the end.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    fn reader(&self) -> &Arc<Reader> {
        &self.committer.reader
    }

    /// Marks a new store, if one may be made, and refuses what is not one.
    async fn check(&self, target: &Target, time: Duration, create: bool) -> Result<(), OpenError> {
        let server = || target.shown();
        let failed = |error: CallError| match error {
            CallError::NotSent(reason) | CallError::Lost(reason) => OpenError::Unreachable { server: server(), reason },
            CallError::Refused(refusal) => {
                OpenError::Refused { server: server(), reason: refusal.storage_error().to_string() }
            }
        };
        let checked = tokio::time::timeout(time, async {
            loop {
                match self.mark(create).await {
                    // The members may just be electing a leader.
                    Err(CallError::NotSent(_) | CallError::Lost(_)) if !target.members.is_empty() => {
                        tokio::time::sleep(PAUSE).await;
                    }
                    marked => return marked,
                }
            }
        });
        let found = match checked.await {
            Ok(found) => found.map_err(failed)?,
            Err(_) => {
                let reason = self.reader().client.failure();
                let reason = reason.unwrap_or_else(|| format!("no answer within {time:?}"));
                return Err(OpenError::Unreachable { server: server(), reason });
            }
        };
        let wrong =
            |reason: String| Err(OpenError::NotAStore { server: server(), prefix: target.prefix.clone(), reason });
        match found {
            Found::Store => Ok(()),
            Found::Nothing => Err(OpenError::NoStore { server: server(), prefix: target.prefix.clone() }),
            Found::Other => wrong("there are other keys; use another prefix, as in etcd://HOST:2379/PREFIX".to_owned()),
            Found::Within(store) => Err(OpenError::Within { server: server(), prefix: target.prefix.clone(), store }),
            Found::Hidden(marks) => Err(OpenError::Refused {
                server: server(),
                reason: format!(
                    "the user may not see whether {:?} is within another store: make the store as a user who may, once, or \
                     give a role the right to read {marks}",
                    target.prefix
                ),
            }),
            Found::Format(format) => wrong(format!(
                "it is marked {:?} and this version reads {:?}; use a newer Stash",
                String::from_utf8_lossy(&format),
                String::from_utf8_lossy(FORMAT)
            )),
        }
    }

    async fn mark(&self, create: bool) -> Result<Found, CallError> {
        let (client, keys) = (&self.reader().client, &self.reader().keys);
        let all = prefixed(&keys.prefix());
        let look = TxnRequest {
            compare: vec![Compare::version(keys.mark(), 0)],
            success: vec![Op::Range(RangeRequest { limit: 1, keys_only: true, ..range(all, 0) }).into()],
            failure: vec![Op::Range(crate::keys::get(keys.mark(), 0)).into()],
        };
        for _ in 0..2 {
            let answer: TxnResponse = client.call(path::TXN, &look, Repeat::May).await?;
            let found = answer.responses.into_iter().next().and_then(|answer| answer.range).unwrap_or_default();
            if !answer.succeeded {
                let format = found.kvs.first().map(|kv| kv.value.clone()).unwrap_or_default();
                return Ok(if format == FORMAT { Found::Store } else { Found::Format(format) });
            }
            if !found.kvs.is_empty() {
                return Ok(Found::Other);
            }
            if !create {
                return Ok(Found::Nothing);
            }
            // A store within another would be taken for a part of it, and partly removed.
            let above = keys.above();
            let make = TxnRequest {
                compare: std::iter::once(Compare::is_empty(prefixed(&keys.prefix())))
                    .chain(above.iter().map(|above| Compare::version(above.mark(), 0)))
                    .collect(),
                success: vec![put(keys.mark(), Bytes::from_static(FORMAT))],
                failure: above.iter().map(|above| Op::Range(crate::keys::get(above.mark(), 0)).into()).collect(),
            };
            let answer: TxnResponse = match client.call(path::TXN, &make, Repeat::May).await {
                Err(CallError::Refused(Refusal::Denied)) if !above.is_empty() => {
                    let marks: Vec<_> = above.iter().map(|above| shown(&above.mark())).collect();
                    return Ok(Found::Hidden(marks.join(", ")));
                }
                answer => answer?,
            };
            // Whoever was first: what is there then is looked at.
            if !answer.succeeded {
                let found =
                    answer.responses.into_iter().map(|answer| answer.range.is_some_and(|it| !it.kvs.is_empty()));
                if let Some((above, _)) = above.iter().zip(found).find(|(_, found)| *found) {
                    return Ok(Found::Within(shown(&above.prefix())));
                }
            }
        }
        Ok(Found::Other)
    }

    /// Tidies up at once what was left at any time before: for tests.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub async fn tidy_now(&self) -> Result<(), String> {
        let committer = Arc::clone(&self.committer);
        let tidied = Task::on(self.reader().client.handle(), async move {
            tidy::tidy(&committer, Duration::ZERO, Duration::ZERO).await
        });
        tidied.done().await.ok_or("ended")?.map_err(|error| format!("{error:?}"))
    }

    /// Does what a commit of a large value does before it counts, and no more: for tests.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub async fn begin_only(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let (committer, commit) = (Arc::clone(&self.committer), self.commit_of(key, value).await?);
        let begun = Task::on(self.reader().client.handle(), async move { committer.begin_only(&commit).await });
        begun.done().await.ok_or("ended")?
    }

    /// Commits a large value, and then says again what was begun for it, as a request does that comes late: for tests.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub async fn commit_and_repeat(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let (committer, commit) = (Arc::clone(&self.committer), self.commit_of(key, value).await?);
        let done = Task::on(self.reader().client.handle(), async move { committer.commit_and_repeat(&commit).await });
        done.done().await.ok_or("ended")?
    }

    /// The commit of one value on what is there now: for tests.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub async fn commit_of(&self, key: &[u8], value: &[u8]) -> Result<Commit, String> {
        let (reader, owner) = (Arc::clone(self.reader()), Bytes::copy_from_slice(stash_core::keyspace::owner(key)));
        let owners = vec![owner.clone()];
        let heads = Task::on(self.reader().client.handle(), async move { reader.heads(&owners).await });
        let heads = heads.done().await.ok_or("ended")?.map_err(|error| format!("{error:?}"))?;
        let head = heads.into_iter().next().unwrap_or_default();
        let after = Head { revision: head.revision + 1, ..head.clone() };
        let expected = stash_shared::Expected { owner, revision: head.revision, writers: head.writers, head: after };
        let write = (Bytes::copy_from_slice(key), Some(Bytes::copy_from_slice(value)));
        Ok(Commit { owners: vec![expected], writes: vec![write] })
    }

    /// How many keys of a kind there are: for tests.
    #[cfg(feature = "testing")]
    #[doc(hidden)]
    pub async fn count(&self, kind: char) -> usize {
        let reader = Arc::clone(self.reader());
        let all = RangeRequest { keys_only: true, ..range(reader.keys.all(u8::try_from(kind).unwrap_or_default()), 0) };
        let counted = Task::on(self.reader().client.handle(), async move { reader.range(all).await });
        counted.done().await.and_then(Result::ok).map_or(0, |answer| answer.kvs.len())
    }
}

/// What is under a prefix.
enum Found {
    Store,
    Nothing,
    Format(Bytes),
    Other,
    /// Nothing, but a store above it, under this prefix.
    Within(String),
    /// Nothing, and these keys, which say whether there is a store above it, may not be read.
    Hidden(String),
}

fn shown(key: &[u8]) -> String {
    String::from_utf8_lossy(key).into_owned()
}

impl Server for Etcd {
    type Snapshot = EtcdSnapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: NAME, durable: true }
    }

    fn limits(&self) -> CommitLimits {
        // What is too much for one transaction goes into a journal.
        CommitLimits { writes: usize::MAX, bytes: usize::MAX }
    }

    fn status(&self) -> EngineStatus {
        let failure = self.reader().client.failure();
        EngineStatus { failure: failure.map(|reason| format!("etcd cannot be reached: {reason}")), disk_bytes: None }
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, ServerError> {
        Ok(self.reader().values(keys, 0, usize::MAX).await?.unwrap_or_default())
    }

    async fn read_up_to(&self, keys: &[&[u8]], max_bytes: usize) -> Result<Option<Vec<Option<Bytes>>>, ServerError> {
        Ok(self.reader().values(keys, 0, max_bytes).await?)
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, ServerError> {
        Ok(self.reader().page(scan, 0).await?)
    }

    async fn fetch(&self, wanted: &Wanted) -> Result<Fetched, ServerError> {
        Ok(self.reader().fetch(wanted).await?)
    }

    async fn heads(&self, owners: &[Bytes]) -> Result<Vec<Head>, ServerError> {
        Ok(self.reader().heads(owners).await?)
    }

    async fn commit(&self, commit: &Commit) -> Result<Outcome, CommitError> {
        self.committer.commit(commit).await
    }

    async fn snapshot(&self) -> Result<EtcdSnapshot, ServerError> {
        let revision = self.reader().revision().await?;
        Ok(EtcdSnapshot { reader: Arc::clone(self.reader()), revision, patience: self.patience })
    }

    fn listen_for_heads(&self, heard: HeadHeard) {
        feed::spawn(&self.reader().client, self.reader().keys.clone(), heard);
    }
}

/// The state that etcd had at one revision. It holds nothing; it ends when etcd compacts that revision.
pub struct EtcdSnapshot {
    reader: Arc<Reader>,
    revision: i64,
    patience: Duration,
}

impl EtcdSnapshot {
    /// Asks until there is an answer, or for as long as calls go on trying.
    async fn ask<T, F>(&self, question: impl Fn(Arc<Reader>, i64) -> F + Send + 'static) -> Result<T, StorageError>
    where
        T: Send + 'static,
        F: Future<Output = Result<T, ReadError>> + Send,
    {
        let (reader, revision, patience) = (Arc::clone(&self.reader), self.revision, self.patience);
        let asked = Task::on(self.reader.client.handle(), async move {
            let deadline = tokio::time::Instant::now() + patience;
            loop {
                let error = match question(Arc::clone(&reader), revision).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => error,
                };
                if is_compacted(&error) {
                    let reason = "etcd has compacted the state of this snapshot; begin again".to_owned();
                    return Err(StorageError::Unavailable { reason });
                }
                match ServerError::from(error) {
                    ServerError::Refused(error) => return Err(error),
                    ServerError::Unreachable(reason) if tokio::time::Instant::now() >= deadline => {
                        return Err(StorageError::Unavailable { reason: format!("etcd cannot be reached: {reason}") });
                    }
                    ServerError::Unreachable(_) => tokio::time::sleep(PAUSE).await,
                }
            }
        });
        asked.done().await.unwrap_or(Err(StorageError::Closed))
    }
}

impl Snapshot for EtcdSnapshot {
    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let keys: Arc<[Bytes]> = keys.iter().map(|key| Bytes::copy_from_slice(key)).collect();
        self.ask(move |reader, revision| {
            let keys = Arc::clone(&keys);
            async move {
                let keys: Vec<&[u8]> = keys.iter().map(|key| &key[..]).collect();
                Ok(reader.values(&keys, revision, usize::MAX).await?.unwrap_or_default())
            }
        })
        .await
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        let scan = Arc::new(scan.clone());
        self.ask(move |reader, revision| {
            let scan = Arc::clone(&scan);
            async move { reader.page(&scan, revision).await }
        })
        .await
    }
}
