//! `stash copy`: one store into another. Whoever interrupts it must be told how it goes on.

use std::io::{Write, stdout};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, bail};
use bytesize::ByteSize;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use stash_core::{CopyError, CopyOptions, CopyPhase, CopyProgress};
use stash_host::{CopyStoresError, StashConfig, StoreUrl, copy_store};

use crate::args::CopyArguments;
use crate::signals::interrupted;
use crate::{output, store};

/// How often the bar is drawn.
const TIMES_A_SECOND: u8 = 10;

pub(crate) async fn copy(arguments: CopyArguments) -> Result<ExitCode> {
    let CopyArguments { from, to, replace, json: as_json } = arguments;
    if from == StoreUrl::Memory || to == StoreUrl::Memory {
        bail!("a store in memory is gone when this command ends: name stores that last");
    }
    store::check_exists(&from)?;
    let bar = Bar::new();
    let begin = Instant::now();
    let config = StashConfig::default();
    let mut told = |progress| bar.show(progress);
    let copied = tokio::select! {
        copied = copy_store(&from, &to, &config, CopyOptions { replace }, &mut told) => {
            bar.clear();
            copied.map_err(with_advice)?
        }
        code = interrupted() => {
            bar.clear();
            output::say(&format!("interrupted: {to} is not whole; the same command, without --replace, goes on where it was"));
            return Ok(ExitCode::from(code));
        }
    };
    bar.clear();
    let took = begin.elapsed();
    let mut out = stdout().lock();
    if as_json {
        let copied = json!({
            "from": from.to_string(),
            "to": to.to_string(),
            "components": copied.components,
            "entries": copied.entries,
            "bytes": copied.bytes,
            "resumed": copied.resumed,
            "digest": format!("{:032x}", copied.digest),
            "seconds": took.as_secs_f64(),
        });
        writeln!(out, "{copied}")?;
        return Ok(ExitCode::SUCCESS);
    }
    writeln!(
        out,
        "copied {} components, {} entries, {} in {:.1} s{}; both stores have the digest {:032x}",
        copied.components,
        copied.entries,
        ByteSize(copied.bytes),
        took.as_secs_f64(),
        if copied.resumed { ", going on where an earlier copy was" } else { "" },
        copied.digest,
    )?;
    Ok(ExitCode::SUCCESS)
}

/// The error, with the option that would help.
fn with_advice(error: CopyStoresError) -> anyhow::Error {
    match error {
        CopyStoresError::Copy(CopyError::NotEmpty | CopyError::OtherCopy) => {
            anyhow!("{error} with --replace")
        }
        _ => error.into(),
    }
}

/// How far it is, for a person at a terminal.
struct Bar(ProgressBar);

impl Bar {
    fn new() -> Self {
        // Draws nothing where standard error is no terminal.
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr_with_hz(TIMES_A_SECOND));
        bar.enable_steady_tick(Duration::from_millis(200));
        Self(bar)
    }

    fn show(&self, progress: CopyProgress) {
        let CopyProgress { phase, bytes, entries, expected_bytes } = progress;
        let (what, measured) = match phase {
            CopyPhase::Clearing => ("clearing", false),
            CopyPhase::Copying => ("copying", true),
            CopyPhase::Comparing => ("comparing", true),
        };
        if self.0.message() != what {
            self.0.reset();
            let style = if measured {
                "{msg} {bar:30} {bytes}/{total_bytes} {binary_bytes_per_sec} {prefix} ETA {eta}"
            } else {
                "{spinner} {msg}"
            };
            // A template that cannot be read would be one of the two above: then the bar is the plain one.
            if let Ok(style) = ProgressStyle::with_template(style) {
                self.0.set_style(style);
            }
            self.0.set_message(what);
        }
        self.0.set_prefix(format!("{entries} entries"));
        self.0.set_length(expected_bytes.max(bytes));
        self.0.set_position(bytes);
    }

    fn clear(&self) {
        self.0.finish_and_clear();
    }
}
