//! Lists: any range, either way, in pages of any size, held against a plain map; and cursors, which lead back to where a
//! list was and nowhere else.

use std::collections::BTreeMap;
use std::sync::Arc;

use stash_core::{
    CollectionSettings, ComponentStorage, CursorPage, KeyRange, Pattern, ScanPage, ScanRequest, StorageError,
    StorageExt,
};

use super::{Chain, id, name, one, open, sets};
use crate::world::WorldFixture;

type Map = BTreeMap<String, String>;

/// Numbers that look random and are the same every time.
struct Seeded(u64);

impl Seeded {
    fn below(&mut self, bound: usize) -> usize {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }

    fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        &from[self.below(from.len())]
    }

    /// One of `from`, or, half of the time, nothing.
    fn maybe(&mut self, from: &[&str]) -> Option<String> {
        (self.below(2) == 0).then(|| (*self.pick(from)).to_owned())
    }
}

const KEYS: [&str; 16] =
    ["a", "a/", "a/1", "a/2", "a/22", "a0", "b", "b*", "b?", "b\\", "ba", "é", "é1", "\u{1f}", "\u{ffff}", "\u{10000}"];
const BOUNDS: [&str; 12] = ["", "a", "a/", "a/2", "a1", "b", "b\u{0}", "c", "é", "\u{1f}", "\u{10ffff}", "a/22"];
const PATTERNS: [&str; 12] = ["*", "a*", "a/*", "*1", "?", "b\\*", "b*", "*2*", "é?", "nothing", "", "a/2?"];

async fn filled(chain: &Chain) -> Map {
    let map: Map = KEYS.iter().enumerate().map(|(n, key)| ((*key).to_owned(), "v".repeat(n))).collect();
    for (key, value) in &map {
        chain.set(key, value.clone()).await.unwrap();
    }
    map
}

fn request(seed: &mut Seeded) -> ScanRequest {
    let range = KeyRange {
        prefix: seed.maybe(&BOUNDS).unwrap_or_default(),
        start: seed.maybe(&BOUNDS),
        end: seed.maybe(&BOUNDS),
        pattern: seed.maybe(&PATTERNS).map(|pattern| pattern.parse().unwrap()),
    };
    ScanRequest {
        range,
        after: seed.maybe(&KEYS),
        reverse: seed.below(2) == 0,
        limit: *seed.pick(&[1, 2, 3, 100]),
        max_bytes: *seed.pick(&[1, 7, usize::MAX]),
        values: seed.below(2) == 0,
    }
}

/// All that a request asks for, found the slow way.
fn expected(map: &Map, request: &ScanRequest) -> Vec<(String, String)> {
    let range = &request.range;
    let fits = |key: &str| {
        key.starts_with(&range.prefix)
            && range.start.as_deref().is_none_or(|start| key >= start)
            && range.end.as_deref().is_none_or(|end| key < end)
            && range.pattern.as_ref().is_none_or(|pattern| pattern.matches(key))
            && request.after.as_deref().is_none_or(|after| if request.reverse { key < after } else { key > after })
    };
    let value = |value: &str| if request.values { value.to_owned() } else { String::new() };
    let mut all: Vec<_> =
        map.iter().filter(|(key, _)| fits(key)).map(|(key, stored)| (key.clone(), value(stored))).collect();
    if request.reverse {
        all.reverse();
    }
    all
}

fn told(page: &ScanPage) -> Vec<(String, String)> {
    let text = |entry: &stash_core::ScanEntry| entry.record.value.as_text().unwrap().to_owned();
    page.entries.iter().map(|entry| (entry.key.to_string(), text(entry))).collect()
}

pub(super) async fn any_list_is_what_a_map_would_give<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let map = filled(&chain).await;
    let seed = &mut Seeded(1);
    for _ in 0..300 {
        let request = request(seed);
        let expected = expected(&map, &request);
        let page = chain.scan(&request).await.unwrap();
        let found = told(&page);
        assert!(found.len() <= request.limit, "{request:?}");
        assert_eq!(found, expected[..found.len()], "{request:?}");
        assert!(page.resume.is_some() || found.len() == expected.len(), "{request:?} ended early");
        // Page after page it is all of it, whatever the pages' size.
        let (mut next, mut all) = (request.clone(), found);
        let mut resume = page.resume;
        while let Some(last) = resume {
            let beyond = |last: &str| {
                next.after.as_deref().is_none_or(|after| if next.reverse { last < after } else { last > after })
            };
            assert!(beyond(&last), "{request:?} goes on at {last}, where it was");
            next.after = Some(last.into());
            let page = chain.scan(&next).await.unwrap();
            all.extend(told(&page));
            resume = page.resume;
        }
        assert_eq!(all, expected, "{request:?}");
        let all_of_range = self::expected(&map, &ScanRequest { after: None, ..request.clone() });
        assert_eq!(chain.count(&request.range).await.unwrap(), all_of_range.len() as u64, "{:?}", request.range);
        let snapshot = chain.snapshot().await.unwrap();
        let page = snapshot.scan(&ScanRequest { limit: 100, max_bytes: usize::MAX, ..request.clone() }).await.unwrap();
        assert_eq!(told(&page), expected, "in a snapshot: {request:?}");
    }
}

pub(super) async fn a_page_stops_at_its_bytes<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.commit(sets((0..10).map(|n| format!("{n}")), &"v".repeat(9_999))).await.unwrap();
    let page = |max_bytes, values| ScanRequest { max_bytes, values, ..ScanRequest::default() };
    // Some bytes less or more of what the store puts around a record make no difference here.
    let cases =
        [(25_000, true, 3), (29_000, true, 3), (31_000, true, 4), (1, true, 1), (3, false, 3), (usize::MAX, true, 10)];
    for (max_bytes, values, count) in cases {
        let page = chain.scan(&page(max_bytes, values)).await.unwrap();
        assert_eq!(page.entries.len(), count, "{max_bytes} bytes, values: {values}");
        assert_eq!(page.resume.is_some(), count < 10);
    }
}

pub(super) async fn a_cursor_goes_on_where_its_page_ended<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    for reverse in [false, true] {
        chain.clear("").await.unwrap();
        chain.commit(sets((0..20).map(|n| format!("{n:02}")), "v")).await.unwrap();
        let mut request = ScanRequest { limit: 1, reverse, ..ScanRequest::default() };
        let (mut seen, mut cursor) = (Vec::new(), None);
        loop {
            // The sizes of pages may differ, and what they show.
            request.limit = seen.len() % 3 + 1;
            request.values = seen.len() % 2 == 0;
            let page = chain.list(&request, cursor.as_deref()).await.unwrap();
            assert!(page.entries.len() <= request.limit);
            assert!(seen.len() < 100, "the list never ends: {seen:?}");
            seen.extend(page.entries.into_iter().map(|entry| entry.key.to_string()));
            let Some(next) = page.cursor else { break };
            cursor = Some(next);
            // The last key goes away; others come before and behind it.
            let last = seen.last().unwrap().clone();
            chain.delete(&last).await.unwrap();
            if last.len() == 2 {
                chain.commit(sets([format!("{last}+"), format!(" {last}")], "v")).await.unwrap();
            }
        }
        assert!(seen.is_sorted_by(|a, b| if reverse { a > b } else { a < b }), "{seen:?}");
        let stayed: Vec<_> = seen.iter().filter(|key| key.len() == 2).collect();
        assert_eq!(stayed.len(), 20, "each was listed once: {seen:?}");
        assert_eq!(seen.iter().any(|key| key.contains('+')), !reverse, "only what came behind the cursor is found");
    }
}

pub(super) async fn a_cursor_is_good_for_its_list_alone<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let (chain, other) = (open(&world, &one()), open(&world, &id("app/service-a/002")));
    chain.create_collection(&name("c"), &CollectionSettings::default()).await.unwrap();
    let inside = chain.open_collection(Some(&name("c"))).await.unwrap();
    for chain in [&chain, &other, &inside] {
        chain.commit(sets(["a/1", "a/2", "a/3", "b"], "v")).await.unwrap();
    }
    let request = ScanRequest { limit: 1, ..ScanRequest::prefix("a/") };
    let cursor = chain.list(&request, None).await.unwrap().cursor.expect("there is more");
    let again = chain.list(&request, Some(&cursor)).await.unwrap();
    assert_eq!(again.entries[0].key, "a/2");
    assert!(open(&world, &one()).list(&request, Some(&cursor)).await.is_ok(), "another instance of the component");

    let wrong = "invalid argument: the cursor is not one that this list has given; begin the list again without one";
    let refused = async |chain: &Chain, request: &ScanRequest, cursor: &str| {
        let error = chain.list(request, Some(cursor)).await.unwrap_err();
        assert!(matches!(error, StorageError::InvalidArgument { .. }), "{error:?}");
        assert_eq!(error.to_string(), wrong);
    };
    refused(&other, &request, &cursor).await;
    refused(&inside, &request, &cursor).await;
    let range = |change: fn(&mut KeyRange)| {
        let mut request = request.clone();
        change(&mut request.range);
        request
    };
    for request in [
        range(|range| "a".clone_into(&mut range.prefix)),
        range(|range| range.start = Some("a".to_owned())),
        range(|range| range.end = Some("b".to_owned())),
        range(|range| range.pattern = Some("*".parse::<Pattern>().unwrap())),
        ScanRequest { reverse: true, ..request.clone() },
    ] {
        refused(&chain, &request, &cursor).await;
    }
    let mut forged: Vec<String> = ["", "a/1", "AAAA", "AQ", "🗝️"].map(str::to_owned).to_vec();
    forged.push(cursor[..cursor.len() - 1].to_owned());
    forged.push(format!("{cursor}A"));
    for at in 0..cursor.len() {
        let with = if cursor.as_bytes()[at] == b'B' { "C" } else { "B" };
        forged.push(format!("{}{with}{}", &cursor[..at], &cursor[at + 1..]));
    }
    for forged in forged {
        refused(&chain, &request, &forged).await;
    }
    // A cursor at which nothing is left any more.
    chain.clear("a/").await.unwrap();
    let page = chain.list(&request, Some(&cursor)).await.unwrap();
    assert!(page.entries.is_empty() && page.cursor.is_none());
}

pub(super) async fn ranges_without_keys_are_empty<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.commit(sets(["a", "b", "c"], "v")).await.unwrap();
    let text = |text: &str| Some(text.to_owned());
    for range in [
        KeyRange { start: text("c"), end: text("a"), ..KeyRange::default() },
        KeyRange { start: text("b"), end: text("b"), ..KeyRange::default() },
        KeyRange { start: text("d"), ..KeyRange::default() },
        KeyRange { end: text("a"), ..KeyRange::default() },
        KeyRange { end: text(""), ..KeyRange::default() },
        KeyRange { start: text("c"), ..KeyRange::prefix("b") },
        KeyRange { end: text("a"), ..KeyRange::prefix("b") },
        KeyRange { pattern: Some("x*".parse().unwrap()), ..KeyRange::prefix("b") },
        KeyRange::prefix("bb"),
    ] {
        for reverse in [false, true] {
            let request = ScanRequest { range: range.clone(), reverse, ..ScanRequest::default() };
            assert_eq!(chain.scan(&request).await.unwrap(), ScanPage::default(), "{request:?}");
            assert_eq!(chain.list(&request, None).await.unwrap(), CursorPage::default());
        }
        assert_eq!(chain.count(&range).await.unwrap(), 0, "{range:?}");
    }
    let none = ScanRequest { limit: 0, ..ScanRequest::default() };
    // A page of nothing would look like the end of the list.
    let invalid = |error: StorageError| assert!(matches!(error, StorageError::InvalidArgument { .. }), "{error:?}");
    invalid(chain.scan(&none).await.unwrap_err());
    invalid(chain.scan_keys(&none).await.unwrap_err());
    invalid(chain.list(&none, None).await.unwrap_err());
    let long = "x".repeat(3000);
    for range in [KeyRange::prefix(&*long), KeyRange { start: Some(long.clone()), ..KeyRange::default() }] {
        let request = ScanRequest { range: range.clone(), ..ScanRequest::default() };
        assert!(matches!(chain.scan(&request).await, Err(StorageError::InvalidKey { .. })));
        assert!(matches!(chain.count(&range).await, Err(StorageError::InvalidKey { .. })));
    }
    let after = ScanRequest { after: Some(long), ..ScanRequest::default() };
    assert!(matches!(chain.scan(&after).await, Err(StorageError::InvalidKey { .. })));
}
