//! The public suite on a real Redis server, on chains over it, and across restarts.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use stash_conformance::{ChainConfig, ChainsOver, EngineFixture, engine, model, storage};
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

// What is above an engine is the same over every one: all its kinds run over that of stash-shared. Here are those that ask
// the server for everything, for what is not cached, and for what has just been evicted.
fn chains() -> impl Iterator<Item = ChainConfig> {
    ["namespaces only", "whole chain", "cache of 3 entries"]
        .into_iter()
        .map(|name| ChainConfig::all().into_iter().find(|config| config.name == name).expect("the suite has it"))
}

#[test]
fn chains_keep_their_promises() {
    let Some(fixture) = Prefixes::new() else { return };
    let engines = Arc::new(fixture);
    for config in chains() {
        storage::run_world(config.name, ChainsOver { engines: Arc::clone(&engines), config });
    }
}

#[test]
fn chains_answer_as_the_model_does() {
    let Some(fixture) = Prefixes::new() else { return };
    let engines = Arc::new(fixture);
    for config in chains().take(2) {
        model::check_world(&ChainsOver { engines: Arc::clone(&engines), config });
    }
}
