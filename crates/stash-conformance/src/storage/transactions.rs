//! Transactions by themselves: they see their own writes and one state, and leave nothing unless they commit.

use std::sync::Arc;
use std::time::Duration;

use stash_core::limits::MAX_OPEN_TRANSACTIONS;
use stash_core::{
    Batch, Change, CollectionSettings, ComponentStorage, Condition, Expiry, Isolation, KeyRange, Leases, ManualClock,
    MetadataChange, ScanRequest, SetOptions, StorageError, StorageExt, Transaction,
};

use super::{Chain, can, counted_everywhere, name, one, open, records, sets, text};
use crate::report::Skip;
use crate::world::WorldFixture;

const ALL: [Isolation; 3] = [Isolation::Serializable, Isolation::Snapshot, Isolation::ReadCommitted];

pub(super) async fn transactional<F: WorldFixture>(worlds: &Arc<F>) -> Result<(F::World, Chain), Skip> {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    can(&chain, "transactions", |capabilities| capabilities.transactions)?;
    Ok((world, chain))
}

async fn keys(transaction: &mut Transaction<Chain>, request: &ScanRequest) -> (Vec<String>, bool) {
    let page = transaction.scan(request).await.unwrap();
    let more = page.resume.is_some();
    (page.keys(), more)
}

pub(super) async fn a_transaction_reads_its_own_writes<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    for isolation in ALL {
        chain.clear("").await.unwrap();
        chain.commit(sets(["a", "c", "e", "g"], "old").set("n", "1")).await.unwrap();
        let before = records(&chain).await;
        let mut transaction = chain.begin(isolation).await.unwrap();
        transaction.set("b", "new").await.unwrap();
        transaction.set("c", "new").await.unwrap();
        transaction.delete("e").await.unwrap();
        assert_eq!(transaction.increment("n", 41).await.unwrap(), 42);
        assert_eq!(transaction.increment("m", 2).await.unwrap(), 2);
        transaction.change("a", Change::Append("+".into())).await.unwrap();
        assert_eq!(transaction.change("n", Change::Max(50)).await.unwrap(), Some(50));
        transaction.change("c", Change::Expire(Expiry::After(Duration::from_hours(1)))).await.unwrap();
        let options = SetOptions { content_type: Some("x/y".into()), ..SetOptions::default() };
        transaction.set_with("typed", "v", options).await.unwrap();
        let replace = MetadataChange::Replace { content_type: Some("z".into()), attributes: [].into() };
        transaction.change("c", Change::Metadata(replace.into())).await.unwrap();

        let read = transaction.read(&["a", "b", "c", "e", "g", "b", "absent"]).await.unwrap();
        let values: Vec<_> =
            read.iter().map(|record| record.as_ref().map(|record| record.value.as_text().unwrap())).collect();
        assert_eq!(values, [Some("old+"), Some("new"), Some("new"), None, Some("old"), Some("new"), None]);
        assert_eq!(read[2].as_ref().unwrap().metadata.content_type(), Some("z"));
        assert!(read[2].as_ref().unwrap().metadata.expires.is_some());
        assert_eq!(transaction.get("n").await.unwrap(), Some("50".into()));
        let all = ["a", "b", "c", "g", "m", "n", "typed"];
        assert_eq!(keys(&mut transaction, &ScanRequest::default()).await, (all.map(str::to_owned).to_vec(), false));
        assert_eq!(transaction.count(&KeyRange::default()).await.unwrap(), 7);
        assert_eq!(records(&chain).await, before, "nobody else sees it");
        let error = transaction.change("", Change::Delete).await.unwrap_err();
        assert!(matches!(error, StorageError::InvalidKey { .. }));
        let missing = transaction.change("e", Change::Expire(Expiry::Never)).await.unwrap_err();
        assert_eq!(missing, StorageError::NotFound { key: "e".to_owned() });
        assert!(matches!(transaction.increment("b", 1).await.unwrap_err(), StorageError::NotANumber { .. }));
        let clear = Change::Clear { limit: 1, whole: false, records: true, history: false };
        assert!(matches!(transaction.change("a", clear).await.unwrap_err(), StorageError::Unsupported { .. }));

        let committed = transaction.commit().await.unwrap();
        let after = records(&chain).await;
        assert!(after.keys().eq(all), "{isolation:?}: {after:?}");
        assert!(after.iter().all(|(key, record)| (record.version == committed.version) == (key != "g")));
        assert_eq!((after["a"].value.as_text(), after["n"].value.as_text()), (Some("old+"), Some("50")));
        assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
    }
    Ok(())
}

pub(super) async fn pages_in_a_transaction_join_up<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    chain.commit(sets((0..20).map(|n| format!("{n:02}")), "v")).await.unwrap();
    for isolation in ALL {
        let mut transaction = chain.begin(isolation).await.unwrap();
        let mut expected: Vec<String> = (0..20).map(|n| format!("{n:02}")).collect();
        for n in [0, 5, 6, 7, 19] {
            transaction.delete(&format!("{n:02}")).await.unwrap();
        }
        for key in ["00+", "06", "06+", "1", "19+", "99", " "] {
            transaction.set(key, "own").await.unwrap();
            expected.push(key.to_owned());
        }
        expected.retain(|key| !["00", "05", "07", "19"].contains(&key.as_str()));
        expected.sort();
        expected.dedup();
        for reverse in [false, true] {
            for limit in [1, 2, 3, 7, 100] {
                for prefix in ["", "0", "06", "1"] {
                    let mut request = ScanRequest { reverse, limit, ..ScanRequest::prefix(prefix) };
                    let mut found: Vec<String> = Vec::new();
                    loop {
                        let page = transaction.scan(&request).await.unwrap();
                        assert!(page.entries.len() <= limit);
                        let resume = page.resume.clone();
                        found.extend(page.keys());
                        assert!(found.len() <= expected.len(), "{request:?}: {found:?}");
                        let Some(resume) = resume else { break };
                        request.after = Some(resume.into());
                    }
                    let mut expected: Vec<_> = expected.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
                    if reverse {
                        expected.reverse();
                    }
                    assert_eq!(found, expected, "{isolation:?}, {prefix:?} by {limit}, reverse: {reverse}");
                }
            }
        }
        let range = KeyRange { start: Some("05".into()), end: Some("06+".into()), ..KeyRange::default() };
        assert_eq!(transaction.count(&range).await.unwrap(), 1);
        let pattern = KeyRange { pattern: Some("*+".parse().unwrap()), ..KeyRange::default() };
        assert_eq!(transaction.count(&pattern).await.unwrap(), 3);
        // Its own records are shown as any others: without what was not asked for.
        let options = SetOptions {
            content_type: Some("x/y".into()),
            attributes: [("a".into(), "b".into())].into(),
            ..SetOptions::default()
        };
        transaction.set_with("06", "own", options).await.unwrap();
        for (values, content_type) in [(false, None), (true, Some("x/y"))] {
            let request = ScanRequest { values, ..ScanRequest::prefix("06") };
            let page = transaction.scan(&request).await.unwrap();
            let record = &page.entries.first().expect("it is listed").record;
            assert_eq!(record.value.is_empty(), !values);
            assert_eq!(record.metadata.content_type(), content_type, "values: {values}");
            assert_eq!(record.metadata.attributes().len(), usize::from(values));
        }
    }
    Ok(())
}

pub(super) async fn what_is_rolled_back_leaves_nothing<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    chain.commit(sets(["a", "b"], "old")).await.unwrap();
    let before = records(&chain).await;
    for isolation in ALL {
        for way in 0..3 {
            let mut transaction = chain.begin(isolation).await.unwrap();
            drop(transaction.get("a").await.unwrap());
            transaction.set("a", "new").await.unwrap();
            transaction.delete("b").await.unwrap();
            transaction.set("c", "new").await.unwrap();
            match way {
                0 => drop(transaction),
                1 => transaction.roll_back(),
                _ => drop(transaction.commit()),
            }
            assert_eq!(records(&chain).await, before, "{isolation:?}");
            for key in ["a", "b", "c"] {
                assert_eq!(chain.read_one(key).await.unwrap().as_ref(), before.get(key));
            }
        }
    }
    Ok(())
}

pub(super) async fn a_snapshot_stays_as_it_was<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    chain.commit(sets(["a", "b", "c"], "old")).await.unwrap();
    let snapshot = chain.snapshot().await.unwrap();
    let mut frozen = Vec::new();
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        frozen.push(chain.begin(isolation).await.unwrap());
    }
    let mut moving = chain.begin(Isolation::ReadCommitted).await.unwrap();
    let version = snapshot.version().await.unwrap();
    let first = ScanRequest { limit: 1, ..ScanRequest::default().with_values() };
    let page = snapshot.scan(&first).await.unwrap();
    assert_eq!(page.entries[0].record.value.as_text(), Some("old"));
    chain.commit(Batch::new().set("a", "new").delete("b").set("bb", "new").set("d", "new")).await.unwrap();
    let old = [Some("old"), Some("old"), Some("old"), None, None];
    let new = [Some("new"), None, Some("old"), Some("new"), Some("new")];
    let names = ["a", "b", "c", "bb", "d"];
    let values = |found: Vec<Option<stash_core::Record>>| -> Vec<Option<String>> {
        found.into_iter().map(|record| record.map(|record| record.value.as_text().unwrap().to_owned())).collect()
    };
    assert_eq!(values(snapshot.read(&names).await.unwrap()), old.map(|value| value.map(str::to_owned)));
    let rest = ScanRequest { after: Some("a".to_owned()), ..ScanRequest::default().with_values() };
    assert_eq!(snapshot.scan(&rest).await.unwrap().keys(), ["b", "c"], "the pages of a snapshot belong together");
    assert_eq!(snapshot.version().await.unwrap(), version);
    for transaction in &mut frozen {
        assert_eq!(values(transaction.read(&names).await.unwrap()), old.map(|value| value.map(str::to_owned)));
        assert_eq!(keys(transaction, &ScanRequest::default()).await.0, ["a", "b", "c"]);
        assert_eq!(transaction.version(), version);
    }
    assert_eq!(values(moving.read(&names).await.unwrap()), new.map(|value| value.map(str::to_owned)));
    assert_eq!(keys(&mut moving, &ScanRequest::default()).await.0, ["a", "bb", "c", "d"], "others' commits are seen");
    Ok(())
}

pub(super) async fn a_transaction_spans_collections<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    for place in ["a", "b"] {
        chain.create_collection(&name(place), &CollectionSettings::default()).await.unwrap();
    }
    let (a, b) = (name("a"), name("b"));
    let inside = chain.open_collection(Some(&a)).await.unwrap();
    inside.set("k", "1").await.unwrap();
    chain.set("k", "10").await.unwrap();
    for isolation in ALL {
        let mut transaction = inside.begin(isolation).await.unwrap();
        assert_eq!(transaction.increment("k", 1).await.unwrap(), 2, "the collection that it was begun on");
        let seen = transaction.in_collection(None).read_one("k").await.unwrap().unwrap();
        assert_eq!(seen.value.as_text(), Some("10"));
        transaction
            .in_collection(Some(&b))
            .change("k", Change::Set { value: "b".into(), options: None })
            .await
            .unwrap();
        let page = transaction.in_collection(Some(&b)).scan(&ScanRequest::default()).await.unwrap();
        assert_eq!(page.keys(), ["k"]);
        assert_eq!(transaction.in_collection(None).read(&["k"]).await.unwrap(), [Some(seen)]);
        let committed = transaction.commit().await.unwrap();
        let record = chain.in_collection(Some(&b)).unwrap().read_one("k").await.unwrap().unwrap();
        assert_eq!((record.value.as_text(), record.version), (Some("b"), committed.version));
        assert_eq!(text(&inside, "k").await.as_deref(), Some("2"));
        assert_eq!(text(&chain, "k").await.as_deref(), Some("10"));
        inside.set("k", "1").await.unwrap();
        chain.in_collection(Some(&b)).unwrap().clear("").await.unwrap();
    }
    // What was read in one collection counts for what is written in another.
    let mut transaction = chain.begin(Isolation::Serializable).await.unwrap();
    assert_eq!(transaction.in_collection(Some(&b)).count(&KeyRange::default()).await.unwrap(), 0);
    transaction.set("k", "11").await.unwrap();
    chain.in_collection(Some(&b)).unwrap().set("phantom", "v").await.unwrap();
    assert!(matches!(transaction.commit().await, Err(StorageError::TransactionConflict { .. })));
    let mut transaction = chain.begin(Isolation::Serializable).await.unwrap();
    transaction.in_collection(Some(&name("nowhere"))).change("k", Change::Delete).await.unwrap();
    let missing = StorageError::NoCollection { name: "nowhere".to_owned() };
    assert_eq!(transaction.commit().await.unwrap_err(), missing);
    Ok(())
}

pub(super) async fn a_transaction_that_is_too_old_ends<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    let clock = ManualClock::default();
    let leases = Leases::new(Arc::new(clock.clone()), Duration::from_secs(5));
    chain.set("k", "v").await.unwrap();
    for isolation in ALL {
        let mut old = Transaction::begin(&chain, isolation, &leases).await.unwrap();
        old.set("k", "old").await.unwrap();
        clock.advance(Duration::from_secs(5));
        assert_eq!(old.get("other").await.unwrap(), None, "to the last moment");
        let young = Transaction::begin(&chain, isolation, &leases).await.unwrap();
        assert_eq!(leases.open(), 2);
        clock.advance(Duration::from_millis(1));
        let text = "the transaction is over: it was open for longer than 5 s and was rolled back; begin a new one";
        assert_eq!(old.get("k").await.unwrap_err().to_string(), text);
        assert_eq!(old.set("k", "old").await.unwrap_err().to_string(), text);
        assert_eq!(old.scan(&ScanRequest::default()).await.unwrap_err().to_string(), text);
        assert_eq!(old.commit().await.unwrap_err().to_string(), text);
        assert!(leases.end_old(), "one is open still");
        young.commit().await.unwrap();
        let forgotten = Transaction::begin(&chain, isolation, &leases).await.unwrap();
        clock.advance(Duration::from_secs(6));
        leases.end_old();
        assert_eq!(leases.open(), 0, "one that never asks again is let go of");
        drop(forgotten);
        assert!(!leases.end_old());
        assert_eq!(super::text(&chain, "k").await.as_deref(), Some("v"));
    }
    Ok(())
}

pub(super) async fn transactions_have_limits<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    let leases = Leases::new(Arc::new(ManualClock::default()), Duration::from_secs(5));
    let mut open = Vec::new();
    for _ in 0..MAX_OPEN_TRANSACTIONS {
        open.push(Transaction::begin(&chain, Isolation::Snapshot, &leases).await.unwrap());
    }
    let error = Transaction::begin(&chain, Isolation::Snapshot, &leases).await.unwrap_err().to_string();
    assert_eq!(
        error,
        "limit exceeded: the number of open transactions is 65; the limit is 64; commit or roll back one first"
    );
    open.pop();
    drop(Transaction::begin(&chain, Isolation::Snapshot, &leases).await.unwrap());
    drop(open);

    let mut transaction = chain.begin(Isolation::Snapshot).await.unwrap();
    let most = chain.capabilities().limits.value_bytes;
    let error = transaction.set("k", vec![0; most + 1]).await.unwrap_err();
    assert!(matches!(error, StorageError::LimitExceeded { .. }), "{error:?}");
    transaction.change("k", Change::Append("v".into())).await.unwrap();
    assert_eq!(transaction.get("k").await.unwrap(), Some("v".into()), "it goes on as it was before the call");
    transaction.commit().await.unwrap();
    let mut transaction = chain.begin(Isolation::ReadCommitted).await.unwrap();
    for n in 0..chain.capabilities().limits.batch_items {
        transaction.set(&format!("{n}"), "").await.unwrap();
    }
    let error = transaction.set("more", "").await.unwrap_err().to_string();
    assert_eq!(
        error,
        "limit exceeded: the number of changes in a transaction is 10001; the limit is 10000; divide it into several transactions"
    );
    transaction.commit().await.unwrap();
    assert_eq!(chain.count(&KeyRange::default()).await.unwrap(), 10_001);
    let error = chain.delete_if("k", Condition::Absent).await.unwrap_err();
    assert!(matches!(error, StorageError::AlreadyExists { .. }));
    Ok(())
}

pub(super) async fn own_writes_are_listed_as_if_they_were_committed<F: WorldFixture>(
    worlds: Arc<F>,
) -> Result<(), Skip> {
    async fn listed(transaction: &mut Transaction<Chain>, request: &ScanRequest) -> Vec<(String, Vec<u8>)> {
        let (mut request, mut all) = (request.clone(), Vec::new());
        loop {
            let page = transaction.scan(&request).await.unwrap();
            assert!(page.entries.len() <= request.limit);
            all.extend(page.entries.iter().map(|entry| (entry.key.to_string(), entry.record.value.to_vec())));
            assert!(all.len() < 1_000, "it does not end: {request:?}");
            let Some(resume) = page.resume else { return all };
            request.after = Some(resume.into());
        }
    }
    let (_world, chain) = transactional(&worlds).await?;
    let stored = ["a", "ab", "abc", "b", "ba", "bb", "bbb", "c", "ca", "\u{10ffff}"];
    let (own, gone) = (["", "0", "a+", "ab", "b+", "bc", "c+", "\u{10ffff}+"], ["abc", "bb", "ca", "nothing"]);
    for isolation in ALL {
        chain.clear("").await.unwrap();
        chain.commit(sets(stored, "old")).await.unwrap();
        let mut transaction = chain.begin(isolation).await.unwrap();
        for key in own.into_iter().filter(|key| !key.is_empty()) {
            transaction.set(key, "own").await.unwrap();
        }
        for key in gone {
            transaction.delete(key).await.unwrap();
        }
        let mut requests = Vec::new();
        for (prefix, start, end) in [
            ("", None, None),
            ("a", None, None),
            ("b", Some("b+"), None),
            ("b", Some("a"), Some("bb")),
            ("", Some("ab"), Some("c")),
            ("", Some("c"), Some("ab")),
            ("c", None, Some("c")),
            ("\u{10ffff}", None, None),
        ] {
            for pattern in [None, Some("*b*"), Some("b?"), Some("*+")] {
                for after in [None, Some("ab"), Some("b+"), Some("z")] {
                    let range = KeyRange {
                        prefix: prefix.into(),
                        start: start.map(str::to_owned),
                        end: end.map(str::to_owned),
                        pattern: pattern.map(|pattern| pattern.parse().unwrap()),
                    };
                    let after = after.map(str::to_owned);
                    for (reverse, limit, max_bytes) in [(false, 1, 1), (true, 1, 100), (false, 3, 5), (true, 100, 9)] {
                        let range = range.clone();
                        let values = limit != 3;
                        requests.push(ScanRequest { range, after: after.clone(), reverse, limit, max_bytes, values });
                    }
                }
            }
        }
        let mut within = Vec::new();
        for request in &requests {
            within.push(listed(&mut transaction, request).await);
        }
        transaction.commit().await.unwrap();
        let mut committed = chain.begin(isolation).await.unwrap();
        for (request, within) in requests.iter().zip(within) {
            assert_eq!(within, listed(&mut committed, request).await, "{isolation:?}: {request:?}");
        }
    }
    Ok(())
}

pub(super) async fn a_set_does_not_tell_when_its_record_was_made<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    for isolation in ALL {
        chain.commit(sets(["old", "added", "gone"], "1").delete("new")).await.unwrap();
        let before = records(&chain).await;
        let mut transaction = chain.begin(isolation).await.unwrap();
        for key in ["old", "new"] {
            transaction.set(key, "2").await.unwrap();
            let shown = transaction.read_one(key).await.unwrap().unwrap();
            assert_eq!(shown.metadata.created, None, "it has not looked at what there was: {key}");
            transaction.increment(key, 1).await.unwrap();
            assert_eq!(transaction.read_one(key).await.unwrap().unwrap().metadata.created, None);
        }
        transaction.increment("added", 1).await.unwrap();
        let made = before["added"].metadata.created;
        assert_eq!(transaction.read_one("added").await.unwrap().unwrap().metadata.created, made);
        transaction.set("added", "5").await.unwrap();
        assert_eq!(transaction.read_one("added").await.unwrap().unwrap().metadata.created, made, "it knows by now");
        transaction.delete("gone").await.unwrap();
        transaction.set("gone", "again").await.unwrap();
        assert!(transaction.read_one("gone").await.unwrap().unwrap().metadata.created.is_some(), "it began anew");
        transaction.commit().await.unwrap();
        let after = records(&chain).await;
        for key in ["old", "added"] {
            assert_eq!(after[key].metadata.created, before[key].metadata.created, "{key}");
        }
    }
    Ok(())
}

pub(super) async fn large_records_are_removed_by_a_transaction<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    let value = bytes::Bytes::from(vec![7; 15 * 1024 * 1024]);
    let longest = "k".repeat(stash_core::limits::MAX_KEY_BYTES);
    let keys = ["1", "2", "3", "4", longest.as_str()];
    for isolation in ALL {
        for key in keys {
            chain.set(key, value.clone()).await.unwrap();
        }
        chain.set("11", "neighbour").await.unwrap();
        let mut conflicting = chain.begin(isolation).await.unwrap();
        let mut transaction = chain.begin(isolation).await.unwrap();
        for key in keys.into_iter().chain(["absent", "1\0"]) {
            conflicting.delete(key).await.unwrap();
            transaction.delete(key).await.unwrap();
        }
        transaction.commit().await.unwrap();
        assert_eq!(chain.list_keys("").await.unwrap(), ["11"], "{isolation:?}");
        if isolation == Isolation::Snapshot {
            let error = conflicting.commit().await.unwrap_err();
            let first = StorageError::TransactionConflict { key: Some("1".into()), current: None };
            assert_eq!(error, first);
        }
    }
    // Neither is one in the way that was made where there was none, however much the same its neighbours are.
    let mut transaction = chain.begin(Isolation::Snapshot).await.unwrap();
    transaction.set("1", "mine").await.unwrap();
    transaction.set(&longest, "mine").await.unwrap();
    chain.set(&longest, "another's").await.unwrap();
    let error = transaction.commit().await.unwrap_err();
    assert!(matches!(error, StorageError::TransactionConflict { key: Some(key), .. } if key == longest));
    Ok(())
}

pub(super) async fn what_a_transaction_was_refused_is_free<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let (_world, chain) = transactional(&worlds).await?;
    // Shared: nothing of this size is allocated more than once.
    let value = bytes::Bytes::from(vec![7; 15 * 1024 * 1024]);
    let leases = Leases::new(Arc::new(ManualClock::default()), Duration::from_secs(5));
    let mut large = Transaction::begin(&chain, Isolation::Snapshot, &leases).await.unwrap();
    for key in ["1", "2", "3", "4"] {
        large.set(key, value.clone()).await.unwrap();
    }
    let mut other = Transaction::begin(&chain, Isolation::Snapshot, &leases).await.unwrap();
    for _ in 0..8 {
        let error = other.set("5", value.clone()).await.unwrap_err();
        let StorageError::LimitExceeded { what, .. } = error else { panic!("{error:?}") };
        assert_eq!(what, "the size of the open transactions in bytes");
        assert_eq!(other.get("5").await.unwrap(), None, "it is as it was");
    }
    large.roll_back();
    for key in ["5", "6"] {
        other.set(key, value.clone()).await.unwrap();
    }
    other.roll_back();
    // Written again, a record is held once.
    let mut again = Transaction::begin(&chain, Isolation::Snapshot, &leases).await.unwrap();
    for _ in 0..4 {
        again.set("1", value.clone()).await.unwrap();
    }
    let mut other = Transaction::begin(&chain, Isolation::Snapshot, &leases).await.unwrap();
    other.set("2", value.clone()).await.unwrap();
    Ok(())
}
