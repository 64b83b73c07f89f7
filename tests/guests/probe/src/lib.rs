//! Lets a test make any call of the store, and misbehave in every way that a guest can.
//! It must never soften an answer: what the host said is what the test sees.

wit_bindgen::generate!({ path: ["../../../wit", "wit"], world: "stash:probe/probe", generate_all });

use stash::storage::{store, types};
use std::hint::black_box;

const MIB: usize = 1 << 20;
const PAGE: usize = 1 << 12;
/// How many bytes `set-loop` sets: what the benchmarks count in.
const LOOP_VALUE: usize = 100;

struct Probe;

impl Guest for Probe {
    fn get(key: String) -> Result<Option<Vec<u8>>, String> {
        store::get(&key).map_err(reason)
    }

    fn set(key: String, value: Vec<u8>) -> Result<(), String> {
        store::set(&key, &value).map_err(reason)
    }

    fn set_text(key: String, value: String) -> Result<(), String> {
        store::set(&key, value.as_bytes()).map_err(reason)
    }

    fn delete(key: String) -> Result<bool, String> {
        store::delete(&key).map_err(reason)
    }

    fn exists(key: String) -> Result<bool, String> {
        store::exists(&key).map_err(reason)
    }

    fn list_keys(prefix: String) -> Result<Vec<String>, String> {
        store::list_keys(&prefix).map_err(reason)
    }

    fn usage() -> Result<(u64, Option<u64>, u64), String> {
        let usage = store::usage().map_err(reason)?;
        Ok((usage.used_bytes, usage.quota_bytes, usage.key_count))
    }

    fn set_many(prefix: String, n: u32, bytes: u32) -> Result<u32, String> {
        let value = vec![b'v'; bytes as usize];
        for i in 0..n {
            store::set(&format!("{prefix}{i:08}"), &value).map_err(reason)?;
        }
        Ok(n)
    }

    fn get_loop(key: String, n: u32) -> u64 {
        let length = |_| store::get(&key).unwrap_or_else(|e| trap(e)).map_or(0, |value| value.len() as u64);
        (0..n).map(length).sum()
    }

    fn set_loop(key: String, n: u32) -> u64 {
        let mut value = [0; LOOP_VALUE];
        for i in 0..n {
            for (byte, new) in value.iter_mut().zip(i.to_le_bytes()) {
                *byte = new;
            }
            store::set(&key, &value).unwrap_or_else(|e| trap(e));
        }
        u64::from(n) * LOOP_VALUE as u64
    }

    fn leave(well: bool) {
        std::process::exit(i32::from(!well));
    }

    fn spin() {
        let mut n = 0_u64;
        while black_box(true) {
            n = black_box(n.wrapping_add(1));
        }
    }

    fn trap_after_set(key: String, value: Vec<u8>) -> String {
        match store::set(&key, &value) {
            Ok(()) => std::process::abort(),
            Err(e) => reason(e),
        }
    }

    fn grow(mib: u32) -> u32 {
        let mut got: Vec<Vec<u8>> = Vec::new();
        for n in 0..mib {
            let mut chunk = Vec::new();
            if got.try_reserve(1).is_err() || chunk.try_reserve_exact(MIB).is_err() {
                return n;
            }
            chunk.resize(MIB, 0);
            // Memory that nobody writes to costs a host nothing.
            chunk.iter_mut().step_by(PAGE).for_each(|byte| *byte = 1);
            got.push(black_box(chunk));
        }
        mib
    }

    fn recurse() {
        black_box(deeper(black_box(0)));
    }
}

/// Not a tail call, so no optimizer turns it into a loop.
#[inline(never)]
fn deeper(depth: u64) -> u64 {
    if black_box(depth) == u64::MAX {
        return depth;
    }
    deeper(black_box(depth + 1)).wrapping_add(black_box(depth))
}

fn trap(error: types::Error) -> ! {
    eprintln!("probe: {}", reason(error));
    std::process::abort()
}

fn reason(error: types::Error) -> String {
    use types::Error as E;
    let (case, text) = match error {
        E::NotFound(text) => ("not-found", text),
        E::AlreadyExists(text) => ("already-exists", text),
        E::QuotaExceeded(text) => ("quota-exceeded", text),
        E::InvalidKey(text) => ("invalid-key", text),
        E::IoError(text) => ("io-error", text),
        E::LimitExceeded(text) => ("limit-exceeded", text),
        E::Unavailable(text) => ("unavailable", text),
        E::Conflict(conflict) => ("conflict", conflict.message),
        E::InvalidNumber(text) => ("invalid-number", text),
        E::InvalidArgument(text) => ("invalid-argument", text),
        E::TransactionOver(text) => ("transaction-over", text),
        E::NotEmpty(text) => ("not-empty", text),
        E::VersionForgotten(text) => ("version-forgotten", text),
        E::Unsupported(text) => ("unsupported", text),
    };
    format!("{case}: {text}")
}

export!(Probe);
