//! What every chain of layers must keep: the promises of [`ComponentStorage`], one case
//! each.

mod basics;
mod commits;
mod concurrent;
mod isolation;
mod keys;
mod limits;

use std::collections::BTreeMap;
use std::sync::Arc;

use stash_core::limits::{MAX_LIST_BYTES, MAX_LIST_KEYS};
use stash_core::{
    Batch, ComponentId, ComponentStorage, DynStorage, KeyPage, ListRequest, StorageError, StoreLimits, Usage, Version,
};

use crate::fixture::EngineFixture;
use crate::report::{Case, Report, cases, run_cases};
use crate::world::{ChainConfig, ChainsOver, World, WorldFixture};

/// The top of a chain, of whatever type.
pub(crate) type Chain = Arc<dyn DynStorage>;

/// Runs every case on every kind of chain in [`ChainConfig::all`]. Not to be called from inside an async runtime.
///
/// # Panics
/// With a report of all cases, if one failed.
pub fn run<F: EngineFixture>(engines: F) {
    let engines = Arc::new(engines);
    for config in ChainConfig::all() {
        run_world(config.name, ChainsOver { engines: Arc::clone(&engines), config });
    }
    let whole = ChainsOver { engines, config: ChainConfig::whole() };
    run_cases("storage, slow cases".to_owned(), &Arc::new(whole), slow_cases()).assert_passed();
}

/// Runs every case on the worlds of a fixture.
///
/// # Panics
/// With a report of all cases, if one failed.
pub fn run_world<F: WorldFixture>(name: &str, worlds: F) {
    try_run_world(name, worlds).assert_passed();
}

/// Runs every case on the worlds of a fixture and tells how each went.
pub fn try_run_world<F: WorldFixture>(name: &str, worlds: F) -> Report {
    let cases = cases![F:
        basics::what_is_set_is_got,
        basics::values_of_every_kind,
        basics::read_answers_in_the_order_asked,
        basics::instances_of_one_component_agree,
        keys::keys_of_every_kind,
        keys::keys_that_name_nothing_are_refused,
        keys::listings_are_in_byte_order,
        keys::pages_join_up,
        keys::pages_resume_under_change,
        isolation::the_same_key_is_another_record,
        isolation::colliding_ids_and_keys_stay_apart,
        isolation::no_prefix_lists_another_component,
        isolation::usage_is_each_components_own,
        commits::versions_grow_by_one,
        commits::versions_never_repeat,
        commits::a_batch_is_one_commit,
        commits::checks_hold_or_nothing_happens,
        commits::the_last_change_of_a_key_counts,
        commits::usage_matches_what_is_listed,
        commits::hooks_tell_the_outcome_once,
        limits::values_have_a_limit,
        limits::reads_have_a_limit_however_warm_the_cache,
        limits::the_quota_is_exact,
        limits::of_two_quotas_the_lower_counts,
        limits::a_lowered_quota_only_stops_growth,
        limits::the_quota_holds_between_concurrent_callers,
        concurrent::records_never_go_backwards,
        concurrent::batches_never_tear,
        concurrent::a_lock_made_of_checks_excludes,
        concurrent::creation_has_one_winner,
    ];
    run_cases(format!("storage, {name}"), &Arc::new(worlds), cases)
}

/// Cases with much data, which need no second kind of chain.
fn slow_cases<F: WorldFixture>() -> Vec<Case<F>> {
    cases![F:
        limits::batches_have_a_limit,
        limits::listings_have_a_limit_of_keys,
        limits::listings_have_a_limit_of_bytes,
    ]
}

fn id(text: &str) -> ComponentId {
    text.parse().unwrap()
}

/// An id for cases that need only one.
fn one() -> ComponentId {
    id("app/service-a/001")
}

fn open<W: World>(world: &W, id: &ComponentId) -> Chain {
    world.chain(id, StoreLimits::default())
}

/// All records of a component: what is listed, read one by one.
async fn contents(chain: &Chain) -> BTreeMap<String, (Version, Vec<u8>)> {
    let mut records = BTreeMap::new();
    for key in chain.list_keys("").await.unwrap() {
        let record = chain.read_one(&key).await.unwrap().expect("a listed key has a record");
        records.insert(key, (record.version, record.value.to_vec()));
    }
    records
}

/// What the contents come to.
async fn counted(chain: &Chain) -> Usage {
    let contents = contents(chain).await;
    let bytes: usize = contents.iter().map(|(key, (_, value))| key.len() + value.len()).sum();
    Usage { used_bytes: bytes as u64, key_count: contents.len() as u64, quota_bytes: None }
}

async fn page(
    chain: &Chain,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    max_bytes: usize,
) -> Result<KeyPage, StorageError> {
    chain.scan_keys(&ListRequest { prefix: prefix.to_owned(), after: after.map(str::to_owned), limit, max_bytes }).await
}

/// A batch of sets, all of the same value.
fn sets<K: Into<String>>(keys: impl IntoIterator<Item = K>, value: &str) -> Batch {
    keys.into_iter().fold(Batch::new(), |batch, key| batch.set(key, value))
}

const _: () = assert!(MAX_LIST_KEYS >= 10_000 && MAX_LIST_BYTES >= 1024 * 1024, "cases list thousands of keys");
