//! The components that are to be served. Two that somebody took for different ones must not share their data, and none may
//! be given what others are made of.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use anyhow::{Result, bail};
use stash_core::{ComponentId, StoreLimits};
use stash_host::Program;

use super::config::Config;
use crate::args::{GuestOptions, ServeArguments};
use crate::guest::{Guest, Protected};

/// Where a component is reached.
pub(super) struct Reached {
    pub(super) host: Option<String>,
    pub(super) path: String,
    pub(super) keep_path: bool,
}

/// What the configuration file says, and where it is; nothing, where a component is named instead.
pub(super) fn configuration(arguments: &ServeArguments) -> Result<(Config, Option<PathBuf>)> {
    let file = match (&arguments.config_file, &arguments.guest) {
        (Some(file), _) => file.clone(),
        (None, Some(_)) => return Ok((Config::default(), None)),
        (None, None) => {
            let file = PathBuf::from("stash.toml");
            if let (true, Some(option)) = (file.exists(), arguments.options.of_one_component()) {
                bail!(
                    "{option} is about one component, and stash.toml in this folder says what each is given: name a \
                     component to serve that one, or write it there"
                );
            }
            if !file.exists() {
                bail!(
                    "serve what? Name a component, or say which with a stash.toml in this folder; 'stash serve --help'"
                );
            }
            file
        }
    };
    Ok((Config::read(&file)?, Some(file)))
}

/// The components, and where each is reached.
pub(super) fn guests(
    arguments: &ServeArguments,
    config: &Config,
    config_file: Option<&Path>,
) -> Result<Vec<(Guest, Reached)>> {
    if let Some(file) = &arguments.guest {
        let guest = Guest::new(file, arguments.options.id.as_ref(), &arguments.options.grants)?;
        return Ok(vec![(guest, Reached { host: None, path: "/".to_owned(), keep_path: true })]);
    }
    let folder = config_file.and_then(Path::parent).unwrap_or(Path::new(""));
    let mut guests: Vec<(Guest, Reached)> = Vec::new();
    for component in &config.component {
        let path = component.path.clone().unwrap_or_else(|| "/".to_owned());
        let reached = Reached { host: component.host.clone(), path, keep_path: component.keep_path };
        let guest = component.guest(folder)?;
        // Two that have it written are meant to be one: what answers requests, and what watches for it.
        let mut others = config.component.iter().zip(&guests);
        if let Some((_, (other, _))) = others
            .find(|(other, (guest_of, _))| guest_of.id == guest.id && (other.id.is_none() || component.id.is_none()))
            && !is_same_file(&other.file, &guest.file)
        {
            bail!(
                "{} and {} would both be {} and share its data; give one of them an 'id' of its own, or both the same",
                other.file.display(),
                guest.file.display(),
                guest.id
            );
        }
        guests.push((guest, reached));
    }
    Ok(guests)
}

/// Where a component that answers requests is reached: no other one may be there.
pub(super) struct Place {
    host: Option<String>,
    path: String,
    file: PathBuf,
}

impl Place {
    pub(super) fn new(guest: &Guest, reached: &Reached, others: &[Self]) -> Result<Self> {
        let path = reached.path.trim_end_matches('/').to_owned();
        let place = Self { host: reached.host.clone(), path, file: guest.file.clone() };
        if let Some(other) = others.iter().find(|other| other.host == place.host && other.path == place.path) {
            let host = place.host.as_ref().map(|host| format!(" of the host {host}")).unwrap_or_default();
            bail!(
                "{} and {} are both to be reached at '{}'{host}: give one of them another path or host",
                other.file.display(),
                place.file.display(),
                reached.path
            );
        }
        Ok(place)
    }
}

/// That nobody is told of the changes of one component by two files: the second would be told of nothing.
pub(super) fn check_watchers<'a>(guests: impl Iterator<Item = (&'a Guest, &'a Program)>) -> Result<()> {
    let mut watchers: HashMap<&ComponentId, &Path> = HashMap::new();
    for (guest, _) in guests.filter(|(_, program)| program.is_watcher()) {
        if let Some(other) = watchers.insert(&guest.id, &guest.file)
            && !is_same_file(other, &guest.file)
        {
            bail!(
                "{} and {} would both watch {}: changes of one component are told to one watcher",
                other.display(),
                guest.file.display(),
                guest.id
            );
        }
    }
    Ok(())
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    match (one.canonicalize(), other.canonicalize()) {
        (Ok(one), Ok(other)) => one == other,
        // What cannot be found is an error of its own later.
        _ => one == other,
    }
}

/// How much each component may store that has a quota of its own; the others have what `default` says.
pub(super) fn quotas(
    config: &Config,
    guests: &[(Guest, Reached)],
    default: StoreLimits,
) -> Result<HashMap<ComponentId, StoreLimits>> {
    let mut limits: HashMap<ComponentId, StoreLimits> = HashMap::new();
    // One guest for each, in the same order.
    for (component, (guest, _)) in config.component.iter().zip(guests) {
        let quota_bytes = component.quota.map(|quota| quota.0).or(default.quota_bytes);
        let own = StoreLimits { quota_bytes, ..default };
        if limits.insert(guest.id.clone(), own).is_some_and(|other| other != own) {
            bail!("{} is served twice with different quotas; give both the same", guest.id);
        }
    }
    Ok(limits)
}

/// What decides what each component is, and so must be in no folder that one of them is given.
pub(super) fn protected(
    guests: &[(Guest, Reached)],
    config_file: Option<&Path>,
    options: &GuestOptions,
) -> Vec<Protected> {
    if !guests.iter().any(|(guest, _)| guest.has_folders()) {
        return Vec::new();
    }
    let code = options.code_cache().folder();
    let code = code.map(|place| Protected { what: "what is in the cache of compiled code", place });
    let file = config_file.map(|file| Protected { what: "the configuration", place: file.to_owned() });
    let components = guests.iter().map(|(guest, _)| Protected { what: "the component", place: guest.file.clone() });
    components.chain(file).chain(code).collect()
}
