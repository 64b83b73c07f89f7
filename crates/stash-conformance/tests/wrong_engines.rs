//! The suite's own tests: engines that are wrong in one way each must fail, in the case that is about it.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};
use std::time::Duration;

use bytes::Bytes;
use stash_conformance::{ChainConfig, ChainsOver, EngineFixture, Fresh, Outcome, engine, storage};
use stash_core::engine::{Decision, Engine, EngineInfo, Page, Scan, Snapshot, View, Writes};
use stash_core::{MemoryEngine, StorageError};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fault {
    None,
    LosesAWrite,
    KeepsRefusedWrites,
    LeavesRefusedWritesToTheNext,
    FirstWriteCounts,
    ExclusiveStartIsInclusive,
    ExclusiveEndIsInclusive,
    NeverReverses,
    OneTooMany,
    NoMore,
    EmptyIsAbsent,
    TellsBeforeVisible,
    TellsAfterTheAnswer,
    TellsOutOfTurn,
    NeverTells,
    DecidesOnOldStates,
    ScansOldStatesInDecisions,
    AppliesBitByBit,
    ReadsTheStateBefore,
    SnapshotsMove,
    DurableInName,
}

type Map = BTreeMap<Bytes, Bytes>;

#[derive(Debug)]
struct WrongEngine {
    fault: Fault,
    map: Arc<RwLock<Arc<Map>>>,
    before: Mutex<Arc<Map>>,
    writer: Mutex<()>,
    left: Mutex<Vec<(Bytes, Option<Bytes>)>>,
    commits: AtomicU64,
}

impl WrongEngine {
    fn new(fault: Fault) -> Self {
        Self {
            fault,
            map: Arc::default(),
            before: Mutex::default(),
            writer: Mutex::default(),
            left: Mutex::default(),
            commits: AtomicU64::new(0),
        }
    }

    fn state(&self) -> Arc<Map> {
        if self.fault == Fault::ReadsTheStateBefore {
            return Arc::clone(&self.before.lock().unwrap());
        }
        Arc::clone(&self.map.read().unwrap())
    }

    fn apply(&self, writes: &mut Vec<(Bytes, Option<Bytes>)>) {
        let mut map = self.map.write().unwrap();
        if matches!(self.fault, Fault::ReadsTheStateBefore | Fault::ScansOldStatesInDecisions) {
            *self.before.lock().unwrap() = Arc::clone(&map);
        }
        let commit = self.commits.fetch_add(1, Ordering::SeqCst);
        if self.fault == Fault::LosesAWrite && commit % 10 == 9 {
            writes.pop();
        }
        if self.fault == Fault::FirstWriteCounts {
            writes.reverse();
        }
        let map = Arc::make_mut(&mut map);
        for (key, value) in writes.drain(..) {
            match value {
                Some(value) => map.insert(key, value),
                None => map.remove(&key),
            };
        }
    }

    /// The part of an update that is one step.
    fn decide<D: Decision>(&self, decision: &mut D) -> Result<D::Output, StorageError> {
        let _turn = self.writer.lock().unwrap();
        let mut writes = Writes::default();
        let decided = {
            let state = Arc::clone(&self.map.read().unwrap());
            let before = Arc::clone(&self.before.lock().unwrap());
            let scanned = if self.fault == Fault::ScansOldStatesInDecisions { before } else { Arc::clone(&state) };
            decision.decide(&WrongView { state, scanned }, &mut writes)
        };
        let mut writes: Vec<_> = writes.drain().collect();
        writes.extend(self.left.lock().unwrap().drain(..));
        match decided {
            Err(error) => {
                match self.fault {
                    Fault::KeepsRefusedWrites => self.apply(&mut writes),
                    Fault::LeavesRefusedWritesToTheNext => *self.left.lock().unwrap() = writes,
                    _ => {}
                }
                Err(error)
            }
            Ok(output) => {
                if self.fault == Fault::TellsBeforeVisible {
                    decision.committed(&output);
                }
                self.apply(&mut writes);
                if !matches!(
                    self.fault,
                    Fault::TellsBeforeVisible | Fault::TellsAfterTheAnswer | Fault::TellsOutOfTurn | Fault::NeverTells
                ) {
                    decision.committed(&output);
                }
                Ok(output)
            }
        }
    }

    fn scan_map(&self, map: &Map, scan: &Scan) -> Page {
        let mut scan = scan.clone();
        match (&scan.start, &scan.end) {
            (Bound::Excluded(key), _) if self.fault == Fault::ExclusiveStartIsInclusive => {
                scan.start = Bound::Included(key.clone());
            }
            (_, Bound::Excluded(key)) if self.fault == Fault::ExclusiveEndIsInclusive => {
                scan.end = Bound::Included(key.clone());
            }
            _ => {}
        }
        scan.reverse &= self.fault != Fault::NeverReverses;
        if self.fault == Fault::OneTooMany {
            scan.limit = scan.limit.saturating_add(1);
        }
        let mut page = scan_right(map, &scan);
        page.more &= self.fault != Fault::NoMore;
        page
    }
}

fn scan_right(map: &Map, scan: &Scan) -> Page {
    if scan.is_empty() {
        return Page::default();
    }
    let range = map.range::<Bytes, _>((scan.start.as_ref(), scan.end.as_ref())).map(Ok::<_, StorageError>);
    if scan.reverse { scan.collect(range.rev()) } else { scan.collect(range) }.unwrap()
}

struct WrongView {
    state: Arc<Map>,
    scanned: Arc<Map>,
}

impl View for WrongView {
    fn look(&self, key: &[u8], see: &mut dyn FnMut(Option<&[u8]>)) -> Result<(), StorageError> {
        see(self.state.get(key).map(|value| &value[..]));
        Ok(())
    }

    fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        Ok(scan_right(&self.scanned, scan))
    }
}

#[derive(Debug)]
struct WrongSnapshot(Arc<RwLock<Arc<Map>>>);

impl Snapshot for WrongSnapshot {
    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        Ok(keys.iter().map(|key| self.0.read().unwrap().get(*key).cloned()).collect())
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        Ok(scan_right(&self.0.read().unwrap(), scan))
    }
}

impl Engine for WrongEngine {
    type Snapshot = WrongSnapshot;

    fn info(&self) -> EngineInfo {
        EngineInfo { name: "wrong", durable: self.fault == Fault::DurableInName }
    }

    async fn read(&self, keys: &[&[u8]]) -> Result<Vec<Option<Bytes>>, StorageError> {
        let state = self.state();
        let keep = |value: &Bytes| self.fault != Fault::EmptyIsAbsent || !value.is_empty();
        Ok(keys.iter().map(|key| state.get(*key).cloned().filter(keep)).collect())
    }

    async fn scan(&self, scan: &Scan) -> Result<Page, StorageError> {
        Ok(self.scan_map(&self.state(), scan))
    }

    async fn update<D: Decision>(&self, mut decision: D) -> Result<D::Output, StorageError> {
        match self.fault {
            Fault::DecidesOnOldStates | Fault::AppliesBitByBit => {
                let mut writes = Writes::default();
                let turn = (self.fault == Fault::AppliesBitByBit).then(|| self.writer.lock().unwrap());
                let state = self.state();
                let view = WrongView { scanned: Arc::clone(&state), state };
                let output = decision.decide(&view, &mut writes)?;
                drop(view);
                drop(turn);
                tokio::task::yield_now().await;
                for write in writes.drain().collect::<Vec<_>>() {
                    self.apply(&mut vec![write]);
                    tokio::task::yield_now().await;
                }
                decision.committed(&output);
                Ok(output)
            }
            Fault::TellsAfterTheAnswer => {
                // The decision is told on a thread of its own, some time. Its output it has forgotten, so it decides
                // once more on nothing to have one.
                let output = self.decide(&mut decision)?;
                std::thread::spawn(move || {
                    std::thread::sleep(Duration::from_millis(20));
                    let (state, scanned) = Default::default();
                    if let Ok(output) = decision.decide(&WrongView { state, scanned }, &mut Writes::default()) {
                        decision.committed(&output);
                    }
                });
                Ok(output)
            }
            Fault::TellsOutOfTurn => {
                let output = self.decide(&mut decision)?;
                // Every other one is slow to tell, and is not missed when its caller goes away.
                for _ in 0..(self.commits.load(Ordering::SeqCst) % 2) * 5 {
                    tokio::task::yield_now().await;
                }
                decision.committed(&output);
                Ok(output)
            }
            _ => self.decide(&mut decision),
        }
    }

    async fn snapshot(&self) -> Result<WrongSnapshot, StorageError> {
        if self.fault == Fault::SnapshotsMove {
            return Ok(WrongSnapshot(Arc::clone(&self.map)));
        }
        Ok(WrongSnapshot(Arc::new(RwLock::new(self.state()))))
    }
}

struct Wrong(Fault);

impl EngineFixture for Wrong {
    type Engine = WrongEngine;

    async fn fresh(&self) -> WrongEngine {
        WrongEngine::new(self.0)
    }

    async fn reopen(&self, engine: WrongEngine) -> Option<WrongEngine> {
        drop(engine);
        Some(self.fresh().await)
    }
}

#[test]
fn a_right_engine_passes() {
    let report = engine::try_run(Fresh(async || MemoryEngine::default()));
    assert!(report.failed().is_empty(), "{report}");
    let report = engine::try_run(Wrong(Fault::None));
    assert!(report.failed().is_empty(), "{report}");
    let skipped = report.outcomes().iter().filter(|(_, outcome)| matches!(outcome, Outcome::Skipped(_))).count();
    assert_eq!(skipped, 2, "what an engine that is not durable need not do is said: {report}");
    assert!(report.to_string().contains("skipped  what_was_answered_survives_a_restart: the engine 'wrong'"));
}

#[test]
fn every_wrong_engine_fails_in_the_case_about_it() {
    let expected = [
        (Fault::LosesAWrite, "no_increment_is_lost"),
        (Fault::LosesAWrite, "an_answered_update_is_seen_by_every_later_read"),
        (Fault::KeepsRefusedWrites, "a_refused_update_leaves_nothing"),
        (Fault::KeepsRefusedWrites, "refused_updates_disturb_nobody"),
        (Fault::LeavesRefusedWritesToTheNext, "refused_updates_disturb_nobody"),
        (Fault::FirstWriteCounts, "the_last_write_of_a_key_counts"),
        (Fault::ExclusiveStartIsInclusive, "scans_match_a_sorted_map"),
        (Fault::ExclusiveEndIsInclusive, "scans_match_a_sorted_map"),
        (Fault::ExclusiveEndIsInclusive, "a_prefix_holds_exactly_its_keys"),
        (Fault::NeverReverses, "scans_match_a_sorted_map"),
        (Fault::OneTooMany, "scans_match_a_sorted_map"),
        (Fault::NoMore, "scans_match_a_sorted_map"),
        (Fault::EmptyIsAbsent, "reads_give_values_in_the_order_asked"),
        (Fault::TellsBeforeVisible, "hooks_come_after_visibility"),
        (Fault::TellsAfterTheAnswer, "hooks_come_before_the_answer"),
        (Fault::TellsOutOfTurn, "hooks_come_in_the_order_of_commits"),
        (Fault::TellsOutOfTurn, "an_update_without_a_caller_is_told_or_undone"),
        (Fault::NeverTells, "hooks_come_before_the_answer"),
        (Fault::DecidesOnOldStates, "no_increment_is_lost"),
        (Fault::DecidesOnOldStates, "no_write_skew"),
        (Fault::ScansOldStatesInDecisions, "no_phantom"),
        (Fault::AppliesBitByBit, "reads_and_scans_never_tear"),
        (Fault::AppliesBitByBit, "snapshots_see_whole_commits"),
        (Fault::ReadsTheStateBefore, "an_answered_update_is_seen_by_every_later_read"),
        (Fault::SnapshotsMove, "a_snapshot_does_not_change"),
        (Fault::DurableInName, "what_was_answered_survives_a_restart"),
    ];
    let mut caught: Vec<(Fault, Vec<&str>)> = Vec::new();
    for (fault, case) in expected {
        // What a wrong kind of concurrency does depends on the scheduler: such a fault may need several tries.
        for attempt in 0..20 {
            let known = caught.iter().any(|(of, cases)| *of == fault && cases.contains(&case));
            if known {
                break;
            }
            let report = engine::try_run(Wrong(fault));
            assert!(attempt < 19, "{fault:?} is not caught by {case}: {report}");
            caught.push((fault, report.failed()));
        }
    }
}

#[test]
fn what_is_wrong_below_is_found_above() {
    let expected = [
        (Fault::SnapshotsMove, "a_snapshot_stays_as_it_was"),
        // A decision that scans an old state: the ranges of a transaction are as good as not checked.
        (Fault::ScansOldStatesInDecisions, "what_was_listed_must_stay_so"),
        (Fault::ScansOldStatesInDecisions, "a_prefix_is_cleared_and_nothing_else"),
        (Fault::NeverReverses, "any_list_is_what_a_map_would_give"),
        (Fault::NeverReverses, "pages_in_a_transaction_join_up"),
        (Fault::ExclusiveStartIsInclusive, "any_list_is_what_a_map_would_give"),
        (Fault::KeepsRefusedWrites, "the_quota_is_exact"),
        (Fault::DecidesOnOldStates, "concurrent_increments_add_up"),
    ];
    let mut caught: Vec<(Fault, Vec<&str>)> = Vec::new();
    for (fault, case) in expected {
        // What a wrong kind of concurrency does depends on the scheduler: such a fault may need several tries.
        for attempt in 0..20 {
            if caught.iter().any(|(of, cases)| *of == fault && cases.contains(&case)) {
                break;
            }
            let worlds = ChainsOver { engines: Arc::new(Wrong(fault)), config: ChainConfig::whole() };
            let report = storage::try_run_world("wrong below", worlds);
            assert!(attempt < 19, "{fault:?} is not caught by {case}: {report}");
            caught.push((fault, report.failed()));
        }
    }
}
