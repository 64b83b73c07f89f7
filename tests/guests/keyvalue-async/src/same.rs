//! A component's data is the same through every interface.

use crate::spin::key_value::key_value::Store;
use crate::stash::storage::store as own;
use crate::wasmcloud::keyvalue::store;
use crate::wasmcloud::keyvalue::types::Bucket;
use crate::{expect, failed};

/// What each interface sets and deletes, all of them see.
pub(crate) async fn check() -> Result<(), String> {
    let bucket = store::open("default".into()).await.map_err(failed("open a bucket"))?;
    let spins = Store::open("default".into()).await.map_err(failed("open a store"))?;
    own::set("k", b"1").map_err(|e| e.to_string())?;
    seen(&bucket, &spins, "stash:storage set", Some(b"1")).await?;
    bucket.set("k".into(), b"2".to_vec(), None).await.map_err(failed("set"))?;
    seen(&bucket, &spins, "wasmcloud:keyvalue set", Some(b"2")).await?;
    spins.set("k".into(), b"3".to_vec()).await.map_err(failed("set"))?;
    seen(&bucket, &spins, "spin:key-value set", Some(b"3")).await?;
    bucket.delete("k".into()).await.map_err(failed("delete"))?;
    seen(&bucket, &spins, "wasmcloud:keyvalue deleted", None).await
}

async fn seen(bucket: &Bucket, spins: &Store, what: &str, value: Option<&[u8]>) -> Result<(), String> {
    let through = |interface: &str| format!("what {what}, through {interface}");
    let value = value.map(<[u8]>::to_vec);
    expect(&through("stash:storage"), own::get("k").map_err(|e| e.to_string())?, value.clone())?;
    let came = bucket.get("k".into()).await.map_err(failed("get"))?;
    expect(&through("wasmcloud:keyvalue"), came, value.clone())?;
    expect(&through("spin:key-value"), spins.get("k".into()).await.map_err(failed("get"))?, value)
}
