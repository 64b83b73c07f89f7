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

/// Bytes of keys and values in one batch, beyond a single value of the largest size; and, of a batch with several changes,
/// of the old and new values of records that it reads to change them.
pub const MAX_BATCH_BYTES: usize = 64 * 1024 * 1024;

/// Keys read by one call.
pub const MAX_READ_KEYS: usize = 10_000;

/// Bytes of values in one answer to a read of several keys, beyond a single value: they are in memory at once.
pub const MAX_READ_BYTES: usize = 64 * 1024 * 1024;

/// Records or keys on one page, whatever the caller asks for: some milliseconds' work.
pub const MAX_PAGE_ITEMS: usize = 10_000;

/// Records or keys on one page where the caller does not say: enough that most lists are one page.
pub const DEFAULT_PAGE_ITEMS: usize = 1_000;

/// Bytes of keys and values on one page, beyond a single record.
pub const MAX_PAGE_BYTES: usize = 16 * 1024 * 1024;

/// Records that one page passes over because they have expired or do not match its pattern. Then it ends early, with a
/// cursor: a page's work is bounded whatever is in the store.
pub const MAX_PASSED_OVER: usize = 20_000;

/// Bytes in a pattern: matching takes up to so many steps for each byte of a key.
pub const MAX_PATTERN_BYTES: usize = 256;

/// Bytes in a content type. RFC 6838 allows 127 for each half.
pub const MAX_CONTENT_TYPE_BYTES: usize = 255;

/// Attributes of one record or collection.
pub const MAX_ATTRIBUTES: usize = 64;

/// Bytes of the names and values of one record's or collection's attributes: what HTTP servers allow for headers.
pub const MAX_ATTRIBUTE_BYTES: usize = 8 * 1024;

/// Collections in one component. They are names in a list that is read whole; data without number belongs in keys.
pub const MAX_COLLECTIONS: usize = 1_000;

/// Bytes in a collection's name. It stands in front of every key.
pub const MAX_COLLECTION_NAME_BYTES: usize = 256;

/// Parts of a collection's name, between `/`.
pub const MAX_COLLECTION_DEPTH: usize = 8;

/// Versions of one key that a collection may keep. More would make one commit's pruning long.
pub const MAX_HISTORY_VERSIONS: u32 = 10_000;

/// Changes that a component's log keeps. Whoever follows it may be away for as long as it takes to write so many; after
/// that, reading everything anew is as quick.
pub const MAX_CHANGES: u64 = 100_000;

/// Bytes that a component's log of changes keeps, which its quota does not count. Its newest commit is kept whatever its
/// size.
pub const MAX_CHANGE_BYTES: u64 = 64 * 1024 * 1024;

/// How long a guest may wait for the next change in one call.
pub const MAX_CHANGE_WAIT: std::time::Duration = std::time::Duration::from_secs(30);

/// Records that one commit of `clear` removes: what fits a batch.
pub const MAX_CLEAR_RECORDS: usize = MAX_BATCH_ITEMS;

/// Prefixes that one batch clears: each may remove as much as a batch does.
pub const MAX_CLEARS: usize = 4;

/// Transactions that one component may have open. Each holds a snapshot, which keeps the engine from reusing space.
pub const MAX_OPEN_TRANSACTIONS: usize = 64;

/// How long a transaction may be open unless the host says otherwise: longer than any request, shorter than a lunch.
pub const DEFAULT_TRANSACTION_AGE: std::time::Duration = std::time::Duration::from_secs(30);

/// Keys and ranges that one transaction may read: they are all checked in its commit.
pub const MAX_TRANSACTION_READS: usize = 100_000;

/// Bytes in the name of a bookmark: a word and whose it is.
pub const MAX_BOOKMARK_NAME_BYTES: usize = 128;

/// Bytes that a follower keeps with its bookmark: a collection's name, a key and some numbers are a place in a list.
pub const MAX_BOOKMARK_NOTE_BYTES: usize = 4 * 1024;

/// Keys in one answer to `list_keys`: a guest that wants more asks with longer prefixes.
pub const MAX_LIST_KEYS: usize = 100_000;

/// Bytes of keys in one answer to `list_keys`; they are lowered into the guest's memory in one piece.
pub const MAX_LIST_BYTES: usize = 16 * 1024 * 1024;
