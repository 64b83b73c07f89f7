//! Calling any exported function, arguments and result in WAVE text: `increment(5)`, `greet("Ada")`.

use wasmtime::component::types::{ComponentItem, Type};
use wasmtime::component::wasm_wave::untyped::UntypedFuncCall;
use wasmtime::component::wasm_wave::wasm::{DisplayFunc, WasmFunc};
use wasmtime::component::{ComponentExportIndex, Val};

use super::run::{exit_or_trap, not_started};
use super::{ExitCode, GuestContext, Program, Runtime, RuntimeError};

/// An exported function: the interface it is in, if any, and its name.
struct Export {
    interface: Option<String>,
    function: String,
    index: ComponentExportIndex,
}

impl Export {
    fn full_name(&self) -> String {
        match &self.interface {
            Some(interface) => format!("{interface}#{}", self.function),
            None => self.function.clone(),
        }
    }
}

/// How a call of a guest's function ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Invoked {
    /// With this result, in WAVE; empty where the function has none.
    Returned(String),
    /// The guest ended itself, as a process would.
    Exited(ExitCode),
}

impl Runtime {
    /// Calls an exported function with a component's `storage`, and answers its result.
    ///
    /// `call` is WAVE text, as in `increment(5)`. A function of an exported interface is called by its own name, or, where
    /// several have the name, with the interface's in front: `example:shop/orders#place("pears", 2)`.
    ///
    /// Dropping the future stops the guest; what it had stored stays stored.
    ///
    /// # Errors
    /// [`RuntimeError`]: there is no such function, the arguments do not fit, it trapped or took too long. An `err`
    /// result is not an error.
    pub async fn invoke(&self, program: &Program, context: GuestContext, call: &str) -> Result<Invoked, RuntimeError> {
        let guest = &program.name;
        let refuse = |reason: String| RuntimeError::Call { guest: guest.clone(), reason };
        let (interface, call) = match call.split_once('#') {
            // A '#' further on is part of an argument.
            Some((interface, rest)) if !interface.contains('(') => (Some(interface), rest),
            _ => (None, call),
        };
        let parsed = UntypedFuncCall::parse(call).map_err(|error| {
            let shown: String = call.chars().take(60).collect();
            refuse(format!("'{shown}' is not a call in WAVE text ({error}); write for example 'name(1, \"text\")'"))
        })?;

        let exports = exports(program);
        let mut matches = exports.iter().filter(|export| {
            export.function == parsed.name() && (interface.is_none() || export.interface.as_deref() == interface)
        });
        let export = match (matches.next(), matches.next()) {
            (Some(export), None) => export,
            (None, _) => {
                let asked = interface.map_or_else(String::new, |interface| format!("{interface}#")) + parsed.name();
                return Err(refuse(format!("it has no function '{asked}'; {}", Self::offer(program))));
            }
            (Some(first), Some(second)) => {
                return Err(refuse(format!(
                    "several functions are called '{}'; say which: '{}' or '{}'",
                    parsed.name(),
                    first.full_name(),
                    second.full_name()
                )));
            }
        };

        let mut store = self.new_store(program, context);
        let run = async {
            let instance = program.pre.instantiate_async(&mut store).await;
            let instance = instance.map_err(|error| not_started(guest, &error))?;
            let function = instance
                .get_func(&mut store, export.index)
                .ok_or_else(|| refuse(format!("its export '{}' is not a function", export.full_name())))?;
            let signature = function.ty(&store);
            // Before anything is called: a result that cannot be written must not have had its effects.
            if let Some(kind) =
                signature.params().map(|(_, kind)| kind).chain(signature.results()).find_map(|t| wordless(&t))
            {
                return Err(refuse(format!(
                    "{} has {kind} in its signature, which has no WAVE text",
                    export.full_name()
                )));
            }
            let parameters: Vec<_> = WasmFunc::params(&signature).collect();
            let arguments = parsed.to_wasm_params::<Val>(&parameters).map_err(|error| {
                refuse(format!("the arguments do not fit {}: {error}", DisplayFunc(signature.clone())))
            })?;
            let mut results = vec![Val::Bool(false); WasmFunc::results(&signature).count()];
            if let Err(error) = function.call_async(&mut store, &arguments, &mut results).await {
                return exit_or_trap(guest, &error).map(Invoked::Exited);
            }
            let texts: Result<Vec<_>, _> = results.iter().map(Val::to_wave).collect();
            let texts = texts.map_err(|error| refuse(format!("its result has no WAVE text: {error:#}")))?;
            Ok(Invoked::Returned(texts.join(", ")))
        };
        self.within_deadline(guest, run).await?
    }

    /// What can be called, for errors.
    pub(super) fn offer(program: &Program) -> String {
        const SHOWN: usize = 10;
        let names: Vec<String> = exports(program).iter().map(Export::full_name).collect();
        match names.get(..SHOWN) {
            _ if names.is_empty() => "it exports no functions".to_owned(),
            Some(first) if names.len() > SHOWN => {
                format!("it has {} and {} more", first.join(", "), names.len() - SHOWN)
            }
            _ => format!("it has {}", names.join(", ")),
        }
    }
}

/// The functions that can be called.
fn exports(program: &Program) -> Vec<Export> {
    let component = program.pre.component();
    let mut found = Vec::new();
    for (name, item) in component.component_type().exports(component.engine()) {
        match item.ty {
            ComponentItem::ComponentFunc(_) => {
                if let Some((_, index)) = component.get_export(None, name) {
                    found.push(Export { interface: None, function: name.to_owned(), index });
                }
            }
            ComponentItem::ComponentInstance(instance) => {
                let Some((_, parent)) = component.get_export(None, name) else { continue };
                for (function, item) in instance.exports(component.engine()) {
                    if let ComponentItem::ComponentFunc(_) = item.ty
                        && let Some((_, index)) = component.get_export(Some(&parent), function)
                    {
                        let interface = Some(name.to_owned());
                        found.push(Export { interface, function: function.to_owned(), index });
                    }
                }
            }
            _ => {}
        }
    }
    found
}

/// What in a type has no WAVE text, if anything has.
fn wordless(kind: &Type) -> Option<&'static str> {
    let all = |mut kinds: &mut dyn Iterator<Item = Type>| Iterator::find_map(&mut kinds, |kind| wordless(&kind));
    match kind {
        Type::Own(_) | Type::Borrow(_) => Some("a resource"),
        Type::Future(_) => Some("a future"),
        Type::Stream(_) => Some("a stream"),
        Type::ErrorContext => Some("an error context"),
        Type::Map(_) => Some("a map"),
        Type::List(list) => wordless(&list.ty()),
        Type::FixedLengthList(list) => wordless(&list.ty()),
        Type::Option(option) => wordless(&option.ty()),
        Type::Record(record) => all(&mut record.fields().map(|field| field.ty)),
        Type::Tuple(tuple) => all(&mut tuple.types()),
        Type::Variant(variant) => all(&mut variant.cases().filter_map(|case| case.ty)),
        Type::Result(result) => all(&mut result.ok().into_iter().chain(result.err())),
        _ => None,
    }
}
