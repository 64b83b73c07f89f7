//! What a store can do, told to whoever asks: guests, the conformance suite, operators. Every limit here is one that is
//! enforced.

use std::time::Duration;

use crate::engine::EngineInfo;
use crate::limits;

/// What a store supports, and its limits.
// Each is a question of its own.
#[allow(clippy::struct_excessive_bools)]
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Capabilities {
    /// The engine's name, as in a store's URL.
    pub engine: &'static str,
    /// Whether an acknowledged commit survives the end of the process and a power cut.
    pub durable: bool,
    /// Whether there are transactions: always so on the engines of today.
    pub transactions: bool,
    /// Whether collections can keep earlier versions.
    pub history: bool,
    /// Whether records can expire.
    pub expiry: bool,
    /// The limits.
    pub limits: Limits,
}

/// The limits of a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes in a key.
    pub key_bytes: usize,
    /// Bytes in a value.
    pub value_bytes: usize,
    /// Bytes of keys and values in all; `None` for no limit.
    pub quota_bytes: Option<u64>,
    /// Checks and changes in a batch.
    pub batch_items: usize,
    /// Bytes in a batch of more than one change.
    pub batch_bytes: usize,
    /// Keys read by one call.
    pub read_keys: usize,
    /// Records on a page.
    pub page_items: usize,
    /// Bytes on a page of more than one record.
    pub page_bytes: usize,
    /// Transactions open at once.
    pub open_transactions: usize,
    /// How long a transaction may be open.
    pub transaction_age: Duration,
    /// Collections in a component.
    pub collections: usize,
}

impl Capabilities {
    /// What the layers make of an engine.
    pub(crate) fn over(engine: &EngineInfo) -> Self {
        Self {
            engine: engine.name,
            durable: engine.durable,
            transactions: true,
            history: true,
            expiry: true,
            limits: Limits {
                key_bytes: limits::MAX_KEY_BYTES,
                value_bytes: limits::MAX_VALUE_BYTES,
                quota_bytes: None,
                batch_items: limits::MAX_BATCH_ITEMS,
                batch_bytes: limits::MAX_BATCH_BYTES,
                read_keys: limits::MAX_READ_KEYS,
                page_items: limits::MAX_PAGE_ITEMS,
                page_bytes: limits::MAX_PAGE_BYTES,
                open_transactions: limits::MAX_OPEN_TRANSACTIONS,
                transaction_age: limits::DEFAULT_TRANSACTION_AGE,
                collections: limits::MAX_COLLECTIONS,
            },
        }
    }
}
