//! `wasmcloud:keyvalue@0.2.0`.

use crate::stash::storage::store as own;
use crate::wasmcloud::keyvalue::cas::{CasOptions, CasResult};
use crate::wasmcloud::keyvalue::types::{Bucket, Error, SetOptions};
use crate::wasmcloud::keyvalue::{atomics, batch, cas, store};
use crate::{expect, failed};

pub(crate) async fn open(name: String) -> Result<(), String> {
    store::open(name).await.map(drop).map_err(failed("open"))
}

/// Many increments, all under way together.
pub(crate) async fn count(times: u32) -> Result<i64, String> {
    let bucket = store::open("counting".into()).await.map_err(failed("open"))?;
    let adding = (0..times).map(|_| atomics::increment(&bucket, "n".into(), 1));
    for added in join_all(adding).await {
        added.map_err(failed("increment"))?;
    }
    atomics::increment(&bucket, "n".into(), 0).await.map_err(failed("increment"))
}

/// Polls all of them until all are done.
async fn join_all<F: Future>(futures: impl Iterator<Item = F>) -> Vec<F::Output> {
    let mut running: Vec<_> = futures.map(|future| (Box::pin(future), None)).collect();
    std::future::poll_fn(move |cx| {
        let mut all = true;
        for (future, done) in &mut running {
            if done.is_none() {
                match future.as_mut().poll(cx) {
                    std::task::Poll::Ready(output) => *done = Some(output),
                    std::task::Poll::Pending => all = false,
                }
            }
        }
        if !all {
            return std::task::Poll::Pending;
        }
        std::task::Poll::Ready(running.iter_mut().filter_map(|(_, done)| done.take()).collect())
    })
    .await
}

pub(crate) async fn check() -> Result<(), String> {
    let bucket = store::open(String::new()).await.map_err(failed("open"))?;
    let (_, keys) = list(&bucket, "").await?;
    batch::delete_many(&bucket, keys).await.map_err(failed("delete-many"))?;
    values(&bucket).await?;
    options(&bucket).await?;
    pages(&bucket).await?;
    swaps(&bucket).await?;
    many(&bucket).await
}

async fn get(bucket: &Bucket, key: &str) -> Result<Option<Vec<u8>>, String> {
    bucket.get(key.to_owned()).await.map_err(failed("get"))
}

async fn list(bucket: &Bucket, prefix: &str) -> Result<(usize, Vec<String>), String> {
    let (mut pages, mut keys, mut cursor) = (0, Vec::new(), None);
    loop {
        let page = bucket.list_keys(Some(prefix.to_owned()), cursor).await.map_err(failed("list-keys"))?;
        pages += 1;
        keys.extend(page.keys);
        cursor = page.cursor;
        if cursor.is_none() {
            return Ok((pages, keys));
        }
    }
}

async fn values(bucket: &Bucket) -> Result<(), String> {
    expect("get of nothing", get(bucket, "k").await?, None)?;
    bucket.set("k".into(), b"one".to_vec(), None).await.map_err(failed("set"))?;
    expect("get", get(bucket, "k").await?, Some(b"one".to_vec()))?;
    expect("stash:storage sees it", own::get("k").map_err(|e| e.to_string())?, Some(b"one".to_vec()))?;
    own::set("k", b"two").map_err(|e| e.to_string())?;
    expect("what stash:storage sets", get(bucket, "k").await?, Some(b"two".to_vec()))?;
    expect("exists", bucket.exists("k".into()).await.map_err(failed("exists"))?, true)?;
    bucket.delete("k".into()).await.map_err(failed("delete"))?;
    bucket.delete("k".into()).await.map_err(failed("delete again"))?;
    expect("exists after delete", bucket.exists("k".into()).await.map_err(failed("exists"))?, false)?;
    match bucket.set(String::new(), Vec::new(), None).await {
        Err(Error::InvalidArgument) => Ok(()),
        other => Err(format!("an empty key: {other:?}")),
    }
}

async fn options(bucket: &Bucket) -> Result<(), String> {
    let absent = || Some(SetOptions { ttl_ms: None, if_not_exists: true });
    bucket.set("once".into(), b"1".to_vec(), absent()).await.map_err(failed("set if not exists"))?;
    match bucket.set("once".into(), b"2".to_vec(), absent()).await {
        Err(Error::PreconditionFailed) => {}
        other => return Err(format!("set if not exists, twice: {other:?}")),
    }
    expect("the first stays", get(bucket, "once").await?, Some(b"1".to_vec()))?;
    let short = Some(SetOptions { ttl_ms: Some(1), if_not_exists: false });
    bucket.set("short".into(), b"1".to_vec(), short).await.map_err(failed("set with ttl"))?;
    // Each turn asks the host: it ends when the host's clock says so.
    while get(bucket, "short").await?.is_some() {}
    expect("an expired key is not listed", list(bucket, "short").await?.1, Vec::new())?;
    let again = Some(SetOptions { ttl_ms: Some(3_600_000), if_not_exists: true });
    bucket.set("short".into(), b"2".to_vec(), again).await.map_err(failed("set where one has expired"))?;
    expect("a long ttl", get(bucket, "short").await?, Some(b"2".to_vec()))?;
    match bucket.set("short".into(), Vec::new(), Some(SetOptions { ttl_ms: Some(0), if_not_exists: false })).await {
        Err(Error::InvalidArgument) => Ok(()),
        other => Err(format!("no time at all: {other:?}")),
    }
}

async fn pages(bucket: &Bucket) -> Result<(), String> {
    let names: Vec<String> = (0..9_000).map(|n| format!("p{n:05}")).collect();
    let items = names.iter().map(|name| (name.clone(), b"v".to_vec())).collect();
    batch::set_many(bucket, items).await.map_err(failed("set-many"))?;
    let more: Vec<String> = (9_000..12_000).map(|n| format!("p{n:05}")).collect();
    let items = more.iter().map(|name| (name.clone(), b"v".to_vec())).collect();
    batch::set_many(bucket, items).await.map_err(failed("set-many"))?;
    let (pages, keys) = list(bucket, "p").await?;
    expect("all keys in order", keys, names.iter().chain(&more).cloned().collect())?;
    expect("more than one page", pages > 1, true)?;
    expect("none of another prefix", list(bucket, "q").await?.1, Vec::new())?;
    match bucket.list_keys(None, Some("p00042".into())).await {
        Err(Error::InvalidArgument) => {}
        other => return Err(format!("a cursor that nobody gave: {other:?}")),
    }
    batch::delete_many(bucket, names).await.map_err(failed("delete-many"))?;
    batch::delete_many(bucket, more).await.map_err(failed("delete-many"))?;
    expect("all deleted", list(bucket, "p").await?.1, Vec::new())
}

async fn swaps(bucket: &Bucket) -> Result<(), String> {
    let with = |version: Option<String>, value: Option<&[u8]>| CasOptions {
        require_version: version,
        require_value: value.map(<[u8]>::to_vec),
    };
    let swap = async |value: &[u8], options| cas::swap(bucket, "cas".into(), value.to_vec(), options).await;
    match swap(b"x", with(None, None)).await {
        Err(Error::InvalidArgument) => {}
        other => return Err(format!("a swap that requires nothing: {other:?}")),
    }
    match swap(b"x", with(None, Some(b"y"))).await {
        Ok(CasResult::Stale(None)) => {}
        other => return Err(format!("a swap of nothing: {other:?}")),
    }
    bucket.set("cas".into(), b"a".to_vec(), None).await.map_err(failed("set"))?;
    let entry = cas::current(bucket, "cas".into()).await.map_err(failed("current"))?.ok_or("no entry")?;
    expect("its value", &*entry.value, b"a")?;
    match swap(b"b", with(Some(entry.version.clone()), None)).await {
        Ok(CasResult::Swapped) => {}
        other => return Err(format!("a swap of the version there is: {other:?}")),
    }
    match swap(b"c", with(Some(entry.version.clone()), None)).await {
        Ok(CasResult::Stale(Some(current))) => expect("what there is", &*current.value, b"b")?,
        other => return Err(format!("a swap of an old version: {other:?}")),
    }
    match swap(b"c", with(None, Some(b"b"))).await {
        Ok(CasResult::Swapped) => {}
        other => return Err(format!("a swap of the value there is: {other:?}")),
    }
    match swap(b"d", with(Some("no version".into()), Some(b"c"))).await {
        Ok(CasResult::Stale(Some(_))) => {}
        other => return Err(format!("a version that is none: {other:?}")),
    }
    bucket.delete("cas".into()).await.map_err(failed("delete"))?;
    bucket.set("cas".into(), b"a".to_vec(), None).await.map_err(failed("set"))?;
    match swap(b"e", with(Some(entry.version), None)).await {
        Ok(CasResult::Stale(Some(_))) => Ok(()),
        other => Err(format!("made again with the same value, it has another version: {other:?}")),
    }
}

async fn many(bucket: &Bucket) -> Result<(), String> {
    batch::set_many(bucket, vec![("a".into(), b"1".to_vec()), ("b".into(), b"2".to_vec())])
        .await
        .map_err(failed("set-many"))?;
    let came = batch::get_many(bucket, ["b", "none", "a", "b"].map(str::to_owned).to_vec())
        .await
        .map_err(failed("get-many"))?;
    let pair = |key: &str, value: &[u8]| Some((key.to_owned(), value.to_vec()));
    expect("get-many", came, vec![pair("b", b"2"), None, pair("a", b"1"), pair("b", b"2")])?;
    expect("a number", atomics::increment(bucket, "a".into(), -3).await.map_err(failed("increment"))?, -2)?;
    bucket.set("text".into(), b"pear".to_vec(), None).await.map_err(failed("set"))?;
    if atomics::increment(bucket, "text".into(), 1).await.is_ok() {
        return Err("a text was counted".into());
    }
    expect("it stays", get(bucket, "text").await?, Some(b"pear".to_vec()))?;
    bucket.set("max".into(), i64::MAX.to_string().into_bytes(), None).await.map_err(failed("set"))?;
    expect("overflow", atomics::increment(bucket, "max".into(), 1).await.is_err(), true)
}
