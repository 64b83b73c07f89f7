//! `stash ids`: which components have data, and how much.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use bytesize::ByteSize;
use serde_json::json;

use crate::args::{IdsArguments, StoreArguments};
use crate::store::open_existing;

/// Components read at once.
const PAGE: usize = 1000;

pub(crate) async fn ids(store: &StoreArguments, arguments: IdsArguments) -> Result<ExitCode> {
    let stash = open_existing(store).await?;
    let mut all = Vec::new();
    loop {
        let page = stash.components(all.last().map(|found: &stash_core::NamespaceUsage| &found.id), PAGE).await?;
        let done = page.len() < PAGE;
        all.extend(page);
        if done {
            break;
        }
    }

    let mut out = stdout().lock();
    if arguments.json {
        let rows: Vec<_> = all
            .iter()
            .map(|found| {
                json!({
                    "id": found.id,
                    "keys": found.usage.key_count,
                    "bytes": found.usage.used_bytes,
                    "version": found.version.0,
                })
            })
            .collect();
        writeln!(out, "{}", serde_json::to_string_pretty(&rows)?)?;
        return Ok(ExitCode::SUCCESS);
    }
    if all.is_empty() {
        eprintln!("no component has stored anything in {}", store.store);
        return Ok(ExitCode::SUCCESS);
    }
    let width = all.iter().map(|found| found.id.as_str().chars().count()).max().unwrap_or_default().max("ID".len());
    writeln!(out, "{:<width$}  {:>10}  {:>10}", "ID", "KEYS", "SIZE")?;
    for found in &all {
        let size = ByteSize(found.usage.used_bytes).to_string();
        writeln!(out, "{:<width$}  {:>10}  {:>10}", found.id, found.usage.key_count, size)?;
    }
    Ok(ExitCode::SUCCESS)
}
