//! Lists of the keys with some text in front.

use super::pages::{MANY, filled};
use crate::expect::{Case, holds, ok, same_keys};
use crate::runner::{Check, Place};
use crate::shape::Prefixed;

/// The checks of list-keys with a prefix.
pub fn prefixes<B: Prefixed>() -> Vec<Check<B>> {
    vec![
        Check::portable("a prefix lists the keys that begin with it, and no others", listed),
        Check::portable("a prefix that no key has lists nothing", nothing),
        Check::portable("an empty prefix lists all keys", everything),
        Check::portable("prefixes are told apart byte by byte", distinct),
        Check::portable("the pages of a prefix have each key once", each_once),
        Check::host_specific("a list has its keys in order", in_order),
    ]
}

/// All keys with a prefix, in the order in which they came, and how many pages they were.
async fn list<B: Prefixed>(at: &Place<B>, prefix: &str) -> Result<(Vec<String>, usize), String> {
    let (mut keys, mut pages, mut cursor) = (Vec::new(), 0, None);
    loop {
        let (page, next) = ok("list-keys", at.bucket.page_of(prefix, cursor.clone()).await)?;
        keys.extend(page);
        pages += 1;
        if next.is_none() {
            return Ok((keys, pages));
        }
        if next == cursor {
            return Err(format!("list-keys: expected the cursor to lead on, got {cursor:?} again"));
        }
        cursor = next;
    }
}

/// The same in the keys' order.
async fn sorted<B: Prefixed>(at: &Place<B>, prefix: &str) -> Result<Vec<String>, String> {
    let (mut keys, _) = list(at, prefix).await?;
    keys.sort();
    Ok(keys)
}

async fn set_all<B: Prefixed>(at: &Place<B>, keys: &[String]) -> Case {
    for key in keys {
        ok("set", at.bucket.set(key, b"").await)?;
    }
    Ok(())
}

async fn listed<B: Prefixed>(at: &Place<B>) -> Case {
    // One is the prefix itself, and one is only the start of it.
    let with = ["p/", "p/a", "p/b", "p/p/"].map(|key| at.key(key));
    let without = ["p", "q/", "o/a", "a/p/", "P/a"].map(|key| at.key(key));
    set_all(at, &with).await?;
    set_all(at, &without).await?;
    same_keys("the keys", &sorted(at, &at.key("p/")).await?, &with)
}

async fn nothing<B: Prefixed>(at: &Place<B>) -> Case {
    set_all(at, &[at.key("a"), at.key("c")]).await?;
    same_keys("the keys", &sorted(at, &at.key("b")).await?, &[])?;
    same_keys("those of a longer prefix than any key", &sorted(at, &at.key("a/a")).await?, &[])
}

async fn everything<B: Prefixed>(at: &Place<B>) -> Case {
    let keys = ["a", "b"].map(|key| at.key(key));
    set_all(at, &keys).await?;
    same_keys("the keys", &at.own(sorted(at, "").await?), &keys)
}

async fn distinct<B: Prefixed>(at: &Place<B>) -> Case {
    // Some stores have patterns, and some fold letters.
    let names = ["a%", "a*", "a.", "a?", "a[", "a\\", "a_", "ae\u{301}", "a\u{e9}", "a\u{1F980}", "A%"];
    let keys = names.map(|name| at.key(&format!("{name}/k")));
    set_all(at, &keys).await?;
    for (name, key) in names.iter().zip(&keys) {
        same_keys(name, &sorted(at, &at.key(name)).await?, std::slice::from_ref(key))?;
    }
    Ok(())
}

async fn each_once<B: Prefixed>(at: &Place<B>) -> Case {
    let keys = filled(at, 2500).await?;
    let expected: Vec<String> = keys.into_iter().filter(|key| key.starts_with(&at.key("k01"))).collect();
    same_keys("the keys", &sorted(at, &at.key("k01")).await?, &expected)?;
    holds("there are some", expected.len() == 1000)
}

async fn in_order<B: Prefixed>(at: &Place<B>) -> Case {
    let keys = filled(at, MANY).await?;
    let (listed, pages) = list(at, &at.key("k")).await?;
    holds("there is more than one page", pages > 1)?;
    same_keys("the keys", &listed, &keys)
}
