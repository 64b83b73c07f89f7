//! Writes a guest's bindings in C or Go, and makes a component of a core module: what of the `wit-bindgen` and `wasm-tools`
//! commands these guests need, built in half a minute instead of twenty. It must never write half a component.

use anyhow::{Context, Result, bail};
use std::path::Path;
use std::process::ExitCode;
use wasi_preview1_component_adapter_provider as adapter;
use wasmparser::{Parser, Payload};
use wit_bindgen_core::wit_parser::{Resolve, WorldId};
use wit_bindgen_core::{Files, WorldGenerator};
use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};

const USAGE: &str = "\
usage: wit-tool c WIT_DIR WORLD OUT_DIR
                     the world's bindings in C
       wit-tool go WIT_DIR WORLD OUT_DIR PACKAGE EXPORTS
                     the same in Go, as packages below the import path PACKAGE; they call what you export in packages
                     export_INTERFACE below EXPORTS
       wit-tool go-module OUT_DIR
                     the Go module that those import; prints its path and version
       wit-tool component CORE.wasm WIT_DIR WORLD OUT.wasm
                     a component of a core module that imports WASI preview 1; it is a command where it has _start";

/// See build.rs.
const GO_MODULE: &[(&str, &[u8])] = include!(concat!(env!("OUT_DIR"), "/go_module.rs"));

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let args: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match args.as_slice() {
        ["c", wit, world, out] => c(wit, world, out),
        ["go", wit, world, out, package, exports] => go(wit, world, out, package, exports),
        ["go-module", out] => {
            println!("{}", wit_bindgen_go::remote_pkg_version());
            GO_MODULE.iter().try_for_each(|(name, content)| write(&Path::new(out).join(name), content))
        }
        ["component", core, wit, world, out] => component(core, wit, world, out),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::FAILURE;
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(e) => {
            eprintln!("wit-tool: {e:#}");
            ExitCode::FAILURE
        }
    }
}

fn c(wit: &str, world: &str, out: &str) -> Result<()> {
    let (mut resolve, world) = read(wit, world)?;
    generate(wit_bindgen_c::Opts::default().build().as_mut(), &mut resolve, world, out)
}

fn go(wit: &str, world: &str, out: &str, package: &str, exports: &str) -> Result<()> {
    let (mut resolve, world) = read(wit, world)?;
    let options = wit_bindgen_go::Opts {
        pkg_name: Some(package.to_owned()),
        export_pkg_name: Some(exports.to_owned()),
        ..wit_bindgen_go::Opts::default()
    };
    generate(options.build().as_mut(), &mut resolve, world, out)
}

fn read(wit: &str, world: &str) -> Result<(Resolve, WorldId)> {
    let mut resolve = Resolve::default();
    let (package, _) = resolve.push_path(wit).with_context(|| format!("cannot read the WIT in {wit}"))?;
    let world = resolve.select_world(&[package], Some(world))?;
    Ok((resolve, world))
}

fn generate(generator: &mut dyn WorldGenerator, resolve: &mut Resolve, world: WorldId, out: &str) -> Result<()> {
    let mut files = Files::default();
    generator.generate(resolve, world, &mut files)?;
    files.iter().try_for_each(|(name, content)| write(&Path::new(out).join(name), content))
}

fn component(core: &str, wit: &str, world: &str, out: &str) -> Result<()> {
    let mut module = std::fs::read(core).with_context(|| format!("cannot read {core}"))?;
    if !Parser::is_core_wasm(&module) {
        bail!("{core} is no core module");
    }
    let (resolve, world) = read(wit, world)?;
    embed_component_metadata(&mut module, &resolve, world, StringEncoding::UTF8)?;
    let adapter = if is_command(&module)? {
        adapter::WASI_SNAPSHOT_PREVIEW1_COMMAND_ADAPTER
    } else {
        adapter::WASI_SNAPSHOT_PREVIEW1_REACTOR_ADAPTER
    };
    let component = ComponentEncoder::default()
        .module(&module)
        .and_then(|encoder| encoder.adapter(adapter::WASI_SNAPSHOT_PREVIEW1_ADAPTER_NAME, adapter))
        .and_then(|encoder| encoder.validate(true).encode())
        .with_context(|| format!("cannot make a component of {core}"))?;
    write(Path::new(out), &component)
}

/// Whether a core module has a `main`: the adapter then exports `wasi:cli/run`.
fn is_command(module: &[u8]) -> Result<bool> {
    for payload in Parser::new(0).parse_all(module) {
        if let Payload::ExportSection(exports) = payload? {
            for export in exports {
                if export?.name == "_start" {
                    return Ok(true);
                }
            }
        }
    }
    Ok(false)
}

/// Writes a file in one step, and its folder before where that is not there.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    let part = path.with_added_extension(format!("part-{}", std::process::id()));
    let write = || {
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(&part, content)?;
        std::fs::rename(&part, path)
    };
    write().with_context(|| format!("cannot write {}", path.display()))
}
