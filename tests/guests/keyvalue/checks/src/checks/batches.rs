//! Several keys in one call.

use crate::expect::{Case, fails, ok, same, some, text};
use crate::runner::{Check, Place};
use crate::shape::{Batch, Got};

/// The checks of get-many, set-many and delete-many.
pub fn batches<B: Batch>() -> Vec<Check<B>> {
    vec![
        Check::portable("get-many answers in the order of the keys", order),
        Check::portable("get-many has an answer for a key that is absent", missing),
        Check::portable("get-many answers a key that is asked for twice twice", twice),
        Check::portable("set-many stores all", set),
        Check::portable("of a key that set-many has twice the last counts", set_twice),
        Check::portable("delete-many removes all, also keys that are absent", delete),
        Check::portable("nothing to do is no error", nothing),
        Check::host_specific("set-many stores nothing where one of them cannot be", atomic),
        Check::host_specific("get-many of 1,000 keys", many),
    ]
}

/// What `get-many` must answer for a key.
fn got<B: Batch>(key: &str, value: Option<&str>) -> Got {
    let told = B::TELLS_ABSENT_KEYS || value.is_some();
    Got { key: told.then(|| key.to_owned()), value: value.map(|value| value.as_bytes().to_vec()) }
}

async fn three<B: Batch>(at: &Place<B>) -> Result<[String; 3], String> {
    let keys = ["a", "b", "c"].map(|key| at.key(key));
    for (key, value) in keys.iter().zip(["1", "2", "3"]) {
        ok("set", at.bucket.set(key, value.as_bytes()).await)?;
    }
    Ok(keys)
}

async fn order<B: Batch>(at: &Place<B>) -> Case {
    let [a, b, c] = three(at).await?;
    let expected = vec![got::<B>(&c, Some("3")), got::<B>(&a, Some("1")), got::<B>(&b, Some("2"))];
    same("get-many", &ok("get-many", at.bucket.get_many(&[c, a, b]).await)?, &expected)
}

async fn missing<B: Batch>(at: &Place<B>) -> Case {
    let ([a, b, _], absent) = (three(at).await?, at.key("absent"));
    let expected =
        vec![got::<B>(&absent, None), got::<B>(&b, Some("2")), got::<B>(&absent, None), got::<B>(&a, Some("1"))];
    same("get-many", &ok("get-many", at.bucket.get_many(&[absent.clone(), b, absent, a]).await)?, &expected)
}

async fn twice<B: Batch>(at: &Place<B>) -> Case {
    let [a, b, _] = three(at).await?;
    let expected = vec![got::<B>(&a, Some("1")), got::<B>(&b, Some("2")), got::<B>(&a, Some("1"))];
    same("get-many", &ok("get-many", at.bucket.get_many(&[a.clone(), b, a]).await)?, &expected)
}

async fn set<B: Batch>(at: &Place<B>) -> Case {
    let keys = at.numbered("k", 10);
    let items: Vec<_> = keys.iter().map(|key| (key.clone(), key.as_bytes().to_vec())).collect();
    ok("set-many", at.bucket.set_many(&items).await)?;
    for key in &keys {
        same("get", &text(ok("get", at.bucket.get(key).await)?), &some(key))?;
    }
    same("the keys", &at.own(ok("the list", at.bucket.keys().await)?), &keys)
}

async fn set_twice<B: Batch>(at: &Place<B>) -> Case {
    let key = at.key("k");
    ok("set-many", at.bucket.set_many(&[(key.clone(), b"1".to_vec()), (key.clone(), b"2".to_vec())]).await)?;
    same("get", &text(ok("get", at.bucket.get(&key).await)?), &some("2"))
}

async fn delete<B: Batch>(at: &Place<B>) -> Case {
    let ([a, b, c], absent) = (three(at).await?, at.key("absent"));
    ok("delete-many", at.bucket.delete_many(&[a.clone(), absent, c, a]).await)?;
    same("the keys", &at.own(ok("the list", at.bucket.keys().await)?), &vec![b])
}

async fn nothing<B: Batch>(at: &Place<B>) -> Case {
    same("get-many", &ok("get-many", at.bucket.get_many(&[]).await)?, &Vec::new())?;
    ok("set-many", at.bucket.set_many(&[]).await)?;
    ok("delete-many", at.bucket.delete_many(&[]).await)
}

async fn atomic<B: Batch>(at: &Place<B>) -> Case {
    let key = at.key("k");
    let items = [(key.clone(), b"1".to_vec()), (at.key(&"k".repeat(3000)), b"1".to_vec())];
    fails("set-many with a key that is too long", at.bucket.set_many(&items).await)?;
    same("get", &ok("get", at.bucket.get(&key).await)?, &None)
}

async fn many<B: Batch>(at: &Place<B>) -> Case {
    let keys = at.numbered("k", 1000);
    let items: Vec<_> = keys.iter().map(|key| (key.clone(), key.as_bytes().to_vec())).collect();
    ok("set-many", at.bucket.set_many(&items).await)?;
    let expected: Vec<Got> = keys.iter().rev().map(|key| got::<B>(key, Some(key))).collect();
    let backwards: Vec<String> = keys.into_iter().rev().collect();
    same("get-many", &ok("get-many", at.bucket.get_many(&backwards).await)?, &expected)
}
