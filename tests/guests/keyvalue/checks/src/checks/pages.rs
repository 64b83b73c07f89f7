//! Lists in pages.

use std::collections::BTreeSet;

use crate::expect::{Case, fails, holds, ok, same};
use crate::runner::{Check, Place};
use crate::shape::Paged;

/// More keys than any page has that this host makes.
const MANY: usize = 10_500;

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
fn filled<B: Paged>(at: &Place<B>, count: usize) -> Result<Vec<String>, String> {
    let keys = at.numbered("k", count);
    let items: Vec<_> = keys.iter().map(|key| (key.clone(), Vec::new())).collect();
    ok("setting the keys", at.bucket.fill(&items))?;
    Ok(keys)
}

/// The first page, and a cursor.
fn first<B: Paged>(bucket: &B) -> Result<(Vec<String>, B::Cursor), String> {
    let (keys, cursor) = ok("list-keys", bucket.page(None))?;
    Ok((keys, cursor.ok_or("list-keys: expected a cursor behind the first page, got none")?))
}

fn each_once<B: Paged>(at: &Place<B>) -> Case {
    let keys = filled(at, 2500)?;
    same("the keys", &at.own(ok("the list", at.bucket.all_pages())?), &keys)
}

fn first_page<B: Paged>(at: &Place<B>) -> Case {
    filled(at, 1000)?;
    let (page, _) = ok("list-keys", at.bucket.page(None))?;
    holds("the first page has at least 1,000 keys", page.len() >= 1000)
}

fn again<B: Paged>(at: &Place<B>) -> Case {
    filled(at, MANY)?;
    let (_, cursor) = first(&at.bucket)?;
    let second = ok("list-keys", at.bucket.page(Some(cursor.clone())))?;
    same("the page again", &ok("list-keys", at.bucket.page(Some(cursor)))?, &second)?;
    holds("it has keys", !second.0.is_empty())
}

fn changed<B: Paged>(at: &Place<B>) -> Case {
    let keys = filled(at, MANY)?;
    let (page, cursor) = first(&at.bucket)?;
    let page: BTreeSet<String> = page.into_iter().collect();
    // All that the first page told, its last key too, and some that the next ones would have.
    let told: Vec<String> = keys.iter().filter(|key| page.contains(*key)).cloned().collect();
    let rest: Vec<&String> = keys.iter().filter(|key| !page.contains(*key)).collect();
    let (gone, stay): (Vec<_>, Vec<_>) = rest.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let gone: Vec<String> = told.into_iter().chain(gone.into_iter().map(|(_, key)| key.clone())).collect();
    ok("deleting", at.bucket.sweep(&gone))?;
    let new = at.key("new");
    ok("set", at.bucket.set(&new, b""))?;
    let (mut seen, mut next) = (Vec::new(), Some(cursor));
    while let Some(cursor) = next {
        let (page, following) = ok("list-keys", at.bucket.page(Some(cursor)))?;
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

fn forged<B: Paged>(at: &Place<B>) -> Case {
    filled(at, 10)?;
    for cursor in B::forged() {
        fails("list-keys", at.bucket.page(Some(cursor.clone()))).map_err(|reason| format!("{cursor:?}: {reason}"))?;
    }
    Ok(())
}

fn elsewhere<B: Paged>(at: &Place<B>) -> Case {
    filled(at, MANY)?;
    let (_, cursor) = first(&at.bucket)?;
    let other = ok("open", B::open(&at.other))?;
    fails("list-keys", other.page(Some(cursor))).map(drop)
}
