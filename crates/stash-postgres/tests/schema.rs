//! Opening: the schema that is made, the ones that are refused, passwords and TLS.

// The helpers of tests are tests too.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod common;

use std::process::Command;

use common::{increment, number, open, options};
use stash_core::Engine;
use stash_postgres::testing::TestServer;
use stash_postgres::{OpenError, PostgresOptions, open_engine};
use tokio::task::JoinSet;
use tokio_postgres::{Client, NoTls};

async fn client(url: &str) -> Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
    tokio::spawn(connection);
    client
}

#[tokio::test(flavor = "multi_thread")]
async fn hosts_that_begin_together_make_one_store() {
    let Some(server) = TestServer::start() else { return };
    for portable in [false, true] {
        for _ in 0..5 {
            let url = server.fresh_url();
            let mut opening = JoinSet::new();
            for _ in 0..6 {
                let (url, options) = (url.clone(), PostgresOptions { portable, connections: 2, ..options() });
                opening.spawn(async move { open(&url, &options).await });
            }
            let engines = opening.join_all().await;
            for engine in &engines {
                increment(engine, "rapp/a/1/n").await.unwrap();
            }
            assert_eq!(number(&engines[0], "rapp/a/1/n").await, 6);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_only_looks_makes_no_store() {
    let Some(server) = TestServer::start() else { return };
    let (client, url) = (client(&server.url()).await, server.fresh_url());
    let mut looking = options();
    looking.shared.create = false;
    let error = open_engine(&url, &looking).await.expect_err("there is none");
    assert!(matches!(&error, OpenError::NoStore { .. }) && error.to_string().contains("there is no store"), "{error}");
    let schemas = "SELECT count(*) FROM pg_namespace WHERE nspname LIKE 's%'";
    assert_eq!(client.query_one(schemas, &[]).await.unwrap().get::<_, i64>(0), 0);
    let made = open(&url, &options()).await;
    increment(&made, "rapp/a/1/n").await.unwrap();
    let looked = open(&url, &looking).await;
    assert_eq!(number(&looked, "rapp/a/1/n").await, 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_newer_schema_and_somebody_elses_are_left_alone() {
    let Some(server) = TestServer::start() else { return };
    let client = client(&server.url()).await;
    // Other tables beside it do not matter.
    client.batch_execute("CREATE TABLE public.entries (x int); INSERT INTO public.entries VALUES (7)").await.unwrap();
    let url = server.fresh_url();
    let engine = open(&url, &options()).await;
    let schema = engine.server().schema().to_owned();
    increment(&engine, "rapp/a/1/n").await.unwrap();
    drop(engine);
    client.batch_execute(&format!("UPDATE {schema}.meta SET value = '2' WHERE name = 'format'")).await.unwrap();
    let error = open_engine(&url, &options()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotAStore { .. }) && error.to_string().contains("newer Stash"), "{error}");
    for value in ["", "x", "-1", "0"] {
        client.batch_execute(&format!("UPDATE {schema}.meta SET value = '{value}'")).await.unwrap();
        let error = open_engine(&url, &options()).await.unwrap_err().to_string();
        assert!(error.contains("does not tell its version"), "{error}");
    }
    client.batch_execute(&format!("UPDATE {schema}.meta SET value = '1'")).await.unwrap();
    assert_eq!(number(&*open(&url, &options()).await, "rapp/a/1/n").await, 1);

    let error = open_engine(&format!("{}&schema=public", server.url()), &options()).await.unwrap_err();
    assert!(matches!(error, OpenError::NotAStore { .. }) && error.to_string().contains("other tables"), "{error}");
    let rows = client.query("SELECT x FROM public.entries", &[]).await.unwrap();
    assert_eq!(rows.iter().map(|row| row.get::<_, i32>(0)).collect::<Vec<_>>(), [7]);
    let there = "SELECT count(*) FROM pg_tables WHERE schemaname = 'public'";
    assert_eq!(client.query_one(there, &[]).await.unwrap().get::<_, i64>(0), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_role_needs_no_more_than_the_tables() {
    let Some(server) = TestServer::start_with("password_encryption = 'scram-sha-256'") else { return };
    let schema = server.fresh_schema();
    drop(open(&format!("{}&schema={schema}", server.url()), &options()).await);
    let client = client(&server.url()).await;
    let role = format!(
        "CREATE ROLE guest LOGIN PASSWORD 'hunter2'; GRANT USAGE ON SCHEMA {schema} TO guest; \
         GRANT SELECT ON {schema}.meta TO guest; \
         GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.entries, {schema}.heads TO guest"
    );
    client.batch_execute(&role).await.unwrap();
    let url = |password: &str, schema: &str| {
        let port = server.port();
        format!("postgres://guest:{password}@127.0.0.1:{port}/postgres?sslmode=disable&schema={schema}")
    };
    server.demand_passwords();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let engine = open(&url("hunter2", &schema), &options()).await;
    increment(&engine, "rapp/a/1/n").await.unwrap();
    assert_eq!(number(&engine, "rapp/a/1/n").await, 1);

    let error = open_engine(&url("hunter3", &schema), &options()).await.unwrap_err();
    let text = format!("{error} {error:?}");
    assert!(matches!(error, OpenError::Denied { .. }) && text.contains("pg_hba.conf"), "{text}");
    assert!(!text.contains("hunter"), "{text}");
    let error = open_engine(&url("hunter2", "not_there"), &options()).await.unwrap_err();
    let text = error.to_string();
    assert!(matches!(error, OpenError::Denied { .. }) && text.contains("grant the role CREATE"), "{text}");
    let no_database = url("hunter2", &schema).replace("/postgres?", "/nothing?");
    let text = open_engine(&no_database, &options()).await.unwrap_err().to_string();
    assert!(text.contains("createdb") && !text.contains("hunter"), "{text}");
    // Its rights are taken away while it runs.
    client.batch_execute(&format!("REVOKE INSERT, UPDATE ON {schema}.entries FROM guest")).await.unwrap();
    let text = increment(&engine, "rapp/a/1/n").await.unwrap_err().to_string();
    assert!(text.contains("grant the role SELECT, INSERT") && !text.contains("hunter"), "{text}");
    assert_eq!(number(&engine, "rapp/a/1/n").await, 1);
    // The tables go.
    client.batch_execute(&format!("DROP SCHEMA {schema} CASCADE")).await.unwrap();
    let text = engine.read(&[b"k"]).await.unwrap_err().to_string();
    assert!(text.contains("tables are gone"), "{text}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_not_durable_is_said() {
    let Some(server) = TestServer::start_with("synchronous_commit = off") else { return };
    // The session's own setting is ours.
    assert!(open(&server.fresh_url(), &options()).await.info().durable);
    let url = format!("{}&options=-c%20synchronous_commit%3Doff", server.fresh_url());
    let engine = open(&url, &options()).await;
    assert!(!engine.info().durable);
    increment(&engine, "rapp/a/1/n").await.unwrap();
    let Some(server) = TestServer::start_with("fsync = off") else { return };
    assert!(!open(&server.fresh_url(), &options()).await.info().durable);
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_is_checked_as_the_url_says() {
    let Some(server) = TestServer::start() else { return };
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let openssl = |arguments: &str| {
        let arguments = arguments.replace('@', &path(""));
        let made = Command::new("openssl").args(arguments.split_whitespace()).output();
        made.is_ok_and(|made| made.status.success())
    };
    let made = openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=ca -keyout @ca.key -out @ca.pem")
        && openssl(
            "req -newkey rsa:2048 -nodes -subj /CN=localhost -addext subjectAltName=DNS:localhost -keyout @server.key -out @server.csr",
        )
        && openssl(
            "x509 -req -in @server.csr -CA @ca.pem -CAkey @ca.key -days 2 -copy_extensions copy -out @server.crt",
        )
        && openssl("req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=other -keyout @other.key -out @other.pem");
    if !made {
        assert!(std::env::var_os("CI").is_none(), "openssl is missing: install it");
        eprintln!("skipped: TLS, because there is no openssl 3 to make certificates with");
        return;
    }
    server.encrypt(&folder.path().join("server.crt"), &folder.path().join("server.key"));
    client(&server.url()).await.batch_execute("SELECT pg_reload_conf()").await.unwrap();
    let schema = server.fresh_schema();
    let url = |host: &str, mode: &str| {
        format!("postgres://stash@{host}:{}/postgres?hostaddr=127.0.0.1&schema={schema}&sslmode={mode}", server.port())
    };
    let (ca, other) = (format!("&sslrootcert={}", path("ca.pem")), format!("&sslrootcert={}", path("other.pem")));
    for (n, (host, mode, certificates, works)) in [
        ("localhost", "disable", "", true),
        ("localhost", "prefer", "", true),
        ("localhost", "require", "", true),
        ("elsewhere", "require", ca.as_str(), true),
        ("elsewhere", "require", &other, false),
        ("elsewhere", "verify-ca", &ca, true),
        ("elsewhere", "verify-ca", &other, false),
        ("elsewhere", "verify-full", &ca, false),
        ("localhost", "verify-full", &other, false),
        ("localhost", "verify-full", "&sslrootcert=/nowhere.pem", false),
        ("localhost", "verify-full", &ca, true),
    ]
    .into_iter()
    .enumerate()
    {
        let url = format!("{}{certificates}&application_name=tls{n}", url(host, mode));
        let opened = open_engine(&url, &options()).await;
        match opened {
            Ok(engine) => {
                assert!(works, "{host} {mode} {certificates}");
                increment(&engine, "rapp/a/1/n").await.unwrap();
                let encrypted = "SELECT bool_and(s.ssl) FROM pg_stat_ssl s JOIN pg_stat_activity a USING (pid) \
                                 WHERE a.application_name = $1";
                let name = format!("tls{n}");
                let row = client(&server.url()).await.query_one(encrypted, &[&name]).await.unwrap();
                let encrypted: bool = row.get(0);
                assert_eq!(encrypted, mode != "disable", "{mode}");
            }
            Err(error) => assert!(!works, "{host} {mode} {certificates}: {error}"),
        }
    }
}
