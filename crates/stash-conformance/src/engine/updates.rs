//! Updates: all or nothing, and one after another, whatever the engine does to put many of them into one commit.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use bytes::Bytes;
use stash_core::engine::Scan;
use stash_core::{Engine, StorageError};
use tokio::task::JoinSet;

use super::{everything, get};
use crate::decision::{act, increment, look, look_number, number, put, refusal, to_number};
use crate::fixture::EngineFixture;

pub(super) async fn the_last_write_of_a_key_counts<F: EngineFixture>(fixture: Arc<F>) {
    let engine = fixture.fresh().await;
    let (a, b, c) = (Bytes::from_static(b"a"), Bytes::from_static(b"b"), Bytes::from_static(b"c"));
    let decision = act(move |_, writes| {
        writes.put(a.clone(), Bytes::from_static(b"1"));
        writes.put(a.clone(), Bytes::from_static(b"2"));
        writes.put(b.clone(), Bytes::from_static(b"1"));
        writes.remove(b.clone());
        writes.remove(c.clone());
        writes.put(c.clone(), Bytes::new());
        Ok(())
    });
    engine.update(decision).await.unwrap();
    assert_eq!(everything(&engine).await, [("a".into(), "2".into()), ("c".into(), Bytes::new())]);
}

pub(super) async fn a_refused_update_leaves_nothing<F: EngineFixture>(fixture: Arc<F>) {
    let engine = fixture.fresh().await;
    engine.update(put(b"kept", b"1")).await.unwrap();
    let refused = act(|_, writes| -> Result<(), StorageError> {
        writes.put(Bytes::from_static(b"kept"), Bytes::from_static(b"2"));
        writes.put(Bytes::from_static(b"new"), Bytes::from_static(b"2"));
        writes.remove(Bytes::from_static(b"kept"));
        Err(refusal("no"))
    });
    assert_eq!(engine.update(refused).await, Err(refusal("no")), "the caller gets the decision's own error");
    assert_eq!(everything(&engine).await, [("kept".into(), "1".into())]);
    engine.update(put(b"next", b"3")).await.unwrap();
    assert_eq!(everything(&engine).await, [("kept".into(), "1".into()), ("next".into(), "3".into())]);
}

pub(super) async fn refused_updates_disturb_nobody<F: EngineFixture>(fixture: Arc<F>) {
    let engine = Arc::new(fixture.fresh().await);
    let mut callers = JoinSet::new();
    for caller in 0..24_u64 {
        let engine = Arc::clone(&engine);
        callers.spawn(async move {
            for turn in 0..16_u64 {
                let key = Bytes::from(format!("{caller:02}-{turn:02}"));
                let refuse = (caller + turn) % 3 == 0;
                let decision = act(move |_, writes| {
                    writes.put(key.clone(), number(turn));
                    if refuse {
                        writes.put(Bytes::from_static(b"garbage"), number(turn));
                        return Err(refusal(std::str::from_utf8(&key).unwrap()));
                    }
                    Ok((caller, turn))
                });
                let outcome = engine.update(decision.queue(format!("caller {}", caller % 5))).await;
                let expected =
                    if refuse { Err(refusal(&format!("{caller:02}-{turn:02}"))) } else { Ok((caller, turn)) };
                assert_eq!(outcome, expected, "each caller gets its own answer");
            }
        });
    }
    callers.join_all().await;
    let accepted = (0..24_u64).flat_map(|caller| (0..16_u64).map(move |turn| (caller, turn)));
    let expected: Vec<_> = accepted
        .filter(|(caller, turn)| (caller + turn) % 3 != 0)
        .map(|(caller, turn)| (Bytes::from(format!("{caller:02}-{turn:02}")), number(turn)))
        .collect();
    assert_eq!(everything(&*engine).await, expected);
}

pub(super) async fn no_increment_is_lost<F: EngineFixture>(fixture: Arc<F>) {
    let engine = Arc::new(fixture.fresh().await);
    let mut callers = JoinSet::new();
    for caller in 0..16 {
        let engine = Arc::clone(&engine);
        callers.spawn(async move {
            let mut seen = Vec::new();
            for _ in 0..16 {
                seen.push(engine.update(increment(b"count").queue(format!("{caller}"))).await.unwrap());
            }
            assert!(seen.is_sorted_by(|a, b| a < b), "a caller's own updates take effect in its order: {seen:?}");
            seen
        });
    }
    let mut seen = callers.join_all().await.concat();
    seen.sort_unstable();
    assert_eq!(seen, (1..=256).collect::<Vec<_>>(), "every update saw all updates before it");
    assert_eq!(get(&*engine, b"count").await, Some(number(256)));
}

pub(super) async fn no_write_skew<F: EngineFixture>(fixture: Arc<F>) {
    let engine = Arc::new(fixture.fresh().await);
    for round in 0..40 {
        for doctor in [b"a", b"b"] {
            engine.update(put(doctor, b"on call")).await.unwrap();
        }
        let mut callers = JoinSet::new();
        for (me, other) in [(b"a", b"b"), (b"b", b"a")] {
            let engine = Arc::clone(&engine);
            let leave = act(move |view, writes| {
                if look(view, other)?.is_none() {
                    return Err(refusal("the other has left"));
                }
                writes.remove(Bytes::from_static(me));
                Ok(())
            });
            callers.spawn(async move { engine.update(leave.queue(format!("{me:?}"))).await });
        }
        let left = callers.join_all().await.iter().filter(|outcome| outcome.is_ok()).count();
        assert_eq!((left, everything(&*engine).await.len()), (1, 1), "round {round}: exactly one may leave");
    }
}

pub(super) async fn no_phantom<F: EngineFixture>(fixture: Arc<F>) {
    let engine = Arc::new(fixture.fresh().await);
    for round in 0..20 {
        let mut callers = JoinSet::new();
        for caller in 0..8 {
            let engine = Arc::clone(&engine);
            let prefix = format!("{round:02}/");
            let only_if_empty = act(move |view, writes| {
                if !view.scan(&Scan::prefix(prefix.as_bytes()))?.entries.is_empty() {
                    return Err(refusal("taken"));
                }
                writes.put(Bytes::from(format!("{prefix}{caller}")), Bytes::new());
                Ok(())
            });
            callers.spawn(async move { engine.update(only_if_empty.queue(format!("{caller}"))).await.is_ok() });
        }
        let winners = callers.join_all().await.into_iter().filter(|won| *won).count();
        assert_eq!(winners, 1, "round {round}: a scan in a decision sees every update before it");
    }
    assert_eq!(everything(&*engine).await.len(), 20);
}

pub(super) async fn an_answered_update_is_seen_by_every_later_read<F: EngineFixture>(fixture: Arc<F>) {
    let engine = Arc::new(fixture.fresh().await);
    let mut callers = JoinSet::new();
    for caller in 0..8_u8 {
        let engine = Arc::clone(&engine);
        callers.spawn(async move {
            let key = [b'k', caller];
            for turn in 1..=20 {
                engine.update(put(&key, &number(turn))).await.unwrap();
                assert_eq!(get(&*engine, &key).await, Some(number(turn)), "read after the answer");
                let page = engine.scan(&Scan::prefix(&key)).await.unwrap();
                assert_eq!(page.entries, [(Bytes::copy_from_slice(&key), number(turn))], "scan after the answer");
                let removed = Bytes::copy_from_slice(&key);
                let remove = act(move |_, writes| {
                    writes.remove(removed.clone());
                    Ok(())
                });
                engine.update(remove).await.unwrap();
                assert_eq!(get(&*engine, &key).await, None, "read after the removal's answer");
            }
        });
    }
    callers.join_all().await;
}

pub(super) async fn reads_and_scans_never_tear<F: EngineFixture>(fixture: Arc<F>) {
    const KEYS: [&[u8]; 3] = [b"x/1", b"x/2", b"x/3"];
    let engine = Arc::new(fixture.fresh().await);
    let both = |token: u64| {
        act(move |_, writes| {
            for key in KEYS {
                writes.put(Bytes::from_static(key), number(token));
            }
            Ok(())
        })
    };
    engine.update(both(0)).await.unwrap();
    let mut tasks = JoinSet::new();
    let (writing, written) = (Arc::clone(&engine), Arc::new(AtomicBool::new(false)));
    let done = Arc::clone(&written);
    tasks.spawn(async move {
        for token in 1..=100 {
            writing.update(both(token)).await.unwrap();
        }
        done.store(true, Ordering::SeqCst);
    });
    for _ in 0..3 {
        let (engine, written) = (Arc::clone(&engine), Arc::clone(&written));
        tasks.spawn(async move {
            let mut last = 0;
            loop {
                let all_written = written.load(Ordering::SeqCst);
                let read: Vec<_> = engine.read(&KEYS).await.unwrap().into_iter().flatten().collect();
                let scanned = engine.scan(&Scan::prefix(b"x/")).await.unwrap().entries;
                let scanned: Vec<_> = scanned.into_iter().map(|(_, value)| value).collect();
                for values in [read, scanned] {
                    assert!(values.len() == 3 && values.iter().all(|value| *value == values[0]), "torn: {values:?}");
                    let token = to_number(&values[0]);
                    assert!(token >= last, "a later read saw an older state: {token} after {last}");
                    last = token;
                }
                if all_written {
                    assert_eq!(last, 100, "a read after the last answer");
                    break;
                }
                tokio::task::yield_now().await;
            }
        });
    }
    tasks.join_all().await;
}

pub(super) async fn an_update_may_write_nothing<F: EngineFixture>(fixture: Arc<F>) {
    let engine = fixture.fresh().await;
    let looking = || act(|view, _| look_number(view, b"n"));
    assert_eq!(engine.update(looking()).await, Ok(0), "in an engine with nothing in it");
    engine.update(put(b"n", &number(5))).await.unwrap();
    assert_eq!(engine.update(looking()).await, Ok(5));
    let remove_nothing = act(|_, writes| {
        writes.remove(Bytes::from_static(b"absent"));
        Ok(())
    });
    engine.update(remove_nothing).await.unwrap();
    assert_eq!(everything(&engine).await, [("n".into(), number(5))]);
}
