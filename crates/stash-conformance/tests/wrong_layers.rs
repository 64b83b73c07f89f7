//! The suite's own tests: layers that are wrong in one way each must fail, in the case that is about it.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use stash_conformance::{ChainConfig, Chains, Fresh, World, interleave, model, storage};
use stash_core::{
    Batch, BoxFuture, Change, ChangesPage, ChangesRequest, Check, Committed, ComponentId, ComponentStorage, Condition,
    DynStorage, KeyRange, MemoryEngine, Mutation, NamespacedStorage, PlaceName, Record, ScanEntry, ScanPage,
    ScanRequest, StorageError, StoreLimits, Swept, Usage,
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    ResolvesDots,
    CutsAtNul,
    IgnoresChecks,
    SplitsBatches,
    JoinsWithoutASlash,
    ForgetsKeysInUsage,
    ListsBackwards,
    ListsTheStartAgain,
    ReadsOneByOne,
    IgnoresLimits,
    OneCacheAnInstance,
    LosesDeletions,
    ForgetsHooks,
    IgnoresVersions,
    LosesTheCurrentVersion,
    IgnoresAfter,
    MixesTwoStates,
    CountsEverything,
    OneCollection,
    ServesWhatHasExpired,
    TearsCommits,
    SkipsACommit,
    ForgetsTheCollection,
}

/// A whole chain, and something wrong on top of it.
struct Wrong {
    inner: Arc<dyn DynStorage>,
    fault: Fault,
    /// What the component is called, where that becomes part of the key.
    joined: String,
    cache: Mutex<HashMap<String, Option<Record>>>,
}

impl Wrong {
    fn key(&self, key: &str) -> String {
        match self.fault {
            Fault::ResolvesDots => {
                let mut parts: Vec<&str> = Vec::new();
                for part in key.split('/') {
                    match part {
                        ".." => _ = parts.pop(),
                        part => parts.push(part),
                    }
                }
                let resolved = parts.join("/");
                if resolved.is_empty() { key.to_owned() } else { resolved }
            }
            Fault::CutsAtNul => match key.split('\0').next() {
                Some(cut) if !cut.is_empty() => cut.to_owned(),
                _ => key.to_owned(),
            },
            _ => format!("{}{key}", self.joined),
        }
    }

    fn rebuilt(&self, checks: &[Check], mutations: &[Mutation]) -> Batch {
        let batch =
            checks.iter().fold(Batch::new(), |batch, check| batch.require(self.key(check.key()), check.condition()));
        mutations
            .iter()
            .fold(batch, |batch, mutation| batch.change(self.key(mutation.key()), mutation.change().clone()))
    }
}

impl ComponentStorage for Wrong {
    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        if matches!(self.fault, Fault::OneCacheAnInstance | Fault::ServesWhatHasExpired) {
            if let Some(cached) = self.cache.lock().unwrap().get(key) {
                return Ok(cached.clone());
            }
            let record = self.inner.read_one(key).await?;
            self.cache.lock().unwrap().insert(key.to_owned(), record.clone());
            return Ok(record);
        }
        self.inner.read_one(&self.key(key)).await
    }

    async fn read(&self, keys: &[&str]) -> Result<Vec<Option<Record>>, StorageError> {
        let keys: Vec<String> = keys.iter().map(|key| self.key(key)).collect();
        if self.fault == Fault::ReadsOneByOne {
            let mut records = Vec::new();
            for key in &keys {
                records.push(self.inner.read_one(key).await?);
                tokio::task::yield_now().await;
            }
            return Ok(records);
        }
        let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
        self.inner.read(&keys).await
    }

    async fn scan(&self, request: &ScanRequest) -> Result<ScanPage, StorageError> {
        let mut request = request.clone();
        request.range.prefix.insert_str(0, &self.joined);
        request.after = request.after.map(|after| format!("{}{after}", self.joined));
        if self.fault == Fault::IgnoresAfter {
            request.after = None;
        }
        let mut page = self.inner.scan(&request).await?;
        match self.fault {
            Fault::ListsBackwards => page.entries.reverse(),
            Fault::MixesTwoStates if request.values => {
                for entry in std::mem::take(&mut page.entries) {
                    tokio::task::yield_now().await;
                    let record = self.inner.read_one(&entry.key).await?;
                    page.entries.extend(record.map(|record| ScanEntry { record, ..entry }));
                }
            }
            Fault::ListsTheStartAgain => {
                if let (Some(after), Some(first)) = (&request.after, page.entries.first().cloned()) {
                    page.entries.insert(0, ScanEntry { key: after.as_str().into(), ..first });
                    page.entries.truncate(request.limit);
                }
            }
            _ => {}
        }
        for entry in &mut page.entries {
            entry.key = entry.key[self.joined.len()..].into();
        }
        page.resume = page.resume.map(|key| key[self.joined.len()..].into());
        Ok(page)
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        let (mut checks, mut mutations) = (batch.checks().to_vec(), batch.mutations().to_vec());
        match self.fault {
            Fault::IgnoresChecks => checks.clear(),
            Fault::IgnoresVersions if checks.iter().any(is_version) => checks.retain(|check| !is_version(check)),
            Fault::LosesDeletions if mutations.len() > 1 => {
                mutations.retain(|mutation| *mutation.change() != Change::Delete);
            }
            Fault::OneCacheAnInstance | Fault::ServesWhatHasExpired => {
                self.cache.lock().unwrap().retain(|key, _| mutations.iter().all(|change| change.key() != key));
                return self.inner.commit(batch).await;
            }
            Fault::LosesTheCurrentVersion => {
                let lost = |error| match error {
                    StorageError::Conflict { key, expected, .. } => {
                        StorageError::Conflict { key, expected, current: None }
                    }
                    error => error,
                };
                return self.inner.commit(batch).await.map_err(lost);
            }
            Fault::None
            | Fault::ReadsOneByOne
            | Fault::ListsBackwards
            | Fault::IgnoresVersions
            | Fault::IgnoresAfter
            | Fault::MixesTwoStates
            | Fault::CountsEverything
            | Fault::OneCollection
            | Fault::TearsCommits
            | Fault::SkipsACommit
            | Fault::ForgetsTheCollection => return self.inner.commit(batch).await,
            _ => {}
        }
        // The hooks are never called.
        std::mem::forget(batch);
        if self.fault == Fault::SplitsBatches {
            let mut all = self.inner.commit(self.rebuilt(&checks, &[])).await?;
            for mutation in &mutations {
                let committed = self.inner.commit(self.rebuilt(&[], std::slice::from_ref(mutation))).await?;
                all.version = committed.version;
                all.outcomes.extend(committed.outcomes);
                tokio::task::yield_now().await;
            }
            return Ok(all);
        }
        self.inner.commit(self.rebuilt(&checks, &mutations)).await
    }

    fn in_place(&self, place: &PlaceName) -> Result<Self, StorageError> {
        let same = self.fault == Fault::OneCollection;
        let inner = if same { Arc::clone(&self.inner) } else { self.inner.in_place(place)? };
        let joined = self.joined.clone();
        Ok(Self { inner, fault: self.fault, joined, cache: Mutex::default() })
    }

    async fn count(&self, range: &KeyRange) -> Result<u64, StorageError> {
        let everything = KeyRange::prefix(&*range.prefix);
        self.inner.count(if self.fault == Fault::CountsEverything { &everything } else { range }).await
    }

    async fn changes(&self, scope: &str, request: &ChangesRequest) -> Result<ChangesPage, StorageError> {
        let mut page = self.inner.changes(scope, request).await?;
        match self.fault {
            // A page that ends within a commit: the rest of it is after a version that is told as done.
            Fault::TearsCommits if page.changes.len() > 1 => _ = page.changes.pop(),
            Fault::SkipsACommit if page.more => page.through.0 += 1,
            Fault::ForgetsTheCollection => page.changes.iter_mut().for_each(|change| change.collection = None),
            _ => {}
        }
        Ok(page)
    }

    inner! { versions log snapshots facts }

    async fn usage(&self, scope: &str) -> Result<Usage, StorageError> {
        let mut usage = self.inner.usage(scope).await?;
        if self.fault == Fault::ForgetsKeysInUsage {
            usage.used_bytes = usage.used_bytes.saturating_sub(usage.key_count);
        }
        Ok(usage)
    }
}

fn is_version(check: &Check) -> bool {
    matches!(check.condition(), Condition::Version(_))
}

struct WrongWorld {
    right: Chains<MemoryEngine>,
    fault: Fault,
}

impl WrongWorld {
    async fn new(fault: Fault) -> Self {
        Self { right: Chains::over(MemoryEngine::default(), ChainConfig::whole()).await, fault }
    }
}

impl World for WrongWorld {
    fn chain(&self, id: &ComponentId, limits: StoreLimits) -> Arc<dyn DynStorage> {
        let limits = if self.fault == Fault::IgnoresLimits { StoreLimits::default() } else { limits };
        let (joined, id) = match self.fault {
            // Everybody in one namespace, and the id only put before the key.
            Fault::JoinsWithoutASlash => (id.as_str().to_owned(), "all/of/them".parse().unwrap()),
            _ => (String::new(), id.clone()),
        };
        let inner = self.right.chain(&id, limits);
        Arc::new(Wrong { inner, fault: self.fault, joined, cache: Mutex::default() })
    }

    fn advance(&self, by: Duration) {
        self.right.advance(by);
    }

    fn drives_time(&self) -> bool {
        true
    }

    fn sweep(&self, max_commits: usize) -> BoxFuture<'_, Option<Swept>> {
        self.right.sweep(max_commits)
    }
}

#[test]
fn a_right_chain_passes() {
    storage::run_world("right", Fresh(async || WrongWorld::new(Fault::None).await));
    model::check_world(&Fresh(async || WrongWorld::new(Fault::None).await));
}

#[test]
fn every_wrong_layer_fails_in_the_case_about_it() {
    let expected = [
        (Fault::ResolvesDots, "keys_of_every_kind"),
        (Fault::CutsAtNul, "keys_of_every_kind"),
        (Fault::IgnoresChecks, "checks_hold_or_nothing_happens"),
        (Fault::IgnoresChecks, "a_lock_made_of_checks_excludes"),
        (Fault::IgnoresChecks, "creation_has_one_winner"),
        (Fault::SplitsBatches, "a_batch_is_one_commit"),
        (Fault::SplitsBatches, "batches_never_tear"),
        (Fault::JoinsWithoutASlash, "colliding_ids_and_keys_stay_apart"),
        (Fault::JoinsWithoutASlash, "no_prefix_lists_another_component"),
        (Fault::JoinsWithoutASlash, "usage_is_each_components_own"),
        (Fault::ForgetsKeysInUsage, "usage_matches_what_is_listed"),
        (Fault::ListsBackwards, "listings_are_in_byte_order"),
        (Fault::ListsTheStartAgain, "pages_join_up"),
        (Fault::ReadsOneByOne, "batches_never_tear"),
        (Fault::IgnoresLimits, "values_have_a_limit"),
        (Fault::IgnoresLimits, "the_quota_is_exact"),
        (Fault::IgnoresLimits, "the_quota_holds_between_concurrent_callers"),
        (Fault::OneCacheAnInstance, "instances_of_one_component_agree"),
        (Fault::LosesDeletions, "a_batch_is_one_commit"),
        (Fault::ForgetsHooks, "hooks_tell_the_outcome_once"),
        (Fault::IgnoresVersions, "a_condition_holds_or_nothing_is_stored"),
        (Fault::IgnoresVersions, "a_record_made_again_is_another"),
        (Fault::IgnoresVersions, "of_equal_conditions_one_wins"),
        (Fault::LosesTheCurrentVersion, "a_condition_holds_or_nothing_is_stored"),
        (Fault::LosesTheCurrentVersion, "a_record_is_there_until_its_moment"),
        (Fault::IgnoresAfter, "any_list_is_what_a_map_would_give"),
        (Fault::IgnoresAfter, "a_cursor_goes_on_where_its_page_ended"),
        (Fault::MixesTwoStates, "nobody_sees_half_a_clearing"),
        (Fault::CountsEverything, "any_list_is_what_a_map_would_give"),
        (Fault::OneCollection, "collections_do_not_meet"),
        (Fault::TearsCommits, "a_page_is_made_of_whole_commits"),
        (Fault::TearsCommits, "a_reader_sees_each_commit_once_and_in_order"),
        (Fault::SkipsACommit, "a_page_is_made_of_whole_commits"),
        (Fault::ForgetsTheCollection, "changes_of_all_collections_are_in_one_order"),
        (Fault::ServesWhatHasExpired, "a_record_is_there_until_its_moment"),
        (Fault::SplitsBatches, "nothing_is_left_of_a_batch_that_fails"),
        (Fault::ForgetsKeysInUsage, "a_prefix_is_cleared_and_nothing_else"),
    ];
    let mut caught: Vec<(Fault, Vec<&str>)> = Vec::new();
    for (fault, case) in expected {
        // What a wrong kind of concurrency does depends on the scheduler: such a fault may need several tries.
        for attempt in 0..20 {
            let known = caught.iter().any(|(of, cases)| *of == fault && cases.contains(&case));
            if known {
                break;
            }
            let report = storage::try_run_world("wrong", Fresh(move || WrongWorld::new(fault)));
            assert!(attempt < 19, "{fault:?} is not caught by {case}: {report}");
            caught.push((fault, report.failed()));
        }
    }
}

#[test]
fn the_model_finds_wrong_layers_by_chance() {
    let faults = [
        Fault::ResolvesDots,
        Fault::CutsAtNul,
        Fault::IgnoresChecks,
        Fault::SplitsBatches,
        Fault::ForgetsKeysInUsage,
        Fault::ListsBackwards,
        Fault::ListsTheStartAgain,
        Fault::IgnoresLimits,
        Fault::LosesDeletions,
    ];
    for fault in faults {
        let outcome = model::try_check_world(&Fresh(move || WrongWorld::new(fault)));
        let told = outcome.expect_err(&format!("the model did not find {fault:?}"));
        assert!(told.contains("minimal failing input"), "{told}");
    }
}

/// A cache that is wrong about when a value may be kept.
#[derive(Clone)]
struct NaiveCache<S> {
    inner: S,
    // What is known, and whether a newer record is ever replaced by an older one.
    entries: Arc<Mutex<HashMap<String, Option<Record>>>>,
    compares_versions: bool,
}

impl<S> NaiveCache<S> {
    fn new(inner: S, compares_versions: bool) -> Self {
        Self { inner, entries: Arc::default(), compares_versions }
    }

    fn fill(&self, key: &str, record: Option<&Record>) {
        let mut entries = self.entries.lock().unwrap();
        let version = |record: Option<&Record>| record.map(|record| record.version);
        let held = entries.get(key).and_then(Option::as_ref);
        if !self.compares_versions || version(record) >= version(held) {
            entries.insert(key.to_owned(), record.cloned());
        }
    }
}

impl<S: ComponentStorage> ComponentStorage for NaiveCache<S> {
    fn in_place(&self, place: &PlaceName) -> Result<Self, StorageError> {
        Ok(Self::new(self.inner.in_place(place)?, self.compares_versions))
    }

    inner! { read scan count versions changes usage snapshots facts }

    async fn read_one(&self, key: &str) -> Result<Option<Record>, StorageError> {
        if let Some(cached) = self.entries.lock().unwrap().get(key) {
            return Ok(cached.clone());
        }
        let record = self.inner.read_one(key).await?;
        self.fill(key, record.as_ref());
        Ok(record)
    }

    async fn commit(&self, batch: Batch) -> Result<Committed, StorageError> {
        let now = Some(self.inner.now());
        let mutations = batch.mutations().to_vec();
        let committed = self.inner.commit(batch).await?;
        for mutation in mutations {
            let record = match mutation.change() {
                Change::Set { value, .. } => {
                    let mut record = Record { version: committed.version, value: value.clone(), ..Record::default() };
                    (record.metadata.created, record.metadata.updated) = (now, now);
                    Some(record)
                }
                _ => None,
            };
            self.fill(mutation.key(), record.as_ref());
        }
        Ok(committed)
    }
}

#[test]
fn caches_that_fill_by_arrival_or_only_by_version_are_found() {
    for compares_versions in [false, true] {
        let outcome = interleave::try_check(|id, (backend, _)| {
            Arc::new(NamespacedStorage::new(id, NaiveCache::new(backend, compares_versions)))
        });
        let told = outcome.expect_err("no interleaving was found that makes it wrong");
        assert!(told.contains("minimal failing input"), "{told}");
    }
    let right = interleave::try_check(|id, (backend, _)| Arc::new(NamespacedStorage::new(id, backend)));
    assert_eq!(right, Ok(()), "without a cache nothing is wrong");
}
