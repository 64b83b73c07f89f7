//! `stash ids`: which components have data, and how much. It only looks.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use bytesize::ByteSize;
use serde_json::json;
use stash_host::StashConfig;

use crate::args::{IdsArguments, StoreArguments};
use crate::output::JsonRows;
use crate::store::{components, has_data, open_existing};

pub(crate) async fn ids(store: &StoreArguments, arguments: IdsArguments) -> Result<ExitCode> {
    let stash = open_existing(store, StashConfig::default()).await?;
    let mut found = components(&stash).await?;
    found.retain(|component| arguments.all || has_data(component));

    let mut out = stdout().lock();
    if arguments.json {
        let mut rows = JsonRows::new(out);
        for component in &found {
            rows.row(&json!({
                "id": component.id,
                "key_count": component.usage.key_count,
                "used_bytes": component.usage.used_bytes,
                "version": component.version.0,
            }))?;
        }
        rows.end()?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        crate::output::say(&format!("no component has data in {}", store.url()?));
        return Ok(ExitCode::SUCCESS);
    }
    let shown: Vec<String> = found.iter().map(|component| crate::output::key(component.id.as_str())).collect();
    let width = shown.iter().map(|id| id.chars().count()).max().unwrap_or_default().max("ID".len());
    writeln!(out, "{:<width$}  {:>10}  {:>10}", "ID", "KEYS", "SIZE")?;
    for (id, component) in shown.iter().zip(&found) {
        let size = ByteSize(component.usage.used_bytes).to_string();
        writeln!(out, "{id:<width$}  {:>10}  {size:>10}", component.usage.key_count)?;
    }
    Ok(ExitCode::SUCCESS)
}
