//! The schema: made, checked, brought up to date. It must never touch tables that are not the store's, nor a newer version's.

use std::time::Duration;

use tokio_postgres::Client;

use crate::connector::Connector;
use crate::error::{Failure, OpenError};
use crate::sql::{Dialect, Sql, quoted};

/// What each version of the schema adds to the one before: the first makes a store of an empty schema.
const STEPS: &[fn(&Sql) -> String] = &[tables];

/// Times to look again, where two hosts make one store and the server has no lock for that.
const TRIES: u32 = 10;

/// The first version.
fn tables(sql: &Sql) -> String {
    let s = sql.schema();
    let mut text = format!(
        "CREATE TABLE IF NOT EXISTS {s}.entries (key bytea PRIMARY KEY, value bytea NOT NULL); \
         CREATE TABLE IF NOT EXISTS {s}.heads (owner bytea PRIMARY KEY, revision bigint NOT NULL, writers bytea NOT NULL);"
    );
    if sql.dialect == Dialect::Postgres {
        // The beginning of a value is read without the rest; heads change in place.
        text.extend([format!(
            "ALTER TABLE {s}.entries ALTER COLUMN value SET STORAGE EXTERNAL; \
             ALTER TABLE {s}.heads SET (fillfactor = 50);"
        )]);
    }
    text
}

/// What a schema holds.
#[derive(Debug, PartialEq, Eq)]
enum Found {
    /// It is not there.
    NoSchema,
    /// It is there, with nothing in it.
    Nothing,
    /// A store of this version.
    Store(usize),
    /// Something else.
    Other(String),
}

/// Sees that the schema is a store of the present version.
pub(crate) async fn prepare(client: &Client, connector: &Connector, create: bool) -> Result<(), OpenError> {
    let mut tries = 0;
    loop {
        tries += 1;
        match prepare_once(client, connector, create).await {
            Ok(Found::NoSchema | Found::Nothing) if !create => {
                return Err(OpenError::NoStore { server: connector.address.name.clone() });
            }
            Ok(found) => return check(&found, &connector.address.name),
            // Another host does the same at this moment.
            Err(failure) if tries < TRIES && may_be_a_race(&failure) => {
                tokio::time::sleep(Duration::from_millis(50 * u64::from(tries))).await;
            }
            Err(failure) => return Err(OpenError::of(&connector.address.name, &failure)),
        }
    }
}

async fn prepare_once(client: &Client, connector: &Connector, create: bool) -> Result<Found, Failure> {
    let (sql, schema) = (&connector.sql, connector.address.schema.as_str());
    let found = look(client, sql, schema).await?;
    if !needs_work(&found) || (!create && !matches!(found, Found::Store(_))) {
        return Ok(found);
    }
    let made = make(client, sql, schema).await;
    if made.is_err() {
        // The transaction is over, whatever came of it.
        let _ = client.batch_execute("ROLLBACK").await;
    }
    made
}

async fn make(client: &Client, sql: &Sql, schema: &str) -> Result<Found, Failure> {
    let lock = match sql.dialect {
        Dialect::Postgres => format!("BEGIN; SELECT pg_advisory_xact_lock({})", lock_number(schema)),
        Dialect::Portable => "BEGIN ISOLATION LEVEL SERIALIZABLE".to_owned(),
    };
    client.batch_execute(&lock).await.map_err(Failure::NotPrepared)?;
    // Somebody else may have been first.
    let found = look(client, sql, schema).await?;
    if needs_work(&found) {
        let s = sql.schema();
        let mut text = String::new();
        if found == Found::NoSchema {
            text.extend([format!("CREATE SCHEMA IF NOT EXISTS {s};")]);
        }
        let first = if let Found::Store(version) = found { version } else { 0 };
        if first == 0 {
            text.extend([format!("CREATE TABLE IF NOT EXISTS {s}.meta (name text PRIMARY KEY, value text NOT NULL);")]);
        }
        for step in STEPS.iter().skip(first) {
            text.push_str(&step(sql));
        }
        text.extend([format!(
            "INSERT INTO {s}.meta (name, value) VALUES ('format', '{}') \
             ON CONFLICT (name) DO UPDATE SET value = excluded.value;",
            STEPS.len()
        )]);
        client.batch_execute(&text).await.map_err(Failure::NotPrepared)?;
    }
    client.batch_execute("COMMIT").await.map_err(Failure::Sent)?;
    Ok(if needs_work(&found) { Found::Store(STEPS.len()) } else { found })
}

fn needs_work(found: &Found) -> bool {
    match found {
        Found::NoSchema | Found::Nothing => true,
        Found::Store(version) => *version < STEPS.len(),
        Found::Other(_) => false,
    }
}

async fn look(client: &Client, sql: &Sql, schema: &str) -> Result<Found, Failure> {
    let there = client.query("SELECT 1 FROM pg_catalog.pg_namespace WHERE nspname = $1", &[&schema]).await;
    if there.map_err(Failure::NotPrepared)?.is_empty() {
        return Ok(Found::NoSchema);
    }
    let tables = "SELECT c.relname::text FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n \
                  ON n.oid = c.relnamespace WHERE n.nspname = $1 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')";
    let rows = client.query(tables, &[&schema]).await.map_err(Failure::NotPrepared)?;
    let names: Result<Vec<String>, _> = rows.iter().map(|row| row.try_get(0)).collect();
    let names = names.map_err(Failure::NotPrepared)?;
    if names.is_empty() {
        return Ok(Found::Nothing);
    }
    let has = |wanted: &str| names.iter().any(|name| name == wanted);
    if !(has("meta") && has("entries") && has("heads")) {
        let name = names.first().map(String::as_str).unwrap_or_default();
        return Ok(Found::Other(format!(
            "it holds other tables, such as {}; name an empty schema, or one that is not there yet, with ?schema=NAME",
            quoted(name)
        )));
    }
    let format = format!("SELECT value FROM {}.meta WHERE name = 'format'", sql.schema());
    let rows = client.query(&format, &[]).await.map_err(Failure::NotPrepared)?;
    let value: Option<String> = rows.first().map(|row| row.try_get(0)).transpose().map_err(Failure::NotPrepared)?;
    Ok(match value.as_deref().map(str::parse) {
        Some(Ok(version)) if version > 0 => Found::Store(version),
        _ => Found::Other("its table \"meta\" does not tell its version".to_owned()),
    })
}

fn check(found: &Found, name: &str) -> Result<(), OpenError> {
    let reason = match found {
        Found::Store(version) if *version == STEPS.len() => return Ok(()),
        Found::Store(version) => {
            format!("it is of version {version}, and this one knows {} at most; use a newer Stash", STEPS.len())
        }
        Found::Other(reason) => reason.clone(),
        Found::NoSchema | Found::Nothing => "it is gone again; open it once more".to_owned(),
    };
    Err(OpenError::NotAStore { server: name.to_owned(), reason })
}

fn may_be_a_race(failure: &Failure) -> bool {
    // Serialization, or a name that is there by now.
    matches!(failure.code(), Some("40001" | "40P01" | "23505" | "42P06" | "42P07" | "55P03" | "XX000"))
}

/// The number of the lock for a schema: FNV-1a of its name.
fn lock_number(schema: &str) -> i64 {
    let hash = format!("stash:{schema}")
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    i64::from_ne_bytes(hash.to_ne_bytes())
}
