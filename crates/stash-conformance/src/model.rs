//! Random calls by a few components, each answer held against a plain map. The map must stay too simple to be wrong.

mod state;
mod steps;
mod transaction;

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::test_runner::{Config, TestCaseError, TestRunner};
use stash_core::{
    Attributes, Batch, Change, CollectionName, CollectionSettings, ComponentId, ComponentStorage, Condition, Expiry,
    KeyRange, MetadataChange, Outcome, Record, ScanRequest, SetOptions, StorageError, StorageExt, StoreLimits,
    Timestamp, Version,
};

use self::state::{Changes, Checks, Known, Model, PLACES, Told, valid};
use self::steps::{Call, Guess, Step, TEXTS, What, keys, step};
use self::transaction::Transaction as Expected;
use crate::chain::Chain;
use crate::fixture::EngineFixture;
use crate::report::at_once_each;
use crate::world::{ChainConfig, ChainsOver, World, WorldFixture};

/// The components: their ids, and with them their keys, are one another's prefixes.
const IDS: [&str; 3] = ["a/b/c", "a/b/cc", "a/b/."];

/// Small limits, so that they are met all the time.
const LIMITS: StoreLimits = StoreLimits { max_value_bytes: 24, quota_bytes: Some(120) };

/// Random sequences to try, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 64;

/// Checks every kind of chain in [`ChainConfig::all`] over the engines of a fixture. Not to be called from inside an
/// async runtime.
///
/// # Panics
/// With the shortest sequence of calls found that is answered wrongly.
pub fn check<F: EngineFixture>(engines: F) {
    check_on(engines, ChainConfig::all(), 1, CASES);
}

/// The same on some kinds of chain, so many of them at once, each with so many random sequences (unless `PROPTEST_CASES` says
/// otherwise): for engines on a server, which wait for it more than they work.
///
/// # Panics
/// As [`check`].
pub fn check_on<F: EngineFixture>(engines: F, chains: Vec<ChainConfig>, at_once: usize, sequences: u32) {
    let engines = Arc::new(engines);
    at_once_each(chains, at_once, |config| {
        let name = config.name;
        let outcome = try_check(&ChainsOver { engines: Arc::clone(&engines), config }, sequences);
        assert_eq!(outcome, Ok(()), "the model, {name}");
    });
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
    try_check(worlds, CASES)
}

fn try_check<F: WorldFixture>(worlds: &F, sequences: u32) -> Result<(), String> {
    let runtime = crate::report::runtime();
    let mut runner = TestRunner::new(proptest_config(sequences));
    let outcome = runner.run(&vec(step(), 1..80), |steps| {
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
pub(crate) fn proptest_config(cases: u32) -> Config {
    let from_environment = Config::default();
    let cases = if std::env::var_os("PROPTEST_CASES").is_some() { from_environment.cases } else { cases };
    Config { cases, failure_persistence: None, ..from_environment }
}

fn collection(place: usize) -> Option<CollectionName> {
    CollectionName::parse(PLACES[place]).unwrap()
}

fn known(record: Result<Option<Record>, StorageError>) -> Result<Option<Known>, StorageError> {
    record.map(|record| record.map(Known::from))
}

fn all_known(records: Result<Vec<Option<Record>>, StorageError>) -> Result<Vec<Option<Known>>, StorageError> {
    records.map(|records| records.into_iter().map(|record| record.map(Known::from)).collect())
}

fn told(outcomes: &[Outcome]) -> Vec<Told> {
    let one = |outcome: &Outcome| (outcome.existed, outcome.number, outcome.cleared.map(|cleared| cleared.removed));
    outcomes.iter().map(one).collect()
}

struct Run<W> {
    world: W,
    limits: Option<StoreLimits>,
    ids: Vec<ComponentId>,
    chains: Vec<Chain>,
    models: Vec<Model>,
    transactions: Vec<Option<(stash_core::Transaction<Chain>, Expected)>>,
    values: usize,
}

impl<W: World> Run<W> {
    fn new(world: W) -> Self {
        let ids: Vec<ComponentId> = IDS.iter().map(|id| id.parse().unwrap()).collect();
        let chains = ids.iter().map(|id| Chain(world.chain(id, LIMITS))).collect();
        let models = IDS.iter().map(|_| Model::default()).collect();
        let transactions = IDS.iter().map(|_| None).collect();
        Self { limits: world.has_limits().then_some(LIMITS), world, ids, chains, models, transactions, values: 0 }
    }

    /// A value of this length that no other step wrote; every third is a number.
    fn value(&mut self, length: usize) -> Vec<u8> {
        self.values += 1;
        let value = format!("{:0>length$}", self.values).into_bytes()[..length].to_vec();
        if !self.values.is_multiple_of(3) && length > 0 { [&value[1..], b"x"].concat() } else { value }
    }

    fn change(&mut self, what: What) -> Change {
        let after = |seconds: Option<u64>| match seconds {
            Some(seconds) => Expiry::After(Duration::from_secs(seconds)),
            None => Expiry::Never,
        };
        let texts = |texts: usize| {
            let (content_type, attributes) = TEXTS[texts];
            let owned = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
            (content_type.map(str::to_owned), attributes.iter().map(owned).collect::<Attributes>())
        };
        let set = |value: Vec<u8>, expiry, which: usize| {
            let (content_type, attributes) = texts(which);
            let options = SetOptions { expiry, content_type, attributes };
            Change::Set { value: value.into(), options: Some(Box::new(options)) }
        };
        match what {
            What::Set(length) => Change::Set { value: self.value(length).into(), options: None },
            What::SetWith(length, seconds, which) => set(self.value(length), after(seconds), which),
            What::Keep(length) => set(self.value(length), Expiry::Keep, 0),
            What::Delete => Change::Delete,
            What::Add(delta) => Change::Add(delta),
            What::Max(bound) => Change::Max(bound),
            What::Append(length) => Change::Append(self.value(length).into()),
            What::Expire(seconds) => Change::Expire(after(seconds)),
            What::Describe(which, merge) => {
                let (content_type, attributes) = texts(which);
                let change = if merge {
                    // An empty value takes the attribute away.
                    let kept = |(name, value): (String, String)| (name, Some(value).filter(|value| !value.is_empty()));
                    let attributes = attributes.into_iter().map(kept).collect();
                    MetadataChange::Merge { content_type, attributes }
                } else {
                    MetadataChange::Replace { content_type, attributes }
                };
                Change::Metadata(Box::new(change))
            }
            What::Clear => Change::Clear { limit: 10_000, whole: false, records: true, history: false },
        }
    }

    async fn take(&mut self, step: &Step) -> Result<(), String> {
        let (n, place) = (step.component, step.place);
        let chain = self.chains[n].in_collection(collection(place).as_ref()).unwrap();
        let now = chain.now();
        self.models.iter_mut().for_each(|model| model.expire(now));
        let records = &self.models[n].places[place];
        match step.call.clone() {
            Call::Get(key) => {
                let expected = valid(&key).map(|()| records.get(&key).cloned());
                looks_like(&chain, &key, &expected)?;
                same(&known(chain.read_one(&key).await), &expected)?;
                looks_like(&chain, &key, &expected)?;
                same(&chain.get(&key).await, &expected.map(|record| record.map(|record| record.value.into())))?;
            }
            Call::Exists(key) => {
                let expected = valid(&key).map(|()| records.contains_key(&key));
                same(&chain.exists(&key).await, &expected)?;
            }
            Call::GetAt(key, back) if place == 0 || self.models[n].made[place] => {
                let version = Version(self.models[n].version.0.saturating_sub(back));
                let expected = self.models[n].at(place, &key, version);
                same(&known(chain.read_at(&key, version).await), &expected)?;
            }
            Call::Read(keys) => {
                let expected: Result<Vec<_>, _> =
                    keys.iter().map(|key| valid(key).map(|()| records.get(key).cloned())).collect();
                let keys: Vec<&str> = keys.iter().map(String::as_str).collect();
                same(&all_known(chain.read(&keys).await), &expected)?;
            }
            Call::List(prefix) => {
                let expected = records.keys().filter(|key| key.starts_with(&prefix)).cloned().collect();
                same(&chain.list_keys(&prefix).await, &Ok(expected))?;
            }
            Call::Page { prefix, after, limit, reverse } => {
                let beyond = |key: &str| match &after {
                    Some(after) if reverse => key < after.as_str(),
                    Some(after) => key > after.as_str(),
                    None => true,
                };
                let mut all: Vec<_> =
                    records.iter().filter(|(key, _)| key.starts_with(&prefix) && beyond(key)).collect();
                if reverse {
                    all.reverse();
                }
                let more = all.len() > limit;
                let expected: Vec<_> =
                    all.into_iter().take(limit).map(|(key, record)| (key.clone(), record.clone())).collect();
                let request = ScanRequest { after, limit, reverse, ..ScanRequest::prefix(prefix).with_values() };
                let page = chain.scan(&request).await;
                // With nothing behind it but what has expired, a page may say that the list goes on.
                let goes_on = page.as_ref().is_ok_and(|page| page.resume.is_some());
                let entry = |entry: stash_core::ScanEntry| (entry.key.to_string(), Known::from(entry.record));
                same(&page.map(|page| page.entries.into_iter().map(entry).collect::<Vec<_>>()), &Ok(expected))?;
                if more && !goes_on {
                    return Err("a page says that it is the last".to_owned());
                }
            }
            Call::Count(prefix) => {
                let expected = records.keys().filter(|key| key.starts_with(&prefix)).count() as u64;
                same(&chain.count(&KeyRange::prefix(prefix)).await, &Ok(expected))?;
            }
            Call::Commit(checks, changes) => self.commit(n, place, &chain, checks, changes, now).await?,
            Call::Make if place > 0 => {
                let expected = self.models[n].make(place);
                let name = collection(place).unwrap();
                same(&chain.create_collection(&name, &CollectionSettings::default()).await, &expected)?;
            }
            Call::Unmake(recursive) if place > 0 => {
                let expected = self.models[n].unmake(place, recursive);
                same(&chain.delete_collection(&collection(place).unwrap(), recursive).await, &expected)?;
            }
            Call::Begin(isolation) => {
                let transaction = self.chains[n].begin(isolation).await.map_err(|error| error.to_string())?;
                same(&Ok(transaction.version()), &Ok(self.models[n].version))?;
                self.transactions[n] = Some((transaction, Expected::begin(isolation, &self.models[n])));
            }
            Call::TxDrop => drop(self.transactions[n].take()),
            Call::TxCommit => self.commit_transaction(n, now).await?,
            Call::TxRead(_) | Call::TxList { .. } | Call::TxChange(..) => {
                self.in_transaction(n, place, step.call.clone(), now).await?;
            }
            Call::Audit => self.audit(n).await?,
            Call::Sweep => drop(self.world.sweep(10).await),
            Call::Wait(seconds) => self.world.advance(Duration::from_secs(seconds)),
            Call::Make | Call::Unmake(_) | Call::GetAt(..) => {}
        }
        self.observe(n).await
    }

    async fn commit(
        &mut self,
        n: usize,
        place: usize,
        chain: &Chain,
        checks: Vec<(Guess, String)>,
        changes: Vec<(u8, String, What)>,
        now: Timestamp,
    ) -> Result<(), String> {
        let current = |key: &String| self.models[n].places[place].get(key).map(|record| record.version);
        let checks: Checks = checks
            .into_iter()
            .map(|(guess, key)| {
                let condition = match guess {
                    Guess::Absent => Condition::Absent,
                    Guess::Present => Condition::Present,
                    Guess::Version(right) => Condition::Version(current(&key).filter(|_| right).unwrap_or(Version(1))),
                };
                (place, key, condition)
            })
            .collect();
        let elsewhere = |luck: u8| if luck == 3 { (place + 1) % PLACES.len() } else { place };
        let changes: Changes =
            changes.into_iter().map(|(luck, key, what)| (elsewhere(luck), key, self.change(what))).collect();
        let expected = self.models[n].commit(&checks, &changes, self.limits, now);
        let mut batch = Batch::new();
        for (_, key, condition) in checks {
            batch = batch.require(key, condition);
        }
        for (at, key, change) in changes {
            // Mostly where the batch is committed to, without its name.
            if at != place || self.values.is_multiple_of(2) {
                batch = batch.in_collection(collection(at).as_ref());
            }
            batch = batch.change(key, change);
            if at != place {
                batch = batch.in_collection(collection(place).as_ref());
            }
        }
        let committed = chain.commit(batch).await;
        same(&committed.map(|committed| (committed.version, told(&committed.outcomes))), &expected)
    }

    async fn in_transaction(&mut self, n: usize, place: usize, call: Call, now: Timestamp) -> Result<(), String> {
        let change = match &call {
            Call::TxChange(_, what) => Some(self.change(what.clone())),
            _ => None,
        };
        let model = &self.models[n];
        let max_value = self.limits.map_or(usize::MAX, |limits| limits.max_value_bytes);
        let Some((transaction, expected)) = &mut self.transactions[n] else { return Ok(()) };
        let name = collection(place);
        let mut here = transaction.in_collection(name.as_ref());
        match call {
            Call::TxRead(key) => {
                // The version of its own writes is not known before it is committed.
                let unversioned =
                    |record: Known| (record.value, record.expires, record.content_type, record.attributes);
                let expected = expected.read(model, place, &key, now).map(|record| record.map(unversioned));
                same(&known(here.read_one(&key).await).map(|record| record.map(unversioned)), &expected)
            }
            Call::TxList { prefix, limit, reverse } => {
                let request = ScanRequest { limit, reverse, ..ScanRequest::prefix(prefix) };
                let page = here.scan(&request).await;
                let goes_on = page.as_ref().is_ok_and(|page| page.resume.is_some());
                let (keys, more) = expected.list(model, place, &request, now);
                // It may have ended at what has expired: how far it has looked cannot be seen.
                expected.uncertain |= goes_on && !more;
                if more && !goes_on {
                    return Err("a page says that it is the last".to_owned());
                }
                same(&page.map(stash_core::ScanPage::keys), &Ok(keys))
            }
            Call::TxChange(key, _) => {
                let change = change.expect("made above");
                let expected = expected.change(model, place, &key, change.clone(), max_value, now);
                same(&here.change(&key, change).await, &expected)
            }
            _ => Ok(()),
        }
    }

    async fn commit_transaction(&mut self, n: usize, now: Timestamp) -> Result<(), String> {
        let Some((transaction, expected)) = self.transactions[n].take() else { return Ok(()) };
        let version = transaction.version();
        let outcome = transaction.commit().await;
        if expected.writes.is_empty() {
            let conflict = matches!(outcome, Err(StorageError::TransactionConflict { key: None, current: None }));
            // How far an uncertain list has looked, and what it has met there, cannot be seen.
            if conflict && (expected.uncertain || expected.is_stale(now)) {
                return Ok(());
            }
            if expected.is_stale(now) && !expected.uncertain {
                return Err(format!("a transaction that has seen what never was: {outcome:?}"));
            }
            return same(&outcome.map(|committed| committed.version), &Ok(version));
        }
        let conflicts = if expected.uncertain {
            matches!(outcome, Err(StorageError::TransactionConflict { .. }))
        } else {
            expected.conflicts(&self.models[n], now)
        };
        if conflicts {
            return match outcome {
                Err(StorageError::TransactionConflict { .. }) => Ok(()),
                outcome => Err(format!("a transaction that conflicts: {outcome:?}")),
            };
        }
        let expected = self.models[n].commit(&Vec::new(), &expected.writes, self.limits, now);
        same(&outcome.map(|committed| (committed.version, told(&committed.outcomes))), &expected)
    }

    /// Looks at what a component has without warming its cache.
    async fn observe(&mut self, n: usize) -> Result<(), String> {
        let now = self.chains[n].now();
        self.models[n].expire(now);
        let (chain, model) = (&self.chains[n], &self.models[n]);
        let quota = self.limits.and_then(|limits| limits.quota_bytes);
        same(&chain.usage("").await, &Ok(model.usage(quota)))?;
        for (place, records) in model.places.iter().enumerate() {
            let chain = chain.in_collection(collection(place).as_ref()).unwrap();
            same(&chain.list_keys("").await, &Ok(records.keys().cloned().collect()))?;
            let page = chain.scan(&ScanRequest { limit: 1000, ..ScanRequest::default() }).await;
            same(&page.map(stash_core::ScanPage::keys), &Ok(records.keys().cloned().collect()))?;
        }
        let made = chain.collections(None).await.map(|found| {
            found.into_iter().map(|info| info.name.map_or(String::new(), |name| name.to_string())).collect::<Vec<_>>()
        });
        let expected = (1..PLACES.len()).filter(|place| model.made[*place]).map(|place| PLACES[place].to_owned());
        same(&made, &Ok(expected.collect()))?;
        if let Some(bottom) = self.world.beneath(&self.ids[n]).into_iter().next() {
            self.holds(n, &Chain(bottom)).await?;
        }
        Ok(())
    }

    /// Reads everything through every layer, which warms the cache.
    async fn audit(&self, n: usize) -> Result<(), String> {
        for layer in self.world.beneath(&self.ids[n]).into_iter().map(Chain) {
            self.holds(n, &layer).await?;
        }
        let keys: Vec<String> = keys().into_iter().filter(|key| valid(key).is_ok()).collect();
        let asked: Vec<&str> = keys.iter().map(String::as_str).collect();
        for (place, records) in self.models[n].places.iter().enumerate() {
            let chain = self.chains[n].in_collection(collection(place).as_ref()).unwrap();
            for key in &keys {
                same(&known(chain.read_one(key).await), &Ok(records.get(key).cloned()))?;
            }
            let expected = keys.iter().map(|key| records.get(key).cloned()).collect();
            same(&all_known(chain.read(&asked).await), &Ok(expected))?;
        }
        Ok(())
    }

    /// Whether a layer that speaks full names holds what the model does.
    async fn holds(&self, n: usize, layer: &Chain) -> Result<(), String> {
        let (prefix, model) = (self.ids[n].key_prefix(), &self.models[n]);
        let full: Vec<String> = model.places[0].keys().map(|key| format!("{prefix}{key}")).collect();
        same(&crate::storage::keys_of(layer, prefix).await, &Ok(full.clone()))?;
        let names: Vec<&str> = full.iter().map(String::as_str).collect();
        same(&all_known(layer.read(&names).await), &Ok(model.places[0].values().cloned().map(Some).collect()))?;
        same(&layer.usage(prefix).await, &Ok(model.usage(None)))
    }

    async fn audit_all(&mut self) -> Result<(), String> {
        for n in 0..IDS.len() {
            self.observe(n).await?;
            self.audit(n).await?;
        }
        Ok(())
    }
}

/// What a storage shows at once, if it shows anything, is what it would have answered.
fn looks_like(chain: &Chain, key: &str, expected: &Result<Option<Known>, StorageError>) -> Result<(), String> {
    let mut shown = None;
    let shows = chain.look(key, &mut |record| shown = record.cloned().map(Known::from));
    match expected {
        _ if !shows => Ok(()),
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
