//! What somebody would write who has an engine's own client and no Stash: a map that is in order, and durable.

use anyhow::Result;

/// A record as it is written by hand.
pub(crate) type Entry = (String, Vec<u8>);

/// The client of an engine, used as its users use it.
pub(crate) trait ByHand: Clone + Send + Sync + 'static {
    /// What is used.
    const CLIENT: &'static str;

    /// The value under a key.
    fn get(&self, key: String) -> impl Future<Output = Result<Option<Vec<u8>>>> + Send;

    /// Stores a value, durably.
    fn set(&self, key: String, value: Vec<u8>) -> impl Future<Output = Result<()>> + Send;

    /// Reads the record, and stores a value if it has not changed since, durably: what a program does that must not undo
    /// what others do.
    fn replace(&self, key: String, value: Vec<u8>) -> impl Future<Output = Result<()>> + Send;

    /// Stores many, all or none, durably.
    fn batch(&self, entries: Vec<Entry>) -> impl Future<Output = Result<()>> + Send;

    /// So many records from a key on, in order.
    fn page(&self, start: String, count: usize) -> impl Future<Output = Result<Vec<Entry>>> + Send;
}
