//! Transactions against each other: what each isolation prevents, what it allows, and nothing more than that.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use stash_core::{
    Batch, Committed, ComponentStorage, Isolation, KeyRange, ScanRequest, StorageError, StorageExt, Transaction,
    Version,
};
use tokio::task::JoinSet;

use super::expiry::for_seconds;
use super::transactions::transactional;
use super::{Chain, can, counted, driven, one, open, sets, text};
use crate::report::Skip;
use crate::world::{World, WorldFixture};

use Isolation::{ReadCommitted, Serializable, Snapshot};

fn conflicts(outcome: &Result<Committed, StorageError>) -> bool {
    match outcome {
        Ok(_) => false,
        Err(StorageError::TransactionConflict { .. }) => true,
        Err(error) => panic!("{error}"),
    }
}

async fn number(transaction: &mut Transaction<Chain>, key: &str) -> i64 {
    let value = transaction.get(key).await.unwrap();
    value.map_or(0, |value| value.as_text().unwrap().parse().unwrap())
}

pub(super) async fn no_update_is_lost<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    for (isolation, lost) in [(Serializable, false), (Snapshot, false), (ReadCommitted, true)] {
        chain.set("n", "1").await.unwrap();
        let mut first = chain.begin(isolation).await.unwrap();
        let mut second = chain.begin(isolation).await.unwrap();
        let (a, b) = (number(&mut first, "n").await, number(&mut second, "n").await);
        first.set("n", (a + 1).to_string()).await.unwrap();
        second.set("n", (b + 1).to_string()).await.unwrap();
        let committed = first.commit().await.unwrap();
        let outcome = second.commit().await;
        assert_eq!(conflicts(&outcome), !lost, "{isolation:?}");
        if !lost {
            let expected =
                StorageError::TransactionConflict { key: Some("n".into()), current: Some(committed.version) };
            assert_eq!(outcome.unwrap_err(), expected);
            assert_eq!(expected.to_string(), "the transaction conflicts with a later commit of 'n'; run it again");
            assert!(expected.invites_retry());
        }
        assert_eq!(text(&chain, "n").await.as_deref(), Some("2"));
        // What a plain commit changes counts too; so does what one deletes.
        for plain in [Batch::new().set("n", "9"), Batch::new().delete("n"), Batch::new().delete("n").set("n", "2")] {
            chain.set("n", "2").await.unwrap();
            let mut transaction = chain.begin(isolation).await.unwrap();
            drop(transaction.get("n").await.unwrap());
            transaction.set("n", "3").await.unwrap();
            chain.commit(plain).await.unwrap();
            assert_eq!(conflicts(&transaction.commit().await), !lost, "{isolation:?}");
        }
        // Increments are done on what is there, so that nothing is lost without a conflict either.
        chain.set("n", "1").await.unwrap();
        let mut transaction = chain.begin(isolation).await.unwrap();
        transaction.increment("n", 1).await.unwrap();
        chain.increment("n", 10).await.unwrap();
        let outcome = transaction.commit().await;
        let expected = if conflicts(&outcome) { "11" } else { "12" };
        assert_eq!(text(&chain, "n").await.as_deref(), Some(expected), "{isolation:?}");
    }
    Ok(())
}

pub(super) async fn write_skew_takes_less_than_serializable<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    for (isolation, prevented) in [(Serializable, true), (Snapshot, false), (ReadCommitted, false)] {
        chain.commit(sets(["doctor/a", "doctor/b"], "on call")).await.unwrap();
        let mut leaving = Vec::new();
        for (me, other) in [("doctor/a", "doctor/b"), ("doctor/b", "doctor/a")] {
            let mut transaction = chain.begin(isolation).await.unwrap();
            assert!(transaction.get(other).await.unwrap().is_some());
            transaction.delete(me).await.unwrap();
            leaving.push(transaction);
        }
        let mut outcomes = Vec::new();
        for transaction in leaving {
            outcomes.push(conflicts(&transaction.commit().await));
        }
        assert_eq!(outcomes, [false, prevented], "{isolation:?}");
        assert_eq!(chain.count(&KeyRange::prefix("doctor/")).await.unwrap(), u64::from(prevented));
    }
    Ok(())
}

pub(super) async fn what_was_listed_must_stay_so<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    let range = |start: &str, end: &str| KeyRange {
        start: Some(start.to_owned()),
        end: Some(end.to_owned()),
        ..KeyRange::default()
    };
    let request = |limit, reverse, range| ScanRequest { limit, reverse, range, ..ScanRequest::default() };
    let even = |pattern: &str| KeyRange { pattern: Some(pattern.parse().unwrap()), ..KeyRange::default() };
    // Ten keys, k0 to k9. What is listed; what others then do; whether that matters.
    let insert = |key: &str| Batch::new().set(key, "phantom");
    let cases: Vec<(ScanRequest, Batch, bool)> = vec![
        (request(100, false, KeyRange::prefix("k")), insert("k55"), true),
        (request(100, false, KeyRange::prefix("k")), Batch::new().delete("k5"), true),
        (request(100, false, KeyRange::prefix("k")), Batch::new().set("k5", "v"), true),
        (request(100, false, KeyRange::prefix("k")), Batch::new().delete("k5").set("k55", "as many as before"), true),
        (request(100, false, KeyRange::prefix("k")), Batch::new().clear("k"), true),
        (request(100, false, KeyRange::prefix("k")), insert("j"), false),
        (request(100, false, KeyRange::prefix("k")), insert("l"), false),
        (request(100, false, range("k2", "k4")), insert("k2"), true),
        (request(100, false, range("k2", "k4")), insert("k4"), false),
        (request(100, false, range("k2", "k4")), insert("k3zz"), true),
        // A page that ended: what is beyond it was not read.
        (request(3, false, KeyRange::prefix("k")), insert("k11"), true),
        (request(3, false, KeyRange::prefix("k")), insert("a"), false),
        (request(3, false, KeyRange::prefix("k")), insert("k21"), false),
        (request(3, false, KeyRange::prefix("k")), Batch::new().delete("k3"), false),
        (request(3, false, KeyRange::prefix("k")), Batch::new().delete("k2"), true),
        (request(3, true, KeyRange::prefix("k")), insert("k8+"), true),
        (request(3, true, KeyRange::prefix("k")), insert("k9+"), true),
        (request(3, true, KeyRange::prefix("k")), insert("k6+"), false),
        (request(3, true, KeyRange::prefix("k")), Batch::new().delete("k6"), false),
        // A page that has all there is, has seen the end.
        (request(10, false, KeyRange::prefix("k")), insert("k99"), true),
        (request(100, false, even("k?")), insert("k10"), false),
        (request(100, false, even("k?")), insert("kx"), true),
        (ScanRequest { after: Some("k4".into()), ..request(2, false, KeyRange::prefix("k")) }, insert("k3+"), false),
        (ScanRequest { after: Some("k4".into()), ..request(2, false, KeyRange::prefix("k")) }, insert("k4+"), true),
        (ScanRequest { after: Some("k4".into()), ..request(2, true, KeyRange::prefix("k")) }, insert("k3+"), true),
        (ScanRequest { after: Some("k4".into()), ..request(2, true, KeyRange::prefix("k")) }, insert("k4+"), false),
        (request(100, false, KeyRange::prefix("nothing")), insert("nothing at first"), true),
    ];
    for (request, others, matters) in cases {
        for isolation in [Serializable, Snapshot, ReadCommitted] {
            let shown = format!("{isolation:?}: {request:?} and then {others:?}");
            let mut again = Batch::new().clear("");
            for n in 0..10 {
                again = again.set(format!("k{n}"), "v");
            }
            chain.commit(again).await.unwrap();
            let mut transaction = chain.begin(isolation).await.unwrap();
            drop(transaction.scan(&request).await.unwrap());
            transaction.set("decided", "by what was listed").await.unwrap();
            let batch = others
                .mutations()
                .iter()
                .fold(Batch::new(), |batch, mutation| batch.change(mutation.key(), mutation.change().clone()));
            chain.commit(batch).await.unwrap();
            let outcome = transaction.commit().await;
            assert_eq!(conflicts(&outcome), matters && isolation == Serializable, "{shown}");
            assert_eq!(chain.exists("decided").await.unwrap(), outcome.is_ok());
        }
    }
    Ok(())
}

pub(super) async fn a_record_made_again_was_changed<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    for (isolation, matters) in [(Serializable, true), (Snapshot, true), (ReadCommitted, false)] {
        chain.set("k", "same").await.unwrap();
        let mut transaction = chain.begin(isolation).await.unwrap();
        drop(transaction.get("k").await.unwrap());
        transaction.set("k", "new").await.unwrap();
        chain.delete("k").await.unwrap();
        chain.set("k", "same").await.unwrap();
        assert_eq!(conflicts(&transaction.commit().await), matters, "{isolation:?}");
        // An absent key that came and went is absent.
        let mut transaction = chain.begin(isolation).await.unwrap();
        assert_eq!(transaction.get("absent").await.unwrap(), None);
        transaction.set("k", "new").await.unwrap();
        chain.set("absent", "v").await.unwrap();
        chain.delete("absent").await.unwrap();
        transaction.commit().await.unwrap();
        let mut transaction = chain.begin(isolation).await.unwrap();
        assert_eq!(transaction.get("absent").await.unwrap(), None);
        transaction.set("k", "new").await.unwrap();
        chain.set("absent", "v").await.unwrap();
        assert_eq!(conflicts(&transaction.commit().await), isolation == Serializable);
        chain.delete("absent").await.unwrap();
    }
    Ok(())
}

pub(super) async fn reading_alone_never_conflicts<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    for isolation in [Serializable, Snapshot, ReadCommitted] {
        let version = chain.commit(sets(["a", "b"], "v")).await.unwrap().version;
        let mut transaction = chain.begin(isolation).await.unwrap();
        drop(transaction.read(&["a", "b", "c"]).await.unwrap());
        assert_eq!(transaction.count(&KeyRange::default()).await.unwrap(), 2);
        chain.commit(sets(["a", "c"], "new")).await.unwrap();
        let committed = transaction.commit().await.unwrap();
        assert_eq!((committed.version, committed.outcomes.len()), (version, 0), "{isolation:?}");
        // Neither do writes of what nobody else touched.
        let mut transaction = chain.begin(isolation).await.unwrap();
        transaction.set("mine", "v").await.unwrap();
        chain.set("a", "newer").await.unwrap();
        assert!(transaction.commit().await.unwrap().version > Version(version.0 + 1));
        chain.clear("").await.unwrap();
    }
    Ok(())
}

const ACCOUNTS: usize = 6;
const START: i64 = 100;

pub(super) async fn money_is_moved_and_never_made<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (world, chain) = transactional(&worlds).await?;
    chain.commit(sets((0..ACCOUNTS).map(|n| format!("account/{n}")), &START.to_string())).await.unwrap();
    let done = Arc::new(AtomicBool::new(false));
    let mut auditors = JoinSet::new();
    for auditor in 0..2 {
        let (chain, done) = (open(&world, &one()), Arc::clone(&done));
        auditors.spawn(async move {
            let mut audits = 0;
            let mut last = Version(0);
            while !done.load(Ordering::SeqCst) || audits == 0 {
                let mut audit = chain.begin([Snapshot, Serializable][auditor]).await.unwrap();
                assert!(audit.version() >= last, "a later transaction sees an earlier state");
                last = audit.version();
                let (mut sum, mut request) =
                    (0, ScanRequest { limit: 2, ..ScanRequest::prefix("account/").with_values() });
                loop {
                    let page = audit.scan(&request).await.unwrap();
                    let number =
                        |entry: &stash_core::ScanEntry| entry.record.value.as_text().unwrap().parse::<i64>().unwrap();
                    sum += page.entries.iter().map(number).sum::<i64>();
                    tokio::task::yield_now().await;
                    let Some(resume) = page.resume else { break };
                    request.after = Some(resume.into());
                }
                assert_eq!(sum, START * i64::try_from(ACCOUNTS).unwrap(), "at version {last}");
                audits += 1;
            }
        });
    }
    let mut movers = JoinSet::new();
    for mover in 0..5_usize {
        let chain = open(&world, &one());
        movers.spawn(async move {
            for turn in 0..12_usize {
                let (from, to) = ((mover + turn) % ACCOUNTS, (mover * turn + turn + 1) % ACCOUNTS);
                let (from, to) = (format!("account/{from}"), format!("account/{to}"));
                let isolation = if turn % 2 == 0 { Serializable } else { Snapshot };
                for attempt in 0.. {
                    assert!(attempt < 10_000, "a transaction never gets through");
                    let mut transaction = chain.begin(isolation).await.unwrap();
                    let left = number(&mut transaction, &from).await - 7;
                    transaction.set(&from, left.to_string()).await.unwrap();
                    tokio::task::yield_now().await;
                    let more = number(&mut transaction, &to).await + 7;
                    transaction.set(&to, more.to_string()).await.unwrap();
                    if !conflicts(&transaction.commit().await) {
                        break;
                    }
                    tokio::task::yield_now().await;
                }
                chain.increment("moves", 1).await.unwrap();
            }
        });
    }
    movers.join_all().await;
    done.store(true, Ordering::SeqCst);
    auditors.join_all().await;
    assert_eq!(text(&chain, "moves").await.as_deref(), Some("60"));
    assert_eq!(chain.usage("").await.unwrap(), counted(&chain).await);
    Ok(())
}

pub(super) async fn a_transaction_is_run_until_it_commits<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    apart(move || async move {
        let mut runs = 0;
        let answer: i64 = chain
            .transaction(async |transaction| {
                runs += 1;
                let before = number(transaction, "n").await;
                transaction.set("n", (before + 1).to_string()).await?;
                if runs < 4 {
                    chain.increment("n", 10).await?;
                }
                Ok::<_, StorageError>(before + 1)
            })
            .await
            .unwrap();
        assert_eq!((runs, answer, text(&chain, "n").await.as_deref()), (4, 31, Some("31")));
        let mut runs = 0;
        let outcome = chain
            .transaction(async |transaction| {
                runs += 1;
                drop(transaction.get("n").await?);
                chain.increment("n", 1).await?;
                transaction.set("m", "v").await
            })
            .await;
        assert!(matches!(outcome, Err(StorageError::TransactionConflict { .. })), "{outcome:?}");
        assert_eq!((runs, text(&chain, "m").await), (100, None), "it does not try for ever");
        let version = chain.commit(Batch::new()).await.unwrap().version;
        let failed: Result<(), StorageError> = chain
            .transaction(async |transaction| {
                transaction.set("n", "never").await?;
                Err(StorageError::Closed)
            })
            .await;
        assert_eq!((failed, chain.commit(Batch::new()).await.unwrap().version), (Err(StorageError::Closed), version));
    })
    .await;
    Ok(())
}

/// Runs on a thread of its own what cannot be held by a task that moves between threads: the compiler does not see that
/// the future of [`StorageExt::transaction`] could be.
async fn apart<Fut: Future<Output = ()>>(run: impl FnOnce() -> Fut + Send + 'static) {
    let runtime = tokio::runtime::Handle::current();
    let outcome = tokio::task::spawn_blocking(move || runtime.block_on(run())).await;
    if let Err(error) = outcome {
        std::panic::resume_unwind(error.into_panic());
    }
}

pub(super) async fn what_never_was_is_not_committed<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (world, chain) = transactional(&worlds).await?;
    driven(&world)?;
    can(&chain, "expiry", |capabilities| capabilities.expiry)?;
    let second = Duration::from_secs(1);
    for isolation in [Serializable, Snapshot, ReadCommitted] {
        for lists in [false, true] {
            // Both expire at once: nobody may have seen one of them alone.
            chain
                .commit(Batch::new().set_with("a", "v", for_seconds(2)).set_with("b", "v", for_seconds(2)))
                .await
                .unwrap();
            let mut transaction = chain.begin(isolation).await.unwrap();
            let mut patient = chain.begin(isolation).await.unwrap();
            for transaction in [&mut transaction, &mut patient] {
                if lists {
                    assert_eq!(transaction.count(&KeyRange::prefix("a")).await.unwrap(), 1);
                } else {
                    assert!(transaction.get("a").await.unwrap().is_some());
                }
            }
            world.advance(second);
            let early = patient.commit().await;
            assert!(early.is_ok(), "{isolation:?}: nothing has expired");
            world.advance(second);
            assert_eq!(transaction.get("b").await.unwrap(), None);
            let outcome = transaction.commit().await;
            if isolation == ReadCommitted {
                outcome.unwrap();
            } else {
                let expected = StorageError::TransactionConflict { key: None, current: None };
                assert_eq!(outcome.unwrap_err(), expected, "{isolation:?}, lists: {lists}");
            }
            // One that finds both gone has seen what was.
            let mut transaction = chain.begin(isolation).await.unwrap();
            assert_eq!(transaction.read(&["a", "b"]).await.unwrap(), [None, None]);
            world.advance(second);
            transaction.commit().await.unwrap();
        }
    }
    Ok(())
}

pub(super) async fn a_number_is_stored_as_it_was_told<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (world, chain) = transactional(&worlds).await?;
    driven(&world)?;
    can(&chain, "expiry", |capabilities| capabilities.expiry)?;
    let second = Duration::from_secs(1);
    for isolation in [Serializable, Snapshot] {
        chain.set_with("n", "5", for_seconds(2), None).await.unwrap();
        chain.set("other", "v").await.unwrap();
        let mut transaction = chain.begin(isolation).await.unwrap();
        let mut early = chain.begin(isolation).await.unwrap();
        transaction.set("other", "w").await.unwrap();
        assert_eq!(transaction.increment("n", 1).await.unwrap(), 6);
        assert_eq!(transaction.increment("n", 0).await.unwrap(), 6);
        assert_eq!(early.increment("n", 1).await.unwrap(), 6);
        world.advance(second);
        early.commit().await.unwrap();
        assert_eq!(text(&chain, "n").await.as_deref(), Some("6"));
        assert!(conflicts(&transaction.commit().await), "another has counted");
        let mut transaction = chain.begin(isolation).await.unwrap();
        assert_eq!(transaction.increment("n", 1).await.unwrap(), 7);
        world.advance(second);
        let expected = StorageError::TransactionConflict { key: Some("n".into()), current: None };
        assert_eq!(transaction.commit().await.unwrap_err(), expected, "{isolation:?}: it would be 1");
        assert_eq!(text(&chain, "n").await, None);
        let mut transaction = chain.begin(isolation).await.unwrap();
        assert_eq!(transaction.increment("n", 1).await.unwrap(), 1);
        transaction.commit().await.unwrap();
        chain.delete("n").await.unwrap();
    }
    Ok(())
}
