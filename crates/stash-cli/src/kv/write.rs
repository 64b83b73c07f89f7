//! `stash kv set`, `delete`, `increment`, `append`, `touch` and `clear`: one commit each, but for `clear`. What a
//! condition refuses must never be stored, and is a "no" and not an error.

use std::fs::File;
use std::io::{IsTerminal, Read, Write, stderr, stdin, stdout};
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use stash_core::limits::MAX_VALUE_BYTES;
use stash_core::{
    Batch, Committed, ComponentStorage, Condition, Expiry, KeyRange, SetOptions, StorageError, StorageExt, Version,
};
use stash_host::ComponentStore;

use crate::args::{SetArguments, ValueArguments};
use crate::confirm::confirm;
use crate::output;
use crate::target::{NO, Target, yes_or_no};

pub(super) async fn set(target: &Target<'_>, arguments: SetArguments) -> Result<ExitCode> {
    let options = SetOptions {
        expiry: arguments.expiry.get(),
        content_type: arguments.content_type.clone(),
        attributes: arguments.attributes()?,
    };
    let condition = arguments.condition.get();
    let SetArguments { key, value, .. } = arguments;
    let value = read_value(value)?;
    let component = match condition {
        // In a new store it could not hold.
        Some(Condition::Present | Condition::Version(_)) => target.existing().await?,
        _ => target.existing_or_new().await?,
    };
    let expiry = options.expiry;
    let batch = under(&key, condition).set_with(&key, value, options);
    let outcome = component.commit(batch).await;
    say_if_passed(target, &component, expiry, &outcome);
    tell_version(target, &key, outcome)
}

pub(super) async fn delete(target: &Target<'_>, key: &str, if_version: Option<Version>) -> Result<ExitCode> {
    let component = target.existing().await?;
    let row = |deleted: bool| Map::from_iter([("key".into(), json!(key)), ("deleted".into(), json!(deleted))]);
    let outcome = component.commit(under(key, if_version.map(Condition::Version)).delete(key)).await;
    let deleted = match outcome {
        Ok(committed) => committed.existed().contains(&true),
        Err(error) => return target.refused(error, row(false)),
    };
    if target.json {
        writeln!(stdout(), "{}", Value::Object(row(deleted)))?;
    } else if !deleted {
        target.say_absent(key);
    }
    Ok(yes_or_no(deleted))
}

pub(super) async fn increment(target: &Target<'_>, key: &str, delta: i64) -> Result<ExitCode> {
    let component = target.existing_or_new().await?;
    let committed = component.commit(Batch::new().increment(key, delta)).await?;
    let number = committed.outcomes.first().and_then(|outcome| outcome.number);
    let number = number.context("the store did not tell the number; 'stash kv get' shows it")?;
    if target.json {
        writeln!(stdout(), "{}", json!({ "key": key, "number": number, "version": committed.version.0 }))?;
    } else {
        writeln!(stdout(), "{number}")?;
    }
    Ok(ExitCode::SUCCESS)
}

pub(super) async fn append(target: &Target<'_>, key: &str, value: ValueArguments) -> Result<ExitCode> {
    let value = read_value(value)?;
    let component = target.existing_or_new().await?;
    tell_version(target, key, component.commit(Batch::new().append(key, value)).await)
}

pub(super) async fn touch(target: &Target<'_>, key: &str, expiry: Expiry) -> Result<ExitCode> {
    let component = target.existing().await?;
    let outcome = component.commit(Batch::new().expire(key, expiry)).await;
    say_if_passed(target, &component, expiry, &outcome);
    tell_version(target, key, outcome)
}

pub(super) async fn clear(target: &Target<'_>, prefix: &str, yes: bool) -> Result<ExitCode> {
    let component = target.existing().await?;
    if !yes {
        let count = component.count(&KeyRange::prefix(prefix)).await?;
        let which =
            if prefix.is_empty() { String::new() } else { format!(" whose keys begin with {}", output::key(prefix)) };
        let question = format!("remove {}{which} from {}", output::counted(count, "record"), target.name());
        if !confirm(&question)? {
            return Ok(ExitCode::from(NO));
        }
    }
    let mut removed = 0;
    let watched = stderr().is_terminal();
    loop {
        let part = component.clear(prefix).await.with_context(|| {
            format!("stopped after {}; the same command goes on with the rest", output::counted(removed, "record"))
        })?;
        removed += part.removed;
        if watched && (part.more || removed > part.removed) {
            // Over itself; and gone before the answer is printed.
            let progress = if part.more { format!("{removed} removed ...") } else { String::new() };
            let _ = write!(stderr(), "\r{progress:<40}\r");
        }
        if !part.more {
            break;
        }
    }
    if target.json {
        writeln!(stdout(), "{}", json!({ "prefix": prefix, "removed": removed }))?;
    } else {
        writeln!(stdout(), "removed {}", output::counted(removed, "record"))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn under(key: &str, condition: Option<Condition>) -> Batch {
    match condition {
        Some(condition) => Batch::new().require(key, condition),
        None => Batch::new(),
    }
}

/// Tells a script the new version; or anybody why there is none.
fn tell_version(target: &Target<'_>, key: &str, outcome: Result<Committed, StorageError>) -> Result<ExitCode> {
    let row = |version: Option<u64>| Map::from_iter([("key".into(), json!(key)), ("version".into(), json!(version))]);
    match outcome {
        Ok(committed) => {
            if target.json {
                writeln!(stdout(), "{}", Value::Object(row(Some(committed.version.0))))?;
            }
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => target.refused(error, row(None)),
    }
}

/// A moment that has passed removes the record, which is seldom what a person meant.
fn say_if_passed(
    target: &Target<'_>,
    component: &ComponentStore,
    expiry: Expiry,
    outcome: &Result<Committed, StorageError>,
) {
    if let Expiry::At(moment) = expiry
        && moment <= component.now()
        && outcome.is_ok()
        && !target.json
    {
        output::say(&format!("({} has passed: there is no such record now)", crate::times::moment(moment)));
    }
}

/// The bytes that the command line, a file or standard input says.
fn read_value(arguments: ValueArguments) -> Result<Vec<u8>> {
    if let Some(value) = arguments.value {
        return Ok(value.into_bytes());
    }
    let (name, mut input): (String, Box<dyn Read>) = match arguments.file.filter(|file| file != Path::new("-")) {
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
    let limit = u64::try_from(arguments.max_value)?;
    let mut value = Vec::new();
    input.by_ref().take(limit + 1).read_to_end(&mut value).with_context(|| format!("cannot read {name}"))?;
    if value.len() > arguments.max_value {
        let more = if arguments.max_value < MAX_VALUE_BYTES { "; --max-value allows larger ones" } else { "" };
        bail!("{name} has more than {limit} bytes, the most that this command stores in one value{more}");
    }
    Ok(value)
}
