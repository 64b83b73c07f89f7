//! Reading: order, bounds and limits, against a map that is scanned the slow way.

use std::collections::BTreeMap;
use std::ops::Bound;
use std::sync::Arc;

use bytes::Bytes;
use stash_core::Engine;
use stash_core::engine::{Page, Scan};

use crate::decision::act;
use crate::fixture::EngineFixture;

/// Keys whose order and prefixes are easily got wrong.
const KEYS: &[&[u8]] = &[
    b"\0",
    b"\0\0",
    b"\0\xff",
    b"a",
    b"a\0",
    b"a\0b",
    b"a/",
    b"a/b",
    b"ab",
    b"b",
    b"\x7f",
    b"\x80",
    "\u{e9}".as_bytes(),
    b"\xfe\xff\xff",
    b"\xff",
    b"\xff\xff",
];

fn value_of(key: &[u8]) -> Bytes {
    // Of many lengths, one of them 0.
    Bytes::from(key.repeat(key.len() - 1))
}

async fn filled<F: EngineFixture>(fixture: &F) -> (F::Engine, BTreeMap<Bytes, Bytes>) {
    let engine = fixture.fresh().await;
    let entries: BTreeMap<_, _> = KEYS.iter().map(|key| (Bytes::from_static(key), value_of(key))).collect();
    let writes = entries.clone();
    let filling = act(move |_, out| {
        // Backwards, so that the order of writing cannot be mistaken for the order of keys.
        writes.iter().rev().for_each(|(key, value)| out.put(key.clone(), value.clone()));
        Ok(())
    });
    engine.update(filling).await.unwrap();
    (engine, entries)
}

pub(super) async fn reads_give_values_in_the_order_asked<F: EngineFixture>(fixture: Arc<F>) {
    let (engine, entries) = filled(&*fixture).await;
    let keys: [&[u8]; 7] = [b"b", b"missing", b"a", b"b", b"\0", b"a\0\0", b"\xff\xff"];
    let expected: Vec<_> = keys.iter().map(|key| entries.get(*key).cloned()).collect();
    assert_eq!(engine.read(&keys).await.unwrap(), expected);
    assert_eq!(engine.read(&[]).await.unwrap(), Vec::<Option<Bytes>>::new());
    assert_eq!(engine.read(&[b"a"]).await.unwrap(), [Some(Bytes::new())], "an empty value is not an absent one");
}

pub(super) async fn scans_match_a_sorted_map<F: EngineFixture>(fixture: Arc<F>) {
    let (engine, entries) = filled(&*fixture).await;
    let mut bounds = vec![Bound::Unbounded];
    // Keys that are there and keys between them; a scan may begin and end at either.
    for key in KEYS.iter().map(|key| Bytes::from_static(key)).chain([Bytes::from_static(b"a/a"), Bytes::new()]) {
        bounds.extend([Bound::Included(key.clone()), Bound::Excluded(key)]);
    }
    let shapes = [
        (usize::MAX, usize::MAX, usize::MAX),
        (usize::MAX, usize::MAX, 0),
        (1, usize::MAX, usize::MAX),
        (3, usize::MAX, 1),
        (0, usize::MAX, 0),
        (usize::MAX, 0, 0),
        (usize::MAX, 1, usize::MAX),
        (usize::MAX, 7, usize::MAX),
        (2, 7, 1),
    ];
    for start in &bounds {
        for end in &bounds {
            for (limit, max_bytes, value_bytes) in shapes {
                for reverse in [false, true] {
                    let (start, end) = (start.clone(), end.clone());
                    let uncounted_key_bytes = max_bytes % 3;
                    let scan = Scan {
                        start,
                        end,
                        reverse,
                        limit,
                        max_bytes,
                        uncounted_key_bytes,
                        value_bytes,
                        uncounted_value_bytes: max_bytes % 2,
                    };
                    let page = engine.scan(&scan).await.unwrap();
                    let expected = expected(&entries, &scan);
                    assert_eq!(page.entries, expected.entries, "{scan:?}");
                    assert_eq!(page.more, expected.more, "{scan:?}");
                }
            }
        }
    }
}

/// What a scan gives, found without ranges.
fn expected(entries: &BTreeMap<Bytes, Bytes>, scan: &Scan) -> Page {
    let after_start = |key: &Bytes| match &scan.start {
        Bound::Included(start) => key >= start,
        Bound::Excluded(start) => key > start,
        Bound::Unbounded => true,
    };
    let before_end = |key: &Bytes| match &scan.end {
        Bound::Included(end) => key <= end,
        Bound::Excluded(end) => key < end,
        Bound::Unbounded => true,
    };
    let mut inside: Vec<_> = entries.iter().filter(|(key, _)| after_start(key) && before_end(key)).collect();
    if scan.reverse {
        inside.reverse();
    }
    let mut page = Page::default();
    let mut bytes = 0;
    for (key, value) in &inside {
        let full = !page.entries.is_empty() && bytes >= scan.max_bytes;
        if page.entries.len() == scan.limit || full {
            break;
        }
        let value = value.slice(..value.len().min(scan.value_bytes));
        bytes +=
            key.len().saturating_sub(scan.uncounted_key_bytes) + value.len().saturating_sub(scan.uncounted_value_bytes);
        page.entries.push(((*key).clone(), value));
    }
    page.more = scan.limit > 0 && page.entries.len() < inside.len();
    page
}

pub(super) async fn scans_of_large_values_stop_at_their_bytes<F: EngineFixture>(fixture: Arc<F>) {
    let engine = fixture.fresh().await;
    let value = Bytes::from(vec![7; 100_000]);
    let filling = act(move |_, writes| {
        (0..10_u8).for_each(|n| writes.put(Bytes::copy_from_slice(&[n]), value.clone()));
        Ok(())
    });
    engine.update(filling.cost(1_000_000)).await.unwrap();

    let mut scan = Scan { max_bytes: 250_000, ..Scan::prefix(b"") };
    let page = engine.scan(&scan).await.unwrap();
    assert_eq!((page.entries.len(), page.more), (3, true), "the third entry reaches 250,000 bytes");
    scan.value_bytes = 10;
    let page = engine.scan(&scan).await.unwrap();
    assert_eq!((page.entries.len(), page.more), (10, false), "only returned bytes count");
    assert!(page.entries.iter().all(|(_, value)| value[..] == [7; 10]));
}

pub(super) async fn a_prefix_holds_exactly_its_keys<F: EngineFixture>(fixture: Arc<F>) {
    let (engine, entries) = filled(&*fixture).await;
    let prefixes = KEYS.iter().copied().chain([&b""[..], b"a/b/c", b"\xff\xff\xff", b"zz"]);
    for prefix in prefixes {
        let expected: Vec<_> = entries.clone().into_iter().filter(|(key, _)| key.starts_with(prefix)).collect();
        let page = engine.scan(&Scan::prefix(prefix)).await.unwrap();
        assert_eq!((page.entries, page.more), (expected, false), "prefix {prefix:?}");
    }
}
