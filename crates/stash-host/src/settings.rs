//! `wasi:config`, in the two versions that guests have: names and values from the host's configuration. A component must
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

impl rc1::wasi::config::store::Host for Settings {
    fn get(&mut self, key: String) -> Result<Option<String>, rc1::wasi::config::store::Error> {
        Ok(self.0.get(&key).cloned())
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, rc1::wasi::config::store::Error> {
        Ok(self.list())
    }
}

impl draft::wasi::config::store::Host for Settings {
    fn get(&mut self, key: String) -> Result<Option<String>, draft::wasi::config::store::Error> {
        Ok(self.0.get(&key).cloned())
    }

    fn get_all(&mut self) -> Result<Vec<(String, String)>, draft::wasi::config::store::Error> {
        Ok(self.list())
    }
}

/// Gives guests `wasi:config/store`, in a linker whose state lends a [`SettingsView`].
///
/// # Errors
/// Wasmtime's, where the linker has one of the interfaces already.
pub fn add_to_linker<T: SettingsView + 'static>(linker: &mut Linker<T>) -> wasmtime::Result<()> {
    rc1::wasi::config::store::add_to_linker::<T, HasSettings>(linker, T::settings)?;
    draft::wasi::config::store::add_to_linker::<T, HasSettings>(linker, T::settings)
}
