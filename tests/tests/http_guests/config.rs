//! What the server must refuse to be set up with, and what it does with a configuration file.

use std::io::Read;
use std::process::Stdio;
use std::time::Duration;

use stash_tests::COUNTER;
use stash_tests::http::Server;
use stash_tests::support::Place;

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
