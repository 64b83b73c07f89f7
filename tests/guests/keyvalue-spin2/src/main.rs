//! The checks of fermyon:spin/key-value@2.0.0, as a command. It must import nothing but WASI and that shape: it runs on any
//! host that has both.

use std::process::ExitCode;

use keyvalue_checks::{Bucket, Error, buckets, values};

wit_bindgen::generate!({
    path: "../../../wit/deps/spin-2.wit",
    inline: "
        package stash:keyvalue-checks;
        world checks {
            import fermyon:spin/key-value@2.0.0;
        }
    ",
    world: "stash:keyvalue-checks/checks",
    generate_all,
});

use fermyon::spin::key_value;

struct Store(key_value::Store);

fn told(error: key_value::Error) -> Error {
    match error {
        key_value::Error::StoreTableFull => Error::TableFull,
        key_value::Error::NoSuchStore => Error::NoSuchStore,
        key_value::Error::AccessDenied => Error::AccessDenied,
        key_value::Error::Other(text) => Error::Other(text),
    }
}

impl Bucket for Store {
    async fn open(name: &str) -> Result<Self, Error> {
        key_value::Store::open(name).map(Self).map_err(told)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key).map_err(told)
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.0.set(key, value).map_err(told)
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.0.delete(key).map_err(told)
    }

    async fn exists(&self, key: &str) -> Result<bool, Error> {
        self.0.exists(key).map_err(told)
    }

    async fn keys(&self) -> Result<Vec<String>, Error> {
        self.0.get_keys().map_err(told)
    }
}

fn main() -> ExitCode {
    let checks = [values(), buckets()];
    keyvalue_checks::main::<Store>("fermyon:spin/key-value@2.0.0", checks.into_iter().flatten())
}
