//! The public suite on stores in etcd: on one member as it comes, where every commit goes through a journal that others
//! finish, and on three of which one is lost half-way.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicUsize, Ordering};

use stash_conformance::{EngineFixture, engine, model, storage};
use stash_etcd::testing::EtcdCluster;
use stash_etcd::{EtcdEngine, EtcdOptions};

/// Kinds of chain that are tested at once: they wait for etcd, and etcd for the disk.
const AT_ONCE: usize = 5;

/// Each engine under a prefix of its own, in one etcd.
struct Prefixes {
    etcd: EtcdCluster,
    options: EtcdOptions,
    made: AtomicUsize,
}

impl Prefixes {
    fn new(etcd: EtcdCluster, options: EtcdOptions) -> Self {
        Self { etcd, options, made: AtomicUsize::new(0) }
    }

    async fn open(&self, prefix: &str) -> EtcdEngine {
        stash_etcd::open_engine(&self.etcd.url(prefix), &self.options).await.unwrap()
    }
}

impl EngineFixture for Prefixes {
    type Engine = EtcdEngine;

    async fn fresh(&self) -> EtcdEngine {
        self.open(&format!("case-{}", self.made.fetch_add(1, Ordering::Relaxed))).await
    }

    async fn reopen(&self, engine: EtcdEngine) -> Option<EtcdEngine> {
        let prefix = engine.server().prefix().to_owned();
        drop(engine);
        Some(self.open(&prefix).await)
    }
}

fn one(what: &str) -> Option<Prefixes> {
    Some(Prefixes::new(EtcdCluster::one(what)?, EtcdOptions::default()))
}

#[test]
fn the_engine_keeps_its_promises() {
    if let Some(prefixes) = one("the engine's promises in etcd") {
        engine::run(prefixes);
    }
}

#[test]
fn the_engine_keeps_its_promises_where_everything_is_in_journals() {
    if let Some(etcd) = EtcdCluster::one("the engine's promises with journals") {
        let options = EtcdOptions { leaves_journals: true, ..EtcdOptions::default() };
        engine::run(Prefixes::new(etcd, options));
    }
}

#[test]
fn every_chain_keeps_its_promises() {
    if let Some(prefixes) = one("the promises of chains over etcd") {
        storage::run_at_once(prefixes, AT_ONCE);
    }
}

#[test]
fn every_chain_answers_as_the_model_does() {
    if let Some(prefixes) = one("chains over etcd against the model") {
        model::check_at_once(prefixes, AT_ONCE);
    }
}
