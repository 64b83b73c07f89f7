//! `stash run`: a guest with our streams, arguments and exit code, as `wasmtime run` gives them, and its own data.

use std::io::{Write, stdout};
use std::path::{Component, Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail};
use stash_core::{ComponentId, StoreLimits};
use stash_host::{CodeCache, GuestLimits, Invoked, Runtime, RuntimeConfig, RuntimeError, StashConfig, StoreUrl};
use tracing::info;
use wasmtime_wasi::filesystem::FsPerms;
use wasmtime_wasi::{WasiCtx, WasiCtxBuilder};

use crate::args::{RunArguments, StoreArguments};
use crate::{output, store};

/// The guest could not be started.
pub(crate) const NOT_RUN: u8 = 1;
/// The guest trapped: 128 and the number of SIGABRT, as with `wasmtime run`.
const TRAPPED: u8 = 134;

/// The exit code that goes with an error, where it has one of its own.
pub(crate) fn exit_code(error: &anyhow::Error) -> Option<u8> {
    match error.downcast_ref() {
        Some(RuntimeError::Trap { .. } | RuntimeError::Deadline { .. }) => Some(TRAPPED),
        _ => None,
    }
}

/// What more can be done about an error.
pub(crate) fn advice(error: &anyhow::Error) -> &'static str {
    match error.downcast_ref() {
        Some(RuntimeError::Trap { .. }) => "; 'stash -v run' shows where",
        Some(RuntimeError::Start { .. }) => "; 'stash run --max-memory' gives it more memory, if that is it",
        _ => "",
    }
}

pub(crate) async fn run(store: StoreArguments, arguments: RunArguments) -> Result<ExitCode> {
    // A task of its own: a guest may be in a system call that nothing ends (a pipe that nobody reads), and a request to
    // end must be heard all the same.
    let mut guest = tokio::spawn(run_guest(store, arguments));
    tokio::select! {
        outcome = &mut guest => outcome?,
        code = interrupted() => {
            guest.abort();
            // The store closes when the guest is gone. Where it does not go, the process ends around it: what was
            // acknowledged is on disk.
            if tokio::time::timeout(CLOSING, guest).await.is_err() {
                output::say("the guest could not be stopped in time; its store was not closed, and loses nothing by it");
            }
            Ok(ExitCode::from(code))
        }
    }
}

/// How long a guest that was asked to end may take.
const CLOSING: Duration = Duration::from_secs(5);

async fn run_guest(store: StoreArguments, arguments: RunArguments) -> Result<ExitCode> {
    let id = match &arguments.id {
        Some(id) => id.clone(),
        None => derive_id(arguments.guest())?,
    };
    info!("running {} as {id}", arguments.guest().display());
    let wasi = wasi(&arguments, &store.url()?)?;
    let runtime = Runtime::new(RuntimeConfig {
        code_cache: if arguments.no_code_cache { CodeCache::Off } else { CodeCache::User },
        limits: GuestLimits {
            memory_bytes: usize::try_from(arguments.max_memory.0).unwrap_or(usize::MAX),
            deadline: arguments.timeout,
            ..GuestLimits::default()
        },
        ..RuntimeConfig::default()
    })?;
    // Before the store: a guest that cannot run makes none, and compiling one holds none.
    // On a thread of its own: compiling takes seconds, and a request to end must be heard meanwhile.
    let program = {
        let (runtime, guest) = (runtime.clone(), arguments.guest().to_owned());
        tokio::task::spawn_blocking(move || runtime.load(&guest)).await??
    };
    let config = StashConfig {
        limits: StoreLimits { max_value_bytes: arguments.max_value, quota_bytes: arguments.quota.map(|quota| quota.0) },
        transaction_age: arguments.transaction_age(),
        ..StashConfig::default()
    };
    let stash = store::open(&store, config).await?;
    let storage = stash.component(&id);
    match &arguments.invoke {
        Some(call) => {
            match runtime.invoke(&program, storage, wasi, call).await? {
                Invoked::Returned(result) if result.is_empty() => {}
                Invoked::Returned(result) => writeln!(stdout(), "{result}")?,
                Invoked::Exited(code) => return Ok(process_code(code)),
            }
            Ok(ExitCode::SUCCESS)
        }
        None => Ok(process_code(runtime.run_command(&program, storage, wasi).await?)),
    }
}

/// A process's exit code is one byte, and what does not fit must not come out as success.
fn process_code(code: stash_host::ExitCode) -> ExitCode {
    ExitCode::from(u8::try_from(code.0).unwrap_or(u8::MAX))
}

/// `app/FILE/001`, after the file's name without its ending.
fn derive_id(guest: &Path) -> Result<ComponentId> {
    let stem = guest.file_stem().unwrap_or_default().to_string_lossy();
    ComponentId::new("app", &stem, "001")
        .with_context(|| format!("{} does not make a component id; name one with --id", guest.display()))
}

fn wasi(arguments: &RunArguments, url: &StoreUrl) -> Result<WasiCtx> {
    let mut wasi = WasiCtxBuilder::new();
    wasi.inherit_stdio();
    // As with `wasmtime run`, a program's own name is its file's.
    let name = arguments.guest().file_name().unwrap_or_default().to_string_lossy();
    wasi.arg(name);
    for argument in arguments.guest_args() {
        let text = argument.to_str().with_context(|| {
            format!("the argument {} is not UTF-8, and components take only that", argument.display())
        })?;
        wasi.arg(text);
    }
    for variable in &arguments.env {
        match variable.split_once('=') {
            Some((name, value)) => wasi.env(name, value),
            None => match std::env::var(variable) {
                Ok(value) => wasi.env(variable, value),
                Err(error) => bail!("--env {variable}: {error}; give it a value with --env {variable}=VALUE"),
            },
        };
    }
    for folder in &arguments.dir {
        let (host, guest) = folder.split_once("::").unwrap_or((folder, folder));
        if let Some(path) = store::place(url)
            && holds(Path::new(host), path)
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
    Ok(wasi.build())
}

/// Whether a guest that has the folder could reach the store, which is a file or a folder: it is, or would be made, in the
/// guest's, or the other way round; or the way to it, or another name of it, may be.
fn holds(folder: &Path, store: &Path) -> bool {
    let Ok(folder) = folder.canonicalize() else { return false };
    let Ok(store) = std::path::absolute(store) else { return true };
    has_other_names(&store)
        || way_to(&store, 0).is_none_or(|way| {
            way.iter().any(|place| *place != folder && place.starts_with(&folder))
                || way.last().is_some_and(|store| folder.starts_with(store))
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

#[cfg(unix)]
fn has_other_names(file: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    file.metadata().is_ok_and(|found| found.is_file() && found.nlink() > 1)
}

#[cfg(not(unix))]
fn has_other_names(_: &Path) -> bool {
    false
}

/// Waits for Ctrl-C or a request to end, and says what to exit with.
#[cfg(unix)]
async fn interrupted() -> u8 {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut interrupt), Ok(mut terminate)) = (signal(SignalKind::interrupt()), signal(SignalKind::terminate()))
    else {
        // Without handlers the system ends us by itself.
        return std::future::pending().await;
    };
    tokio::select! {
        _ = interrupt.recv() => 130,
        _ = terminate.recv() => 143,
    }
}

#[cfg(not(unix))]
async fn interrupted() -> u8 {
    match tokio::signal::ctrl_c().await {
        Ok(()) => 130,
        Err(_) => std::future::pending().await,
    }
}
