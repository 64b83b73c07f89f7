//! Running a command: a component with `wasi:cli/run`, as `wasmtime run` does.

use std::future::Future;

use wasmtime::{PoolConcurrencyLimitError, Trap, WasmBacktrace};
use wasmtime_wasi::I32Exit;
use wasmtime_wasi::p2::bindings::CommandPre;
use wasmtime_wasi::p3::bindings as p3;

use super::{GuestContext, Program, Runtime, RuntimeError};

/// How a command ended, as a process would.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExitCode(pub i32);

impl Runtime {
    /// Runs a `wasi:cli/command` component to its end, with what `context` gives it.
    ///
    /// Dropping the future stops the guest; what it had stored stays stored.
    ///
    /// # Errors
    /// [`RuntimeError`]: it is not a command, trapped or took too long. An exit code is not an error.
    pub async fn run_command(&self, program: &Program, context: GuestContext) -> Result<ExitCode, RuntimeError> {
        let guest = &program.name;
        let mut store = self.new_store(program, context);
        let ended = if let Ok(command) = CommandPre::new(program.pre.clone()) {
            let run = async {
                let command =
                    command.instantiate_async(&mut store).await.map_err(|error| not_started(guest, &error))?;
                Ok(command.wasi_cli_run().call_run(&mut store).await)
            };
            self.within_deadline(guest, run).await??
        } else if let Ok(command) = p3::CommandPre::new(program.pre.clone()) {
            let run = async {
                let command =
                    command.instantiate_async(&mut store).await.map_err(|error| not_started(guest, &error))?;
                let run = store.run_concurrent(async |store| command.wasi_cli_run().call_run(store).await);
                Ok(run.await.flatten())
            };
            self.within_deadline(guest, run).await??
        } else {
            return Err(RuntimeError::Call {
                guest: guest.clone(),
                reason: format!("it is not a command (it does not export wasi:cli/run); {}", Self::offer(program)),
            });
        };
        match ended {
            Ok(Ok(())) => Ok(ExitCode(0)),
            Ok(Err(())) => Ok(ExitCode(1)),
            Err(error) => exit_or_trap(guest, &error),
        }
    }

    /// Ends `call` at the deadline, if there is one.
    pub(super) async fn within_deadline<T>(
        &self,
        guest: &str,
        call: impl Future<Output = T>,
    ) -> Result<T, RuntimeError> {
        let Some(deadline) = self.limits().deadline else { return Ok(call.await) };
        tokio::time::timeout(deadline, call)
            .await
            .map_err(|_| RuntimeError::Deadline { guest: guest.to_owned(), seconds: deadline.as_secs_f64() })
    }
}

impl Program {
    /// Whether it is a command, as far as its type says; see [`Runtime::run_command`].
    pub fn is_command(&self) -> bool {
        CommandPre::new(self.pre.clone()).is_ok() || p3::CommandPre::new(self.pre.clone()).is_ok()
    }
}

/// How a guest ended that did not return: by its own wish, or by a trap.
pub(super) fn exit_or_trap(guest: &str, error: &wasmtime::Error) -> Result<ExitCode, RuntimeError> {
    match error.downcast_ref::<I32Exit>() {
        Some(exit) => Ok(ExitCode(exit.0)),
        None => Err(trap(guest, error)),
    }
}

/// A guest that failed before any of its functions was called. What its own code did then is a trap as any other.
pub(super) fn not_started(guest: &str, error: &wasmtime::Error) -> RuntimeError {
    if error.is::<Trap>() {
        return trap(guest, error);
    }
    RuntimeError::Start { guest: guest.to_owned(), reason: format!("{error:#}") }
}

/// The trap itself for the error; where in the guest it happened for the log.
pub(super) fn trap(guest: &str, error: &wasmtime::Error) -> RuntimeError {
    if error.is::<PoolConcurrencyLimitError>() {
        // Its stack comes from the pool too.
        return RuntimeError::Start { guest: guest.to_owned(), reason: format!("{error:#}") };
    }
    if let Some(place) = error.downcast_ref::<WasmBacktrace>() {
        tracing::info!("{guest} trapped: {place}");
    }
    let code = error.downcast_ref::<Trap>().copied();
    RuntimeError::Trap { guest: guest.to_owned(), reason: error.root_cause().to_string(), code }
}
