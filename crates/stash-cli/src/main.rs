//! The `stash` command: runs components that keep their data, and lets a person see and fix that data. It holds no
//! storage logic of its own: everything goes through `stash-host`, as an embedder's program would.

mod args;
mod collections;
mod confirm;
mod copy;
mod guest;
mod hints;
mod ids;
mod kv;
mod lines;
mod logging;
mod new;
mod output;
mod run;
mod serve;
mod signals;
mod status;
mod stderr;
mod store;
mod target;
mod times;

use std::io::Write;
use std::process::ExitCode;

use clap::{CommandFactory, Parser};

use args::{Arguments, Command};

/// Batches are made by one thread and let go of by the writer's: see docs/decisions/0018.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    logging::start(arguments.verbose);
    // As `wasmtime run` and `grep` have it: not run is 1, not looked at is 2.
    let failed = if matches!(arguments.command, Command::Run(_) | Command::Serve(_)) { run::NOT_RUN } else { 2 };
    let code = match start(arguments) {
        Ok(code) => code,
        // Whoever read our output has had enough: not an error, as with every tool in a pipe.
        Err(error) if output::is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => {
            let text = output::one_line(&format!("{error:#}"));
            output::say(&format!("error: {text}{}{}", run::advice(&error), hints::advice(&error)));
            ExitCode::from(run::exit_code(&error).unwrap_or(failed))
        }
    };
    stderr::flush();
    code
}

fn start(arguments: Arguments) -> anyhow::Result<ExitCode> {
    if let Command::Completions { shell } = arguments.command {
        let mut script = Vec::new();
        clap_complete::generate(shell, &mut Arguments::command(), "stash", &mut script);
        std::io::stdout().write_all(&script)?;
        return Ok(ExitCode::SUCCESS);
    }
    if let Command::New(new) = &arguments.command {
        return new::new(new);
    }
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let outcome = runtime.block_on(async {
        match arguments.command {
            Command::Run(run) => run::run(arguments.store, run).await,
            Command::Serve(serve) => serve::serve(&arguments.store, serve).await,
            Command::Kv(kv) => kv::kv(&arguments.store, kv).await,
            Command::Collections(collections) => collections::collections(&arguments.store, collections).await,
            Command::Copy(arguments) => copy::copy(arguments).await,
            Command::Ids(ids) => ids::ids(&arguments.store, ids).await,
            Command::Status(status) => status::status(&arguments.store, status).await,
            Command::New(_) | Command::Completions { .. } => Ok(ExitCode::SUCCESS),
        }
    });
    // A guest that was stopped may have left a read of our standard input behind, which nothing can end.
    runtime.shutdown_background();
    outcome
}
