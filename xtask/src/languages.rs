//! Builds the guests in other languages than Rust, each with its own script. It must never leave a language out without
//! saying so, and in CI not at all.

use crate::{command, guests, paths};
use anyhow::{Context, Result, bail};
use std::path::PathBuf;
use std::process::Stdio;

/// The folders of `guest-examples` with a `build.sh`.
pub const LANGUAGES: [&str; 4] = ["c", "go", "python", "typescript"];

/// What a script exits with where a tool is missing that it cannot install.
const TOOL_MISSING: i32 = 3;

/// Where a language's guests are when they are built.
pub fn dir(language: &str) -> PathBuf {
    guests::dir().join(language)
}

/// Builds the guests of all languages; says which were left out because a tool is missing. What has not changed is not
/// built again.
pub fn build() -> Result<Vec<&'static str>> {
    let mut built = Vec::new();
    for language in LANGUAGES {
        let script = format!("guest-examples/{language}/build.sh");
        let status = command::clean("bash")
            .arg(&script)
            .arg(dir(language))
            .current_dir(paths::root())
            .stdout(Stdio::null())
            .status()
            .with_context(|| format!("cannot run {script}"))?;
        match status.code() {
            Some(0) => built.push(language),
            Some(TOOL_MISSING) if !required() => {
                println!("skipped: the guests in {language}, because a tool is missing: see above");
                // Those of an earlier build would be tested as if they were today's.
                let _ = std::fs::remove_dir_all(dir(language));
            }
            _ => bail!("{script} ended with {status}"),
        }
    }
    Ok(built)
}

/// Whether nothing may be left out.
fn required() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(&*value, "" | "0" | "false"))
}
