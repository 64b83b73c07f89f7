//! What people see who open a store with `sqlite3`: the views tell what was stored.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use proptest::prelude::*;
use rusqlite::backup::Progress;
use rusqlite::types::Value;
use rusqlite::{Connection, OpenFlags};
use stash_conformance::decision::act;
use stash_core::{
    Batch, CollectionName, CollectionSettings, ComponentId, ComponentStorage, Engine, Expiry, NamespacedStorage,
    SetOptions, StorageExt,
};
use stash_sqlite::{SqliteEngine, SqliteOptions};

fn people(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
}

/// A record as docs/FORMAT.md has it, and as the view should show it.
#[derive(Debug, Clone)]
struct Made {
    namespace: String,
    collection: String,
    key: String,
    version: u64,
    updated: Option<u64>,
    created: Option<u64>,
    expires: Option<u64>,
    texts: Option<(String, BTreeMap<String, String>)>,
    replaced: bool,
    value: Vec<u8>,
}

impl Made {
    fn name(&self) -> Vec<u8> {
        let collection = match self.collection.as_str() {
            "" => String::new(),
            name => format!("\u{1f}{}", name.replace('/', "\u{1f}")),
        };
        format!("r{}{collection}/{}", self.namespace, self.key).into_bytes()
    }

    fn stored(&self) -> Vec<u8> {
        let times = [self.updated, self.created, self.expires];
        let mut flags =
            times.iter().zip([1, 2, 4]).map(|(time, flag)| if time.is_some() { flag } else { 0 }).sum::<u8>();
        flags |= if self.texts.is_some() { 8 } else { 0 } | if self.replaced { 16 } else { 0 };
        let mut out = vec![1, flags];
        out.extend(self.version.to_be_bytes());
        for time in times.iter().flatten() {
            out.extend(&time.to_be_bytes()[2..]);
        }
        if let Some((content_type, attributes)) = &self.texts {
            let mut texts = vec![u8::try_from(content_type.len()).unwrap()];
            texts.extend(content_type.as_bytes());
            texts.extend(u16::try_from(attributes.len()).unwrap().to_be_bytes());
            for (name, value) in attributes {
                texts.extend(u16::try_from(name.len()).unwrap().to_be_bytes());
                texts.extend(u16::try_from(value.len()).unwrap().to_be_bytes());
                texts.extend([name.as_bytes(), value.as_bytes()].concat());
            }
            out.extend(u32::try_from(texts.len()).unwrap().to_be_bytes());
            out.extend(texts);
        }
        out.extend(&self.value);
        out
    }

    /// The row of the view.
    fn row(&self, people: &Connection) -> Vec<Value> {
        let text = |text: &str| Value::Text(text.to_owned());
        let time = |millis: Option<u64>| match millis {
            None => Value::Null,
            // SQLite's calendar ends with the year 9999.
            Some(millis) if millis >= 253_402_300_800_000 => text(&format!("{millis} ms")),
            Some(millis) => {
                let format = "SELECT strftime('%Y-%m-%dT%H:%M:%S', ?1, 'unixepoch')";
                let seconds: String =
                    people.query_row(format, [i64::try_from(millis / 1000).unwrap()], |row| row.get(0)).unwrap();
                text(&format!("{seconds}.{:03}Z", millis % 1000))
            }
        };
        let or_null = |shown: &str| if shown.is_empty() { Value::Null } else { text(shown) };
        let (content_type, attributes) = self.texts.clone().unwrap_or_default();
        let pairs: Vec<_> = attributes.iter().map(|(name, value)| format!("{}:{}", json(name), json(value))).collect();
        vec![
            text(&self.namespace),
            text(&self.collection),
            text(&self.key),
            match String::from_utf8(self.value.clone()) {
                Ok(shown) => Value::Text(shown),
                Err(_) => Value::Blob(self.value.clone()),
            },
            Value::Integer(self.version.cast_signed()),
            time(self.created.or(self.updated).filter(|created| *created != 0)),
            time(self.updated),
            time(self.expires),
            or_null(&content_type),
            or_null(&if pairs.is_empty() { String::new() } else { format!("{{{}}}", pairs.join(",")) }),
        ]
    }
}

/// Texts of attributes are made without control characters.
fn json(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', "\\\\").replace('"', "\\\""))
}

/// What is nearly UTF-8, and what is.
fn any_value() -> impl Strategy<Value = Vec<u8>> {
    let piece = prop_oneof![
        4 => any::<String>().prop_map(String::into_bytes),
        4 => "[a-z]{1,40}|ä|ß|\u{7ff}|\u{800}|€|\u{d7ff}|\u{e000}|\u{ffff}|\u{10000}|\u{10ffff}|\u{0}".prop_map(String::into_bytes),
        1 => proptest::sample::select(vec![
            &[0x80][..], &[0xc0, 0x80], &[0xc1, 0xbf], &[0xc2], &[0xc3, 0x28], &[0xe0, 0x9f, 0xbf], &[0xe1, 0x80], &[0xed, 0xa0, 0x80],
            &[0xed, 0xbf, 0xbf], &[0xf0, 0x8f, 0xbf, 0xbf], &[0xf4, 0x90, 0x80, 0x80], &[0xf5, 0x80, 0x80, 0x80], &[0xf1, 0x80, 0x80], &[0xff],
        ]).prop_map(<[u8]>::to_vec),
    ];
    let pieces = |most| proptest::collection::vec(piece.clone(), 0..most).prop_map(|pieces| pieces.concat());
    prop_oneof![
        4 => pieces(6),
        // Around what lies in the entry, and around the windows in which the view looks.
        2 => (pieces(3), 330..420_usize, pieces(3)).prop_map(|(a, n, b)| [a, vec![b'x'; n], b].concat()),
        2 => (pieces(3), 1000..1040_usize, pieces(3)).prop_map(|(a, n, b)| [a, "ä".repeat(n / 2).into_bytes(), vec![b'x'; n % 2], b].concat()),
        1 => (pieces(4), 1..9_usize).prop_map(|(piece, n)| piece.repeat(n * 40)),
    ]
}

fn any_time() -> impl Strategy<Value = Option<u64>> {
    proptest::option::of(prop_oneof![
        1 => Just(0),
        4 => 1_600_000_000_000..1_900_000_000_000_u64,
        1 => 0..(1_u64 << 48),
        1 => 253_402_300_799_000..253_402_300_801_000_u64,
    ])
}

fn any_record() -> impl Strategy<Value = Made> {
    let attribute = ("[a-zA-Zé\"\\\\ ]{1,12}", "\\PC{0,20}");
    let attributes = proptest::collection::btree_map(attribute.0, attribute.1, 0..4);
    let texts = proptest::option::of(("([a-z]{1,9}/[a-z]{1,20})?", attributes));
    (
        "[a-zé]{1,9}/[a-z0-9. -]{1,9}/[a-z0-9]{1,9}",
        "([a-zé]{1,9}(/[a-z0-9]{1,5}){0,2})?",
        "\\PC{1,20}|[/\u{0}\u{1f}a-z]{1,9}",
        (0..u64::from(u32::MAX) * 9, any::<bool>()),
        (any_time(), any_time(), any_time()),
        texts,
        any_value(),
    )
        .prop_map(
            |(namespace, collection, key, (version, replaced), (updated, created, expires), texts, value)| Made {
                namespace,
                collection,
                key,
                version,
                updated,
                created,
                expires,
                texts,
                replaced,
                value,
            },
        )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
    #[test]
    fn the_view_shows_what_was_stored(made in proptest::collection::vec(any_record(), 1..12)) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store.sqlite");
        let engine = SqliteEngine::open(&path, &SqliteOptions::default()).unwrap();
        let made: BTreeMap<Vec<u8>, Made> = made.into_iter().map(|made| (made.name(), made)).collect();
        let writes: Vec<_> = made.iter().map(|(name, made)| (name.clone(), made.stored())).collect();
        let put = act(move |_, into| {
            for (name, stored) in &writes {
                into.put(name.clone().into(), stored.clone().into());
            }
            Ok(())
        });
        tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(engine.update(put)).unwrap();
        let people = people(&path);
        let mut statement = people.prepare("SELECT * FROM records").unwrap();
        let rows = statement.query_map([], |row| (0..10).map(|column| row.get::<_, Value>(column)).collect::<Result<Vec<_>, _>>()).unwrap();
        let found: Vec<_> = rows.map(Result::unwrap).collect();
        let expected: Vec<_> = made.values().map(|made| made.row(&people)).collect();
        prop_assert_eq!(found, expected);
    }
}

#[tokio::test]
async fn the_views_show_a_components_data() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let backend = stash_sqlite::open(&path, &SqliteOptions::default()).await.unwrap();
    let id: ComponentId = "app/shop/001".parse().unwrap();
    let store = NamespacedStorage::new(&id, backend.clone());
    store.set("greeting", "grüß dich").await.unwrap();
    store.set("picture", vec![0xff, 0xd8, 0xff]).await.unwrap();
    let options = SetOptions {
        expiry: Expiry::After(Duration::from_hours(1)),
        content_type: Some("application/json".to_owned()),
        attributes: [("by".to_owned(), "Ann".to_owned())].into(),
    };
    store.commit(Batch::new().set_with("session", "{}", options)).await.unwrap();
    store.set("greeting", "grüß Gott").await.unwrap();
    let orders: CollectionName = "orders/2026".parse().unwrap();
    store.create_collection(&"orders".parse().unwrap(), &CollectionSettings::default()).await.unwrap();
    store.create_collection(&orders, &CollectionSettings::default()).await.unwrap();

    let people = people(&path);
    let mut records = people.prepare("SELECT namespace, collection, key, typeof(value), version, created = updated, content_type, attributes FROM records ORDER BY key").unwrap();
    let shown = records
        .query_map([], |row| {
            let text = |column| row.get::<_, Option<String>>(column);
            Ok((
                text(0)?,
                text(1)?,
                text(2)?,
                text(3)?,
                row.get::<_, i64>(4)?,
                row.get::<_, bool>(5)?,
                text(6)?,
                text(7)?,
            ))
        })
        .unwrap();
    let shown: Vec<_> = shown.map(Result::unwrap).collect();
    let row = |key: &str, kind: &str, version, unchanged, content_type: Option<&str>, attributes: Option<&str>| {
        let text = |text: &str| Some(text.to_owned());
        let (content_type, attributes) = (content_type.map(str::to_owned), attributes.map(str::to_owned));
        (text("app/shop/001"), text(""), text(key), text(kind), version, unchanged, content_type, attributes)
    };
    assert_eq!(
        shown,
        [
            row("greeting", "text", 4, shown[0].5, None, None),
            row("picture", "blob", 2, true, None, None),
            row("session", "text", 3, true, Some("application/json"), Some(r#"{"by":"Ann"}"#)),
        ]
    );
    let left = "SELECT (julianday(expires) - julianday(updated)) * 86400 FROM records WHERE key = 'session'";
    let seconds: f64 = people.query_row(left, [], |row| row.get(0)).unwrap();
    assert!((seconds - 3600.0).abs() < 0.01, "{seconds}");

    let told = backend.namespaces(None, 10).await.unwrap().remove(0);
    let row = people.query_row("SELECT * FROM namespaces", [], |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?, row.get::<_, i64>(3)?))
    });
    let expected = (
        "app/shop/001".to_owned(),
        told.version.0.cast_signed(),
        told.usage.used_bytes.cast_signed(),
        told.usage.key_count.cast_signed(),
    );
    assert_eq!(row.unwrap(), expected);
}

#[tokio::test]
async fn the_largest_values_are_read_as_they_were_written() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let backend = stash_sqlite::open(&path, &SqliteOptions::default()).await.unwrap();
    let store = NamespacedStorage::new(&"a/b/c".parse().unwrap(), backend);
    for bytes in [0, 1, 300, 378, 379, 400, 401, 4000, 5000, 1 << 20, stash_core::limits::MAX_VALUE_BYTES] {
        let value: Vec<u8> = (0..bytes).map(|n| n.to_le_bytes()[n % 3]).collect();
        store.set("k", value.clone()).await.unwrap();
        assert!(store.get("k").await.unwrap().unwrap()[..] == value, "{bytes}");
        store.set("k2", value.clone()).await.unwrap();
        store.delete("k").await.unwrap();
        assert!(store.get("k2").await.unwrap().unwrap()[..] == value, "{bytes}");
    }
    store.delete("k2").await.unwrap();
    let left: i64 = people(&path).query_row("SELECT count(*) FROM rests", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0, "the rest of a large value goes with it");
}

#[tokio::test]
async fn copies_made_while_the_store_is_in_use_are_stores() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store.sqlite");
    let backend = stash_sqlite::open(&path, &SqliteOptions::default()).await.unwrap();
    let store = NamespacedStorage::new(&"a/b/c".parse().unwrap(), backend);
    for n in 0..100 {
        store.set(&format!("k{n}"), vec![b'v'; n * 20]).await.unwrap();
    }
    let people = people(&path);
    let vacuumed = folder.path().join("vacuumed.sqlite");
    people.execute("VACUUM INTO ?1", [vacuumed.to_str().unwrap()]).unwrap();
    let copied = folder.path().join("copied.sqlite");
    people.backup("main", &copied, None::<fn(Progress)>).unwrap();
    for copy in [vacuumed, copied] {
        let backend = stash_sqlite::open(&copy, &SqliteOptions::default()).await.unwrap();
        let theirs = NamespacedStorage::new(&"a/b/c".parse().unwrap(), backend);
        assert_eq!(theirs.list_keys("").await.unwrap(), store.list_keys("").await.unwrap());
        assert_eq!(theirs.get("k99").await.unwrap().unwrap().len(), 99 * 20);
        theirs.set("k0", "changed").await.unwrap();
    }
    assert_eq!(store.get("k0").await.unwrap().unwrap().len(), 0);
    assert_eq!(store.gaps(), 0);
}
