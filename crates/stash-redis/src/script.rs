//! The scripts that the server runs. Each is sent by its hash, and whole where the server does not know it.

use std::sync::LazyLock;

/// One script.
pub(crate) struct Script {
    pub(crate) text: String,
    pub(crate) hash: String,
}

impl Script {
    fn new(flags: &str, text: &str) -> Self {
        let text = format!("{flags}{}{text}", include_str!("scripts/common.lua"));
        let hash = redis::Script::new(&text).get_hash().to_owned();
        Self { text, hash }
    }
}

/// Refused by a replica and, where it writes, by a server without memory.
const STRICT: &str = "#!lua\n";
/// Runs also where there is no memory left.
const SMALL: &str = "#!lua flags=allow-oom\n";
/// Refused only when it writes.
const LAX: &str = "";

/// Applies a commit.
pub(crate) static COMMIT: LazyLock<Script> = LazyLock::new(|| Script::new(STRICT, include_str!("scripts/commit.lua")));
/// Applies a commit that makes room.
pub(crate) static MAKE_ROOM: LazyLock<Script> =
    LazyLock::new(|| Script::new(SMALL, include_str!("scripts/commit.lua")));
/// Answers questions. A replica refuses it, because what it has may be old.
pub(crate) static ASK: LazyLock<Script> = LazyLock::new(|| Script::new(SMALL, include_str!("scripts/ask.lua")));
/// The same for a primary that cannot write now.
pub(crate) static ASK_LAX: LazyLock<Script> = LazyLock::new(|| Script::new(LAX, include_str!("scripts/ask.lua")));
/// Makes a snapshot.
pub(crate) static HOLD: LazyLock<Script> = LazyLock::new(|| Script::new(SMALL, include_str!("scripts/hold.lua")));
/// Ends snapshots.
pub(crate) static RELEASE: LazyLock<Script> = LazyLock::new(|| Script::new(SMALL, include_str!("scripts/release.lua")));
/// Looks for the mark of the store, and marks an empty one.
pub(crate) static BEGIN: LazyLock<Script> = LazyLock::new(|| Script::new(STRICT, include_str!("scripts/begin.lua")));
/// Adds to the index of a cluster.
pub(crate) static INDEX: LazyLock<Script> = LazyLock::new(|| Script::new(STRICT, include_str!("scripts/index.lua")));
