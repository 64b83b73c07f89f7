//! `stash kv`: a person looks at and fixes one component's data, through the same chain that the component uses.

use std::fs::File;
use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use bytesize::ByteSize;
use serde_json::{Map, Value, json};
use stash_core::limits::DEFAULT_MAX_VALUE_BYTES;
use stash_core::{ComponentStorage, ListRequest, Usage};
use stash_host::{ComponentStore, StashConfig};

use crate::args::{KvArguments, KvCommand, KvTarget, StoreArguments};
use crate::output;
use crate::store::{open, open_existing};

/// What grep says too: nothing wrong, but no.
const NO: u8 = 1;

/// Keys read at once.
const PAGE: usize = 1000;

pub(crate) async fn kv(store: &StoreArguments, arguments: KvArguments) -> Result<ExitCode> {
    let existing =
        async |target: &KvTarget| -> Result<ComponentStore> { Ok(open_existing(store).await?.component(&target.id)) };
    match arguments.command {
        KvCommand::Get { target, raw, key } => get(&existing(&target).await?, &target, raw, &key).await,
        KvCommand::Set { target, file, key, value } => {
            let value = match value {
                Some(value) => value.into_bytes(),
                None => read_value(file.as_deref())?,
            };
            let component = open(store, StashConfig::default()).await?.component(&target.id);
            let committed = component.commit(stash_core::Batch::new().set(&key, value)).await?;
            if target.json {
                writeln!(stdout(), "{}", json!({ "key": key, "version": committed.version.0 }))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        KvCommand::Delete { target, key } => {
            let deleted = existing(&target).await?.delete(&key).await?;
            if target.json {
                writeln!(stdout(), "{}", json!({ "key": key, "deleted": deleted }))?;
            } else if !deleted {
                say_absent(&target, &key);
            }
            Ok(yes_or_no(deleted))
        }
        KvCommand::Exists { target, key } => {
            let exists = existing(&target).await?.exists(&key).await?;
            if target.json {
                writeln!(stdout(), "{}", json!({ "key": key, "exists": exists }))?;
            } else {
                writeln!(stdout(), "{exists}")?;
            }
            Ok(yes_or_no(exists))
        }
        KvCommand::List { target, long, prefix } => list(&existing(&target).await?, &target, long, prefix).await,
        KvCommand::Usage { target } => usage(existing(&target).await?.usage("").await?, &target),
    }
}

fn yes_or_no(yes: bool) -> ExitCode {
    if yes { ExitCode::SUCCESS } else { ExitCode::from(NO) }
}

fn say_absent(target: &KvTarget, key: &str) {
    eprintln!("{} has no key {}", target.id, output::key(key));
}

async fn get(component: &ComponentStore, target: &KvTarget, raw: bool, key: &str) -> Result<ExitCode> {
    let Some(record) = component.read_one(key).await? else {
        if target.json {
            writeln!(stdout(), "null")?;
        } else {
            say_absent(target, key);
        }
        return Ok(ExitCode::from(NO));
    };
    let mut out = stdout().lock();
    if target.json {
        let mut row = Map::new();
        row.insert("key".into(), json!(key));
        row.insert("version".into(), json!(record.version.0));
        row.insert("bytes".into(), json!(record.value.len()));
        let (name, value) = output::value_json(&record.value);
        row.insert(name.into(), value);
        writeln!(out, "{}", Value::Object(row))?;
    } else if raw {
        out.write_all(&record.value)?;
        out.flush()?;
    } else if let Some(text) = output::as_plain_text(&record.value) {
        writeln!(out, "{text}")?;
    } else {
        writeln!(out, "{}", output::hex(&record.value))?;
        eprintln!("(hex of {} bytes; --raw writes them as they are)", record.value.len());
    }
    Ok(ExitCode::SUCCESS)
}

/// The bytes of a file or of standard input, up to one more than a value may have.
fn read_value(file: Option<&Path>) -> Result<Vec<u8>> {
    let limit = u64::try_from(DEFAULT_MAX_VALUE_BYTES)?.saturating_add(1);
    let mut value = Vec::new();
    match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let opened = File::open(file).with_context(|| format!("cannot read {}", file.display()))?;
            opened.take(limit).read_to_end(&mut value).with_context(|| format!("cannot read {}", file.display()))?;
        }
        None => {
            if stdin().is_terminal() {
                eprintln!("(type the value, then Ctrl-D)");
            }
            stdin().lock().take(limit).read_to_end(&mut value).context("cannot read standard input")?;
        }
    }
    Ok(value)
}

async fn list(component: &ComponentStore, target: &KvTarget, long: bool, prefix: String) -> Result<ExitCode> {
    let mut request = ListRequest { prefix, after: None, limit: PAGE, max_bytes: usize::MAX };
    let mut out = stdout().lock();
    let mut rows = Vec::new();
    loop {
        let page = component.scan_keys(&request).await?;
        if long {
            for key in &page.keys {
                // Gone since the page was read: then it is not listed.
                let Some(record) = component.read_one(key).await? else { continue };
                if target.json {
                    rows.push(json!({ "key": key, "version": record.version.0, "bytes": record.value.len() }));
                } else {
                    let size = ByteSize(u64::try_from(record.value.len())?).to_string();
                    writeln!(out, "{:>8}  {size:>10}  {}", record.version.0, output::key(key))?;
                }
            }
        } else if target.json {
            rows.extend(page.keys.iter().map(|key| json!(key)));
        } else {
            for key in &page.keys {
                writeln!(out, "{}", output::key(key))?;
            }
        }
        match page.keys.last() {
            Some(last) if page.more => request.after = Some(last.clone()),
            _ => break,
        }
    }
    if target.json {
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
    }
    Ok(ExitCode::SUCCESS)
}

fn usage(usage: Usage, target: &KvTarget) -> Result<ExitCode> {
    let mut out = stdout().lock();
    if target.json {
        let row = json!({ "id": target.id, "keys": usage.key_count, "bytes": usage.used_bytes });
        writeln!(out, "{row}")?;
    } else {
        let keys = if usage.key_count == 1 { "key" } else { "keys" };
        let size = ByteSize(usage.used_bytes);
        writeln!(out, "{} {keys}, {size} ({} bytes)", usage.key_count, usage.used_bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}
