//! Keys of every content, and the order and paging of listings.

use std::sync::Arc;

use stash_core::limits::MAX_KEY_BYTES;
use stash_core::{Batch, ComponentStorage, StorageError};

use super::{Chain, contents, keys_of, one, open, page, sets};
use crate::world::WorldFixture;

/// Valid keys that a careless store would mix up, cut short or refuse.
fn hostile() -> Vec<String> {
    let mut keys: Vec<String> = [
        "user:123",
        "/",
        "//",
        "a/",
        "/a",
        "a//b",
        ".",
        "..",
        "../x",
        "a/../b",
        "app/service-a/001/k",
        " ",
        "  k ",
        "\0",
        "\0\0",
        "k\0",
        "k\0k",
        "\n",
        "\u{7f}",
        "\u{80}",
        "\u{ff}",
        "\u{feff}",
        "e\u{301}",
        "\u{e9}",
        "E",
        "e",
        "日本語",
        "ключ",
        "مفتاح",
        "🗝️",
        "\u{10ffff}",
        "%2f",
        "*",
        "?",
        "'; drop table records; --",
        "k=v&x",
        "K",
        "k",
    ]
    .map(str::to_owned)
    .to_vec();
    keys.extend([MAX_KEY_BYTES - 1, MAX_KEY_BYTES].map(|length| "x".repeat(length)));
    keys.push("é".repeat(MAX_KEY_BYTES / 2));
    keys.push(format!("{}\0", "/".repeat(MAX_KEY_BYTES - 1)));
    keys
}

pub(super) async fn keys_of_every_kind<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let mut keys = hostile();
    for (n, key) in keys.iter().enumerate() {
        chain.set(key, format!("{n}")).await.unwrap();
    }
    for (n, key) in keys.iter().enumerate() {
        assert_eq!(chain.get(key).await.unwrap(), Some(format!("{n}").into()), "{key:?}");
        let with_prefix = chain.list_keys(key).await.unwrap();
        let mut expected: Vec<_> = keys.iter().filter(|other| other.starts_with(key.as_str())).collect();
        expected.sort();
        assert_eq!(with_prefix.iter().collect::<Vec<_>>(), expected, "prefix {key:?}");
    }
    keys.sort();
    assert_eq!(chain.list_keys("").await.unwrap(), keys);
    for key in keys {
        assert!(chain.delete(&key).await.unwrap(), "{key:?}");
        assert_eq!(chain.get(&key).await.unwrap(), None, "{key:?}");
    }
    assert_eq!(chain.usage("").await.unwrap().used_bytes, 0);
}

pub(super) async fn keys_that_name_nothing_are_refused<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let long = "x".repeat(MAX_KEY_BYTES + 1);
    let wide = format!("{}é", "x".repeat(MAX_KEY_BYTES - 1));
    let too_long = "invalid key: it has 2049 bytes; the limit is 2048";
    for (key, text) in [("", "invalid key: a key has at least one byte"), (&long, too_long), (&wide, too_long)] {
        let commits = [
            Batch::new().set("good", "v").set(key, "v"),
            Batch::new().set("good", "v").delete(key),
            Batch::new().set("good", "v").require_absent(key),
            Batch::new().set("good", "v").require_present(key),
        ];
        let mut errors = vec![
            chain.get(key).await.unwrap_err(),
            chain.exists(key).await.unwrap_err(),
            chain.set(key, "v").await.unwrap_err(),
            chain.delete(key).await.unwrap_err(),
            chain.read(&["good", key]).await.unwrap_err(),
        ];
        for batch in commits {
            errors.push(chain.commit(batch).await.unwrap_err());
        }
        for error in errors {
            assert!(matches!(error, StorageError::InvalidKey { .. }), "{error:?}");
            assert_eq!(error.to_string(), text);
        }
    }
    assert!(contents(&chain).await.is_empty(), "a refused batch left something");
    // The empty text is no key, but it is a prefix.
    assert!(chain.list_keys("").await.unwrap().is_empty());
}

pub(super) async fn listings_are_in_byte_order<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    // In the order of UTF-16 and of many collations these come differently.
    let ordered = ["A", "B", "a", "a\0", "a!", "a/b", "aa", "b", "é", "\u{ffff}", "\u{10000}"];
    for key in ordered.iter().rev() {
        chain.set(key, "").await.unwrap();
    }
    assert_eq!(chain.list_keys("").await.unwrap(), ordered);
    assert_eq!(keys_of(&chain, "").await.unwrap(), ordered);
    assert_eq!(chain.list_keys("a").await.unwrap(), ["a", "a\0", "a!", "a/b", "aa"]);
    assert_eq!(chain.list_keys("a/").await.unwrap(), ["a/b"]);
    assert!(chain.list_keys("a/b/").await.unwrap().is_empty());
    assert!(chain.list_keys(&"z".repeat(MAX_KEY_BYTES)).await.unwrap().is_empty());
    let error = chain.list_keys(&"z".repeat(MAX_KEY_BYTES + 1)).await.unwrap_err();
    assert_eq!(error.to_string(), "invalid key: it has 2049 bytes; the limit is 2048", "no key could begin so");
}

async fn all_pages(chain: &Chain, prefix: &str, limit: usize, max_bytes: usize) -> Vec<String> {
    let mut keys: Vec<String> = Vec::new();
    loop {
        let next = page(chain, prefix, keys.last().map(String::as_str), limit, max_bytes).await.unwrap();
        assert!(next.keys.len() <= limit, "a page of {} where {limit} were asked for", next.keys.len());
        assert!(!next.more || !next.keys.is_empty(), "a page without keys says that there are more: paging never ends");
        assert!(
            next.keys.first() > keys.last() || next.keys.is_empty(),
            "a page does not go on where the last one ended"
        );
        keys.extend(next.keys);
        if !next.more {
            return keys;
        }
    }
}

pub(super) async fn pages_join_up<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let keys: Vec<String> = (0..25).map(|n| format!("{}{n:02}", ["a", "a/", "b"][n % 3])).collect();
    chain.commit(sets(keys.clone(), "value")).await.unwrap();
    for prefix in ["", "a", "a/", "b", "b0", "c"] {
        let mut expected: Vec<_> = keys.iter().filter(|key| key.starts_with(prefix)).cloned().collect();
        expected.sort();
        for limit in [1, 2, 7, 25, 26, usize::MAX] {
            for max_bytes in [0, 1, 40, usize::MAX] {
                assert_eq!(all_pages(&chain, prefix, limit, max_bytes).await, expected, "{prefix:?} by {limit}");
            }
        }
    }
    let exact = page(&chain, "b", None, 8, usize::MAX).await.unwrap();
    assert_eq!((exact.keys.len(), exact.more), (8, false), "a page that ends with the last key has no more");
    let by_bytes = page(&chain, "b", None, 10, 6).await.unwrap();
    assert_eq!((by_bytes.keys.len(), by_bytes.more), (2, true), "two keys of three bytes, as the component wrote them");
    for (prefix, after) in [("a", "b"), ("a", "a9999"), ("", "\u{10ffff}"), ("b", "b24~")] {
        let nothing = page(&chain, prefix, Some(after), 10, usize::MAX).await.unwrap();
        assert_eq!((nothing.keys.len(), nothing.more), (0, false), "{prefix:?} after {after:?}");
    }
    let from_the_first = page(&chain, "b", Some("a"), 1, usize::MAX).await.unwrap();
    assert_eq!(from_the_first.keys, ["b02"], "a start before the prefix changes nothing");
    let error = page(&chain, "", None, 0, usize::MAX).await.unwrap_err();
    assert!(
        matches!(error, StorageError::InvalidArgument { .. }),
        "a page of nothing would look like the end: {error}"
    );
}

pub(super) async fn pages_resume_under_change<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.commit(sets((0..20).map(|n| format!("{n:02}")), "v")).await.unwrap();
    let mut seen: Vec<String> = Vec::new();
    loop {
        let next = page(&chain, "", seen.last().map(String::as_str), 3, usize::MAX).await.unwrap();
        assert!(
            next.keys.first() > seen.last() || next.keys.is_empty(),
            "a page does not go on where the last one ended"
        );
        seen.extend(next.keys);
        if !next.more {
            break;
        }
        // The key to resume after goes away, and others come before and after it.
        let last = seen.last().unwrap().clone();
        chain.delete(&last).await.unwrap();
        chain.set(&format!("{last}-"), "v").await.unwrap();
        chain.set(" first", "v").await.unwrap();
    }
    assert!(seen.is_sorted_by(|a, b| a < b), "{seen:?}");
    let stayed: Vec<_> = seen.iter().filter(|key| !key.contains(['-', ' '])).cloned().collect();
    assert_eq!(stayed, (0..20).map(|n| format!("{n:02}")).collect::<Vec<_>>());
    assert!(seen.contains(&"02-".to_owned()), "what was added after the last key is found");
    assert!(!seen.contains(&" first".to_owned()));
}
