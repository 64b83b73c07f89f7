//! The public suite, on the engine in memory and on every kind of chain over it.

use stash_conformance::{EngineFixture, Fresh, engine, interleave, model, storage};
use stash_core::MemoryEngine;

fn engines() -> impl EngineFixture {
    Fresh(async || MemoryEngine::default())
}

#[test]
fn the_engine_keeps_its_promises() {
    engine::run(engines());
}

#[test]
fn every_chain_keeps_its_promises() {
    storage::run(engines());
}

#[test]
fn every_chain_answers_as_the_model_does() {
    model::check(engines());
}

#[test]
fn no_interleaving_makes_a_cache_answer_wrongly() {
    interleave::check();
}
