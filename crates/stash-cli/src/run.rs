//! `stash run`: a guest with our streams, arguments and exit code, as `wasmtime run` gives them, and its own data.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stash_host::{GuestLimits, Invoked, Runtime, RuntimeConfig, RuntimeError, StoreUrl};
use tracing::info;
use wasmtime_wasi::WasiCtx;

use crate::args::{GuestOptions, RunArguments, StoreArguments};
use crate::guest::{Guest, Protected};
use crate::signals::interrupted;
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
    let options = &arguments.options;
    let guest = Guest::new(arguments.guest(), options.id.as_ref(), &options.grants)?;
    info!("running {} as {}", arguments.guest().display(), guest.id);
    if guest.has_folders() {
        guest.check_folders(&protected(&guest, options))?;
    }
    let wasi = wasi(&guest, &arguments, &store.url()?)?;
    let runtime = Runtime::new(RuntimeConfig {
        code_cache: options.code_cache(),
        limits: GuestLimits { deadline: arguments.timeout, ..options.limits() },
        ..RuntimeConfig::default()
    })?;
    // Before the store: a guest that cannot run makes none, and compiling one holds none.
    let program = guest.load(&runtime).await?;
    let stash = store::open(&store, options.store_config()).await?;
    let storage = guest.storage(&stash).await?;
    let context = guest.context(storage, wasi);
    match &arguments.invoke {
        Some(call) => {
            match runtime.invoke(&program, context, call).await? {
                Invoked::Returned(result) if result.is_empty() => {}
                Invoked::Returned(result) => writeln!(stdout(), "{result}")?,
                Invoked::Exited(code) => return Ok(process_code(code)),
            }
            Ok(ExitCode::SUCCESS)
        }
        None => match runtime.run_command(&program, context).await {
            Err(error @ RuntimeError::Call { .. }) if program.check_http().is_ok() => {
                bail!("{error}; 'stash serve' serves it")
            }
            ended => Ok(process_code(ended?)),
        },
    }
}

/// Whoever can write to these decides what is run next.
fn protected(guest: &Guest, options: &GuestOptions) -> Vec<Protected> {
    let code = options.code_cache().folder();
    let code = code.map(|place| Protected { what: "what is in the cache of compiled code", place });
    let file = Protected { what: "its own file", place: guest.file.clone() };
    std::iter::once(file).chain(code).collect()
}

/// Our own streams, and the arguments.
fn wasi(guest: &Guest, arguments: &RunArguments, url: &StoreUrl) -> Result<WasiCtx> {
    let mut wasi = guest.wasi(url)?;
    wasi.inherit_stdio();
    // As with `wasmtime run`, a program's own name is its file's.
    wasi.arg(arguments.guest().file_name().unwrap_or_default().to_string_lossy());
    for argument in arguments.guest_args() {
        let text = argument.to_str().with_context(|| {
            format!("the argument {} is not UTF-8, and components take only that", argument.display())
        })?;
        wasi.arg(text);
    }
    Ok(wasi.build())
}

/// A process's exit code is one byte, and what does not fit must not come out as success.
fn process_code(code: stash_host::ExitCode) -> ExitCode {
    ExitCode::from(u8::try_from(code.0).unwrap_or(u8::MAX))
}
