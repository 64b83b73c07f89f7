//! `stash status`: how the store is, and what a component can do in it. It only looks.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use bytesize::ByteSize;
use serde_json::{Value, json};
use stash_core::{Capabilities, ComponentId, ComponentStorage, Usage};

use crate::args::{StatusArguments, StoreArguments};
use crate::store::{components, has_data, open_existing};
use crate::target::yes_or_no;
use crate::{output, times};

pub(crate) async fn status(store: &StoreArguments, arguments: StatusArguments) -> Result<ExitCode> {
    let url = store.url()?;
    let stash = open_existing(store).await?;
    // Reading comes first: an engine may notice only then that it cannot.
    let read = components(&stash).await;
    let (engine, status) = (stash.engine(), stash.status());
    let failure = status.failure.clone().or_else(|| read.as_ref().err().map(|error| format!("{error:#}")));
    let with_data: Vec<_> = read.unwrap_or_default().into_iter().filter(has_data).collect();
    let keys: u64 = with_data.iter().map(|component| component.usage.key_count).sum();
    let bytes: u64 = with_data.iter().map(|component| component.usage.used_bytes).sum();
    let component = match &arguments.id {
        Some(id) if failure.is_none() => {
            let component = stash.component(id);
            Some((id, component.usage("").await?, component.capabilities()))
        }
        _ => None,
    };

    let mut out = stdout().lock();
    if arguments.json {
        let mut row = json!({
            "store": url.to_string(),
            "engine": engine.name,
            "durable": engine.durable,
            "healthy": failure.is_none(),
            "failure": failure,
            "disk_bytes": status.disk_bytes,
            "component_count": with_data.len(),
            "key_count": keys,
            "used_bytes": bytes,
        });
        if let (Some((id, usage, capabilities)), Some(row)) = (&component, row.as_object_mut()) {
            row.insert("component".into(), component_json(id, usage, capabilities));
        }
        writeln!(out, "{row}")?;
        return Ok(yes_or_no(failure.is_none()));
    }
    writeln!(out, "store       {}", output::one_line(&url.to_string()))?;
    writeln!(out, "engine      {}, {}", engine.name, durability(engine.durable))?;
    writeln!(out, "health      {}", failure.as_deref().map_or("good".to_owned(), output::one_line))?;
    let disk = status.disk_bytes.map_or("not known".to_owned(), |bytes| ByteSize(bytes).to_string());
    writeln!(out, "on disk     {disk}")?;
    writeln!(out, "components  {} with data", with_data.len())?;
    writeln!(out, "stored      {}, {}", output::counted(keys, "key"), ByteSize(bytes))?;
    if let Some((id, usage, capabilities)) = &component {
        print_component(&mut out, id, usage, capabilities)?;
    }
    Ok(yes_or_no(failure.is_none()))
}

fn durability(durable: bool) -> &'static str {
    if durable { "what is acknowledged is on disk" } else { "gone when the process ends" }
}

fn component_json(id: &ComponentId, usage: &Usage, capabilities: &Capabilities) -> Value {
    let limits = &capabilities.limits;
    json!({
        "id": id,
        "key_count": usage.key_count,
        "used_bytes": usage.used_bytes,
        "durable": capabilities.durable,
        "transactions": capabilities.transactions,
        "history": capabilities.history,
        "expiry": capabilities.expiry,
        "limits": {
            "key_bytes": limits.key_bytes,
            "value_bytes": limits.value_bytes,
            "quota_bytes": limits.quota_bytes,
            "batch_items": limits.batch_items,
            "batch_bytes": limits.batch_bytes,
            "read_keys": limits.read_keys,
            "page_items": limits.page_items,
            "page_bytes": limits.page_bytes,
            "open_transactions": limits.open_transactions,
            "transaction_age_ms": u64::try_from(limits.transaction_age.as_millis()).unwrap_or(u64::MAX),
            "collections": limits.collections,
        },
    })
}

fn print_component(out: &mut impl Write, id: &ComponentId, usage: &Usage, capabilities: &Capabilities) -> Result<()> {
    let yes = |yes: bool| if yes { "yes" } else { "no" };
    let size = |bytes: usize| ByteSize(u64::try_from(bytes).unwrap_or(u64::MAX)).to_string();
    let limits = &capabilities.limits;
    writeln!(out, "\n{}", output::key(id.as_str()))?;
    let rows = [
        ("stored", format!("{}, {}", output::counted(usage.key_count, "key"), ByteSize(usage.used_bytes))),
        ("durable", yes(capabilities.durable).to_owned()),
        ("transactions", yes(capabilities.transactions).to_owned()),
        ("history", yes(capabilities.history).to_owned()),
        ("expiry", yes(capabilities.expiry).to_owned()),
        ("largest key", size(limits.key_bytes)),
        ("largest value", size(limits.value_bytes)),
        ("quota", limits.quota_bytes.map_or("none".to_owned(), |quota| ByteSize(quota).to_string())),
        ("batch", format!("{} changes, {}", limits.batch_items, size(limits.batch_bytes))),
        ("read at once", format!("{} keys", limits.read_keys)),
        ("page", format!("{} records, {}", limits.page_items, size(limits.page_bytes))),
        ("open at once", format!("{} transactions", limits.open_transactions)),
        ("a transaction", times::span(limits.transaction_age)),
        ("collections", limits.collections.to_string()),
    ];
    for (name, value) in rows {
        writeln!(out, "  {name:<13}  {value}")?;
    }
    Ok(())
}
