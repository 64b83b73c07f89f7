//! Linking: what a component imports decides which shape of an interface it gets, which store a label means, and whether
//! what nobody has is an error or a trap. A component must never be linked to an interface of another shape.

use wasmtime::component::types::ComponentItem;
use wasmtime::component::{Component, InstancePre, Linker, ResourceType, Val};

use super::{GuestState, LoadOptions};
use crate::keyvalue::{self, Draft2};
use crate::labels;

/// Links a component; `Err` says what is missing, for a person.
pub(super) fn link(
    base: &Linker<GuestState>,
    component: &Component,
    options: LoadOptions,
) -> Result<InstancePre<GuestState>, String> {
    let mut linker = base.clone();
    let shape = Draft2::of(component);
    let offered =
        keyvalue::add_to_linker(&mut linker, shape).and_then(|()| labels::add_to_linker(&mut linker, component, shape));
    offered.map_err(|error| format!("{error:#}"))?;
    if options.stub_unknown_imports {
        linker.define_unknown_imports_as_traps(component).map_err(|error| format!("{error:#}"))?;
    }
    linker.instantiate_pre(component).map_err(|error| missing(&linker, component, &error))
}

const OFFER: &str = "this host has WASI 0.2 and 0.3 with wasi:http, wasi:config and wasi:logging, wasi:keyvalue \
    0.2.0-draft and 0.2.0-draft2, wasmcloud:keyvalue 0.2.0, fermyon:spin/key-value 2.0.0, spin:key-value 3.0.0 and \
    stash:storage 0.1.0; --stub-unknown-imports lets it start without";

/// Every import that nobody has, or has in another shape. Wasmtime tells the first; with a trap in its place, the next.
fn missing(linker: &Linker<GuestState>, component: &Component, error: &wasmtime::Error) -> String {
    let kind = component.component_type();
    let mut linker = linker.clone();
    linker.allow_shadowing(true);
    let mut unknown: Vec<&str> = Vec::new();
    let mut said = format!("{error:#}");
    loop {
        tracing::debug!("linking failed: {said}");
        let mut imports = kind.imports(component.engine());
        let Some((name, item)) = imports.find(|(name, _)| said.contains(&format!("`{name}`"))) else { break };
        if unknown.contains(&name) || trap(&mut linker, component, name, &item.ty).is_err() {
            break;
        }
        unknown.push(name);
        match linker.instantiate_pre(component) {
            Ok(_) => break,
            Err(next) => said = format!("{next:#}"),
        }
    }
    if unknown.is_empty() {
        return format!("{error:#}; {OFFER}");
    }
    format!("it imports {}, which this host does not have, or not in that shape; {OFFER}", unknown.join(", "))
}

/// Puts something that traps in the place of an import.
fn trap(
    linker: &mut Linker<GuestState>,
    component: &Component,
    name: &str,
    item: &ComponentItem,
) -> wasmtime::Result<()> {
    let none = |_: wasmtime::StoreContextMut<'_, GuestState>, _, _: &[Val], _: &mut [Val]| wasmtime::bail!("stub");
    match item {
        ComponentItem::ComponentFunc(_) => linker.root().func_new(name, none),
        ComponentItem::ComponentInstance(instance) => {
            let mut stub = linker.instance(name)?;
            for (name, export) in instance.exports(component.engine()) {
                match export.ty {
                    ComponentItem::ComponentFunc(_) => stub.func_new(name, none)?,
                    ComponentItem::Resource(_) => stub.resource(name, ResourceType::host::<()>(), |_, _| Ok(()))?,
                    _ => {}
                }
            }
            Ok(())
        }
        _ => wasmtime::bail!("neither a function nor an interface"),
    }
}
