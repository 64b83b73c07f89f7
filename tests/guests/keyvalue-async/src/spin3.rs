//! `spin:key-value@3.0.0`.

use crate::spin::key_value::key_value::Store;
use crate::{expect, failed};

pub(crate) async fn stream_keys(number: u32) -> Result<u32, String> {
    let store = Store::open("streamed".into()).await.map_err(failed("open"))?;
    for n in 0..number {
        store.set(format!("{n:08}"), Vec::new()).await.map_err(failed("set"))?;
    }
    let keys = keys(&store).await?;
    expect("in order", keys.is_sorted(), true)?;
    // A guest that has seen enough lets go of the stream.
    let (mut some, outcome) = store.get_keys().await;
    let first = some.next().await;
    drop(some);
    drop(outcome);
    expect("the first", first, keys.first().cloned())?;
    u32::try_from(keys.len()).map_err(|e| e.to_string())
}

pub(crate) async fn hold_streams(keys: u32, streams: u32) -> Result<u32, String> {
    let store = Store::open("held".into()).await.map_err(failed("open"))?;
    for n in 0..keys {
        store.set(format!("{n:01000}"), Vec::new()).await.map_err(failed("set"))?;
    }
    let (mut held, mut count) = (Vec::new(), 0);
    for _ in 0..streams {
        let (mut stream, outcome) = store.get_keys().await;
        count += u32::from(stream.next().await.is_some());
        held.push((stream, outcome));
    }
    for (stream, outcome) in held {
        let rest = stream.collect().await;
        outcome.await.map_err(failed("get-keys"))?;
        expect("in order", rest.is_sorted(), true)?;
        count += u32::try_from(rest.len()).map_err(|e| e.to_string())?;
    }
    Ok(count)
}

async fn keys(store: &Store) -> Result<Vec<String>, String> {
    let (stream, outcome) = store.get_keys().await;
    let keys = stream.collect().await;
    outcome.await.map_err(failed("get-keys"))?;
    Ok(keys)
}
