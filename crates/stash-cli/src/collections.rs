//! `stash collections`: the named stores inside one component. A deletion of what holds records must never happen
//! unasked.

use std::io::{Write, stdout};
use std::process::ExitCode;

use anyhow::{Result, bail};
use serde_json::{Value, json};
use stash_core::{
    CollectionInfo, CollectionName, CollectionSettings, ComponentStorage, Retention, StorageError, StorageExt,
};
use stash_host::ComponentStore;

use crate::args::{CollectionsArguments, CollectionsCommand, SettingsArguments, StoreArguments};
use crate::confirm::confirm;
use crate::output::JsonRows;
use crate::target::{NO, Target, count_all};
use crate::{hints, output, times};

pub(crate) async fn collections(store: &StoreArguments, arguments: CollectionsArguments) -> Result<ExitCode> {
    let target = Target::new(store, &arguments.target, None)?;
    let done = match arguments.command {
        CollectionsCommand::List { parent } => list(&target, parent.as_ref()).await,
        CollectionsCommand::Create { name, settings } => create(&target, &name, &settings).await,
        CollectionsCommand::Info { name } => info(&target, name.as_ref()).await,
        CollectionsCommand::Configure { name, settings, no_history, remove_attributes } => {
            let change = Change { settings, no_history, remove_attributes };
            configure(&target, name.as_ref(), &change).await
        }
        CollectionsCommand::Delete { name, recursive, yes } => delete(&target, &name, recursive, yes).await,
    };
    done.or_else(|error| no_of_collections(&target, error))
}

/// "No" where the error says that collections are not as the caller thought; else the error.
fn no_of_collections(target: &Target<'_>, error: anyhow::Error) -> Result<ExitCode> {
    match error.downcast_ref::<StorageError>() {
        Some(no) if hints::is_no_of_collections(no) => {
            match error.downcast_ref::<OnlyInside>() {
                Some(inside) => output::say(&output::one_line(&format!("{no}; {inside}"))),
                None => output::say(&hints::with_hint(no)),
            }
            if target.json {
                writeln!(stdout(), "{}", json!({ "error": no.to_string() }))?;
            }
            Ok(ExitCode::from(NO))
        }
        _ => Err(error),
    }
}

/// There is no such collection, but there are some whose names begin with its.
#[derive(Debug)]
struct OnlyInside(CollectionName);

impl std::fmt::Display for OnlyInside {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "there is '{}', which needs none above it; 'stash collections list' shows them all", self.0.as_str())
    }
}

/// The collection, or why there is none.
async fn described(component: &ComponentStore, name: Option<&CollectionName>) -> Result<CollectionInfo> {
    match component.collection_info(name).await {
        Err(error @ StorageError::NoCollection { .. }) => {
            let inside = component.collections(name).await?.into_iter().find_map(|info| info.name);
            Err(match inside {
                Some(inside) => anyhow::Error::from(error).context(OnlyInside(inside)),
                None => error.into(),
            })
        }
        found => Ok(found?),
    }
}

async fn list(target: &Target<'_>, parent: Option<&CollectionName>) -> Result<ExitCode> {
    let component = target.existing().await?;
    let found = component.collections(parent).await?;
    if parent.is_some() && found.is_empty() {
        // "Nothing inside it" is another answer than "there is no such collection".
        component.collection_info(parent).await?;
    }
    let mut out = stdout().lock();
    if target.json {
        let mut rows = JsonRows::new(out);
        for info in &found {
            rows.row(&info_json(info))?;
        }
        rows.end()?;
        return Ok(ExitCode::SUCCESS);
    }
    if found.is_empty() {
        output::say(&match parent {
            Some(parent) => format!("no collections are inside {}", output::key(parent.as_str())),
            None => format!("{} has no collections", target.name()),
        });
        return Ok(ExitCode::SUCCESS);
    }
    let shown: Vec<String> = found.iter().map(|info| shown_name(info.name.as_ref())).collect();
    let keeps: Vec<String> = found.iter().map(|info| kept(info.settings.retention)).collect();
    let width = |texts: &[String], title: &str| {
        texts.iter().map(|text| text.chars().count()).max().unwrap_or_default().max(title.len())
    };
    let (names, kept) = (width(&shown, "NAME"), width(&keeps, "KEEPS"));
    writeln!(out, "{:<names$}  {:<20}  {:<kept$}  ATTRIBUTES", "NAME", "CREATED", "KEEPS")?;
    for ((name, keeps), info) in shown.iter().zip(&keeps).zip(&found) {
        let attributes: Vec<String> =
            info.settings.attributes.iter().map(|(name, value)| output::attribute(name, value)).collect();
        let attributes = if attributes.is_empty() { "-".to_owned() } else { attributes.join(" ") };
        writeln!(out, "{name:<names$}  {:<20}  {keeps:<kept$}  {attributes}", times::short(info.created))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn create(target: &Target<'_>, name: &CollectionName, settings: &SettingsArguments) -> Result<ExitCode> {
    let mut wanted = CollectionSettings::default();
    settings.apply(&mut wanted)?;
    let component = target.existing_or_new().await?;
    component.create_collection(name, &wanted).await?;
    tell(target, &component, Some(name)).await
}

async fn info(target: &Target<'_>, name: Option<&CollectionName>) -> Result<ExitCode> {
    let component = target.existing().await?;
    let info = described(&component, name).await?;
    let count = count_all(&component.in_collection(name)?).await?;
    let mut out = stdout().lock();
    if target.json {
        let mut row = info_json(&info);
        if let Some(row) = row.as_object_mut() {
            row.insert("key_count".into(), json!(count));
        }
        writeln!(out, "{row}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(out, "name        {}", shown_name(name))?;
    writeln!(out, "keys        {count}")?;
    if name.is_some() {
        writeln!(out, "created     {}", info.created.map_or("not known".to_owned(), times::moment))?;
    }
    writeln!(out, "keeps       {}", kept(info.settings.retention))?;
    let mut title = "attributes";
    for (name, value) in &info.settings.attributes {
        writeln!(out, "{title:<10}  {}", output::attribute(name, value))?;
        title = "";
    }
    Ok(ExitCode::SUCCESS)
}

/// What `configure` was told.
struct Change {
    settings: SettingsArguments,
    no_history: bool,
    remove_attributes: Vec<String>,
}

async fn configure(target: &Target<'_>, name: Option<&CollectionName>, change: &Change) -> Result<ExitCode> {
    if change.settings.is_empty() && !change.no_history && change.remove_attributes.is_empty() {
        bail!(
            "what is to change? Say it with --keep-versions, --keep-for, --no-history, --attribute or --remove-attribute"
        );
    }
    if let Some(both) = change.remove_attributes.iter().find(|name| change.settings.sets_attribute(name)) {
        bail!("--attribute and --remove-attribute both name '{both}'; is it to be set or taken away?");
    }
    let component = match name {
        Some(_) => target.existing().await?,
        // The component's own records have settings before there are any.
        None => target.existing_or_new().await?,
    };
    let mut settings = described(&component, name).await?.settings;
    for attribute in &change.remove_attributes {
        if settings.attributes.remove(attribute).is_none() {
            bail!("{} has no attribute {}; nothing was changed", shown_name(name), output::key(attribute));
        }
    }
    if change.no_history {
        settings.retention = Retention::default();
    }
    change.settings.apply(&mut settings)?;
    component.configure_collection(name, &settings).await?;
    tell(target, &component, name).await
}

/// Tells a script what a collection is now; a person has just said it.
async fn tell(target: &Target<'_>, component: &ComponentStore, name: Option<&CollectionName>) -> Result<ExitCode> {
    if target.json {
        writeln!(stdout(), "{}", info_json(&component.collection_info(name).await?))?;
    }
    Ok(ExitCode::SUCCESS)
}

async fn delete(target: &Target<'_>, name: &CollectionName, recursive: bool, yes: bool) -> Result<ExitCode> {
    let component = target.existing().await?;
    described(&component, Some(name)).await?;
    if recursive && !yes {
        let inside = component.collections(Some(name)).await?;
        let mut records = count_all(&component.in_collection(Some(name))?).await?;
        for info in &inside {
            records += count_all(&component.in_collection(info.name.as_ref())?).await?;
        }
        let inside = u64::try_from(inside.len())?;
        let question = format!(
            "delete the collection {} of {} with {} and {} inside it",
            output::key(name.as_str()),
            target.name(),
            output::counted(records, "record"),
            output::counted(inside, "collection")
        );
        if !confirm(&question)? {
            return Ok(ExitCode::from(NO));
        }
    }
    component.delete_collection(name, recursive).await?;
    if target.json {
        writeln!(stdout(), "{}", json!({ "name": name.as_str(), "deleted": true }))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn shown_name(name: Option<&CollectionName>) -> String {
    name.map_or("(without a name)".to_owned(), |name| output::key(name.as_str()))
}

fn info_json(info: &CollectionInfo) -> Value {
    let CollectionSettings { attributes, retention } = &info.settings;
    json!({
        "name": info.name.as_ref().map(CollectionName::as_str),
        "created_ms": info.created.map(|created| created.0),
        "keep_versions": retention.versions,
        "keep_for_ms": retention.age.map(|age| u64::try_from(age.as_millis()).unwrap_or(u64::MAX)),
        "attributes": attributes,
    })
}

/// What is kept of the past, for people.
fn kept(retention: Retention) -> String {
    match (retention.versions, retention.age.map(times::span)) {
        _ if !retention.keeps_history() => "the present".to_owned(),
        (Some(versions), None) => format!("the last {versions} versions"),
        (None, Some(age)) => format!("versions of the last {age}"),
        (Some(versions), Some(age)) => format!("the last {versions} versions of {age}"),
        (None, None) => "the present".to_owned(),
    }
}
