//! What the server must refuse to be set up with, and what it does with a configuration file.

use std::io::{BufRead, BufReader, Read};
use std::process::{Command, Stdio};
use std::time::Duration;

use stash_tests::http::{Connection, Server};
use stash_tests::support::Place;
use stash_tests::{ANSWERS, COUNTER, MIRROR, SHORT_LINKS, WATCHER};

/// A place with a configuration, and copies of components in its folders `a` and `b`.
fn place_with(config: &str) -> Place {
    let place = Place::new();
    for (folder, guest) in [("a", COUNTER), ("b", SHORT_LINKS)] {
        std::fs::create_dir(place.path().join(folder)).unwrap();
        std::fs::copy(guest, place.path().join(folder).join("app.wasm")).unwrap();
    }
    std::fs::create_dir(place.path().join("data")).unwrap();
    std::fs::write(place.path().join("stash.toml"), config).unwrap();
    place
}

/// The error with which it is not served.
#[track_caller]
fn refused(config: &str) -> String {
    let place = place_with(config);
    let error = place.stash(["serve", "--addr", "127.0.0.1:0"]).failure(1);
    assert!(!place.path().join(".stash").exists(), "no store is made: {error}");
    error
}

fn component(file: &str, rest: &str) -> String {
    format!("[[component]]\nfile = \"{file}\"\n{rest}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn different_components_never_share_data_unnoticed() {
    let error = refused(&(component("a/app.wasm", "path = \"/a\"") + &component("b/app.wasm", "path = \"/b\"")));
    let says = ["a/app.wasm", "b/app.wasm", "app/app/001", "an 'id' of its own"];
    assert!(says.iter().all(|word| error.contains(word)), "{error}");

    // The same component at two places is the same component.
    let twice = component("a/app.wasm", "path = \"/a\"") + &component("b/../a/app.wasm", "path = \"/b\"");
    let place = place_with(&twice);
    let server = Server::start(&place, "--config-file=stash.toml", ["--no-code-cache"]);
    assert_eq!(server.ask("POST", "/a/n", "").await.text, "1\n");
    assert_eq!(server.ask("POST", "/b/n", "").await.text, "2\n");

    let own = component("a/app.wasm", "path = \"/a\"") + &component("b/app.wasm", "path = \"/b\"\nid = \"app/b/1\"");
    let place = place_with(&own);
    let server = Server::start(&place, "--config-file=stash.toml", ["--no-code-cache"]);
    assert_eq!(server.ask("PUT", "/b/n", "https://a").await.status, 201);
    assert_eq!(server.ask("GET", "/a/n", "").await.text, "0\n");
}

#[test]
fn a_server_that_cannot_listen_makes_no_store() {
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let place = Place::new();
    let addr = taken.local_addr().unwrap().to_string();
    let error = place.stash(["serve", COUNTER, "--addr", &addr]).failure(1);
    assert!(error.contains(&format!("cannot listen on {addr}")), "{error}");
    let error = place.stash(["serve", COUNTER, "--addr", "127.0.0.1:0", "--admin", &addr]).failure(1);
    assert!(error.contains(&format!("cannot listen on {addr}")), "{error}");
    assert!(!place.path().join(".stash").exists());
    let error = place.stash(["serve", COUNTER, "--addr", "localhost:8080"]).failure_with_usage();
    assert!(error.contains("such as 127.0.0.1:8080"), "{error}");
}

#[test]
fn options_that_would_be_passed_over_are_refused() {
    let place = place_with(&component("a/app.wasm", ""));
    for option in [["--id", "a/b/c"], ["--env", "A=B"], ["--preset", "default/a=b"], ["--allow-bucket", "a"]] {
        let error = place.stash([&["serve", "--addr", "127.0.0.1:0"], &option[..]].concat()).failure(1);
        assert!(error.contains(option[0]) && error.contains("stash.toml"), "{error}");
    }
}

#[test]
fn two_components_never_take_the_same_place_unnoticed() {
    let watchers = component(WATCHER, "id = \"app/w/1\"") + &component("b/app.wasm", "id = \"app/w/1\"");
    let place = place_with(&watchers);
    std::fs::copy(WATCHER, place.path().join("b/app.wasm")).unwrap();
    let error = place.stash(["serve", "--addr", "127.0.0.1:0"]).failure(1);
    assert!(error.contains("would both watch app/w/1"), "{error}");
    let error = refused(
        &(component("a/app.wasm", "host = \"a.example\"")
            + &component("b/app.wasm", "host = \"A.example\"\nid = \"app/b/1\"")),
    );
    let says = ["a/app.wasm", "b/app.wasm", "'/' of the host a.example"];
    assert!(says.iter().all(|word| error.contains(word)), "{error}");
    // A folder that has the store in it, which is still to be made.
    let config = "store = \"redb:data/s.redb\"\n".to_owned() + &component("a/app.wasm", "dirs = [\"data\"]");
    let place = place_with(&config);
    let error = place.stash(["serve", "--addr", "127.0.0.1:0"]).failure(1);
    assert!(error.contains("data"), "{error}");
    assert!(!place.path().join("data/s.redb").exists(), "no store is made: {error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_guides_configuration_is_served_as_it_says() {
    let guide = std::fs::read_to_string(xtask::paths::root().join("docs/guides/serve.md")).unwrap();
    let (_, rest) = guide.split_once("```toml\n").unwrap();
    let place = Place::new();
    std::fs::write(place.path().join("stash.toml"), rest.split_once("```").unwrap().0).unwrap();
    for (guest, name) in [(COUNTER, "counter"), (SHORT_LINKS, "short-links"), (WATCHER, "watcher")] {
        std::fs::copy(guest, place.path().join(name).with_extension("wasm")).unwrap();
    }
    std::fs::create_dir(place.path().join("files")).unwrap();
    let server = Server::start(&place, "--config-file=stash.toml", ["--admin", "127.0.0.1:0"]);
    assert_eq!(server.ask("POST", "/counter/visits", "").await.said(), (200, "1\n"));
    assert_eq!(server.ask("GET", "/other", "").await.said(), (404, "no component is served here\n"));
    let mut links = server.connect().await;
    let link = links.send_with("GET", "/wt", &[("host", "links.example")], http_body_util::Empty::new()).await.unwrap();
    assert_eq!(link.header("location"), Some("https://wasmtime.dev"));
    assert_eq!(Connection::http1(server.admin.unwrap()).await.ask("GET", "/healthz", "").await.said(), (200, "ok\n"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_stands_beside_the_component_that_it_watches() {
    let place = place_with(
        &(component("a/app.wasm", "id = \"app/w/1\"") + &component(WATCHER, "id = \"app/w/1\"").replace('\\', "/")),
    );
    let server = Server::start(&place, "--config-file=stash.toml", ["--no-code-cache"]);
    assert_eq!(server.ask("POST", "/n", "").await.text, "1\n");
    server.wait_for("app/w/1: on-set n 1");
    assert_eq!(server.ask("DELETE", "/n", "").await.status, 204);
    server.wait_for("app/w/1: on-delete n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_loaded_again_when_its_file_changes() {
    let entries = component("a/app.wasm", "id = \"app/w/1\"") + &component("data/w.wasm", "id = \"app/w/1\"");
    let place = place_with(&entries);
    let replace = |with: &str| {
        std::fs::copy(with, place.path().join("data/new.wasm")).unwrap();
        std::fs::rename(place.path().join("data/new.wasm"), place.path().join("data/w.wasm")).unwrap();
    };
    replace(WATCHER);
    let server = Server::start(&place, "--config-file=stash.toml", ["--no-code-cache"]);
    assert_eq!(server.ask("POST", "/n", "").await.text, "1\n");
    server.wait_for("app/w/1: on-set n 1");
    // What is no watcher is not taken.
    replace(COUNTER);
    server.wait_for("data/w.wasm has changed and cannot be loaded");
    assert_eq!(server.ask("POST", "/n", "").await.text, "2\n");
    server.wait_for("app/w/1: on-set n 2");
    replace(WATCHER);
    server.wait_for("data/w.wasm has changed and was loaded again");
    assert_eq!(server.ask("POST", "/n", "").await.text, "3\n");
    server.wait_for("app/w/1: on-set n 3");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_preset_and_deleted_stays_so_when_the_component_is_loaded_again() {
    let place = place_with(&component("a/app.wasm", "preset = { \"default/n\" = \"5\" }"));
    let server = Server::start(&place, "--config-file=stash.toml", ["--no-code-cache"]);
    assert_eq!(server.ask("GET", "/n", "").await.text, "5\n");
    assert_eq!(server.ask("DELETE", "/n", "").await.status, 204);
    std::fs::copy(COUNTER, place.path().join("a/new.wasm")).unwrap();
    std::fs::rename(place.path().join("a/new.wasm"), place.path().join("a/app.wasm")).unwrap();
    server.wait_for("a/app.wasm has changed and was loaded again");
    assert_eq!(server.ask("GET", "/n", "").await.text, "0\n");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn who_asks_twice_for_the_end_waits_for_nobody() {
    let place = Place::new();
    let server = Server::start(&place, ANSWERS, ["--timeout", "600s", "--grace", "600s", "--admin", "127.0.0.1:0"]);
    let mut connection = server.connect().await;
    let asked = tokio::spawn(async move { connection.send("GET", "/hang!", http_body_util::Empty::new()).await });
    super::server::is_at_work(&server).await;
    server.ask_to_end();
    server.wait_for("ending: ");
    server.ask_to_end();
    server.wait_for("the requests under way were cut off");
    assert_eq!(server.ended().code(), Some(130));
    assert!(asked.await.unwrap().is_err());
}

#[test]
fn folders_with_what_others_are_made_of_are_not_given() {
    for (folder, what) in [("b", "the component b/app.wasm"), ("b/../a", "the component a/app.wasm")] {
        let given = component("a/app.wasm", &format!("dirs = [\"{folder}::/mnt\"]\npath = \"/a\""));
        let error = refused(&(given + &component("b/app.wasm", "id = \"app/b/1\"")));
        assert!(error.contains(what) && error.contains("keep that outside"), "{folder}: {error}");
    }
    // Where no component is.
    let elsewhere = component(COUNTER, "dirs = [\".\"]").replace("[[component]]", "store = \"memory:\"\n[[component]]");
    let error = refused(&elsewhere);
    assert!(error.contains("the configuration stash.toml"), "{error}");
}

#[cfg(target_os = "linux")]
#[test]
fn nor_is_the_cache_of_compiled_code() {
    let place = place_with(&component("a/app.wasm", "dirs = [\"data\"]"));
    let stash = |arguments: &[&str]| {
        let mut command = place.command(arguments);
        let ran = command.env("XDG_CACHE_HOME", place.path().join("data")).output().unwrap();
        assert_eq!(ran.status.code(), Some(1), "{ran:?}");
        String::from_utf8(ran.stderr).unwrap()
    };
    for arguments in [&["serve", "--addr", "127.0.0.1:0"][..], &["run", "--dir", "data", MIRROR]] {
        let error = stash(arguments);
        assert!(error.contains("the cache of compiled code"), "{error}");
    }
}

#[test]
fn a_guest_that_is_run_cannot_replace_itself() {
    let place = place_with("");
    std::fs::copy(MIRROR, place.path().join("a/mirror.wasm")).unwrap();
    let run = |folder: &str| place.stash(["run", "--store", "memory:", "--dir", folder, "a/mirror.wasm"]);
    for folder in [".", "a"] {
        let error = run(folder).failure(1);
        assert!(error.contains("its own file a/mirror.wasm"), "{error}");
    }
    run("data").success();
}

#[cfg(unix)]
#[test]
fn what_is_no_file_is_not_served() {
    let error = Place::new().stash(["serve", "/dev/zero"]).failure(1);
    assert!(error.contains("it is no regular file"), "{error}");
    let error = Place::new().stash(["serve", "none.wasm"]).failure(1);
    assert!(error.contains("there is no such file"), "{error}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_can_have_a_quota_of_its_own() {
    let small = component("b/app.wasm", "path = \"/small\"\nid = \"app/small/1\"\nquota = \"1KiB\"");
    let large = component("a/app.wasm", "path = \"/large\"\nid = \"app/large/1\"\nquota = \"1MiB\"");
    let place = place_with(&(small + &large));
    std::fs::copy(SHORT_LINKS, place.path().join("a/app.wasm")).unwrap();
    let server = Server::start(&place, "--config-file=stash.toml", ["--quota", "10B", "--no-code-cache"]);
    let long = format!("https://{}", "x".repeat(1500));
    assert_eq!(server.ask("PUT", "/small/n", "https://a").await.status, 201);
    let status = server.ask("PUT", "/small/m", long.clone()).await.status;
    assert!(status >= 400, "{status}");
    assert_eq!(server.ask("PUT", "/large/m", long).await.status, 201);
    drop(server);

    let twice = component("a/app.wasm", "path = \"/a\"\nquota = \"1KiB\"") + &component("a/app.wasm", "path = \"/b\"");
    assert!(refused(&twice).contains("different quotas"));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_the_reader_of_the_access_log() {
    let place = Place::new();
    let mut server = Server::start_to(&place, COUNTER, ["--access-log", "json"], Stdio::piped());
    // Ten times what a pipe takes, and nobody reads it.
    let target = format!("/{}", "x".repeat(8000));
    let asked = async {
        let mut connection = server.connect().await;
        for _ in 0..80 {
            assert_eq!(connection.ask("GET", &target, "").await.status, 400);
        }
        server.ask("GET", "/last", "").await
    };
    let last = tokio::time::timeout(Duration::from_mins(2), asked).await.expect("it answers on");
    assert_eq!(last.status, 200);

    // It was only late, and nothing is lost.
    let mut output = server.take_stdout();
    let reader = std::thread::spawn(move || {
        let mut text = String::new();
        output.read_to_string(&mut text).map(|_| text)
    });
    server.ask_to_end();
    assert_eq!(server.ended().code(), Some(0));
    let log = reader.join().unwrap().unwrap();
    assert_eq!(log.lines().count(), 81);
    for line in log.lines() {
        serde_json::from_str::<serde_json::Value>(line).unwrap();
    }
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn nor_does_the_servers_end() {
    let place = Place::new();
    let mut server = Server::start_to(&place, COUNTER, ["--access-log", "text"], Stdio::piped());
    // Open, and not read.
    let _output = server.take_stdout();
    let target = format!("/{}", "x".repeat(8000));
    let mut connection = server.connect().await;
    for _ in 0..20 {
        assert_eq!(connection.ask("GET", &target, "").await.status, 400);
    }
    drop(connection);
    server.ask_to_end();
    server.wait_for(" WARN stash::serve: the last lines of the access log were lost");
    assert_eq!(server.ended().code(), Some(0));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn nobody_waits_for_the_reader_of_the_log() {
    let place = Place::new();
    let mut command = place.command(["serve", COUNTER, "--addr", "127.0.0.1:0"]);
    // Some KiB for each request.
    let mut child = command.env("RUST_LOG", "trace").stdout(Stdio::null()).stderr(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines().map_while(Result::ok);
    let serving = lines.find_map(|line| line.strip_prefix("serving app/counter/001 on http://").map(str::to_owned));
    let addr = serving.unwrap().trim_end_matches('/').parse().unwrap();
    // Nobody reads on.
    let asked = async {
        let mut connection = Connection::http1(addr).await;
        for n in 1..=100 {
            assert_eq!(connection.ask("POST", "/n", "").await.text, format!("{n}\n"));
        }
    };
    let answered = tokio::time::timeout(Duration::from_mins(2), asked).await;
    if answered.is_err() {
        child.kill().unwrap();
    }
    answered.expect("it answers on");
    // Nor does it wait for one at its end.
    let pid = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(0));
}
