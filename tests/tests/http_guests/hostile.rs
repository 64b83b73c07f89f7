//! Clients and components that mean harm to a server, or do it: who asks nothing, reads nothing, leaves, or never answers.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use stash_core::ComponentStorage;
use stash_host::serve::{Access, App, Listeners, Route, Routes, ServeConfig, Server};
use stash_host::{
    Allocation, CodeCache, GuestContext, GuestLimits, HttpLimits, Runtime, RuntimeConfig, Stash, StashConfig, StoreUrl,
};
use stash_tests::http::Connection;
use stash_tests::{ANSWERS, ANSWERS_ASYNC};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;
use wasmtime_wasi::WasiCtx;

const BOTH: [&str; 2] = [ANSWERS, ANSWERS_ASYNC];
const LONG: Duration = Duration::from_mins(5);

/// Serves components, each for the host of its name, and tells what was answered and where they keep their data.
async fn serve(
    components: &[(&str, &str)],
    config: ServeConfig,
    timeout: Duration,
) -> (SocketAddr, mpsc::UnboundedReceiver<Access>, Stash) {
    let runtime = Runtime::new(RuntimeConfig {
        code_cache: CodeCache::User,
        allocation: Allocation::OnDemand,
        limits: GuestLimits::default(),
    })
    .unwrap();
    let stash = Stash::open(&StoreUrl::Memory, StashConfig::default()).await.unwrap();
    let mut routes = Vec::new();
    for (name, file) in components {
        // The same component at another place.
        let id = if *name == "again" { "hangs" } else { name };
        let id: stash_core::ComponentId = format!("app/{id}/001").parse().unwrap();
        let store = stash.component(&id);
        let context = move || GuestContext::new(store.clone(), WasiCtx::builder().build());
        let limits = HttpLimits { timeout: Some(timeout), ..HttpLimits::default() };
        let program = runtime.load(file.as_ref()).unwrap();
        let app = App::new(id, runtime.http(&program, limits, Arc::new(context)).unwrap());
        let host = (components.len() > 1).then(|| (*name).to_owned());
        routes.push(Route { host, path: "/".to_owned(), keep_path: false, app });
    }
    let (told, answered) = mpsc::unbounded_channel();
    let log = Arc::new(move |access| drop(told.send(access)));
    let routes: Routes = routes.into_iter().collect();
    let any = SocketAddr::from(([127, 0, 0, 1], 0));
    let listeners = Listeners::bind(any, None).await.unwrap();
    let addr = listeners.local_addr().unwrap();
    let server = Server::new(listeners, stash.clone(), routes, config, Some(log));
    tokio::spawn(server.run(std::future::pending(), std::future::pending()));
    (addr, answered, stash)
}

/// A connection on which these bytes were sent.
async fn sent(addr: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(addr).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// A client of HTTP/2 who asks for `/` on one stream and lets nothing of the answer's body be sent.
const NO_WINDOW: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\
    \x00\x00\x06\x04\x00\x00\x00\x00\x00\x00\x04\x00\x00\x00\x00\
    \x00\x00\x06\x01\x05\x00\x00\x00\x01\x82\x86\x84\x41\x01a";

#[tokio::test(flavor = "multi_thread")]
async fn a_request_names_one_host_and_it_is_logged() {
    let (addr, mut answered, _stash) = serve(&[("a", ANSWERS)], ServeConfig::default(), LONG).await;
    for (head, status, host) in [
        ("GET / HTTP/1.1\r\nHost: Shop.example:80\r\n", "200", Some("Shop.example:80")),
        ("GET / HTTP/1.0\r\n", "200", None),
        ("GET / HTTP/1.1\r\n", "400", None),
        ("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n", "400", None),
    ] {
        let mut stream = sent(addr, format!("{head}Connection: close\r\n\r\n").as_bytes()).await;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert_eq!(answer.split(' ').nth(1), Some(status), "{head}: {answer}");
        let access = answered.recv().await.unwrap();
        assert_eq!((access.status.as_str(), access.host.as_deref()), (status, host), "{head}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_that_ask_nothing_are_closed() {
    let config = ServeConfig { max_connections: 4, head_timeout: Duration::from_millis(300), ..ServeConfig::default() };
    let (addr, ..) = serve(&[("a", ANSWERS)], config, LONG).await;
    let silent = [
        sent(addr, b"").await,
        sent(addr, b"GET / HT").await,
        sent(addr, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n").await,
        sent(addr, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\x00\x00\x00\x04\x00\x00\x00\x00\x00").await,
    ];
    // They have all places.
    assert_eq!(Connection::http1(addr).await.ask("GET", "/", "").await.said(), (200, "Hello, WASI!\n"));
    for mut stream in silent {
        // To its end, which may be a reset.
        let _ = stream.read_to_end(&mut Vec::new()).await;
    }
    // One that is used stays.
    let mut used = Connection::http1(addr).await;
    for _ in 0..100 {
        assert_eq!(used.ask("GET", "/", "").await.status, 200);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_nobody_reads_is_cut_off() {
    for guest in BOTH {
        for asking in [&b"GET /large! HTTP/1.1\r\nhost: a\r\n\r\n"[..], NO_WINDOW] {
            let config = ServeConfig {
                max_connections: 1,
                head_timeout: LONG,
                linger: Duration::from_millis(100),
                ..ServeConfig::default()
            };
            let (addr, mut answered, _) = serve(&[("a", guest)], config, Duration::from_secs(2)).await;
            let stalled = sent(addr, asking).await;
            // It has the only place.
            assert_eq!(Connection::http1(addr).await.ask("GET", "/", "").await.said(), (200, "Hello, WASI!\n"));
            let access = answered.recv().await.unwrap();
            assert!(access.bytes < 32 * 1024 * 1024, "{access:?}");
            drop(stalled);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_that_hangs_leaves_turns_to_others() {
    let config = ServeConfig { max_requests: 4, ..ServeConfig::default() };
    let (addr, ..) = serve(&[("hangs", ANSWERS), ("works", ANSWERS_ASYNC)], config, LONG).await;
    let mut hanging = Vec::new();
    for _ in 0..8 {
        hanging.push(sent(addr, b"GET /hang! HTTP/1.1\r\nhost: hangs\r\n\r\n").await);
    }
    let mut stream = sent(addr, b"GET / HTTP/1.1\r\nhost: works\r\nconnection: close\r\n\r\n").await;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
    drop(hanging);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_client_that_leaves_is_counted_and_its_turn_is_taken_while_its_guest_runs() {
    for (guest, status) in [(ANSWERS, 200), (ANSWERS_ASYNC, 503)] {
        let config = ServeConfig {
            max_requests: 1,
            // Enough for the instance of WASI 0.2 to be gone.
            queue_timeout: Duration::from_secs(if status == 200 { 60 } else { 1 }),
            ..ServeConfig::default()
        };
        let (addr, mut answered, stash) = serve(&[("a", guest)], config, LONG).await;
        let client = sent(addr, b"GET /hang! HTTP/1.1\r\nhost: a\r\n\r\n").await;
        let store = stash.component(&"app/a/001".parse().unwrap());
        let begin = Instant::now();
        while !store.exists("hanging").await.unwrap() {
            assert!(begin.elapsed() < LONG, "the guest is not called");
            tokio::task::yield_now().await;
        }
        drop(client);
        let access = answered.recv().await.unwrap();
        assert_eq!((access.status.as_u16(), access.target.as_str()), (499, "/hang!"), "{access:?}");
        assert_eq!(access.component.as_deref(), Some("app/a/001"));
        // A guest of WASI 0.2 is stopped; one of WASI 0.3 goes on until its time is over.
        assert_eq!(Connection::http1(addr).await.ask("GET", "/", "").await.status, status, "{guest}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_goes_wrong_in_a_guest_is_told_by_the_status() {
    for guest in BOTH {
        let (addr, ..) = serve(&[("a", guest)], ServeConfig::default(), Duration::from_secs(2)).await;
        let mut connection = Connection::http1(addr).await;
        for (path, status, text) in [
            ("/trap!", 500, "the component failed\n"),
            ("/error!", 500, "the component answered with an error\n"),
            ("/hang!", 504, "the component did not answer in time\n"),
            ("/", 200, "Hello, WASI!\n"),
        ] {
            assert_eq!(connection.ask("GET", path, "").await.said(), (status, text), "{guest} {path}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_answer_that_was_cut_off_does_not_look_whole() {
    for guest in BOTH {
        let (addr, ..) = serve(&[("a", guest)], ServeConfig::default(), LONG).await;
        for (path, is_whole) in [("/half!", false), ("/none", true)] {
            let head = format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
            let mut stream = sent(addr, head.as_bytes()).await;
            let mut answer = Vec::new();
            // To its end, which may be a reset.
            let _ = stream.read_to_end(&mut answer).await;
            let answer = String::from_utf8_lossy(&answer);
            // What is cut off early may be nothing at all.
            let begins_well = answer.starts_with("HTTP/1.1 ") && answer.contains("chunked");
            assert!(begins_well || !is_whole && answer.is_empty(), "{guest} {path}: {answer}");
            assert_eq!(answer.ends_with("\r\n0\r\n\r\n"), is_whole, "{guest} {path}: {answer}");
        }
        let failed = Connection::http2(addr).await.send("GET", "/half!", http_body_util::Empty::new()).await;
        assert!(failed.is_err(), "{guest}: {failed:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_component_has_one_share_of_the_turns_wherever_it_is_reached() {
    let config = ServeConfig { max_requests: 4, queue_timeout: Duration::from_secs(1), ..ServeConfig::default() };
    let (addr, ..) = serve(&[("hangs", ANSWERS), ("again", ANSWERS), ("works", ANSWERS_ASYNC)], config, LONG).await;
    // Three of the four turns are all that it gets, and it is reached at two places.
    let mut held = Vec::new();
    for host in ["hangs", "hangs", "again", "again"] {
        held.push(sent(addr, format!("GET /hang! HTTP/1.1\r\nhost: {host}\r\n\r\n").as_bytes()).await);
    }
    let mut refused = held.pop().unwrap();
    let mut answer = vec![0; 12];
    refused.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 503");
    let mut works = sent(addr, b"GET / HTTP/1.1\r\nhost: works\r\n\r\n").await;
    works.read_exact(&mut answer).await.unwrap();
    assert_eq!(answer, b"HTTP/1.1 200");
}
