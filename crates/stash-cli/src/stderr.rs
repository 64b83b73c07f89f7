//! Standard error, which people, the log and served guests share. A server must never wait for whoever reads it, so it has
//! a thread for that.

use std::io::{self, Write, stderr};
use std::sync::OnceLock;
use std::time::Duration;

use anyhow::{Context, Result};
use stash_host::logging::TARGET as GUESTS;
use tracing::Metadata;
use tracing_subscriber::fmt::MakeWriter;

use crate::lines::Lines;

/// How long whoever reads it may take for the last of it.
const LAST_LINES: Duration = Duration::from_secs(2);

/// What is written by the thread, once there is one.
static LINES: OnceLock<Lines> = OnceLock::new();

/// Has all that is said from now on written by a thread of its own.
pub(crate) fn start_thread() -> Result<Lines> {
    let lost = |lines| {
        let _ = writeln!(stderr(), "{lines} lines were lost here: nobody has read them in time");
    };
    let lines = Lines::start("stash-stderr", stderr(), lost).context("cannot start a thread")?;
    Ok(LINES.get_or_init(|| lines).clone())
}

/// Says a line. That nobody can hear it is no reason to stop.
pub(crate) fn line(text: &str) {
    match LINES.get() {
        Some(lines) => lines.write(text),
        None => {
            let _ = writeln!(stderr(), "{text}");
        }
    }
}

/// Waits until all is said, for some time.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(LAST_LINES);
    }
}

/// Where the log goes.
pub(crate) struct Log;

/// Takes one event of the log.
pub(crate) struct LogWriter {
    of_guest: bool,
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = LogWriter;

    fn make_writer(&'a self) -> LogWriter {
        LogWriter { of_guest: false }
    }

    fn make_writer_for(&'a self, event: &Metadata<'_>) -> LogWriter {
        LogWriter { of_guest: event.target() == GUESTS }
    }
}

impl Write for LogWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(lines) = LINES.get() else { return stderr().write(bytes) };
        let text = String::from_utf8_lossy(bytes);
        let line = text.strip_suffix('\n').unwrap_or(&text);
        if self.of_guest {
            lines.write_if_quiet(line);
        } else {
            lines.write(line);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
