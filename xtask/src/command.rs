//! Starts programs. What it starts must never see the environment that an outer cargo made for its own child: that changes
//! what an inner cargo builds.

use anyhow::{Context, Result, bail};
use std::process::{Command, Stdio};

/// What a person may set to reach the network and the registry, or to choose how cargo prints. All else named `CARGO_*` is
/// dropped for guests, who are built in the same way wherever they are built from.
const KEPT: [&str; 8] = [
    "CARGO_HOME",
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_REGISTRY_",
    "CARGO_SOURCE_",
    "CARGO_TERM_",
    "CARGO_CACHE_",
];

/// What cargo sets for a program that it runs; the rest of the environment is the person's.
const SET_BY_CARGO: [&str; 6] =
    ["CARGO_BIN_", "CARGO_CRATE_NAME", "CARGO_MANIFEST_", "CARGO_PKG_", "CARGO_PRIMARY_PACKAGE", "CARGO_RUSTC_"];

/// What decides how an outer cargo compiles, or belongs to a build script.
const OUTER: [&str; 18] = [
    "CLIPPY_ARGS",
    "CLIPPY_CONF_DIR",
    "DEBUG",
    "HOST",
    "MAKEFLAGS",
    "MFLAGS",
    "NUM_JOBS",
    "OPT_LEVEL",
    "OUT_DIR",
    "PROFILE",
    "RUSTC",
    "RUSTC_LINKER",
    "RUSTC_WORKSPACE_WRAPPER",
    "RUSTC_WRAPPER",
    "RUSTDOC",
    "RUSTDOCFLAGS",
    "RUSTFLAGS",
    "TARGET",
];

/// `cargo` on the main workspace, as if a person had typed it in the repository.
pub fn cargo() -> Command {
    let mut command = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    for (name, _) in std::env::vars_os() {
        if let Some(name) = name.to_str()
            && SET_BY_CARGO.iter().any(|prefix| name.starts_with(prefix))
        {
            command.env_remove(name);
        }
    }
    command.current_dir(crate::paths::root()).stdin(Stdio::null());
    command
}

/// `program` with nothing of an outer cargo's environment, also when a build script starts it.
pub fn clean(program: impl AsRef<std::ffi::OsStr>) -> Command {
    let mut command = Command::new(program);
    for (name, _) in std::env::vars_os() {
        let Some(text) = name.to_str() else { continue };
        let cargo = text == "CARGO" || text.starts_with("CARGO_");
        let kept = KEPT.iter().any(|prefix| text.starts_with(prefix));
        if (cargo && !kept) || text.starts_with("DEP_") || OUTER.contains(&text) {
            command.env_remove(name);
        }
    }
    command.stdin(Stdio::null());
    command
}

/// [`clean`] cargo, with the active toolchain.
pub fn clean_cargo() -> Command {
    clean(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
}

/// Runs it to its end; an error where it fails.
pub fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| format!("cannot start {}", typed(command)))?;
    if !status.success() {
        bail!("this failed ({status}): {}", typed(command));
    }
    Ok(())
}

/// Runs it, and returns what it printed on stdout.
pub fn output(command: &mut Command) -> Result<String> {
    let output =
        command.stderr(Stdio::inherit()).output().with_context(|| format!("cannot start {}", typed(command)))?;
    if !output.status.success() {
        bail!("this failed ({}): {}", output.status, typed(command));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The command as a person would type it.
pub fn typed(command: &Command) -> String {
    let program = std::path::Path::new(command.get_program());
    let name = crate::paths::shown(program).to_string();
    // The toolchain's own path to cargo says nothing.
    let short = program.file_stem().filter(|stem| *stem == "cargo").map_or(name, |_| "cargo".to_owned());
    std::iter::once(short)
        .chain(command.get_args().map(|arg| {
            let arg = arg.to_string_lossy();
            let arg = arg.strip_prefix(&format!("{}/", crate::paths::root().display())).unwrap_or(&arg);
            let plain = |c: char| c.is_alphanumeric() || "-_=/.,:@+".contains(c);
            if !arg.is_empty() && arg.chars().all(plain) { arg.to_owned() } else { format!("'{arg}'") }
        }))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::typed;
    use std::process::Command;

    #[test]
    fn a_shown_command_can_be_typed() {
        let mut command = Command::new(crate::paths::root().join("target/debug/stash"));
        command.args(["run", "--invoke", "increment()", ""]).arg(crate::paths::root().join("a b.wasm"));
        assert_eq!(typed(&command), "target/debug/stash run --invoke 'increment()' '' 'a b.wasm'");
    }
}
