//! What goes wrong: killed hosts, trapped and hostile guests, bad components, a store that is in use.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read};
use std::process::Stdio;
use std::time::Duration;

use stash_core::ComponentStorage;
use stash_host::{GuestLimits, RuntimeError, Stash, StashConfig, StoreUrl};
use stash_tests::support::{Host, Place};
use stash_tests::{COUNTER, MIRROR, NOTES, PROBE, SET_STREAM};

#[test]
fn kill_9_in_a_stream_of_sets_loses_no_acknowledged_one() {
    let place = Place::new();
    let mut acknowledged = Vec::new();
    // Each round writes to a component of its own, on the store that the last kill left.
    for (round, lines) in [1, 25, 200].into_iter().enumerate() {
        let id = format!("app/stream/{round}");
        let mut child = place.command(["run", "--id", &id, SET_STREAM]).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        let mut rest = out.lines();
        let mut keys: Vec<String> = rest.by_ref().take(lines).map(Result::unwrap).collect();
        assert_eq!(keys.len(), lines, "it writes until it is killed");
        // SIGKILL on Unix: nothing of the process runs any more.
        child.kill().unwrap();
        child.wait().unwrap();
        // What it had printed before it died was acknowledged too; a torn last line was not.
        keys.extend(rest.map_while(Result::ok).filter(|key| key.len() == "k/00000000".len()));
        acknowledged.push((id, keys));
    }
    for (id, keys) in &acknowledged {
        let list = place.stash(["kv", "list", "--id", id]).success();
        let found: Vec<&str> = list.lines().collect();
        // At most the one set that was under way is there beyond those.
        assert!(found.len() <= keys.len() + 1, "{} acknowledged, {} found", keys.len(), found.len());
        assert_eq!(found[..keys.len()], keys[..], "{id}");
        let last = keys.last().unwrap();
        let value = place.stash(["kv", "get", "--id", id, last]).success();
        assert_eq!(value.trim(), last.trim_start_matches("k/").trim_start_matches('0'));
        let usage = place.stash(["kv", "usage", "--id", id]).success();
        assert!(usage.starts_with(&format!("{} key", found.len())), "{usage}");
    }
}

#[cfg(unix)]
#[test]
fn a_request_to_end_closes_the_store() {
    let place = Place::new();
    let mut child = place.command(["run", "--id", "a/b/c", SET_STREAM]).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut first = String::new();
    out.read_line(&mut first).unwrap();
    let kill = std::process::Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    assert!(kill.success());
    // Read on, or a full pipe would hold it.
    let drain = std::thread::spawn(move || out.lines().map_while(Result::ok).count());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    let printed = drain.join().unwrap() + 1;
    let usage = place.stash(["kv", "usage", "--id", "a/b/c"]).success();
    let keys: usize = usage.split_whitespace().next().unwrap().parse().unwrap();
    assert!((printed..=printed + 1).contains(&keys), "{printed} printed, {keys} found");
}

#[cfg(unix)]
#[test]
fn a_guest_that_waits_for_input_can_be_ended() {
    let place = Place::new();
    let mut child = place.command(["run", MIRROR]).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    // Its second line comes right before it reads standard input, which stays open and silent.
    out.by_ref().lines().nth(1).unwrap().unwrap();
    let kill = std::process::Command::new("kill").arg("-INT").arg(child.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
}

#[cfg(unix)]
#[test]
fn a_guest_that_nobody_reads_from_can_be_ended() {
    let place = Place::new();
    let mut child = place.command(["run", "--id", "a/b/c", SET_STREAM]).stdout(Stdio::piped()).spawn().unwrap();
    // Nobody reads: when the pipe is full, the guest hangs in a write.
    let full = || {
        let stat = std::fs::read_to_string(format!("/proc/{}/task/{}/wchan", child.id(), child.id()));
        stat.is_ok_and(|place| place.contains("pipe"))
    };
    for _ in 0..200 {
        if full() {
            break;
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    let kill = std::process::Command::new("kill").arg("-TERM").arg(child.id().to_string()).status().unwrap();
    assert!(kill.success());
    assert_eq!(child.wait().unwrap().code(), Some(143));
    assert!(place.stash(["kv", "usage", "--id", "a/b/c"]).success().contains("key"));
}

#[test]
fn a_trapped_guest_leaves_the_store_sound() {
    let place = Place::new();
    let error = place.stash(["run", "--id", "a/b/c", "--invoke", "trap-after-set(\"k\", [1, 2])", PROBE]).failure(134);
    assert!(error.contains("trapped: wasm trap:"), "{error}");
    assert_eq!(place.stash(["kv", "get", "--id", "a/b/c", "k"]).out, "0102\n");
    assert_eq!(place.stash(["run", "--id", "a/b/c", "--invoke", "exists(\"k\")", PROBE]).success(), "ok(true)\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hostile_guest_fails_itself_and_nobody_else() {
    let place = Place::new();
    let limits =
        GuestLimits { memory_bytes: 64 << 20, deadline: Some(Duration::from_secs(2)), ..GuestLimits::default() };
    let host = Host::new(&place.store_url(), StashConfig::default(), limits).await;
    let probe = host.load(PROBE);
    let (hostile, other) = ("a/hostile/1", "a/other/1");

    // It spins, and the other is served meanwhile.
    let spin = tokio::spawn({
        let (host, probe) = (host.clone(), probe.clone());
        async move { host.invoke(&probe, hostile, "spin()").await }
    });
    assert_eq!(host.invoke(&probe, other, "set-text(\"k\", \"v\")").await.unwrap(), "ok");
    assert!(matches!(spin.await.unwrap(), Err(RuntimeError::Deadline { .. })));

    let got: u32 = host.invoke(&probe, hostile, "grow(200)").await.unwrap().parse().unwrap();
    assert!((32..64).contains(&got), "got {got} MiB of 64");
    let error = host.invoke(&probe, hostile, "recurse()").await.unwrap_err();
    assert!(matches!(&error, RuntimeError::Trap { reason, .. } if reason.contains("call stack exhausted")), "{error}");
    // A value over the limit is refused whole.
    let error = host.invoke(&probe, hostile, "set-many(\"big\", 1, 16777217)").await.unwrap();
    assert!(error.contains("limit-exceeded") && error.contains("16777216"), "{error}");
    assert_eq!(host.invoke(&probe, hostile, "usage()").await.unwrap(), "ok((0, none, 0))");
    assert_eq!(host.invoke(&probe, other, "exists(\"k\")").await.unwrap(), "ok(true)");
}

#[tokio::test]
async fn tables_and_handles_are_bounded() {
    let host = Host::new(&StoreUrl::Memory, StashConfig::default(), GuestLimits::default()).await;
    let table = r#"(component
        (core module $m (table $t 1 funcref)
            (func (export "grow") (param i32) (result i32) (table.grow $t (ref.null func) (local.get 0))))
        (core instance $i (instantiate $m))
        (func (export "grow") (param "n" s32) (result s32) (canon lift (core func $i "grow"))))"#;
    let table = host.runtime.load_bytes("table.wat", table.as_bytes()).unwrap();
    assert_eq!(host.invoke(&table, "a/b/c", "grow(99999)").await.unwrap(), "1");
    assert_eq!(host.invoke(&table, "a/b/c", "grow(100000)").await.unwrap(), "-1");

    let handles = r#"(component
        (import "wasi:io/poll@0.2.0" (instance $poll (export "pollable" (type (sub resource)))))
        (alias export $poll "pollable" (type $pollable))
        (import "wasi:clocks/monotonic-clock@0.2.0" (instance $clock
            (alias outer 1 $pollable (type $outer))
            (export "pollable" (type $p (eq $outer)))
            (export "subscribe-duration" (func (param "when" u64) (result (own $p))))))
        (core func $subscribe (canon lower (func $clock "subscribe-duration")))
        (core module $m
            (import "host" "subscribe" (func $subscribe (param i64) (result i32)))
            (func (export "take") (param i32)
                (loop $more
                    (drop (call $subscribe (i64.const 1)))
                    (br_if $more (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
        (core instance $i (instantiate $m (with "host" (instance (export "subscribe" (func $subscribe))))))
        (func (export "take") (param "n" s32) (canon lift (core func $i "take"))))"#;
    let handles = host.runtime.load_bytes("handles.wat", handles.as_bytes()).unwrap();
    assert_eq!(host.invoke(&handles, "a/b/c", "take(1000)").await.unwrap(), "");
    let error = host.invoke(&handles, "a/b/c", "take(20000)").await.unwrap_err();
    assert!(matches!(error, RuntimeError::Trap { .. }), "{error}");
}

#[test]
fn a_guest_that_takes_too_long_is_stopped() {
    let place = Place::new();
    let error = place.stash(["run", "--timeout", "300ms", "--invoke", "spin()", PROBE]).failure(134);
    assert!(error.contains("was stopped after 0.3 s"), "{error}");
}

#[test]
fn bad_components_get_a_clear_error() {
    let place = Place::new();
    let file = |name: &str, bytes: &[u8]| {
        std::fs::write(place.path().join(name), bytes).unwrap();
        name.to_owned()
    };
    std::fs::create_dir(place.path().join("folder.wasm")).unwrap();
    let cases: [(String, &str); 8] = [
        ("missing.wasm".into(), "there is no such file"),
        ("folder.wasm".into(), "it is a folder"),
        (file("empty.wasm", b""), "the file is empty"),
        (file("text.wasm", b"#!/bin/sh\n"), "does not begin as WebAssembly does"),
        (file("core.wasm", b"\0asm\x01\0\0\0"), "it is a core module"),
        (file("torn.wasm", b"\0asm\x0d\0\x01\0\xff\xff"), "is not a WebAssembly component"),
        (file("bad.wat", b"(component (nonsense))"), "is not a WebAssembly component"),
        (
            file("import.wat", b"(component (import \"no:such/thing@1.0.0\" (instance (export \"f\" (func)))))"),
            "no:such/thing@1.0.0",
        ),
    ];
    for (guest, reason) in cases {
        let error = place.stash(["run", &guest]).failure(1);
        assert!(error.starts_with("error: ") && error.contains(reason), "{guest}: {error}");
    }
    assert!(!place.path().join(".stash").exists(), "a guest that cannot run makes no store");
    // A real component, cut short.
    let whole = std::fs::read(COUNTER).unwrap();
    let cut = file("cut.wasm", &whole[..whole.len() / 2]);
    assert!(place.stash(["run", &cut]).failure(1).contains("is not a WebAssembly component"));
    // Not a command, and calls that do not fit.
    let error = place.stash(["run", COUNTER]).failure(1);
    assert!(error.contains("not a command") && error.contains("increment"), "{error}");
    assert!(error.contains("'stash serve' serves it"), "{error}");
    for (call, reason) in [
        ("decrement()", "it has no function 'decrement'; it has"),
        ("increment(5)", "do not fit"),
        ("increment(", "not a call in WAVE text"),
    ] {
        let error = place.stash(["run", "--invoke", call, COUNTER]).failure(1);
        assert!(error.contains(reason), "{call}: {error}");
    }
    let handle = file(
        "handle.wat",
        br#"(component
            (type $r (resource (rep i32)))
            (core func $new (canon resource.new $r))
            (core module $m (import "" "new" (func $new (param i32) (result i32)))
                (func (export "make") (result i32) (call $new (i32.const 1))))
            (core instance $i (instantiate $m (with "" (instance (export "new" (func $new))))))
            (export $exported "thing" (type $r))
            (func (export "make") (result (own $exported)) (canon lift (core func $i "make"))))"#,
    );
    let error = place.stash(["run", "--invoke", "make()", &handle]).failure(1);
    assert!(error.contains("has a resource in its signature"), "{error}");
    let error = place.stash(["run", "--invoke", "run()", NOTES, "list"]);
    assert_eq!(error.code, Some(0), "a command's run can be called by name too: {error:?}");
}

#[tokio::test]
async fn a_store_in_use_says_by_whom() {
    let place = Place::new();
    let stash = Stash::open(&place.store_url(), StashConfig::default()).await.unwrap();
    stash.component(&"a/b/c".parse().unwrap()).set("k", "v").await.unwrap();
    let error = place.stash(["kv", "get", "--id", "a/b/c", "k"]).failure(2);
    assert!(error.contains("store.redb is in use by"), "{error}");
    if cfg!(target_os = "linux") {
        assert!(error.contains(&format!("process {}", std::process::id())), "{error}");
    }
    drop(stash);
    assert_eq!(place.stash(["kv", "get", "--id", "a/b/c", "k"]).success(), "v\n");
}

#[test]
fn files_that_are_no_stores_are_refused_and_left_alone() {
    let place = Place::new();
    let notes = "somebody's notes\n".repeat(1000);
    std::fs::write(place.path().join("notes.txt"), &notes).unwrap();
    for arguments in [&["ids"][..], &["run", "--invoke", "increment()", COUNTER]] {
        let ran = place.stash([&["--store", "redb:notes.txt"], arguments].concat());
        assert!(matches!(ran.code, Some(1 | 2)), "{ran:?}");
        assert!(ran.err.contains("notes.txt is not a store"), "{ran:?}");
    }
    assert_eq!(std::fs::read_to_string(place.path().join("notes.txt")).unwrap(), notes);
    assert!("redb:".parse::<StoreUrl>().is_err());
}
