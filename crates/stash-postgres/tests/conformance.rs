//! The public suite on a PostgreSQL server, and on chains over it.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Mutex;

use stash_conformance::{EngineFixture, engine, model, storage};
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

fn on_a_server(portable: bool, run: impl FnOnce(Schemas)) {
    if let Some(schemas) = Schemas::start(portable) {
        run(schemas);
    }
}

#[test]
fn the_engine_keeps_its_promises() {
    on_a_server(false, engine::run);
}

#[test]
fn every_chain_keeps_its_promises() {
    on_a_server(false, storage::run);
}

#[test]
fn every_chain_answers_as_the_model_does() {
    on_a_server(false, model::check);
}

#[test]
fn statements_for_other_servers_keep_the_promises_too() {
    on_a_server(true, engine::run);
}
