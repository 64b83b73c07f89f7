//! The checks of wasmcloud:keyvalue@0.2.0, as a command of WASI 0.3. It must import nothing but WASI and that shape: it runs
//! on any host that has both.

use std::rc::Rc;

use keyvalue_checks::{
    Batch, Bucket, Check, Counters, Entry, Error, Got, Options, Paged, Prefixed, Refused, Required, SetOptions,
    Swapped, Swaps, Versions, batches, buckets, counted_together, counters, named_errors, options, pages, prefixes,
    swaps, together, values, versions,
};

wit_bindgen::generate!({
    path: "../../../wit/deps/wasmcloud-keyvalue.wit",
    world: "wasmcloud:keyvalue/imports@0.2.0",
    generate_all,
});

use wasmcloud::keyvalue::{atomics, batch, cas, store, types};

/// Keys in one call, where a check needs many.
const AT_ONCE: usize = 1000;

struct Store(Rc<types::Bucket>);

fn told(error: types::Error) -> Error {
    match error {
        types::Error::NoSuchStore => Error::NoSuchStore,
        types::Error::AccessDenied => Error::AccessDenied,
        types::Error::InvalidArgument => Error::InvalidArgument,
        types::Error::PreconditionFailed => Error::PreconditionFailed,
        types::Error::Timeout => Error::Timeout,
        types::Error::StoreUnavailable => Error::StoreUnavailable,
        types::Error::QuotaExceeded => Error::QuotaExceeded,
        types::Error::Other(text) => Error::Other(text),
    }
}

fn entry(cas::Entry { value, version }: cas::Entry) -> Entry {
    Entry { value, version }
}

impl Bucket for Store {
    async fn open(name: &str) -> Result<Self, Error> {
        store::open(name.to_owned()).await.map(|bucket| Self(Rc::new(bucket))).map_err(told)
    }

    async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Error> {
        self.0.get(key.to_owned()).await.map_err(told)
    }

    async fn set(&self, key: &str, value: &[u8]) -> Result<(), Error> {
        self.0.set(key.to_owned(), value.to_vec(), None).await.map_err(told)
    }

    async fn delete(&self, key: &str) -> Result<(), Error> {
        self.0.delete(key.to_owned()).await.map_err(told)
    }

    async fn exists(&self, key: &str) -> Result<bool, Error> {
        self.0.exists(key.to_owned()).await.map_err(told)
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

impl Options for Store {
    async fn set_with(&self, key: &str, value: &[u8], options: SetOptions) -> Result<(), Error> {
        let options = types::SetOptions { ttl_ms: options.ttl_ms, if_not_exists: options.if_not_exists };
        self.0.set(key.to_owned(), value.to_vec(), Some(options)).await.map_err(told)
    }
}

impl Paged for Store {
    type Cursor = String;

    async fn page(&self, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), Error> {
        let page = self.0.list_keys(None, cursor).await.map_err(told)?;
        Ok((page.keys, page.cursor))
    }

    fn forged() -> Vec<String> {
        let long = "x".repeat(100_000);
        ["", "0", "1", "1000", "keyvalue-checks/k00001", "AAAAAAAAAAAAAAAAAAAAAA", &long].map(str::to_owned).to_vec()
    }
}

impl Prefixed for Store {
    async fn page_of(&self, prefix: &str, cursor: Option<String>) -> Result<(Vec<String>, Option<String>), Error> {
        let page = self.0.list_keys(Some(prefix.to_owned()), cursor).await.map_err(told)?;
        Ok((page.keys, page.cursor))
    }
}

impl Batch for Store {
    const TELLS_ABSENT_KEYS: bool = false;

    async fn get_many(&self, keys: &[String]) -> Result<Vec<Got>, Error> {
        let answers = batch::get_many(&self.0, keys.to_vec()).await.map_err(told)?;
        Ok(answers
            .into_iter()
            .map(|pair| match pair {
                Some((key, value)) => Got { key: Some(key), value: Some(value) },
                None => Got { key: None, value: None },
            })
            .collect())
    }

    async fn set_many(&self, items: &[(String, Vec<u8>)]) -> Result<(), Error> {
        batch::set_many(&self.0, items.to_vec()).await.map_err(told)
    }

    async fn delete_many(&self, keys: &[String]) -> Result<(), Error> {
        batch::delete_many(&self.0, keys.to_vec()).await.map_err(told)
    }
}

impl Counters for Store {
    const SIGNED: bool = true;
    const LARGEST: &'static str = "9223372036854775807";

    async fn increment(&self, key: &str, delta: i64) -> Result<i64, Error> {
        atomics::increment(&self.0, key.to_owned(), delta).await.map_err(told)
    }
}

impl Versions for Store {
    async fn entry(&self, key: &str) -> Result<Option<Entry>, Error> {
        Ok(cas::current(&self.0, key.to_owned()).await.map_err(told)?.map(entry))
    }

    async fn swap_where(&self, key: &str, value: &[u8], required: Required<'_>) -> Result<Swapped, Error> {
        let options = cas::CasOptions {
            require_version: required.version.map(str::to_owned),
            require_value: required.value.map(<[u8]>::to_vec),
        };
        Ok(match cas::swap(&self.0, key.to_owned(), value.to_vec(), options).await.map_err(told)? {
            cas::CasResult::Swapped => Swapped::Done,
            cas::CasResult::Stale(current) => Swapped::Stale(current.map(entry)),
        })
    }
}

/// The shape has no handles. What stands for one is what `current` told: a swap requires its version, and of a key that was
/// absent that it still is.
struct Cas {
    store: Store,
    key: String,
    entry: Option<Entry>,
}

impl Swaps for Store {
    type Cas = Cas;

    async fn cas(&self, key: &str) -> Result<Cas, Error> {
        Ok(Cas { store: Self(Rc::clone(&self.0)), key: key.to_owned(), entry: self.entry(key).await? })
    }

    async fn current(cas: &Cas) -> Result<Option<Vec<u8>>, Error> {
        Ok(cas.entry.as_ref().map(|entry| entry.value.clone()))
    }

    async fn swap(cas: Cas, value: &[u8]) -> Result<(), Refused<Cas>> {
        let Cas { store, key, entry } = cas;
        let entry = if let Some(entry) = entry {
            let required = Required { version: Some(&entry.version), value: None };
            match store.swap_where(&key, value, required).await.map_err(Refused::Store)? {
                Swapped::Done => return Ok(()),
                Swapped::Stale(entry) => entry,
            }
        } else {
            match store.set_with(&key, value, SetOptions { ttl_ms: None, if_not_exists: true }).await {
                Ok(()) => return Ok(()),
                Err(Error::PreconditionFailed) => store.entry(&key).await.map_err(Refused::Store)?,
                Err(error) => return Err(Refused::Store(error)),
            }
        };
        Err(Refused::Failed(Cas { store, key, entry }))
    }
}

fn checks() -> impl Iterator<Item = Check<Store>> {
    let shared = [values(), buckets(), pages(), batches(), counters(), swaps()];
    let own = [options(), prefixes(), versions(), together(), counted_together(), named_errors()];
    shared.into_iter().chain(own).flatten()
}

struct Checks;

impl wasip3::exports::cli::run::Guest for Checks {
    async fn run() -> Result<(), ()> {
        if keyvalue_checks::run("wasmcloud:keyvalue@0.2.0", checks()).await { Ok(()) } else { Err(()) }
    }
}

wasip3::cli::command::export!(Checks);
