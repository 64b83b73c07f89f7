//! What is told of a record beside its value: when it was made and changed, when it expires, what it is.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use stash_core::limits::{MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_CONTENT_TYPE_BYTES};
use stash_core::{
    Attributes, ComponentStorage, Expiry, MetadataChange, Record, ScanRequest, SetOptions, StorageError, StorageExt,
};

use super::{Chain, counted_everywhere, driven, one, open, records, text};
use crate::report::Skip;
use crate::world::{World, WorldFixture};

fn attributes(pairs: &[(&str, &str)]) -> Attributes {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn described(content_type: &str, pairs: &[(&str, &str)]) -> SetOptions {
    SetOptions { content_type: Some(content_type.to_owned()), attributes: attributes(pairs), ..SetOptions::default() }
}

/// The record, which every way of reading tells alike.
async fn entry(chain: &Chain, key: &str) -> Record {
    let record = chain.read_one(key).await.unwrap().expect("there is a record");
    assert_eq!(chain.read(&[key]).await.unwrap(), [Some(record.clone())]);
    assert_eq!(records(chain).await.get(key), Some(&record), "as it is listed");
    chain.look(key, &mut |shown| assert_eq!(shown, Some(&record), "as it is shown at once"));
    let listed = chain.scan(&ScanRequest::prefix(key)).await.unwrap();
    let bare = listed.entries.into_iter().find(|entry| entry.key == *key).expect("it is listed").record;
    assert!(bare.value.is_empty() && bare.metadata.content_type().is_none() && bare.metadata.attributes().is_empty());
    let times =
        |record: &Record| (record.version, record.metadata.created, record.metadata.updated, record.metadata.expires);
    assert_eq!(times(&bare), times(&record), "without values");
    record
}

pub(super) async fn what_is_told_of_a_record_comes_back<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    driven(&world)?;
    let chain = open(&world, &one());
    let begun = chain.now();
    let options = SetOptions {
        expiry: Expiry::After(Duration::from_mins(1)),
        ..described("text/plain; charset=utf-8", &[("author", "Ada"), ("", "")][..1])
    };
    let version = chain.set_with("k", "v", options, None).await.unwrap();
    for _ in 0..2 {
        let record = entry(&chain, "k").await;
        assert_eq!((record.version, record.value.as_text()), (version, Some("v")));
        assert_eq!((record.metadata.created, record.metadata.updated), (Some(begun), Some(begun)));
        assert_eq!(record.metadata.expires, Some(begun.after(Duration::from_mins(1))));
        assert_eq!(record.metadata.content_type(), Some("text/plain; charset=utf-8"));
        assert_eq!(record.metadata.attributes(), &attributes(&[("author", "Ada")]));
    }
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await, "content type and attributes count");
    let at = begun.after(Duration::from_secs(7));
    let options = SetOptions { expiry: Expiry::At(at), ..SetOptions::default() };
    chain.set_with("at", "v", options, None).await.unwrap();
    assert_eq!(entry(&chain, "at").await.metadata.expires, Some(at));
    Ok(())
}

pub(super) async fn creation_is_remembered_until_deletion<F: WorldFixture>(worlds: Arc<F>) -> Result<(), Skip> {
    let world = worlds.fresh().await;
    driven(&world)?;
    let chain = open(&world, &one());
    let begun = chain.now();
    chain.set("k", "one").await.unwrap();
    world.advance(Duration::from_millis(5));
    chain.set("k", "two").await.unwrap();
    world.advance(Duration::from_millis(5));
    chain.increment("k2", 1).await.unwrap();
    chain.touch("k", Expiry::After(Duration::from_secs(9))).await.unwrap();
    let record = entry(&chain, "k").await;
    assert_eq!((record.metadata.created, record.metadata.updated), (Some(begun), Some(chain.now())));
    chain.delete("k").await.unwrap();
    world.advance(Duration::from_millis(5));
    chain.set("k", "three").await.unwrap();
    let record = entry(&chain, "k").await;
    assert_eq!((record.metadata.created, record.metadata.updated), (Some(chain.now()), Some(chain.now())));
    // One that has expired is as good as deleted.
    let options = SetOptions { expiry: Expiry::After(Duration::from_millis(5)), ..SetOptions::default() };
    chain.set_with("short", "v", options, None).await.unwrap();
    world.advance(Duration::from_millis(5));
    chain.set("short", "v").await.unwrap();
    assert_eq!(entry(&chain, "short").await.metadata.created, Some(chain.now()));
    Ok(())
}

pub(super) async fn a_plain_set_leaves_only_the_value<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let options = SetOptions { expiry: Expiry::After(Duration::from_hours(1)), ..described("a/b", &[("x", "y")]) };
    chain.set_with("k", "one", options.clone(), None).await.unwrap();
    chain.append("k", "more").await;
    let record = entry(&chain, "k").await;
    assert!(record.metadata.expires.is_some() && record.metadata.content_type() == Some("a/b"), "an append keeps them");
    chain.set("k", "two").await.unwrap();
    let record = entry(&chain, "k").await;
    assert_eq!((record.metadata.expires, record.metadata.content_type()), (None, None));
    assert!(record.metadata.attributes().is_empty());
    chain.set_with("k", "three", options, None).await.unwrap();
    let expires = entry(&chain, "k").await.metadata.expires;
    let keeping = SetOptions { expiry: Expiry::Keep, ..SetOptions::default() };
    chain.set_with("k", "four", keeping.clone(), None).await.unwrap();
    let record = entry(&chain, "k").await;
    assert_eq!((record.metadata.expires, record.metadata.content_type()), (expires, None), "only the expiry is kept");
    chain.set_with("new", "v", keeping, None).await.unwrap();
    assert_eq!(entry(&chain, "new").await.metadata.expires, None, "there is nothing to keep");
    assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await);
}

/// Appending without more ado.
trait Append {
    async fn append(&self, key: &str, more: &str);
}

impl Append for Chain {
    async fn append(&self, key: &str, more: &str) {
        self.commit(stash_core::Batch::new().append(key, more)).await.unwrap();
    }
}

pub(super) async fn metadata_is_replaced_or_merged<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let replace = |content_type: Option<&str>, pairs: &[(&str, &str)]| MetadataChange::Replace {
        content_type: content_type.map(str::to_owned),
        attributes: attributes(pairs),
    };
    let merge = |content_type: Option<&str>, pairs: &[(&str, Option<&str>)]| MetadataChange::Merge {
        content_type: content_type.map(str::to_owned),
        attributes: pairs.iter().map(|(name, value)| ((*name).to_owned(), value.map(str::to_owned))).collect(),
    };
    let options =
        SetOptions { expiry: Expiry::After(Duration::from_hours(1)), ..described("a/b", &[("x", "1"), ("y", "2")]) };
    let first = chain.set_with("k", "value", options, None).await.unwrap();
    let expires = entry(&chain, "k").await.metadata.expires;
    let steps = [
        (merge(None, &[("x", None), ("z", Some("3"))]), Some("a/b"), vec![("y", "2"), ("z", "3")]),
        (merge(Some("c/d"), &[]), Some("c/d"), vec![("y", "2"), ("z", "3")]),
        (replace(None, &[("q", "")]), None, vec![("q", "")]),
        (merge(None, &[("absent", None)]), None, vec![("q", "")]),
        (replace(Some("e/f"), &[]), Some("e/f"), vec![]),
    ];
    let mut last = first;
    for (change, content_type, pairs) in steps {
        let shown = format!("{change:?}");
        let version = chain.set_metadata("k", change).await.unwrap();
        assert!(version > last, "{shown} is a change");
        last = version;
        let record = entry(&chain, "k").await;
        assert_eq!(record.metadata.content_type(), content_type, "{shown}");
        assert_eq!(record.metadata.attributes(), &attributes(&pairs), "{shown}");
        assert_eq!((record.version, record.metadata.expires), (version, expires), "{shown}");
        assert_eq!(text(&chain, "k").await.as_deref(), Some("value"), "{shown}");
        assert_eq!(chain.usage("").await.unwrap(), counted_everywhere(&chain).await, "{shown}");
    }
    let missing = chain.set_metadata("absent", replace(None, &[])).await.unwrap_err();
    assert_eq!(missing, StorageError::NotFound { key: "absent".to_owned() });
}

pub(super) async fn metadata_has_limits<F: WorldFixture>(worlds: Arc<F>) {
    let world = worlds.fresh().await;
    let chain = open(&world, &one());
    let many = |count: usize| (0..count).map(|n| (format!("{n}"), String::new())).collect::<Attributes>();
    let large = |bytes: usize| Attributes::from([("n".to_owned(), "v".repeat(bytes - 1))]);
    let with = |content_type: Option<String>, attributes: Attributes| SetOptions {
        content_type,
        attributes,
        ..SetOptions::default()
    };
    for options in [
        with(Some("t".repeat(MAX_CONTENT_TYPE_BYTES)), Attributes::new()),
        with(None, many(MAX_ATTRIBUTES)),
        with(None, large(MAX_ATTRIBUTE_BYTES)),
    ] {
        chain.set_with("k", "v", options.clone(), None).await.unwrap();
        let record = entry(&chain, "k").await;
        assert_eq!(record.metadata.content_type(), options.content_type.as_deref());
        assert_eq!(record.metadata.attributes(), &options.attributes);
    }
    let before = records(&chain).await;
    let refused = [
        (
            with(Some("t".repeat(MAX_CONTENT_TYPE_BYTES + 1)), Attributes::new()),
            "limit exceeded: the length of a content type in bytes is 256; the limit is 255",
        ),
        (
            with(Some(String::new()), Attributes::new()),
            "invalid argument: a content type is not empty and has no control characters",
        ),
        (
            with(Some("a\nb".into()), Attributes::new()),
            "invalid argument: a content type is not empty and has no control characters",
        ),
        (with(None, many(MAX_ATTRIBUTES + 1)), "limit exceeded: the number of attributes is 65; the limit is 64"),
        (
            with(None, large(MAX_ATTRIBUTE_BYTES + 1)),
            "limit exceeded: the size of the attributes in bytes is 8193; the limit is 8192",
        ),
        (with(None, attributes(&[("", "v")])), "invalid argument: an attribute's name is not empty"),
    ];
    for (options, text) in refused {
        let SetOptions { content_type, attributes, .. } = options.clone();
        let replace = MetadataChange::Replace { content_type: content_type.clone(), attributes: attributes.clone() };
        let attributes: BTreeMap<_, _> = attributes.into_iter().map(|(name, value)| (name, Some(value))).collect();
        let merge = MetadataChange::Merge { content_type, attributes };
        chain
            .set_metadata("k", MetadataChange::Replace { content_type: None, attributes: Attributes::new() })
            .await
            .unwrap();
        let bare = records(&chain).await;
        assert_eq!(chain.set_with("k", "new", options, None).await.unwrap_err().to_string(), text);
        assert_eq!(chain.set_metadata("k", replace).await.unwrap_err().to_string(), text);
        assert_eq!(chain.set_metadata("k", merge).await.unwrap_err().to_string(), text);
        assert_eq!(records(&chain).await, bare, "a refused change left something");
    }
    // What is merged counts with what is there.
    chain.set_with("k", "v", with(None, many(MAX_ATTRIBUTES)), None).await.unwrap();
    let one_more =
        MetadataChange::Merge { content_type: None, attributes: [("x".to_owned(), Some(String::new()))].into() };
    let error = chain.set_metadata("k", one_more).await.unwrap_err().to_string();
    assert_eq!(error, "limit exceeded: the number of attributes is 65; the limit is 64");
    assert_eq!(records(&chain).await.len(), before.len());
}
