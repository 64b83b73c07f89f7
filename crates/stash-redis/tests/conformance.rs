//! The public suite on a real Redis server, on chains over it, and across restarts.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::atomic::{AtomicUsize, Ordering};

use stash_conformance::{EngineFixture, engine, model, storage};
use stash_redis::testing::{DURABLE, TestServer};
use stash_redis::{RedisEngine, RedisOptions};

/// Each engine with a prefix of its own, in one server.
struct Prefixes {
    server: TestServer,
    made: AtomicUsize,
}

impl Prefixes {
    fn new() -> Option<Self> {
        Some(Self { server: TestServer::start(DURABLE)?, made: AtomicUsize::new(0) })
    }

    async fn open(&self, prefix: &str) -> RedisEngine {
        stash_redis::open_engine(&self.server.url(prefix), &RedisOptions::default()).await.unwrap()
    }
}

impl EngineFixture for Prefixes {
    type Engine = RedisEngine;

    async fn fresh(&self) -> RedisEngine {
        self.open(&format!("p{}", self.made.fetch_add(1, Ordering::Relaxed))).await
    }

    async fn reopen(&self, engine: RedisEngine) -> Option<RedisEngine> {
        let prefix = engine.server().prefix().to_owned();
        drop(engine);
        self.server.kill();
        self.server.restart();
        Some(self.open(&prefix).await)
    }
}

#[test]
fn the_engine_keeps_its_promises() {
    if let Some(fixture) = Prefixes::new() {
        engine::run(fixture);
    }
}

#[test]
fn every_chain_keeps_its_promises() {
    if let Some(fixture) = Prefixes::new() {
        storage::run(fixture);
    }
}

#[test]
fn every_chain_answers_as_the_model_does() {
    if let Some(fixture) = Prefixes::new() {
        model::check(fixture);
    }
}
