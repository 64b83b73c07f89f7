//! What the server does whatever it serves: connections, limits, its end, a component that is replaced.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use bytes::Bytes;
use hyper::body::{Body, Frame};
use stash_tests::http::{Connection, Server};
use stash_tests::support::Place;
use stash_tests::{ANSWERS, ANSWERS_ASYNC, COUNTER, NOTES, PROBE, SHORT_LINKS};
use tokio::sync::mpsc;

/// A body whose pieces come when the test sends them; it ends when the sender is dropped.
struct Slow(mpsc::UnboundedReceiver<Bytes>);

fn slow() -> (mpsc::UnboundedSender<Bytes>, Slow) {
    let (sender, receiver) = mpsc::unbounded_channel();
    (sender, Slow(receiver))
}

impl Body for Slow {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        self.0.poll_recv(cx).map(|piece| piece.map(|piece| Ok(Frame::data(piece))))
    }
}

const NO_OPTIONS: [&str; 0] = [];
const WITH_OPERATORS: [&str; 2] = ["--admin", "127.0.0.1:0"];

/// Asks a server, which has [`WITH_OPERATORS`], until it is at work on one request.
#[cfg(unix)]
pub(super) async fn is_at_work(server: &Server) {
    let mut operator = Connection::http1(server.admin.unwrap()).await;
    let deadline = Instant::now() + Duration::from_mins(2);
    let one = |line: &str| line.contains("http_requests_under_way") && line.ends_with(" 1");
    while !operator.ask("GET", "/metrics", "").await.text.lines().any(one) {
        assert!(Instant::now() < deadline, "the request does not arrive");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_stays_open_from_request_to_request() {
    let place = Place::new();
    let server = Server::start(&place, COUNTER, NO_OPTIONS);
    let mut connection = server.connect().await;
    for n in 1..=20 {
        assert_eq!(connection.ask("POST", "/kept", "").await.said(), (200, format!("{n}\n").as_str()));
    }
    // Bad requests too.
    assert_eq!(connection.ask("GET", "/a/b", "").await.status, 400);
    assert_eq!(connection.ask("GET", "/kept", "").await.text, "20\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn guests_of_wasi_0_2_and_of_0_3_are_served() {
    for guest in [ANSWERS, ANSWERS_ASYNC] {
        let place = Place::new();
        let server = Server::start(&place, guest, ["--preset", "default/greeting=Hello from the store"]);
        // More on one connection than one instance of either answers.
        let mut connection = server.connect().await;
        for _ in 0..150 {
            assert_eq!(connection.ask("GET", "/", "").await.said(), (200, "Hello, WASI!\n"));
            assert_eq!(connection.ask("GET", "/greeting", "").await.said(), (200, "Hello from the store"));
        }
        let asked = (0..40).map(|_| server.ask("GET", "/greeting", ""));
        for answer in futures_util::future::join_all(asked).await {
            assert_eq!(answer.said(), (200, "Hello from the store"));
        }
        let answer = server.ask("GET", "/none", "").await;
        assert_eq!(answer.said(), (404, "no such key\n"));
        assert_eq!(answer.header("content-type"), Some("text/plain; charset=utf-8"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_takes_many_requests_at_once() {
    let place = Place::new();
    let server = Server::start(&place, COUNTER, NO_OPTIONS);
    let connection = Connection::http2(server.addr).await;
    let Connection::Http2(sender) = &connection else { unreachable!("it is of HTTP/2") };
    let asked = (0..50).map(|_| {
        let mut same = Connection::Http2(sender.clone());
        async move { same.ask("POST", "/two", "").await.status }
    });
    assert_eq!(futures_util::future::join_all(asked).await, [200; 50]);
    assert_eq!(server.ask("GET", "/two", "").await.text, "50\n");
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_under_way_is_answered_when_the_server_is_asked_to_end() {
    let place = Place::new();
    let server = Server::start(&place, SHORT_LINKS, WITH_OPERATORS);
    let (piece, body) = slow();
    let mut connection = server.connect().await;
    // One that nobody uses does not hold it up.
    let mut idle = server.connect().await;
    assert_eq!(idle.ask("GET", "/", "").await.status, 200);
    let asked = tokio::spawn(async move { connection.send("PUT", "/late", body).await });
    piece.send("https://late".into()).unwrap();
    is_at_work(&server).await;
    let mut operator = Connection::http1(server.admin.unwrap()).await;
    assert_eq!(operator.ask("GET", "/healthz", "").await.said(), (200, "ok\n"));
    server.ask_to_end();
    server.wait_for("ending: ");
    let deadline = Instant::now() + Duration::from_mins(2);
    while operator.ask("GET", "/healthz", "").await.said() != (503, "the server is ending\n") {
        assert!(Instant::now() < deadline, "whoever balances loads is not told");
    }
    piece.send("r.example/".into()).unwrap();
    drop(piece);
    assert_eq!(asked.await.unwrap().unwrap().said(), (201, ""));
    assert_eq!(server.ended().code(), Some(0));
    // And it is stored.
    let server = Server::start(&place, SHORT_LINKS, NO_OPTIONS);
    assert_eq!(server.ask("GET", "/late", "").await.header("location"), Some("https://later.example/"));
}

#[cfg(unix)]
#[tokio::test(flavor = "multi_thread")]
async fn a_request_that_takes_longer_than_the_grace_is_cut_off() {
    let place = Place::new();
    let server = Server::start(&place, SHORT_LINKS, WITH_OPERATORS.into_iter().chain(["--grace", "100ms"]));
    let (piece, body) = slow();
    let mut connection = server.connect().await;
    let asked = tokio::spawn(async move { connection.send("PUT", "/late", body).await });
    piece.send("https://late".into()).unwrap();
    is_at_work(&server).await;
    server.ask_to_end();
    server.wait_for("some requests took longer");
    assert_eq!(server.ended().code(), Some(130));
    assert!(asked.await.unwrap().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_body_that_is_too_large_and_an_answer_that_takes_too_long_are_refused() {
    let place = Place::new();
    let server = Server::start(&place, SHORT_LINKS, ["--max-body", "100B", "--timeout", "500ms"]);
    let long = format!("https://{}", "x".repeat(93));
    assert_eq!(server.ask("PUT", "/a", long.clone()).await.status, 413);
    assert_eq!(server.ask("PUT", "/a", long[..100].to_owned()).await.status, 201);
    // One that does not say how long it is going to be.
    let (piece, body) = slow();
    piece.send(Bytes::from(long)).unwrap();
    drop(piece);
    assert_eq!(server.connect().await.send("PUT", "/b", body).await.unwrap().status, 400);
    assert_eq!(server.ask("GET", "/b", "").await.status, 404);
    // The body never ends, and so the guest never answers.
    let (piece, body) = slow();
    piece.send("https://a".into()).unwrap();
    assert_eq!(server.connect().await.send("PUT", "/c", body).await.unwrap().status, 504);
    drop(piece);
    assert_eq!(server.ask("GET", "/a", "").await.status, 302, "and others are served on");
}

#[tokio::test(flavor = "multi_thread")]
async fn operators_see_health_and_numbers_on_a_port_of_their_own() {
    let place = Place::new();
    let server = Server::start(&place, COUNTER, ["--id", "shop/counter/eu", "--admin", "127.0.0.1:0"]);
    for _ in 0..3 {
        server.ask("POST", "/a", "").await;
    }
    server.ask("GET", "/a/b", "").await;
    let mut operator = Connection::http1(server.admin.unwrap()).await;
    assert_eq!(operator.ask("GET", "/healthz", "").await.said(), (200, "ok\n"));
    let metrics = operator.ask("GET", "/metrics", "").await;
    assert_eq!(metrics.status, 200);
    assert!(metrics.header("content-type").unwrap().starts_with("application/openmetrics-text"));
    let counted = |status: &str| {
        metrics.text.lines().any(|line| {
            let labels = line.contains("shop/counter/eu") && line.contains(&format!("\"{status}\""));
            labels && line.split_whitespace().nth(1).is_some_and(|n| n == if status == "200" { "3" } else { "1" })
        })
    };
    assert!(counted("200") && counted("400"), "{}", metrics.text);
    assert_eq!(operator.ask("GET", "/other", "").await.status, 404);
    assert_eq!(operator.ask("POST", "/healthz", "").await.status, 405);
    // Clients do not see them.
    assert_eq!(server.ask("GET", "/metrics", "").await.text, "0\n");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_is_replaced_without_a_lost_request() {
    let place = Place::new();
    let file = place.path().join("served.wasm");
    // In one step, as build tools do it.
    let put = |from: &str| {
        let part = place.path().join("part");
        std::fs::copy(from, &part).unwrap();
        std::fs::rename(&part, &file).unwrap();
    };
    put(COUNTER);
    let server = Server::start(&place, file.to_str().unwrap(), ["--id", "app/served/001"]);
    let deadline = Instant::now() + Duration::from_mins(2);
    let client = async || {
        let mut connection = server.connect().await;
        let mut counted = 0;
        loop {
            // The counter counts, the short links have no POST; anything else is a lost request.
            match connection.ask("POST", "/a", "").await.status {
                200 => counted += 1,
                405 => return counted,
                other => panic!("a request was lost: {other}"),
            }
            assert!(Instant::now() < deadline, "it was not loaded again");
        }
    };
    let replaced = async { put(SHORT_LINKS) };
    let (a, b, c, ()) = tokio::join!(client(), client(), client(), replaced);

    // And back: what was counted is all there. One that cannot be loaded in between changes nothing.
    std::fs::write(&file, "no component").unwrap();
    server.wait_for(&format!("{} has changed and cannot be loaded", file.display()));
    assert_eq!(server.ask("POST", "/a", "").await.status, 405);
    put(COUNTER);
    let back = loop {
        let answer = server.ask("GET", "/a", "").await;
        if answer.status == 200 {
            break answer.text;
        }
        assert!(Instant::now() < deadline, "it was not loaded again");
    };
    assert_eq!(back, format!("{}\n", a + b + c));
}

#[test]
fn what_does_not_answer_http_is_not_served() {
    let place = Place::new();
    let serve = |guest: &str| place.stash(["serve", guest, "--addr", "127.0.0.1:0"]).failure(1);
    let error = serve(PROBE);
    assert!(error.contains("it does not answer HTTP requests") && !error.contains("stash run"), "{error}");
    let error = serve(NOTES);
    assert!(error.contains("it does not answer HTTP requests") && error.contains("'stash run' runs it"), "{error}");
}
