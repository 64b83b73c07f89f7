//! Capabilities and status: what is told must be what the other cases meet.

use crate::stash::storage::capabilities;
use crate::stash::storage::collections;
use crate::stash::storage::store;
use crate::stash::storage::transactions::{self, Isolation};
use crate::support::{Case, Named, cases, fresh, holds, ok, same};

pub(crate) const CASES: &[Named] = cases![capabilities_tell_the_limits, status_follows_what_happens];

/// What an engine is called.
const ENGINES: [&str; 8] = ["memory", "redb", "fjall", "sqlite", "files", "postgres", "redis", "etcd"];

fn capabilities_tell_the_limits() -> Case {
    let told = capabilities::get();
    holds("the engine has a name", ENGINES.contains(&told.engine.as_str()))?;
    same(told.durable, told.engine != "memory")?;
    same((told.transactions, told.history, told.expiry), (true, true, true))?;
    same(told.max_key_bytes, 2048)?;
    same(told.max_value_bytes, 16 << 20)?;
    same((told.max_batch_items, told.max_batch_bytes), (10_000, 64 << 20))?;
    same(told.max_read_keys, 10_000)?;
    same((told.max_page_items, told.max_page_bytes), (10_000, 16 << 20))?;
    same((told.max_open_transactions, told.max_transaction_millis), (64, 30_000))?;
    same(told.max_collections, 1_000)?;
    same(told.quota_bytes, ok(store::usage())?.quota_bytes)
}

fn status_follows_what_happens() -> Case {
    let records = fresh("status")?;
    let before = ok(capabilities::status())?;
    same(before.healthy, true)?;
    let version = ok(records.set("k", b"12345", None))?;
    let tx = ok(transactions::begin(Isolation::Snapshot))?;
    let after = ok(capabilities::status())?;
    same((after.healthy, after.version), (true, version))?;
    same((after.used_bytes, after.key_count), (before.used_bytes + 6, before.key_count + 1))?;
    same((after.collections, after.open_transactions), (before.collections, before.open_transactions + 1))?;
    drop(tx);
    ok(collections::delete("status", true))?;
    let after = ok(capabilities::status())?;
    holds("deleting is a commit", after.version > version)?;
    same((after.used_bytes, after.key_count), (before.used_bytes, before.key_count))?;
    same((after.collections, after.open_transactions), (before.collections - 1, before.open_transactions))
}
