//! The public suite on an engine that makes every call wait at every place where an engine may: what is ready at once on
//! [`MemoryEngine`](stash_core::MemoryEngine), and therefore hardly ever meets another call, is interleaved here.

use stash_conformance::delayed::{DelayedEngine, Gate};
use stash_conformance::{EngineFixture, Fresh, engine, model, storage};

fn engines() -> impl EngineFixture {
    Fresh(async || {
        let engine = DelayedEngine::default();
        engine.gates().all().into_iter().for_each(Gate::step);
        engine
    })
}

#[test]
fn it_is_an_engine() {
    engine::run(engines());
}

#[test]
fn every_chain_keeps_its_promises_over_it() {
    storage::run(engines());
}

#[test]
fn every_chain_answers_over_it_as_the_model_does() {
    model::check(engines());
}
