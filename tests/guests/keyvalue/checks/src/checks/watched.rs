//! A watcher: what the host tells it, which may be in another instance than the one that checks it. The watcher keeps what it
//! is told in the bucket, and a check reads that. Where no check asks for it, nothing must be kept: that would be told too.

use std::time::{Duration, Instant};

use crate::expect::{Case, ok};
use crate::runner::{Check, Place};
use crate::shape::{Batch, Bucket, Counters, Error};

/// In front of the keys whose changes are kept; behind it is the key in the check's own words.
const WATCHED: &str = "keyvalue-checks/watched/";
/// In front of the keys under which they are kept, in lines.
const TOLD: &str = "keyvalue-checks-told/";
/// How long all checks may wait to be told. A server answers a request within its time limit, also where nobody tells.
const SOON: Duration = Duration::from_secs(20);
/// What stands for a deletion; of a value it is the bytes, hexadecimal.
const DELETED: &str = "deleted";

/// Keeps a change that the host told a watcher of: the new value, or none where the key was deleted. For a guest's exports,
/// with the bucket that they were handed.
///
/// # Errors
/// What the host says.
pub async fn told<B: Bucket>(bucket: &B, key: &str, value: Option<&[u8]>) -> Result<(), Error> {
    let Some(name) = key.strip_prefix(WATCHED) else { return Ok(()) };
    let at = format!("{TOLD}{name}");
    // A check makes it, and removes it when it has seen enough.
    let Some(mut kept) = bucket.get(&at).await? else { return Ok(()) };
    kept.extend(line(value).into_bytes());
    kept.push(b'\n');
    bucket.set(&at, &kept).await
}

fn line(value: Option<&[u8]>) -> String {
    value.map_or_else(|| DELETED.to_owned(), |value| format!("{value:02x?}"))
}

/// The checks of a watcher whose exports call [`told`].
pub fn watched<B: Batch + Counters>() -> Vec<Check<B>> {
    vec![
        Check::portable("a watcher is told of a set, with the key and the value", set),
        Check::portable("a watcher is told of a value that is empty, and of any bytes", bytes),
        Check::portable("a watcher is told of a delete", deleted),
        Check::portable("a watcher is told of what set-many and delete-many change", many),
        Check::host_specific("a watcher is told of what increment changes", counted),
        Check::host_specific("a watcher is told of each change of a key, in order", in_order),
        Check::host_specific("a watcher is told of changes in another bucket, and handed that one", other_bucket),
    ]
}

/// A key whose changes are kept, while this is asked for.
struct Kept<'a, B> {
    bucket: &'a B,
    key: String,
    at: String,
    until: Instant,
}

impl<'a, B: Bucket> Kept<'a, B> {
    async fn begin<P: Bucket>(at: &Place<P>, bucket: &'a B, name: &str) -> Result<Self, String> {
        let key = at.key(&format!("watched/{name}"));
        let kept = Self { bucket, key, at: format!("{TOLD}{name}"), until: at.begun + SOON };
        ok("set of what the watcher fills", bucket.set(&kept.at, b"").await)?;
        Ok(kept)
    }

    async fn lines(&self) -> Result<Vec<String>, String> {
        let kept = ok("get of what the watcher was told", self.bucket.get(&self.at).await)?.unwrap_or_default();
        Ok(String::from_utf8_lossy(&kept).lines().map(str::to_owned).collect())
    }

    /// Waits until the watcher was told of these in this order, and of nothing after them; some may have come twice.
    async fn comes(&self, expected: &[Option<&[u8]>]) -> Case {
        let expected: Vec<String> = expected.iter().map(|value| line(*value)).collect();
        loop {
            let lines = self.lines().await?;
            let mut told = lines.iter();
            let all = expected.iter().all(|expected| told.any(|line| line == expected));
            if all && lines.last() == expected.last() {
                return Ok(());
            }
            if Instant::now() > self.until {
                return Err(format!("what the watcher was told in time: expected {expected:?}, got {lines:?}"));
            }
        }
    }

    /// Ends it, whatever came.
    async fn end(self, came: Case) -> Case {
        let ended = ok("delete of what the watcher filled", self.bucket.delete(&self.at).await);
        came.and(ended)
    }
}

async fn set<B: Batch + Counters>(at: &Place<B>) -> Case {
    let kept = Kept::begin(at, &at.bucket, "set").await?;
    ok("set", at.bucket.set(&kept.key, b"value").await)?;
    let came = kept.comes(&[Some(b"value")]).await;
    kept.end(came).await
}

async fn bytes<B: Batch + Counters>(at: &Place<B>) -> Case {
    let every: Vec<u8> = (0..=255).collect();
    for (name, value) in [("empty", &[][..]), ("every", &every)] {
        let kept = Kept::begin(at, &at.bucket, name).await?;
        ok("set", at.bucket.set(&kept.key, value).await)?;
        let came = kept.comes(&[Some(value)]).await;
        kept.end(came).await?;
    }
    Ok(())
}

async fn deleted<B: Batch + Counters>(at: &Place<B>) -> Case {
    let kept = Kept::begin(at, &at.bucket, "delete").await?;
    ok("set", at.bucket.set(&kept.key, b"1").await)?;
    let came = kept.comes(&[Some(b"1")]).await;
    ok("delete", at.bucket.delete(&kept.key).await)?;
    let came = came.and(kept.comes(&[Some(b"1"), None]).await);
    kept.end(came).await
}

async fn many<B: Batch + Counters>(at: &Place<B>) -> Case {
    let one = Kept::begin(at, &at.bucket, "one").await?;
    let two = Kept::begin(at, &at.bucket, "two").await?;
    let items = [(one.key.clone(), b"1".to_vec()), (two.key.clone(), b"2".to_vec())];
    ok("set-many", at.bucket.set_many(&items).await)?;
    let mut came = one.comes(&[Some(b"1")]).await.and(two.comes(&[Some(b"2")]).await);
    ok("delete-many", at.bucket.delete_many(&[one.key.clone(), two.key.clone()]).await)?;
    if came.is_ok() {
        came = one.comes(&[Some(b"1"), None]).await.and(two.comes(&[Some(b"2"), None]).await);
    }
    let came = one.end(came).await;
    two.end(came).await
}

async fn counted<B: Batch + Counters>(at: &Place<B>) -> Case {
    let kept = Kept::begin(at, &at.bucket, "increment").await?;
    ok("increment", at.bucket.increment(&kept.key, 1).await)?;
    ok("increment", at.bucket.increment(&kept.key, 41).await)?;
    let came = kept.comes(&[Some(b"1"), Some(b"42")]).await;
    kept.end(came).await
}

async fn in_order<B: Batch + Counters>(at: &Place<B>) -> Case {
    let kept = Kept::begin(at, &at.bucket, "order").await?;
    let values: Vec<String> = (0..20).map(|n| n.to_string()).collect();
    let mut expected = Vec::new();
    for value in &values {
        ok("set", at.bucket.set(&kept.key, value.as_bytes()).await)?;
        ok("delete", at.bucket.delete(&kept.key).await)?;
        expected.extend([Some(value.as_bytes()), None]);
    }
    let came = kept.comes(&expected).await;
    kept.end(came).await
}

async fn other_bucket<B: Batch + Counters>(at: &Place<B>) -> Case {
    let other = ok("open", B::open(&at.other).await)?;
    let kept = Kept::begin(at, &other, "other").await?;
    ok("set", other.set(&kept.key, b"there").await)?;
    let came = kept.comes(&[Some(b"there")]).await;
    let came = kept.end(came).await;
    ok("sweep", at.sweep(&other).await)?;
    came
}
