//! Proves the contract of `wit/storage.wit`, row by row, from inside a guest. A case must say what it expected and what
//! came, must need no other case, and must pass again on a store that it has used before.

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "stash:contract/contract",
    generate_all,
    additional_derives: [PartialEq],
});

mod capability;
mod commits;
mod conditions;
mod entries;
mod expiries;
mod following;
mod history;
mod limits;
mod lists;
mod many;
mod named;
mod numbers;
mod quota;
mod restart;
mod steps;
mod support;
mod transacting;
mod usages;

use support::{Named, told};

/// The cases that need nothing but a store.
const CASES: &[&[Named]] = &[
    entries::CASES,
    conditions::CASES,
    many::CASES,
    commits::CASES,
    numbers::CASES,
    transacting::CASES,
    lists::CASES,
    expiries::CASES,
    named::CASES,
    usages::CASES,
    history::CASES,
    limits::CASES,
    capability::CASES,
    following::CASES,
];

/// Those that need something more, or time.
const OTHERS: &[Named] = &[
    ("quota", quota::quota),
    ("restart-write", restart::write),
    ("restart-check", restart::check_all),
    ("too-many-collections", named::too_many_collections),
];

struct Contract;

fn cases() -> impl Iterator<Item = &'static Named> {
    CASES.iter().copied().flatten()
}

impl Guest for Contract {
    fn cases() -> Vec<String> {
        cases().map(|(name, _)| (*name).to_owned()).collect()
    }

    fn run(name: String) -> Result<String, String> {
        let case = cases().chain(OTHERS).find(|(known, _)| *known == name);
        let (_, case) = case.ok_or_else(|| format!("there is no case '{name}'"))?;
        case().map(|()| name)
    }

    fn run_all() -> Result<u32, String> {
        let failed: Vec<String> =
            cases().filter_map(|(name, case)| case().err().map(|error| format!("{name}: {error}"))).collect();
        if failed.is_empty() {
            return u32::try_from(cases().count()).map_err(|error| error.to_string());
        }
        Err(format!("{} of {} cases failed:\n{}", failed.len(), cases().count(), failed.join("\n")))
    }

    fn tx_begin(isolation: String) -> Result<(), String> {
        steps::begin(&isolation)
    }

    fn tx_get(key: String) -> Result<Option<String>, String> {
        steps::with(|transaction, of| transaction.get(of, &key))?
            .map(|value| String::from_utf8(value).map_err(|error| error.to_string()))
            .transpose()
    }

    fn tx_list(prefix: String) -> Result<Vec<String>, String> {
        let options = support::page(support::prefixed(&prefix));
        steps::with(|transaction, of| transaction.list_keys(of, &options)).map(|page| page.keys)
    }

    fn tx_set(key: String, value: String) -> Result<(), String> {
        steps::with(|transaction, of| transaction.set(of, &key, value.as_bytes()))
    }

    fn tx_commit() -> Result<u64, String> {
        steps::with(|transaction, _| transaction.commit())
    }
}

export!(Contract);
