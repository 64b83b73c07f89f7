//! `stash status`: how the store is, and what a component can do in it. It only looks.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::Result;
use bytesize::ByteSize;
use serde_json::{Value, json};
use stash_core::{Capabilities, ComponentId, ComponentStorage, NamespaceUsage, Usage};
use stash_host::{StashConfig, StoreUrl};

use crate::args::{StatusArguments, StoreArguments};
use crate::store::{components, has_data, open_existing};
use crate::target::yes_or_no;
use crate::{output, times};

pub(crate) async fn status(store: &StoreArguments, arguments: StatusArguments) -> Result<ExitCode> {
    let url = store.url()?;
    let stash = open_existing(store, StashConfig::default()).await?;
    // Reading comes first: an engine may notice only then that it cannot.
    let read = components(&stash).await;
    let own = |found: &NamespaceUsage| arguments.id.as_ref().is_some_and(|id| found.id == *id);
    let history = read.as_ref().ok().and_then(|found| found.iter().find(|found| own(found)));
    let (version, collections) = history.map_or((0, 0), |found| (found.version.0, found.collections));
    let (engine, status) = (stash.engine(), stash.status());
    let failure = status.failure.clone().or_else(|| read.as_ref().err().map(|error| format!("{error:#}")));
    let with_data: Vec<_> = read.unwrap_or_default().into_iter().filter(has_data).collect();
    let keys: u64 = with_data.iter().map(|component| component.usage.key_count).sum();
    let bytes: u64 = with_data.iter().map(|component| component.usage.used_bytes).sum();
    let component = match &arguments.id {
        Some(id) if failure.is_none() => {
            let component = stash.component(id);
            let usage = component.usage("").await?;
            Some(Component { id, usage, version, collections, capabilities: component.capabilities() })
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
        if let (Some(component), Some(row)) = (&component, row.as_object_mut()) {
            row.insert("component".into(), component.json());
        }
        writeln!(out, "{row}")?;
        return Ok(yes_or_no(failure.is_none()));
    }
    writeln!(out, "store       {}", output::one_line(&url.to_string()))?;
    writeln!(
        out,
        "engine      {}, {}",
        engine.name,
        durability(engine.durable, url.path().is_some() || url == StoreUrl::Memory)
    )?;
    writeln!(out, "health      {}", failure.as_deref().map_or("good".to_owned(), output::one_line))?;
    let disk = status.disk_bytes.map_or("not known".to_owned(), |bytes| ByteSize(bytes).to_string());
    writeln!(out, "on disk     {disk}")?;
    writeln!(out, "components  {} with data", with_data.len())?;
    writeln!(out, "stored      {}, {}", output::counted(keys, "key"), ByteSize(bytes))?;
    if let Some(component) = &component {
        component.print(&mut out)?;
    }
    Ok(yes_or_no(failure.is_none()))
}

fn durability(durable: bool, is_here: bool) -> &'static str {
    match (durable, is_here) {
        (true, _) => "what is acknowledged is on disk",
        (false, true) => "gone when the process ends",
        (false, false) => "a crash of the server may lose what was acknowledged last",
    }
}

/// What a component stores, and can do.
struct Component<'a> {
    id: &'a ComponentId,
    usage: Usage,
    version: u64,
    collections: u32,
    capabilities: Capabilities,
}

impl Component<'_> {
    fn json(&self) -> Value {
        let Capabilities { limits, .. } = &self.capabilities;
        json!({
            "id": self.id,
            "version": self.version,
            "key_count": self.usage.key_count,
            "used_bytes": self.usage.used_bytes,
            "collection_count": self.collections,
            "durable": self.capabilities.durable,
            "transactions": self.capabilities.transactions,
            "history": self.capabilities.history,
            "expiry": self.capabilities.expiry,
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

    fn print(&self, out: &mut impl Write) -> Result<()> {
        let yes = |yes: bool| if yes { "yes" } else { "no" };
        let size = |bytes: usize| ByteSize(u64::try_from(bytes).unwrap_or(u64::MAX)).to_string();
        let most = |what: String| format!("at most {what}");
        let Self { usage, capabilities, .. } = self;
        let limits = &capabilities.limits;
        writeln!(out, "\n{}", output::key(self.id.as_str()))?;
        let rows = [
            ("version", self.version.to_string()),
            ("stored", format!("{}, {}", output::counted(usage.key_count, "key"), ByteSize(usage.used_bytes))),
            ("collections", format!("{}, at most {}", self.collections, limits.collections)),
            ("durable", yes(capabilities.durable).to_owned()),
            ("transactions", yes(capabilities.transactions).to_owned()),
            ("history", yes(capabilities.history).to_owned()),
            ("expiry", yes(capabilities.expiry).to_owned()),
            ("quota", limits.quota_bytes.map_or("none".to_owned(), |quota| most(ByteSize(quota).to_string()))),
            ("a key", most(size(limits.key_bytes))),
            ("a value", most(size(limits.value_bytes))),
            ("a batch", most(format!("{} changes, {}", limits.batch_items, size(limits.batch_bytes)))),
            ("a read", most(format!("{} keys", limits.read_keys))),
            ("a page", most(format!("{} records, {}", limits.page_items, size(limits.page_bytes)))),
            ("open at once", most(format!("{} transactions", limits.open_transactions))),
            ("a transaction", most(times::span(limits.transaction_age))),
        ];
        for (name, value) in rows {
            writeln!(out, "  {name:<13}  {value}")?;
        }
        Ok(())
    }
}
