//! Lists in pages.

use std::collections::BTreeSet;

use crate::expect::{Case, fails, holds, ok, same};
use crate::runner::{Check, Place};
use crate::shape::Paged;

/// More keys than any page has that this host makes.
pub(super) const MANY: usize = 10_500;

/// The checks of list-keys.
pub fn pages<B: Paged>() -> Vec<Check<B>> {
    vec![
        Check::portable("the pages of a list have each key once", each_once),
        Check::host_specific("the first page has 1,000 keys", first_page),
        Check::host_specific("a page can be read again", again),
        Check::host_specific("a list goes on after what was deleted and inserted", changed),
        Check::host_specific("a cursor that the host has not made is an error", forged),
        Check::host_specific("a cursor of another bucket is an error", elsewhere),
    ]
}

/// Sets keys, and tells them in their order.
pub(super) async fn filled<B: Paged>(at: &Place<B>, count: usize) -> Result<Vec<String>, String> {
    let keys = at.numbered("k", count);
    let items: Vec<_> = keys.iter().map(|key| (key.clone(), Vec::new())).collect();
    ok("setting the keys", at.bucket.fill(&items).await)?;
    Ok(keys)
}

/// The first page, and a cursor.
async fn first<B: Paged>(bucket: &B) -> Result<(Vec<String>, B::Cursor), String> {
    let (keys, cursor) = ok("list-keys", bucket.page(None).await)?;
    Ok((keys, cursor.ok_or("list-keys: expected a cursor behind the first page, got none")?))
}

async fn each_once<B: Paged>(at: &Place<B>) -> Case {
    let keys = filled(at, 2500).await?;
    same("the keys", &at.own(ok("the list", at.bucket.all_pages().await)?), &keys)
}

async fn first_page<B: Paged>(at: &Place<B>) -> Case {
    filled(at, 1000).await?;
    let (page, _) = ok("list-keys", at.bucket.page(None).await)?;
    holds("the first page has at least 1,000 keys", page.len() >= 1000)
}

async fn again<B: Paged>(at: &Place<B>) -> Case {
    filled(at, MANY).await?;
    let (_, cursor) = first(&at.bucket).await?;
    let second = ok("list-keys", at.bucket.page(Some(cursor.clone())).await)?;
    same("the page again", &ok("list-keys", at.bucket.page(Some(cursor)).await)?, &second)?;
    holds("it has keys", !second.0.is_empty())
}

async fn changed<B: Paged>(at: &Place<B>) -> Case {
    let keys = filled(at, MANY).await?;
    let (page, cursor) = first(&at.bucket).await?;
    let page: BTreeSet<String> = page.into_iter().collect();
    // All that the first page told, its last key too, and some that the next ones would have.
    let told: Vec<String> = keys.iter().filter(|key| page.contains(*key)).cloned().collect();
    let rest: Vec<&String> = keys.iter().filter(|key| !page.contains(*key)).collect();
    let (gone, stay): (Vec<_>, Vec<_>) = rest.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let gone: Vec<String> = told.into_iter().chain(gone.into_iter().map(|(_, key)| key.clone())).collect();
    ok("deleting", at.bucket.sweep(&gone).await)?;
    let new = at.key("new");
    ok("set", at.bucket.set(&new, b"").await)?;
    let (mut seen, mut next) = (Vec::new(), Some(cursor));
    while let Some(cursor) = next {
        let (page, following) = ok("list-keys", at.bucket.page(Some(cursor)).await)?;
        seen.extend(page);
        next = following;
    }
    let mut stay: Vec<String> = stay.into_iter().map(|(_, key)| key.clone()).collect();
    // What was inserted may be seen or not, by where it is.
    let mut seen = at.own(seen);
    seen.retain(|key| *key != new);
    stay.sort();
    same("the keys behind the first page", &seen, &stay)
}

async fn forged<B: Paged>(at: &Place<B>) -> Case {
    filled(at, 10).await?;
    for cursor in B::forged() {
        fails("list-keys", at.bucket.page(Some(cursor.clone())).await)
            .map_err(|reason| format!("{cursor:?}: {reason}"))?;
    }
    Ok(())
}

async fn elsewhere<B: Paged>(at: &Place<B>) -> Case {
    filled(at, MANY).await?;
    let (_, cursor) = first(&at.bucket).await?;
    let other = ok("open", B::open(&at.other).await)?;
    fails("list-keys", other.page(Some(cursor)).await).map(drop)
}
