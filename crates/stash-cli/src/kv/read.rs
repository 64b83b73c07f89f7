//! `stash kv get`, `exists`, `history` and `usage`: what one key, or the component, holds. They must never change anything.

use std::io::{BufWriter, Write, stdout};
use std::process::ExitCode;

use anyhow::{Result, bail};
use bytesize::ByteSize;
use serde_json::{Value, json};
use stash_core::{ComponentStorage, Record, StorageExt, Version, VersionsRequest};
use stash_host::ComponentStore;

use crate::output::{self, JsonRows};
use crate::target::{NO, Target, yes_or_no};
use crate::times;

/// Versions read at once.
const PAGE: usize = 100;

/// What of a record to print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Show {
    /// The value, so that a terminal can show it.
    Value,
    /// The value's bytes as they are.
    Raw,
    /// Everything but the value; with JSON, everything.
    Metadata,
}

pub(super) async fn get(target: &Target<'_>, key: &str, at: Option<Version>, show: Show) -> Result<ExitCode> {
    let component = target.existing().await?;
    let record = match at {
        Some(version) => {
            let present = component.snapshot().await?.version().await?;
            if version > present {
                bail!("{} is at version {present}; there is no version {version} yet", output::key(target.id.as_str()));
            }
            component.read_at(key, version).await?
        }
        None => component.read_one(key).await?,
    };
    let Some(record) = record else {
        if target.json {
            writeln!(stdout(), "null")?;
        } else {
            target.say_absent(key);
        }
        return Ok(ExitCode::from(NO));
    };
    let mut out = stdout().lock();
    if target.json {
        let mut row = output::record_json(key, &record);
        if show == Show::Metadata {
            output::add_metadata(&mut row, &record.metadata);
        }
        writeln!(out, "{}", Value::Object(row))?;
        return Ok(ExitCode::SUCCESS);
    }
    match show {
        Show::Metadata => print_metadata(&mut out, &record)?,
        Show::Raw => {
            out.write_all(&record.value)?;
            out.flush()?;
        }
        Show::Value => match output::as_plain_text(&record.value) {
            Some(text) => writeln!(out, "{text}")?,
            None => {
                writeln!(out, "{}", output::hex(&record.value))?;
                output::say(&format!(
                    "(hex of {}; --raw writes the bytes as they are)",
                    output::size(record.value.len())
                ));
            }
        },
    }
    Ok(ExitCode::SUCCESS)
}

fn print_metadata(out: &mut impl Write, record: &Record) -> Result<()> {
    let metadata = &record.metadata;
    let known = |time: Option<_>| time.map_or("not known".to_owned(), times::moment);
    writeln!(out, "version       {}", record.version)?;
    writeln!(out, "size          {}", output::size(record.value.len()))?;
    writeln!(out, "created       {}", known(metadata.created))?;
    writeln!(out, "updated       {}", known(metadata.updated))?;
    writeln!(out, "expires       {}", metadata.expires.map_or("never".to_owned(), times::moment))?;
    if let Some(content_type) = metadata.content_type() {
        writeln!(out, "content type  {}", output::key(content_type))?;
    }
    let mut title = "attributes";
    for (name, value) in metadata.attributes() {
        writeln!(out, "{title:<12}  {}", output::attribute(name, value))?;
        title = "";
    }
    Ok(())
}

pub(super) async fn exists(target: &Target<'_>, key: &str) -> Result<ExitCode> {
    let exists = target.existing().await?.exists(key).await?;
    if target.json {
        writeln!(stdout(), "{}", json!({ "key": key, "exists": exists }))?;
    } else {
        writeln!(stdout(), "{exists}")?;
    }
    Ok(yes_or_no(exists))
}

pub(super) async fn history(target: &Target<'_>, key: &str, limit: Option<usize>) -> Result<ExitCode> {
    let component = target.existing().await?;
    let mut left = limit.unwrap_or(usize::MAX);
    let mut request = VersionsRequest { key: key.to_owned(), at_most: None, limit: 0 };
    let mut rows = target.json.then(|| JsonRows::new(BufWriter::new(stdout())));
    let mut out = BufWriter::new(stdout());
    let mut any = false;
    loop {
        request.limit = left.min(PAGE);
        let page = component.versions(&request).await?;
        if rows.is_none() && !any && !page.versions.is_empty() {
            writeln!(out, "{}", output::RECORD_HEADING)?;
        }
        any |= !page.versions.is_empty();
        left = left.saturating_sub(page.versions.len());
        let last = page.versions.last().map(|last| last.version.0);
        for found in &page.versions {
            match (&mut rows, &found.record) {
                (Some(rows), Some(record)) => {
                    let mut row = output::record_json(key, record);
                    output::add_metadata(&mut row, &record.metadata);
                    rows.row(&Value::Object(row))?;
                }
                (Some(rows), None) => {
                    rows.row(&json!({ "key": key, "version": found.version.0, "deleted": true }))?;
                }
                (None, Some(record)) => writeln!(out, "{}", output::record_columns(record))?,
                (None, None) => writeln!(out, "{}", output::deleted_columns(found.version))?,
            }
        }
        // So that a pipe ends the command as soon as nobody reads.
        out.flush()?;
        match last.and_then(|last| last.checked_sub(1)) {
            Some(before) if page.more && left > 0 => request.at_most = Some(Version(before)),
            _ => {
                if !target.json {
                    say_what_is_missing(target, &component, key, any, page.forgotten).await?;
                }
                break;
            }
        }
    }
    if let Some(rows) = rows {
        rows.end()?;
    }
    Ok(yes_or_no(any))
}

/// Tells a person why a history is not longer.
async fn say_what_is_missing(
    target: &Target<'_>,
    component: &ComponentStore,
    key: &str,
    any: bool,
    forgotten: bool,
) -> Result<()> {
    if !any {
        target.say_absent(key);
    }
    let retention = component.collection_info(target.collection.as_ref()).await?.settings.retention;
    if !retention.keeps_history() {
        output::say("(no earlier versions are kept here; 'stash collections configure --keep-versions' changes that)");
    } else if forgotten {
        output::say("(older versions are no longer kept)");
    }
    Ok(())
}

pub(super) async fn usage(target: &Target<'_>) -> Result<ExitCode> {
    let component = target.existing().await?;
    let usage = component.usage("").await?;
    let mut out = stdout();
    if target.json {
        let row = json!({
            "id": target.id,
            "key_count": usage.key_count,
            "used_bytes": usage.used_bytes,
            "quota_bytes": usage.quota_bytes,
        });
        writeln!(out, "{row}")?;
    } else {
        let keys = output::counted(usage.key_count, "key");
        writeln!(out, "{keys}, {} ({} bytes)", ByteSize(usage.used_bytes), usage.used_bytes)?;
    }
    if usage.used_bytes == 0 {
        target.say_if_unknown(&component).await?;
    }
    Ok(ExitCode::SUCCESS)
}
