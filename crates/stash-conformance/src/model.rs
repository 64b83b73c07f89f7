//! Random calls by a few components, each answer held against a plain map. The map must stay too simple to be wrong.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::{Index, select};
use proptest::test_runner::{TestCaseError, TestRunner};
use stash_core::limits::MAX_KEY_BYTES;
use stash_core::{
    Batch, ComponentId, ComponentStorage, KeyPage, ListRequest, Record, StorageError, StoreLimits, Usage, Version,
};

use crate::fixture::EngineFixture;
use crate::storage::Chain;
use crate::world::{ChainConfig, ChainsOver, World, WorldFixture};

/// The components: their ids, and with them their keys, are one another's prefixes.
const IDS: [&str; 3] = ["a/b/c", "a/b/cc", "a/b/."];

/// Small limits, so that they are met all the time.
const LIMITS: StoreLimits = StoreLimits { max_value_bytes: 24, quota_bytes: Some(120) };

/// Random sequences to try, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 48;

/// Checks every kind of chain in [`ChainConfig::all`] over the engines of a fixture. Not to be called from inside an
/// async runtime.
///
/// # Panics
/// With the shortest sequence of calls found that is answered wrongly.
pub fn check<F: EngineFixture>(engines: F) {
    let engines = Arc::new(engines);
    for config in ChainConfig::all() {
        let name = config.name;
        let outcome = try_check_world(&ChainsOver { engines: Arc::clone(&engines), config });
        assert_eq!(outcome, Ok(()), "the model, {name}");
    }
}

/// Checks the worlds of a fixture.
///
/// # Panics
/// As [`check`].
pub fn check_world<F: WorldFixture>(worlds: &F) {
    assert_eq!(try_check_world(worlds), Ok(()), "the model");
}

/// Checks the worlds of a fixture and tells what was answered wrongly.
///
/// # Errors
/// The shortest sequence of calls found that is answered wrongly.
pub fn try_check_world<F: WorldFixture>(worlds: &F) -> Result<(), String> {
    let runtime = crate::report::runtime();
    let mut runner = TestRunner::new(proptest_config(CASES));
    let outcome = runner.run(&vec(step(), 1..50), |steps| {
        runtime.block_on(async {
            let mut run = Run::new(worlds.fresh().await);
            for step in &steps {
                run.take(step).await.map_err(TestCaseError::fail)?;
            }
            run.audit_all().await.map_err(TestCaseError::fail)
        })
    });
    outcome.map_err(|error| error.to_string())
}

/// `cases`, unless the environment says otherwise. Failures are told and not written to files: a test must not write
/// into the source it was built from.
pub(crate) fn proptest_config(cases: u32) -> ProptestConfig {
    let from_environment = ProptestConfig::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { from_environment.cases } else { cases };
    ProptestConfig { cases, failure_persistence: None, ..from_environment }
}

#[derive(Debug, Clone)]
struct Step {
    component: usize,
    call: Call,
}

#[derive(Debug, Clone)]
enum Call {
    Get(String),
    Exists(String),
    Set(String, usize),
    Delete(String),
    Read(Vec<String>),
    List(String),
    Page { prefix: String, after: Option<String>, limit: usize, max_bytes: usize },
    Commit(Vec<(bool, String)>, Vec<(String, Option<usize>)>),
    Audit,
    Wait(u64),
}

fn step() -> impl Strategy<Value = Step> {
    let call = prop_oneof![
        4 => key().prop_map(Call::Get),
        1 => key().prop_map(Call::Exists),
        4 => (key(), 0..27_usize).prop_map(|(key, length)| Call::Set(key, length)),
        2 => key().prop_map(Call::Delete),
        2 => vec(key(), 0..5).prop_map(Call::Read),
        1 => prefix().prop_map(Call::List),
        2 => (prefix(), proptest::option::of(prefix()), 1..4_usize, select(vec![0, 1, usize::MAX]))
            .prop_map(|(prefix, after, limit, max_bytes)| Call::Page { prefix, after, limit, max_bytes }),
        4 => (vec((any::<bool>(), key()), 0..2), vec((key(), proptest::option::of(0..26_usize)), 0..4))
            .prop_map(|(checks, changes)| Call::Commit(checks, changes)),
        1 => Just(Call::Audit),
        1 => (1..3_u64).prop_map(Call::Wait),
    ];
    (0..IDS.len(), call).prop_map(|(component, call)| Step { component, call })
}

/// Few keys, so that they are met again; each there for a reason.
fn keys() -> Vec<String> {
    let mut keys = ["k", "k", "k\0", "c", "c/k", "/", "../k", "a/b/c/k", "a/b/cc/", "é", "\u{10ffff}", ""]
        .map(str::to_owned)
        .to_vec();
    keys.push("x".repeat(MAX_KEY_BYTES + 1));
    keys
}

fn key() -> impl Strategy<Value = String> {
    // The invalid ones are at the end, and rarer.
    let (keys, all) = (keys(), keys().len());
    (any::<Index>(), 0..8_u8)
        .prop_map(move |(index, luck)| keys[index.index(if luck == 0 { all } else { all - 2 })].clone())
}

fn prefix() -> impl Strategy<Value = String> {
    select(
        ["", "", "k", "c", "c/", "a/", "a/b/c/", "/", "..", "\0", "é", "\u{10ffff}", "zz"].map(str::to_owned).to_vec(),
    )
}

/// What a component has: its records, and the number of its last commit.
#[derive(Debug, Default)]
struct Model {
    version: Version,
    records: BTreeMap<String, Record>,
}

impl Model {
    fn used_bytes(&self) -> u64 {
        self.records.iter().map(|(key, record)| (key.len() + record.value.len()) as u64).sum()
    }

    fn usage(&self, limited: bool) -> Usage {
        let quota_bytes = LIMITS.quota_bytes.filter(|_| limited);
        Usage { used_bytes: self.used_bytes(), key_count: self.records.len() as u64, quota_bytes }
    }

    fn page(&self, prefix: &str, after: Option<&str>, limit: usize, max_bytes: usize) -> KeyPage {
        let inside = |key: &&String| key.starts_with(prefix) && after.is_none_or(|after| key.as_str() > after);
        let mut page = KeyPage::default();
        let mut bytes = 0;
        for key in self.records.keys().filter(inside) {
            if page.keys.len() == limit || (bytes >= max_bytes && !page.keys.is_empty()) {
                page.more = true;
                break;
            }
            bytes += key.len();
            page.keys.push(key.clone());
        }
        page
    }

    /// Does a batch, or says why not. `existed` and the version, as a commit tells them.
    fn commit(
        &mut self,
        checks: &[(bool, String)],
        changes: &[(String, Option<Vec<u8>>)],
        limited: bool,
    ) -> Result<(Version, Vec<bool>), StorageError> {
        for value in changes.iter().filter_map(|(_, value)| value.as_ref()) {
            if limited && value.len() > LIMITS.max_value_bytes {
                let (actual, limit) = (value.len() as u64, LIMITS.max_value_bytes as u64);
                return Err(StorageError::LimitExceeded { what: "the size of a value in bytes", actual, limit });
            }
        }
        checks.iter().map(|(_, key)| key).chain(changes.iter().map(|(key, _)| key)).try_for_each(|key| valid(key))?;
        for (present, key) in checks {
            match (present, self.records.contains_key(key)) {
                (true, false) => return Err(StorageError::NotFound { key: key.clone() }),
                (false, true) => return Err(StorageError::AlreadyExists { key: key.clone() }),
                _ => {}
            }
        }
        let mut records = self.records.clone();
        let (mut existed, mut any_change) = (Vec::new(), false);
        let version = Version(self.version.0 + 1);
        for (key, value) in changes {
            let old = match value {
                Some(value) => records.insert(key.clone(), Record { version, value: value.clone().into() }),
                None => records.remove(key),
            };
            existed.push(old.is_some());
            any_change |= value.is_some() || old.is_some();
        }
        if !any_change {
            return Ok((self.version, existed));
        }
        let before = self.used_bytes();
        let after = Self { version, records };
        let used = after.used_bytes();
        if let Some(quota) = LIMITS.quota_bytes.filter(|quota| limited && used > *quota && used > before) {
            return Err(StorageError::QuotaExceeded { used: before, quota, needed: used - before });
        }
        *self = after;
        Ok((version, existed))
    }
}

/// The rule for keys, said once more.
fn valid(key: &str) -> Result<(), StorageError> {
    match key.len() {
        1..=MAX_KEY_BYTES => Ok(()),
        0 => Err(StorageError::InvalidKey { reason: "a key has at least one byte".to_owned() }),
        bytes => Err(StorageError::InvalidKey { reason: format!("it has {bytes} bytes; the limit is 2048") }),
    }
}

struct Run<W> {
    world: W,
    limited: bool,
    ids: Vec<ComponentId>,
    chains: Vec<Chain>,
    models: Vec<Model>,
    values: usize,
}

impl<W: World> Run<W> {
    fn new(world: W) -> Self {
        let ids: Vec<ComponentId> = IDS.iter().map(|id| id.parse().unwrap()).collect();
        let chains = ids.iter().map(|id| world.chain(id, LIMITS)).collect();
        let models = IDS.iter().map(|_| Model::default()).collect();
        Self { limited: world.has_limits(), world, ids, chains, models, values: 0 }
    }

    /// A value of this length that no other step wrote.
    fn value(&mut self, length: usize) -> Vec<u8> {
        self.values += 1;
        format!("{:0>length$}", self.values).into_bytes()[..length].to_vec()
    }

    async fn take(&mut self, step: &Step) -> Result<(), String> {
        let (n, limited) = (step.component, self.limited);
        let chain = Arc::clone(&self.chains[n]);
        match step.call.clone() {
            Call::Get(key) => {
                let expected = valid(&key).map(|()| self.models[n].records.get(&key).cloned());
                looks_like(&chain, &key, &expected)?;
                same(&chain.read_one(&key).await, &expected)?;
                looks_like(&chain, &key, &expected)?;
                same(&chain.get(&key).await, &expected.map(|record| record.map(|record| record.value)))?;
            }
            Call::Exists(key) => {
                let expected = valid(&key).map(|()| self.models[n].records.contains_key(&key));
                same(&chain.exists(&key).await, &expected)?;
            }
            Call::Set(key, length) => {
                let value = self.value(length);
                let expected = self.models[n].commit(&[], &[(key.clone(), Some(value.clone()))], limited);
                same(&chain.set(&key, value).await, &expected.map(drop))?;
            }
            Call::Delete(key) => {
                let expected = self.models[n].commit(&[], &[(key.clone(), None)], limited);
                same(&chain.delete(&key).await, &expected.map(|(_, existed)| existed[0]))?;
            }
            Call::Read(keys) => {
                let model = &self.models[n].records;
                let expected: Result<Vec<_>, _> =
                    keys.iter().map(|key| valid(key).map(|()| model.get(key).cloned())).collect();
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                same(&chain.read(&keys).await, &expected)?;
            }
            Call::List(prefix) => {
                let expected = self.models[n].page(&prefix, None, usize::MAX, usize::MAX).keys;
                same(&chain.list_keys(&prefix).await, &Ok(expected))?;
            }
            Call::Page { prefix, after, limit, max_bytes } => {
                let expected = self.models[n].page(&prefix, after.as_deref(), limit, max_bytes);
                same(&chain.scan_keys(&ListRequest { prefix, after, limit, max_bytes }).await, &Ok(expected))?;
            }
            Call::Commit(checks, changes) => {
                let changes: Vec<_> =
                    changes.into_iter().map(|(key, length)| (key, length.map(|length| self.value(length)))).collect();
                let expected = self.models[n].commit(&checks, &changes, limited);
                let committed = chain.commit(batch(&checks, &changes)).await;
                same(&committed.map(|committed| (committed.version, committed.existed)), &expected)?;
            }
            Call::Audit => self.audit(n).await?,
            Call::Wait(seconds) => self.world.advance(Duration::from_secs(seconds)),
        }
        self.observe(n).await
    }

    /// Looks at what a component has without warming its cache.
    async fn observe(&self, n: usize) -> Result<(), String> {
        let (chain, model) = (&self.chains[n], &self.models[n]);
        same(&chain.usage("").await, &Ok(model.usage(self.limited)))?;
        same(&chain.list_keys("").await, &Ok(model.records.keys().cloned().collect()))?;
        if let Some(bottom) = self.world.beneath(&self.ids[n]).first() {
            self.holds(n, bottom).await?;
        }
        Ok(())
    }

    /// Reads everything through every layer, which warms the cache.
    async fn audit(&self, n: usize) -> Result<(), String> {
        for layer in self.world.beneath(&self.ids[n]) {
            self.holds(n, &layer).await?;
        }
        let model = &self.models[n].records;
        let keys: Vec<String> = keys().into_iter().filter(|key| valid(key).is_ok()).collect();
        for key in &keys {
            same(&self.chains[n].read_one(key).await, &Ok(model.get(key).cloned()))?;
        }
        let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
        same(&self.chains[n].read(&asked).await, &Ok(keys.iter().map(|key| model.get(key).cloned()).collect()))
    }

    /// Whether a layer that speaks full names holds what the model does.
    async fn holds(&self, n: usize, layer: &Chain) -> Result<(), String> {
        let (prefix, model) = (self.ids[n].key_prefix(), &self.models[n]);
        let full: Vec<String> = model.records.keys().map(|key| format!("{prefix}{key}")).collect();
        same(&layer.list_keys(prefix).await, &Ok(full.clone()))?;
        let names: Vec<&str> = full.iter().map(String::as_str).collect();
        same(&layer.read(&names).await, &Ok(model.records.values().cloned().map(Some).collect()))?;
        same(&layer.usage(prefix).await, &Ok(model.usage(false)))
    }

    async fn audit_all(&self) -> Result<(), String> {
        for n in 0..IDS.len() {
            self.observe(n).await?;
            self.audit(n).await?;
        }
        Ok(())
    }
}

fn batch(checks: &[(bool, String)], changes: &[(String, Option<Vec<u8>>)]) -> Batch {
    let checked =
        checks.iter().fold(
            Batch::new(),
            |batch, (present, key)| {
                if *present { batch.require_present(key) } else { batch.require_absent(key) }
            },
        );
    changes.iter().fold(checked, |batch, (key, value)| match value {
        Some(value) => batch.set(key, value.clone()),
        None => batch.delete(key),
    })
}

/// What a storage shows at once, if it shows anything, is what it would have answered.
fn looks_like(
    chain: &Chain,
    key: &str,
    expected: &Result<Option<stash_core::Record>, StorageError>,
) -> Result<(), String> {
    let mut shown = None;
    let known = chain.look(key, &mut |record| shown = record.cloned());
    match expected {
        _ if !known => Ok(()),
        Ok(record) if shown == *record => Ok(()),
        _ => Err(format!("showed {shown:?}, expected {expected:?}")),
    }
}

fn same<T: PartialEq + std::fmt::Debug>(
    answer: &Result<T, StorageError>,
    expected: &Result<T, StorageError>,
) -> Result<(), String> {
    if answer == expected { Ok(()) } else { Err(format!("answered {answer:?}, expected {expected:?}")) }
}
