//! Labelled imports: one interface several times, each under a name of the component's own, each a store of its own.

use stash_core::{ComponentStorage, StorageExt};
use stash_host::KeyValueConfig;
use stash_tests::support::Place;

use super::{component, in_memory, under};

/// A component that imports `wasi:keyvalue/store` of a version under each of these names, and exports for each
/// `put-NAME: func(inner: bool, value: u8) -> u32` and `get-NAME: func(inner: bool) -> u32`, on the label's default bucket
/// or on one in it. They answer 1000 and more for an error, 256 for no value.
fn labelled(version: &str, labels: &[&str]) -> String {
    let cursor = if version.ends_with("draft") { "u64" } else { "string" };
    let (mut imports, mut lowered, mut wanted, mut given, mut code, mut exports) = Default::default();
    let add = |to: &mut String, text: String| to.push_str(&text);
    for label in labels {
        add(
            &mut imports,
            format!(
                r#"(import "{label}" (implements "wasi:keyvalue/store@{version}") (instance ${label}
                (type $error' (variant (case "no-such-store") (case "access-denied") (case "other" string)))
                (export "error" (type $error (eq $error')))
                (type $response' (record (field "keys" (list string)) (field "cursor" (option {cursor}))))
                (export "key-response" (type $response (eq $response')))
                (export "bucket" (type $bucket (sub resource)))
                (export "open" (func (param "identifier" string) (result (result (own $bucket) (error $error)))))
                (export "[method]bucket.get" (func (param "self" (borrow $bucket)) (param "key" string)
                    (result (result (option (list u8)) (error $error)))))
                (export "[method]bucket.set" (func (param "self" (borrow $bucket)) (param "key" string)
                    (param "value" (list u8)) (result (result (error $error)))))
                (export "[method]bucket.list-keys" (func (param "self" (borrow $bucket))
                    (param "cursor" (option {cursor})) (result (result $response (error $error)))))))"#
            ),
        );
        for (name, function) in [("open", "open"), ("get", "[method]bucket.get"), ("set", "[method]bucket.set")] {
            add(
                &mut lowered,
                format!(
                    r#"(core func ${label}-{name} (canon lower (func ${label} "{function}")
                    (memory (core memory $memory "memory")) (realloc (core func $memory "realloc"))))"#
                ),
            );
            let parameters = match name {
                "open" => "i32 i32 i32",
                "get" => "i32 i32 i32 i32",
                _ => "i32 i32 i32 i32 i32 i32",
            };
            add(&mut wanted, format!(r#"(import "" "{label}-{name}" (func ${label}-{name} (param {parameters})))"#));
            add(&mut given, format!(r#"(export "{label}-{name}" (func ${label}-{name}))"#));
        }
        add(
            &mut code,
            format!(
                r#"(func ${label} (param $inner i32) (result i32)
                (call ${label}-open (i32.const 16) (i32.mul (local.get $inner) (i32.const 5)) (i32.const 512))
                (if (result i32) (i32.load8_u (i32.const 512))
                    (then (i32.sub (i32.const -1000) (i32.load8_u (i32.const 516))))
                    (else (i32.load (i32.const 516)))))
            (func (export "put-{label}") (param $inner i32) (param $value i32) (result i32)
                (local $bucket i32)
                (local.set $bucket (call ${label} (local.get $inner)))
                (if (i32.lt_s (local.get $bucket) (i32.const 0))
                    (then (return (i32.sub (i32.const 0) (local.get $bucket)))))
                (i32.store8 (i32.const 600) (local.get $value))
                (call ${label}-set (local.get $bucket) (i32.const 8) (i32.const 1) (i32.const 600) (i32.const 1)
                    (i32.const 512))
                (i32.mul (i32.load8_u (i32.const 512)) (i32.const 2000)))
            (func (export "get-{label}") (param $inner i32) (result i32)
                (local $bucket i32)
                (local.set $bucket (call ${label} (local.get $inner)))
                (if (i32.lt_s (local.get $bucket) (i32.const 0))
                    (then (return (i32.sub (i32.const 0) (local.get $bucket)))))
                (call ${label}-get (local.get $bucket) (i32.const 8) (i32.const 1) (i32.const 512))
                (if (i32.load8_u (i32.const 512)) (then (return (i32.const 2000))))
                (if (i32.eqz (i32.load8_u (i32.const 516))) (then (return (i32.const 256))))
                (i32.load8_u (i32.load (i32.const 520))))"#
            ),
        );
        add(
            &mut exports,
            format!(
                r#"(func (export "put-{label}") (param "inner" bool) (param "value" u8) (result u32)
                (canon lift (core func $code "put-{label}")))
            (func (export "get-{label}") (param "inner" bool) (result u32)
                (canon lift (core func $code "get-{label}")))"#
            ),
        );
    }
    format!(
        r#"(component {imports}
        (core module $memory (memory (export "memory") 1)
            (data (i32.const 8) "k") (data (i32.const 16) "inner")
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) i32.const 4096))
        (core instance $memory (instantiate $memory))
        {lowered}
        (core module $code (import "" "memory" (memory 1)) {wanted} {code})
        (core instance $code (instantiate $code (with "" (instance
            (export "memory" (memory $memory "memory")) {given}))))
        {exports})"#
    )
}

#[tokio::test]
async fn each_label_is_a_store_of_its_own() {
    for version in ["0.2.0-draft", "0.2.0-draft2"] {
        let (place, host) = (Place::new(), in_memory().await);
        let guest = component(&place, "labelled", &labelled(version, &["cache", "sessions"]));
        let program = host.runtime.load(&guest).expect("the component loads");
        let id = "app/labelled/001";
        let mut answers = Vec::new();
        for call in [
            "put-cache(false, 1)",
            "get-sessions(false)",
            "put-sessions(false, 2)",
            "put-cache(true, 3)",
            "get-sessions(true)",
            "put-sessions(true, 4)",
            "get-cache(false)",
            "get-sessions(false)",
            "get-cache(true)",
            "get-sessions(true)",
        ] {
            answers.push(host.invoke(&program, id, call).await.unwrap_or_else(|error| panic!("{call}: {error}")));
        }
        assert_eq!(answers, ["0", "256", "0", "0", "256", "0", "1", "2", "3", "4"], "{version}");
        // Where a person finds them; the default collection is none of them.
        let store = host.component(id);
        let names: Vec<String> =
            store.collections(None).await.unwrap().into_iter().filter_map(|c| c.name).map(|n| n.to_string()).collect();
        assert_eq!(names, ["cache", "cache/inner", "sessions", "sessions/inner"]);
        assert_eq!(store.get("k").await.unwrap(), None);
        // Another component's labels are its own.
        assert_eq!(host.invoke(&program, "app/labelled/002", "get-cache(false)").await.unwrap(), "256");
    }
}

#[tokio::test]
async fn a_label_is_allowed_by_its_name() {
    let (place, host) = (Place::new(), in_memory().await);
    let guest = component(&place, "labelled", &labelled("0.2.0-draft2", &["cache", "sessions"]));
    let program = host.runtime.load(&guest).expect("the component loads");
    for (call, answer) in [
        ("put-cache(false, 1)", "0"),
        ("put-cache(true, 1)", "0"),
        ("put-sessions(false, 1)", "1001"),
        ("get-sessions(true)", "1001"),
    ] {
        let allowed = Some(["cache".to_owned(), "default".to_owned()].into());
        let rules = KeyValueConfig { allowed, ..KeyValueConfig::default() };
        assert_eq!(under(&host, &program, rules, call).await, answer, "{call}");
    }
}

#[test]
fn labels_work_through_the_binary_and_stay() {
    let place = Place::new();
    let guest = component(&place, "labelled", &labelled("0.2.0-draft2", &["cache", "sessions"]));
    let run = |call: &str| place.stash(["run", "--invoke", call, guest.to_str().unwrap()]).success();
    assert_eq!(run("put-cache(false, 7)"), "0\n");
    assert_eq!(run("get-cache(false)"), "7\n");
    assert_eq!(run("get-sessions(false)"), "256\n");
    let preset = ["run", "--preset", "sessions/k=A", "--invoke", "get-sessions(false)", guest.to_str().unwrap()];
    assert_eq!(place.stash(preset).success(), "65\n");
}
