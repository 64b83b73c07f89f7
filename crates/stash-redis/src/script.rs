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
/// Tells what the user may not do.
pub(crate) static PERMITTED: LazyLock<Script> =
    LazyLock::new(|| Script::new(LAX, include_str!("scripts/permitted.lua")));
/// Adds to the index of a cluster.
pub(crate) static INDEX: LazyLock<Script> = LazyLock::new(|| Script::new(STRICT, include_str!("scripts/index.lua")));

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    /// The words in capitals that come first after one of these.
    fn words(text: &str, before: &[&str]) -> BTreeSet<String> {
        let after = before.iter().flat_map(|before| text.split(before).skip(1));
        after.map(|rest| rest.chars().take_while(char::is_ascii_uppercase).collect()).collect()
    }

    #[test]
    fn every_command_is_asked_for_and_is_in_the_guide() {
        let guide = include_str!("../../../docs/guides/engines/redis.md");
        let (_, guide) = guide.split_once("## Permissions that it needs").unwrap();
        let named = words(guide, &["`"]);
        let permitted = include_str!("scripts/permitted.lua");
        let commit = include_str!("scripts/commit.lua");
        let asked = words(permitted, &["'"]);
        let called = |text| words(text, &["call('", "pieces('"]);
        for text in [&COMMIT, &ASK, &HOLD, &RELEASE, &BEGIN, &INDEX].map(|script| &script.text) {
            for command in called(text) {
                assert!(asked.contains(&command), "{command} is not asked for");
            }
        }
        for command in asked.iter().filter(|command| !command.is_empty()) {
            assert!(named.contains(command), "{command} is not in the guide");
        }
        // A commit asks itself, for what it writes and sets aside with, before it begins.
        let asked_in_commit: BTreeSet<String> = commit
            .split("denied(")
            .skip(1)
            .filter_map(|rest| rest.split_once("})"))
            .flat_map(|(list, _)| words(list, &["'"]))
            .collect();
        let (_, tidy) = include_str!("scripts/common.lua").split_once("local function tidy").unwrap();
        let (tidy, _) = tidy.split_once("local function hold").unwrap();
        for command in called(commit).union(&called(tidy)) {
            assert!(asked_in_commit.contains(command), "a commit does not ask for {command}");
        }
    }
}
