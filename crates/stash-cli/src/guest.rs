//! A guest as the command line or a configuration names it, and what it is given. It must never be given more than that,
//! and least of all the store itself.

use std::io::ErrorKind;
use std::path::{Component, Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result, anyhow, bail};
use stash_core::{CollectionSettings, ComponentId, Condition, SetOptions, StorageError, StorageExt};
use stash_host::keyvalue::collection_of;
use stash_host::serve::read_component;
use stash_host::{
    ComponentStore, GuestContext, KeyValueConfig, LoadOptions, Outbound, Program, Runtime, RuntimeError, Settings,
    Stash, StorageCtx, StoreUrl,
};
use wasmtime_wasi::filesystem::FsPerms;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::args::{Grants, Preset};

/// What no guest may write to: whoever does decides what others do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Protected {
    /// What it is, for people.
    pub(crate) what: &'static str,
    /// Where it is: a file or a folder.
    pub(crate) place: PathBuf,
}

/// A guest and what it is given.
#[derive(Debug, Clone)]
pub(crate) struct Guest {
    /// Its file.
    pub(crate) file: PathBuf,
    /// Whose data it uses.
    pub(crate) id: ComponentId,
    env: Vec<(String, String)>,
    dirs: Vec<String>,
    settings: Settings,
    outbound: Outbound,
    keyvalue: Arc<KeyValueConfig>,
    presets: Vec<Preset>,
    load: LoadOptions,
}

impl Guest {
    /// The guest in a file, with what it is given.
    pub(crate) fn new(file: &Path, id: Option<&ComponentId>, grants: &Grants) -> Result<Self> {
        let id = match id {
            Some(id) => id.clone(),
            None => derive_id(file)?,
        };
        let mut env = Vec::new();
        for variable in &grants.env {
            env.push(match variable.split_once('=') {
                Some((name, value)) => (name.to_owned(), value.to_owned()),
                None => match std::env::var(variable) {
                    Ok(value) => (variable.clone(), value),
                    Err(error) => bail!("--env {variable}: {error}; give it a value with --env {variable}=VALUE"),
                },
            });
        }
        let allowed = grants.allow_bucket.iter().map(|name| if name.is_empty() { "default" } else { name });
        let keyvalue = KeyValueConfig {
            allowed: (!grants.allow_bucket.is_empty()).then(|| allowed.map(str::to_owned).collect()),
            max_result_bytes: usize::try_from(grants.max_result.0).unwrap_or(usize::MAX),
        };
        Ok(Self {
            file: file.to_owned(),
            id,
            env,
            dirs: grants.dir.clone(),
            settings: grants.config.iter().cloned().collect(),
            outbound: grants.allow_http.iter().cloned().collect(),
            keyvalue: Arc::new(keyvalue),
            presets: grants.preset.clone(),
            load: LoadOptions { stub_unknown_imports: grants.stub_unknown_imports },
        })
    }

    /// Compiles it, on a thread of its own: that takes seconds, and a request to end must be heard meanwhile.
    pub(crate) async fn load(&self, runtime: &Runtime) -> Result<Program> {
        let (runtime, file, options) = (runtime.clone(), self.file.clone(), self.load);
        Ok(tokio::task::spawn_blocking(move || runtime.load_with(&file, options)).await??)
    }

    /// As [`load`](Self::load), where nobody waits at a terminal: from nothing that has no end, such as a pipe.
    pub(crate) async fn load_file(&self, runtime: &Runtime) -> Result<Program> {
        let (runtime, file, options) = (runtime.clone(), self.file.clone(), self.load);
        let load = move || {
            let guest = file.display().to_string();
            match read_component(&file) {
                Ok(bytes) => runtime.load_bytes_with(&guest, &bytes, options),
                // In the words of the runtime, which has some for these.
                Err(error) if matches!(error.kind(), ErrorKind::NotFound | ErrorKind::IsADirectory) => {
                    runtime.load_with(&file, options)
                }
                Err(error) => Err(RuntimeError::Read { guest, reason: error.to_string() }),
            }
        };
        Ok(tokio::task::spawn_blocking(load).await??)
    }

    /// Whether it is given folders.
    pub(crate) fn has_folders(&self) -> bool {
        !self.dirs.is_empty()
    }

    /// Refuses folders in which the guest could put itself in the place of others, or of itself.
    pub(crate) fn check_folders(&self, protected: &[Protected]) -> Result<()> {
        for folder in &self.dirs {
            let (host, _) = named(folder);
            if let Some(Protected { what, place }) =
                protected.iter().find(|protected| holds(Path::new(host), &protected.place))
            {
                bail!(
                    "--dir '{folder}' would let the guest replace {what} {}; keep that outside of the folders that guests are given",
                    place.display()
                );
            }
        }
        Ok(())
    }

    /// Its storage, with what it is to find there.
    pub(crate) async fn storage(&self, stash: &Stash) -> Result<ComponentStore> {
        let store = stash.component(&self.id);
        for preset in &self.presets {
            let shown = format!("{}/{}", preset.bucket, preset.key);
            let name = collection_of(&preset.bucket).with_context(|| format!("--preset {shown}"))?;
            let bucket = match name {
                None => store.clone(),
                Some(name) => store.open_or_create_collection(&name, &CollectionSettings::default()).await?,
            };
            let absent = Some(Condition::Absent);
            match bucket.set_with(&preset.key, preset.value.clone(), SetOptions::default(), absent).await {
                Ok(_) | Err(StorageError::AlreadyExists { .. }) => {}
                Err(error) => return Err(error).with_context(|| format!("--preset {shown}")),
            }
        }
        Ok(store)
    }

    /// Its environment and folders; no streams and no arguments.
    pub(crate) fn wasi(&self, url: &StoreUrl) -> Result<WasiCtxBuilder> {
        let mut wasi = WasiCtxBuilder::new();
        for (name, value) in &self.env {
            wasi.env(name, value);
        }
        for folder in &self.dirs {
            let (host, guest) = named(folder);
            if let Some(path) = url.path()
                && (has_other_names(path) || holds(Path::new(host), path))
            {
                bail!(
                    "--dir '{folder}' would give the guest the store {} with everybody's data; keep the store elsewhere with --store",
                    path.display()
                );
            }
            wasi.preopened_dir(host, guest, FsPerms::ReadWrite).map_err(|error| {
                anyhow!("--dir '{folder}': the folder '{host}' cannot be opened: {}", error.root_cause())
            })?;
        }
        Ok(wasi)
    }

    /// All that one instance of it is given.
    pub(crate) fn context(&self, storage: ComponentStore, wasi: WasiCtx) -> GuestContext {
        GuestContext {
            storage: StorageCtx::new(storage).with_keyvalue(Arc::clone(&self.keyvalue)),
            wasi,
            settings: self.settings.clone(),
            outbound: self.outbound.clone(),
        }
    }
}

/// The folder here, and what the guest calls it.
fn named(folder: &str) -> (&str, &str) {
    folder.split_once("::").unwrap_or((folder, folder))
}

/// `app/FILE/001`, after the file's name without its ending.
fn derive_id(guest: &Path) -> Result<ComponentId> {
    let stem = guest.file_stem().unwrap_or_default().to_string_lossy();
    ComponentId::new("app", &stem, "001")
        .with_context(|| format!("{} does not make a component id; name one with --id", guest.display()))
}

/// Whether a guest that has the folder could reach a place, which is a file or a folder: it is, or would be made, in the
/// guest's, or the other way round; or the way to it may be.
fn holds(folder: &Path, place: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    let Ok(place) = std::path::absolute(place) else { return true };
    way_to(&place, 0).is_none_or(|way| {
        way.iter().any(|place| *place != folder && place.starts_with(&folder))
            || way.last().is_some_and(|place| folder.starts_with(place))
    })
}

/// Every entry of a folder that the system looks up on its way to `path`, links followed, there or not; `None` where the
/// way does not end.
fn way_to(path: &Path, links: usize) -> Option<Vec<PathBuf>> {
    const LINKS: usize = 40;
    let mut way = Vec::new();
    let mut here = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => {
                here.pop();
            }
            Component::CurDir => {}
            part => {
                here.push(part);
                way.push(here.clone());
                if let Ok(target) = here.read_link() {
                    if links >= LINKS {
                        return None;
                    }
                    here.pop();
                    way.extend(way_to(&here.join(target), links + 1)?);
                    here = way.last().cloned().unwrap_or_default();
                }
            }
        }
    }
    // Where it ends, which is not where it was last looked up after a "..".
    way.push(here);
    Some(way)
}

/// Whether a file has names that [`holds`] does not see. Only a store must have none: build tools give them to components.
#[cfg(unix)]
fn has_other_names(file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|found| found.is_file() && found.nlink() > 1)
}

#[cfg(not(unix))]
fn has_other_names(_: &Path) -> bool {
    false
}
