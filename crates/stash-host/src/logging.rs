//! `wasi:logging`: a guest's messages go to the host's log, with the component they are of. A message must never be taken
//! for one of the host's own, nor fill the log faster than the guest could write to its standard error.

use tracing::{debug, error, info, trace, warn};
use wasmtime::component::Linker;

use crate::view::{HasStorage, StorageCtxView, StorageView};

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod bindings {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/logging.wit",
        world: "wasi:logging/imports@0.1.0-draft",
    });
}

use bindings::wasi::logging::logging;

/// The target of guests' messages: `RUST_LOG=stash::guest=debug` shows them and nothing else.
pub const TARGET: &str = "stash::guest";

/// Characters of a message that are logged.
const MAX_MESSAGE_CHARS: usize = 16 * 1024;

impl logging::Host for StorageCtxView<'_> {
    fn log(&mut self, level: logging::Level, context: String, message: String) {
        let component = self.ctx.store().id();
        let (context, message) = (one_line(&context), one_line(&message));
        match level {
            logging::Level::Trace => trace!(target: TARGET, %component, context, "{message}"),
            logging::Level::Debug => debug!(target: TARGET, %component, context, "{message}"),
            logging::Level::Info => info!(target: TARGET, %component, context, "{message}"),
            logging::Level::Warn => warn!(target: TARGET, %component, context, "{message}"),
            logging::Level::Error => error!(target: TARGET, %component, context, "{message}"),
            logging::Level::Critical => error!(target: TARGET, %component, context, critical = true, "{message}"),
        }
    }
}

/// A guest's text on one line: a line break or an escape sequence could make one message look like two, or like the host's.
/// What is far too long is cut.
pub fn one_line(text: &str) -> String {
    let mut shown = String::with_capacity(text.len().min(MAX_MESSAGE_CHARS));
    for character in text.chars().take(MAX_MESSAGE_CHARS) {
        if character.is_control() && character != '\t' {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Gives guests `wasi:logging/logging`, with its version and without one, in a linker whose state lends a
/// [`StorageView`].
///
/// # Errors
/// Wasmtime's, where the linker has the interface already.
pub fn add_to_linker<T: StorageView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    logging::add_to_linker::<T, HasStorage>(linker, T::storage)?;
    // As wasmCloud's guests import it.
    logging::add_to_linker_instance::<T, HasStorage>(&mut linker.instance("wasi:logging/logging")?, T::storage)
}

#[cfg(test)]
mod tests {
    use super::one_line;

    #[test]
    fn a_message_is_one_line() {
        assert_eq!(one_line("a\tb\nWARN c\u{1b}[2J"), "a\tb\\nWARN c\\u{1b}[2J");
        assert_eq!(one_line(&"x".repeat(20_000)).len(), 16 * 1024);
    }
}
