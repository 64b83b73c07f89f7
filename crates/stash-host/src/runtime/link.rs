//! Linking: what a component imports decides which shape of an interface it gets, which store a label means, and whether
//! what nobody has is an error or a trap. A component must never be linked to an interface of another shape.

use wasmtime::component::types::{ComponentFunc, ComponentItem};
use wasmtime::component::{Component, InstancePre, Linker, LinkerInstance, ResourceType, Val};

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
    let error = match linker.instantiate_pre(component) {
        Ok(linked) => return Ok(linked),
        Err(error) => error,
    };
    if options.stub_unknown_imports {
        // What the host has stays: a trap is put only where there is nothing.
        let (unknown, linked) = with_traps(&mut linker.clone(), component, |said| said.contains(MISSING));
        if let Ok(linked) = linked {
            tracing::info!("without {}: they trap when called", unknown.join(", "));
            return Ok(linked);
        }
    }
    Err(missing(&mut linker, component, &error))
}

/// Wasmtime's words for what is not there at all, and not for what has another shape.
const MISSING: &str = "implementation is missing";

const OFFER: &str = "this host has WASI 0.2 and 0.3 with wasi:http, wasi:config and wasi:logging, wasi:keyvalue \
    0.2.0-draft and 0.2.0-draft2, wasmcloud:keyvalue 0.2.0, fermyon:spin/key-value 2.0.0, spin:key-value 3.0.0 and \
    stash:storage 0.1.0";

/// Imports that one component may have of what nobody has: each is linked again for the next, so that a file with tens of
/// thousands would keep whoever loads it busy.
const MAX_UNKNOWN: usize = 100;

/// Every import that nobody has, or has in another shape.
fn missing(linker: &mut Linker<GuestState>, component: &Component, error: &wasmtime::Error) -> String {
    tracing::debug!("linking failed: {error:#}");
    // With traps for what nobody has, Wasmtime tells what has another shape.
    let (absent, left) = with_traps(&mut linker.clone(), component, |said| said.contains(MISSING));
    linker.allow_shadowing(true);
    let (mut others, linked) = with_traps(linker, component, |_| true);
    let more = if others.len() >= MAX_UNKNOWN && linked.is_err() { " and more" } else { "" };
    others.retain(|name| !absent.contains(name));
    let absent = format!("it imports {}{more}, which this host does not have", absent.join(", "));
    match left {
        Err(error) if !others.is_empty() => {
            let others = others.join(", ");
            format!("it imports {others} with other functions or types than this host has them: {error:#}")
        }
        Err(error) if more.is_empty() => format!("{error:#}; {OFFER}"),
        _ => format!("{absent}; {OFFER}; --stub-unknown-imports lets it start without"),
    }
}

/// What a component imports and cannot be linked with, and the component with traps in its place. Wasmtime tells the first
/// such import; with traps in its place, the next. Asking it, and not looking names up, is what lets an interface of an
/// older or newer WASI 0.2 count as there. It ends where `goes_on` says so of Wasmtime's words, and after [`MAX_UNKNOWN`].
fn with_traps(
    linker: &mut Linker<GuestState>,
    component: &Component,
    goes_on: fn(&str) -> bool,
) -> (Vec<String>, wasmtime::Result<InstancePre<GuestState>>) {
    let kind = component.component_type();
    let mut unknown: Vec<String> = Vec::new();
    let mut linked = linker.instantiate_pre(component);
    while let Err(error) = &linked {
        let said = format!("{error:#}");
        if !goes_on(&said) || unknown.len() >= MAX_UNKNOWN {
            break;
        }
        let mut imports = kind.imports(component.engine());
        let Some((name, item)) = imports.find(|(name, _)| said.contains(&format!("`{name}`"))) else { break };
        if unknown.iter().any(|known| known == name) || trap(linker, component, name, &item.ty).is_err() {
            break;
        }
        unknown.push(name.to_owned());
        linked = linker.instantiate_pre(component);
    }
    (unknown, linked)
}

/// Puts something that traps in the place of an import; where the linker allows no shadowing, of what is missing in it.
fn trap(
    linker: &mut Linker<GuestState>,
    component: &Component,
    name: &str,
    item: &ComponentItem,
) -> wasmtime::Result<()> {
    match item {
        ComponentItem::ComponentFunc(function) => trap_function(&mut linker.root(), name, name.to_owned(), function),
        ComponentItem::ComponentInstance(instance) => {
            let mut stub = linker.instance(name)?;
            for (export, item) in instance.exports(component.engine()) {
                // It fails for what is there already.
                match item.ty {
                    ComponentItem::ComponentFunc(function) => {
                        trap_function(&mut stub, export, format!("{name}#{export}"), &function).ok();
                    }
                    ComponentItem::Resource(_) => {
                        stub.resource(export, ResourceType::host::<()>(), |_, _| Ok(())).ok();
                    }
                    _ => {}
                }
            }
            Ok(())
        }
        _ => wasmtime::bail!("neither a function nor an interface"),
    }
}

fn trap_function(
    linker: &mut LinkerInstance<'_, GuestState>,
    name: &str,
    shown: String,
    function: &ComponentFunc,
) -> wasmtime::Result<()> {
    let error = move || wasmtime::format_err!("it called {shown}, which this host does not have");
    if function.async_() {
        return linker.func_new_concurrent(name, move |_, _, _, _| {
            let error = error();
            Box::pin(async move { Err(error) })
        });
    }
    linker.func_new(name, move |_, _, _: &[Val], _: &mut [Val]| Err(error()))
}
