//! Random interleavings of calls around a cache, driven by hand: every call of several is polled, left waiting or dropped
//! as a random plan says, and each answer must be one that the engine could have given between the call's beginning and
//! its end. No threads: a plan that fails fails again.

use std::sync::Arc;
use std::time::Duration;

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;
use proptest::test_runner::{TestCaseError, TestRunner};
use stash_core::{
    Batch, CacheConfig, CachedStorage, ComponentId, ComponentStorage, DynStorage, EngineBackend, Expiry, Guarded,
    ManualClock, NamespacedStorage, Record, SetOptions, StorageError, StoreLimits,
};

use crate::chain::Chain;
use crate::delayed::{ByHand, DelayedEngine};
use crate::model::proptest_config;
use crate::world::ChainConfig;

const KEYS: [&str; 3] = ["a", "b", "c"];

/// Random plans to try, unless `PROPTEST_CASES` says otherwise.
const CASES: u32 = 600;

/// A store whose engine waits, with the clock of its TTL: what [`try_check`] puts layers over.
pub type Below = (EngineBackend<DelayedEngine>, ManualClock);

/// Checks the layers of `stash-core` with every kind of cache in [`ChainConfig::all`].
///
/// # Panics
/// With the shortest plan found that gets a wrong answer.
pub fn check() {
    for config in ChainConfig::all() {
        let name = config.name;
        let cache = config.cache.unwrap_or_else(CacheConfig::disabled);
        let make = |id: &ComponentId, (backend, clock): Below| -> Arc<dyn DynStorage> {
            let cached = CachedStorage::with(backend, cache.clone(), Arc::new(clock), None);
            Arc::new(Guarded::new(NamespacedStorage::new(id, cached), StoreLimits::default()))
        };
        assert_eq!(try_check(make), Ok(()), "interleavings, {name}");
    }
}

/// Checks the layers that `make` puts over a store, for one component.
///
/// # Errors
/// The shortest plan found that gets a wrong answer.
pub fn try_check(make: impl Fn(&ComponentId, Below) -> Arc<dyn DynStorage>) -> Result<(), String> {
    let mut runner = TestRunner::new(proptest_config(CASES));
    let outcome = runner.run(&vec(step(), 1..200), |plan| {
        let mut run = Run::new(&make);
        for step in plan {
            run.take(step).map_err(TestCaseError::fail)?;
        }
        run.finish().map_err(TestCaseError::fail)
    });
    outcome.map_err(|error| error.to_string())
}

#[derive(Debug, Clone)]
enum Step {
    Begin(Call),
    /// Polls a call so many times, so that one may run far ahead of the others.
    Poll(Index, usize),
    Drop(Index),
    Wait,
}

#[derive(Debug, Clone)]
enum Call {
    Read(usize),
    ReadAll(Vec<usize>),
    /// Sets, or with `None` deletions; with a check that all the keys are absent.
    Commit(Vec<(usize, Option<u8>)>, bool),
    /// Removes all records, and sets one again.
    Clear(Option<u8>),
}

fn step() -> impl Strategy<Value = Step> {
    // Mostly one key, or calls would seldom meet.
    let key = || prop_oneof![4 => Just(0), 1 => 1..KEYS.len()];
    let call = prop_oneof![
        4 => key().prop_map(Call::Read),
        1 => vec(key(), 1..4).prop_map(Call::ReadAll),
        3 => (key(), proptest::option::weighted(0.7, any::<u8>())).prop_map(|change| Call::Commit(vec![change], false)),
        1 => (vec((key(), proptest::option::of(any::<u8>())), 1..4), any::<bool>())
            .prop_map(|(changes, absent)| Call::Commit(changes, absent)),
        1 => proptest::option::of(any::<u8>()).prop_map(Call::Clear),
    ];
    prop_oneof![
        4 => call.prop_map(Step::Begin),
        8 => (any::<Index>(), 1..5_usize).prop_map(|(index, times)| Step::Poll(index, times)),
        1 => any::<Index>().prop_map(Step::Drop),
        1 => Just(Step::Wait),
    ]
}

type State = Vec<Option<Record>>;

enum Answer {
    Records(Vec<usize>, Result<Vec<Option<Record>>, StorageError>),
    Committed(Result<(), StorageError>),
}

struct Running {
    call: ByHand<Answer>,
    /// How many states there had been when it began.
    begun: usize,
}

struct Run {
    engine: DelayedEngine,
    chain: Chain,
    below: Chain,
    clock: ManualClock,
    running: Vec<Running>,
    /// Every state that the engine has had, the present one last.
    states: Vec<State>,
}

impl Run {
    fn new(make: &impl Fn(&ComponentId, Below) -> Arc<dyn DynStorage>) -> Self {
        let id: ComponentId = "app/service-a/001".parse().unwrap();
        let (engine, clock) = (DelayedEngine::default(), ManualClock::default());
        let backend =
            ByHand::new(EngineBackend::open_with(engine.clone(), Arc::new(clock.clone()))).must_end().unwrap();
        let undelayed =
            ByHand::new(EngineBackend::open_with(engine.undelayed(), Arc::new(clock.clone()))).must_end().unwrap();
        let chain = Chain(make(&id, (backend, clock.clone())));
        engine.gates().all().into_iter().for_each(crate::delayed::Gate::step);
        let below = Chain(Arc::new(NamespacedStorage::new(&id, undelayed)));
        Self { engine, chain, below, clock, running: Vec::new(), states: vec![vec![None; KEYS.len()]] }
    }

    fn take(&mut self, step: Step) -> Result<(), String> {
        match step {
            Step::Begin(call) => {
                let call = begin(self.chain.clone(), call);
                self.running.push(Running { call, begun: self.states.len() });
            }
            Step::Poll(index, times) if !self.running.is_empty() => {
                let index = index.index(self.running.len());
                for _ in 0..times {
                    if self.poll(index)? {
                        break;
                    }
                }
            }
            Step::Drop(index) if !self.running.is_empty() => {
                drop(self.running.swap_remove(index.index(self.running.len())));
                self.look();
            }
            Step::Wait => {
                self.clock.advance(Duration::from_secs(1));
                // What has expired makes another state.
                self.look();
            }
            Step::Poll(..) | Step::Drop(_) => {}
        }
        Ok(())
    }

    /// Polls a call once, and says whether that was its end.
    fn poll(&mut self, index: usize) -> Result<bool, String> {
        let answer = self.running[index].call.poll();
        self.look();
        let Some(answer) = answer else { return Ok(false) };
        let begun = self.running.swap_remove(index).begun;
        match answer {
            Answer::Records(keys, records) => {
                let records = records.map_err(|error| error.to_string())?;
                // The present state when the call began, and all since.
                let since = &self.states[begun - 1..];
                let fits = |state: &State| keys.iter().map(|key| &state[*key]).eq(&records);
                if !since.iter().any(fits) {
                    return Err(format!("a read of {keys:?} gave {records:?}; the states since it began: {since:?}"));
                }
            }
            Answer::Committed(Ok(()) | Err(StorageError::AlreadyExists { .. })) => {}
            Answer::Committed(Err(error)) => return Err(error.to_string()),
        }
        Ok(true)
    }

    /// Notes the engine's state, if it is a new one.
    fn look(&mut self) {
        let below = self.below.clone();
        let state = ByHand::new(async move { below.read(&KEYS).await.unwrap() }).must_end();
        if self.states.last() != Some(&state) {
            self.states.push(state);
        }
    }

    /// Lets everything end, half of it by being dropped, and compares what is left.
    fn finish(mut self) -> Result<(), String> {
        let mut rounds = 0;
        while !self.running.is_empty() {
            rounds += 1;
            if rounds % 5 == 0 {
                drop(self.running.swap_remove(0));
                self.look();
            } else {
                for index in (0..self.running.len()).rev() {
                    self.poll(index)?;
                }
            }
        }
        self.engine.gates().all().into_iter().for_each(crate::delayed::Gate::open);
        for _ in 0..2 {
            for (key, expected) in KEYS.iter().zip(self.states.last().unwrap()) {
                let chain = self.chain.clone();
                let found = ByHand::new(async move { chain.read_one(key).await }).must_end();
                if found.as_ref() != Ok(expected) {
                    return Err(format!("afterwards {key} is {found:?}; the engine has {expected:?}"));
                }
            }
        }
        Ok(())
    }
}

fn begin(chain: Chain, call: Call) -> ByHand<Answer> {
    match call {
        Call::Read(key) => ByHand::new(async move {
            let record = chain.read_one(KEYS[key]).await;
            Answer::Records(vec![key], record.map(|record| vec![record]))
        }),
        Call::ReadAll(keys) => ByHand::new(async move {
            let names: Vec<&str> = keys.iter().map(|key| KEYS[*key]).collect();
            let records = chain.read(&names).await;
            Answer::Records(keys, records)
        }),
        Call::Commit(changes, absent) => ByHand::new(async move {
            let batch = changes.into_iter().fold(Batch::new(), |batch, (key, value)| {
                let batch = if absent { batch.require_absent(KEYS[key]) } else { batch };
                match value {
                    Some(value) => set(batch, KEYS[key], value),
                    None => batch.delete(KEYS[key]),
                }
            });
            Answer::Committed(chain.commit(batch).await.map(drop))
        }),
        Call::Clear(value) => ByHand::new(async move {
            let batch = Batch::new().clear("");
            let batch = value.into_iter().fold(batch, |batch, value| set(batch, KEYS[0], value));
            Answer::Committed(chain.commit(batch).await.map(drop))
        }),
    }
}

/// Values of quite different lengths, some too large for a small cache; every fourth expires soon.
fn set(batch: Batch, key: &str, value: u8) -> Batch {
    let bytes = vec![value; usize::from(value) * 2];
    if !value.is_multiple_of(4) {
        return batch.set(key, bytes);
    }
    let expiry = Expiry::After(Duration::from_secs(1 + u64::from(value) % 3));
    batch.set_with(key, bytes, SetOptions { expiry, ..SetOptions::default() })
}
