//! `wasi:config`, in the versions that guests have: names and values from the host's configuration. A component must
//! never see another one's, nor anything that was not meant for it.

use std::collections::BTreeMap;
use std::sync::Arc;

use wasmtime::component::{HasData, Linker};

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod rc1 {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/config-rc.1.wit",
        world: "wasi:config/imports@0.2.0-rc.1",
    });
}

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod draft {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/config-draft-2024-09-27.wit",
        world: "wasi:config/imports@0.2.0-draft-2024-09-27",
    });
}

#[allow(missing_docs, unreachable_pub, clippy::all, clippy::pedantic)]
mod first_draft {
    wasmtime::component::bindgen!({
        path: "../../wit/deps/config-draft.wit",
        world: "wasi:config/imports@0.2.0-draft",
    });
}

/// Names and values that a component may read through `wasi:config/store`. Clones are the same.
#[derive(Debug, Clone, Default)]
pub struct Settings(Arc<BTreeMap<String, String>>);

impl FromIterator<(String, String)> for Settings {
    /// Of two values with one name the later counts.
    fn from_iter<I: IntoIterator<Item = (String, String)>>(settings: I) -> Self {
        Self(Arc::new(settings.into_iter().collect()))
    }
}

/// Lends a guest's settings out of the state of its Wasmtime store.
pub trait SettingsView {
    /// The settings of the component that runs in this store.
    fn settings(&mut self) -> &mut Settings;
}

struct HasSettings;

impl HasData for HasSettings {
    type Data<'a> = &'a mut Settings;
}

impl Settings {
    fn list(&self) -> Vec<(String, String)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
}

/// The same functions for every version; what differs is the type of an error that there never is.
macro_rules! answers {
    ($($interface:path, $error:path;)*) => { $(
        impl $interface for Settings {
            fn get(&mut self, key: String) -> Result<Option<String>, $error> {
                Ok(self.0.get(&key).cloned())
            }

            fn get_all(&mut self) -> Result<Vec<(String, String)>, $error> {
                Ok(self.list())
            }
        }
    )* };
}

answers! {
    rc1::wasi::config::store::Host, rc1::wasi::config::store::Error;
    draft::wasi::config::store::Host, draft::wasi::config::store::Error;
    first_draft::wasi::config::store::Host, first_draft::wasi::config::store::Error;
    first_draft::wasi::config::runtime::Host, first_draft::wasi::config::runtime::ConfigError;
}

/// Gives guests `wasi:config`, in a linker whose state lends a [`SettingsView`].
///
/// # Errors
/// Wasmtime's, where the linker has one of the interfaces already.
pub fn add_to_linker<T: SettingsView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    rc1::wasi::config::store::add_to_linker::<T, HasSettings>(linker, T::settings)?;
    draft::wasi::config::store::add_to_linker::<T, HasSettings>(linker, T::settings)?;
    first_draft::wasi::config::store::add_to_linker::<T, HasSettings>(linker, T::settings)?;
    first_draft::wasi::config::runtime::add_to_linker::<T, HasSettings>(linker, T::settings)
}
