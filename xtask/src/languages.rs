//! Builds guests in other languages than Rust, with scripts of theirs. It must never leave a language out without saying so,
//! and in CI not at all.

use crate::{command, guests, paths};
use anyhow::{Context, Result, bail};
use std::path::{Path, PathBuf};
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

/// Builds a project of `stash new` by its README.md, with the tools of the language's guests: where its component is;
/// `None`, with a line that says so, where a tool is missing.
pub fn build_project(language: &str, project: &Path) -> Result<Option<PathBuf>> {
    let script = "guest-examples/new-project.sh";
    let output = command::clean("bash")
        .args([script, language])
        .arg(project)
        .current_dir(paths::root())
        .output()
        .with_context(|| format!("cannot run {script}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    match output.status.code() {
        Some(0) => {
            let component = String::from_utf8(output.stdout).context("the component's path is not UTF-8")?;
            Ok(Some(component.trim_end().into()))
        }
        Some(TOOL_MISSING) if !required() => {
            let why = said.lines().last().unwrap_or_default();
            println!("skipped: a new project in {language}, because a tool is missing: {why}");
            Ok(None)
        }
        _ => bail!("{script} {language} ended with {}:\n{said}", output.status),
    }
}

/// Whether nothing may be left out.
fn required() -> bool {
    std::env::var("CI").is_ok_and(|value| !matches!(&*value, "" | "0" | "false"))
}
