//! The public suite on the part that all shared engines have in common, over a server in memory.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use common::Memory;
use stash_conformance::{EngineFixture, engine, model, storage};
use stash_shared::{SharedEngine, SharedOptions};

/// Each engine with a server of its own.
struct Servers;

impl EngineFixture for Servers {
    type Engine = SharedEngine<Memory>;

    async fn fresh(&self) -> Self::Engine {
        Memory::default().engine(SharedOptions::default()).await
    }

    async fn reopen(&self, engine: Self::Engine) -> Option<Self::Engine> {
        let server = engine.server().clone();
        drop(engine);
        Some(server.engine(SharedOptions::default()).await)
    }

    async fn crash(&self, engine: &Self::Engine) -> Option<Self::Engine> {
        Some(engine.server().copy().engine(SharedOptions::default()).await)
    }
}

#[test]
fn the_engine_keeps_its_promises() {
    engine::run(Servers);
}

#[test]
fn every_chain_keeps_its_promises() {
    storage::run(Servers);
}

#[test]
fn every_chain_answers_as_the_model_does() {
    model::check(Servers);
}
