//! Applying a commit: one call of a script, in one slot. A cluster cannot apply what is in several slots all or not at all,
//! so that is refused, and never tried in parts.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use bytes::Bytes;
use parking_lot::Mutex;
use redis::{Cmd, Value};
use stash_core::StorageError;
use stash_core::keyspace::owner;
use stash_shared::{Commit, CommitError, Outcome, ServerError};

use crate::ask::head_bytes;
use crate::error::{commit_error, server_error};
use crate::layout::{WHOLE, place};
use crate::link::Lane;
use crate::script;
use crate::servers::Servers;

/// Commits of more bytes than this go on a connection of their own.
const LARGE: usize = 64 * 1024;
/// What a commit that removes something may write and still be taken where there is no memory left.
const SMALL: usize = 16 * 1024;
/// How long it is believed that the index of a cluster has a place: a node that takes over may not know it.
const BELIEVED: Duration = Duration::from_mins(1);
/// Places that are remembered.
const MOST_PLACES: usize = 100_000;

/// The places that a cluster's index is known to have, and since when.
#[derive(Default)]
pub(crate) struct Places(Mutex<HashMap<Bytes, Instant>>);

impl Places {
    fn unknown(&self, wanted: impl Iterator<Item = Bytes>) -> Vec<Bytes> {
        let known = self.0.lock();
        let is_known = |place: &Bytes| known.get(place).is_some_and(|since| since.elapsed() < BELIEVED);
        wanted.filter(|place| !is_known(place)).collect()
    }

    fn add(&self, places: Vec<Bytes>) {
        let mut known = self.0.lock();
        if known.len() >= MOST_PLACES {
            known.clear();
        }
        known.extend(places.into_iter().map(|place| (place, Instant::now())));
    }
}

/// What is written to one namespace.
#[derive(Default)]
struct Group<'a> {
    /// Keys and how their values begin.
    puts: Vec<(&'a Bytes, &'a [u8])>,
    /// Keys and the rest of their values.
    rests: Vec<(&'a Bytes, &'a [u8])>,
    removals: Vec<&'a Bytes>,
    places: Vec<Bytes>,
}

fn groups(commit: &Commit) -> BTreeMap<&[u8], Group<'_>> {
    let mut groups: BTreeMap<&[u8], Group<'_>> = BTreeMap::new();
    for (key, value) in &commit.writes {
        let group = groups.entry(owner(key)).or_default();
        let Some(value) = value else {
            group.removals.push(key);
            continue;
        };
        let (begin, rest) =
            value.split_at_checked(WHOLE).map_or((&value[..], None), |(begin, rest)| (begin, Some(rest)));
        group.puts.push((key, begin));
        group.rests.extend(rest.map(|rest| (key, rest)));
        if let Some(place) = place(key).filter(|place| group.places.last() != Some(place)) {
            group.places.push(place);
        }
    }
    groups
}

/// Applies a commit if the heads are as expected.
pub(crate) async fn apply(
    servers: &Servers,
    places: &Places,
    set_aside_bytes: u64,
    commit: &Commit,
) -> Result<Outcome, CommitError> {
    let groups = groups(commit);
    let scope = commit.owners.first().map(|expected| expected.owner.clone()).unwrap_or_default();
    if servers.is_cluster() {
        // Also where several happen to share a slot: what snapshots see is set aside for one namespace.
        let mut owners = commit.owners.iter().map(|expected| &expected.owner[..]).chain(groups.keys().copied());
        if owners.any(|owner| owner != scope) {
            let reason =
                "a Redis cluster cannot commit to several components at once: each may be on another node".to_owned();
            return Err(StorageError::Unsupported { reason }.into());
        }
        add_places(servers, places, groups.values().flat_map(|group| group.places.iter().cloned())).await?;
    }
    let is_cluster = servers.is_cluster();
    let write = |command: &mut Cmd| {
        command.arg(set_aside_bytes).arg(commit.owners.len());
        for expected in &commit.owners {
            let before =
                if expected.revision == 0 { Vec::new() } else { head_bytes(expected.revision, &expected.writers) };
            command.arg(&expected.owner[..]).arg(before);
            command.arg(head_bytes(expected.head.revision, &expected.head.writers));
        }
        for (owner, group) in &groups {
            let places: &[Bytes] = if is_cluster { &[] } else { &group.places };
            command
                .arg(*owner)
                .arg(group.puts.len())
                .arg(group.rests.len())
                .arg(group.removals.len())
                .arg(places.len());
            for (key, value) in group.puts.iter().chain(&group.rests) {
                command.arg(&key[..]).arg(*value);
            }
            for key in group.removals.iter().copied().chain(places) {
                command.arg(&key[..]);
            }
        }
    };
    let put: usize = commit.writes.iter().filter_map(|(key, value)| Some(key.len() + value.as_ref()?.len())).sum();
    let makes_room = put <= SMALL && commit.writes.iter().any(|(_, value)| value.is_none());
    let script = if makes_room { &script::MAKE_ROOM } else { &script::COMMIT };
    let lane = if put > LARGE { Lane::Bulk } else { Lane::Commit };
    let answer = servers.run(lane, script, &scope, &write).await.map_err(commit_error)?;
    match answer {
        Value::Int(1) => Ok(Outcome::Applied),
        Value::Int(0) => Ok(Outcome::Conflict),
        Value::Int(2) => {
            let reason = "the store is gone from the Redis server, which was emptied, or restarted without its data: \
                          restore a backup, or restart the hosts to begin anew";
            Err(StorageError::Unavailable { reason: reason.to_owned() }.into())
        }
        _ => Err(CommitError::Lost("Redis answered something else than was asked for".to_owned())),
    }
}

/// Makes sure that a cluster's index has the places, before anything is there.
async fn add_places(servers: &Servers, known: &Places, wanted: impl Iterator<Item = Bytes>) -> Result<(), CommitError> {
    let places = known.unknown(wanted);
    if places.is_empty() {
        return Ok(());
    }
    let write = |command: &mut Cmd| {
        for place in &places {
            command.arg(&place[..]);
        }
    };
    match servers.run(Lane::Commit, &script::INDEX, b"", &write).await.map_err(server_error) {
        Ok(_) => {
            known.add(places);
            Ok(())
        }
        Err(ServerError::Unreachable(reason)) => Err(CommitError::NotSent(reason)),
        Err(ServerError::Refused(error)) => Err(CommitError::Refused(error)),
    }
}
