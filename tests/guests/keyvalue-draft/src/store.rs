//! `wasi:keyvalue@0.2.0-draft` as the checks call it.

use keyvalue_checks::{Batch, Bucket, Counters, Error, Got, Paged};

wit_bindgen::generate!({
    path: "../../../wit/deps/keyvalue-draft.wit",
    world: "wasi:keyvalue/imports@0.2.0-draft",
    generate_all,
});

pub(crate) use wasi::keyvalue::{atomics, batch, store};

/// Keys in one call, where a check needs many.
const AT_ONCE: usize = 1000;

pub(crate) struct Store(pub(crate) store::Bucket);

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
    type Cursor = u64;

    async fn page(&self, cursor: Option<u64>) -> Result<(Vec<String>, Option<u64>), Error> {
        let page = self.0.list_keys(cursor).map_err(told)?;
        Ok((page.keys, page.cursor))
    }

    fn forged() -> Vec<u64> {
        vec![0, 1, 10, 1000, u64::MAX]
    }
}

impl Batch for Store {
    const TELLS_ABSENT_KEYS: bool = false;

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Got>, Error> {
        let answers = batch::get_many(&self.0, keys).map_err(told)?;
        Ok(answers
            .into_iter()
            .map(|pair| match pair {
                Some((key, value)) => Got { key: Some(key), value: Some(value) },
                None => Got { key: None, value: None },
            })
            .collect())
    }

    async fn set_many(&self, items: &[(String, Vec<u8>)]) -> Result<(), Error> {
        batch::set_many(&self.0, items).map_err(told)
    }

    async fn delete_many(&self, keys: &[String]) -> Result<(), Error> {
        batch::delete_many(&self.0, keys).map_err(told)
    }
}

impl Counters for Store {
    const SIGNED: bool = false;
    const LARGEST: &'static str = "18446744073709551615";

    async fn increment(&self, key: &str, delta: i64) -> Result<i64, Error> {
        let number = |_| Error::Other("a number that does not fit".to_owned());
        let delta = u64::try_from(delta).map_err(number)?;
        atomics::increment(&self.0, key, delta).map_err(told)?.try_into().map_err(number)
    }
}
