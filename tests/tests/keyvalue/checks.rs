//! Each shape's checks, as a person runs them: through the binary on every engine, again on the same store, and those that
//! are for any host on another one.

use stash_tests::http::Server;
use stash_tests::support::Place;
use stash_tests::{
    KEYVALUE_DRAFT, KEYVALUE_DRAFT2, KEYVALUE_SPIN_DRAFT2, KEYVALUE_SPIN2, KEYVALUE_SPIN3, KEYVALUE_WASMCLOUD,
    KEYVALUE_WATCHER,
};
use wasmtime::component::{Component, Linker, ResourceTable};
use wasmtime::{Engine, Store};
use wasmtime_wasi::p2::bindings::Command;
use wasmtime_wasi::p2::pipe::MemoryOutputPipe;
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};
use wasmtime_wasi_keyvalue::{WasiKeyValue, WasiKeyValueCtx, WasiKeyValueCtxBuilder};

fn hold(guest: &str, at_least: usize, store: &str) {
    let place = Place::new();
    let run = |more: &[&str]| place.stash([&["run", "--store", store, "--id", "a/checks/1", guest], more].concat());
    let first = run(&[]).success();
    let summary = first.lines().last().unwrap_or_default();
    let count = first.lines().filter(|line| line.starts_with("ok ")).count();
    assert!(count >= at_least, "the guest has lost checks: {first}");
    assert!(!first.contains("FAILED"), "{first}");
    assert!(summary.ends_with(&format!("{count} of {count} checks passed")), "{first}");
    // On the same store, in another process.
    assert_eq!(run(&[]).success(), first);
}

macro_rules! checks {
    ($($name:ident: $guest:expr, $at_least:literal;)+) => { $(
        mod $name {
            #[test]
            fn holds_on_redb() {
                super::hold($guest, $at_least, "redb:checks.redb");
            }

            #[test]
            fn holds_on_fjall() {
                super::hold($guest, $at_least, "fjall:checks.fjall");
            }

            #[test]
            fn holds_on_sqlite() {
                super::hold($guest, $at_least, "sqlite:checks.sqlite");
            }

            #[test]
            fn holds_on_files() {
                super::hold($guest, $at_least, "files:checks");
            }

            #[test]
            fn holds_in_memory() {
                super::hold($guest, $at_least, "memory:");
            }
        }
    )+ };
}

checks! {
    draft: super::KEYVALUE_DRAFT, 40;
    draft2: super::KEYVALUE_DRAFT2, 52;
    spin_draft2: super::KEYVALUE_SPIN_DRAFT2, 52;
    spin2: super::KEYVALUE_SPIN2, 19;
    spin3: super::KEYVALUE_SPIN3, 34;
    wasmcloud: super::KEYVALUE_WASMCLOUD, 91;
}

#[test]
fn checks_are_chosen_by_their_names() {
    let place = Place::new();
    let list = place.stash(["run", KEYVALUE_DRAFT2, "--list"]).success();
    assert!(list.lines().any(|line| line == "swap makes a key that is absent"), "{list}");
    assert!(list.lines().any(|line| line == "the first page has 1,000 keys (host-specific)"), "{list}");
    let portable = place.stash(["run", KEYVALUE_DRAFT2, "--list", "--portable"]).success();
    assert!(!portable.contains("host-specific") && portable.lines().count() > 20, "{portable}");
    let some = place.stash(["run", KEYVALUE_DRAFT2, "increment begins", "any bytes"]).success();
    assert_eq!(
        some,
        "ok 1 a value is any bytes\nok 2 increment begins at 0\nwasi:keyvalue@0.2.0-draft2: 2 of 2 checks passed\n"
    );
    let asked = place.stash(["run", "--env", "KEYVALUE_CHECKS=--portable --list", KEYVALUE_DRAFT2]).success();
    assert_eq!(asked, portable);
    // Nothing to run is no success.
    assert_eq!(place.stash(["run", KEYVALUE_DRAFT2, "no check is called so"]).code, Some(1));
    assert_eq!(place.stash(["run", KEYVALUE_DRAFT2, "--what"]).code, Some(1));
}

#[test]
fn a_check_that_fails_says_so() {
    let place = Place::new();
    let ran = place.stash(["run", "--max-result", "1KiB", KEYVALUE_DRAFT2, "ordinary", "any bytes"]);
    assert_eq!(ran.code, Some(1));
    let lines: Vec<&str> = ran.out.lines().collect();
    assert_eq!(lines[0], "ok 1 a value is any bytes");
    assert_eq!(
        lines[1],
        "FAILED 2 a value of one MiB and one of eight are ordinary (host-specific): get: expected ok, got \
        other(\"query result exceeds limit of 1024 bytes\")"
    );
    assert_eq!(lines[2], "wasi:keyvalue@0.2.0-draft2: 1 of 2 checks passed");
    let denied = place.stash(["run", "--allow-bucket", "another", KEYVALUE_DRAFT2]);
    assert_eq!(denied.code, Some(1));
    assert!(
        denied.out.starts_with("FAILED opening the bucket \"default\": expected ok, got access-denied"),
        "{denied:?}"
    );
}

#[test]
fn the_commands_of_wasi_0_3_take_the_same_arguments_and_end_the_same() {
    let place = Place::new();
    for (guest, shape) in [(KEYVALUE_SPIN3, "spin:key-value@3.0.0"), (KEYVALUE_WASMCLOUD, "wasmcloud:keyvalue@0.2.0")] {
        let run = |more: &[&str]| place.stash([&["run", "--store", "memory:", guest], more].concat());
        let portable = run(&["--list", "--portable"]).success();
        assert!(!portable.contains("host-specific") && portable.lines().count() > 15, "{portable}");
        let some = run(&["any bytes", "nobody waits"]).success();
        assert_eq!(
            some,
            format!(
                "ok 1 a value is any bytes\nok 2 a call that nobody waits for any more disturbs no other\n\
                {shape}: 2 of 2 checks passed\n"
            )
        );
        assert_eq!(run(&["no check is called so"]).code, Some(1));
        assert_eq!(run(&["--what"]).code, Some(1));
        let failed = place.stash(["run", "--max-result", "1KiB", guest, "ordinary", "any bytes"]);
        assert_eq!(failed.code, Some(1));
        assert!(failed.out.contains("\nFAILED 2 a value of one MiB"), "{failed:?}");
        let denied = place.stash(["run", "--allow-bucket", "another", guest]);
        assert_eq!(denied.code, Some(1));
        assert!(
            denied.out.starts_with("FAILED opening the bucket \"default\": expected ok, got access-denied"),
            "{denied:?}"
        );
    }
}

/// Asks a component that answers with the checks' lines, twice: the second time on the same store.
async fn hold_served(guest: &str, at_least: usize, store: &str) {
    let place = Place::new();
    let server = Server::start(&place, guest, ["--store", store]);
    for _ in 0..2 {
        let answer = server.ask("GET", "/", "").await;
        let count = answer.text.lines().filter(|line| line.starts_with("ok ")).count();
        assert!(count >= at_least, "the guest has lost checks: {}", answer.text);
        assert!(answer.text.ends_with(&format!(": {count} of {count} checks passed\n")), "{}", answer.text);
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_a_watcher_hold_on_every_engine() {
    for store in ["redb:checks.redb", "fjall:checks.fjall", "memory:"] {
        hold_served(KEYVALUE_WATCHER, 7, store).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn those_of_spin_3_hold_as_an_answer_to_a_request() {
    hold_served(KEYVALUE_SPIN3, 34, "memory:").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_check_that_fails_is_an_answer_with_status_500() {
    let place = Place::new();
    let options = ["--store", "memory:", "--allow-bucket", "default", "--env", "KEYVALUE_CHECKS=delete another"];
    let server = Server::start(&place, KEYVALUE_WATCHER, options);
    let answer = server.ask("GET", "/", "").await;
    assert_eq!(answer.status, 500, "{}", answer.text);
    assert!(answer.text.starts_with("ok 1 a watcher is told of a delete\n"), "{}", answer.text);
    assert!(answer.text.ends_with("access-denied\nwasi:keyvalue/watcher@0.2.0-draft: 2 of 3 checks passed\n"));
}

#[test]
fn the_checks_leave_other_data_alone() {
    let place = Place::new();
    let id = ["--id", "a/checks/1"];
    place.stash([&["kv", "set"], &id[..], &["mine", "value"]].concat()).success();
    for guest in
        [KEYVALUE_DRAFT, KEYVALUE_DRAFT2, KEYVALUE_SPIN_DRAFT2, KEYVALUE_SPIN2, KEYVALUE_SPIN3, KEYVALUE_WASMCLOUD]
    {
        place.stash([&["run"], &id[..], &[guest]].concat()).success();
    }
    assert_eq!(place.stash([&["kv", "list"], &id[..]].concat()).success(), "mine\n");
}

struct Other {
    wasi: WasiCtx,
    table: ResourceTable,
    keyvalue: WasiKeyValueCtx,
}

impl WasiView for Other {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

#[tokio::test]
async fn the_portable_ones_hold_on_wasmtimes_own_implementation() {
    let engine = Engine::default();
    let mut linker = Linker::<Other>::new(&engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    wasmtime_wasi_keyvalue::add_to_linker(&mut linker, |other| WasiKeyValue::new(&other.keyvalue, &mut other.table))
        .unwrap();
    let out = MemoryOutputPipe::new(1024 * 1024);
    let wasi = WasiCtx::builder().args(&["checks", "--portable", "--bucket", ""]).stdout(out.clone()).build();
    let keyvalue = WasiKeyValueCtxBuilder::new().build();
    let mut store = Store::new(&engine, Other { wasi, table: ResourceTable::new(), keyvalue });
    let component = Component::from_file(&engine, KEYVALUE_DRAFT).unwrap();
    let command = Command::instantiate_async(&mut store, &component, &linker).await.unwrap();
    let ended = command.wasi_cli_run().call_run(&mut store).await;
    let out = String::from_utf8(out.contents().to_vec()).unwrap();
    assert!(matches!(ended, Ok(Ok(()))), "{ended:?}\n{out}");
    assert!(out.lines().count() > 20, "{out}");
}
