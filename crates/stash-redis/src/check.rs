//! What a server must be before a store is opened in it, and whether what it answers survives a power cut. Must never take a
//! server that throws data away for one that keeps it.

use std::collections::HashMap;
use std::sync::Arc;

use redis::{Cmd, Value};

use crate::ask::maybe_bytes;
use crate::error::{OpenError, server_error};
use crate::layout::MARK;
use crate::link::{Failure, Lane, Node};
use crate::script;
use crate::servers::Servers;
use crate::target::Target;

/// The oldest version that can run the scripts.
const OLDEST: u32 = 7;

/// Looks at all servers, and marks the store; tells whether it is durable.
pub(crate) async fn servers(servers: &Servers, create: bool) -> Result<bool, OpenError> {
    let target = servers.target();
    let unreachable = |failure: Failure| OpenError::Unreachable { server: target.shown(), reason: failure.to_string() };
    // First what tells best why not: a cluster that is none, a replica.
    let mut info = redis::cmd("INFO");
    info.arg("cluster").arg("replication").arg("server");
    let (_, answer) = servers.any(&info).await.map_err(unreachable)?;
    let info = lines(answer);
    let unsuitable = |reason: &str| OpenError::Unsuitable { server: target.shown(), reason: reason.to_owned() };
    let is_cluster = info.get("cluster_enabled").is_some_and(|enabled| enabled == "1");
    if is_cluster != target.cluster {
        return Err(unsuitable(if is_cluster {
            "it is a node of a cluster: add cluster=true to the URL"
        } else {
            "it is not a node of a cluster: remove cluster=true from the URL"
        }));
    }
    if !is_cluster && info.get("role").is_some_and(|role| role == "slave") {
        return Err(unsuitable("it is a replica, which takes no commits: name its primary"));
    }
    let version = info.get("redis_version").map_or("unknown", String::as_str);
    if version.split('.').next().and_then(|major| major.parse().ok()).is_none_or(|major: u32| major < OLDEST) {
        return Err(unsuitable(&format!("its version is {version}, and Stash needs Redis {OLDEST}.0 or Valkey 7.2")));
    }
    let mut durable = true;
    for node in servers.primaries().await.map_err(unreachable)? {
        permissions(&node, target).await?;
        durable &= check(&node, target.allow_eviction).await?;
    }
    mark(servers, create).await?;
    Ok(durable)
}

/// Looks at one server.
async fn check(node: &Arc<Node>, allow_eviction: bool) -> Result<bool, OpenError> {
    let server = node.address.clone();
    let mut command = redis::cmd("INFO");
    command.arg("memory");
    let info = node.call(Lane::Ask, &command).await;
    let info =
        info.map_err(|failure| OpenError::Unreachable { server: server.clone(), reason: failure.to_string() })?;
    let policy = lines(info).remove("maxmemory_policy").unwrap_or_default();
    // Others take only what has a time to live, which nothing of a store has.
    if policy.starts_with("allkeys-") {
        if !allow_eviction {
            let reason = format!(
                "its maxmemory-policy is {policy}: it would throw data of the store away when its memory is full; set \
                 maxmemory-policy to noeviction, or add allow-eviction=true to the URL if losing data is fine"
            );
            return Err(OpenError::Unsuitable { server, reason });
        }
        tracing::warn!("{server} throws data away when its memory is full (maxmemory-policy {policy})");
    }
    let mut command = redis::cmd("CONFIG");
    command.arg("GET").arg("appendonly").arg("appendfsync").arg("no-appendfsync-on-rewrite");
    let durable = match node.call(Lane::Ask, &command).await {
        Ok(answer) => {
            let config = pairs(answer);
            let is = |name: &str, value: &str| config.get(name).is_some_and(|set| set == value);
            is("appendonly", "yes") && is("appendfsync", "always") && is("no-appendfsync-on-rewrite", "no")
        }
        Err(failure) => {
            tracing::warn!("{server} does not tell how it writes to disk ({failure}); a commit is not called durable");
            return Ok(false);
        }
    };
    if !durable {
        tracing::warn!(
            "{server} may lose commits that it has answered when it ends or its power fails: set appendonly yes, \
             appendfsync always and no-appendfsync-on-rewrite no, if that matters"
        );
    }
    Ok(durable)
}

/// Whether the user may do all that the store needs: a script that may not go on would leave half of a commit.
async fn permissions(node: &Node, target: &Target) -> Result<(), OpenError> {
    let mut command = redis::cmd("EVAL");
    command.arg(&script::PERMITTED.text).arg(0).arg(&target.prefix).arg("").arg("").arg(target.channel());
    let unreachable = |reason| OpenError::Unreachable { server: node.address.clone(), reason };
    let denied = match node.call(Lane::Ask, &command).await {
        Ok(answer) => maybe_bytes(answer).map_err(|error| unreachable(error.to_string()))?,
        Err(failure) if failure.has_code(&["NOPERM"]) => Some("EVAL".into()),
        Err(failure) => return Err(unreachable(failure.to_string())),
    };
    let Some(denied) = denied else { return Ok(()) };
    let reason = format!(
        "the user of the URL may not run {} on the keys and the channel under the prefix '{}', or the server does not have \
         it: see the permissions in the guide",
        String::from_utf8_lossy(&denied),
        target.prefix
    );
    Err(OpenError::Unsuitable { server: node.address.clone(), reason })
}

/// Marks a new store, if one may be made, and looks at the mark of one that is there.
async fn mark(servers: &Servers, create: bool) -> Result<(), OpenError> {
    let target = servers.target();
    let write = |command: &mut Cmd| {
        command.arg(MARK).arg(i32::from(create));
    };
    let answer = servers.run(Lane::Ask, &script::BEGIN, b"", &write).await;
    let mark = answer.map_err(server_error).and_then(maybe_bytes);
    let mark = mark.map_err(|error| OpenError::Unreachable { server: target.shown(), reason: error.to_string() })?;
    let not_ours = |reason: String| OpenError::NotAStore { server: target.shown(), reason };
    match mark {
        Some(mark) if mark == MARK => Ok(()),
        Some(mark) if mark.is_empty() => {
            Err(OpenError::NoStore { server: target.shown(), prefix: target.prefix.clone() })
        }
        Some(mark) => {
            let mark: String = String::from_utf8_lossy(&mark).chars().take(40).collect();
            Err(not_ours(format!(
                "its mark is {mark:?}, and this one knows {MARK:?}; use a newer Stash, or another prefix"
            )))
        }
        None => Err(not_ours(format!(
            "there are keys under the prefix '{}' and no mark of a store; use another prefix",
            target.prefix
        ))),
    }
}

/// The lines of INFO.
fn lines(answer: Value) -> HashMap<String, String> {
    let text = match answer {
        Value::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
        Value::VerbatimString { text, .. } | Value::SimpleString(text) => text,
        _ => String::new(),
    };
    let line = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    text.lines().filter_map(line).collect()
}

/// The answer to CONFIG GET.
fn pairs(answer: Value) -> HashMap<String, String> {
    let text = |value: Value| match value {
        Value::BulkString(text) => String::from_utf8_lossy(&text).into_owned(),
        Value::SimpleString(text) => text,
        _ => String::new(),
    };
    match answer {
        Value::Map(pairs) => pairs.into_iter().map(|(name, value)| (text(name), text(value))).collect(),
        _ => HashMap::new(),
    }
}
