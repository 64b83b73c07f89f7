//! What the command line gives a guest: buckets it may open, values that are there already, settings, a log.

use stash_host::KeyValueConfig;
use stash_tests::KEYVALUE_MIXED;
use stash_tests::support::Place;

use super::{call, component, in_memory, mixed, told, under};

#[tokio::test]
async fn only_buckets_that_are_named_open() {
    const DENIED: &str = "err(\"Error::AccessDenied\")";
    let host = in_memory().await;
    let program = host.load(KEYVALUE_MIXED);
    let allowed = |names: &[&str]| KeyValueConfig {
        allowed: Some(names.iter().map(|name| (*name).to_owned()).collect()),
        ..KeyValueConfig::default()
    };
    for (names, bucket, opens) in [
        (&["cache"][..], "cache", true),
        (&["cache"], "", false),
        (&["cache"], "default", false),
        (&["cache"], "cache/inner", false),
        (&["cache"], "Cache", false),
        (&["cache"], "cache ", false),
        (&["default"], "", true),
        (&["default"], "default", true),
        (&["default"], "bucket:default", false),
        (&["redis://127.0.0.1:6379/"], "redis://127.0.0.1:6379/", true),
        (&["redis://127.0.0.1:6379/"], "bucket:redis:%2F%2F127.0.0.1:6379%2F", false),
        (&[], "default", false),
    ] {
        let answer = under(&host, &program, allowed(names), &call("get", &[bucket, "k"])).await;
        assert_eq!(answer, if opens { "ok(\"None\")" } else { DENIED }, "{names:?} {bucket:?}");
    }
}

#[test]
fn the_command_line_names_buckets() {
    let place = Place::new();
    let denied = "err(\"Error::AccessDenied\")\n";
    let get = |options: &[&str], bucket: &str| mixed(&place, options, "get", &[bucket, "k"]).success();
    assert_eq!(get(&["--allow-bucket", "a", "--allow-bucket", "b"], "b"), "ok(\"None\")\n");
    assert_eq!(get(&["--allow-bucket", "a"], "b"), denied);
    assert_eq!(get(&["--allow-bucket", ""], "default"), "ok(\"None\")\n");
    assert_eq!(get(&["--allow-bucket", "a"], ""), denied);
    assert_eq!(get(&[], "redis://127.0.0.1:6379/"), "ok(\"None\")\n");
}

#[test]
fn what_is_preset_is_there_and_is_not_set_again() {
    let place = Place::new();
    let options = [
        ["--preset", "default/k=one"],
        ["--preset", "cache/a/b=two=2"],
        // A name that is no collection's, and is written otherwise.
        ["--preset", "bucket:x/k=three"],
    ]
    .concat();
    let get =
        |options: &[&str], bucket: &str, key: &str| told(&mixed(&place, options, "get", &[bucket, key]).success());
    assert_eq!(get(&options, "", "k"), "Some(Ok(\"one\"))");
    assert_eq!(get(&["--preset", "default/k=other"], "default", "k"), "Some(Ok(\"one\"))");
    assert_eq!(get(&[], "cache", "a/b"), "Some(Ok(\"two=2\"))");
    assert_eq!(get(&[], "bucket:x", "k"), "Some(Ok(\"three\"))");
}

#[test]
fn settings_are_the_same_in_both_versions() {
    let place = Place::new();
    let config = |options: &[&str], key: &str| told(&mixed(&place, options, "config", &[key]).success());
    let options = ["--config", "level=3", "--config", "greeting=hello=you"];
    assert_eq!(
        config(&options, "greeting"),
        "Some(\"hello=you\") Some(\"hello=you\") [(\"greeting\", \"hello=you\"), (\"level\", \"3\")] true"
    );
    assert_eq!(config(&options, "Level"), "None None [(\"greeting\", \"hello=you\"), (\"level\", \"3\")] true");
    assert_eq!(config(&[], "level"), "None None [] true");
}

#[test]
fn messages_are_in_the_log_on_one_line_each() {
    let place = Place::new();
    let call = call("log", &["ctx", "one\ntwo \u{1b}[2J"]);
    let arguments = ["run", "--id", "app/mixed/001", "--invoke", &call, KEYVALUE_MIXED];
    let output = place.command(arguments).env("RUST_LOG", "stash::guest=debug").output().unwrap();
    assert!(output.status.success());
    let log = String::from_utf8(output.stderr).unwrap();
    let lines: Vec<&str> = log.lines().collect();
    assert_eq!(lines.len(), 3, "{log}");
    for (line, level) in lines.iter().zip(["DEBUG", "WARN", "ERROR"]) {
        assert!(line.contains(level) && line.contains("one\\ntwo \\u{1b}[2J"), "{line}");
        assert!(line.contains("stash::guest") && line.contains("app/mixed/001"), "{line}");
    }
    assert!(lines[2].contains("critical=true"), "{log}");
}

/// As wasmCloud's guests import it: without a version.
const UNVERSIONED: &str = r#"(component
    (import "wasi:logging/logging" (instance $logging
        (type $level' (enum "trace" "debug" "info" "warn" "error" "critical"))
        (export "level" (type $level (eq $level')))
        (export "log" (func (param "level" $level) (param "context" string) (param "message" string)))))
    (core module $memory (memory (export "memory") 1) (data (i32.const 8) "here a message"))
    (core instance $memory (instantiate $memory))
    (core func $log (canon lower (func $logging "log") (memory (core memory $memory "memory"))))
    (core module $code
        (import "" "log" (func $log (param i32 i32 i32 i32 i32)))
        (func (export "run") (call $log (i32.const 3) (i32.const 8) (i32.const 4) (i32.const 13) (i32.const 9))))
    (core instance $code (instantiate $code (with "" (instance (export "log" (func $log))))))
    (func (export "run") (canon lift (core func $code "run"))))"#;

#[test]
fn a_log_without_a_version_is_the_same() {
    let place = Place::new();
    let guest = component(&place, "logging", UNVERSIONED);
    let ran = place.stash(["run", "--invoke", "run()", guest.to_str().unwrap()]);
    assert_eq!(ran.code, Some(0), "{ran:?}");
    assert!(ran.err.contains("WARN") && ran.err.contains("a message") && ran.err.contains("here"), "{ran:?}");
}
