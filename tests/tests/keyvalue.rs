//! The key-value interfaces of other hosts: the checks that any host can run, and what is this host's own to promise. The
//! guests are real, and so are the binary and the engines.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "keyvalue/checks.rs"]
mod checks;
#[path = "keyvalue/hostile.rs"]
mod hostile;
#[path = "keyvalue/instances.rs"]
mod instances;
#[path = "keyvalue/labels.rs"]
mod labels;
#[path = "keyvalue/settings.rs"]
mod settings;
#[path = "keyvalue/unknown.rs"]
mod unknown;

use std::path::PathBuf;

use stash_host::{GuestContext, GuestLimits, KeyValueConfig, Program, StashConfig, StorageCtx, StoreUrl};
use stash_tests::KEYVALUE_MIXED;
use stash_tests::support::{Host, Place, Ran, wave};
use wasmtime_wasi::WasiCtx;

/// A call of the guest `keyvalue-mixed`.
fn call(name: &str, arguments: &[&str]) -> String {
    let arguments: Vec<String> = arguments.iter().map(|argument| wave(argument)).collect();
    format!("run({}, [{}])", wave(name), arguments.join(", "))
}

/// What the guest `keyvalue-mixed` saw, through the binary, as the component `app/mixed/001`.
fn mixed(place: &Place, options: &[&str], name: &str, arguments: &[&str]) -> Ran {
    let call = call(name, arguments);
    place.stash([&["run", "--id", "app/mixed/001"], options, &["--invoke", &call, KEYVALUE_MIXED]].concat())
}

/// The text in an `ok("...")`, without the backslashes that WAVE puts before quotation marks.
#[track_caller]
fn told(answer: &str) -> String {
    let text = answer.trim().strip_prefix("ok(\"").and_then(|rest| rest.strip_suffix("\")"));
    text.unwrap_or_else(|| panic!("expected ok, got {answer}")).replace("\\'", "'").replace("\\\"", "\"")
}

/// A host whose store is in memory.
async fn in_memory() -> Host {
    Host::new(&StoreUrl::Memory, StashConfig::default(), GuestLimits::default()).await
}

/// What the guest `keyvalue-mixed` saw, in a new instance of the component `id`.
async fn seen(host: &Host, program: &Program, id: &str, name: &str, arguments: &[&str]) -> String {
    told(&host.invoke(program, id, &call(name, arguments)).await.expect("the guest runs"))
}

/// What a guest answers under these rules for buckets.
async fn under(host: &Host, program: &Program, rules: KeyValueConfig, call: &str) -> String {
    let storage = StorageCtx::new(host.component("app/ruled/001")).with_keyvalue(rules.into());
    let wasi = WasiCtx::builder().build();
    let context = GuestContext { storage, ..GuestContext::new(host.component("app/ruled/001"), wasi) };
    match host.runtime.invoke(program, context, call).await.expect("the guest runs") {
        stash_host::Invoked::Returned(result) => result,
        stash_host::Invoked::Exited(code) => panic!("{call} ended the guest with {code:?}"),
    }
}

/// A component in its text form, in a file.
fn component(place: &Place, name: &str, text: &str) -> PathBuf {
    let path = place.path().join(format!("{name}.wat"));
    std::fs::write(&path, text).expect("a file for the component");
    path
}
