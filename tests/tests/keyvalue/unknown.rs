//! Imports that this host does not have: an error that tells all of them, or a trap where one is called. What the host has
//! is never taken away by that.

use std::path::PathBuf;

use stash_tests::support::Place;

use super::component;

/// Imports `wasi:random/random` in this version, and of it these functions, and two interfaces that nobody has.
fn unknown(place: &Place, version: &str, functions: &str) -> PathBuf {
    let text = format!(
        r#"(component
        (import "wasi:random/random@{version}" (instance $random
            (export "get-random-u64" (func (result u64))) {functions}))
        (import "nobody:has/this@1.0.0" (instance $this (export "f" (func (param "text" string) (result u32)))))
        (import "nobody:has/that@2.0.0-draft" (instance $that
            (export "thing" (type $thing (sub resource)))
            (export "[method]thing.g" (func (param "self" (borrow $thing))))))
        (core module $memory (memory (export "memory") 1))
        (core instance $memory (instantiate $memory))
        (core func $random (canon lower (func $random "get-random-u64")))
        (core func $f (canon lower (func $this "f") (memory (core memory $memory "memory"))))
        (core module $code
            (import "" "random" (func $random (result i64)))
            (import "" "f" (func $f (param i32 i32) (result i32)))
            (func (export "differ") (result i32) (i64.ne (call $random) (call $random)))
            (func (export "f") (result i32) (call $f (i32.const 0) (i32.const 0))))
        (core instance $code (instantiate $code (with "" (instance
            (export "random" (func $random)) (export "f" (func $f))))))
        (func (export "differ") (result bool) (canon lift (core func $code "differ")))
        (func (export "f") (result u32) (canon lift (core func $code "f"))))"#
    );
    component(place, "unknown", &text)
}

/// The version that the host has, and older ones that a component may ask for. 0.2.9 is not always among those of the host's.
const VERSIONS: [&str; 4] = ["0.2.0", "0.2.3", "0.2.9", "0.2.12"];

#[test]
fn all_that_is_unknown_is_told() {
    for version in VERSIONS {
        let place = Place::new();
        let guest = unknown(&place, version, "");
        let error = place.stash(["run", "--invoke", "differ()", guest.to_str().unwrap()]).failure(1);
        assert!(error.contains("it imports nobody:has/this@1.0.0, nobody:has/that@2.0.0-draft, which"), "{error}");
        assert!(error.contains("--stub-unknown-imports"), "{error}");
        assert!(!error.contains("wasi:random"), "{error}");
        // Nothing was made for a guest that cannot run.
        assert!(!place.path().join(".stash/store.redb").exists());
    }
}

#[test]
fn a_stub_is_for_what_is_unknown_only() {
    for version in VERSIONS {
        let place = Place::new();
        let guest = unknown(&place, version, "");
        let run =
            |call: &str| place.stash(["run", "--stub-unknown-imports", "--invoke", call, guest.to_str().unwrap()]);
        assert_eq!(run("differ()").success(), "true\n", "{version}");
        let error = run("f()").failure(134);
        assert!(error.contains("it called nobody:has/this@1.0.0#f, which this host does not have"), "{error}");
    }
}

#[test]
fn an_interface_that_lacks_a_function_keeps_the_others() {
    let place = Place::new();
    let guest = unknown(&place, "0.2.12", r#"(export "get-future" (func (result u64)))"#);
    let guest = guest.to_str().unwrap();
    let error = place.stash(["run", "--invoke", "differ()", guest]).failure(1);
    assert!(error.contains("it imports wasi:random/random@0.2.12, nobody:has/this@1.0.0, nobody"), "{error}");
    let stubbed = place.stash(["run", "--stub-unknown-imports", "--invoke", "differ()", guest]);
    assert_eq!(stubbed.success(), "true\n");
}

#[test]
fn a_function_of_another_shape_is_an_error_all_the_same() {
    let place = Place::new();
    let text =
        r#"(component (import "wasi:random/random@0.2.0" (instance (export "get-random-u64" (func (result u32))))))"#;
    let guest = component(&place, "shape", text);
    for options in [&[][..], &["--stub-unknown-imports"]] {
        let arguments = [&["run"], options, &["--invoke", "f()", guest.to_str().unwrap()]].concat();
        let error = place.stash(arguments).failure(1);
        assert!(
            error.contains("it imports wasi:random/random@0.2.0 with other functions or types than this host has them"),
            "{error}"
        );
        assert!(!error.contains("--stub-unknown-imports"), "it does not help: {error}");
    }
}

#[test]
fn of_very_many_only_some_are_told() {
    let place = Place::new();
    let imports: String =
        (0..900).map(|n| [r#"(import "nobody:has/i"#, &n.to_string(), r#"" (instance))"#].concat()).collect();
    let functions: String = (0..3000).map(|n| [r#"(import "f"#, &n.to_string(), r#"" (func))"#].concat()).collect();
    let guest = component(&place, "many", &format!("(component {functions} {imports})"));
    for options in [&[][..], &["--stub-unknown-imports"]] {
        let arguments = [&["run"], options, &["--invoke", "f()", guest.to_str().unwrap()]].concat();
        let error = place.stash(arguments).failure(1);
        assert!(error.contains("it imports f0, f1, f2,"), "{error}");
        assert!(error.contains("f98, f99 and more, which this host does not have"), "{error}");
    }
}
