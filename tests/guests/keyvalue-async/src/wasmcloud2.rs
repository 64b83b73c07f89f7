//! `wasmcloud:keyvalue@0.2.0`.

use keyvalue_checks::all;

use crate::failed;
use crate::wasmcloud::keyvalue::{atomics, store};

pub(crate) async fn open(name: String) -> Result<(), String> {
    store::open(name).await.map(drop).map_err(failed("open"))
}

/// Many increments, all under way together.
pub(crate) async fn count(times: u32) -> Result<i64, String> {
    let bucket = store::open("counting".into()).await.map_err(failed("open"))?;
    let adding = (0..times).map(|_| atomics::increment(&bucket, "n".into(), 1));
    for added in all(adding).await {
        added.map_err(failed("increment"))?;
    }
    atomics::increment(&bucket, "n".into(), 0).await.map_err(failed("increment"))
}
