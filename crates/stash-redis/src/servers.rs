//! Which server has what: one, or the nodes of a cluster by slots. A command goes to another node only where the first has
//! said that it did not run it.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use redis::{Cmd, Value};
use stash_core::BoxFuture;

use crate::layout::{SLOTS, name, slot};
use crate::link::{Failure, Lane, Node};
use crate::script::Script;
use crate::target::Target;

/// Times that a command is sent on by one node to another.
const MOST_HOPS: usize = 5;

/// What writes the arguments of a script.
pub(crate) type Arguments<'a> = dyn Fn(&mut Cmd) + Send + Sync + 'a;

/// One server, or several.
pub(crate) struct Servers {
    target: Target,
    timeout: Duration,
    nodes: RwLock<HashMap<String, Arc<Node>>>,
    /// The node of each slot, empty where it is not known; one entry alone without a cluster.
    slots: RwLock<Vec<String>>,
}

impl Servers {
    pub(crate) fn new(target: Target, timeout: Duration) -> Self {
        let slots = if target.cluster { usize::from(SLOTS) } else { 1 };
        let slots = RwLock::new(vec![String::new(); slots]);
        Self { target, timeout, nodes: RwLock::default(), slots }
    }

    pub(crate) fn is_cluster(&self) -> bool {
        self.target.cluster
    }

    pub(crate) fn target(&self) -> &Target {
        &self.target
    }

    /// Why servers cannot be reached, as far as that is known.
    pub(crate) fn failure(&self) -> Option<String> {
        let nodes = self.nodes.read();
        let mut failures: Vec<_> = nodes.values().filter_map(|node| node.failure()).collect();
        failures.sort_unstable();
        failures.into_iter().next()
    }

    fn node(&self, address: &str) -> Result<Arc<Node>, Failure> {
        if let Some(node) = self.nodes.read().get(address) {
            return Ok(Arc::clone(node));
        }
        let client = self.target.client(address).map_err(Failure::NotSent)?;
        let node = Arc::new(Node::new(client, address.to_owned(), self.timeout));
        Ok(Arc::clone(self.nodes.write().entry(address.to_owned()).or_insert(node)))
    }

    /// The servers to begin with: those of the URL, and those that are known.
    pub(crate) fn seeds(&self) -> Vec<String> {
        let mut seeds: Vec<String> = self.nodes.read().keys().cloned().collect();
        seeds.extend(self.target.seeds.iter().cloned());
        seeds.sort_unstable();
        seeds.dedup();
        seeds
    }

    /// A server that can be asked what any can.
    pub(crate) async fn any(&self, command: &Cmd) -> Result<(Arc<Node>, Value), Failure> {
        self.any_on(Lane::Ask, command).await
    }

    /// The same on another connection.
    pub(crate) async fn any_on(&self, lane: Lane, command: &Cmd) -> Result<(Arc<Node>, Value), Failure> {
        let mut last = Failure::NotSent("no server is known".to_owned());
        for address in self.seeds() {
            let node = self.node(&address)?;
            match node.call(lane, command).await {
                Ok(answer) => return Ok((node, answer)),
                Err(failure) => last = failure,
            }
        }
        Err(last)
    }

    /// The nodes that have slots.
    pub(crate) async fn primaries(&self) -> Result<Vec<Arc<Node>>, Failure> {
        if !self.target.cluster {
            return Ok(vec![self.node(self.target.seed())?]);
        }
        self.learn().await?;
        let mut addresses = self.slots.read().clone();
        addresses.sort_unstable();
        addresses.dedup();
        addresses.iter().filter(|address| !address.is_empty()).map(|address| self.node(address)).collect()
    }

    /// Asks the cluster which node has which slots.
    async fn learn(&self) -> Result<(), Failure> {
        let mut command = redis::cmd("CLUSTER");
        command.arg("SLOTS");
        let (asked, answer) = self.any(&command).await?;
        let mut slots = vec![String::new(); usize::from(SLOTS)];
        for (first, last, address) in ranges(answer, &asked.address) {
            for slot in slots.iter_mut().take(last.saturating_add(1)).skip(first) {
                slot.clone_from(&address);
            }
        }
        let known: std::collections::HashSet<String> = slots.iter().cloned().collect();
        *self.slots.write() = slots;
        self.nodes.write().retain(|address, _| known.contains(address));
        Ok(())
    }

    fn forget(&self, slot: usize) {
        if let Some(address) = self.slots.write().get_mut(slot) {
            address.clear();
        }
    }

    async fn node_of(&self, slot: usize) -> Result<Arc<Node>, Failure> {
        if !self.target.cluster {
            return self.node(self.target.seed());
        }
        let known = |slots: &[String]| slots.get(slot).filter(|address| !address.is_empty()).cloned();
        let address = known(&self.slots.read());
        if let Some(address) = address {
            return self.node(&address);
        }
        let unknown = |failure| Failure::NotSent(format!("asking which nodes the cluster has: {failure}"));
        self.learn().await.map_err(unknown)?;
        let address = known(&self.slots.read());
        let address = address.ok_or_else(|| Failure::NotSent(format!("no node of the cluster has slot {slot}")))?;
        self.node(&address)
    }

    /// Runs a script where a namespace is. It is told the prefix, the namespace on a cluster, and the run of the server, and
    /// then what `arguments` writes.
    pub(crate) fn run<'a>(
        &'a self,
        lane: Lane,
        script: &'a Script,
        scope: &'a [u8],
        arguments: &'a Arguments<'_>,
    ) -> BoxFuture<'a, Result<Value, Failure>> {
        Box::pin(self.run_where_it_is(lane, script, scope, arguments))
    }

    async fn run_where_it_is(
        &self,
        lane: Lane,
        script: &Script,
        scope: &[u8],
        arguments: &Arguments<'_>,
    ) -> Result<Value, Failure> {
        let key = name(&self.target.prefix, scope, "h");
        // A key that never is: so nothing is run while a part of the slot's keys is on its way to another node.
        let never = name(&self.target.prefix, scope, "-");
        let keys: &[&[u8]] = if self.target.cluster { &[&key, &never] } else { &[&key] };
        let slot = if self.target.cluster { usize::from(slot(&key)) } else { 0 };
        let scope = if self.target.cluster { scope } else { &[] };
        let mut node = self.node_of(slot).await?;
        let mut asking = false;
        for _ in 0..MOST_HOPS {
            let answer = match node.link(lane).await {
                Ok(link) => {
                    let command = |verb, script| {
                        let mut command = redis::cmd(verb);
                        command.arg(script).arg(keys.len()).arg(keys);
                        command.arg(&self.target.prefix).arg(scope).arg(&link.run);
                        arguments(&mut command);
                        command
                    };
                    let mut answer = node.send_maybe_asking(&link, &command("EVALSHA", &script.hash), asking).await;
                    if answer.as_ref().is_err_and(|failure| failure.has_code(&["NOSCRIPT"])) {
                        answer = node.send_maybe_asking(&link, &command("EVAL", &script.text), asking).await;
                    }
                    answer
                }
                Err(failure) => Err(failure),
            };
            let failure = match answer {
                Ok(answer) => return Ok(answer),
                Err(failure) => failure,
            };
            if !self.target.cluster {
                return Err(failure);
            }
            match &failure {
                Failure::Answered { code, text } if code == "MOVED" || code == "ASK" => {
                    let Some(address) = address_in(text, &node.address) else { return Err(failure) };
                    asking = code == "ASK";
                    if !asking && let Some(known) = self.slots.write().get_mut(slot) {
                        known.clone_from(&address);
                    }
                    node = self.node(&address)?;
                }
                // Its slots may have another node by now.
                Failure::NotSent(_) | Failure::Lost(_) => {
                    self.forget(slot);
                    return Err(failure);
                }
                Failure::Answered { code, .. } if ["READONLY", "CLUSTERDOWN", "MASTERDOWN"].contains(&&code[..]) => {
                    self.forget(slot);
                    return Err(failure);
                }
                Failure::Answered { .. } => return Err(failure),
            }
        }
        Err(Failure::NotSent(format!("the nodes of the cluster do not agree who has slot {slot}")))
    }
}

/// The address in the text of MOVED and ASK: the slot, and the address.
fn address_in(text: &str, asked: &str) -> Option<String> {
    let (_, address) = text.trim().rsplit_once(' ')?;
    let (host, port) = address.rsplit_once(':')?;
    Some(join(host, port.parse().ok()?, asked))
}

/// An address; without a host, it is that of the node which was asked.
fn join(host: &str, port: u16, asked: &str) -> String {
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() || host == "?" {
        let host = asked.rsplit_once(':').map_or(asked, |(host, _)| host);
        return format!("{host}:{port}");
    }
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The answer to CLUSTER SLOTS: the first and the last slot, and the address of their primary.
fn ranges(answer: Value, asked: &str) -> Vec<(usize, usize, String)> {
    let Value::Array(ranges) = answer else { return Vec::new() };
    let range = |range: Value| {
        let Value::Array(range) = range else { return None };
        let mut range = range.into_iter();
        let (Value::Int(first), Value::Int(last)) = (range.next()?, range.next()?) else { return None };
        let Value::Array(node) = range.next()? else { return None };
        let mut node = node.into_iter();
        let host = match node.next()? {
            Value::BulkString(host) => String::from_utf8(host).ok()?,
            Value::SimpleString(host) => host,
            _ => String::new(),
        };
        let Value::Int(port) = node.next()? else { return None };
        let address = join(&host, port.try_into().ok()?, asked);
        Some((first.try_into().ok()?, last.try_into().ok()?, address))
    };
    ranges.into_iter().filter_map(range).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_other_nodes_are_read() {
        assert_eq!(address_in("3999 127.0.0.1:6381", "h:1"), Some("127.0.0.1:6381".to_owned()));
        assert_eq!(address_in("3999 :6381", "h:1"), Some("h:6381".to_owned()));
        assert_eq!(address_in("3999 ::1:6381", "h:1"), Some("[::1]:6381".to_owned()));
        assert_eq!(address_in("3999 nonsense", "h:1"), None);
    }

    #[test]
    fn slots_are_read() {
        let text = |text: &str| Value::BulkString(text.as_bytes().to_vec());
        let node = |host: Value, port| Value::Array(vec![host, Value::Int(port), text("id")]);
        let range = |first, last, node| Value::Array(vec![Value::Int(first), Value::Int(last), node]);
        let answer = Value::Array(vec![
            range(0, 5, node(text("10.0.0.1"), 6379)),
            range(6, 9, node(Value::Nil, 6380)),
            Value::Nil,
        ]);
        assert_eq!(ranges(answer, "seed:7000"), [(0, 5, "10.0.0.1:6379".to_owned()), (6, 9, "seed:6380".to_owned())]);
    }
}
