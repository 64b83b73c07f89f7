//! A guest, compiled and linked once. Bad files are refused here, before anything runs.

use std::path::Path;

use wasmtime::component::{Component, InstancePre};

use super::flavor::Flavor;
use super::link::link;
use super::{GuestState, Runtime, RuntimeError};

/// A component that is ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub struct Program {
    pub(super) name: String,
    pub(super) pre: InstancePre<GuestState>,
}

/// How a component is linked.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LoadOptions {
    /// Whether imports that the host does not have trap when they are called, instead of being an error now.
    pub stub_unknown_imports: bool,
}

impl Program {
    /// What the component is called in errors: its file.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// The four bytes after `\0asm`: the version, and the layer that tells a component from a core module.
const COMPONENT: &[u8] = &[0x0d, 0x00, 0x01, 0x00];

impl Runtime {
    /// Compiles and links the component in a file: binary, or the text form. Blocks while it compiles, which takes
    /// seconds for a component of several megabytes that is not in the code cache: not to be called on an async executor's
    /// thread that others need. Compiling has no limits of its own: bound the size of components from strangers.
    ///
    /// # Errors
    /// [`RuntimeError`]: the file cannot be read, is not a component, imports what the host does not have, or has more
    /// memories, tables or modules than a component may.
    pub fn load(&self, file: &Path) -> Result<Program, RuntimeError> {
        self.load_with(file, LoadOptions::default())
    }

    /// As [`load`](Self::load), linked as `options` say.
    ///
    /// # Errors
    /// As there.
    pub fn load_with(&self, file: &Path, options: LoadOptions) -> Result<Program, RuntimeError> {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).map_err(|error| {
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
                std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
                _ => error.to_string(),
            };
            RuntimeError::Read { guest: name.clone(), reason }
        })?;
        self.load_bytes_with(&name, &bytes, options)
    }

    /// Compiles and links the component in `bytes`; `name` is what errors call it.
    ///
    /// # Errors
    /// [`RuntimeError`]: it is not a component, imports what the host does not have, or has more memories, tables or modules
    /// than a component may.
    pub fn load_bytes(&self, name: &str, bytes: &[u8]) -> Result<Program, RuntimeError> {
        self.load_bytes_with(name, bytes, LoadOptions::default())
    }

    /// As [`load_bytes`](Self::load_bytes), linked as `options` say.
    ///
    /// # Errors
    /// As there.
    pub fn load_bytes_with(&self, name: &str, bytes: &[u8], options: LoadOptions) -> Result<Program, RuntimeError> {
        let refuse = |reason: String| RuntimeError::NotAComponent { guest: name.to_owned(), reason };
        match bytes.strip_prefix(b"\0asm") {
            Some(rest) if !rest.starts_with(COMPONENT) => {
                return Err(refuse(
                    "it is a core module; build it for wasm32-wasip2, or wrap it with 'wasm-tools component new'"
                        .into(),
                ));
            }
            None if !bytes.trim_ascii_start().starts_with(b"(") => {
                return Err(refuse(if bytes.is_empty() {
                    "the file is empty".into()
                } else {
                    "it does not begin as WebAssembly does".into()
                }));
            }
            _ => {}
        }
        let (component, flavor) = self.compile(bytes).map_err(|error| match error {
            NotCompiled::Refused(error) => match too_large(&error) {
                Some(reason) => RuntimeError::Start { guest: name.to_owned(), reason },
                None => refuse(one_line(&error)),
            },
            NotCompiled::Engine(error) => error,
        })?;
        let pre = link(&flavor.linker, &component, options)
            .map_err(|reason| RuntimeError::Link { guest: name.to_owned(), reason })?;
        Ok(Program { name: name.to_owned(), pre })
    }

    /// Compiles for the engine that the component needs: the one without concurrency where it can.
    fn compile(&self, bytes: &[u8]) -> Result<(Component, &Flavor), NotCompiled> {
        let plain = &self.inner.plain;
        match Component::new(&plain.engine, bytes) {
            Ok(component) if !imports_wasi_3(&component) => return Ok((component, plain)),
            Ok(_) => {}
            // Validated before anything is compiled, so that asking costs little.
            Err(error) if format!("{error:#}").contains("async") => {}
            Err(error) => return Err(NotCompiled::Refused(error)),
        }
        let concurrent = self.concurrent().map_err(NotCompiled::Engine)?;
        let component = Component::new(&concurrent.engine, bytes).map_err(NotCompiled::Refused)?;
        Ok((component, concurrent))
    }
}

enum NotCompiled {
    Refused(wasmtime::Error),
    Engine(RuntimeError),
}

/// Whether a component imports what only the engine with concurrency offers, though it has nothing async in it.
fn imports_wasi_3(component: &Component) -> bool {
    let kind = component.component_type();
    kind.imports(component.engine())
        .chain(kind.exports(component.engine()))
        .any(|(name, _)| name.starts_with("wasi:") && name.contains("@0.3."))
}

/// What a component has more of than an instance in the pool may, if that is the error: known before it is started.
fn too_large(error: &wasmtime::Error) -> Option<String> {
    let text = format!("{error:#}");
    if let Some((_, reason)) = text.split_once("pooling allocator requirements: ") {
        return Some(reason.to_owned());
    }
    let (reason, _) = text.split_once(" in the pooling allocator")?;
    let has = reason.strip_prefix("The component transitively contains ");
    Some(has.map_or_else(|| reason.to_owned(), |has| format!("it has {has}")))
}

/// An error about a file's contents on one line; errors of the text form draw the place on several.
fn one_line(error: &wasmtime::Error) -> String {
    let text = format!("{error:#}");
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    match lines.find_map(|line| line.strip_prefix("--> <anon>:")) {
        Some(place) => format!("{first}, at line and column {place}"),
        None => first.to_owned(),
    }
}
