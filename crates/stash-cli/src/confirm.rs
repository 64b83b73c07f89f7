//! Asks before what cannot be undone. It must never take silence, or a pipe, for a yes.

use std::io::{BufRead, IsTerminal, Write, stderr, stdin};

use anyhow::{Result, bail};

/// Asks a person whether to do `what`. Without a terminal nobody can be asked, and the answer is an error.
pub(crate) fn confirm(what: &str) -> Result<bool> {
    if !stdin().is_terminal() {
        bail!("this would {what}, and there is no terminal to ask on; nothing was done; --yes does it unasked");
    }
    let mut err = stderr().lock();
    write!(err, "{what}? [y/N] ")?;
    err.flush()?;
    let mut answer = String::new();
    stdin().lock().read_line(&mut answer)?;
    let yes = matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes");
    if !yes {
        writeln!(err, "nothing was done")?;
    }
    Ok(yes)
}
