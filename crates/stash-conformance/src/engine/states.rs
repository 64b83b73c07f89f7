//! States that stay: snapshots, large things, and what is found after a restart.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use stash_core::Engine;
use stash_core::engine::{Scan, Snapshot};
use tokio::task::JoinSet;

use super::{everything, get};
use crate::decision::{act, number, put, to_number};
use crate::fixture::EngineFixture;
use crate::report::Skip;

pub(super) async fn a_snapshot_does_not_change<F: EngineFixture>(fixture: Arc<F>) {
    let engine = fixture.fresh().await;
    let empty = engine.snapshot().await.unwrap();
    engine.update(put(b"a", b"1")).await.unwrap();
    engine.update(put(b"b", b"1")).await.unwrap();
    let full = engine.snapshot().await.unwrap();
    for turn in 2..10_u64 {
        let change = act(move |_, writes| {
            writes.put(Bytes::from_static(b"a"), number(turn));
            writes.remove(Bytes::from_static(b"b"));
            writes.put(Bytes::from(format!("c{turn}")), number(turn));
            Ok(())
        });
        engine.update(change).await.unwrap();
        assert_eq!(empty.read(&[b"a", b"b"]).await.unwrap(), [None, None]);
        assert!(empty.scan(&Scan::prefix(b"")).await.unwrap().entries.is_empty());
        assert_eq!(full.read(&[b"b", b"a", b"c2"]).await.unwrap(), [Some("1".into()), Some("1".into()), None]);
        let reverse = Scan { reverse: true, ..Scan::prefix(b"") };
        let page = full.scan(&reverse).await.unwrap();
        assert_eq!(page.entries, [("b".into(), "1".into()), ("a".into(), "1".into())] as [(Bytes, Bytes); 2]);
    }
    assert_eq!(get(&engine, b"a").await, Some(number(9)));
}

pub(super) async fn snapshots_see_whole_commits<F: EngineFixture>(fixture: Arc<F>) {
    let engine = Arc::new(fixture.fresh().await);
    let (x, y) = (Bytes::from_static(b"x"), Bytes::from_static(b"y"));
    let mut tasks = JoinSet::new();
    let (writing, written) = (Arc::clone(&engine), Arc::new(AtomicBool::new(false)));
    let done = Arc::clone(&written);
    tasks.spawn(async move {
        for turn in 1..=60 {
            let (x, y) = (x.clone(), y.clone());
            let both = act(move |_, writes| {
                writes.put(x.clone(), number(turn));
                writes.put(y.clone(), number(turn));
                Ok(())
            });
            writing.update(both).await.unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    for _ in 0..3 {
        let (engine, written) = (Arc::clone(&engine), Arc::clone(&written));
        tasks.spawn(async move {
            let mut last = 0;
            loop {
                let all_written = written.load(Ordering::SeqCst);
                let snapshot = engine.snapshot().await.unwrap();
                let x = snapshot.read(&[b"x"]).await.unwrap().remove(0);
                tokio::task::yield_now().await;
                let page = snapshot.scan(&Scan::prefix(b"")).await.unwrap();
                let seen: Vec<_> = page.entries.into_iter().map(|(_, value)| Some(value)).collect();
                assert!(seen.is_empty() && x.is_none() || seen == [x.clone(), x.clone()], "{seen:?} and x = {x:?}");
                let now = x.map_or(0, |x| to_number(&x));
                assert!(now >= last, "a later snapshot is of an earlier state");
                last = now;
                if all_written {
                    assert_eq!(last, 60, "a snapshot after the last answer");
                    break;
                }
            }
        });
    }
    tasks.join_all().await;
}

pub(super) async fn large_values<F: EngineFixture>(fixture: Arc<F>) {
    let engine = fixture.fresh().await;
    let value: Vec<u8> = (0..1024 * 1024_u32).map(|n| n.to_le_bytes()[(n % 3) as usize]).collect();
    for key in [b"a", b"b"] {
        engine.update(put(key, &value).cost(value.len())).await.unwrap();
    }
    assert_eq!(get(&engine, b"b").await.as_deref(), Some(&value[..]));
    let mut length = None;
    let looked = act(move |view, _| {
        view.look(b"a", &mut |value| length = value.map(<[u8]>::len))?;
        Ok(length)
    });
    assert_eq!(engine.update(looked).await, Ok(Some(value.len())));
    engine.update(put(b"a", b"small")).await.unwrap();
    assert_eq!(get(&engine, b"a").await.as_deref(), Some(&b"small"[..]));
}

pub(super) async fn many_writes_in_one_update<F: EngineFixture>(fixture: Arc<F>) {
    let engine = fixture.fresh().await;
    let many = |keep: fn(u64) -> bool| {
        act(move |_, writes| {
            for n in 0..10_000 {
                let key = Bytes::from(format!("{n:05}"));
                if keep(n) { writes.put(key, number(n)) } else { writes.remove(key) }
            }
            Ok(())
        })
        .cost(200_000)
    };
    engine.update(many(|_| true)).await.unwrap();
    assert_eq!(everything(&engine).await.len(), 10_000);
    engine.update(many(|n| n % 2 == 0)).await.unwrap();
    let left = everything(&engine).await;
    let expected = (0..10_000).step_by(2).map(|n| (Bytes::from(format!("{n:05}")), number(n)));
    assert!(left.into_iter().eq(expected));
}

/// Updates of two keys each, from many callers, some of them refused.
async fn busy<E: Engine>(engine: &Arc<E>) {
    let mut callers = JoinSet::new();
    for caller in 0..8_u64 {
        let engine = Arc::clone(engine);
        callers.spawn(async move {
            for turn in 0..10 {
                let write = act(move |_, writes| {
                    writes.put(Bytes::from(format!("x/{caller}")), number(turn));
                    writes.put(Bytes::from(format!("y/{caller}/{turn}")), number(turn));
                    if turn % 4 == 3 { Err(crate::decision::refusal("no")) } else { Ok(()) }
                });
                assert_eq!(engine.update(write.queue(format!("{caller}"))).await.is_ok(), turn % 4 != 3);
            }
        });
    }
    callers.join_all().await;
}

pub(super) async fn what_was_answered_survives_a_restart<F: EngineFixture>(fixture: Arc<F>) -> Result<(), Skip> {
    let mut engine = fixture.fresh().await;
    if !engine.info().durable {
        return Err(Skip(format!("the engine '{}' is not durable", engine.info().name)));
    }
    for round in 0..3 {
        let shared = Arc::new(engine);
        busy(&shared).await;
        shared.update(put(b"round", &number(round))).await.unwrap();
        let before = everything(&*shared).await;
        let closing = Arc::into_inner(shared).expect("all callers are done");
        engine = fixture.reopen(closing).await.expect("a durable engine's fixture can reopen it");
        assert_eq!(everything(&engine).await, before, "round {round}");
    }
    Ok(())
}

pub(super) async fn what_was_answered_survives_a_crash<F: EngineFixture>(fixture: Arc<F>) -> Result<(), Skip> {
    let engine = Arc::new(fixture.fresh().await);
    if !engine.info().durable {
        return Err(Skip(format!("the engine '{}' is not durable", engine.info().name)));
    }
    for round in 0..3 {
        busy(&engine).await;
        engine.update(put(b"round", &number(round))).await.unwrap();
        let Some(after) = fixture.crash(&engine).await else {
            return Err(Skip("the fixture cannot show what a crash leaves".to_owned()));
        };
        assert_eq!(everything(&after).await, everything(&*engine).await, "round {round}");
        after.update(put(b"alive", b"yes")).await.unwrap();
        assert_eq!(get(&after, b"alive").await.as_deref(), Some(&b"yes"[..]));
    }
    Ok(())
}
