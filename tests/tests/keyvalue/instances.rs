//! Several shapes, several instances, several processes: one and the same data.

use stash_core::ComponentStorage;
use stash_tests::KEYVALUE_MIXED;
use stash_tests::support::Place;
use tokio::task::JoinSet;

use super::{call, in_memory, mixed, seen, told};

#[test]
fn what_one_interface_sets_the_others_get() {
    let place = Place::new();
    let told = told(&mixed(&place, &[], "same-data", &[]).success());
    let each = "a=stash b=draft c=draft2 d=spin n=42";
    assert_eq!(told, format!("{each} {each} Some(Ok(\"42\"))"));
    // And so do people.
    let id = ["--id", "app/mixed/001"];
    assert_eq!(place.stash([&["kv", "get"], &id[..], &["b"]].concat()).success().trim(), "draft");
    let inside = ["--collection", "orders/2026", "c"];
    assert_eq!(place.stash([&["kv", "get"], &id[..], &inside[..]].concat()).success().trim(), "draft2");
}

#[tokio::test]
async fn a_bucket_is_the_components_own() {
    let host = in_memory().await;
    let program = host.load(KEYVALUE_MIXED);
    let names = ["default", "", "x", "../one/001", "app/one/001", "app/one/001/default", "/app/one/001", "%2F"];
    for name in names {
        seen(&host, &program, "app/one/001", "add", &[name, "1"]).await;
    }
    for name in names {
        assert_eq!(seen(&host, &program, "app/two/001", "get", &[name, "sum"]).await, "None", "{name}");
    }
    assert_eq!(host.component("app/two/001").usage("").await.unwrap().key_count, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn increments_of_many_instances_add_up() {
    let host = in_memory().await;
    let program = host.load(KEYVALUE_MIXED);
    let mut instances = JoinSet::new();
    for _ in 0..16 {
        let (host, program) = (host.clone(), program.clone());
        instances.spawn(async move { seen(&host, &program, "app/sum/001", "add", &["counters", "50"]).await });
    }
    instances.join_all().await;
    assert_eq!(seen(&host, &program, "app/sum/001", "add", &["counters", "1"]).await, "801");
}

#[tokio::test(flavor = "multi_thread")]
async fn of_instances_that_race_for_an_absent_key_one_wins() {
    let host = in_memory().await;
    let program = host.load(KEYVALUE_MIXED);
    for round in 0..20 {
        let mut instances = JoinSet::new();
        for who in 0..6 {
            let (host, program) = (host.clone(), program.clone());
            instances.spawn(async move {
                let arguments = [&*format!("lock/{round}"), &*who.to_string()];
                (who, seen(&host, &program, "app/race/001", "swap-absent", &arguments).await)
            });
        }
        let ended = instances.join_all().await;
        let winners: Vec<i32> = ended.iter().filter(|(_, told)| told == "won").map(|(who, _)| *who).collect();
        assert!(ended.iter().all(|(_, told)| told == "won" || told == "lost"), "{ended:?}");
        let [winner] = winners[..] else { panic!("{ended:?}") };
        let stored = host.component("app/race/001").get(&format!("lock/{round}")).await.unwrap().unwrap();
        assert_eq!(&stored[..], winner.to_string().as_bytes());
    }
}

/// How many keys a page has, the first one, the cursor.
fn page(told: &str) -> [String; 3] {
    let parts: Vec<String> = told.split(' ').map(str::to_owned).collect();
    parts.try_into().unwrap_or_else(|parts| panic!("{parts:?}"))
}

#[tokio::test]
async fn a_list_goes_on_in_another_instance() {
    let host = in_memory().await;
    let program = host.load(KEYVALUE_MIXED);
    let id = "app/pages/001";
    seen(&host, &program, id, "fill", &["list", "25000"]).await;
    for shape in ["numbered", "paged"] {
        let (mut total, mut cursor) = (0, None::<String>);
        loop {
            let mut arguments = vec!["list"];
            arguments.extend(cursor.as_deref());
            let [count, first, next] = page(&seen(&host, &program, id, shape, &arguments).await);
            assert_eq!(first, format!("k{total:06}"), "{shape}");
            total += count.parse::<usize>().unwrap();
            if next == "-" {
                break;
            }
            assert_ne!(cursor.as_ref(), Some(&next));
            cursor = Some(next);
        }
        assert_eq!(total, 25_000, "{shape}");

        // A cursor is for its list only: not for another bucket, nor for another component's.
        let cursor = cursor.expect("there were several pages");
        for (id, bucket) in [(id, "default"), (id, "other"), ("app/pages/002", "list")] {
            let answer = host.invoke(&program, id, &call(shape, &[bucket, &cursor])).await.unwrap();
            assert!(answer.starts_with("err(") && answer.contains("cursor"), "{shape} {id} {bucket}: {answer}");
        }
        let answer = host.invoke(&program, id, &call(shape, &["list", "1000"])).await.unwrap();
        assert!(answer.starts_with("err(") && answer.contains("cursor"), "{shape}: {answer}");
    }
}

#[test]
fn a_cursor_of_another_process_is_right_or_an_error() {
    let place = Place::new();
    mixed(&place, &[], "fill", &["list", "12000"]).success();
    for shape in ["numbered", "paged"] {
        let [count, _, cursor] = page(&told(&mixed(&place, &[], shape, &["list"]).success()));
        let answer = mixed(&place, &[], shape, &["list", &cursor]).success();
        if !answer.contains("cursor") {
            let [_, first, _] = page(&told(&answer));
            assert_eq!(first, format!("k{:06}", count.parse::<usize>().unwrap()), "{shape}");
        }
    }
}

#[test]
fn a_bucket_whose_collection_was_deleted_is_no_store() {
    let place = Place::new();
    let told = told(&mixed(&place, &[], "deleted-collection", &[]).success());
    assert_eq!(told, "Ok(None) Err(Error::NoSuchStore) Err(Error::NoSuchStore) None");
}
