//! What can be chosen.

use std::time::Duration;

use stash_shared::SharedOptions;

/// How to open a store on PostgreSQL. What its URL says counts more.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PostgresOptions {
    /// Timeouts, how old a cached value may be.
    pub shared: SharedOptions,
    /// The schema that holds the store: 1 to 56 bytes. Stores in different schemas know nothing of each other.
    pub schema: String,
    /// Connections for reads and commits: 1 to 1000. They are opened as they are needed.
    pub connections: usize,
    /// Snapshots that may be open at once, each on a connection of its own: 1 to 1000. Transactions, and long pages, hold
    /// one each.
    pub snapshots: usize,
    /// How long a snapshot may be open. It keeps the server from removing old versions of rows.
    pub snapshot_life: Duration,
    /// Whether to do without what CockroachDB lacks: changes of one table twice in a statement, ranges side by side, advisory
    /// locks, NOTIFY. CockroachDB itself is known by its version.
    pub portable: bool,
}

impl Default for PostgresOptions {
    /// The schema `stash`, 16 connections, 72 snapshots of up to a minute: for as many transactions as one
    /// component may have, and some long pages.
    fn default() -> Self {
        Self {
            shared: SharedOptions::default(),
            schema: "stash".to_owned(),
            connections: 16,
            snapshots: 72,
            snapshot_life: Duration::from_mins(1),
            portable: false,
        }
    }
}
