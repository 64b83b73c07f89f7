//! What the tests with real members have in common.

// Each test uses a part of it.
#![allow(dead_code, unreachable_pub)]

use std::sync::Arc;
use std::time::{Duration, Instant};

use stash_conformance::decision::{act, to_number};
use stash_core::{Engine, StorageError};
use stash_etcd::{EtcdEngine, EtcdOptions};
use stash_shared::SharedOptions;

pub const COUNT: &[u8] = b"rapp/a/1/count";

/// Nothing is heard by asking, and calls give up soon.
pub fn quiet() -> EtcdOptions {
    let shared = SharedOptions { poll: Duration::from_hours(1), ..SharedOptions::default() };
    EtcdOptions { shared, ..EtcdOptions::default() }
}

/// Calls have so long for one answer, and go on trying for so long.
pub fn patient(call_timeout: Duration, patience: Duration) -> EtcdOptions {
    let shared = SharedOptions { call_timeout, patience, ..SharedOptions::default() };
    EtcdOptions { shared, ..EtcdOptions::default() }
}

pub async fn open(url: &str, options: &EtcdOptions) -> Arc<EtcdEngine> {
    Arc::new(stash_etcd::open_engine(url, options).await.unwrap())
}

pub async fn number(engine: &EtcdEngine, key: &[u8]) -> u64 {
    engine.read(&[key]).await.unwrap()[0].as_deref().map_or(0, to_number)
}

/// Writes entries in one commit.
pub async fn write(engine: &EtcdEngine, entries: Vec<(String, Option<Vec<u8>>)>) -> Result<(), StorageError> {
    engine
        .update(act(move |_, writes| {
            for (key, value) in &entries {
                match value {
                    Some(value) => writes.put(key.clone().into(), value.clone().into()),
                    None => writes.remove(key.clone().into()),
                }
            }
            Ok(())
        }))
        .await
}

/// Bytes that differ from one seed to another.
pub fn bytes(length: usize, seed: usize) -> Vec<u8> {
    (0..length).map(|n| u8::try_from((n * 31 + seed * 7 + n / 251) % 256).unwrap()).collect()
}

/// Calls until it gives what is waited for.
pub async fn until<T: PartialEq + std::fmt::Debug>(expected: T, call: impl AsyncFn() -> T) {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let now = call().await;
        if now == expected {
            return;
        }
        assert!(Instant::now() < deadline, "it stays {now:?}");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}
