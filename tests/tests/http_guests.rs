//! The sample guests that every language has, through the real binary: what is asserted is written once, so that they are the
//! same program. A language whose build has not run is left out, and says so; in CI it must never be left out.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "http_guests/config.rs"]
mod config;
#[path = "http_guests/hostile.rs"]
mod hostile;
#[path = "http_guests/patterns.rs"]
mod patterns;
#[path = "http_guests/server.rs"]
mod server;

use std::path::Path;

use stash_tests::http::{Answer, Server};
use stash_tests::support::Place;
use stash_tests::{COUNTER, NOTES, SHORT_LINKS};

/// One component of each kind: Rust's are built with the tests, the others' where their `build.sh` has put them.
macro_rules! languages {
    ($($language:ident),*) => { $(
        mod $language {
            #[tokio::test(flavor = "multi_thread")]
            async fn counter() {
                if let Some(file) = super::component(stringify!($language), "counter") {
                    super::counter(&file).await;
                }
            }

            #[tokio::test(flavor = "multi_thread")]
            async fn short_links() {
                if let Some(file) = super::component(stringify!($language), "short-links") {
                    super::short_links(&file).await;
                }
            }

            #[test]
            fn notes() {
                if let Some(file) = super::component(stringify!($language), "notes") {
                    super::notes(&file);
                }
            }
        }
    )* };
}

languages!(rust, typescript, python, c, go);

const BAD_NAME: (u16, &str) = (400, "a name has 1 to 64 letters, digits, '-' and '_'\n");

/// Where a component is, or `None`, with a line that says so.
fn component(language: &str, name: &str) -> Option<String> {
    let rust = match name {
        "counter" => COUNTER,
        "short-links" => SHORT_LINKS,
        "notes" => NOTES,
        other => panic!("there is no guest {other}"),
    };
    if language == "rust" {
        return Some(rust.to_owned());
    }
    // Beside Rust's, in a folder of the language.
    let file = Path::new(rust).with_file_name(language).join(name).with_extension("wasm");
    if file.exists() {
        return Some(file.to_str().expect("a path in UTF-8").to_owned());
    }
    let missing = format!("{} is not there: run guest-examples/{language}/build.sh", file.display());
    assert!(std::env::var("CI").as_deref() != Ok("true"), "{missing}");
    println!("skipped: {missing}");
    None
}

#[track_caller]
fn is_text(answer: &Answer, status: u16, text: &str) {
    assert_eq!(answer.said(), (status, text));
    assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"), "{answer:?}");
}

async fn counter(file: &str) {
    let place = Place::new();
    let id = ["--id", "app/counter/001"];
    let preset = ["--preset", "default/many=pears", "--preset", "default/full=9223372036854775807"];
    let server = Server::start(&place, file, id.into_iter().chain(preset));

    // Reading, adding, forgetting.
    is_text(&server.ask("GET", "/visits", "").await, 200, "0\n");
    is_text(&server.ask("POST", "/visits", "").await, 200, "1\n");
    is_text(&server.ask("POST", "/visits?by=41", "").await, 200, "42\n");
    is_text(&server.ask("POST", "/visits?by=-50", "").await, 200, "-8\n");
    is_text(&server.ask("POST", "/visits?by=0", "").await, 200, "-8\n");
    is_text(&server.ask("GET", "/visits", "").await, 200, "-8\n");
    assert_eq!(server.ask("DELETE", "/visits", "").await.said(), (204, ""));
    assert_eq!(server.ask("DELETE", "/visits", "").await.said(), (204, ""));
    is_text(&server.ask("GET", "/visits", "").await, 200, "0\n");

    // Without a name, the number of the exported functions.
    is_text(&server.ask("POST", "/", "").await, 200, "1\n");
    is_text(&server.ask("GET", "/count", "").await, 200, "1\n");

    // What is no name, no number, no method.
    let long = "x".repeat(64);
    is_text(&server.ask("POST", &format!("/{long}"), "").await, 200, "1\n");
    for target in [&format!("/{long}x"), "/a/b", "/a.b", "/a/", "//", "/%41", "/a%20b"] {
        is_text(&server.ask("GET", target, "").await, BAD_NAME.0, BAD_NAME.1);
    }
    for by in ["", "x", "1.5", "9223372036854775808", "0x1", "%20"] {
        is_text(&server.ask("POST", &format!("/visits?by={by}"), "").await, 400, "by: not a whole number\n");
    }
    for method in ["PUT", "PATCH", "OPTIONS"] {
        let answer = server.ask(method, "/visits", "").await;
        is_text(&answer, 405, "use GET, POST or DELETE\n");
        assert_eq!(answer.header("allow"), Some("GET, POST, DELETE"));
    }

    // What is there and is no number, and numbers that are too large, in the store's own words.
    for name in ["many", "full"] {
        let answer = server.ask("POST", &format!("/{name}"), "").await;
        assert_eq!(answer.status, 409, "{answer:?}");
        assert!(answer.text.len() > 10 && answer.text.ends_with('\n'), "{answer:?}");
    }
    is_text(&server.ask("GET", "/full", "").await, 200, "9223372036854775807\n");

    // Many at once add up.
    let asked = (0..40).map(|n| server.ask("POST", if n % 2 == 0 { "/many-at-once" } else { "/by-two?by=2" }, ""));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status, 200, "{answer:?}");
    }
    is_text(&server.ask("GET", "/many-at-once", "").await, 200, "20\n");
    is_text(&server.ask("GET", "/by-two", "").await, 200, "40\n");

    // What was counted is there after the server's end, also when nobody asked it to end.
    drop(server);
    let server = Server::start(&place, file, id);
    is_text(&server.ask("GET", "/by-two", "").await, 200, "40\n");
}

async fn short_links(file: &str) {
    let place = Place::new();
    let id = ["--id", "app/short-links/001"];
    let server = Server::start(&place, file, id);
    is_text(&server.ask("GET", "/", "").await, 200, "");

    // Made, replaced, followed, counted, removed.
    assert_eq!(server.ask("PUT", "/wt", "https://wasmtime.dev/").await.said(), (201, ""));
    assert_eq!(server.ask("PUT", "/wt", "\n https://wasmtime.dev/?a=b#c \r\n").await.said(), (204, ""));
    is_text(&server.ask("GET", "/wt/hits", "").await, 200, "0\n");
    for _ in 0..2 {
        let answer = server.ask("GET", "/wt", "").await;
        assert_eq!((answer.status, answer.header("location")), (302, Some("https://wasmtime.dev/?a=b#c")));
    }
    is_text(&server.ask("GET", "/wt/hits", "").await, 200, "2\n");
    for target in ["/x", "/x/hits"] {
        is_text(&server.ask("GET", target, "").await, 404, "no such link\n");
    }
    for _ in 0..2 {
        assert_eq!(server.ask("DELETE", "/wt", "").await.said(), (204, ""));
    }
    is_text(&server.ask("GET", "/wt", "").await, 404, "no such link\n");
    assert_eq!(server.ask("PUT", "/wt", "http://a").await.said(), (201, ""));
    is_text(&server.ask("GET", "/wt/hits", "").await, 200, "0\n");

    // What is no name, no link, no method.
    for (method, target) in [("GET", "/a.b"), ("PUT", "/"), ("DELETE", "/a/b"), ("PUT", "/wt/hits"), ("GET", "//hits")]
    {
        is_text(&server.ask(method, target, "http://a").await, BAD_NAME.0, BAD_NAME.1);
    }
    let longest = format!("http://{}", "x".repeat(2048 - "http://".len()));
    assert_eq!(server.ask("PUT", "/longest", longest.clone()).await.said(), (201, ""));
    let longer = format!("{longest}x");
    for body in ["", "wasmtime.dev", "ftp://a", "http:/a", "http://a b", "http://a\u{1}", &longer] {
        let answer = server.ask("PUT", "/bad", body.to_owned()).await;
        is_text(&answer, 400, "a link is a URL that begins with http:// or https://\n");
    }
    let answer = server.ask("POST", "/wt", "http://a").await;
    is_text(&answer, 405, "use GET, PUT or DELETE\n");
    assert_eq!(answer.header("allow"), Some("GET, PUT, DELETE"));

    // Hits at once are all counted, and the list is in byte order.
    assert_eq!(server.ask("PUT", "/B", "http://b").await.status, 201);
    let asked = (0..20).map(|_| server.ask("GET", "/B", ""));
    for answer in futures_util::future::join_all(asked).await {
        assert_eq!(answer.status, 302, "{answer:?}");
    }
    is_text(&server.ask("GET", "/B/hits", "").await, 200, "20\n");
    let list = format!("B http://b\nlongest {longest}\nwt http://a\n");
    is_text(&server.ask("GET", "/", "").await, 200, &list);

    drop(server);
    // What it may not open is refused, and the answer says why.
    let server = Server::start(&place, file, id.into_iter().chain(["--allow-bucket", "another"]));
    is_text(&server.ask("GET", "/B", "").await, 500, "access-denied\n");
}

fn notes(file: &str) {
    let place = Place::new();
    let stash = |arguments: &[&str]| {
        let run = ["run", "--id", "app/notes/001", file];
        place.stash(run.into_iter().chain(arguments.iter().copied()))
    };
    assert_eq!(stash(&["add", "shopping/fruit", "pears", "and", "figs"]).success(), "");
    stash(&["add", "--for", "7d", "soon", "not", "yet"]).success();
    let run = ["run", "--id", "app/notes/001", file, "add", "shopping/bread"];
    place.stash_with_input(run, b"two loaves\nof rye").success();
    assert_eq!(stash(&["show", "shopping/fruit"]).success(), "pears and figs\n");
    assert_eq!(stash(&["show", "shopping/bread"]).success(), "two loaves\nof rye\n");

    let list = stash(&["list"]).success();
    let lines: Vec<&str> = list.lines().collect();
    // The newest first: `2026-11-21 11:16  TITLE`, and for how long.
    assert_eq!(lines.len(), 3, "{list}");
    assert!(lines[0].starts_with("20") && lines[0].ends_with("  shopping/bread"), "{list}");
    assert!(lines[1].contains("  soon  (until 20") && lines[1].ends_with(')'), "{list}");
    assert!(lines[2].ends_with("  shopping/fruit"), "{list}");
    assert_eq!(stash(&["list", "shopping/"]).success().lines().count(), 2);

    let error = stash(&["add", "soon", "twice"]).failure(1);
    assert!(error.contains("there is already a note 'soon'"), "{error}");
    assert_eq!(stash(&["delete", "soon"]).success(), "");
    for arguments in [["show", "soon"], ["delete", "soon"]] {
        let error = stash(&arguments).failure(1);
        assert!(error.contains("there is no note 'soon'"), "{error}");
    }
    stash(&["add", "--for", "ever", "x", "y"]).failure(1);
}
