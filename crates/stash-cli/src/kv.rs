//! `stash kv`: a person looks at and fixes one component's data, through the same chain that the component uses.

use std::fs::File;
use std::io::{IsTerminal, Read, Write, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use bytesize::ByteSize;
use serde_json::{Map, Value, json};
use stash_core::limits::DEFAULT_MAX_VALUE_BYTES;
use stash_core::{Batch, ComponentId, ComponentStorage, ListRequest, Usage};
use stash_host::{ComponentStore, StashConfig};

use crate::args::{KvArguments, KvCommand, StoreArguments};
use crate::output::{self, JsonRows};
use crate::store::{open, open_existing};

/// What grep says too: nothing wrong, but no.
const NO: u8 = 1;

/// Keys read at once.
const PAGE: usize = 1000;

/// Whose data, and how to print.
struct Target {
    id: ComponentId,
    json: bool,
}

pub(crate) async fn kv(store: &StoreArguments, arguments: KvArguments) -> Result<ExitCode> {
    let target = Target { id: arguments.id()?.clone(), json: arguments.json };
    let existing = async || -> Result<ComponentStore> { Ok(open_existing(store).await?.component(&target.id)) };
    match arguments.command {
        KvCommand::Get { raw: true, .. } if target.json => bail!("--raw and --json do not go together"),
        KvCommand::Get { raw, key } => get(&existing().await?, &target, raw, &key).await,
        KvCommand::Set { file, key, value } => {
            let value = match value {
                Some(value) => value.into_bytes(),
                None => read_value(file.as_deref())?,
            };
            let component = open(store, StashConfig::default()).await?.component(&target.id);
            let committed = component.commit(Batch::new().set(&key, value)).await?;
            if target.json {
                writeln!(stdout(), "{}", json!({ "key": key, "version": committed.version.0 }))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        KvCommand::Delete { key } => {
            let deleted = existing().await?.delete(&key).await?;
            if target.json {
                writeln!(stdout(), "{}", json!({ "key": key, "deleted": deleted }))?;
            } else if !deleted {
                say_absent(&target, &key);
            }
            Ok(yes_or_no(deleted))
        }
        KvCommand::Exists { key } => {
            let exists = existing().await?.exists(&key).await?;
            if target.json {
                writeln!(stdout(), "{}", json!({ "key": key, "exists": exists }))?;
            } else {
                writeln!(stdout(), "{exists}")?;
            }
            Ok(yes_or_no(exists))
        }
        KvCommand::List { long, prefix } => list(&existing().await?, &target, long, prefix).await,
        KvCommand::Usage => usage(existing().await?.usage("").await?, &target),
    }
}

fn yes_or_no(yes: bool) -> ExitCode {
    if yes { ExitCode::SUCCESS } else { ExitCode::from(NO) }
}

fn say_absent(target: &Target, key: &str) {
    output::say(&format!("{} has no key {}", output::key(target.id.as_str()), output::key(key)));
}

async fn get(component: &ComponentStore, target: &Target, raw: bool, key: &str) -> Result<ExitCode> {
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
        output::say(&format!("(hex of {} bytes; --raw writes them as they are)", record.value.len()));
    }
    Ok(ExitCode::SUCCESS)
}

/// The bytes of a file or of standard input.
fn read_value(file: Option<&Path>) -> Result<Vec<u8>> {
    let (name, mut input): (String, Box<dyn Read>) = match file.filter(|file| *file != Path::new("-")) {
        Some(file) => {
            let name = file.display().to_string();
            let opened = File::open(file).with_context(|| format!("cannot read {name}"))?;
            (name, Box::new(opened))
        }
        None => {
            if stdin().is_terminal() {
                output::say("(type the value, then Ctrl-D)");
            }
            ("standard input".to_owned(), Box::new(stdin()))
        }
    };
    let limit = u64::try_from(DEFAULT_MAX_VALUE_BYTES)?;
    let mut value = Vec::new();
    input.by_ref().take(limit + 1).read_to_end(&mut value).with_context(|| format!("cannot read {name}"))?;
    if value.len() > DEFAULT_MAX_VALUE_BYTES {
        bail!("{name} has more than {limit} bytes, the largest value that can be stored");
    }
    Ok(value)
}

async fn list(component: &ComponentStore, target: &Target, long: bool, prefix: String) -> Result<ExitCode> {
    let mut request = ListRequest { prefix, after: None, limit: PAGE, max_bytes: usize::MAX };
    let mut out = stdout().lock();
    let mut rows = target.json.then(|| JsonRows::new(stdout()));
    loop {
        let page = component.scan_keys(&request).await?;
        for key in &page.keys {
            let record = if long { component.read_one(key).await? } else { None };
            match (&mut rows, record) {
                // Gone since the page was read: then it is not listed.
                (_, None) if long => {}
                (Some(rows), Some(record)) => {
                    rows.row(&json!({ "key": key, "version": record.version.0, "bytes": record.value.len() }))?;
                }
                (Some(rows), None) => rows.row(&json!(key))?,
                (None, Some(record)) => {
                    let size = ByteSize(u64::try_from(record.value.len())?).to_string();
                    writeln!(out, "{:>8}  {size:>10}  {}", record.version.0, output::key(key))?;
                }
                (None, None) => writeln!(out, "{}", output::key(key))?,
            }
        }
        match page.keys.last() {
            Some(last) if page.more => request.after = Some(last.clone()),
            _ => break,
        }
    }
    if let Some(rows) = rows {
        rows.end()?;
    }
    Ok(ExitCode::SUCCESS)
}

fn usage(usage: Usage, target: &Target) -> Result<ExitCode> {
    let mut out = stdout().lock();
    if target.json {
        let row = json!({
            "id": target.id,
            "key_count": usage.key_count,
            "used_bytes": usage.used_bytes,
            "quota_bytes": usage.quota_bytes,
        });
        writeln!(out, "{row}")?;
    } else {
        let keys = if usage.key_count == 1 { "key" } else { "keys" };
        writeln!(out, "{} {keys}, {} ({} bytes)", usage.key_count, ByteSize(usage.used_bytes), usage.used_bytes)?;
    }
    Ok(ExitCode::SUCCESS)
}
