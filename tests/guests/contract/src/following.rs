//! Following changes: every commit once, whole, in order; and only from where they are kept. The log is the whole
//! component's, so each case begins it anew and stops it.

use crate::stash::storage::changes::{self, ChangeKind, ChangePage, PollOptions};
use crate::stash::storage::collections;
use crate::stash::storage::store;
use crate::stash::storage::transactions::{self, Isolation};
use crate::stash::storage::types::{Error, Expiry};
use crate::support::{
    Case, HOUR, Named, bare, cases, cleared_default, expiring, fails, fails_like, fresh, holds, item, now, ok, same,
    set, strings, wait_until, wipe, with,
};

pub(crate) const CASES: &[Named] = cases![
    every_kind_of_change_is_told,
    nothing_is_kept_before_it_is_asked_for,
    changes_are_chosen_by_collection_and_prefix,
    pages_of_changes_are_whole_commits,
    a_follower_may_wait,
    what_has_expired_is_told_of,
    changes_tell_all_of_a_record,
    following_has_rules,
];

fn everything() -> PollOptions {
    PollOptions { collection: None, prefix: None, limit: None, wait_millis: None, values: true }
}

fn of(collection: &str) -> PollOptions {
    PollOptions { collection: Some(collection.to_owned()), ..everything() }
}

/// An empty component without a log: what earlier cases have left to expire would be told of too.
fn alone() -> Case {
    ok(changes::stop())?;
    wipe()
}

/// Begins the log anew.
fn begin() -> Result<u64, String> {
    ok(changes::start())
}

fn poll(since: u64, options: &PollOptions) -> Result<ChangePage, Error> {
    changes::poll(since, options)
}

/// All changes since, as `collection/key=value`, `collection/key-` and `collection/key!`.
fn told(since: u64, options: &PollOptions) -> Result<Vec<String>, String> {
    let (mut since, mut lines) = (since, Vec::new());
    loop {
        let page = ok(poll(since, options))?;
        holds("it goes on", page.through >= since)?;
        for change in page.changes {
            holds("it is later", change.version > since && change.version <= page.through)?;
            let value = change.value.map(|value| String::from_utf8_lossy(&value).into_owned());
            let became = match (change.kind, value) {
                (ChangeKind::Set, Some(value)) => format!("={value}"),
                (ChangeKind::Set, None) => "=".to_owned(),
                (ChangeKind::Delete, _) => "-".to_owned(),
                (ChangeKind::Expire, _) => "!".to_owned(),
            };
            lines.push(format!("{}/{}{became}", change.collection, change.key));
        }
        since = page.through;
        if !page.more {
            return Ok(lines);
        }
    }
}

fn every_kind_of_change_is_told() -> Case {
    alone()?;
    let records = fresh("following")?;
    cleared_default("following/")?;
    let since = begin()?;
    ok(store::set("following/k", b"1"))?;
    ok(store::increment("following/n", 7))?;
    ok(records.set("a", b"2", None))?;
    ok(records.touch("a", Expiry::After(HOUR)))?;
    ok(records.set_many(&[item("b", b"3"), item("c", b"4")], true))?;
    ok(records.commit(&[], &[set("b", b"5"), set("b", b"6"), set("d", b"7")]))?;
    same(ok(records.delete("absent", None))?, false)?;
    ok(records.delete("a", None))?;
    ok(records.set("b", b"late", Some(&with(expiring(Expiry::At(1))))))?;
    let tx = ok(transactions::begin(Isolation::Serializable))?;
    ok(tx.set(&records, "c", b"8"))?;
    ok(tx.commit())?;
    ok(store::delete("following/k"))?;
    let expected = [
        "/following/k=1",
        "/following/n=7",
        "following/a=2",
        "following/a=2",
        "following/b=3",
        "following/c=4",
        "following/b=6",
        "following/d=7",
        "following/a-",
        "following/b-",
        "following/c=8",
        "/following/k-",
    ];
    same(told(since, &everything())?, strings(&expected))?;
    let before = ok(poll(since, &everything()))?.through;
    ok(collections::delete("following", true))?;
    same(told(before, &everything())?, strings(&["following/c-", "following/d-"]))?;
    ok(changes::stop())
}

fn nothing_is_kept_before_it_is_asked_for() -> Case {
    alone()?;
    ok(changes::stop())?;
    ok(store::set("following/k", b"before"))?;
    let told_off =
        "version-forgotten: the changes since version 0 are not kept: start keeping them, and read everything anew";
    fails(poll(0, &everything()), told_off)?;
    let since = ok(changes::start())?;
    ok(store::set("following/k", b"after"))?;
    same(ok(changes::start())?, since)?;
    same(told(since, &everything())?, strings(&["/following/k=after"]))?;
    let kept = format!("are not kept, but those since {since}: read everything anew");
    fails(
        poll(since - 1, &everything()),
        &format!("version-forgotten: the changes since version {} {kept}", since - 1),
    )?;
    fails(
        poll(since + 2, &everything()),
        &format!("version-forgotten: the changes since version {} {kept}", since + 2),
    )?;
    ok(changes::stop())?;
    fails_like(poll(since, &everything()), "version-forgotten: ")
}

fn changes_are_chosen_by_collection_and_prefix() -> Case {
    alone()?;
    let (one, inner) = (fresh("chosen")?, fresh("chosen/inner")?);
    let since = begin()?;
    ok(one.set("a/1", b"", None))?;
    ok(one.set("b/1", b"", None))?;
    ok(inner.set("a/2", b"", None))?;
    ok(store::set("a/3", b""))?;
    same(told(since, &of("chosen"))?, strings(&["chosen/a/1=", "chosen/b/1="]))?;
    same(told(since, &of("chosen/inner"))?, strings(&["chosen/inner/a/2="]))?;
    same(told(since, &of(""))?, strings(&["/a/3="]))?;
    let prefixed = PollOptions { prefix: Some("a/".to_owned()), ..everything() };
    same(told(since, &prefixed)?, strings(&["chosen/a/1=", "chosen/inner/a/2=", "/a/3="]))?;
    let both = PollOptions { prefix: Some("b".to_owned()), ..of("chosen") };
    same(told(since, &both)?, strings(&["chosen/b/1="]))?;
    let none = ok(poll(since, &of("nothing is called so")))?;
    same((none.changes.len(), none.through, none.more), (0, since + 4, false))?;
    ok(changes::stop())
}

fn pages_of_changes_are_whole_commits() -> Case {
    alone()?;
    let records = fresh("paged")?;
    let since = begin()?;
    ok(records.set_many(&[item("1", b"v"), item("2", b"v"), item("3", b"v")], true))?;
    ok(records.set("4", b"v", None))?;
    ok(records.set("5", b"v", None))?;
    let limited = |limit| PollOptions { limit: Some(limit), values: false, ..everything() };
    let page = ok(poll(since, &limited(2)))?;
    same((page.changes.len(), page.through, page.more), (3, since + 1, true))?;
    holds("values were not asked for", page.changes.iter().all(|change| change.value.is_none()))?;
    let page = ok(poll(page.through, &limited(1)))?;
    same((page.changes.len(), page.through, page.more), (1, since + 2, true))?;
    let page = ok(poll(page.through, &limited(10)))?;
    same((page.changes.len(), page.through, page.more), (1, since + 3, false))?;
    // A commit as large as they may be.
    let many = (0..10_000).map(|n| item(&format!("many/{n}"), b"v")).collect::<Vec<_>>();
    ok(records.set_many(&many, true))?;
    same(ok(poll(page.through, &limited(1)))?.changes.len(), 10_000)?;
    ok(changes::stop())
}

fn a_follower_may_wait() -> Case {
    alone()?;
    let records = fresh("waited")?;
    let since = begin()?;
    let waiting = |millis| PollOptions { wait_millis: Some(millis), ..of("waited") };
    let before = now();
    let page = ok(poll(since, &waiting(60)))?;
    same((page.changes.len(), page.through, page.more), (0, since, false))?;
    holds("it has waited", now() >= before + 50)?;
    ok(records.set("k", b"v", None))?;
    let before = now();
    same(ok(poll(since, &waiting(30_000)))?.changes.len(), 1)?;
    holds("there is nothing to wait for", now() < before + 10_000)?;
    ok(changes::stop())?;
    fails_like(poll(since, &waiting(30_000)), "version-forgotten: ")
}

fn what_has_expired_is_told_of() -> Case {
    alone()?;
    let records = fresh("gone")?;
    let since = begin()?;
    ok(records.set("k", b"v", Some(&with(expiring(Expiry::After(20))))))?;
    ok(records.set("again", b"v", Some(&with(expiring(Expiry::After(20))))))?;
    wait_until(now() + 30);
    // Where the store has not removed it by itself, its next commit does.
    same(ok(records.delete("k", None))?, false)?;
    let lines = told(since, &of("gone"))?;
    holds("it has expired", lines.contains(&"gone/k!".to_owned()))?;
    holds("it was not deleted", !lines.contains(&"gone/k-".to_owned()))?;
    ok(changes::stop())
}

fn changes_tell_all_of_a_record() -> Case {
    alone()?;
    let records = fresh("told")?;
    let since = begin()?;
    let mut options = bare();
    options.content_type = Some("text/plain".to_owned());
    options.attributes = vec![("a".to_owned(), "b".to_owned())];
    let version = ok(records.set("k", b"v", Some(&with(options))))?;
    let page = ok(poll(since, &everything()))?;
    let known = ok(records.get_metadata("k"))?;
    let change = page.changes.first().ok_or("no change")?;
    same(&change.metadata, &known)?;
    same((change.version, Some(change.time)), (version, known.and_then(|known| known.updated)))?;
    ok(records.delete("k", None))?;
    let page = ok(poll(version, &everything()))?;
    let change = page.changes.first().ok_or("no change")?;
    same((change.kind, &change.value, &change.metadata), (ChangeKind::Delete, &None, &None))?;
    ok(changes::stop())
}

fn following_has_rules() -> Case {
    alone()?;
    let since = begin()?;
    let none = PollOptions { limit: Some(0), ..everything() };
    fails(poll(since, &none), "invalid-argument: invalid argument: a limit is at least 1")?;
    fails_like(poll(since, &of("/")), "invalid-argument: ")?;
    let long = PollOptions { prefix: Some("x".repeat(2049)), ..everything() };
    fails_like(poll(since, &long), "invalid-key: ")?;
    ok(changes::stop())
}
