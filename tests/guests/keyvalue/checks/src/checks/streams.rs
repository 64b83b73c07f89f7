//! Keys that come as a stream.

use crate::all::all;
use crate::expect::{Case, holds, ok, same, same_keys, some, text};
use crate::runner::{Check, Place};
use crate::shape::Streamed;

/// More keys than a host reads at once.
const MANY: usize = 2500;

/// The checks of get-keys that is a stream.
pub fn streams<B: Streamed>() -> Vec<Check<B>> {
    vec![
        Check::portable("a stream has each key once, and says that all have come", each_once),
        Check::portable("streams that are read in turns each have all keys", in_turns),
        Check::portable("streams that are read together each have all keys", at_once),
        Check::portable("a stream that is let go of half way disturbs nothing", half_way),
        Check::portable("streams that nobody reads disturb nothing", unread),
        Check::host_specific("a stream that is let go of half way has no error", no_error),
        Check::host_specific("a stream that is let go of before its outcome ends well", outcome_dropped),
        Check::host_specific("a stream goes on when its store was let go of", outlives),
        Check::host_specific("a stream has what stays, whatever is deleted and inserted meanwhile", changed),
        Check::host_specific("a stream has its keys in order", in_order),
    ]
}

async fn filled<B: Streamed>(at: &Place<B>) -> Result<Vec<String>, String> {
    let keys = at.numbered("k", MANY);
    let items: Vec<_> = keys.iter().map(|key| (key.clone(), Vec::new())).collect();
    ok("setting the keys", at.bucket.fill(&items).await)?;
    Ok(keys)
}

/// All that still comes, in the order in which it comes.
async fn rest<B: Streamed>(mut keys: B::Keys, outcome: B::Outcome) -> Result<Vec<String>, String> {
    let mut all = Vec::new();
    while let Some(key) = B::next(&mut keys).await {
        all.push(key);
    }
    ok("the outcome", B::outcome(outcome).await)?;
    Ok(all)
}

async fn read<B: Streamed>(bucket: &B) -> Result<Vec<String>, String> {
    let (keys, outcome) = bucket.stream().await;
    rest::<B>(keys, outcome).await
}

async fn each_once<B: Streamed>(at: &Place<B>) -> Case {
    same_keys("before", &at.own(read(&at.bucket).await?), &[])?;
    let keys = filled(at).await?;
    same_keys("the keys", &at.own(read(&at.bucket).await?), &keys)
}

async fn in_turns<B: Streamed>(at: &Place<B>) -> Case {
    let keys = filled(at).await?;
    let (mut one, one_outcome) = at.bucket.stream().await;
    let (mut two, two_outcome) = at.bucket.stream().await;
    let mut seen = (Vec::new(), Vec::new());
    for _ in 0..MANY / 2 {
        seen.0.extend(B::next(&mut one).await);
        seen.1.extend(B::next(&mut two).await);
    }
    seen.0.extend(rest::<B>(one, one_outcome).await?);
    seen.1.extend(rest::<B>(two, two_outcome).await?);
    same_keys("the one's keys", &at.own(seen.0), &keys)?;
    same_keys("the other's keys", &at.own(seen.1), &keys)
}

async fn at_once<B: Streamed>(at: &Place<B>) -> Case {
    let keys = filled(at).await?;
    for seen in all((0..10).map(|_| read(&at.bucket))).await {
        same_keys("the keys", &at.own(seen?), &keys)?;
    }
    Ok(())
}

/// What is stored can be read and written as before.
async fn undisturbed<B: Streamed>(at: &Place<B>, keys: &[String]) -> Case {
    let new = at.key("new");
    ok("set", at.bucket.set(&new, b"1").await)?;
    same("get", &text(ok("get", at.bucket.get(&new).await)?), &some("1"))?;
    ok("delete", at.bucket.delete(&new).await)?;
    same_keys("the keys", &at.own(read(&at.bucket).await?), keys)
}

async fn half_way<B: Streamed>(at: &Place<B>) -> Case {
    let keys = filled(at).await?;
    for read in [0, 1, MANY / 2] {
        let (mut stream, outcome) = at.bucket.stream().await;
        for _ in 0..read {
            holds("there are more keys", B::next(&mut stream).await.is_some())?;
        }
        drop(stream);
        drop(outcome);
    }
    undisturbed(at, &keys).await
}

async fn unread<B: Streamed>(at: &Place<B>) -> Case {
    let keys = filled(at).await?;
    let mut held = Vec::new();
    for _ in 0..20 {
        held.push(at.bucket.stream().await);
    }
    undisturbed(at, &keys).await?;
    drop(held);
    undisturbed(at, &keys).await
}

async fn no_error<B: Streamed>(at: &Place<B>) -> Case {
    filled(at).await?;
    for read in [0, 1, MANY / 2] {
        let (mut stream, outcome) = at.bucket.stream().await;
        for _ in 0..read {
            holds("there are more keys", B::next(&mut stream).await.is_some())?;
        }
        drop(stream);
        ok("the outcome", B::outcome(outcome).await)?;
    }
    Ok(())
}

async fn outcome_dropped<B: Streamed>(at: &Place<B>) -> Case {
    let keys = filled(at).await?;
    let (mut stream, outcome) = at.bucket.stream().await;
    drop(outcome);
    let mut seen = Vec::new();
    while let Some(key) = B::next(&mut stream).await {
        seen.push(key);
    }
    same_keys("the keys", &at.own(seen), &keys)
}

async fn outlives<B: Streamed>(at: &Place<B>) -> Case {
    let keys = filled(at).await?;
    let store = ok("open", B::open(&at.name).await)?;
    let (stream, outcome) = store.stream().await;
    drop(store);
    same_keys("the keys", &at.own(rest::<B>(stream, outcome).await?), &keys)
}

async fn changed<B: Streamed>(at: &Place<B>) -> Case {
    let keys = filled(at).await?;
    let (mut stream, outcome) = at.bucket.stream().await;
    let mut seen: Vec<String> = B::next(&mut stream).await.into_iter().collect();
    // What was deleted or inserted may be seen or not, by where it is.
    let (gone, stay): (Vec<_>, Vec<_>) = keys.into_iter().enumerate().partition(|(n, _)| n % 2 == 0);
    let [gone, stay] = [gone, stay].map(|keys| keys.into_iter().map(|(_, key)| key).collect::<Vec<_>>());
    ok("deleting", at.bucket.sweep(&gone).await)?;
    for new in at.numbered("new", 10) {
        ok("set", at.bucket.set(&new, b"").await)?;
    }
    seen.extend(rest::<B>(stream, outcome).await?);
    let mut seen = at.own(seen);
    seen.retain(|key| stay.binary_search(key).is_ok());
    same_keys("the keys that stay", &seen, &stay)
}

async fn in_order<B: Streamed>(at: &Place<B>) -> Case {
    let keys = filled(at).await?;
    let mut seen = read(&at.bucket).await?;
    seen.retain(|key| keys.binary_search(key).is_ok());
    same_keys("the keys", &seen, &keys)
}
