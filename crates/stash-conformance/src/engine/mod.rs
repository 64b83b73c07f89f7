//! What every engine must keep: the promises of [`Engine`], one case each.

mod hooks;
mod scans;
mod states;
mod updates;

use std::sync::Arc;

use bytes::Bytes;
use stash_core::Engine;
use stash_core::engine::Scan;

use crate::fixture::EngineFixture;
use crate::report::{Report, cases, run_cases};

/// Runs every case. Not to be called from inside an async runtime: it brings its own.
///
/// # Panics
/// With a report of all cases, if one failed.
pub fn run<F: EngineFixture>(fixture: F) {
    try_run(fixture).assert_passed();
}

/// Runs every case and tells how each went.
pub fn try_run<F: EngineFixture>(fixture: F) -> Report {
    let cases = cases![F:
        scans::reads_give_values_in_the_order_asked,
        scans::scans_match_a_sorted_map,
        scans::scans_of_large_values_stop_at_their_bytes,
        scans::a_prefix_holds_exactly_its_keys,
        updates::the_last_write_of_a_key_counts,
        updates::a_refused_update_leaves_nothing,
        updates::refused_updates_disturb_nobody,
        updates::no_increment_is_lost,
        updates::no_write_skew,
        updates::no_phantom,
        updates::an_answered_update_is_seen_by_every_later_read,
        updates::reads_and_scans_never_tear,
        updates::an_update_may_write_nothing,
        hooks::hooks_come_in_the_order_of_commits,
        hooks::hooks_come_after_visibility,
        hooks::hooks_come_before_the_answer,
        hooks::a_refused_update_has_no_hook,
        hooks::an_update_without_a_caller_is_told_or_undone,
        states::a_snapshot_does_not_change,
        states::snapshots_see_whole_commits,
        states::large_values,
        states::many_writes_in_one_update,
        states::what_was_answered_survives_a_restart,
        states::what_was_answered_survives_a_crash,
    ];
    run_cases("engine".to_owned(), &Arc::new(fixture), cases)
}

/// Everything in the engine.
async fn everything<E: Engine>(engine: &E) -> Vec<(Bytes, Bytes)> {
    let page = engine.scan(&Scan::prefix(b"")).await.unwrap();
    assert!(!page.more, "an unlimited scan says that there is more");
    page.entries
}

/// The value of one key.
async fn get<E: Engine>(engine: &E, key: &[u8]) -> Option<Bytes> {
    let mut values = engine.read(&[key]).await.unwrap();
    assert_eq!(values.len(), 1, "one key was read");
    values.remove(0)
}
