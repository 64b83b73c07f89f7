//! The whole contract through the WIT, in the guest `contract`: every case on every engine, through the real binary and
//! through the embedded host, and what must outlive a process.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use stash_host::{GuestLimits, Stash, StashConfig, StorageCtx, StorageCtxView, StorageView, StoreUrl};
use stash_tests::CONTRACT;
use stash_tests::support::{Host, Place, Ran, wave};
use wasmtime::component::{Component, ComponentNamedList, Instance, Lift, Linker, Lower, ResourceTable};
use wasmtime_wasi::{WasiCtx, WasiCtxView, WasiView};

/// A store that the tests of one engine use.
struct Engine {
    name: &'static str,
    /// What `--store` says, in the folder of a [`Place`].
    url: &'static str,
    /// Whether it is still there for the next process.
    durable: bool,
}

macro_rules! engines {
    ($($name:ident: $url:literal, $durable:literal;)+) => { $(
        mod $name {
            use super::Engine;

            const ENGINE: Engine = Engine { name: stringify!($name), url: $url, durable: $durable };

            #[test]
            fn every_case_holds_through_the_binary_and_again_on_the_same_store() {
                super::every_case_holds_through_the_binary(&ENGINE);
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn every_case_holds_alone_in_a_component_of_its_own() {
                super::every_case_holds_alone(&ENGINE).await;
            }

            #[test]
            fn a_quota_holds_for_every_kind_of_change() {
                super::a_quota_holds(&ENGINE);
            }

            #[test]
            fn what_a_process_wrote_the_next_one_finds() {
                super::what_a_process_wrote(&ENGINE);
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn two_instances_meet_in_transactions() {
                super::two_instances_meet(&ENGINE).await;
            }
        }
    )+ };
}

engines! {
    memory: "memory:", false;
    redb: "redb:contract.redb", true;
    fjall: "fjall:contract.fjall", true;
    sqlite: "sqlite:contract.sqlite", true;
    files: "files:contract", true;
}

impl Engine {
    fn run(&self, place: &Place, options: &[&str], call: &str) -> Ran {
        place.stash(
            [&["run", "--store", self.url, "--id", "app/contract/001"], options, &["--invoke", call, CONTRACT]]
                .concat(),
        )
    }

    /// What the guest answered, without the backslashes that WAVE puts before quotation marks.
    fn told(&self, place: &Place, options: &[&str], call: &str) -> String {
        self.run(place, options, call).success().replace("\\'", "'")
    }

    /// The same store for the embedded host.
    fn url_in(&self, place: &Place) -> StoreUrl {
        match self.url.split_once(':') {
            Some((scheme, path)) if !path.is_empty() => format!("{scheme}:{}", place.path().join(path).display()),
            _ => self.url.to_owned(),
        }
        .parse()
        .expect("a store's URL")
    }

    async fn host(&self, place: &Place) -> Host {
        Host::new(&self.url_in(place), StashConfig::default(), GuestLimits::default()).await
    }
}

/// The names that the guest's `cases` tells.
async fn cases(host: &Host, program: &stash_host::Program) -> Vec<String> {
    let told = host.invoke(program, "app/contract/cases", "cases()").await.expect("the cases");
    let cases: Vec<String> = told.split('"').skip(1).step_by(2).map(str::to_owned).collect();
    assert!(cases.len() > 80, "the guest has lost cases: {told}");
    cases
}

fn every_case_holds_through_the_binary(engine: &Engine) {
    let place = Place::new();
    let first = engine.told(&place, &[], "run-all()");
    assert!(first.starts_with("ok("), "{}: {first}", engine.name);
    let count: usize = first.trim_matches(|c: char| !c.is_ascii_digit()).parse().expect("how many cases there are");
    assert!(count > 80, "{first}");
    // On the same store, which is in use already, in another process.
    assert_eq!(engine.told(&place, &[], "run-all()"), first, "{}", engine.name);
}

async fn every_case_holds_alone(engine: &Engine) {
    let place = Place::new();
    let host = engine.host(&place).await;
    let program = host.load(CONTRACT);
    let mut failed = Vec::new();
    // Each as a component of its own, the last one first: none needs what another has left.
    for case in cases(&host, &program).await.into_iter().rev() {
        let told = host.invoke(&program, &format!("app/contract/{case}"), &format!("run({})", wave(&case))).await;
        if told.as_ref().is_ok_and(|told| *told == format!("ok({})", wave(&case))) {
            continue;
        }
        failed.push(format!("{case}: {told:?}"));
    }
    assert!(failed.is_empty(), "{}: {} cases failed:\n{}", engine.name, failed.len(), failed.join("\n"));
}

fn a_quota_holds(engine: &Engine) {
    let place = Place::new();
    for quota in ["1000", "4KiB"] {
        let told = engine.told(&place, &["--quota", quota], "run(\"quota\")");
        assert_eq!(told, "ok(\"quota\")\n", "{}", engine.name);
    }
    let told = engine.told(&place, &[], "run(\"quota\")");
    assert_eq!(told, "err(\"this case needs a quota\")\n");
}

fn what_a_process_wrote(engine: &Engine) {
    let place = Place::new();
    let check = || engine.told(&place, &[], "run(\"restart-check\")");
    let nothing = check();
    assert!(nothing.contains("not-found: no collection with the name 'restart/kept'"), "{nothing}");
    let told = engine.told(&place, &[], "run(\"restart-write\")");
    assert_eq!(told, "ok(\"restart-write\")\n", "{}", engine.name);
    if engine.durable {
        assert_eq!(check(), "ok(\"restart-check\")\n", "{}", engine.name);
        assert_eq!(engine.told(&place, &[], "run(\"restart-write\")"), told, "it can be written again");
    } else {
        assert_eq!(check(), nothing, "{} keeps nothing", engine.name);
    }
}

#[test]
fn a_component_has_at_most_a_thousand_collections() {
    let engine = Engine { name: "memory", url: "memory:", durable: false };
    let told = engine.told(&Place::new(), &[], "run(\"too-many-collections\")");
    assert_eq!(told, "ok(\"too-many-collections\")\n");
}

#[test]
fn a_case_that_does_not_hold_says_so() {
    let engine = Engine { name: "memory", url: "memory:", durable: false };
    let place = Place::new();
    assert_eq!(engine.told(&place, &[], "run(\"none such\")"), "err(\"there is no case 'none such'\")\n");
    // With no room for a single record, nearly every case must fail, and `run-all` must name them.
    let told = engine.told(&place, &["--quota", "0"], "run-all()");
    assert!(told.starts_with("err(") && told.contains(" cases failed"), "{told}");
    for case in
        ["an_entry_has_all_that_was_given", "every_kind_of_change_in_one_commit", "the_last_three_versions_are_kept"]
    {
        assert!(told.contains(&format!("{case}: ")), "{told}");
    }
    assert!(told.contains("quota-exceeded: quota exceeded: 0 of 0 bytes are used and this needs"), "{told}");
}

/// An embedder's own state, to have two instances alive at once.
struct Embedder {
    wasi: WasiCtx,
    table: ResourceTable,
    storage: StorageCtx,
}

impl StorageView for Embedder {
    fn storage(&mut self) -> StorageCtxView<'_> {
        StorageCtxView { ctx: &mut self.storage, table: &mut self.table }
    }
}

impl WasiView for Embedder {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        WasiCtxView { ctx: &mut self.wasi, table: &mut self.table }
    }
}

type Answer<T> = Result<T, String>;

/// An instance of the guest, with a transaction that stays open between calls.
struct Guest {
    store: wasmtime::Store<Embedder>,
    instance: Instance,
}

impl Guest {
    async fn call<P, T>(&mut self, function: &str, parameters: P) -> Answer<T>
    where
        P: ComponentNamedList + Lower + Send + Sync + 'static,
        T: Lift + Send + Sync + 'static,
        (Answer<T>,): ComponentNamedList + Lift,
    {
        let function = self.instance.get_typed_func::<P, (Answer<T>,)>(&mut self.store, function).expect("an export");
        function.call_async(&mut self.store, parameters).await.expect("the guest answers").0
    }

    async fn begin(&mut self, isolation: &str) {
        self.call::<_, ()>("tx-begin", (isolation.to_owned(),)).await.expect("a transaction begins");
    }

    async fn get(&mut self, key: &str) -> Option<String> {
        self.call("tx-get", (key.to_owned(),)).await.expect("a read")
    }

    async fn list(&mut self, prefix: &str) -> Vec<String> {
        self.call("tx-list", (prefix.to_owned(),)).await.expect("a list")
    }

    async fn set(&mut self, key: &str, value: &str) {
        self.call::<_, ()>("tx-set", (key.to_owned(), value.to_owned())).await.expect("a write");
    }

    async fn commit(&mut self) -> Answer<u64> {
        self.call("tx-commit", ()).await
    }
}

async fn two_instances_meet(engine: &Engine) {
    let place = Place::new();
    let stash = Stash::open(&engine.url_in(&place), StashConfig::default()).await.unwrap();
    let wasmtime = wasmtime::Engine::default();
    let mut linker = Linker::<Embedder>::new(&wasmtime);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker).unwrap();
    stash_host::add_to_linker(&mut linker).unwrap();
    let pre = linker.instantiate_pre(&Component::from_file(&wasmtime, CONTRACT).unwrap()).unwrap();
    let mut guests = Vec::new();
    for _ in 0..2 {
        let storage = StorageCtx::new(stash.component(&"app/contract/001".parse().unwrap()));
        let state = Embedder { wasi: WasiCtx::builder().build(), table: ResourceTable::new(), storage };
        let mut store = wasmtime::Store::new(&wasmtime, state);
        let instance = pre.instantiate_async(&mut store).await.unwrap();
        guests.push(Guest { store, instance });
    }
    let [one, two] = guests.as_mut_slice() else { unreachable!() };

    // Both read, both write: the one that commits first wins, and the other runs again on what it left.
    for isolation in ["serializable", "snapshot"] {
        one.begin(isolation).await;
        two.begin(isolation).await;
        let before = one.get("balance").await;
        assert_eq!(two.get("balance").await, before);
        one.set("balance", &format!("one, {isolation}")).await;
        two.set("balance", "two").await;
        assert_eq!(one.get("balance").await, Some(format!("one, {isolation}")));
        assert_eq!(two.get("balance").await.as_deref(), Some("two"));
        let version = one.commit().await.unwrap();
        let conflict = format!(
            "conflict: the transaction conflicts with a later commit of 'balance'; run it again \
             (key Some(\"balance\"), current Some({version}))"
        );
        assert_eq!(two.commit().await, Err(conflict), "{}, {isolation}", engine.name);
        two.begin(isolation).await;
        assert_eq!(two.get("balance").await, Some(format!("one, {isolation}")));
        two.set("balance", "two").await;
        assert_eq!(two.commit().await, Ok(version + 1));
    }

    // A phantom: one lists, the other adds to what was listed.
    one.begin("serializable").await;
    assert_eq!(one.list("item/").await, Vec::<String>::new());
    one.set("items", "0").await;
    two.begin("serializable").await;
    two.set("item/1", "pear").await;
    two.commit().await.unwrap();
    assert_eq!(one.list("item/").await, Vec::<String>::new(), "it sees the state that it began with");
    let conflict = one.commit().await.unwrap_err();
    assert!(
        conflict.contains("or an expiry, in what it has read") && conflict.contains("(key None, current None)"),
        "{conflict}"
    );

    // Read-committed sees what the other has committed, and not before.
    one.begin("read-committed").await;
    two.begin("read-committed").await;
    two.set("item/2", "fig").await;
    assert_eq!(one.list("item/").await, ["item/1"]);
    two.commit().await.unwrap();
    assert_eq!(one.list("item/").await, ["item/1", "item/2"]);
    assert_eq!(one.get("item/2").await.as_deref(), Some("fig"));

    // An instance that goes takes its open transaction with it: 64 are the component's, not the instance's.
    one.set("item/3", "never").await;
    guests.remove(0);
    let [two] = guests.as_mut_slice() else { unreachable!() };
    two.begin("serializable").await;
    assert_eq!(two.get("item/3").await, None);
    let status = two.call::<_, String>("run", ("sixty_four_are_open_at_once".to_owned(),)).await;
    // The one that is open leaves room for 63.
    assert!(status.as_ref().is_err_and(|error| error.contains("65; the limit is 64")), "{status:?}");
    two.commit().await.unwrap();
    let status = two.call::<_, String>("run", ("sixty_four_are_open_at_once".to_owned(),)).await;
    assert_eq!(status.as_deref(), Ok("sixty_four_are_open_at_once"), "{}", engine.name);
}
