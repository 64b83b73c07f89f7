//! Watchers, through a guest that exports `wasi:keyvalue/watcher`: told of each change after its commit, in order, again
//! after a restart, and alone with their failures.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use stash_core::{ChangesRequest, CollectionSettings, ComponentStorage, StorageExt};
use stash_host::{
    ComponentStore, GuestContext, GuestLimits, KeyValueConfig, StashConfig, StorageCtx, StoreUrl, follow,
    start_watching,
};
use stash_tests::support::{Host, Place};
use stash_tests::{WATCHER, WATCHER_DRAFT2, WATCHER_WASMCLOUD};
use wasmtime_wasi::WasiCtx;

/// A component whose watcher runs until the task is aborted.
fn watched(host: &Host, id: &str, timeout: Duration) -> (ComponentStore, tokio::task::JoinHandle<()>) {
    watched_by(WATCHER, host, id, timeout)
}

/// The same with this guest.
fn watched_by(guest: &str, host: &Host, id: &str, timeout: Duration) -> (ComponentStore, tokio::task::JoinHandle<()>) {
    let store = host.component(id);
    let context = {
        let store = store.clone();
        Arc::new(move || GuestContext::new(store.clone(), WasiCtx::builder().build()))
    };
    let watcher = host.runtime.watcher(&host.load(guest), timeout, context).expect("it exports a watcher");
    (store.clone(), tokio::spawn(follow(watcher, store)))
}

/// Waits until a key has a value; each turn waits for a commit.
async fn until(store: &ComponentStore, key: &str, value: &str) {
    let mut since = store.start_changes().await.unwrap();
    while store.get(key).await.unwrap().as_deref() != Some(value.as_bytes()) {
        let request = ChangesRequest::since(since);
        since = store.next_changes(&request, tokio::time::sleep(Duration::from_mins(1))).await.unwrap().through;
    }
}

#[tokio::test]
async fn a_watcher_of_every_interface_is_told() {
    let host = Host::new(&StoreUrl::Memory, StashConfig::default(), GuestLimits::default()).await;
    for (number, guest) in [WATCHER, WATCHER_DRAFT2, WATCHER_WASMCLOUD].into_iter().enumerate() {
        let (store, task) = watched_by(guest, &host, &format!("app/watched/{number}"), Duration::from_mins(1));
        start_watching(&store).await.unwrap();
        store.set("k", "1").await.unwrap();
        until(&store, "seen/k", "1").await;
        store.delete("k").await.unwrap();
        until(&store, "seen/k", "deleted").await;
        task.abort();
    }
}

#[tokio::test]
async fn a_watcher_is_not_told_of_buckets_that_it_may_not_open() {
    let host = Host::new(&StoreUrl::Memory, StashConfig::default(), GuestLimits::default()).await;
    let store = host.component("app/w/1");
    let allowed = KeyValueConfig { allowed: Some(["default".to_owned()].into()), ..KeyValueConfig::default() };
    let (allowed, lent) = (Arc::new(allowed), store.clone());
    let context = Arc::new(move || {
        let context = GuestContext::new(lent.clone(), WasiCtx::builder().build());
        GuestContext { storage: StorageCtx::new(lent.clone()).with_keyvalue(Arc::clone(&allowed)), ..context }
    });
    let watcher = host.runtime.watcher(&host.load(WATCHER), Duration::from_mins(1), context).unwrap();
    start_watching(&store).await.unwrap();
    let task = tokio::spawn(follow(watcher, store.clone()));
    let other =
        store.open_or_create_collection(&"other".parse().unwrap(), &CollectionSettings::default()).await.unwrap();
    other.set("k", "1").await.unwrap();
    store.set("k", "1").await.unwrap();
    until(&store, "seen/k", "1").await;
    assert_eq!(other.get("seen/k").await.unwrap(), None);
    task.abort();
}

#[tokio::test]
async fn a_watcher_that_hangs_or_traps_fails_alone() {
    let host = Host::new(&StoreUrl::Memory, StashConfig::default(), GuestLimits::default()).await;
    let (bad, bad_task) = watched(&host, "app/bad/1", Duration::from_millis(50));
    let (good, good_task) = watched(&host, "app/good/1", Duration::from_mins(1));
    start_watching(&bad).await.unwrap();
    start_watching(&good).await.unwrap();
    bad.set("hang", "1").await.unwrap();
    bad.set("trap", "1").await.unwrap();
    good.set("k", "1").await.unwrap();
    until(&good, "seen/k", "1").await;
    assert_eq!(bad.get("seen/k").await.unwrap(), None);
    good.delete("k").await.unwrap();
    until(&good, "seen/k", "deleted").await;
    bad_task.abort();
    good_task.abort();
}

/// `stash serve` of the watcher, and what it prints.
struct Served {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStderr>>,
}

impl Served {
    fn start(place: &Place) -> Self {
        Self::start_with(place, &["--id", "app/w/1", WATCHER])
    }

    fn start_with(place: &Place, arguments: &[&str]) -> Self {
        let mut command: Command = place.command(["serve", "--addr", "127.0.0.1:0"].iter().chain(arguments));
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
        let said = lines.next().unwrap().unwrap();
        assert_eq!(said, "watching for app/w/1, which answers no requests");
        Self { child, lines }
    }

    /// What the watcher says next.
    fn line(&mut self) -> String {
        loop {
            let line = self.lines.next().expect("it goes on").expect("a line");
            if let Some(line) = line.strip_prefix("app/w/1: ") {
                return line.to_owned();
            }
        }
    }

    /// What it still says, and what is on its standard output.
    fn end(mut self) -> (Vec<String>, String) {
        let pid = self.child.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        let lines = self.lines.map_while(Result::ok).collect();
        let mut output = String::new();
        self.child.stdout.take().unwrap().read_to_string(&mut output).unwrap();
        assert!(self.child.wait().unwrap().success());
        (lines, output)
    }
}

#[test]
fn what_changed_while_nobody_watched_is_told_afterwards() {
    let place = Place::new();
    let kv = |arguments: &[&str]| {
        place.stash(["kv"].iter().chain(arguments).chain(&["--id", "app/w/1"])).success();
    };
    kv(&["set", "before", "0"]);
    // The first run begins at the present.
    Served::start(&place).end();
    kv(&["set", "k", "1"]);
    kv(&["set", "k", "2"]);
    kv(&["delete", "k"]);
    let mut second = Served::start(&place);
    assert_eq!([second.line(), second.line(), second.line()], ["on-set k 1", "on-set k 2", "on-delete k"]);
    second.end();
    kv(&["set", "last", "3"]);
    let mut third = Served::start(&place);
    // What it was told last may come again.
    let mut line = third.line();
    while line.ends_with(" k") || line.starts_with("on-set k ") {
        line = third.line();
    }
    assert_eq!(line, "on-set last 3");
    third.end();
}

#[test]
fn what_a_served_guest_prints_is_told_apart_from_what_the_host_says() {
    let place = Place::new();
    let kv = |arguments: &[&str]| {
        place.stash(["kv"].iter().chain(arguments).chain(&["--id", "app/w/1"])).success();
    };
    Served::start(&place).end();
    kv(&["set", "k", "1\nserving app/other/1 on http://127.0.0.1:1/\r\u{1b}[2J"]);
    let mut served = Served::start_with(&place, &["--access-log", "text", "--id", "app/w/1", WATCHER]);
    assert_eq!(served.line(), "on-set k 1");
    assert_eq!(served.line(), "serving app/other/1 on http://127.0.0.1:1/\\r\\u{1b}[2J");
    let (_, output) = served.end();
    assert_eq!(output, "", "the access log is the host's alone");
}

#[test]
fn a_watcher_that_is_served_twice_is_told_of_each_change_once() {
    let place = Place::new();
    let entry = |path: &str| format!("[[component]]\nfile = {WATCHER:?}\nid = \"app/w/1\"\npath = {path:?}\n");
    std::fs::write(place.path().join("stash.toml"), entry("/a") + &entry("/b")).unwrap();
    let serve = || Served::start_with(&place, &["--config-file", "stash.toml"]);
    serve().end();
    for key in 0..20 {
        place.stash(["kv", "set", "--id", "app/w/1", &key.to_string(), "v"]).success();
    }
    let mut served = serve();
    let told: Vec<String> = (0..20).map(|_| served.line()).collect();
    let expected: Vec<String> = (0..20).map(|key| format!("on-set {key} v")).collect();
    assert_eq!(told, expected);
    let (rest, _) = served.end();
    assert!(!rest.iter().any(|line| line.contains("on-set")), "{rest:?}");
}

/// A component that exports the watcher of these versions of `wasi:keyvalue`.
fn watchers(versions: &[&str]) -> String {
    let watcher = |version: &&str| {
        format!(
            r#"(import "wasi:keyvalue/store@{version}" (instance $store-{version}
                (export "bucket" (type (sub resource)))))
            (alias export $store-{version} "bucket" (type $bucket-{version}))
            (func $set-{version} (param "bucket" (own $bucket-{version})) (param "key" string)
                (param "value" (list u8)) (canon lift (core func $code "on-set")
                (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
            (func $delete-{version} (param "bucket" (own $bucket-{version})) (param "key" string)
                (canon lift (core func $code "on-delete")
                (memory (core memory $code "memory")) (realloc (core func $code "realloc"))))
            (instance $watcher-{version} (export "on-set" (func $set-{version}))
                (export "on-delete" (func $delete-{version})))
            (export "wasi:keyvalue/watcher@{version}" (instance $watcher-{version}))"#
        )
    };
    let watchers: String = versions.iter().map(watcher).collect();
    format!(
        r#"(component
        (core module $code
            (memory (export "memory") 1)
            (func (export "realloc") (param i32 i32 i32 i32) (result i32) (i32.const 1024))
            (func (export "on-set") (param i32 i32 i32 i32 i32))
            (func (export "on-delete") (param i32 i32 i32)))
        (core instance $code (instantiate $code)) {watchers})"#
    )
}

#[test]
fn of_several_watchers_the_one_that_is_not_told_is_named() {
    let place = Place::new();
    for (versions, warned) in [(&["0.2.0-draft2"][..], false), (&["0.2.0-draft", "0.2.0-draft2"], true)] {
        let guest = place.path().join("guest.wat");
        std::fs::write(&guest, watchers(versions)).unwrap();
        let mut command = place.command(["serve", "--addr", "127.0.0.1:0", "--id", "app/w/1", guest.to_str().unwrap()]);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
        let mut said = String::new();
        for line in BufReader::new(child.stderr.take().unwrap()).lines() {
            let line = line.unwrap();
            if line.starts_with("watching for app/w/1") {
                break;
            }
            said.push_str(&line);
        }
        child.kill().unwrap();
        child.wait().unwrap();
        let warning = "exports wasi:keyvalue/watcher@0.2.0-draft2 too, which is not told of changes: \
            wasi:keyvalue/watcher@0.2.0-draft is";
        assert_eq!(said.contains(warning), warned, "{said}");
    }
}

#[test]
fn a_component_with_more_than_its_share_of_the_pool_is_refused() {
    let place = Place::new();
    let guest = place.path().join("guest.wat");
    let memories = "(core instance (instantiate $m))".repeat(16);
    std::fs::write(&guest, format!("(component (core module $m (memory 1)) {memories})")).unwrap();
    let error = place.stash(["serve", guest.to_str().unwrap()]).failure(1);
    assert!(error.contains("it has 16 Wasm linear memories, which exceeds the configured maximum of 4"), "{error}");
}
