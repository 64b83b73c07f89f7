//! The public suite on stores in an etcd of three members, as it comes and with every commit in a journal that others finish;
//! and on one member, of whose disk copies are started. The data is in memory, because the suite makes some hundred thousand
//! commits: what a disk keeps is tested in `network.rs`.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use stash_conformance::{ChainConfig, EngineFixture, engine, model, storage};
use stash_etcd::testing::{EtcdCluster, Setup};
use stash_etcd::{EtcdEngine, EtcdOptions};

/// Random sequences of calls for each kind of chain: each asks etcd some thousand times.
const SEQUENCES: u32 = 12;

/// Each engine under a prefix of its own, in one etcd.
struct Prefixes {
    etcd: EtcdCluster,
    options: EtcdOptions,
    made: AtomicUsize,
    /// Copies, each used to the end of a case.
    copies: Mutex<Vec<EtcdCluster>>,
}

impl Prefixes {
    fn start(what: &str, members: usize, options: EtcdOptions) -> Option<Self> {
        let setup = Setup { members, in_memory: true, ..Setup::default() };
        let etcd = EtcdCluster::start(what, setup)?;
        Some(Self { etcd, options, made: AtomicUsize::new(0), copies: Mutex::default() })
    }

    async fn open(&self, url: &str) -> EtcdEngine {
        stash_etcd::open_engine(url, &self.options).await.unwrap()
    }
}

impl EngineFixture for Prefixes {
    type Engine = EtcdEngine;

    async fn fresh(&self) -> EtcdEngine {
        let prefix = format!("case-{}", self.made.fetch_add(1, Ordering::Relaxed));
        self.open(&self.etcd.url(&prefix)).await
    }

    async fn reopen(&self, engine: EtcdEngine) -> Option<EtcdEngine> {
        let prefix = engine.server().prefix().to_owned();
        drop(engine);
        Some(self.open(&self.etcd.url(&prefix)).await)
    }

    async fn crash(&self, engine: &EtcdEngine) -> Option<EtcdEngine> {
        if self.etcd.addresses().len() > 1 {
            return None;
        }
        let copy = self.etcd.copy();
        let opened = self.open(&copy.url(engine.server().prefix())).await;
        self.copies.lock().unwrap().push(copy);
        Some(opened)
    }
}

/// Some kinds of chain. What the layers above do is the same over every shared engine, and all kinds are tested in
/// `stash-shared`.
fn chains(names: &[&str]) -> Vec<ChainConfig> {
    let chains: Vec<_> = ChainConfig::all().into_iter().filter(|chain| names.contains(&chain.name)).collect();
    assert_eq!(chains.len(), names.len());
    chains
}

/// As a host has it, but that etcd is asked for everything.
const WITHOUT_A_CACHE: &str = "cache off";
/// As a host has it.
const WHOLE: &str = "whole chain";

#[test]
fn the_engine_keeps_its_promises() {
    if let Some(prefixes) = Prefixes::start("the engine's promises in etcd", 3, EtcdOptions::default()) {
        engine::run(prefixes);
    }
}

#[test]
fn the_engine_keeps_its_promises_where_everything_is_in_journals() {
    let options = EtcdOptions { leaves_journals: true, ..EtcdOptions::default() };
    if let Some(prefixes) = Prefixes::start("the engine's promises with journals", 1, options) {
        engine::run(prefixes);
    }
}

#[test]
fn what_a_crash_leaves_of_chains_is_whole() {
    if let Some(prefixes) = Prefixes::start("what a crash leaves in etcd", 1, EtcdOptions::default()) {
        storage::run_after_a_crash(&Arc::new(prefixes));
    }
}

#[test]
fn chains_keep_their_promises() {
    if let Some(prefixes) = Prefixes::start("the promises of chains over etcd", 3, EtcdOptions::default()) {
        storage::run_on(prefixes, chains(&[WITHOUT_A_CACHE]), 1);
    }
}

#[test]
fn chains_answer_as_the_model_does() {
    if let Some(prefixes) = Prefixes::start("chains over etcd against the model", 3, EtcdOptions::default()) {
        model::check_on(prefixes, chains(&[WITHOUT_A_CACHE, WHOLE]), 2, SEQUENCES);
    }
}
