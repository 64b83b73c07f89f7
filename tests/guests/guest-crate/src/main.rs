//! Checks `crates/stash-guest` against a real store, beside bindings of its own. It must stop at the first thing that is not as
//! the crate says.

// A check that does not hold ends the guest, and the test shows what it said.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

// A guest may have bindings to the same world of its own.
wit_bindgen::generate!({ path: "../../../wit", world: "stash:storage/imports", generate_all });

use serde::{Deserialize, Serialize};
use stash_guest::{
    Bytes, Collection, Condition, Error, ErrorKind, Range, Result, SetOptions, Store, Text, transaction,
};
use std::cell::Cell;
use std::time::{Duration, SystemTime};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Order {
    fruit: String,
    pieces: u32,
}

fn main() -> Result<()> {
    store()?;
    values()?;
    updates()?;
    pages()?;
    batches()?;
    transactions()?;
    println!("ok");
    Ok(())
}

fn kind<T: std::fmt::Debug>(result: Result<T>) -> ErrorKind {
    result.expect_err("it is an error").kind()
}

fn order(fruit: &str, pieces: u32) -> Order {
    Order { fruit: fruit.to_owned(), pieces }
}

fn store() -> Result<()> {
    Store.set("text", "hello")?;
    assert_eq!(Store.get::<String>("text")?.as_deref(), Some("hello"));
    assert_eq!(kind(Store.get::<u32>("text")), ErrorKind::Format);
    assert_eq!(Store.get::<u32>("nothing")?, None);
    assert_eq!((Store.increment("n", 2)?, Store.increment("n", -5)?, Store.get("n")?), (2, -3, Some(-3)));
    assert_eq!(kind(Store.increment("text", 1)), ErrorKind::InvalidNumber);
    assert_eq!(kind(Store.set("", &1)), ErrorKind::InvalidKey);
    assert_eq!(Store.list_keys("")?, ["n", "text"]);
    // The bindings beside the crate's are to the same store.
    assert_eq!(stash::storage::store::get("n").unwrap(), Some(b"-3".to_vec()));
    assert!(Store.exists("n")? && Store.delete("n")? && !Store.delete("n")?);
    assert_eq!(Collection::<String>::main()?.get("text")?.as_deref(), Some("hello"));
    assert_eq!(Store.usage()?.key_count, 1);
    Ok(())
}

fn values() -> Result<()> {
    let orders: Collection<Order> = Collection::create("orders")?;
    assert_eq!(kind(Collection::<Order>::create("orders")), ErrorKind::AlreadyExists);
    assert_eq!(kind(Collection::<Order>::open("none")), ErrorKind::NotFound);
    let version = orders.set("1", &order("pear", 2))?;
    assert_eq!(version, stash_guest::version()?);
    let options = SetOptions::new().expires_after(Duration::from_hours(1)).content_type("x/y").attribute("by", "anna");
    assert!(!orders.insert("1", &order("fig", 1), &options)? && orders.insert("2", &order("fig", 1), &options)?);
    let entry = orders.entry("2")?.unwrap();
    assert_eq!((entry.value, entry.metadata.attribute("by")), (order("fig", 1), Some("anna")));
    assert!(
        entry.metadata.expires.unwrap() > SystemTime::now() && entry.metadata.content_type.as_deref() == Some("x/y")
    );
    let stale = orders.set_if("2", &order("fig", 9), Condition::Version(version), &options).unwrap_err();
    assert_eq!(stale.kind(), ErrorKind::Conflict);
    assert_eq!(stale.conflict().unwrap().current, Some(entry.metadata.version));
    assert_eq!(kind(orders.delete_if("3", Condition::Present)), ErrorKind::NotFound);
    assert_eq!(orders.get_many(&["2", "3", "1"])?, [Some(order("fig", 1)), None, Some(order("pear", 2))]);
    orders.persist("2")?;
    assert_eq!(orders.entry("2")?.unwrap().metadata.expires, None);
    orders.set_with("2", &order("fig", 2), &SetOptions::new().expires_at(SystemTime::UNIX_EPOCH))?;
    assert!(!orders.exists("2")?);
    let bytes: Collection<Vec<u8>, Bytes> = Collection::open_or_create("bytes")?;
    bytes.set("a", &vec![0, 255])?;
    assert_eq!(bytes.get("a")?, Some(vec![0, 255]));
    let texts: Collection<String, Text> = Collection::open("bytes")?;
    assert_eq!(kind(texts.get("a")), ErrorKind::Format);
    Ok(())
}

fn updates() -> Result<()> {
    let orders: Collection<Order> = Collection::open_or_create("updates")?;
    let options = SetOptions::new().expires_after(Duration::from_hours(1)).attribute("by", "anna");
    orders.set_with("1", &order("pear", 2), &options)?;
    let before = orders.entry("1")?.unwrap();
    // Somebody else comes in between, once: it is done again with what is there then.
    let attempts = Cell::new(0);
    let after = orders.update("1", |found| {
        attempts.set(attempts.get() + 1);
        if attempts.get() == 1 {
            orders.set_with("1", &order("fig", 7), &SetOptions::new().keep_expiry().attribute("by", "bob"))?;
        }
        Ok(found.map(|found| Order { pieces: found.pieces + 1, ..found }))
    })?;
    assert_eq!((after, attempts.get()), (Some(order("fig", 8)), 2));
    let entry = orders.entry("1")?.unwrap();
    assert_eq!((entry.value, entry.metadata.attribute("by")), (order("fig", 8), Some("bob")));
    assert_eq!(entry.metadata.expires, before.metadata.expires);
    // The same where the record was not there.
    attempts.set(0);
    let made = orders.update("new", |found| {
        attempts.set(attempts.get() + 1);
        if attempts.get() == 1 {
            orders.set("new", &order("plum", 1))?;
        }
        Ok(Some(found.unwrap_or_else(|| order("pear", 1))))
    })?;
    assert_eq!((made, attempts.get()), (Some(order("plum", 1)), 2));
    let error = orders.update("1", |_| Err(Error::other("no"))).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Other, "no"));
    assert_eq!(orders.update("1", |_| Ok(None))?, None);
    assert!(!orders.exists("1")?);
    Ok(())
}

fn pages() -> Result<()> {
    let numbers: Collection<u32> = Collection::open_or_create("numbers")?;
    let filled = (0..25).fold(numbers.batch(), |batch, n| batch.set(format!("{n:02}"), &n)).commit()?;
    assert_eq!(filled.existed, [false; 25]);
    let keys = |range: Range| numbers.keys(&range).collect::<Result<Vec<_>>>();
    assert_eq!(keys(Range::all().page_size(4))?.len(), 25);
    assert_eq!(keys(Range::all().from("03").until("06").page_size(1))?, ["03", "04", "05"]);
    assert_eq!(keys(Range::prefix("2").reversed().after("23"))?, ["22", "21", "20"]);
    assert_eq!(keys(Range::all().matching("?1"))?, ["01", "11", "21"]);
    let last: Vec<u32> = numbers.entries(&Range::all().reversed()).take(2).map(|e| e.unwrap().value).collect();
    assert_eq!(last, [24, 23]);
    assert_eq!((numbers.count(&Range::prefix("1"))?, numbers.clear("1")?, numbers.count(&Range::all())?), (10, 10, 15));
    Ok(())
}

fn batches() -> Result<()> {
    let accounts: Collection<i64> = Collection::open_or_create("accounts")?;
    let done = accounts.batch().set("anna", &10).increment("bob", 5).at_least("anna", 12).at_most("bob", 3).commit()?;
    assert_eq!(
        (done.existed, done.numbers[1..].to_vec()),
        (vec![false, false, true, true], [5, 12, 3].map(Some).to_vec())
    );
    let refused = accounts.batch().check("carl", Condition::Present).delete("anna").commit();
    assert_eq!(kind(refused), ErrorKind::NotFound);
    assert_eq!(accounts.get("anna")?, Some(12));
    accounts.batch().expire_after("anna", Duration::from_hours(1)).delete("bob").commit()?;
    assert!(accounts.entry("anna")?.unwrap().metadata.expires.is_some() && !accounts.exists("bob")?);
    Ok(())
}

fn transactions() -> Result<()> {
    let stock: Collection<u32> = Collection::open_or_create("stock")?;
    let orders: Collection<String> = Collection::open_or_create("sold")?;
    stock.set("pears", &5)?;
    let attempts = Cell::new(0);
    let buy = |pieces: u32| {
        transaction(|tx| {
            attempts.set(attempts.get() + 1);
            let pears = tx.get(&stock, "pears")?.unwrap_or(0);
            if attempts.get() == 1 {
                stock.set("pears", &4)?;
            }
            let left = pears.checked_sub(pieces).ok_or_else(|| Error::other("there are not enough pears"))?;
            tx.set(&stock, "pears", &left)?;
            let number = tx.increment(&stock, "orders", 1)?;
            tx.set_with(&orders, &number.to_string(), &format!("{pieces} pears"), &SetOptions::new())?;
            assert_eq!(tx.count(&orders, &Range::all())?, u64::try_from(number).unwrap());
            Ok(left)
        })
    };
    assert_eq!((buy(3)?, attempts.get()), (1, 2));
    assert_eq!(buy(2).unwrap_err().into_other().unwrap().to_string(), "there are not enough pears");
    assert_eq!(
        (stock.get("pears")?, stock.get("orders")?, orders.get("1")?.as_deref()),
        (Some(1), Some(1), Some("3 pears"))
    );
    transaction(|tx| tx.delete(&stock, "pears"))?;
    let listed = transaction(|tx| tx.keys(&stock, &Range::all()).collect::<Result<Vec<_>>>())?;
    assert_eq!(listed, ["orders"]);
    Ok(())
}
