//! What only a transaction's own tests can see: breaks, and what it holds.

use super::overlay::MATCHING_STEPS;
use super::within::{ATTRIBUTE_OVERHEAD, CHANGE_OVERHEAD};
use super::*;
use crate::ext::StorageExt;
use crate::limits::MAX_PAGE_ITEMS;
use crate::pattern::Pattern;
use crate::{MemoryBackend, NamespacedStorage};
use std::pin::pin;
use std::task::{Context, Poll, Waker};

type Storage = NamespacedStorage<MemoryBackend>;

fn storage() -> Storage {
    NamespacedStorage::new(&"app/a/1".parse().unwrap(), MemoryBackend::in_memory())
}

/// How often others have their turn while something is done that waits for nothing.
fn breaks<T>(work: impl Future<Output = T>) -> (usize, T) {
    let mut work = pin!(work);
    let mut breaks = 0;
    loop {
        match work.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
            Poll::Ready(done) => return (breaks, done),
            Poll::Pending => breaks += 1,
        }
    }
}

async fn with_long_keys(storage: &Storage) -> Transaction<Storage> {
    let mut transaction = storage.begin(Isolation::Serializable).await.unwrap();
    for n in 0..64 {
        let key = format!("{n:02}{}", "a".repeat(MAX_KEY_BYTES - 2));
        transaction.set(&key, "").await.unwrap();
    }
    transaction
}

#[tokio::test]
async fn matching_a_transactions_own_keys_lets_others_have_their_turn() {
    let mut transaction = with_long_keys(&storage()).await;
    // Each takes as many steps as there can be.
    let pattern: Pattern = format!("{}b", "*a".repeat(127)).parse().unwrap();
    let steps = 64 * MAX_KEY_BYTES * pattern.steps();
    let range = KeyRange { pattern: Some(pattern), ..KeyRange::default() };
    let everywhere = ScanRequest { range, ..ScanRequest::default() };
    for reverse in [false, true] {
        let request = ScanRequest { reverse, ..everywhere.clone() };
        let (taken, page) = breaks(transaction.scan(&request));
        assert_eq!(page.unwrap(), ScanPage::default());
        assert!(taken >= steps / MATCHING_STEPS - 1, "{taken} breaks, reverse: {reverse}");
        // What is not asked for is not matched.
        for range in [
            KeyRange { start: Some("64".into()), ..request.range.clone() },
            KeyRange { end: Some("00".into()), ..request.range.clone() },
            KeyRange { prefix: "7".into(), ..request.range.clone() },
        ] {
            let (taken, page) = breaks(transaction.scan(&ScanRequest { range, ..request.clone() }));
            assert_eq!((taken, page.unwrap()), (0, ScanPage::default()));
        }
        let after = Some(if reverse { "00" } else { "64" }.to_owned());
        let (taken, page) = breaks(transaction.scan(&ScanRequest { after, ..request }));
        assert_eq!((taken, page.unwrap()), (0, ScanPage::default()));
    }
    // Nor what comes behind a full page.
    let pattern = Some(format!("*{}", "a*".repeat(127)).parse().unwrap());
    let range = KeyRange { pattern, ..KeyRange::default() };
    let (taken, page) = breaks(transaction.scan(&ScanRequest { range, limit: 2, ..ScanRequest::default() }));
    assert_eq!((taken, page.unwrap().entries.len()), (0, 2));
}

#[tokio::test]
async fn counting_lets_others_have_their_turn() {
    let storage = storage();
    for half in 0..2 {
        let batch = (0..MAX_PAGE_ITEMS).fold(Batch::new(), |batch, n| batch.set(format!("{half}/{n}"), ""));
        storage.commit(batch).await.unwrap();
    }
    for isolation in [Isolation::Serializable, Isolation::Snapshot, Isolation::ReadCommitted] {
        let mut transaction = storage.begin(isolation).await.unwrap();
        let (taken, count) = breaks(transaction.count(&KeyRange::default()));
        assert_eq!(count.unwrap(), 2 * MAX_PAGE_ITEMS as u64);
        assert!(taken > 0, "{isolation:?}");
    }
}

#[tokio::test]
async fn what_a_transaction_holds_is_counted_once() {
    let storage = storage();
    let mut transaction = storage.begin(Isolation::ReadCommitted).await.unwrap();
    transaction.set("k", vec![0; 1000]).await.unwrap();
    let once = 1 + 1000 + CHANGE_OVERHEAD;
    assert_eq!(transaction.lease.held(), once + 1000, "the change, and what it makes of the record");
    transaction.set("k", vec![0; 3000]).await.unwrap();
    assert_eq!(transaction.lease.held(), once + (1 + 3000 + CHANGE_OVERHEAD) + 3000);
    let before = transaction.lease.held();
    transaction.delete("k").await.unwrap();
    assert_eq!(transaction.lease.held(), before - 3000 + 1 + CHANGE_OVERHEAD, "the record is gone");
    // However small, each takes something.
    let before = transaction.lease.held();
    let attributes = (0..10).map(|n| (n.to_string(), String::new())).collect();
    transaction.set_with("k", "", SetOptions { attributes, ..SetOptions::default() }).await.unwrap();
    assert!(transaction.lease.held() >= before + CHANGE_OVERHEAD + 2 * 10 * ATTRIBUTE_OVERHEAD);
    let lease = Arc::clone(&transaction.lease);
    let before = lease.held();
    lease.hold(usize::MAX).unwrap_err();
    lease.exchange(1, usize::MAX).unwrap_err();
    assert_eq!(lease.held(), before, "what is refused is not held");
    lease.hold(1).unwrap();
}
