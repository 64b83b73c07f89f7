//! Takes the Go module that generated bindings import out of the crate `wit-bindgen-go`, which carries it: a Go proxy is
//! then not needed, and the module is always the one that the generator was written for.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

/// What of the module is compiled into guests; its documentation is not.
const FILES: [&str; 12] = [
    "LICENSE",
    "go.mod",
    "wit/async/async.go",
    "wit/async/empty.s",
    "wit/runtime/empty.s",
    "wit/runtime/runtime.go",
    "wit/types/future.go",
    "wit/types/option.go",
    "wit/types/result.go",
    "wit/types/stream.go",
    "wit/types/tuple.go",
    "wit/types/unit.go",
];

fn main() -> Result<(), Box<dyn std::error::Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=Cargo.lock");
    let module = crate_folder("wit-bindgen-go")?.join("src/pkg");
    let mut table = String::from("&[\n");
    for file in FILES {
        let path = module.join(file);
        if !path.exists() {
            return Err(format!("{} is not there: has the crate's layout changed?", path.display()).into());
        }
        let path = path.to_str().ok_or("the path of cargo's registry is no text")?;
        writeln!(table, "    ({file:?}, include_bytes!({path:?})),")?;
    }
    table.push(']');
    std::fs::write(Path::new(&std::env::var("OUT_DIR")?).join("go_module.rs"), table)?;
    Ok(())
}

fn crate_folder(name: &str) -> Result<PathBuf, Box<dyn std::error::Error>> {
    let output = Command::new(std::env::var("CARGO")?)
        .args(["metadata", "--format-version=1", "--locked", "--offline"])
        .output()?;
    let metadata = String::from_utf8(output.stdout)?;
    // The paths of packages are the only ones with the crate's name and Cargo.toml at their end.
    let manifest = metadata
        .split("\"manifest_path\":\"")
        .filter_map(|rest| rest.split('"').next())
        .find(|path| {
            let folder = path.strip_suffix("/Cargo.toml").and_then(|path| path.rsplit('/').next());
            folder.is_some_and(|folder| folder.starts_with(name))
        })
        .ok_or_else(|| format!("cargo does not tell where the crate {name} is"))?;
    Ok(Path::new(manifest).with_file_name(""))
}
