//! Every limit of the contract, with its reason. No other code states one of these numbers; `wit/storage.wit` tells them
//! to guests, and a test holds it to them. What a guest may take of the machine is in `stash-host`'s
//! `runtime/limits.rs`, what may wait for a disk in each engine.

/// Bytes in one part of a [`ComponentId`](crate::ComponentId). Long enough for a host name or a digest in hex, and
/// short enough that a namespace never dominates a key.
pub const MAX_ID_PART_BYTES: usize = 128;

/// Bytes in a key. The same as Cloudflare and Deno allow, and small enough for hundreds of keys on a B-tree page path.
pub const MAX_KEY_BYTES: usize = 2 * 1024;

/// Bytes in a value unless the host says otherwise. A value is held in memory by the guest, the host and the engine at
/// once, so this is what one call may cost three times over.
pub const DEFAULT_MAX_VALUE_BYTES: usize = 16 * 1024 * 1024;

/// Bytes in a value whatever the host says: half of what Wasmtime lets a guest pass in one call, and no more than a batch.
pub const MAX_VALUE_BYTES: usize = 64 * 1024 * 1024;

/// Checks and mutations in one batch.
pub const MAX_BATCH_ITEMS: usize = 10_000;

/// Bytes of keys and values in one batch, beyond a single value of the largest size.
pub const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// Keys read by one call.
pub const MAX_READ_KEYS: usize = 10_000;

/// Keys in one answer to `list_keys`: a guest that wants more asks with longer prefixes.
pub const MAX_LIST_KEYS: usize = 100_000;

/// Bytes of keys in one answer to `list_keys`; they are lowered into the guest's memory in one piece.
pub const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;
