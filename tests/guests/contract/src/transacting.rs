//! Transactions: what they see, what they are protected from, and how they end.

use crate::stash::storage::capabilities;
use crate::stash::storage::collections::{self, Collection};
use crate::stash::storage::transactions::{self, Isolation, Transaction};
use crate::stash::storage::types::{Change, Expiry, Item, ListOptions, SetOptions};
use crate::support::{
    self, Case, HOUR, Named, add, all, bare, cases, cleared_default, collides, expiring, fails, fails_like, found,
    fresh, gone, holds, item, items, keys, keys_in, now, numbered, ok, page, plain, prefixed, same, set, some, strings,
    wait_until, with,
};

pub(crate) const CASES: &[Named] = cases![
    a_transaction_reads_its_own_writes,
    lists_and_counts_have_its_own_writes_in_them,
    pages_of_a_transaction_go_to_the_end,
    nothing_is_seen_before_the_commit,
    a_rollback_forgets_everything,
    a_dropped_transaction_is_rolled_back,
    a_transaction_sees_one_state,
    a_changed_read_is_a_conflict,
    a_deleted_read_is_a_conflict,
    a_read_of_nothing_is_a_read,
    a_phantom_in_a_listed_range_is_a_conflict,
    a_phantom_in_a_counted_range_is_a_conflict,
    serializable_has_no_write_skew,
    snapshot_has_write_skew_but_no_lost_update,
    read_committed_sees_others_and_overwrites_them,
    every_change_works_in_a_transaction,
    a_failed_change_leaves_the_transaction_as_it_was,
    after_its_end_a_transaction_is_over,
    a_conflict_ends_it_too,
    sixty_four_are_open_at_once,
    several_collections_in_one_transaction,
    a_collection_deleted_meanwhile_stops_the_commit,
    what_expires_meanwhile_is_a_conflict,
    a_transaction_has_limits,
    a_transaction_that_only_reads_always_commits,
];

const ISOLATIONS: [Isolation; 3] = [Isolation::Serializable, Isolation::Snapshot, Isolation::ReadCommitted];

fn begin(isolation: Isolation) -> Result<Transaction, String> {
    ok(transactions::begin(isolation))
}

fn serializable() -> Result<Transaction, String> {
    begin(Isolation::Serializable)
}

fn text(transaction: &Transaction, of: &Collection, key: &str) -> Result<Option<String>, String> {
    support::text(transaction.get(of, key))
}

fn stored(of: &Collection, key: &str) -> Result<Option<String>, String> {
    support::text(of.get(key))
}

fn listed(transaction: &Transaction, of: &Collection, options: ListOptions) -> Result<Vec<String>, String> {
    keys(options, |options| transaction.list_keys(of, options))
}

fn a_transaction_reads_its_own_writes() -> Case {
    for isolation in ISOLATIONS {
        let records = fresh("tx-own")?;
        let version = ok(records.set("old", b"1", None))?;
        ok(records.set("gone", b"1", None))?;
        let tx = begin(isolation)?;
        same(text(&tx, &records, "old")?, some("1"))?;
        same(found(tx.get_entry(&records, "old"))?.metadata.version, version)?;
        ok(tx.set(&records, "new", b"2"))?;
        ok(tx.set(&records, "old", b"3"))?;
        ok(tx.delete(&records, "gone"))?;
        ok(tx.delete(&records, "never"))?;
        same(text(&tx, &records, "new")?, some("2"))?;
        same(text(&tx, &records, "old")?, some("3"))?;
        same(text(&tx, &records, "gone")?, None)?;
        let many = ok(tx.get_many(&records, &strings(&["gone", "new", "x", "old"])))?;
        same(many, vec![None, Some(b"2".to_vec()), None, Some(b"3".to_vec())])?;
        let entry = found(tx.get_entry(&records, "new"))?;
        same((entry.key.as_str(), entry.value.as_slice(), entry.metadata.version), ("new", &b"2"[..], 0))?;
        ok(tx.delete(&records, "new"))?;
        same(text(&tx, &records, "new")?, None)?;
        ok(tx.set(&records, "new", b"4"))?;
        let version = ok(tx.commit())?;
        let entries: Vec<_> = ok(records.get_entries(&strings(&["new", "old"])))?.into_iter().flatten().collect();
        let found: Vec<_> = entries.iter().map(|entry| (entry.value.as_slice(), entry.metadata.version)).collect();
        same(found, vec![(&b"4"[..], version), (&b"3"[..], version)])?;
        same(ok(records.exists("gone"))?, false)?;
    }
    Ok(())
}

fn lists_and_counts_have_its_own_writes_in_them() -> Case {
    for isolation in ISOLATIONS {
        let records = fresh("tx-list")?;
        ok(records.set_many(&items(&strings(&["a/1", "a/3", "a/5", "b/1"])), true))?;
        let tx = begin(isolation)?;
        ok(tx.set(&records, "a/2", b"mine"))?;
        ok(tx.set(&records, "a/3", b"changed"))?;
        ok(tx.delete(&records, "a/5"))?;
        ok(tx.set(&records, "c/1", b"mine"))?;
        same(listed(&tx, &records, page(prefixed("a/")))?, strings(&["a/1", "a/2", "a/3"]))?;
        let backwards = ListOptions { reverse: true, ..page(all()) };
        same(listed(&tx, &records, backwards)?, strings(&["c/1", "b/1", "a/3", "a/2", "a/1"]))?;
        let after = ListOptions { start_after: some("a/2"), ..page(prefixed("a/")) };
        same(listed(&tx, &records, after)?, strings(&["a/3"]))?;
        let entries = ok(tx.list_entries(&records, &page(prefixed("a/"))))?.entries;
        let values: Vec<_> = entries.iter().map(|entry| String::from_utf8_lossy(&entry.value).into_owned()).collect();
        same(values, strings(&["a/1", "mine", "changed"]))?;
        same(ok(tx.count(&records, &prefixed("a/")))?, 3)?;
        same(ok(tx.count(&records, &all()))?, 5)?;
        same(keys_in(&records, prefixed("a/"))?, strings(&["a/1", "a/3", "a/5"]))?;
        ok(tx.commit())?;
        same(keys_in(&records, all())?, strings(&["a/1", "a/2", "a/3", "b/1", "c/1"]))?;
    }
    Ok(())
}

fn pages_of_a_transaction_go_to_the_end() -> Case {
    let records = fresh("tx-pages")?;
    let all_keys = numbered("", 30);
    let (even, odd): (Vec<_>, Vec<_>) = all_keys.iter().cloned().enumerate().partition(|(n, _)| n % 2 == 0);
    let even: Vec<String> = even.into_iter().map(|(_, key)| key).collect();
    ok(records.set_many(&items(&even), true))?;
    let tx = serializable()?;
    for (_, key) in &odd {
        ok(tx.set(&records, key, b"mine"))?;
    }
    for reverse in [false, true] {
        let mut expected = all_keys.clone();
        if reverse {
            expected.reverse();
        }
        let options = || ListOptions { limit: Some(4), reverse, ..page(all()) };
        same(listed(&tx, &records, options())?, expected.clone())?;
        let (mut options, mut found) = (options(), Vec::new());
        loop {
            let page = ok(tx.list_entries(&records, &options))?;
            holds("a page has no more than its limit", page.entries.len() <= 4)?;
            found.extend(page.entries.into_iter().map(|entry| entry.key));
            options.cursor = page.cursor;
            if options.cursor.is_none() {
                break;
            }
        }
        same(found, expected)?;
    }
    ok(tx.commit())?;
    same(keys_in(&records, all())?, all_keys)
}

fn nothing_is_seen_before_the_commit() -> Case {
    let records = fresh("tx-unseen")?;
    let (writer, reader) = (serializable()?, begin(Isolation::ReadCommitted)?);
    ok(writer.set(&records, "k", b"1"))?;
    same(stored(&records, "k")?, None)?;
    same(text(&reader, &records, "k")?, None)?;
    same(ok(records.count(&all()))?, 0)?;
    let version = ok(writer.commit())?;
    same(found(records.get_entry("k"))?.metadata.version, version)?;
    same(text(&reader, &records, "k")?, some("1"))
}

fn a_rollback_forgets_everything() -> Case {
    for isolation in ISOLATIONS {
        let records = fresh("tx-rollback")?;
        let version = ok(records.set("old", b"1", None))?;
        let tx = begin(isolation)?;
        ok(tx.set(&records, "new", b"2"))?;
        ok(tx.delete(&records, "old"))?;
        tx.rollback();
        same(keys_in(&records, all())?, strings(&["old"]))?;
        same(ok(capabilities::status())?.version, version)?;
    }
    Ok(())
}

fn a_dropped_transaction_is_rolled_back() -> Case {
    let records = fresh("tx-drop")?;
    let before = ok(capabilities::status())?;
    let tx = serializable()?;
    ok(tx.set(&records, "k", b"1"))?;
    same(ok(capabilities::status())?.open_transactions, before.open_transactions + 1)?;
    drop(tx);
    let after = ok(capabilities::status())?;
    same((after.open_transactions, after.version), (before.open_transactions, before.version))?;
    same(ok(records.exists("k"))?, false)
}

fn a_transaction_sees_one_state() -> Case {
    for isolation in [Isolation::Serializable, Isolation::Snapshot] {
        let records = fresh("tx-state")?;
        ok(records.set_many(&items(&strings(&["a", "b"])), true))?;
        let tx = begin(isolation)?;
        ok(records.set("a", b"later", None))?;
        ok(records.set("c", b"later", None))?;
        ok(records.delete("b", None))?;
        same(text(&tx, &records, "a")?, some("a"))?;
        same(text(&tx, &records, "b")?, some("b"))?;
        same(text(&tx, &records, "c")?, None)?;
        same(listed(&tx, &records, page(all()))?, strings(&["a", "b"]))?;
        same(ok(tx.count(&records, &all()))?, 2)?;
        tx.rollback();
    }
    Ok(())
}

fn a_changed_read_is_a_conflict() -> Case {
    let records = fresh("tx-conflict")?;
    ok(records.set("k", b"1", None))?;
    let tx = serializable()?;
    same(text(&tx, &records, "k")?, some("1"))?;
    ok(tx.set(&records, "other", b"1"))?;
    let version = ok(records.set("k", b"1", None))?;
    collides(tx.commit(), Some("k"), Some(version))?;
    same(ok(records.exists("other"))?, false)?;
    // So is one that was read with others.
    let tx = serializable()?;
    ok(tx.get_many(&records, &strings(&["a", "k"])))?;
    ok(tx.set(&records, "other", b"1"))?;
    let version = ok(records.set("k", b"2", None))?;
    collides(tx.commit(), Some("k"), Some(version))?;
    // A later commit of what it has not read is none of its business.
    let tx = serializable()?;
    same(text(&tx, &records, "k")?, some("2"))?;
    ok(tx.set(&records, "other", b"1"))?;
    ok(records.set("unrelated", b"", None))?;
    ok(tx.commit())?;
    same(stored(&records, "other")?, some("1"))
}

fn a_deleted_read_is_a_conflict() -> Case {
    let records = fresh("tx-conflict-deleted")?;
    ok(records.set("k", b"1", None))?;
    let tx = serializable()?;
    found(tx.get_entry(&records, "k"))?;
    ok(tx.set(&records, "other", b"1"))?;
    ok(records.delete("k", None))?;
    collides(tx.commit(), Some("k"), None)?;
    same(ok(records.exists("other"))?, false)
}

fn a_read_of_nothing_is_a_read() -> Case {
    let records = fresh("tx-conflict-absent")?;
    let tx = serializable()?;
    same(text(&tx, &records, "k")?, None)?;
    ok(tx.set(&records, "k", b"mine"))?;
    let version = ok(records.set("k", b"theirs", None))?;
    collides(tx.commit(), Some("k"), Some(version))?;
    same(stored(&records, "k")?, some("theirs"))
}

fn a_phantom_in_a_listed_range_is_a_conflict() -> Case {
    let records = fresh("tx-phantom")?;
    ok(records.set_many(&items(&strings(&["a/1", "a/2", "b/1"])), true))?;
    for meddle in [
        |records: &Collection| ok(records.set("a/3", b"", None)).map(drop),
        |records: &Collection| ok(records.delete("a/3", None)).map(drop),
        |records: &Collection| ok(records.set("a/2", b"changed", None)).map(drop),
    ] {
        for entries in [false, true] {
            let tx = serializable()?;
            if entries {
                ok(tx.list_entries(&records, &page(prefixed("a/"))))?;
            } else {
                ok(tx.list_keys(&records, &page(prefixed("a/"))))?;
            }
            ok(tx.set(&records, "sum", b""))?;
            meddle(&records)?;
            if entries {
                // Where it was made, changed or deleted the first time already.
                let again = ok(records.exists("a/3"))?;
                ok(records.set("a/2", if again { b"x" } else { b"y" }, None))?;
            }
            collides(tx.commit(), None, None)?;
            same(ok(records.exists("sum"))?, false)?;
        }
    }
    let tx = serializable()?;
    ok(tx.list_keys(&records, &page(prefixed("a/"))))?;
    ok(tx.set(&records, "sum", b""))?;
    ok(records.set("b/2", b"outside the range", None))?;
    ok(tx.commit())?;
    same(ok(records.exists("sum"))?, true)
}

fn a_phantom_in_a_counted_range_is_a_conflict() -> Case {
    let records = fresh("tx-phantom-count")?;
    ok(records.set("a/1", b"", None))?;
    let tx = serializable()?;
    same(ok(tx.count(&records, &prefixed("a/")))?, 1)?;
    ok(tx.set(&records, "sum", b"1"))?;
    ok(records.set("a/2", b"", None))?;
    collides(tx.commit(), None, None)?;
    let tx = serializable()?;
    same(ok(tx.count(&records, &prefixed("a/")))?, 2)?;
    ok(tx.set(&records, "sum", b"2"))?;
    ok(tx.commit())?;
    same(stored(&records, "sum")?, some("2"))
}

/// Two transactions that each read both records, and each write one of them.
fn skew(records: &Collection, isolation: Isolation) -> Result<[Transaction; 2], String> {
    ok(records.set_many(&[item("a", b"on"), item("b", b"on")], true))?;
    let both = [begin(isolation)?, begin(isolation)?];
    for (tx, key) in both.iter().zip(["a", "b"]) {
        same(ok(tx.get_many(records, &strings(&["a", "b"])))?, vec![Some(b"on".to_vec()); 2])?;
        ok(tx.set(records, key, b"off"))?;
    }
    Ok(both)
}

fn serializable_has_no_write_skew() -> Case {
    let records = fresh("tx-skew")?;
    let [first, second] = skew(&records, Isolation::Serializable)?;
    let version = ok(first.commit())?;
    collides(second.commit(), Some("a"), Some(version))?;
    same((stored(&records, "a")?, stored(&records, "b")?), (some("off"), some("on")))
}

fn snapshot_has_write_skew_but_no_lost_update() -> Case {
    let records = fresh("tx-snapshot")?;
    let [first, second] = skew(&records, Isolation::Snapshot)?;
    ok(first.commit())?;
    ok(second.commit())?;
    same((stored(&records, "a")?, stored(&records, "b")?), (some("off"), some("off")))?;
    let (first, second) = (begin(Isolation::Snapshot)?, begin(Isolation::Snapshot)?);
    ok(first.set(&records, "a", b"first"))?;
    ok(second.set(&records, "a", b"second"))?;
    let version = ok(first.commit())?;
    collides(second.commit(), Some("a"), Some(version))?;
    same(stored(&records, "a")?, some("first"))
}

fn read_committed_sees_others_and_overwrites_them() -> Case {
    let records = fresh("tx-committed")?;
    ok(records.set("n", b"1", None))?;
    let tx = begin(Isolation::ReadCommitted)?;
    same(text(&tx, &records, "k")?, None)?;
    ok(records.set("k", b"theirs", None))?;
    same(text(&tx, &records, "k")?, some("theirs"))?;
    same(listed(&tx, &records, page(all()))?, strings(&["k", "n"]))?;
    same(ok(tx.change(&records, &add("n", 1)))?, Some(2))?;
    ok(tx.set(&records, "k", b"mine"))?;
    ok(records.set("k", b"theirs again", None))?;
    same(ok(records.increment("n", 10))?, 11)?;
    ok(tx.commit())?;
    // The increment went on top of the other one.
    same((stored(&records, "k")?, stored(&records, "n")?), (some("mine"), some("12")))
}

fn every_change_works_in_a_transaction() -> Case {
    let records = fresh("tx-changes")?;
    ok(records.set_many(&[item("n", b"1"), item("text", b"a"), item("gone", b""), item("brief", b"")], true))?;
    let before = now();
    let tx = serializable()?;
    let options = SetOptions { content_type: some("a/b"), ..bare() };
    let typed = Item { options: Some(options), ..item("typed", b"t") };
    same(ok(tx.change(&records, &Change::Set(typed)))?, None)?;
    same(ok(tx.change(&records, &add("n", 5)))?, Some(6))?;
    same(ok(tx.change(&records, &add("n", -2)))?, Some(4))?;
    same(ok(tx.change(&records, &Change::Min(("n".to_owned(), 3))))?, Some(3))?;
    same(ok(tx.change(&records, &Change::Max(("n".to_owned(), 9))))?, Some(9))?;
    same(ok(tx.change(&records, &Change::Append(("text".to_owned(), b"b".to_vec()))))?, None)?;
    same(ok(tx.change(&records, &Change::Delete("gone".to_owned())))?, None)?;
    same(ok(tx.change(&records, &Change::Expire(("brief".to_owned(), Expiry::After(HOUR)))))?, None)?;
    same((text(&tx, &records, "n")?, text(&tx, &records, "text")?), (some("9"), some("ab")))?;
    same(text(&tx, &records, "gone")?, None)?;
    same(found(tx.get_entry(&records, "typed"))?.metadata.content_type, some("a/b"))?;
    let version = ok(tx.commit())?;
    same((stored(&records, "n")?, stored(&records, "text")?), (some("9"), some("ab")))?;
    let typed = found(records.get_metadata("typed"))?;
    same((typed.version, typed.content_type), (version, some("a/b")))?;
    let expires = found(records.get_metadata("brief"))?.expires.unwrap_or_default();
    holds("it expires in an hour", (before + HOUR..=now() + HOUR).contains(&expires))?;
    same(keys_in(&records, all())?, strings(&["brief", "n", "text", "typed"]))
}

fn a_failed_change_leaves_the_transaction_as_it_was() -> Case {
    let records = fresh("tx-failed-change")?;
    ok(records.set("word", b"x", None))?;
    let tx = serializable()?;
    ok(tx.set(&records, "k", b"1"))?;
    fails_like(tx.change(&records, &add("word", 1)), "invalid-number: the value of 'word' is not a whole number")?;
    let expire = Change::Expire(("none".to_owned(), Expiry::Never));
    fails(tx.change(&records, &expire), "not-found: no record with the key 'none'")?;
    fails(tx.set(&records, "", b""), "invalid-key: invalid key: a key has at least one byte")?;
    fails(tx.get(&records, ""), "invalid-key: invalid key: a key has at least one byte")?;
    ok(tx.commit())?;
    same((stored(&records, "k")?, stored(&records, "word")?), (some("1"), some("x")))
}

fn is_over(tx: &Transaction, records: &Collection) -> Case {
    const OVER: &str = "transaction-over: the transaction is over: ";
    fails_like(tx.get(records, "k"), OVER)?;
    fails_like(tx.get_entry(records, "k"), OVER)?;
    fails_like(tx.get_many(records, &strings(&["k"])), OVER)?;
    fails_like(tx.list_keys(records, &page(all())), OVER)?;
    fails_like(tx.list_entries(records, &page(all())), OVER)?;
    fails_like(tx.count(records, &all()), OVER)?;
    fails_like(tx.set(records, "k", b"late"), OVER)?;
    fails_like(tx.delete(records, "k"), OVER)?;
    fails_like(tx.change(records, &set("k", b"late")), OVER)?;
    fails_like(tx.commit(), OVER)?;
    // It can only forget what it has not done.
    tx.rollback();
    Ok(())
}

fn after_its_end_a_transaction_is_over() -> Case {
    let records = fresh("tx-over")?;
    let tx = serializable()?;
    ok(tx.set(&records, "k", b"1"))?;
    ok(tx.commit())?;
    is_over(&tx, &records)?;
    let tx = serializable()?;
    ok(tx.set(&records, "k", b"2"))?;
    tx.rollback();
    is_over(&tx, &records)?;
    same(stored(&records, "k")?, some("1"))
}

fn a_conflict_ends_it_too() -> Case {
    let records = fresh("tx-over-conflict")?;
    let open = ok(capabilities::status())?.open_transactions;
    let tx = serializable()?;
    same(text(&tx, &records, "k")?, None)?;
    ok(tx.set(&records, "k", b"mine"))?;
    let version = ok(records.set("k", b"theirs", None))?;
    collides(tx.commit(), Some("k"), Some(version))?;
    is_over(&tx, &records)?;
    same(ok(capabilities::status())?.open_transactions, open)?;
    same(stored(&records, "k")?, some("theirs"))
}

fn sixty_four_are_open_at_once() -> Case {
    const TOO_MANY: &str = "limit-exceeded: limit exceeded: the number of open transactions is 65; the limit is 64; commit or roll back one first";
    let records = fresh("tx-open")?;
    let mut open = Vec::new();
    for isolation in ISOLATIONS.into_iter().cycle().take(64) {
        open.push(begin(isolation)?);
    }
    same(ok(capabilities::status())?.open_transactions, 64)?;
    fails(transactions::begin(Isolation::Serializable), TOO_MANY)?;
    // Each way to end one makes room for one.
    drop(open.pop());
    let Some(first) = open.first() else { return Err("the transactions have gone".to_owned()) };
    first.rollback();
    let Some(second) = open.get(1) else { return Err("the transactions have gone".to_owned()) };
    ok(second.set(&records, "k", b"1"))?;
    ok(second.commit())?;
    same(ok(capabilities::status())?.open_transactions, 61)?;
    let more = [serializable()?, serializable()?, serializable()?];
    fails(transactions::begin(Isolation::Serializable), TOO_MANY)?;
    // The others still work.
    for tx in &more {
        same(text(tx, &records, "k")?, some("1"))?;
    }
    drop((open, more));
    same(ok(capabilities::status())?.open_transactions, 0)
}

fn several_collections_in_one_transaction() -> Case {
    let (one, two) = (fresh("tx-one")?, fresh("tx-two")?);
    let default = cleared_default("tx/")?;
    let tx = serializable()?;
    ok(tx.set(&one, "k", b"1"))?;
    ok(tx.set(&two, "k", b"2"))?;
    ok(tx.set(&default, "tx/k", b"3"))?;
    same((text(&tx, &one, "k")?, text(&tx, &two, "k")?), (some("1"), some("2")))?;
    same(text(&tx, &default, "k")?, None)?;
    same((stored(&one, "k")?, stored(&two, "k")?, stored(&default, "tx/k")?), (None, None, None))?;
    let version = ok(tx.commit())?;
    for (records, key, value) in [(&one, "k", "1"), (&two, "k", "2"), (&default, "tx/k", "3")] {
        let entry = found(records.get_entry(key))?;
        same((entry.value.as_slice(), entry.metadata.version), (value.as_bytes(), version))?;
    }
    // A conflict in one of them stops all.
    let tx = serializable()?;
    same(text(&tx, &two, "k")?, some("2"))?;
    ok(tx.delete(&one, "k"))?;
    ok(tx.delete(&default, "tx/k"))?;
    let version = ok(two.set("k", b"4", None))?;
    collides(tx.commit(), Some("k"), Some(version))?;
    same((stored(&one, "k")?, stored(&default, "tx/k")?), (some("1"), some("3")))
}

fn a_collection_deleted_meanwhile_stops_the_commit() -> Case {
    let (records, other) = (fresh("tx-deleted")?, fresh("tx-deleted-not")?);
    let tx = begin(Isolation::ReadCommitted)?;
    ok(tx.set(&other, "k", b"1"))?;
    ok(tx.set(&records, "k", b"1"))?;
    ok(collections::delete("tx-deleted", true))?;
    fails(tx.commit(), "not-found: no collection with the name 'tx-deleted'")?;
    same(ok(other.exists("k"))?, false)?;
    ok(collections::create("tx-deleted", &plain()))?;
    same(ok(records.exists("k"))?, false)?;
    gone("tx-deleted")
}

fn what_expires_meanwhile_is_a_conflict() -> Case {
    let records = fresh("tx-expiry")?;
    // Long enough to be read in time; if it is not, it is read as absent and there is nothing to conflict with.
    ok(records.set("k", b"1", Some(&with(expiring(Expiry::After(200))))))?;
    let tx = serializable()?;
    let Some(entry) = ok(tx.get_entry(&records, "k"))? else { return Ok(()) };
    ok(tx.set(&records, "other", b"1"))?;
    wait_until(entry.metadata.expires.unwrap_or_default());
    collides(tx.commit(), Some("k"), None)?;
    same(ok(records.exists("other"))?, false)
}

fn a_transaction_has_limits() -> Case {
    let records = fresh("tx-limits")?;
    let tx = serializable()?;
    fails(
        tx.get_many(&records, &numbered("k", 10_001)),
        "limit-exceeded: limit exceeded: the number of keys to read is 10001; the limit is 10000; read fewer at once",
    )?;
    let keys = numbered("k", 10_000);
    for key in &keys {
        ok(tx.set(&records, key, b""))?;
    }
    fails(
        tx.set(&records, "one more", b""),
        "limit-exceeded: limit exceeded: the number of changes in a transaction is 10001; the limit is 10000; divide it into several transactions",
    )?;
    ok(tx.commit())?;
    same(ok(records.count(&all()))?, 10_000)
}

fn a_transaction_that_only_reads_always_commits() -> Case {
    let records = fresh("tx-reads")?;
    let version = ok(records.set("k", b"1", None))?;
    let tx = serializable()?;
    same(text(&tx, &records, "k")?, some("1"))?;
    ok(records.set("k", b"2", None))?;
    // It saw one state, as if it had run before the other commit.
    same(ok(tx.commit())?, version)
}
