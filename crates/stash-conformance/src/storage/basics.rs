//! Plain get, set, delete, exists: what a caller that knows nothing else relies on.

use std::sync::Arc;

use bytes::Bytes;
use stash_core::{ComponentStorage, StorageValue};

use super::{one, open};
use crate::world::WorldFixture;

pub(super) async fn what_is_set_is_got<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    // Twice through, so that every answer is also given from a warm cache.
    for round in 0..2 {
        assert_eq!(chain.get("k").await.unwrap(), None, "round {round}");
        assert!(!chain.exists("k").await.unwrap());
        assert!(!chain.delete("k").await.unwrap(), "there is nothing to delete");
        chain.set("k", "one").await.unwrap();
        for _ in 0..2 {
            assert_eq!(chain.get("k").await.unwrap(), Some("one".into()));
            assert!(chain.exists("k").await.unwrap());
        }
        chain.set("k", "two").await.unwrap();
        assert_eq!(chain.get("k").await.unwrap(), Some("two".into()));
        assert_eq!(chain.list_keys("").await.unwrap(), ["k"]);
        assert!(chain.delete("k").await.unwrap());
        assert!(!chain.exists("k").await.unwrap());
        assert!(!chain.delete("k").await.unwrap(), "it was deleted already");
        assert!(chain.list_keys("").await.unwrap().is_empty());
    }
}

pub(super) async fn values_of_every_kind<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let values: [Vec<u8>; 6] =
        [vec![], vec![0], (0..=255).collect(), b"text".to_vec(), vec![0xff; 70_000], vec![7; 1024 * 1024]];
    for (n, value) in values.iter().enumerate() {
        chain.set(&format!("k{n}"), value.clone()).await.unwrap();
        chain.set("same", value.clone()).await.unwrap();
        for _ in 0..2 {
            assert_eq!(chain.get("same").await.unwrap().as_deref(), Some(&value[..]));
        }
    }
    for (n, value) in values.into_iter().enumerate() {
        assert_eq!(chain.get(&format!("k{n}")).await.unwrap().map(StorageValue::into_bytes), Some(Bytes::from(value)));
    }
}

pub(super) async fn read_answers_in_the_order_asked<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    chain.set("a", "1").await.unwrap();
    chain.set("b", "2").await.unwrap();
    for _ in 0..3 {
        let keys = ["b", "missing", "a", "b", "missing"];
        let records = chain.read(&keys).await.unwrap();
        let texts: Vec<_> =
            records.iter().map(|record| record.as_ref().and_then(|record| record.value.as_text())).collect();
        assert_eq!(texts, [Some("2"), None, Some("1"), Some("2"), None]);
        for (key, record) in keys.iter().zip(records) {
            assert_eq!(chain.read_one(key).await.unwrap(), record, "one by one it is the same");
        }
        assert!(chain.read(&[]).await.unwrap().is_empty());
    }
}

pub(super) async fn instances_of_one_component_agree<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let instances: Vec<_> = (0..3).map(|_| open(&world, &one())).collect();
    for turn in 0..9_usize {
        let (writer, reader) = (&instances[turn % 3], &instances[(turn + 1) % 3]);
        // The reader has seen, and may have cached, what was there before.
        drop(reader.get("k").await.unwrap());
        if turn % 4 == 3 {
            writer.delete("k").await.unwrap();
        } else {
            writer.set("k", format!("{turn}")).await.unwrap();
        }
        let expected = if turn % 4 == 3 { None } else { Some(format!("{turn}").into()) };
        for instance in &instances {
            assert_eq!(instance.get("k").await.unwrap(), expected, "turn {turn}");
        }
        assert_eq!(reader.usage("").await.unwrap(), writer.usage("").await.unwrap());
    }
    // Also one that is opened later.
    assert_eq!(open(&world, &one()).get("k").await.unwrap(), Some("8".into()));
}
