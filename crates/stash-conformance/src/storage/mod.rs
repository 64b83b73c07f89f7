//! What every chain of layers must keep: the promises of [`ComponentStorage`], one case
//! each.

mod basics;
mod batches;
mod changes;
mod clear;
mod collections;
mod commits;
mod concurrent;
mod conditions;
mod counters;
mod crash;
mod entries;
mod expiry;
mod history;
mod isolation;
mod keys;
mod limits;
mod listing;
mod serializable;
mod sweeping;
mod transactions;

use std::collections::BTreeMap;
use std::sync::Arc;

use stash_core::limits::{MAX_LIST_BYTES, MAX_LIST_KEYS};
use stash_core::{
    Batch, Capabilities, CollectionName, ComponentId, ComponentStorage, Record, ScanRequest, StorageError, StorageExt,
    StoreLimits, Usage, Version,
};

use crate::chain::Chain;
use crate::fixture::EngineFixture;
use crate::report::{Case, Report, Skip, at_once_each, cases, run_cases};
use crate::world::{ChainConfig, ChainsOver, World, WorldFixture};

/// Runs every case on every kind of chain in [`ChainConfig::all`]. Not to be called from inside an async runtime.
///
/// # Panics
/// With a report of all cases, if one failed.
pub fn run<F: EngineFixture>(engines: F) {
    run_on(engines, ChainConfig::all(), 1);
}

/// The same on some kinds of chain, so many of them at once: for engines on a server, which wait for it more than they work.
///
/// # Panics
/// As [`run`].
pub fn run_on<F: EngineFixture>(engines: F, chains: Vec<ChainConfig>, at_once: usize) {
    let engines = Arc::new(engines);
    at_once_each(chains, at_once, |config| {
        run_world(config.name, ChainsOver { engines: Arc::clone(&engines), config });
    });
    run_after_a_crash(&engines);
    let whole = ChainsOver { engines, config: ChainConfig::whole() };
    run_cases("storage, slow cases".to_owned(), &Arc::new(whole), slow_cases()).assert_passed();
}

/// Runs what [`run`] does with copies that a crash leaves, and nothing else: for fixtures whose other engines cannot show them.
///
/// # Panics
/// As [`run`].
pub fn run_after_a_crash<F: EngineFixture>(engines: &Arc<F>) {
    let cases = cases![F: crash::what_a_crash_leaves_agrees_with_itself, changes::the_log_outlives_a_crash];
    run_cases("storage, after a crash".to_owned(), engines, cases).assert_passed();
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
    let mut cases = cases![F:
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
        entries::what_is_told_of_a_record_comes_back,
        entries::creation_is_remembered_until_deletion,
        entries::a_plain_set_leaves_only_the_value,
        entries::metadata_is_replaced_or_merged,
        entries::metadata_has_limits,
        conditions::a_condition_holds_or_nothing_is_stored,
        conditions::conditions_guard_a_whole_batch,
        conditions::a_record_made_again_is_another,
        conditions::of_equal_conditions_one_wins,
        batches::each_change_is_told_of_in_its_place,
        batches::changes_of_one_key_see_each_other,
        batches::nothing_is_left_of_a_batch_that_fails,
        batches::a_thousand_changes_are_one_commit,
        batches::options_of_a_batch_are_each_their_own,
        counters::concurrent_increments_add_up,
        counters::a_number_begins_at_nothing,
        counters::what_is_no_number_stays_as_it_is,
        clear::a_prefix_is_cleared_and_nothing_else,
        clear::clearing_is_part_of_its_batch,
        clear::nobody_sees_half_a_clearing,
        listing::any_list_is_what_a_map_would_give,
        listing::a_page_stops_at_its_bytes,
        listing::a_cursor_goes_on_where_its_page_ended,
        listing::a_cursor_is_good_for_its_list_alone,
        listing::ranges_without_keys_are_empty,
        expiry::a_record_is_there_until_its_moment,
        expiry::a_moment_that_has_passed_removes,
        expiry::touching_moves_the_moment,
        expiry::what_has_expired_is_begun_anew,
        expiry::pages_are_full_whatever_has_expired,
        expiry::a_transaction_sees_what_expires_under_it,
        sweeping::sweeping_changes_nothing_that_is_seen,
        sweeping::sweeping_goes_in_bounded_steps,
        sweeping::the_quota_counts_only_what_is_there,
        collections::collections_are_made_found_and_deleted,
        collections::collections_do_not_meet,
        collections::one_batch_may_change_several,
        collections::what_was_not_made_takes_nothing,
        collections::collections_are_nested_by_name,
        history::the_last_versions_are_kept,
        history::a_deletion_is_a_version,
        history::before_its_first_version_there_was_nothing,
        history::versions_are_kept_for_a_time,
        history::an_expired_version_hides_those_before_it,
        history::settings_may_change,
        history::a_collection_takes_its_history_with_it,
        transactions::a_transaction_reads_its_own_writes,
        transactions::pages_in_a_transaction_join_up,
        transactions::what_is_rolled_back_leaves_nothing,
        transactions::a_snapshot_stays_as_it_was,
        transactions::a_transaction_spans_collections,
        transactions::a_transaction_that_is_too_old_ends,
        transactions::own_writes_are_listed_as_if_they_were_committed,
        transactions::a_set_does_not_tell_when_its_record_was_made,
        serializable::no_update_is_lost,
        serializable::write_skew_takes_less_than_serializable,
        serializable::what_was_listed_must_stay_so,
        serializable::a_record_made_again_was_changed,
        serializable::reading_alone_never_conflicts,
        serializable::money_is_moved_and_never_made,
        serializable::a_transaction_is_run_until_it_commits,
        serializable::what_never_was_is_not_committed,
        serializable::a_number_is_stored_as_it_was_told,
    ];
    cases.extend(change_cases());
    run_cases(format!("storage, {name}"), &Arc::new(worlds), cases)
}

/// Cases about the log of changes.
fn change_cases<F: WorldFixture>() -> Vec<Case<F>> {
    cases![F:
        changes::nothing_is_kept_before_it_is_asked_for,
        changes::every_kind_of_change_is_told,
        changes::changes_of_all_collections_are_in_one_order,
        changes::a_page_is_made_of_whole_commits,
        changes::a_transaction_is_one_commit_of_the_log,
        changes::what_expires_is_told_when_it_is_removed,
        changes::a_reader_sees_each_commit_once_and_in_order,
        changes::whoever_waits_is_woken,
        changes::the_log_does_not_count_as_usage,
        changes::what_is_left_of_a_log_is_swept,
    ]
}

/// Cases with much data, which need no second kind of chain.
fn slow_cases<F: WorldFixture>() -> Vec<Case<F>> {
    cases![F:
        limits::batches_have_a_limit,
        limits::listings_have_a_limit_of_keys,
        limits::listings_have_a_limit_of_bytes,
        batches::ten_thousand_changes_are_one_commit,
        clear::more_than_one_commit_clears_says_so,
        sweeping::however_much_has_expired_makes_room,
        collections::however_many_records_are_deleted_with_it,
        collections::collections_have_a_limit,
        history::long_histories_stay_within_their_number,
        changes::the_oldest_commits_are_forgotten_whole,
        transactions::transactions_have_limits,
        transactions::large_records_are_removed_by_a_transaction,
        transactions::what_a_transaction_was_refused_is_free,
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
    Chain(world.chain(id, StoreLimits::default()))
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

/// A page without values: its keys, and whether the list goes on.
#[derive(Debug)]
struct Listed {
    keys: Vec<String>,
    more: bool,
}

async fn page(
    chain: &Chain,
    prefix: &str,
    after: Option<&str>,
    limit: usize,
    max_bytes: usize,
) -> Result<Listed, StorageError> {
    let after = after.map(str::to_owned);
    let page = chain.scan(&ScanRequest { after, limit, max_bytes, ..ScanRequest::prefix(prefix) }).await?;
    let more = page.resume.is_some();
    Ok(Listed { keys: page.keys(), more })
}

/// All keys of a layer that begin with `prefix`, also below the namespace layer, which has no snapshots.
pub(crate) async fn keys_of(layer: &Chain, prefix: &str) -> Result<Vec<String>, StorageError> {
    let mut request = ScanRequest::prefix(prefix);
    let mut keys = Vec::new();
    loop {
        let page = layer.scan(&request).await?;
        request.after = page.resume.as_ref().map(ToString::to_string);
        keys.extend(page.keys());
        if request.after.is_none() {
            return Ok(keys);
        }
    }
}

/// All that is told of every record of a collection, from one list.
async fn records(chain: &Chain) -> BTreeMap<String, Record> {
    let mut request = ScanRequest::default().with_values();
    let mut records = BTreeMap::new();
    loop {
        let page = chain.scan(&request).await.unwrap();
        records.extend(page.entries.into_iter().map(|entry| (entry.key.to_string(), entry.record)));
        match page.resume {
            Some(resume) => request.after = Some(resume.into()),
            None => return records,
        }
    }
}

/// What the records of the default collection and of all others come to, without what is kept of the past.
async fn counted_everywhere(chain: &Chain) -> Usage {
    let mut usage = Usage { quota_bytes: chain.capabilities().limits.quota_bytes, ..Usage::default() };
    let mut names: Vec<Option<CollectionName>> = vec![None];
    names.extend(chain.collections(None).await.unwrap().into_iter().map(|info| info.name));
    for name in names {
        for (key, record) in records(&chain.in_collection(name.as_ref()).unwrap()).await {
            let attributes: usize =
                record.metadata.attributes().iter().map(|(name, value)| name.len() + value.len()).sum();
            let texts = record.metadata.content_type().map_or(0, str::len) + attributes;
            usage.used_bytes += (key.len() + record.value.len() + texts) as u64;
            usage.key_count += 1;
        }
    }
    usage
}

/// The value of a key as text; `None` where there is no record.
async fn text(chain: &Chain, key: &str) -> Option<String> {
    chain.get(key).await.unwrap().map(|value| value.as_text().expect("text was stored").to_owned())
}

fn name(text: &str) -> CollectionName {
    text.parse().unwrap()
}

/// Skips a case about time where the suite does not move the clock.
fn driven<W: World>(world: &W) -> Result<(), Skip> {
    if world.drives_time() { Ok(()) } else { Err(Skip("the suite does not move this world's clock".to_owned())) }
}

/// Skips a case about what this store cannot do.
fn can(chain: &Chain, what: &str, feature: fn(&Capabilities) -> bool) -> Result<(), Skip> {
    let capabilities = chain.capabilities();
    if feature(&capabilities) {
        Ok(())
    } else {
        Err(Skip(format!("the engine '{}' says that it has no {what}", capabilities.engine)))
    }
}

/// A batch of sets, all of the same value.
fn sets<K: Into<String>>(keys: impl IntoIterator<Item = K>, value: &str) -> Batch {
    keys.into_iter().fold(Batch::new(), |batch, key| batch.set(key, value))
}

const _: () = assert!(MAX_LIST_KEYS >= 10_000 && MAX_LIST_BYTES >= 1024 * 1024, "cases list thousands of keys");
