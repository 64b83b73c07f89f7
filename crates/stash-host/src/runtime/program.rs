//! A guest, compiled and linked once. Bad files are refused here, before anything runs.

use std::path::Path;

use tracing::debug;
use wasmtime::component::{Component, InstancePre};

use super::{GuestState, Runtime, RuntimeError};

/// A component that is ready to be instantiated. Cheap to clone.
#[derive(Clone)]
pub struct Program {
    pub(super) name: String,
    pub(super) pre: InstancePre<GuestState>,
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
    /// [`RuntimeError`]: the file cannot be read, is not a component, or imports what the host does not have.
    pub fn load(&self, file: &Path) -> Result<Program, RuntimeError> {
        let name = file.display().to_string();
        let bytes = std::fs::read(file).map_err(|error| {
            let reason = match error.kind() {
                std::io::ErrorKind::NotFound => "there is no such file".to_owned(),
                std::io::ErrorKind::IsADirectory => "it is a folder".to_owned(),
                _ => error.to_string(),
            };
            RuntimeError::Read { guest: name.clone(), reason }
        })?;
        self.load_bytes(&name, &bytes)
    }

    /// Compiles and links the component in `bytes`; `name` is what errors call it.
    ///
    /// # Errors
    /// [`RuntimeError`]: it is not a component, or imports what the host does not have.
    pub fn load_bytes(&self, name: &str, bytes: &[u8]) -> Result<Program, RuntimeError> {
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
        let component = Component::new(&self.engine, bytes).map_err(|error| refuse(one_line(&error)))?;
        let pre = self.linker.instantiate_pre(&component);
        let pre =
            pre.map_err(|error| RuntimeError::Link { guest: name.to_owned(), reason: missing(&component, &error) })?;
        Ok(Program { name: name.to_owned(), pre })
    }
}

/// Which import is missing or has another shape, and what there is.
fn missing(component: &Component, error: &wasmtime::Error) -> String {
    const OFFER: &str = "it has WASI 0.2 (what wasi:cli/command imports) and stash:storage@0.1.0";
    debug!("linking failed: {error:#}");
    let said = format!("{error:#}");
    let kind = component.component_type();
    let mut imports = kind.imports(component.engine()).map(|(name, _)| name);
    match imports.find(|name| said.contains(&format!("`{name}`"))) {
        Some(name) => format!("it imports {name}, which this host does not have, or not in that shape; {OFFER}"),
        None => format!("{said}; {OFFER}"),
    }
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
