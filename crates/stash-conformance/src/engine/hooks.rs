//! [`Decision::committed`](stash_core::engine::Decision::committed): once, in the order of commits, after visibility and
//! before the answer, also for callers that have gone away.

use std::future::Future;
use std::pin::pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, mpsc};
use std::task::{Context, Waker};
use std::time::Duration;

use stash_core::{Engine, StorageError};
use tokio::runtime::Handle;
use tokio::task::JoinSet;

use super::get;
use crate::decision::{act, increment, number, put, refusal, to_number};
use crate::fixture::EngineFixture;

pub(super) async fn hooks_come_in_the_order_of_commits<F: EngineFixture>(fixture: Arc<F>) {
    let engine = Arc::new(fixture.fresh().await);
    let told = Arc::new(Mutex::new(Vec::new()));
    let mut callers = JoinSet::new();
    for caller in 0..16 {
        let (engine, told) = (Arc::clone(&engine), Arc::clone(&told));
        callers.spawn(async move {
            for _ in 0..16 {
                let told = Arc::clone(&told);
                let decision = increment(b"count").queue(format!("{caller}"));
                engine.update(decision.told(move |n| told.lock().unwrap().push(*n))).await.unwrap();
            }
        });
    }
    callers.join_all().await;
    assert_eq!(*told.lock().unwrap(), (1..=256).collect::<Vec<_>>());
}

pub(super) async fn hooks_come_after_visibility<F: EngineFixture>(fixture: Arc<F>) {
    let engine = Arc::new(fixture.fresh().await);
    let runtime = Handle::current();
    for turn in 1..=20 {
        let (sender, seen) = mpsc::channel();
        let (reading, runtime) = (Arc::clone(&engine), runtime.clone());
        let decision = put(b"n", &number(turn)).told(move |()| {
            // A hook must not wait; this one does, on a thread of its own and not for ever, so that an engine that
            // tells too early is caught every time. An engine that cannot read meanwhile is not accused.
            let (done, finished) = mpsc::channel();
            let (reading, runtime, sender) = (Arc::clone(&reading), runtime.clone(), sender.clone());
            std::thread::spawn(move || {
                let _ = sender.send(runtime.block_on(get(&*reading, b"n")));
                let _ = done.send(());
            });
            let _ = finished.recv_timeout(Duration::from_secs(5));
        });
        engine.update(decision).await.unwrap();
        if let Ok(seen) = seen.try_recv() {
            assert_eq!(seen, Some(number(turn)), "a read that began in the hook did not see the update");
        }
    }
}

pub(super) async fn hooks_come_before_the_answer<F: EngineFixture>(fixture: Arc<F>) {
    let engine = Arc::new(fixture.fresh().await);
    let mut callers = JoinSet::new();
    for caller in 0..8_u8 {
        let engine = Arc::clone(&engine);
        callers.spawn(async move {
            for turn in 0..16 {
                let (told, dropped) = (Arc::new(AtomicBool::new(false)), Arc::new(()));
                let (telling, alive) = (Arc::clone(&told), Arc::clone(&dropped));
                // Every other one writes nothing: it has a hook all the same.
                let decision = act(move |_, writes| {
                    let _ = &alive;
                    if turn % 2 == 0 {
                        writes.put(vec![b'k', caller].into(), number(turn));
                    }
                    Ok(())
                });
                let telling = move |(): &()| assert!(!telling.swap(true, Ordering::SeqCst), "told twice");
                engine.update(decision.told(telling)).await.unwrap();
                assert!(told.load(Ordering::SeqCst), "answered before the hook");
                drop(dropped);
            }
        });
    }
    callers.join_all().await;
}

pub(super) async fn a_refused_update_has_no_hook<F: EngineFixture>(fixture: Arc<F>) {
    let engine = fixture.fresh().await;
    let refused = act(|_, _| -> Result<(), StorageError> { Err(refusal("no")) });
    let refused = refused.told(|()| panic!("the hook of a refused update was called"));
    assert_eq!(engine.update(refused).await, Err(refusal("no")));
    // Whatever is still to happen with the refused one happens before a later update is answered.
    engine.update(put(b"a", b"1")).await.unwrap();
}

pub(super) async fn an_update_without_a_caller_is_told_or_undone<F: EngineFixture>(fixture: Arc<F>) {
    let engine = fixture.fresh().await;
    let told = Arc::new(Mutex::new(Vec::new()));
    let (over, mut all_over) = tokio::sync::mpsc::channel::<()>(1);
    for turn in 0..100 {
        let (told, over) = (Arc::clone(&told), over.clone());
        let decision = increment(b"count").told(move |n| {
            // Moved in, so that it lives as long as the decision does.
            let _ = &over;
            told.lock().unwrap().push(*n);
        });
        let mut update = pin!(engine.update(decision));
        // Some are dropped before they are polled, most after the engine has seen them.
        if turn % 10 != 0 {
            let _ = update.as_mut().poll(&mut Context::from_waker(Waker::noop()));
        }
    }
    drop(over);
    // Ends when every decision has been dropped.
    assert_eq!(all_over.recv().await, None);
    let count = get(&engine, b"count").await.map_or(0, |value| to_number(&value));
    assert_eq!(*told.lock().unwrap(), (1..=count).collect::<Vec<_>>(), "told of exactly the updates that took effect");
    assert_eq!(engine.update(increment(b"count")).await, Ok(count + 1));
}
