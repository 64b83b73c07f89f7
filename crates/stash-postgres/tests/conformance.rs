//! The public suite on a PostgreSQL server, and on chains over it.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::{Arc, Mutex};

use stash_conformance::{ChainConfig, ChainsOver, EngineFixture, engine, model, storage};
use stash_core::limits::MAX_OPEN_TRANSACTIONS;
use stash_postgres::testing::TestServer;
use stash_postgres::{PostgresEngine, PostgresOptions, open_engine};

/// Each engine in a schema of its own.
struct Schemas {
    server: TestServer,
    portable: bool,
    /// Servers on copies, each used to the end of a case.
    crashed: Mutex<Vec<TestServer>>,
}

impl Schemas {
    fn start(portable: bool) -> Option<Self> {
        let server = TestServer::start()?;
        Some(Self { server, portable, crashed: Mutex::default() })
    }

    async fn open(&self, url: String) -> PostgresEngine {
        // One case has as many transactions open as there may be. Few connections: opening them is what most of the time of
        // a case would go into.
        let options = PostgresOptions {
            connections: 3,
            snapshots: MAX_OPEN_TRANSACTIONS + 1,
            portable: self.portable,
            ..Default::default()
        };
        let engine = open_engine(&url, &options).await.unwrap();
        assert!(stash_core::Engine::info(&engine).durable);
        engine
    }
}

impl EngineFixture for Schemas {
    type Engine = PostgresEngine;

    async fn fresh(&self) -> PostgresEngine {
        self.open(self.server.fresh_url()).await
    }

    async fn reopen(&self, engine: PostgresEngine) -> Option<PostgresEngine> {
        let url = format!("{}&schema={}", self.server.url(), engine.server().schema());
        drop(engine);
        Some(self.open(url).await)
    }

    async fn crash(&self, engine: &PostgresEngine) -> Option<PostgresEngine> {
        let copy = self.server.crashed();
        let engine = self.open(format!("{}&schema={}", copy.url(), engine.server().schema())).await;
        self.crashed.lock().unwrap().push(copy);
        Some(engine)
    }
}

#[test]
fn the_engine_keeps_its_promises() {
    if let Some(schemas) = Schemas::start(false) {
        engine::run(schemas);
    }
}

#[test]
fn statements_for_other_servers_keep_the_promises_too() {
    if let Some(schemas) = Schemas::start(true) {
        engine::run(schemas);
    }
}

/// What is above an engine is the same over each, and all its kinds run over others. Here are one that asks the server for
/// everything, the one that hosts have, and one that has just let go of what is asked for.
fn chains() -> impl Iterator<Item = ChainConfig> {
    let wanted = ["namespaces only", "whole chain", "cache of 3 entries"];
    ChainConfig::all().into_iter().filter(move |config| wanted.contains(&config.name))
}

#[test]
fn chains_keep_their_promises() {
    let Some(schemas) = Schemas::start(false) else { return };
    let engines = Arc::new(schemas);
    for config in chains() {
        storage::run_world(config.name, ChainsOver { engines: Arc::clone(&engines), config });
    }
    assert_eq!(chains().count(), 3);
}

#[test]
fn chains_answer_as_the_model_does() {
    let Some(schemas) = Schemas::start(false) else { return };
    let engines = Arc::new(schemas);
    for config in chains().take(2) {
        model::check_world(&ChainsOver { engines: Arc::clone(&engines), config });
    }
}

#[test]
#[ignore = "it takes minutes"]
fn every_chain_keeps_its_promises() {
    if let Some(schemas) = Schemas::start(false) {
        storage::run(schemas);
    }
}

#[test]
#[ignore = "it takes minutes"]
fn every_chain_answers_as_the_model_does() {
    if let Some(schemas) = Schemas::start(false) {
        model::check(schemas);
    }
}
