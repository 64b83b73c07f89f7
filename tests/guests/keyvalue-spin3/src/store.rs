//! `spin:key-value@3.0.0` as the checks call it.

use keyvalue_checks::{Bucket, Error, Streamed, all};

wit_bindgen::generate!({
    path: "../../../wit/deps/spin-3.wit",
    inline: "
        package stash:keyvalue-checks;
        world checks {
            import spin:key-value/key-value@3.0.0;
        }
    ",
    world: "stash:keyvalue-checks/checks",
    generate_all,
});

use spin::key_value::key_value;
use wit_bindgen::{FutureReader, StreamReader};

/// Calls under way together, where a check needs many.
const AT_ONCE: usize = 500;

pub(crate) struct Store(key_value::Store);

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
        key_value::Store::open(name.to_owned()).await.map(Self).map_err(told)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key.to_owned()).await.map_err(told)
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.0.set(key.to_owned(), value.to_vec()).await.map_err(told)
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.0.delete(key.to_owned()).await.map_err(told)
    }

    async fn exists(&self, key: &str) -> Result<bool, Error> {
        self.0.exists(key.to_owned()).await.map_err(told)
    }

    async fn keys(&self) -> Result<Vec<String>, Error> {
        let (keys, outcome) = self.stream().await;
        let keys = keys.collect().await;
        Self::outcome(outcome).await?;
        Ok(keys)
    }

    async fn fill(&self, items: &[(String, Vec<u8>)]) -> Result<(), Error> {
        for items in items.chunks(AT_ONCE) {
            all(items.iter().map(|(key, value)| self.set(key, value))).await.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }

    async fn sweep(&self, keys: &[String]) -> Result<(), Error> {
        for keys in keys.chunks(AT_ONCE) {
            all(keys.iter().map(|key| self.delete(key))).await.into_iter().collect::<Result<(), _>>()?;
        }
        Ok(())
    }
}

impl Streamed for Store {
    type Keys = StreamReader<String>;
    type Outcome = FutureReader<Result<(), key_value::Error>>;

    async fn stream(&self) -> (Self::Keys, Self::Outcome) {
        self.0.get_keys().await
    }

    async fn next(keys: &mut Self::Keys) -> Option<String> {
        keys.next().await
    }

    async fn outcome(outcome: Self::Outcome) -> Result<(), Error> {
        outcome.await.map_err(told)
    }
}
