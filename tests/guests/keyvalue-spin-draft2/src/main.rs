//! The checks of wasi:keyvalue@0.2.0-draft2 as Spin has it, as a command. It must import nothing but WASI and that shape: it
//! runs on any host that has both.

use std::process::ExitCode;

use keyvalue_checks::{
    Batch, Bucket, Counters, Error, Got, Paged, Refused, Swaps, batches, buckets, counters, pages, swaps, values,
};

wit_bindgen::generate!({
    path: "../../../wit/spin-keyvalue",
    world: "wasi:keyvalue/imports@0.2.0-draft2",
    generate_all,
});

use wasi::keyvalue::{atomics, batch, store};

/// Keys in one call, where a check needs many.
const AT_ONCE: usize = 1000;

struct Store(store::Bucket);

fn told(error: store::Error) -> Error {
    match error {
        store::Error::NoSuchStore => Error::NoSuchStore,
        store::Error::AccessDenied => Error::AccessDenied,
        store::Error::Other(text) => Error::Other(text),
    }
}

impl Bucket for Store {
    async fn open(name: &str) -> Result<Self, Error> {
        store::open(name).map(Self).map_err(told)
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
        self.all_pages().await
    }

    async fn fill(&self, items: &[(String, Vec<u8>)]) -> Result<(), Error> {
        for items in items.chunks(AT_ONCE) {
            self.set_many(items).await?;
        }
        Ok(())
    }

    async fn sweep(&self, keys: &[String]) -> Result<(), Error> {
        for keys in keys.chunks(AT_ONCE) {
            self.delete_many(keys).await?;
        }
        Ok(())
    }
}

impl Paged for Store {
    type Cursor = String;

    async fn page(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), Error> {
        let page = self.0.list_keys(cursor.as_deref()).map_err(told)?;
        Ok((page.keys, page.cursor))
    }

    fn forged() -> Vec<String> {
        let long = "x".repeat(100_000);
        ["", "0", "1", "1000", "keyvalue-checks/k00001", "AAAAAAAAAAAAAAAAAAAAAA", &long].map(str::to_owned).to_vec()
    }
}

impl Batch for Store {
    const TELLS_ABSENT_KEYS: bool = true;

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Got>, Error> {
        let answers = batch::get_many(&self.0, keys).map_err(told)?;
        Ok(answers.into_iter().map(|(key, value)| Got { key: Some(key), value }).collect())
    }

    async fn set_many(&self, items: &[(String, Vec<u8>)]) -> Result<(), Error> {
        batch::set_many(&self.0, items).map_err(told)
    }

    async fn delete_many(&self, keys: &[String]) -> Result<(), Error> {
        batch::delete_many(&self.0, keys).map_err(told)
    }
}

impl Counters for Store {
    const SIGNED: bool = true;
    const LARGEST: &'static str = "9223372036854775807";

    async fn increment(&self, key: &str, delta: i64) -> Result<i64, Error> {
        atomics::increment(&self.0, key, delta).map_err(told)
    }
}

impl Swaps for Store {
    type Cas = atomics::Cas;

    async fn cas(&self, key: &str) -> Result<atomics::Cas, Error> {
        atomics::Cas::new(&self.0, key).map_err(told)
    }

    async fn current(cas: &atomics::Cas) -> Result<Option<Vec<u8>>, Error> {
        cas.current().map_err(told)
    }

    async fn swap(cas: atomics::Cas, value: &[u8]) -> Result<(), Refused<atomics::Cas>> {
        atomics::swap(cas, value).map_err(|error| match error {
            atomics::CasError::StoreError(error) => Refused::Store(told(error)),
            atomics::CasError::CasFailed(fresh) => Refused::Failed(fresh),
        })
    }
}

fn main() -> ExitCode {
    let checks = [values(), buckets(), pages(), batches(), counters(), swaps()];
    keyvalue_checks::main::<Store>("wasi:keyvalue@0.2.0-draft2 as Spin has it", checks.into_iter().flatten())
}
