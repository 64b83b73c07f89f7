//! The examples that show a pattern each. What a pattern promises with many requests at once is asserted with many at once.

use futures_util::future::join_all;
use stash_tests::http::{Answer, Connection, Server};
use stash_tests::support::Place;
use stash_tests::{FEATURE_FLAGS, LEADERBOARD, RATE_LIMITER, SESSIONS};

use super::{BAD_NAME, is_text};

/// Asks with one more header.
async fn ask_with(server: &Server, method: &str, target: &str, header: (&str, &str), body: &'static str) -> Answer {
    let mut connection = Connection::http1(server.addr).await;
    let body = http_body_util::Full::new(bytes::Bytes::from(body));
    connection.send_with(method, target, &[header], body).await.unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limiter_lets_exactly_so_many_through() {
    let place = Place::new();
    let id = ["--id", "app/limiter/001"];
    let server = Server::start(&place, RATE_LIMITER, id);
    assert_eq!(server.ask("GET", "/", "").await.status, 400);
    let asked = (0..30).map(|_| ask_with(&server, "GET", "/", ("x-client", "anna"), ""));
    let answers = join_all(asked).await;
    let (through, refused): (Vec<_>, Vec<_>) = answers.iter().partition(|answer| answer.status == 200);
    assert_eq!((through.len(), refused.len()), (10, 20));
    // Each was another one of the ten.
    let mut left: Vec<u32> =
        through.iter().map(|answer| answer.header("x-requests-left").unwrap().parse().unwrap()).collect();
    left.sort_unstable();
    assert_eq!(left, (0..10).collect::<Vec<_>>());
    for answer in &refused {
        assert_eq!(answer.said(), (429, "too many requests\n"));
        let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
    }
    assert_eq!(ask_with(&server, "GET", "/", ("x-client", "bob"), "").await.status, 200);
    drop(server);
    // A window that is over is gone: as if its minute had passed.
    place.stash(["kv", "delete", "--id", id[1], "--collection", "windows", "anna"]).success();
    let server = Server::start(&place, RATE_LIMITER, id);
    let first = ask_with(&server, "GET", "/", ("x-client", "anna"), "").await;
    assert_eq!(first.header("x-requests-left"), Some("9"));
    drop(server);
    let window =
        place.stash(["kv", "get", "--id", id[1], "--collection", "windows", "anna", "--meta", "--json"]).success();
    assert!(window.contains("expires"), "{window}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_made_read_replaced_and_ended() {
    let place = Place::new();
    let id = ["--id", "app/sessions/001"];
    let server = Server::start(&place, SESSIONS, id);
    let made = server.ask("POST", "/", r#"{"user": "anna"}"#).await;
    assert_eq!(made.status, 201);
    let session = made.header("location").unwrap().to_owned();
    assert_eq!(made.text, format!("{}\n", &session[1..]));
    assert!(session.len() == 33 && session[1..].chars().all(|c| c.is_ascii_hexdigit()), "{session}");
    let read = server.ask("GET", &session, "").await;
    assert_eq!((read.said(), read.header("content-type")), ((200, r#"{"user":"anna"}"#), Some("application/json")));
    assert_eq!(server.ask("PUT", &session, "[1]").await.said(), (204, ""));
    assert_eq!(server.ask("GET", &session, "").await.text, "[1]");
    is_text(&server.ask("PUT", &session, "{").await, 400, "a session holds JSON, of 64 KiB at most\n");
    // Ids are all different; one that a client made up is none, and stays none.
    let other = server.ask("POST", "/", "").await;
    assert_ne!(other.header("location"), Some(session.as_str()));
    for made_up in ["/0123456789abcdef0123456789abcdef", "/x"] {
        for method in ["PUT", "GET"] {
            is_text(&server.ask(method, made_up, "1").await, 404, "no such session\n");
        }
    }
    assert_eq!(server.ask("DELETE", &session, "").await.said(), (204, ""));
    is_text(&server.ask("GET", &session, "").await, 404, "no such session\n");
    assert_eq!(server.ask("PATCH", &session, "").await.status, 405);

    // Whoever uses a session lets it live on: its time is counted anew.
    let session = other.header("location").unwrap().to_owned();
    drop(server);
    let collection = ["--id", id[1], "--collection", "sessions"];
    let kv = |verb: &str, more: &[&str]| {
        let arguments = ["kv", verb].into_iter().chain(collection).chain([&session[1..]]);
        place.stash(arguments.chain(more.iter().copied())).success()
    };
    kv("touch", &["--expires", "2100-01-01"]);
    assert!(kv("get", &["--meta"]).contains("2100-01-01"));
    let server = Server::start(&place, SESSIONS, id);
    assert_eq!(server.ask("GET", &session, "").await.text, "null");
    drop(server);
    assert!(!kv("get", &["--meta"]).contains("2100-01-01"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_leaderboard_lists_the_best_and_each_player_once() {
    let place = Place::new();
    let server = Server::start(&place, LEADERBOARD, ["--id", "app/leaderboard/001"]);
    is_text(&server.ask("GET", "/", "").await, 200, "");
    // Many at once: the best of each counts, in whatever order they come.
    let asked = (0..40).map(|n| {
        let server = &server;
        async move { server.ask("POST", &format!("/player-{}?score={}", n % 4, n), "").await.status }
    });
    assert_eq!(join_all(asked).await, [200; 40]);
    is_text(&server.ask("GET", "/", "").await, 200, "1 player-3 39\n2 player-2 38\n3 player-1 37\n4 player-0 36\n");
    is_text(&server.ask("POST", "/player-0?score=5", "").await, 200, "36\n");
    is_text(&server.ask("POST", "/player-0?score=1000", "").await, 200, "1000\n");
    is_text(&server.ask("GET", "/?top=2", "").await, 200, "1 player-0 1000\n2 player-3 39\n");
    is_text(&server.ask("GET", "/player-1", "").await, 200, "4 player-1 37\n");
    assert_eq!(server.ask("DELETE", "/player-3", "").await.said(), (204, ""));
    is_text(&server.ask("GET", "/player-1", "").await, 200, "3 player-1 37\n");
    is_text(&server.ask("GET", "/player-3", "").await, 404, "no such player\n");
    is_text(&server.ask("POST", "/a.b?score=1", "").await, BAD_NAME.0, BAD_NAME.1);
    for target in ["/a", "/a?score=-1", "/a?score=x"] {
        assert_eq!(server.ask("POST", target, "").await.status, 400);
    }
    for target in ["/?top=0", "/?top=x", "/?top=1001"] {
        assert_eq!(server.ask("GET", target, "").await.status, 400);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn feature_flags_are_set_asked_and_waited_for() {
    let place = Place::new();
    let server = Server::start(&place, FEATURE_FLAGS, ["--id", "app/flags/001"]);
    is_text(&server.ask("GET", "/new-cart?for=anna", "").await, 200, "off\n");
    assert_eq!(server.ask("PUT", "/new-cart", "on\n").await.said(), (204, ""));
    is_text(&server.ask("GET", "/new-cart?for=anna", "").await, 200, "on\n");
    assert_eq!(ask_with(&server, "PUT", "/search", ("x-owner", "anna b"), "50%").await.status, 204);
    let first = server.ask("GET", "/search?for=bob", "").await.text;
    assert_eq!(server.ask("GET", "/search?for=bob", "").await.text, first);
    is_text(
        &server.ask("PUT", "/search", "maybe").await,
        400,
        "a flag is on, off, or a part of the users such as 25%\n",
    );

    let list = server.ask("GET", "/", "").await;
    is_text(&list, 200, "new-cart on\nsearch 50% owner=\"anna b\"\n");
    let version = list.header("x-version").unwrap();
    // What has changed already is told at once; what has not, when it does.
    let before = version.parse::<u64>().unwrap() - 1;
    assert_eq!(server.ask("GET", &format!("/?after={before}"), "").await.said(), list.said());
    let target = format!("/?after={version}");
    let (told, changed) = tokio::join!(server.ask("GET", &target, ""), server.ask("PUT", "/search", "off"));
    assert_eq!(changed.status, 204);
    is_text(&told, 200, "new-cart on\nsearch off\n");
    // A version that there has never been is no reason to wait.
    is_text(&server.ask("GET", "/?after=999999", "").await, 200, "new-cart on\nsearch off\n");
    assert_eq!(server.ask("GET", "/?after=x", "").await.status, 400);

    assert_eq!(server.ask("DELETE", "/new-cart", "").await.said(), (204, ""));
    is_text(&server.ask("GET", "/new-cart", "").await, 200, "off\n");
}
